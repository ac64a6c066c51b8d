//! `scorefield convert`: a published checkpoint, or what the training kit writes, to the set of weights that the page
//! reads.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::failure::{Failure, Outcome};
use super::files;
use super::set::{SetArgs, write_set};
use super::source::{Measured, Source};
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
    /// What `scorefield evaluate --json` wrote about these weights, with and without --bits; may be given several times
    #[arg(long, value_name = "FILE")]
    pub measured: Vec<PathBuf>,
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
    let files = source.pack(&args.set, measured(&args.measured)?)?;
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

/// Reads what was measured from reports of `evaluate --json`: of each kind the last one counts.
fn measured(reports: &[PathBuf]) -> Outcome<Measured> {
    let mut all = Measured::default();
    for path in reports {
        let report: Result<Measured, _> = serde_json::from_str(&files::read_text(path)?);
        let Measured { fid, bits } = report.map_err(|error| Failure::input(path.display(), error))?;
        if fid.is_none() && bits.is_none() {
            return Err(Failure::input(path.display(), "there is neither a FID nor bits per dimension in it"));
        }
        (all.fid, all.bits) = (fid.or(all.fid), bits.or(all.bits));
    }
    Ok(all)
}
