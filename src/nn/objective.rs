//! The ways an image network is trained here, and what a trained one has to be told afterwards.

use super::checkpoint::{Input, ManifestPrediction, TimeConvention};
use crate::diffusion::Prediction;

/// Standard deviation of images in `[-1, 1]`, as Karras et al. 2022 take it.
pub const IMAGE_STD: f64 = 0.5;

/// An objective for images in `[-1, 1]`. All of them see `x = image + sigma noise` at some distribution of `sigma`, so
/// that one sampler serves networks of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// The objective of this name.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|objective| objective.id() == id)
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

impl Convention {
    /// What the output means, as the solvers put it.
    #[must_use]
    pub fn prediction(&self) -> Prediction {
        self.prediction.into()
    }
}
