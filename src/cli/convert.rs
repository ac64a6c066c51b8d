//! `scorefield convert`: a published checkpoint, or what the training kit writes, to the set of weights that the page
//! reads.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::failure::{Failure, Outcome};
use super::files;
use super::set::{SetArgs, write_set};
use super::source::Source;
use crate::nn::checkpoint::MeasuredFid;
use crate::nn::objective::Objective;
use crate::nn::unet::Parameter;

/// A published checkpoint, or what the training kit writes, to the set of weights that the page reads: shards under
/// 15 MB and a manifest with their checksums.
///
/// SOURCE is a folder (a model or a pipeline of diffusers, config.json and ema.NN.safetensors of the training kit, or a
/// set of this program), the files of one checkpoint: diffusers' safetensors or bin, DDIM's ckpt, or hub:owner/name for a
/// model of the Hugging Face hub. Settings of diffusers beside them are obeyed. Nothing in a checkpoint is executed.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// A folder, the files of one checkpoint, or hub:owner/name
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

fn measured(path: &Path) -> Outcome<MeasuredFid> {
    #[derive(Deserialize)]
    struct Report {
        fid: MeasuredFid,
    }
    let report: Result<Report, _> = serde_json::from_str(&files::read_text(path)?);
    report.map(|report| report.fid).map_err(|error| Failure::input(path.display(), error))
}
