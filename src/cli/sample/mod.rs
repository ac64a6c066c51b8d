//! `scorefield sample`: images or points from weights, by any solver.

mod args;
mod generator;
mod plane;

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::download::is_of_hub;
use super::failure::{Failure, Outcome};
use super::images::png_file::Picture;
use super::progress::clock;
use super::{files, interrupt};
use crate::data::ImageSet;
use crate::nn::WeightsFile;

pub use args::SampleArgs;
pub use generator::{Drawn, Facts, Generator, Guard, check_class, load};

#[derive(Clone, Debug, Serialize)]
struct Summary {
    images: usize,
    #[serde(flatten)]
    facts: Facts,
    precision: &'static str,
    seconds: f64,
    device: String,
}

/// Does it.
///
/// # Errors
/// When the weights cannot be used, the samples are not finite, or nothing can be written.
pub fn run(args: &SampleArgs) -> Outcome {
    if args.out.is_none() && args.files.is_none() {
        return Err(Failure::usage("say what to write: --out FILE, or --files FOLDER for images one by one"));
    }
    let weights = args.weights.clone().or_else(|| args.config.model());
    let of_plane = match &weights {
        None => Some(None),
        Some(path) => of_plane(path)?.map(Some),
    };
    if let Some(weights) = of_plane {
        return plane::run(args, weights);
    }
    let Some(weights) = &weights else { return Ok(()) };
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
    if is_of_hub(path) || path.is_dir() || path.extension().is_none_or(|extension| extension != "safetensors") {
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
