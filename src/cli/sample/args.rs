//! What `scorefield sample` is asked.

use std::path::PathBuf;

use clap::Args;

use crate::cli::configuration::ConfigArgs;
use crate::cli::count::{MOST_SAMPLES, count};
use crate::cli::device::DeviceArgs;
use crate::lab::PrecisionId;
use crate::nn::objective::Objective;

/// Draws images or points, as the page would for the same link.
///
/// WEIGHTS is a folder with a manifest, a published checkpoint, a folder of the training kit, hub:owner/name for a model
/// of the Hugging Face hub (HF_ENDPOINT names another hub; what is fetched is kept in the cache folder), or for points in
/// the plane the weights.safetensors that `train` or the page writes; without them, points are drawn by the closed form.
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
    #[arg(long, value_parser = count(MOST_SAMPLES))]
    pub count: Option<usize>,
    /// Images in a row of the grid [default: about the root of their number]
    #[arg(long, value_parser = count(1000))]
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

fn precision(text: &str) -> Result<PrecisionId, String> {
    PrecisionId::from_id(text).ok_or_else(|| format!("precisions are {}", PrecisionId::IDS.join(", ")))
}
