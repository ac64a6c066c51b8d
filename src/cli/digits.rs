//! `scorefield digits`: the small network of digits that a study samples is trained.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::device::{DeviceArgs, wait};
use super::failure::{Failure, Kind, Outcome};
use super::progress::{Progress, clock};
use super::{files, interrupt};
use crate::study::digits_chain::{Trained, train};
use crate::study::{STUDIES, Study};

const STUDY: &str = "denoising-gan";

/// Trains the denoising adversarial network of handwritten digits that the study `denoising-gan` samples, and says how its
/// samples are judged.
#[derive(Args, Clone, Debug)]
pub struct DigitsArgs {
    /// The file to write; the page's is web/data/digits-gan.bin
    #[arg(long, short)]
    pub out: PathBuf,
    /// Steps of both players
    #[arg(long, default_value_t = 20_000)]
    pub steps: u32,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// The folder of the page, where the digits are
    #[arg(long, default_value = "web")]
    pub web: PathBuf,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// The study that samples it.
fn study() -> Outcome<&'static Study> {
    STUDIES.iter().find(|study| study.id == STUDY).copied().ok_or_else(|| Failure::other("the study is gone"))
}

/// Does it.
///
/// # Errors
/// When the digits cannot be read, the file cannot be written, or Ctrl-C ended it.
pub fn run(args: &DigitsArgs) -> Outcome {
    let (start, compute) = (Instant::now(), args.device.open()?);
    interrupt::listen();
    let mut progress = Progress::default();
    let goes_on = |[done, of]: [u32; 2]| {
        if progress.is_due() {
            progress.show(&format!("step {done} of {of}"));
        }
        !interrupt::asked()
    };
    let trained =
        wait(train(study()?, [args.seed, args.steps], &compute, &args.web, goes_on)).map_err(Failure::other)?;
    progress.end();
    let ended = || Failure::new(Kind::Interrupted, "ended before its time, nothing was written");
    let Trained { file, found: (precision, recall) } = trained.ok_or_else(ended)?;
    files::write(&args.out, &file)?;
    say!("precision {precision:.3}, recall {recall:.3}, {} bytes: {}", file.len(), args.out.display())?;
    say!("{} steps, {} on {}", args.steps, clock(start.elapsed().as_secs_f64()), compute.info.name)
}
