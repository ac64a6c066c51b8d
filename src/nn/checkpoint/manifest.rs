//! The manifest beside the weights that the page ships: what they are, where from, and how to check them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::diffusion::{Level, Prediction};
use crate::nn::unet::{ConfigError, UNetConfig};

/// The version of the format that is read.
const FORMAT: u32 = 1;
/// Most files of a set.
const MOST_FILES: usize = 256;
/// Most bytes of a set.
const MOST_BYTES: u64 = 1 << 30;

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

/// What a network's output means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ManifestPrediction {
    /// The clean image.
    Data,
    /// The noise (Ho et al. 2020).
    Noise,
    /// `alpha noise - sigma data`.
    Velocity,
    /// The score times sigma, so minus the noise (NCSNv2's technique 3).
    Score,
    /// EDM's `F` (Karras et al. 2022).
    Karras {
        /// Standard deviation of the data.
        data_std: f64,
    },
}

impl ManifestPrediction {
    /// What the output means at a level, and what it is multiplied by for that: `1 / sigma` for a score times sigma, 1
    /// for all others.
    #[must_use]
    pub fn at(self, level: Level) -> (Prediction, f64) {
        match self {
            // The score of `x = alpha data + sigma noise` is `-noise / sigma`, and the output is `-noise` at any scale.
            Self::Score => (Prediction::Score, Prediction::Score.output_scale(level)),
            _ => (self.into(), 1.0),
        }
    }
}

/// What the output means but for its scale: see [`ManifestPrediction::at`].
impl From<ManifestPrediction> for Prediction {
    fn from(prediction: ManifestPrediction) -> Self {
        match prediction {
            ManifestPrediction::Data => Self::Data,
            ManifestPrediction::Noise => Self::Noise,
            ManifestPrediction::Velocity => Self::Velocity,
            ManifestPrediction::Score => Self::Score,
            ManifestPrediction::Karras { data_std } => Self::Karras { data_std },
        }
    }
}

/// What the network was shown of `x = alpha data + sigma noise`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Input {
    /// `x / sqrt(alpha^2 + sigma^2)`: variance-preserving training.
    Preserving,
    /// `x / alpha`: variance-exploding training.
    Exploding,
    /// `x / sqrt(alpha^2 data_std^2 + sigma^2)`: EDM.
    Karras {
        /// Standard deviation of the data.
        data_std: f64,
    },
}

impl Input {
    /// What `x` at this level is multiplied by.
    #[must_use]
    pub fn scale(self, level: Level) -> f64 {
        let Level { alpha, sigma, .. } = level;
        let divisor = match self {
            Self::Preserving => libm::hypot(alpha, sigma),
            Self::Exploding => alpha,
            Self::Karras { data_std } => libm::hypot(alpha * data_std, sigma),
        };
        1.0 / divisor.max(1e-6)
    }
}

/// How a network was told the noise level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TimeConvention {
    /// Not at all (NCSNv2): always 0.
    None,
    /// `factor * ln(sigma / alpha)`; the factor is 100 for this project's EDM and VE training.
    LogSigma {
        /// The factor.
        factor: f64,
    },
    /// The step among `count`, from 0, of the betas that grow evenly from `first` to `last` (Ho et al. 2020); between
    /// two steps in proportion to the logarithm of `sigma / alpha`. Networks of chains of another length than 1000 are
    /// told `step * 1000 / count`, as improved DDPM does.
    Steps {
        /// Number of steps.
        count: u32,
        /// First beta.
        first: f64,
        /// Last beta.
        last: f64,
    },
    /// The same among the steps of the cosine schedule (Nichol and Dhariwal 2021, `s = 0.008`).
    CosineSteps {
        /// Number of steps.
        count: u32,
    },
    /// `scale * t` of the continuous schedule whose beta grows from `beta_min` to `beta_max` (Song et al. 2021).
    Linear {
        /// Beta at 0.
        beta_min: f64,
        /// Beta at 1.
        beta_max: f64,
        /// The factor, 999 in score_sde.
        scale: f64,
    },
}

/// Most steps of a table.
const MOST_STEPS: u32 = 100_000;

impl TimeConvention {
    /// The times of these levels, in the units of the network. A table of steps is made once for all of them.
    #[must_use]
    pub fn times(self, levels: &[Level]) -> Vec<f64> {
        let log_ratio = |level: &Level| libm::log(level.sigma.max(1e-9)) - libm::log(level.alpha.max(1e-9));
        let logs = levels.iter().map(log_ratio);
        match self {
            Self::None => vec![0.0; levels.len()],
            Self::LogSigma { factor } => logs.map(|log| factor * log).collect(),
            Self::Steps { count, first, last } => {
                let span = f64::from(count.max(2) - 1);
                let beta = |step: u32| first + (last - first) * f64::from(step) / span;
                let table = steps(count, beta);
                logs.map(|log| thousandth(count) * position(&table, log)).collect()
            }
            Self::CosineSteps { count } => {
                let signal = |step: u32| {
                    let t = f64::from(step) / f64::from(count.max(1));
                    libm::pow(libm::cos((t + 0.008) / 1.008 * core::f64::consts::FRAC_PI_2), 2.0)
                };
                let table = steps(count, |step| (1.0 - signal(step + 1) / signal(step)).min(0.999));
                logs.map(|log| thousandth(count) * position(&table, log)).collect()
            }
            Self::Linear { beta_min, beta_max, scale } => {
                // sigma^2 / alpha^2 = exp(B) - 1 with B = beta_min t + (beta_max - beta_min) t^2 / 2, solved for t in
                // the form that loses no digits for small t.
                let slope = beta_max - beta_min;
                let integral = |log: f64| libm::log1p(libm::exp(2.0 * log));
                let time = |b: f64| 2.0 * b / (beta_min + libm::sqrt(beta_min * beta_min + 2.0 * slope * b));
                logs.map(|log| scale * time(integral(log))).collect()
            }
        }
    }

    fn validate(self) -> bool {
        match self {
            Self::None => true,
            Self::LogSigma { factor } => factor.is_finite(),
            Self::CosineSteps { count } => (2..=MOST_STEPS).contains(&count),
            Self::Steps { count, first, last } => {
                (2..=MOST_STEPS).contains(&count) && 0.0 < first && first <= last && last < 1.0
            }
            Self::Linear { beta_min, beta_max, scale } => {
                0.0 < beta_min && beta_min <= beta_max && beta_max <= 1e4 && scale.is_finite()
            }
        }
    }
}

/// What a step of a chain of this length is in a chain of 1000.
fn thousandth(count: u32) -> f64 {
    1000.0 / f64::from(count.max(1))
}

/// `ln(sigma / alpha)` after each step, ascending.
fn steps(count: u32, beta: impl Fn(u32) -> f64) -> Vec<f64> {
    let mut kept = 1.0;
    let log_ratio = |step| {
        kept *= 1.0 - beta(step);
        0.5 * (libm::log(1.0 - kept) - libm::log(kept))
    };
    (0..count.min(MOST_STEPS)).map(log_ratio).collect()
}

/// Where in an ascending table a value lies, from 0, between two entries in proportion.
fn position(table: &[f64], value: f64) -> f64 {
    let last = table.len().saturating_sub(1);
    let above = table.partition_point(|entry| *entry < value).clamp(1, last.max(1));
    match (table.get(above - 1), table.get(above)) {
        (Some(low), Some(high)) => {
            let share = (value - low) / (high - low);
            ((above - 1) as f64 + share).clamp(0.0, last as f64)
        }
        _ => 0.0,
    }
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

/// A measured Fréchet inception distance, with what it takes to compare it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredFid {
    /// The distance.
    pub value: f64,
    /// Pictures drawn.
    pub images: u32,
    /// Network evaluations for each.
    pub evaluations: u32,
    /// Solver and schedule.
    pub solver: String,
    /// What they were compared with.
    pub reference: String,
}

/// What is known of a set of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format, 1.
    pub format: u32,
    /// What to call it.
    pub title: String,
    /// Whether it is only a preview, trained for a short time.
    pub preview: bool,
    /// The network.
    pub architecture: UNetConfig,
    /// What its output means.
    pub prediction: ManifestPrediction,
    /// What it was shown.
    pub input: Input,
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
    pub fid: Option<MeasuredFid>,
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
        if !manifest.time.validate() {
            return value(format!("times that cannot be: {:?}", manifest.time));
        }
        let stds = [
            if let ManifestPrediction::Karras { data_std } = manifest.prediction { data_std } else { 1.0 },
            if let Input::Karras { data_std } = manifest.input { data_std } else { 1.0 },
        ];
        if stds.iter().any(|std| !(1e-3..=1e3).contains(std)) {
            return value(format!("data of standard deviation {stds:?}"));
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
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
