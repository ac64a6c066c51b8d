//! The ways an image network is trained here, and what a trained one has to be told afterwards.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::checkpoint::{Input, ManifestPrediction, TimeConvention};
use crate::diffusion::Prediction;
use crate::diffusion::schedule::Betas;
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

/// What a trained network has to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convention {
    /// What its output means.
    pub prediction: ManifestPrediction,
    /// How what it sees is scaled.
    pub input: Input,
    /// How it is told the level.
    pub time: TimeConvention,
}

impl Objective {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Edm, Self::Ddpm, Self::Cosine, Self::Vp, Self::SubVp, Self::Ve, Self::Ncsn];

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
        }
    }

    /// What a network trained with it has to be told.
    #[must_use]
    pub fn convention(self) -> Convention {
        let noise = |time| Convention { prediction: ManifestPrediction::Noise, input: Input::Preserving, time };
        let score = |time| Convention { prediction: ManifestPrediction::Score, input: Input::Exploding, time };
        match self {
            Self::Edm => Convention {
                prediction: ManifestPrediction::Karras { data_std: IMAGE_STD },
                input: Input::Karras { data_std: IMAGE_STD },
                time: TimeConvention::LogSigma { factor: 100.0 },
            },
            Self::Ddpm => noise(TimeConvention::Steps { count: 1000, first: 1e-4, last: 0.02 }),
            Self::Cosine => noise(TimeConvention::CosineSteps { count: 1000 }),
            Self::Vp | Self::SubVp => noise(TimeConvention::Linear { beta_min: 0.1, beta_max: 20.0, scale: 999.0 }),
            Self::Ve => score(TimeConvention::LogSigma { factor: 100.0 }),
            Self::Ncsn => score(TimeConvention::None),
        }
    }
}

/// Draws the noise levels of training: `sigma` of `image + sigma noise`.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseDistribution {
    objective: Objective,
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

    /// The levels of an objective.
    #[must_use]
    pub fn new(objective: Objective) -> Self {
        let betas = objective.betas();
        let of_betas = |betas: &Betas| -> Vec<f64> {
            let ratio = |i| ((1.0 - betas.signal_power(i)) / betas.signal_power(i)).sqrt();
            (0..betas.len()).map(ratio).collect()
        };
        let steps = match objective {
            Objective::Ncsn => (0..232).map(|i| 0.02 * 5000_f64.powf(f64::from(i) / 231.0)).collect(),
            _ => betas.as_ref().map(of_betas).unwrap_or_default(),
        };
        Self { objective, steps }
    }

    /// A level.
    pub fn draw(&self, rng: &mut Rng) -> TrainingLevel {
        // beta_min t + (beta_max - beta_min) t^2 / 2 with beta from 0.1 to 20
        let integral = |u: f64| {
            let t = Self::EARLIEST + (1.0 - Self::EARLIEST) * u;
            9.95 * t * t + 0.1 * t
        };
        let sigma = match self.objective {
            Objective::Edm => libm::exp(1.2 * rng.normal() - 1.2),
            Objective::Vp => libm::sqrt(libm::expm1(integral(rng.uniform()))),
            // (1 - exp(-B)) / exp(-B / 2)
            Objective::SubVp => 2.0 * libm::sinh(0.5 * integral(rng.uniform())),
            Objective::Ve => 0.02 * libm::pow(5000.0, rng.uniform()),
            Objective::Ddpm | Objective::Cosine | Objective::Ncsn => {
                let step = rng.below(u32::try_from(self.steps.len()).unwrap_or(u32::MAX)) as usize;
                return TrainingLevel { sigma: self.steps[step], step: Some(step) };
            }
        };
        TrainingLevel { sigma, step: None }
    }
}

impl Objective {
    /// The chain of the objectives that have one.
    #[must_use]
    pub fn betas(self) -> Option<Betas> {
        match self {
            Self::Ddpm => Some(Betas::linear(1000, 1e-4, 0.02)),
            Self::Cosine => Some(Betas::cosine(1000)),
            _ => None,
        }
    }
}

impl Convention {
    /// What the output means, as the solvers put it.
    #[must_use]
    pub fn prediction(&self) -> Prediction {
        self.prediction.into()
    }
}
