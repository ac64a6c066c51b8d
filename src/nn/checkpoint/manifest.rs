//! The manifest beside the weights that the page ships: what they are, where from, and how to check them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::diffusion::Prediction;
use crate::diffusion::convention::{InputScale, TimeConvention};
use crate::digest::hex;
use crate::lab::check_names;
use crate::nn::unet::{ConfigError, UNetConfig};

/// The version of the format that is read.
const FORMAT: u32 = 1;
/// Most files of a set.
const MOST_FILES: usize = 256;
/// Most bytes of a set.
const MOST_BYTES: u64 = 1 << 30;
/// Most levels of a grid: the most steps of a run.
const MOST_LEVELS: usize = 1000;

/// Why a manifest or one of its files cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ManifestError {
    /// Not the JSON of a manifest.
    #[error("not a manifest of weights: {0}")]
    Json(String),
    /// Another version.
    #[error("format {found} of a manifest is not read, only {FORMAT}")]
    Format {
        /// The version found.
        found: u32,
    },
    /// Something it states cannot be.
    #[error("the manifest says {what}")]
    Value {
        /// What it says.
        what: String,
    },
    /// A file has another length.
    #[error("{file}: expected {expected} bytes, found {found}")]
    Length {
        /// Its name.
        file: String,
        /// What the manifest says.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A file has another checksum.
    #[error("{file}: expected SHA-256 {expected}, found {found}")]
    Checksum {
        /// Its name.
        file: String,
        /// What the manifest says.
        expected: String,
        /// What came.
        found: String,
    },
    /// There is no network of this shape.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its name, in the folder of the manifest.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits in lower case.
    pub sha256: String,
}

/// A number that was measured of weights, a Fréchet inception distance or bits per dimension, with what it takes to compare
/// it. One type for both: a reader is paid for by every visitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// The number.
    pub value: f64,
    /// Its standard error, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// Pictures that were drawn or judged.
    pub images: u32,
    /// Network evaluations for each, or levels at which its likelihood was followed.
    pub evaluations: u32,
    /// Solver and schedule.
    pub solver: String,
    /// What they were compared with, or which they were.
    pub reference: String,
}

/// A grid that was searched for the weights ([`crate::diffusion::grid_search`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchedGrid {
    /// `sigma / alpha` of its noisy levels, falling, as many as it has steps; the clean level comes after the last.
    pub ratios: Vec<f64>,
    /// How it was searched, in words.
    pub search: String,
}

/// What is known of a set of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format, 1.
    pub format: u32,
    /// What to call it.
    pub title: String,
    /// The network.
    pub architecture: UNetConfig,
    /// What its output means.
    pub prediction: Prediction,
    /// What it was shown.
    pub input: InputScale,
    /// How it was told the level.
    pub time: TimeConvention,
    /// Height and width of an image.
    pub image_size: u32,
    /// Names of the classes, in order; none without classes.
    pub classes: Vec<String>,
    /// The shards.
    pub files: Vec<ManifestFile>,
    /// Licence of the weights.
    pub licence: String,
    /// How they were trained, by whom, on what.
    pub provenance: String,
    /// How good its pictures are, if that was measured.
    pub fid: Option<Measurement>,
    /// Bits per dimension of images that it was not trained on, if they were measured (`evaluate --bits`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<Measurement>,
    /// Grids that were searched for it, at most one for a number of steps, in rising order. Not written when there are
    /// none: readers that know nothing of grids refuse a manifest that has some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grids: Vec<SearchedGrid>,
}

impl Manifest {
    /// Reads a manifest and checks that what it states can be.
    ///
    /// # Errors
    /// A [`ManifestError`] that says what is wrong.
    pub fn from_json(json: &str) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_str(json).map_err(|error| ManifestError::Json(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(ManifestError::Format { found: manifest.format });
        }
        manifest.architecture.validate()?;
        let value = |what: String| Err(ManifestError::Value { what });
        if manifest.files.is_empty() || manifest.files.len() > MOST_FILES {
            return value(format!("{} files, allowed are 1 to {MOST_FILES}", manifest.files.len()));
        }
        let total = manifest.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
        if total > MOST_BYTES {
            return value(format!("{total} bytes, more than {MOST_BYTES}"));
        }
        for file in &manifest.files {
            // A name is asked for beside the manifest and nowhere else.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if file.name.is_empty() || file.name.starts_with('.') || !file.name.chars().all(plain) {
                return value(format!("a file named {:?}", file.name));
            }
            let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            if file.sha256.len() != 64 || !file.sha256.chars().all(digit) {
                return value(format!("{:?} for a SHA-256 of {}", file.sha256, file.name));
            }
        }
        let multiple = manifest.architecture.size_multiple();
        if manifest.image_size == 0
            || manifest.image_size > 1024
            || !(manifest.image_size as usize).is_multiple_of(multiple)
        {
            return value(format!("images of {} pixels for a network of multiples of {multiple}", manifest.image_size));
        }
        if manifest.classes.len() != manifest.architecture.classes {
            let (named, known) = (manifest.classes.len(), manifest.architecture.classes);
            return value(format!("{named} names for {known} classes"));
        }
        check_names(&manifest.classes).map_err(|what| ManifestError::Value { what })?;
        if !manifest.time.is_possible() {
            return value(format!("times that cannot be: {:?}", manifest.time));
        }
        let stds = [
            if let Prediction::Karras { data_std } = manifest.prediction { data_std } else { 1.0 },
            if let InputScale::Karras { data_std } = manifest.input { data_std } else { 1.0 },
        ];
        if stds.iter().any(|std| !(1e-3..=1e3).contains(std)) {
            return value(format!("data of standard deviation {stds:?}"));
        }
        for SearchedGrid { ratios, .. } in &manifest.grids {
            let falls = ratios.windows(2).all(|pair| pair[0] > pair[1]);
            let possible = ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
            if !falls || !possible || ratios.is_empty() || ratios.len() > MOST_LEVELS {
                return value(format!("a grid of the levels {ratios:?}"));
            }
        }
        if manifest.grids.windows(2).any(|pair| pair[0].ratios.len() >= pair[1].ratios.len()) {
            return value("its grids out of order, or two for the same number of steps".to_owned());
        }
        Ok(manifest)
    }

    /// The manifest as JSON.
    ///
    /// # Errors
    /// [`ManifestError::Json`] when the writer refuses.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        serde_json::to_string_pretty(self).map_err(|error| ManifestError::Json(error.to_string()))
    }
}

impl ManifestFile {
    /// The entry for a file with these bytes.
    #[must_use]
    pub fn describe(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
    }

    /// Whether these are the file's bytes.
    ///
    /// # Errors
    /// [`ManifestError::Length`] or [`ManifestError::Checksum`] when they are not.
    pub fn check(&self, bytes: &[u8]) -> Result<(), ManifestError> {
        let (file, expected, found) = (self.name.clone(), self.bytes, bytes.len() as u64);
        if expected != found {
            return Err(ManifestError::Length { file, expected, found });
        }
        let found = sha256(bytes);
        if found == self.sha256 {
            Ok(())
        } else {
            Err(ManifestError::Checksum { file, expected: self.sha256.clone(), found })
        }
    }
}

/// The SHA-256 of bytes, 64 hexadecimal digits in lower case.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
