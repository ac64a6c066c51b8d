//! `scorefield convert`: a published checkpoint, or what the training kit writes, to the set of weights that the page
//! reads.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, Outcome};
use super::source::Source;
use super::{files, index};
use crate::nn::checkpoint::{MeasuredFid, Precision};
use crate::nn::objective::Objective;
use crate::nn::unet::Parameter;

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
    /// Says that the weights are only a preview, trained for a short time
    #[arg(long)]
    pub preview: bool,
    /// Enters the set into this list, which the page reads: web/weights/index.json
    #[arg(long, value_name = "FILE")]
    pub index: Option<PathBuf>,
}

/// A published checkpoint, or what the training kit writes, to the set of weights that the page reads: shards under
/// 15 MB and a manifest with their checksums.
///
/// SOURCE is a folder (a model or a pipeline of diffusers, config.json and ema.NN.safetensors of the training kit, or a
/// set of this program), or the files of one checkpoint: diffusers' safetensors or bin, DDIM's ckpt. Settings of
/// diffusers beside them are obeyed. Nothing in a checkpoint is executed.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// A folder, or the files of one checkpoint
    #[arg(required = true)]
    pub source: Vec<PathBuf>,
    /// The folder to write
    #[arg(long, short)]
    pub out: PathBuf,
    /// How the weights were trained, when the source does not say [default: as those did who published such files]
    #[arg(long)]
    pub objective: Option<Objective>,
    /// Height and width of an image [default: as the source says, else 32]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub image_size: Option<u32>,
    /// What `scorefield evaluate --json` wrote about these weights
    #[arg(long, value_name = "FILE")]
    pub measured: Option<PathBuf>,
    /// What the set says of itself
    #[command(flatten)]
    pub set: SetArgs,
    /// Prints what was written as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
struct Written {
    folder: PathBuf,
    files: usize,
    bytes: usize,
    parameters: usize,
}

/// Does it.
///
/// # Errors
/// When the source cannot be used, or the folder cannot be written.
pub fn run(args: &ConvertArgs) -> Outcome {
    let source = Source::read(&args.source, args.objective, args.image_size)?;
    let fid = args.measured.as_deref().map(measured).transpose()?;
    let files = source.pack(&args.set, fid)?;
    write_set(&args.out, &files, args.set.index.as_deref())?;
    let written = Written {
        folder: args.out.clone(),
        files: files.len(),
        bytes: files.iter().map(|(_, bytes)| bytes.len()).sum(),
        parameters: source.parameters.iter().map(Parameter::count).sum(),
    };
    if args.json {
        say!("{}", serde_json::to_string(&written).map_err(Failure::other)?)?;
    } else {
        let Written { folder, files, bytes, parameters } = written;
        say!("{parameters} parameters in {files} files, {bytes} bytes: {}", folder.display())?;
    }
    Ok(())
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

fn measured(path: &Path) -> Outcome<MeasuredFid> {
    #[derive(Deserialize)]
    struct Report {
        fid: MeasuredFid,
    }
    let report: Result<Report, _> = serde_json::from_str(&files::read_text(path)?);
    report.map(|report| report.fid).map_err(|error| Failure::input(path.display(), error))
}
