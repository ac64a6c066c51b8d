//! The noise schedules to choose from: names, and what they name.

use crate::choice::choices;
use crate::diffusion::Schedule;
use crate::diffusion::schedule::Betas;

choices! {
    /// A noise schedule.
    ScheduleId {
        /// Continuous variance-preserving, linear beta (DDPM, VP SDE).
        Linear = "linear",
        /// Cosine (Nichol and Dhariwal 2021).
        Cosine = "cosine",
        /// Sub-VP SDE (Song et al. 2021).
        SubVp = "sub-vp",
        /// Variance-exploding SDE (Song et al. 2021).
        Exploding = "exploding",
        /// Geometric noise levels (NCSN, Song and Ermon 2019).
        Geometric = "geometric",
        /// Straight-line flow, `alpha = 1 - t`, `sigma = t`.
        Flow = "flow",
        /// DDPM's 1000 discrete betas, linear (Ho et al. 2020).
        DdpmLinear = "ddpm-linear",
        /// Discrete betas, linear in their square roots (latent diffusion's scaled-linear).
        DdpmScaledLinear = "ddpm-scaled-linear",
        /// Discrete cosine betas, clipped at 0.999.
        DdpmCosine = "ddpm-cosine",
        /// Discrete sigmoid betas.
        DdpmSigmoid = "ddpm-sigmoid",
        /// EDM: `alpha = 1`, `sigma = t` on the Karras grid (Karras et al. 2022).
        Edm = "edm",
    }
}

/// What schedules take from a run's settings.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleSettings {
    /// Rate of noise at the data.
    pub beta_min: f64,
    /// Rate of noise at the prior.
    pub beta_max: f64,
    /// Least noise.
    pub sigma_min: f64,
    /// Most noise.
    pub sigma_max: f64,
    /// Number of noise levels.
    pub levels: u32,
}

impl ScheduleId {
    /// The schedule of this name.
    #[must_use]
    pub fn schedule(self, settings: ScheduleSettings) -> Schedule {
        let ScheduleSettings { beta_min, beta_max, sigma_min, sigma_max, levels } = settings;
        match self {
            Self::Linear => Schedule::Linear { beta_min, beta_max },
            Self::SubVp => Schedule::SubVp { beta_min, beta_max },
            Self::Exploding => Schedule::Exploding { sigma_min, sigma_max },
            Self::Cosine => Schedule::Cosine,
            Self::Flow => Schedule::Flow,
            Self::Geometric => Schedule::Geometric { sigma_min, sigma_max, levels },
            Self::Edm => Schedule::Edm { sigma_min, sigma_max },
            Self::DdpmLinear => Schedule::table(Betas::linear(1000, 1e-4, 0.02)),
            Self::DdpmScaledLinear => Schedule::table(Betas::scaled_linear(1000, 0.00085, 0.012)),
            Self::DdpmCosine => Schedule::table(Betas::cosine(1000)),
            Self::DdpmSigmoid => Schedule::table(Betas::sigmoid(1000, 1e-4, 0.02)),
        }
    }
}
