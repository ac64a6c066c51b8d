//! Everything that defines a run, and nothing else: the one structure that link, page, worker and command line share.

use serde::{Deserialize, Serialize};

use super::choices::{
    Activation, ArrangementId, ClassId, ClipId, ControlId, DenoiserId, DeviceChoice, DivergenceId, PrecisionId,
    PredictionId, ScheduleId, SolverId, SpacingId, TaskId, WeightingId,
};
use super::experiment::ExperimentId;
use super::overrides::Overrides;
use super::picture::Picture;
use super::word::Word;
use crate::data::{DatasetId, Drawing};

/// A run. Two equal configurations give the same initial weights, batches and noise on every machine.
///
/// Every field but `study` has a row in [`super::fields::FIELDS`], which knows its key, its range and how to read and write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunConfig {
    /// Which experiment.
    pub experiment: ExperimentId,
    /// The data.
    pub dataset: DatasetId,
    /// The visitor's points, for [`DatasetId::Drawing`].
    pub drawing: Drawing,
    /// The trained network or the closed form.
    pub denoiser: DenoiserId,

    /// Units of a hidden layer.
    pub width: u32,
    /// Hidden layers.
    pub depth: u32,
    /// Activation function.
    pub activation: Activation,
    /// What the network's output means.
    pub prediction: PredictionId,

    /// Training steps.
    pub training_steps: u32,
    /// Samples in a training batch.
    pub batch: u32,
    /// Adam's learning rate.
    pub rate: f64,
    /// Decay of the moving average of the weights, per step.
    pub ema: f64,
    /// Weighting of the loss over noise levels.
    pub weighting: WeightingId,

    /// The noise schedule, of training and of sampling.
    pub schedule: ScheduleId,
    /// Smallest beta of the linear and sub-VP schedules.
    pub beta_min: f64,
    /// Largest beta of the linear and sub-VP schedules.
    pub beta_max: f64,
    /// Smallest noise of the exploding, geometric and EDM schedules, for data of unit variance.
    pub sigma_min: f64,
    /// Largest noise of the exploding, geometric and EDM schedules, for data of unit variance.
    pub sigma_max: f64,
    /// Number of levels of the geometric schedule.
    pub levels: u32,

    /// The sampler.
    pub solver: SolverId,
    /// Solver steps; the number of network evaluations follows from it and the solver.
    pub steps: u32,
    /// Spread of the steps.
    pub spacing: SpacingId,
    /// DDIM's share of fresh noise.
    pub eta: f64,
    /// EDM's `S_churn`.
    pub churn: f64,
    /// Signal-to-noise ratio of the Langevin corrector; for annealed Langevin the step is `2 * (snr * sigma)^2`.
    pub snr: f64,
    /// Langevin steps per level, of the corrector and of annealed Langevin.
    pub corrections: u32,
    /// Relative and absolute tolerance of the adaptive solver.
    pub tolerance: f64,
    /// Points to sample.
    pub samples: u32,

    /// How something known beforehand is imposed on the samples.
    pub control: ControlId,
    /// Direction that is observed, in degrees: `x cos + y sin`; 0 is the x coordinate, 90 the y coordinate.
    pub observe_angle: f64,
    /// What was seen along it, in the data's own coordinates.
    pub observe_value: f64,
    /// Standard deviation of the observation's noise, in the same.
    pub observe_noise: f64,
    /// Steps that RePaint goes up at a time.
    pub jump: u32,
    /// How often RePaint passes each stretch.
    pub resamples: u32,
    /// Which class, counted from 1.
    pub class: u32,
    /// Scale of guidance: 1 is the conditional distribution, more exaggerates, 0 ignores the class of images.
    pub guidance: f64,
    /// Least `sigma / alpha` at which the scale of guidance holds; outside it is 1.
    pub guidance_from: f64,
    /// Largest `sigma / alpha` at which it holds.
    pub guidance_to: f64,

    /// How the divergence of the probability flow is computed.
    pub divergence: DivergenceId,
    /// Probes of Hutchinson's estimate.
    pub probes: u32,
    /// Fresh data whose likelihood is computed.
    pub points: u32,
    /// Relative and absolute tolerance of the flow behind the likelihood.
    pub flow_tolerance: f64,

    /// The weights of the network of images: the id of a set, `own` for the visitor's file, empty for the first set.
    pub weights: Word,
    /// What a run of images makes.
    pub task: TaskId,
    /// The known image, for [`TaskId::Inpaint`] and [`TaskId::Colourise`].
    pub picture: Picture,
    /// Images to make.
    pub images: u32,
    /// Their class.
    pub image_class: ClassId,
    /// Whether estimates are held within the range of pixels.
    pub clip: ClipId,
    /// How the noise of the images is related.
    pub arrangement: ArrangementId,
    /// How far variations are from the first image, from 0 (the same) to 1 (unrelated).
    pub variation: f64,
    /// Seed at the other end of an interpolation.
    pub seed_to: u32,

    /// Seed of every random number of the run.
    pub seed: u32,
    /// Where to compute.
    pub device: DeviceChoice,
    /// What the network of images computes with.
    pub precision: PrecisionId,

    /// What is set differently from its preset in a study; every setting is a field of the study's table.
    pub study: Overrides,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            experiment: ExperimentId::Plane,
            dataset: DatasetId::Moons,
            drawing: Drawing::default(),
            denoiser: DenoiserId::Trained,
            width: 64,
            depth: 4,
            activation: Activation::Silu,
            prediction: PredictionId::Velocity,
            training_steps: 4000,
            batch: 256,
            rate: 6e-3,
            ema: 0.995,
            weighting: WeightingId::Simple,
            schedule: ScheduleId::Cosine,
            beta_min: 0.1,
            beta_max: 20.0,
            sigma_min: 0.01,
            sigma_max: 20.0,
            levels: 20,
            solver: SolverId::DpmPp2m,
            steps: 40,
            spacing: SpacingId::LogSnr,
            eta: 0.0,
            churn: 0.0,
            snr: 0.16,
            corrections: 1,
            tolerance: 1e-4,
            samples: 2000,
            control: ControlId::None,
            observe_angle: 0.0,
            observe_value: 0.0,
            observe_noise: 0.0,
            jump: 10,
            resamples: 4,
            class: 1,
            guidance: 1.0,
            guidance_from: 0.001,
            guidance_to: 1000.0,
            divergence: DivergenceId::Exact,
            probes: 1,
            points: 500,
            flow_tolerance: 1e-5,
            weights: Word::default(),
            task: TaskId::Generate,
            picture: Picture::default(),
            images: 16,
            image_class: ClassId::Any,
            clip: ClipId::Never,
            arrangement: ArrangementId::Independent,
            variation: 0.3,
            seed_to: 2,
            seed: 1,
            device: DeviceChoice::Auto,
            precision: PrecisionId::Full,
            study: Overrides::default(),
        }
    }
}

impl RunConfig {
    /// What an empty link to the images starts from: EDM's noise levels for images in `[-1, 1]`, and a solver that needs
    /// few evaluations.
    #[must_use]
    pub fn of_images() -> Self {
        Self {
            experiment: ExperimentId::Images,
            schedule: ScheduleId::Edm,
            sigma_min: 0.002,
            sigma_max: 80.0,
            solver: SolverId::DpmPp2m,
            steps: 20,
            spacing: SpacingId::Karras,
            ..Self::default()
        }
    }
}
