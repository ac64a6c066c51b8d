//! How images are trained on, as the command line says it.

use clap::Args;
use kernels::native::bf16;

use crate::cli::failure::{Failure, Outcome};
use crate::data::ImageSet;
use crate::engine::image_trainer::{FOREVER, NetworkChanges, Recipe, RecipeChanges, TrainingPrecision};
use crate::nn::device::ComputeDevice;
use crate::nn::unet::{Style, UNetConfig};

/// Whether these devices train such a network in this precision.
///
/// # Errors
/// When one of them does not.
pub fn supports(precision: TrainingPrecision, network: &UNetConfig, compute: &[ComputeDevice]) -> Outcome {
    let lacking = |compute: &&ComputeDevice| match precision {
        TrainingPrecision::F32 => false,
        _ if compute.info.gpu => !compute.device.supports_dtype(precision.kind()),
        // A processor has instructions for bfloat16 or it does not; only written-out derivatives use them.
        TrainingPrecision::Bf16 => bf16::kinds()[0] == bf16::Kind::Plain || !network.has_written_derivatives(),
        TrainingPrecision::F16 => true,
    };
    compute.iter().find(lacking).map_or(Ok(()), |compute| {
        let (name, id) = (&compute.info.name, precision.id());
        let why = match precision {
            TrainingPrecision::Bf16 if !compute.info.gpu && !network.has_written_derivatives() => {
                " with dropout or in the style of improved"
            }
            TrainingPrecision::Bf16 if !compute.info.gpu => ", having neither AMX-BF16 nor AVX512-BF16",
            _ => "",
        };
        Err(Failure::usage(format!("{name} does not train in {id}{why}: leave --compute {id} out, or --compute f32")))
    })
}

/// How images are trained on. What is not said is as in the training kit, or with --resume as the run has it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct RecipeArgs {
    /// What is asked for of the recipe
    #[command(flatten)]
    pub changes: RecipeChanges,
    /// What is asked for of its network
    #[command(flatten)]
    pub network: NetworkChanges,
    /// Learns the variance of a step too, with the hybrid loss; for ddpm and cosine
    #[arg(long)]
    pub learned_variance: bool,
    /// Does not tell the network the classes, even where there are some
    #[arg(long)]
    pub unconditional: bool,
    /// Keeps the learning rate once it has risen, until --finish: no --decay, and no end unless --steps says one
    #[arg(long, conflicts_with = "decay")]
    pub flat: bool,
    /// Mirrors no images
    #[arg(long)]
    pub no_flip: bool,
}

impl RecipeArgs {
    /// Whether nothing is asked for that only images have.
    #[must_use]
    pub fn is_for_plane(&self) -> bool {
        let changes = RecipeChanges { steps: None, seed: None, ..self.changes.clone() };
        Self { changes, ..self.clone() } == Self::default()
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

    /// The recipe of a run that goes on. Only the number of steps and what is computed in may be others.
    ///
    /// # Errors
    /// When the command line asks for something else than the run has, or the images are others.
    pub fn resumed(&self, known: &Recipe, set: &ImageSet, digest: &str) -> Outcome<Recipe> {
        if known.data != digest {
            return Err(Failure::usage("the run was begun with other images"));
        }
        let recipe = self.applied(known);
        if (Recipe { steps: known.steps, precision: known.precision, ..recipe.clone() }) != *known {
            let message = "a run that goes on can be given other --steps and --compute, but no other recipe";
            return Err(Failure::usage(message));
        }
        recipe.validate(set).map_err(Failure::usage)?;
        Ok(recipe)
    }

    fn applied(&self, base: &Recipe) -> Recipe {
        let mut recipe = self.changes.applied_to(base);
        // A RefineNet has shapes of its own, no classes and no dropout; what is asked for beside that is refused later.
        let shape = match self.network.style {
            Some(Style::Refine(refine)) => {
                let UNetConfig { image_channels, channels, .. } = base.network;
                UNetConfig { image_channels, ..UNetConfig::refine(refine, channels) }
            }
            _ => base.network.clone(),
        };
        recipe.network = self.network.applied_to(&shape);
        if let (None, Some(objective)) = (self.changes.objective, Recipe::objective_of(recipe.network.style)) {
            recipe.objective = objective;
        }
        recipe.network.learned_variance |= self.learned_variance;
        if self.unconditional {
            recipe.network.classes = 0;
        }
        recipe.flip &= !self.no_flip;
        if self.flat {
            recipe.decay = 0.0;
            recipe.steps = self.changes.steps.unwrap_or(FOREVER);
        }
        recipe
    }
}
