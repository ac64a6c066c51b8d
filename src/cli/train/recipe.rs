//! How images are trained on, as the command line says it.

use clap::{Args, ValueEnum};

use crate::cli::convert::objective;
use crate::cli::failure::{Failure, Outcome};
use crate::data::ImageSet;
use crate::engine::image_trainer::{FOREVER, Optimiser, Recipe, TrainingPrecision};
use crate::nn::device::ComputeDevice;
use crate::nn::objective::Objective;
use crate::nn::unet::UNetConfig;

/// What a network in training is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ComputeArg {
    /// Single precision
    F32,
    /// Half precision, with a scaled loss
    F16,
    /// bfloat16
    Bf16,
}

impl From<ComputeArg> for TrainingPrecision {
    fn from(argument: ComputeArg) -> Self {
        match argument {
            ComputeArg::F32 => Self::F32,
            ComputeArg::F16 => Self::F16,
            ComputeArg::Bf16 => Self::Bf16,
        }
    }
}

/// What turns a gradient into a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimiserArg {
    /// Adam
    Adam,
    /// Muon of the matrices and kernels within the network, Adam of the rest
    Muon,
}

impl From<OptimiserArg> for Optimiser {
    fn from(argument: OptimiserArg) -> Self {
        match argument {
            OptimiserArg::Adam => Self::Adam,
            OptimiserArg::Muon => Self::Muon,
        }
    }
}

/// Whether these devices train in this precision.
///
/// # Errors
/// When one of them does not.
pub fn supports(precision: TrainingPrecision, compute: &[ComputeDevice]) -> Outcome {
    let lacking = |compute: &&ComputeDevice| {
        precision != TrainingPrecision::F32 && (!compute.info.gpu || !compute.device.supports_dtype(precision.kind()))
    };
    compute.iter().find(lacking).map_or(Ok(()), |compute| {
        let (name, precision) = (&compute.info.name, precision.id());
        Err(Failure::usage(format!("{name} does not train in {precision}: leave --compute {precision} out")))
    })
}

/// How images are trained on. What is not said is as in the training kit, or with --resume as the run has it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct RecipeArgs {
    /// edm, ddpm, cosine, vp, sub-vp, ve or ncsn [default: edm]
    #[arg(long, value_parser = objective, help_heading = "Recipe for images")]
    pub objective: Option<Objective>,
    /// Learns the variance of a step too, with the hybrid loss; for ddpm and cosine
    #[arg(long, help_heading = "Recipe for images")]
    pub learned_variance: bool,
    /// Channels at full resolution [default: 64]
    #[arg(long, help_heading = "Recipe for images")]
    pub channels: Option<usize>,
    /// Multiples of the channels at each level of resolution [default: 1,2,2,2]
    #[arg(long, value_delimiter = ',', help_heading = "Recipe for images")]
    pub multipliers: Option<Vec<usize>>,
    /// Residual blocks of a level [default: 2]
    #[arg(long, help_heading = "Recipe for images")]
    pub layers: Option<usize>,
    /// Levels with attention, from 0 [default: 1]
    #[arg(long, value_delimiter = ',', help_heading = "Recipe for images")]
    pub attention: Option<Vec<usize>>,
    /// Groups of every normalisation [default: 32]
    #[arg(long, help_heading = "Recipe for images")]
    pub groups: Option<usize>,
    /// Share of hidden numbers dropped in training; on the CPU it costs the use of threads [default: 0]
    #[arg(long, help_heading = "Recipe for images")]
    pub dropout: Option<f64>,
    /// Does not tell the network the classes, even where there are some
    #[arg(long, help_heading = "Recipe for images")]
    pub unconditional: bool,
    /// Steps in all [default: 50000]
    #[arg(long, help_heading = "Recipe for images")]
    pub steps: Option<u32>,
    /// Images of a step [default: 128]
    #[arg(long, help_heading = "Recipe for images")]
    pub batch: Option<usize>,
    /// Images computed at once [default: 16]
    #[arg(long, help_heading = "Recipe for images")]
    pub piece: Option<usize>,
    /// What turns a gradient into a step: adam, or muon of the matrices and kernels within the network and adam of the
    /// rest [default: adam]
    #[arg(long, value_enum, help_heading = "Recipe for images")]
    pub optimiser: Option<OptimiserArg>,
    /// Adam's learning rate [default: 0.001]
    #[arg(long, help_heading = "Recipe for images")]
    pub rate: Option<f64>,
    /// Muon's learning rate; it rises and falls as Adam's does [default: 0.02]
    #[arg(long, help_heading = "Recipe for images")]
    pub muon_rate: Option<f64>,
    /// Steps over which the learning rate rises [default: 500]
    #[arg(long, help_heading = "Recipe for images")]
    pub warm_up: Option<u32>,
    /// Share of the run over which the learning rate falls [default: 1/3]
    #[arg(long, help_heading = "Recipe for images")]
    pub decay: Option<f64>,
    /// Keeps the learning rate once it has risen, until --finish: no --decay, and no end unless --steps says one
    #[arg(long, conflicts_with = "decay", help_heading = "Recipe for images")]
    pub flat: bool,
    /// Longest gradient; Muon's may be of any length [default: 1]
    #[arg(long, help_heading = "Recipe for images")]
    pub clip: Option<f64>,
    /// What convolutions and matrices are computed in, on a GPU: f32, f16 or bf16; parameters stay f32 [default: f32]
    #[arg(long, value_enum, help_heading = "Recipe for images")]
    pub compute: Option<ComputeArg>,
    /// Probability that the network is not told the class [default: 0.2]
    #[arg(long, help_heading = "Recipe for images")]
    pub label_drop: Option<f64>,
    /// Mirrors no images
    #[arg(long, help_heading = "Recipe for images")]
    pub no_flip: bool,
    /// Draws of noise for each image, which gets the nearest of them [default: 1]
    #[arg(long, value_name = "DRAWS", help_heading = "Recipe for images")]
    pub match_noise: Option<usize>,
    /// Half-lives of the moving averages, in percent of the images seen, with commas between them: the middle one is
    /// written to OUT, the others to OUT/average-PERCENT [default: 2,5,10]
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', help_heading = "Recipe for images")]
    pub averages: Option<Vec<f64>>,
    /// Longest half-life of a moving average, in images [default: any]
    #[arg(long, value_name = "IMAGES", help_heading = "Recipe for images")]
    pub ema_images: Option<f64>,
    /// Seed of every random number [default: 0]
    #[arg(long, help_heading = "Recipe for images")]
    pub seed: Option<u32>,
}

impl RecipeArgs {
    /// Whether nothing is asked for that only images have.
    #[must_use]
    pub fn is_for_plane(&self) -> bool {
        Self { steps: None, seed: None, ..self.clone() } == Self::default()
    }

    /// The recipe of a new run with these images.
    ///
    /// # Errors
    /// When it cannot be followed.
    pub fn recipe(&self, set: &ImageSet, digest: String) -> Outcome<Recipe> {
        let base = Recipe::default();
        let classes = if self.unconditional { 0 } else { set.classes().len() };
        let base = Recipe {
            network: UNetConfig { image_channels: set.channels(), classes, dropout: 0.0, ..base.network },
            piece: 16,
            data: digest,
            ..base
        };
        let recipe = self.applied(&base);
        recipe.validate(set).map_err(Failure::usage)?;
        Ok(recipe)
    }

    /// The recipe of a run that goes on. Only the number of steps may be another.
    ///
    /// # Errors
    /// When the command line asks for something else than the run has, or the images are others.
    pub fn resumed(&self, known: &Recipe, set: &ImageSet, digest: &str) -> Outcome<Recipe> {
        if known.data != digest {
            return Err(Failure::usage("the run was begun with other images"));
        }
        let recipe = self.applied(known);
        if (Recipe { steps: known.steps, ..recipe.clone() }) != *known {
            return Err(Failure::usage("a run that goes on can be given other --steps, but no other recipe"));
        }
        recipe.validate(set).map_err(Failure::usage)?;
        Ok(recipe)
    }

    fn applied(&self, base: &Recipe) -> Recipe {
        let Recipe { network, .. } = base;
        Recipe {
            network: UNetConfig {
                channels: self.channels.unwrap_or(network.channels),
                multipliers: self.multipliers.clone().unwrap_or_else(|| network.multipliers.clone()),
                layers: self.layers.unwrap_or(network.layers),
                attention_levels: self.attention.clone().unwrap_or_else(|| network.attention_levels.clone()),
                classes: if self.unconditional { 0 } else { network.classes },
                dropout: self.dropout.unwrap_or(network.dropout),
                learned_variance: self.learned_variance || network.learned_variance,
                groups: self.groups.unwrap_or(network.groups),
                ..network.clone()
            },
            objective: self.objective.unwrap_or(base.objective),
            steps: self.steps.unwrap_or(if self.flat { FOREVER } else { base.steps }),
            batch: self.batch.unwrap_or(base.batch),
            piece: self.piece.unwrap_or(base.piece),
            optimiser: self.optimiser.map_or(base.optimiser, Optimiser::from),
            rate: self.rate.unwrap_or(base.rate),
            muon_rate: self.muon_rate.unwrap_or(base.muon_rate),
            warm_up: self.warm_up.unwrap_or(base.warm_up),
            decay: self.decay.unwrap_or(if self.flat { 0.0 } else { base.decay }),
            clip: self.clip.unwrap_or(base.clip),
            precision: self.compute.map_or(base.precision, TrainingPrecision::from),
            label_drop: self.label_drop.unwrap_or(base.label_drop),
            flip: base.flip && !self.no_flip,
            match_noise: self.match_noise.unwrap_or(base.match_noise),
            averages: self.averages.clone().unwrap_or_else(|| base.averages.clone()),
            ema_images: self.ema_images.unwrap_or(base.ema_images),
            seed: self.seed.unwrap_or(base.seed),
            data: base.data.clone(),
        }
    }
}
