//! What `scorefield train` is asked, and what runs in the plane and on images make of it alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::recipe::RecipeArgs;
use crate::cli::configuration::ConfigArgs;
use crate::cli::count::{MOST_SAMPLES, count};
use crate::cli::device::DeviceArgs;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::set::SetArgs;

/// The state of a run, in its folder.
pub const STATE: &str = "resume.safetensors";

/// Trains a network on points in the plane or on images, and writes the weights as the page reads them.
///
/// DATA is a distribution in the plane (moons, rings, …), `cifar10` (fetched from its official address), an address, an
/// archive, or a folder: CIFAR-10's binary or PNG batches, a set in IDX as MNIST and Fashion-MNIST are published
/// (train-images-idx3-ubyte.gz), or PNG files of one size, whose folders are their classes.
///
/// OUT gets the weights, metrics.csv, and resume.safetensors: everything that --resume needs. They are written every few
/// minutes, on Ctrl-C, and at the end; a run that was killed goes on from the last of them, on the CPU bit for bit.
///
/// The weights are moving averages of the run's. Of several, one is in OUT and the others are in folders of it, each a set
/// like any other: measure them with `scorefield evaluate`, and take the best.
///
/// Whoever does not know yet how long to train begins with --flat and ends with --resume --finish MINUTES.
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    /// What to train on
    #[arg(long)]
    pub data: Option<String>,
    /// The folder to write
    #[arg(long, short)]
    pub out: PathBuf,
    /// Goes on with the run in OUT
    #[arg(long)]
    pub resume: bool,
    /// Begins from these weights of images instead of new ones: a set, a checkpoint, a folder of the training kit
    #[arg(long, value_name = "WEIGHTS", conflicts_with = "resume")]
    pub init: Option<PathBuf>,
    /// Ends after this many steps, as Ctrl-C would
    #[arg(long, value_name = "STEPS")]
    pub stop_after: Option<u32>,
    /// Ends after this many minutes in all; the learning rate falls accordingly
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Ends a run that goes on: its learning rate falls to 0 over as many steps as its speed so far makes of these
    /// minutes, and then it is finished. Interrupted, it goes on with --resume alone
    #[arg(long, value_name = "MINUTES", requires = "resume", conflicts_with = "minutes")]
    pub finish: Option<f64>,
    /// Minutes between checkpoints; 0 writes one after every step
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES")]
    pub checkpoint: f64,
    /// Uses only so many images, the first
    #[arg(long, value_name = "COUNT", value_parser = count(MOST_SAMPLES))]
    pub images: Option<usize>,
    /// A run in the plane
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
    /// What the weights say of themselves
    #[command(flatten)]
    pub set: SetArgs,
    /// Prints the result as JSON
    #[arg(long)]
    pub json: bool,
    /// How images are trained on: last, for what comes after it would be under the same heading
    #[command(flatten, next_help_heading = "Recipe for images")]
    pub recipe: RecipeArgs,
}

/// Time between checkpoints.
///
/// # Errors
/// When it is none.
pub fn interval(args: &TrainArgs) -> Outcome<Duration> {
    let seconds = Duration::try_from_secs_f64(60.0 * args.checkpoint);
    seconds.map_err(|_| Failure::usage(format!("--checkpoint {} is no time", args.checkpoint)))
}

/// A folder is one run's: another is not begun in it.
///
/// # Errors
/// When the folder holds one.
pub fn refuse_second_run(folder: &Path) -> Outcome {
    if folder.join(STATE).exists() {
        return Err(Failure::usage(format!(
            "{} holds a run: --resume goes on with it, another --out begins a new one",
            folder.display()
        )));
    }
    Ok(())
}
