//! From the choices of a run to the mathematics they name. The mathematics itself knows nothing of runs.

use super::choices::{ControlId, MethodId, PredictionId, SpacingId, TaskId, WeightingId};
use super::config::RunConfig;
use super::experiment::ExperimentId;
use super::schedule::ScheduleSettings;
use super::solver::SolverSettings;
use crate::data::{Condition, Dataset, ExactConstraint};
use crate::diffusion::constraint::{ConstrainedSampler, Guidance, Method};
use crate::diffusion::objective::Weighting;
use crate::diffusion::{Prediction, Sampler, Schedule, Solver, Spacing, State};

impl Schedule {
    /// The schedule of a run.
    #[must_use]
    pub fn from_config(config: &RunConfig) -> Self {
        let RunConfig { beta_min, beta_max, sigma_min, sigma_max, levels, .. } = *config;
        config.schedule.schedule(ScheduleSettings { beta_min, beta_max, sigma_min, sigma_max, levels })
    }
}

impl Solver {
    /// The solver of a run.
    #[must_use]
    pub fn from_config(config: &RunConfig) -> Self {
        let RunConfig { eta, churn, snr, corrections, tolerance, .. } = *config;
        config.solver.solver(SolverSettings { eta, churn, snr, corrections, tolerance })
    }
}

impl<S: State> Sampler<S> {
    /// The sampling run that a configuration describes, from unit noise.
    #[must_use]
    pub fn from_config(config: &RunConfig, unit_noise: S) -> Self {
        let (solver, schedule) = (Solver::from_config(config), Schedule::from_config(config));
        let levels = solver.grid(&schedule, config.spacing.into(), config.steps as usize);
        let start = unit_noise.scale(schedule.prior_std());
        Self::new(solver, schedule, levels, start)
    }
}

/// How far guided estimates of standardised data may lie from the middle, beyond what is observed.
const RADIUS: f64 = 20.0;

impl Method {
    /// How a run imposes its constraint; `None` when it has none.
    #[must_use]
    pub fn from_config(config: &RunConfig) -> Option<Self> {
        if config.experiment == ExperimentId::Images {
            let method = match config.method {
                MethodId::Project => Self::Project,
                MethodId::Observe => Self::Guide,
                MethodId::Replace => Self::Replace,
                MethodId::Repaint => Self::repaint(config),
            };
            return (config.task != TaskId::Generate).then_some(method);
        }
        Some(match config.control {
            ControlId::None => return None,
            ControlId::Replace => Self::Replace,
            ControlId::Repaint => Self::repaint(config),
            ControlId::Project => Self::Project,
            ControlId::Observe | ControlId::Class => Self::Guide,
        })
    }

    fn repaint(config: &RunConfig) -> Self {
        Self::Repaint { jump: config.jump as usize, resamples: config.resamples as usize }
    }
}

impl ExactConstraint {
    /// What a run in the plane knows of its samples, in the model's coordinates; `None` when nothing. Of classes beyond
    /// the last, the last is meant.
    #[must_use]
    pub fn from_config(config: &RunConfig, dataset: &Dataset) -> Option<Self> {
        let (condition, radius) = match config.control {
            ControlId::None => return None,
            ControlId::Class => {
                let last = dataset.classes.iter().copied().max().unwrap_or(0);
                let class = (config.class.max(1) as usize - 1).min(last);
                (Condition::Class(dataset.classes.iter().map(|&c| c == class).collect()), RADIUS)
            }
            _ => {
                let angle = config.observe_angle.to_radians();
                let direction = [libm::cos(angle), libm::sin(angle)];
                let middle = direction[0] * dataset.centre[0] + direction[1] * dataset.centre[1];
                let value = (config.observe_value - middle) / dataset.scale;
                let noise = config.observe_noise / dataset.scale;
                (Condition::Observation { direction, value, noise }, RADIUS + value.abs())
            }
        };
        let guidance = Guidance { scale: config.guidance, interval: (config.guidance_from, config.guidance_to) };
        Some(Self { condition, mixture: dataset.standard.clone(), guidance, radius })
    }
}

impl ConstrainedSampler<Vec<[f64; 2]>, ExactConstraint> {
    /// The sampling run in the plane that a configuration describes, from unit noise.
    #[must_use]
    pub fn from_config(config: &RunConfig, dataset: &Dataset, unit_noise: Vec<[f64; 2]>) -> Self {
        let constraint = ExactConstraint::from_config(config, dataset).zip(Method::from_config(config));
        Self::new(Sampler::from_config(config, unit_noise), constraint)
    }
}

/// Network evaluations that a run of this configuration takes per sample; `None` when the solver decides as it goes.
#[must_use]
pub fn planned_evaluations(config: &RunConfig) -> Option<u32> {
    let sampler = Sampler::from_config(config, 0.0);
    match Method::from_config(config) {
        Some(method) => method.planned_evaluations(&sampler),
        None => sampler.planned_evaluations(),
    }
}

impl From<SpacingId> for Spacing {
    fn from(id: SpacingId) -> Self {
        match id {
            SpacingId::Uniform => Self::Uniform,
            SpacingId::Quadratic => Self::Quadratic,
            SpacingId::LogSnr => Self::LogSnr,
            // Searched grids belong to weights; what has none has the grid of the search's teacher.
            SpacingId::Karras | SpacingId::Searched => Self::Karras { rho: 7.0 },
            SpacingId::Leading => Self::Leading,
            SpacingId::Linspace => Self::Linspace,
            SpacingId::Trailing => Self::Trailing,
        }
    }
}

impl From<PredictionId> for Prediction {
    fn from(id: PredictionId) -> Self {
        match id {
            PredictionId::Noise => Self::Noise,
            PredictionId::Data => Self::Data,
            PredictionId::Velocity => Self::Velocity,
            PredictionId::Score => Self::Score,
            PredictionId::Edm => Self::Karras { data_std: 1.0 },
            PredictionId::Flow => Self::Flow,
        }
    }
}

impl From<WeightingId> for Weighting {
    fn from(id: WeightingId) -> Self {
        match id {
            WeightingId::Simple => Self::Simple,
            WeightingId::MinSnr => Self::MinSnr { cap: 5.0 },
            WeightingId::Edm => Self::Edm { data_std: 1.0 },
            WeightingId::Likelihood => Self::Likelihood,
        }
    }
}
