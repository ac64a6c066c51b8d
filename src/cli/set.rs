//! A set of weights as the page reads it: what it is called, and its files.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::failure::{Failure, Outcome};
use super::{files, index};
use crate::nn::checkpoint::Precision;

/// How exactly weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// 8 bits with a scale for each output channel.
    Int8,
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::Full,
            PrecisionArg::F16 => Self::Half,
            PrecisionArg::Int8 => Self::Int8,
        }
    }
}

/// What a set of weights is called and how it is written.
#[derive(Args, Clone, Debug)]
pub struct SetArgs {
    /// How exactly weights are written
    #[arg(long, value_enum, default_value = "f16")]
    pub precision: PrecisionArg,
    /// What to call the set
    #[arg(long)]
    pub title: Option<String>,
    /// Licence of the weights
    #[arg(long)]
    pub licence: Option<String>,
    /// How they were trained, by whom, on what
    #[arg(long)]
    pub provenance: Option<String>,
    /// Names of the classes, in order, with commas between them
    #[arg(long, value_delimiter = ',')]
    pub class_names: Vec<String>,
    /// Enters the set into this list, which the page reads: web/weights/index.json
    #[arg(long, value_name = "FILE")]
    pub index: Option<PathBuf>,
}

/// Writes the files of a set, removes shards of an earlier one, and enters it into a list.
///
/// # Errors
/// When something cannot be written.
pub fn write_set(folder: &Path, set: &[(String, Vec<u8>)], list: Option<&Path>) -> Outcome {
    files::write_all(folder, set)?;
    for path in files::list(folder)? {
        let name = files::name(&path);
        let shard = name.starts_with("weights.") && name.ends_with(".safetensors");
        if shard && !set.iter().any(|(written, _)| *written == name) {
            std::fs::remove_file(&path).map_err(|error| Failure::other(format!("{}: {error}", path.display())))?;
        }
    }
    list.map_or(Ok(()), |list| index::enter(list, folder))
}
