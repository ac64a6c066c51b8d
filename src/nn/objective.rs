//! The ways an image network is trained here, and what a trained one has to be told afterwards.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::diffusion::convention::{InputScale, TimeConvention};
use crate::diffusion::schedule::{Betas, EDM_LOG_MEAN, EDM_LOG_STD};
use crate::diffusion::{Convention, Prediction, Schedule};
use crate::rng::Rng;

/// Standard deviation of images in `[-1, 1]`, as Karras et al. 2022 take it.
pub const IMAGE_STD: f64 = 0.5;

/// An objective for images in `[-1, 1]`. All of them see `x = image + sigma noise` at some distribution of `sigma`, so
/// that one sampler serves networks of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Karras et al. 2022: preconditioning, log-normal noise levels.
    Edm,
    /// Ho et al. 2020: noise prediction at 1000 steps of betas from 1e-4 to 0.02.
    Ddpm,
    /// Nichol and Dhariwal 2021: the same with cosine betas.
    Cosine,
    /// Song et al. 2021: continuous VP, beta from 0.1 to 20.
    Vp,
    /// Song et al. 2021: continuous sub-VP, the same betas.
    SubVp,
    /// Song et al. 2021: continuous VE, sigma from 0.02 to 100 (0.01 to 50 for images in `[0, 1]`).
    Ve,
    /// Song and Ermon 2020 (NCSNv2): 232 levels in geometric progression over the same range; the network is not told.
    Ncsn,
    /// Song and Ermon 2019 (NCSN): 10 levels in geometric progression from 2 to 0.02 (1 to 0.01 for images in `[0, 1]`), which
    /// the network is told.
    #[serde(rename = "ncsn-10")]
    NcsnTold,
}

/// A name that is no objective's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("one of {}", Objective::ALL.map(Objective::id).join(", "))]
pub struct UnknownObjective;

impl FromStr for Objective {
    type Err = UnknownObjective;

    fn from_str(id: &str) -> Result<Self, UnknownObjective> {
        Self::ALL.into_iter().find(|objective| objective.id() == id).ok_or(UnknownObjective)
    }
}

impl Objective {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Edm, Self::Ddpm, Self::Cosine, Self::Vp, Self::SubVp, Self::Ve, Self::Ncsn, Self::NcsnTold];

    /// `beta(0)` and `beta(1)` of the continuous VP and sub-VP.
    const BETAS: (f64, f64) = (0.1, 20.0);

    /// Its name on the command line and in files.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Edm => "edm",
            Self::Ddpm => "ddpm",
            Self::Cosine => "cosine",
            Self::Vp => "vp",
            Self::SubVp => "sub-vp",
            Self::Ve => "ve",
            Self::Ncsn => "ncsn",
            Self::NcsnTold => "ncsn-10",
        }
    }

    /// The schedule whose levels it trains at; that of EDM has the ends that EDM samples between.
    #[must_use]
    pub fn schedule(self) -> Schedule {
        let (beta_min, beta_max) = Self::BETAS;
        let (sigma_min, sigma_max) = (0.02, 100.0);
        match self {
            Self::Edm => Schedule::Edm { sigma_min: 0.002, sigma_max: 80.0 },
            Self::Ddpm => Schedule::table(Betas::linear(1000, 1e-4, 0.02)),
            Self::Cosine => Schedule::table(Betas::cosine(1000)),
            Self::Vp => Schedule::Linear { beta_min, beta_max },
            Self::SubVp => Schedule::SubVp { beta_min, beta_max },
            Self::Ve => Schedule::Exploding { sigma_min, sigma_max },
            Self::Ncsn => Schedule::Geometric { sigma_min, sigma_max, levels: 232 },
            Self::NcsnTold => Schedule::Geometric { sigma_min, sigma_max: 2.0, levels: 10 },
        }
    }

    /// The chain of the objectives that have one.
    #[must_use]
    pub fn betas(self) -> Option<Arc<Betas>> {
        match self.schedule() {
            Schedule::Betas(betas) => Some(betas),
            _ => None,
        }
    }

    /// The convention of a network trained with it.
    #[must_use]
    pub fn convention(self) -> Convention {
        let log_sigma = TimeConvention::LogSigma { factor: 100.0 };
        let noise = |time| Convention { time, ..Convention::ddpm() };
        let score = |time| Convention { prediction: Prediction::Score, input: InputScale::Exploding, time };
        match self {
            Self::Edm => Convention {
                prediction: Prediction::Karras { data_std: IMAGE_STD },
                input: InputScale::Karras { data_std: IMAGE_STD },
                time: log_sigma,
            },
            Self::Ddpm => Convention::ddpm(),
            Self::Cosine => noise(TimeConvention::CosineSteps { count: 1000 }),
            Self::Vp | Self::SubVp => {
                let (beta_min, beta_max) = Self::BETAS;
                noise(TimeConvention::Linear { beta_min, beta_max, scale: 999.0 })
            }
            Self::Ve => score(log_sigma),
            Self::Ncsn => score(TimeConvention::None),
            Self::NcsnTold => Convention::ve(),
        }
    }
}

/// Distribution of the noise levels of training: `sigma` of `image + sigma noise`, which is `sigma / alpha` of the
/// schedule. The numbers are the schedule's; the draws are by the papers' own uniform and normal numbers, which
/// [`Schedule::training_level`] has as quantiles, so that a run goes on as it began.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseDistribution {
    schedule: Schedule,
    /// `sigma` of every step, for objectives of steps.
    steps: Vec<f64>,
}

/// A noise level of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingLevel {
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// The step, for objectives of steps.
    pub step: Option<usize>,
}

impl NoiseDistribution {
    /// Smallest time of the continuous objectives (Song et al. 2021).
    const EARLIEST: f64 = 1e-5;

    /// The distribution of an objective.
    #[must_use]
    pub fn new(objective: Objective) -> Self {
        let schedule = objective.schedule();
        let steps = match &schedule {
            Schedule::Betas(betas) => {
                let ratio = |i| ((1.0 - betas.signal_power(i)) / betas.signal_power(i)).sqrt();
                (0..betas.len()).map(ratio).collect()
            }
            // By the power of the standard library, whose last digit differs: old runs go on with it.
            Schedule::Geometric { sigma_min, sigma_max, levels } => {
                let share = |i: u32| f64::from(i) / f64::from(levels - 1);
                (0..*levels).map(|i| sigma_min * (sigma_max / sigma_min).powf(share(i))).collect()
            }
            _ => Vec::new(),
        };
        Self { schedule, steps }
    }

    /// A level.
    pub fn draw(&self, rng: &mut Rng) -> TrainingLevel {
        // B(t), the integral of beta.
        let integral = |beta_min: f64, beta_max: f64, u: f64| {
            let t = Self::EARLIEST + (1.0 - Self::EARLIEST) * u;
            0.5 * (beta_max - beta_min) * t * t + beta_min * t
        };
        let sigma = match self.schedule {
            Schedule::Edm { .. } => libm::exp(EDM_LOG_STD * rng.normal() + EDM_LOG_MEAN),
            Schedule::Linear { beta_min, beta_max } => libm::expm1(integral(beta_min, beta_max, rng.uniform())).sqrt(),
            // (1 - exp(-B)) / exp(-B / 2)
            Schedule::SubVp { beta_min, beta_max } => {
                2.0 * libm::sinh(0.5 * integral(beta_min, beta_max, rng.uniform()))
            }
            Schedule::Exploding { .. } => self.schedule.level(rng.uniform()).sigma,
            Schedule::Betas(_) | Schedule::Geometric { .. } => {
                let step = rng.below(u32::try_from(self.steps.len()).unwrap_or(u32::MAX)) as usize;
                return TrainingLevel { sigma: self.steps[step], step: Some(step) };
            }
            Schedule::Cosine | Schedule::Flow => unreachable!("no objective of images has this schedule"),
        };
        TrainingLevel { sigma, step: None }
    }
}
