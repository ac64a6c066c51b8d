//! What defines a training run on images.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::mixed::TrainingPrecision;
use super::optimiser::Optimiser;
use crate::data::ImageSet;
use crate::nn::objective::Objective;
use crate::nn::unet::{ConfigError, UNetConfig};

/// A training run. Two equal recipes and image sets give the same weights on the CPU, bit for bit, whatever the number
/// of threads; with dropout, whose noise is the device's, on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The network.
    pub network: UNetConfig,
    /// What it is trained on.
    pub objective: Objective,
    /// Steps in all.
    pub steps: u32,
    /// Images of a step.
    pub batch: usize,
    /// Images that are computed at once: a step's gradient is the sum over its pieces, in order.
    pub piece: usize,
    /// What turns a gradient into a step. Runs of before it could be chosen were Adam's.
    #[serde(default)]
    pub optimiser: Optimiser,
    /// Adam's learning rate.
    pub rate: f64,
    /// Muon's learning rate, for the parameters that are its; it rises and falls as Adam's does.
    #[serde(default = "muon_rate")]
    pub muon_rate: f64,
    /// Steps over which the learning rate rises.
    pub warm_up: u32,
    /// Share of the run over which the learning rate falls to 0, at its end.
    pub decay: f64,
    /// Longest gradient, as a norm; a longer one is shortened.
    pub clip: f64,
    /// What convolutions and matrices are computed in. Runs of before it could be chosen were in single precision.
    #[serde(default)]
    pub precision: TrainingPrecision,
    /// Probability that the network is not told the class.
    pub label_drop: f64,
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// Draws of noise for each image, of which it gets the nearest; 1 is plain noise.
    #[serde(default = "one_draw")]
    pub match_noise: usize,
    /// Half-lives of the moving averages, in percent of the images seen so far, rising: the one in the middle is the
    /// run's result. Runs of before there were several had one of 5 %.
    #[serde(default = "one_average")]
    pub averages: Vec<f64>,
    /// Longest half-life of a moving average, in images.
    pub ema_images: f64,
    /// Seed of every random number of the run.
    pub seed: u32,
    /// SHA-256 of the images and labels, so that a run does not go on with others.
    pub data: String,
}

/// Why a recipe cannot be followed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RecipeError {
    /// There is no such network.
    #[error(transparent)]
    Network(#[from] ConfigError),
    /// A number that cannot be.
    #[error("{field} is {found}, which cannot be")]
    Value {
        /// Which number.
        field: &'static str,
        /// What it is.
        found: f64,
    },
    /// The images do not fit the network.
    #[error(
        "images of {channels} x {size} x {size} do not fit a network of {wanted} channels and multiples of {multiple}"
    )]
    Images {
        /// Channels of the images.
        channels: usize,
        /// Height and width of the images.
        size: usize,
        /// Channels of the network.
        wanted: usize,
        /// What height and width must be multiples of.
        multiple: usize,
    },
    /// The images know other classes.
    #[error("the network is told {network} classes, the images have {images}")]
    Classes {
        /// Classes of the network.
        network: usize,
        /// Classes of the images.
        images: usize,
    },
    /// Half-lives that are none, or are not in order.
    #[error(
        "averages of {0:?} % of the images: they have to be above 0, at most 100, one to eight of them, and rising"
    )]
    Averages(Vec<f64>),
    /// Only chains have a bound with a variance to learn.
    #[error("a learned variance belongs to the objectives ddpm and cosine, not to {0}")]
    Variance(&'static str),
}

/// Half-life of the one moving average of runs of before there were several, in percent of the images seen.
fn one_average() -> Vec<f64> {
    vec![5.0]
}

/// Noise as it comes.
const fn one_draw() -> usize {
    1
}

/// Muon's usual learning rate.
const fn muon_rate() -> f64 {
    0.02
}

/// As many images as nobody sees: a half-life without a bound.
pub const NO_BOUND: f64 = 1e12;
/// As many steps as nobody does: a run that goes on until its end is asked for.
pub const FOREVER: u32 = 1_000_000_000;
/// Most moving averages: each takes as much memory as the parameters.
const MOST_AVERAGES: usize = 8;

impl Default for Recipe {
    fn default() -> Self {
        Self {
            network: UNetConfig { channels: 64, classes: 10, ..UNetConfig::cifar10() },
            objective: Objective::Edm,
            steps: 50_000,
            batch: 128,
            piece: 32,
            optimiser: Optimiser::Adam,
            rate: 1e-3,
            muon_rate: muon_rate(),
            warm_up: 500,
            decay: 1.0 / 3.0,
            clip: 1.0,
            precision: TrainingPrecision::F32,
            label_drop: 0.2,
            flip: true,
            match_noise: one_draw(),
            averages: vec![2.0, 5.0, 10.0],
            ema_images: NO_BOUND,
            seed: 0,
            data: String::new(),
        }
    }
}

impl Recipe {
    /// Whether the recipe can be followed with these images.
    ///
    /// # Errors
    /// A [`RecipeError`] that says why not.
    pub fn validate(&self, set: &ImageSet) -> Result<(), RecipeError> {
        self.network.validate()?;
        let numbers = [
            ("steps", f64::from(self.steps), 1.0, f64::from(FOREVER)),
            ("batch", self.batch as f64, 1.0, 1e6),
            ("piece", self.piece as f64, 1.0, 1e6),
            ("rate", self.rate, 0.0, 10.0),
            ("Muon's rate", self.muon_rate, 0.0, 10.0),
            ("decay", self.decay, 0.0, 1.0),
            ("clip", self.clip, 1e-9, f64::INFINITY),
            ("draws of noise", self.match_noise as f64, 1.0, 1000.0),
            ("label drop", self.label_drop, 0.0, 1.0),
            ("EMA half-life", self.ema_images, 0.0, NO_BOUND),
        ];
        // Written so that what is not a number is refused too.
        if let Some(&(field, found, ..)) = numbers.iter().find(|(_, v, least, most)| !(v >= least && v <= most)) {
            return Err(RecipeError::Value { field, found });
        }
        let rising = self.averages.is_sorted_by(|a, b| a < b);
        let range = |percent: &f64| *percent > 0.0 && *percent <= 100.0;
        if !rising || !self.averages.iter().all(range) || !(1..=MOST_AVERAGES).contains(&self.averages.len()) {
            return Err(RecipeError::Averages(self.averages.clone()));
        }
        let (network, multiple) = (&self.network, self.network.size_multiple());
        if set.channels() != network.image_channels || !set.size().is_multiple_of(multiple) {
            let (channels, size) = (set.channels(), set.size());
            return Err(RecipeError::Images { channels, size, wanted: network.image_channels, multiple });
        }
        if network.classes > 0 && set.classes().len() != network.classes {
            return Err(RecipeError::Classes { network: network.classes, images: set.classes().len() });
        }
        if network.learned_variance && self.objective.betas().is_none() {
            return Err(RecipeError::Variance(self.objective.id()));
        }
        Ok(())
    }

    /// Share of the learning rates after this many steps, when this share of the run is done.
    #[must_use]
    pub fn share_at(&self, step: u32, done: f64) -> f64 {
        let rise = (f64::from(step) + 1.0) / f64::from(self.warm_up.max(1));
        let fall = if self.decay > 0.0 { (1.0 - done) / self.decay } else { 1.0 };
        rise.min(1.0) * fall.clamp(0.0, 1.0)
    }

    /// Shares of the moving averages that a step keeps, after this many images.
    #[must_use]
    pub fn keep_at(&self, images: f64) -> Vec<f64> {
        let half_life = |percent: &f64| self.ema_images.min(percent / 100.0 * images).max(1e-8);
        self.averages.iter().map(|percent| libm::exp2(-(self.batch as f64) / half_life(percent))).collect()
    }

    /// Which of the moving averages is the run's result.
    #[must_use]
    pub fn main_average(&self) -> usize {
        self.averages.len() / 2
    }
}
