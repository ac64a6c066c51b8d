//! The solvers to choose from: names, and what they name.

use crate::choice::choices;
use crate::diffusion::Solver;
use crate::diffusion::solver::{Basis, Churn, Strides, Tolerance, Variance};

choices! {
    /// A sampler.
    SolverId {
        /// DDPM ancestral sampling, posterior variance (Ho et al. 2020, fixed small).
        Ddpm = "ddpm",
        /// DDPM ancestral sampling, variance beta (fixed large).
        DdpmLarge = "ddpm-large",
        /// DDIM with `eta` (Song et al. 2021).
        Ddim = "ddim",
        /// Euler-Maruyama on the reverse SDE.
        EulerMaruyama = "euler-maruyama",
        /// Reverse diffusion sampler (Song et al. 2021).
        ReverseDiffusion = "reverse-diffusion",
        /// Predictor-corrector: reverse diffusion and Langevin steps by signal-to-noise ratio.
        PredictorCorrector = "predictor-corrector",
        /// The same with Langevin steps of annealed Langevin's size: score_sde's other corrector.
        AnnealedCorrector = "annealed-corrector",
        /// Annealed Langevin dynamics (Song and Ermon 2019).
        AnnealedLangevin = "annealed-langevin",
        /// Euler on the probability-flow ODE.
        Euler = "euler",
        /// Heun on the probability-flow ODE.
        Heun = "heun",
        /// Adaptive Dormand-Prince 5(4) on the probability-flow ODE.
        Rk45 = "rk45",
        /// EDM's stochastic Heun with churn.
        EdmHeun = "edm-heun",
        /// DPM-Solver-1, which is DDIM in another form (Lu et al. 2022).
        Dpm1 = "dpm-1",
        /// DPM-Solver-2, single step.
        Dpm2 = "dpm-2",
        /// DPM-Solver-3, single step.
        Dpm3 = "dpm-3",
        /// DPM-Solver++(2M), multistep (Lu et al. 2022).
        DpmPp2m = "dpmpp-2m",
        /// DPM-Solver++(3M), multistep.
        DpmPp3m = "dpmpp-3m",
        /// SDE-DPM-Solver++(2M), stochastic.
        DpmPpSde = "dpmpp-sde",
        /// UniPC of order 2 (Zhao et al. 2023).
        UniPc2 = "unipc-2",
        /// UniPC of order 3.
        UniPc3 = "unipc-3",
        /// iPNDM of order 2, fixed coefficients (Zhang and Chen 2023).
        Ipndm2 = "ipndm-2",
        /// iPNDM of order 3.
        Ipndm3 = "ipndm-3",
        /// iPNDM of order 4.
        Ipndm4 = "ipndm-4",
        /// iPNDM of order 4 with coefficients for the steps of the grid (Zhou et al. 2024).
        IpndmV4 = "ipndm-v-4",
        /// DEIS, tAB2: a polynomial of degree 2 in time (Zhang and Chen 2023).
        Deis2 = "deis-2",
        /// DEIS, tAB3.
        Deis3 = "deis-3",
    }
}

/// What solvers take from a run's settings.
#[derive(Clone, Copy, Debug)]
pub struct SolverSettings {
    /// Share of fresh noise in a step of DDIM.
    pub eta: f64,
    /// Fresh noise of EDM's solver.
    pub churn: f64,
    /// Signal-to-noise ratio of Langevin steps.
    pub snr: f64,
    /// Langevin steps a level.
    pub corrections: u32,
    /// Relative and absolute tolerance of adaptive steps.
    pub tolerance: f64,
}

impl SolverId {
    /// The solver of this name.
    #[must_use]
    pub fn solver(self, settings: SolverSettings) -> Solver {
        let SolverSettings { eta, churn, snr, corrections, tolerance } = settings;
        match self {
            Self::Ddpm => Solver::Ddpm(Variance::Small),
            Self::DdpmLarge => Solver::Ddpm(Variance::Large),
            Self::Ddim => Solver::Ddim { eta },
            Self::EulerMaruyama => Solver::EulerMaruyama,
            Self::ReverseDiffusion => Solver::ReverseDiffusion,
            Self::PredictorCorrector => Solver::PredictorCorrector { snr, corrections },
            Self::AnnealedCorrector => Solver::AnnealedCorrector { snr, corrections },
            Self::AnnealedLangevin => Solver::AnnealedLangevin { snr, corrections },
            Self::Euler => Solver::Euler,
            Self::Heun => Solver::Heun,
            Self::Rk45 => Solver::Rk45(Tolerance { relative: tolerance, absolute: tolerance }),
            Self::EdmHeun => Solver::EdmHeun(Churn::everywhere(churn)),
            Self::Dpm1 => Solver::Dpm1,
            Self::Dpm2 => Solver::Dpm2,
            Self::Dpm3 => Solver::Dpm3,
            Self::DpmPp2m => Solver::DpmPp2m,
            Self::DpmPp3m => Solver::DpmPp3m,
            Self::DpmPpSde => Solver::DpmPpSde,
            Self::UniPc2 => Solver::UniPc { order: 2, basis: Basis::Exponential },
            Self::UniPc3 => Solver::UniPc { order: 3, basis: Basis::Exponential },
            Self::Ipndm2 => Solver::Ipndm { order: 2, strides: Strides::Equal },
            Self::Ipndm3 => Solver::Ipndm { order: 3, strides: Strides::Equal },
            Self::Ipndm4 => Solver::Ipndm { order: 4, strides: Strides::Equal },
            Self::IpndmV4 => Solver::Ipndm { order: 4, strides: Strides::Actual },
            Self::Deis2 => Solver::Deis { degree: 2 },
            Self::Deis3 => Solver::Deis { degree: 3 },
        }
    }
}
