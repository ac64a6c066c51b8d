//! `scorefield sample`: images or points from weights, by any solver.

mod generator;
mod plane;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::configuration::ConfigArgs;
use super::device::DeviceArgs;
use super::failure::{Failure, Outcome};
use super::images::png_file::Picture;
use super::progress::clock;
use super::{files, interrupt};
use crate::data::ImageSet;
use crate::lab::PrecisionId;
use crate::nn::WeightsFile;
use crate::nn::objective::Objective;

pub use generator::{Drawn, Facts, Generator, Guard, load};

/// Draws images or points, as the page would for the same link.
///
/// WEIGHTS is a folder with a manifest, a published checkpoint, a folder of the training kit, or for points in the plane
/// the weights.safetensors that `train` or the page writes; without them, points are drawn by the closed form.
#[derive(Args, Clone, Debug)]
pub struct SampleArgs {
    /// Weights
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// The picture to write, a grid of all images; for points a table, x and y with a comma between them
    #[arg(long, short)]
    pub out: Option<PathBuf>,
    /// A folder for the images one by one
    #[arg(long, value_name = "FOLDER")]
    pub files: Option<PathBuf>,
    /// How many images or points [default: as many as the run says]
    #[arg(long)]
    pub count: Option<usize>,
    /// Images in a row of the grid [default: about the root of their number]
    #[arg(long)]
    pub columns: Option<usize>,
    /// How published weights were trained [default: ddpm]
    #[arg(long)]
    pub objective: Option<Objective>,
    /// How they are drawn
    #[command(flatten)]
    pub config: ConfigArgs,
    /// What a network of images computes with: f32, or f16 on GPUs that have it, as --set precision=f16
    #[arg(long, value_parser = precision)]
    pub precision: Option<PrecisionId>,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Prints what was drawn as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Summary {
    images: usize,
    #[serde(flatten)]
    facts: Facts,
    precision: &'static str,
    seconds: f64,
    device: String,
}

fn precision(text: &str) -> Result<PrecisionId, String> {
    PrecisionId::from_id(text).ok_or_else(|| format!("precisions are {}", PrecisionId::IDS.join(", ")))
}

/// Does it.
///
/// # Errors
/// When the weights cannot be used, the samples are not finite, or nothing can be written.
pub fn run(args: &SampleArgs) -> Outcome {
    if args.out.is_none() && args.files.is_none() {
        return Err(Failure::usage("say what to write: --out FILE, or --files FOLDER for images one by one"));
    }
    let of_plane = match &args.weights {
        None => Some(None),
        Some(path) => of_plane(path)?.map(Some),
    };
    if let Some(weights) = of_plane {
        return plane::run(args, weights);
    }
    let Some(weights) = &args.weights else { return Ok(()) };
    let start = Instant::now();
    let mut config = args.config.config_of("experiment=images")?;
    config.precision = args.precision.unwrap_or(config.precision);
    let compute = args.device.open()?;
    interrupt::listen();
    let count = args.count.unwrap_or(config.images as usize);
    let generator = Generator::new(weights, args.objective, config, &compute, args.device.threads())?;
    let Drawn { set, facts } = generator.draw(count)?;
    write(args, &set)?;
    let (device, precision) = (compute.info.name.clone(), generator.precision().id());
    let summary = Summary { images: set.len(), facts, precision, seconds: start.elapsed().as_secs_f64(), device };
    if args.json {
        say!("{}", serde_json::to_string(&summary).map_err(Failure::other)?)?;
    } else {
        let Facts { evaluations, solver, seed, .. } = &summary.facts;
        say!(
            "{} images by {solver}, {evaluations} evaluations each, seed {seed}, {}",
            summary.images,
            clock(summary.seconds)
        )?;
    }
    Ok(())
}

/// The weights of a run in the plane, if the file is one.
fn of_plane(path: &Path) -> Outcome<Option<WeightsFile>> {
    if path.is_dir() || path.extension().is_none_or(|extension| extension != "safetensors") {
        return Ok(None);
    }
    // Networks of images are safetensors too: what is not ours may be one of those.
    Ok(WeightsFile::from_bytes(&files::read(path)?).ok())
}

fn write(args: &SampleArgs, set: &ImageSet) -> Outcome {
    let images: Vec<Vec<u8>> = (0..set.len()).map(|index| set.image(index).to_vec()).collect();
    let (size, channels) = (set.size(), set.channels());
    if let Some(path) = &args.out {
        let columns = args.columns.unwrap_or_else(|| images.len().isqrt().max(1));
        let grid = Picture::grid(&images, size, channels, columns).encode().map_err(Failure::other)?;
        files::write(path, &grid)?;
    }
    if let Some(folder) = &args.files {
        files::make_folder(folder)?;
        for (index, image) in images.into_iter().enumerate() {
            let picture = Picture::grid(&[image], size, channels, 1).encode().map_err(Failure::other)?;
            files::write(&folder.join(format!("{index:05}.png")), &picture)?;
        }
    }
    Ok(())
}
