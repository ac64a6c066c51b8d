//! What defines a training run on images.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::mixed::TrainingPrecision;
use super::optimiser::Optimiser;
use crate::data::ImageSet;
use crate::nn::objective::Objective;
use crate::nn::unet::{ConfigError, Style, UNetConfig};

/// Declares changes of a structure: each of its fields, if another value is asked for, as an option of the command line.
macro_rules! changes {
    (
        $(#[$meta:meta])*
        pub struct $changes:ident of $whole:ident {
            $($(#[doc = $doc:literal])* #[arg($($arg:tt)*)] $name:ident: $type:ty,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(clap::Args, Clone, Debug, Default, PartialEq)]
        pub struct $changes {
            $($(#[doc = $doc])* #[arg($($arg)*)] pub $name: Option<$type>,)+
        }

        impl $changes {
            /// The structure with what is asked for.
            #[must_use]
            pub fn applied_to(&self, base: &$whole) -> $whole {
                let mut changed = base.clone();
                $(if let Some(value) = &self.$name {
                    changed.$name.clone_from(value);
                })+
                changed
            }
        }
    };
}

/// Declares the recipe: from one row a field, what it is by default, its range with the name that an error gives it, and
/// its option, whose help is the field's description.
macro_rules! recipe {
    (
        $(#[$meta:meta])*
        pub struct $recipe:ident, changed by $changes:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[serde($($serde:tt)*)])?
                #[arg($($arg:tt)*)]
                $name:ident: $type:ty = $preset:expr $(, $range:expr, $words:literal)?;
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $recipe {
            $($(#[doc = $doc])* $(#[serde($($serde)*)])? pub $name: $type,)+
        }

        impl Default for $recipe {
            fn default() -> Self {
                Self { $($name: $preset,)+ }
            }
        }

        impl $recipe {
            /// The numbers that have a range, with their names and ranges.
            fn numbers(&self) -> Vec<(&'static str, f64, RangeInclusive<f64>)> {
                vec![$($(($words, self.$name as f64, $range),)?)+]
            }
        }

        changes! {
            /// What is asked of a recipe to be otherwise.
            pub struct $changes of $recipe {
                $($(#[doc = $doc])* #[arg($($arg)*)] $name: $type,)+
            }
        }
    };
}

recipe! {
    /// A training run. Two equal recipes and image sets give the same weights on the CPU, bit for bit, whatever the number
    /// of threads; with dropout, whose noise is the device's, on one machine.
    pub struct Recipe, changed by RecipeChanges {
        /// The network.
        #[arg(skip)]
        network: UNetConfig = UNetConfig { channels: 64, classes: 10, ..UNetConfig::cifar10() };
        /// The objective: edm, ddpm, cosine, vp, sub-vp, ve, ncsn or ncsn-10 [default: edm, and of RefineNets their own]
        #[arg(long)]
        objective: Objective = Objective::Edm;
        /// Steps in all [default: 50000]
        #[arg(long)]
        steps: u32 = 50_000, 1.0..=f64::from(FOREVER), "steps";
        /// Images of a step [default: 128]
        #[arg(long)]
        batch: usize = 128, 1.0..=1e6, "batch";
        /// Images computed at once, the gradient being the sum over them in order [default: 16]
        // The command line begins from 16, and says so; `Recipe::default` has more.
        #[arg(long)]
        piece: usize = 32, 1.0..=1e6, "piece";
        /// What turns a gradient into a step: adam, or muon of the matrices and kernels within the network and adam of
        /// the rest [default: adam]
        // Runs of before it could be chosen were Adam's.
        #[serde(default)]
        #[arg(long, value_enum)]
        optimiser: Optimiser = Optimiser::Adam;
        /// Adam's learning rate [default: 0.001]
        #[arg(long)]
        rate: f64 = 1e-3, 0.0..=10.0, "rate";
        /// Muon's learning rate; it rises and falls as Adam's does [default: 0.02]
        #[serde(default = "muon_rate")]
        #[arg(long)]
        muon_rate: f64 = muon_rate(), 0.0..=10.0, "Muon's rate";
        /// Steps over which the learning rate rises [default: 500]
        #[arg(long)]
        warm_up: u32 = 500;
        /// Share of the run over which the learning rate falls to 0, at its end [default: 1/3]
        #[arg(long)]
        decay: f64 = 1.0 / 3.0, 0.0..=1.0, "decay";
        /// Longest gradient, as a norm; a longer one is shortened, but for Muon [default: 1]
        #[arg(long)]
        clip: f64 = 1.0, 1e-9..=f64::INFINITY, "clip";
        /// What convolutions and matrices are computed in: f32, on a GPU f16 or bf16, on a processor with AMX-BF16 or
        /// AVX512-BF16 bf16; parameters stay f32, and a run may go over to another [default: f32]
        // Runs of before it could be chosen were in single precision.
        #[serde(default)]
        #[arg(id = "compute", long, value_name = "COMPUTE", value_enum)]
        precision: TrainingPrecision = TrainingPrecision::F32;
        /// Probability that the network is not told the class [default: 0.2]
        #[arg(long)]
        label_drop: f64 = 0.2, 0.0..=1.0, "label drop";
        /// Whether half of the images are mirrored.
        #[arg(skip)]
        flip: bool = true;
        /// Draws of noise for each image, which gets the nearest of them [default: 1]
        #[serde(default = "one_draw")]
        #[arg(long, value_name = "DRAWS")]
        match_noise: usize = one_draw(), 1.0..=1000.0, "draws of noise";
        /// Half-lives of the moving averages, in percent of the images seen, rising, with commas between them: the middle
        /// one is written to OUT, the others to OUT/average-PERCENT [default: 2,5,10]
        // Runs of before there were several had one of 5 %.
        #[serde(default = "one_average")]
        #[arg(long, value_name = "PERCENT", value_delimiter = ',')]
        averages: Vec<f64> = vec![2.0, 5.0, 10.0];
        /// Longest half-life of a moving average, in images [default: any]
        #[arg(long, value_name = "IMAGES")]
        ema_images: f64 = NO_BOUND, 0.0..=NO_BOUND, "EMA half-life";
        /// Seed of every random number [default: 0]
        #[arg(long)]
        seed: u32 = 0;
        /// SHA-256 of the images and labels, so that a run does not go on with others.
        #[arg(skip)]
        data: String = String::new();
    }
}

changes! {
    /// What is asked of a recipe's network to be otherwise.
    pub struct NetworkChanges of UNetConfig {
        /// Whose network: ddpm, improved, ddpm++, ncsn++, ncsn or ncsnv2 [default: ddpm]
        #[arg(id = "network", long = "network", value_name = "NETWORK", value_parser = Style::by_name)]
        style: Style,
        /// Channels at full resolution [default: 64]
        #[arg(long)]
        channels: usize,
        /// Multiples of the channels at each level of resolution [default: 1,2,2,2]
        #[arg(long, value_delimiter = ',')]
        multipliers: Vec<usize>,
        /// Residual blocks of a level [default: 2]
        #[arg(long)]
        layers: usize,
        /// Levels with attention, from 0 [default: 1]
        #[arg(long = "attention", value_name = "ATTENTION", value_delimiter = ',')]
        attention_levels: Vec<usize>,
        /// Groups of every normalisation [default: 32]
        #[arg(long)]
        groups: usize,
        /// Share of hidden numbers dropped in training; on the CPU it costs the use of threads [default: 0]
        #[arg(long)]
        dropout: f64,
    }
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
    /// A RefineNet is told the noise level as one objective says it, or not at all.
    #[error("such a network is trained with the objective {wanted}, not {found}")]
    Objective {
        /// The objective of its publication.
        wanted: &'static str,
        /// What was asked for.
        found: &'static str,
    },
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

impl Recipe {
    /// The one objective of a network that can be trained with no other: one that is told which of its noise levels it is, or
    /// none.
    #[must_use]
    pub fn objective_of(style: Style) -> Option<Objective> {
        let told = style.refine()?.levels > 0;
        Some(if told { Objective::NcsnTold } else { Objective::Ncsn })
    }

    /// Whether the recipe can be followed with these images.
    ///
    /// # Errors
    /// A [`RecipeError`] that says why not.
    pub fn validate(&self, set: &ImageSet) -> Result<(), RecipeError> {
        self.network.validate()?;
        // What is not a number is in no range.
        if let Some((field, found, _)) = self.numbers().into_iter().find(|(_, number, range)| !range.contains(number)) {
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
        if let Some(wanted) = Self::objective_of(network.style)
            && wanted != self.objective
        {
            return Err(RecipeError::Objective { wanted: wanted.id(), found: self.objective.id() });
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
