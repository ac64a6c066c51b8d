//! Solvers: from a noisy level to a clean one, a step at a time.
//!
//! A [`Sampler`] holds a run: the grid, the sample, where it is and what its solver remembers. Each call of
//! [`Sampler::step`] is one step, so that a run can be paused, looked at and given up anywhere. Noise is asked of the
//! caller, evaluations are counted, and the last step to `sigma = 0` returns the data estimate exactly. A model may fail, by
//! an interruption or a lost device: the step is then as if it had not been begun.

mod adams;
mod ancestral;
mod context;
mod dpm;
mod multistep;
mod ode;
mod rk45;
mod sde;
mod unipc;

pub use adams::Strides;
pub use ancestral::{Posterior, Variance};
pub use context::{NoiseSource, NoiseUse};
pub use ode::Churn;
pub use rk45::{Tolerance, follow};
pub use unipc::Basis;

use super::{Denoiser, Estimate, Level, Schedule, Spacing, State};
use context::{Context, Tally};
use multistep::History;

/// A solver and its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Solver {
    /// DDPM ancestral sampling (Ho et al. 2020).
    Ddpm(Variance),
    /// DDIM (Song et al. 2021, arXiv 2010.02502).
    Ddim {
        /// Share of fresh noise: 0 none, 1 DDPM's.
        eta: f64,
    },
    /// Euler-Maruyama on the reverse SDE.
    EulerMaruyama,
    /// The reverse diffusion sampler (Song et al. 2021, arXiv 2011.13456).
    ReverseDiffusion,
    /// Langevin steps at a level, then a reverse diffusion step to the next (the same).
    PredictorCorrector {
        /// Signal-to-noise ratio of the Langevin steps.
        snr: f64,
        /// Langevin steps a level.
        corrections: u32,
    },
    /// The same with Langevin steps of the size that [`Self::AnnealedLangevin`] takes: score_sde's other corrector,
    /// without its factor `1 - beta` for chains.
    AnnealedCorrector {
        /// The Langevin step at a level is `2 (snr sigma)^2`.
        snr: f64,
        /// Langevin steps a level.
        corrections: u32,
    },
    /// Annealed Langevin dynamics (Song and Ermon 2019) with a final denoising.
    AnnealedLangevin {
        /// The step at a level is `2 (snr sigma)^2`: that of NCSN's released code with `snr = sqrt(epsilon / 2) / sigma_min`,
        /// 0.316 for its published `epsilon` of 2e-5 at 0.01.
        snr: f64,
        /// Langevin steps a level.
        corrections: u32,
    },
    /// Euler on the probability-flow ODE in time.
    Euler,
    /// Heun on the probability-flow ODE in time.
    Heun,
    /// Dormand-Prince 5(4) with adaptive steps on the probability-flow ODE in time; the grid's inner levels are not used.
    Rk45(Tolerance),
    /// EDM's Heun in `sigma / alpha`, with churn (Karras et al. 2022).
    EdmHeun(Churn),
    /// DPM-Solver-1.
    Dpm1,
    /// DPM-Solver-2, single step.
    Dpm2,
    /// DPM-Solver-3, single step.
    Dpm3,
    /// DPM-Solver++(2M).
    DpmPp2m,
    /// DPM-Solver++(3M).
    DpmPp3m,
    /// SDE-DPM-Solver++(2M).
    DpmPpSde,
    /// UniPC.
    UniPc {
        /// Order of the predictor, 1 to 3; the corrector has one more.
        order: usize,
        /// The authors' `B(h)`.
        basis: Basis,
    },
    /// iPNDM: Adams-Bashforth in `sigma / alpha` (Zhang and Chen 2023, arXiv 2204.13902).
    Ipndm {
        /// Noise estimates that a step follows, 1 to 4.
        order: usize,
        /// Whether the coefficients know the grid.
        strides: Strides,
    },
    /// DEIS with a polynomial in time, tAB (the same).
    Deis {
        /// Degree of the polynomial, 1 to 3: the authors' tAB1 to tAB3.
        degree: usize,
    },
}

impl Solver {
    /// The grid that this solver samples on: the schedule's, and for the adaptive solver only its ends and the clean level.
    #[must_use]
    pub fn grid(self, schedule: &Schedule, spacing: Spacing, steps: usize) -> Vec<Level> {
        if let Self::Rk45(_) = self {
            let (first, last) = schedule.time_range();
            return vec![schedule.level(first), schedule.level(last), super::schedule::clean()];
        }
        schedule.grid(spacing, steps)
    }

    /// Network evaluations of a step, to a noisy level or to the clean one; `None` when the solver decides as it goes.
    #[must_use]
    pub fn evaluations(self, to_clean: bool) -> Option<u32> {
        match self {
            Self::Rk45(_) => None,
            Self::PredictorCorrector { corrections, .. } | Self::AnnealedCorrector { corrections, .. } => {
                Some(corrections + 1)
            }
            Self::AnnealedLangevin { corrections, .. } => Some(corrections + u32::from(to_clean)),
            Self::Heun | Self::EdmHeun(_) | Self::Dpm2 if !to_clean => Some(2),
            Self::Dpm3 if !to_clean => Some(3),
            _ => Some(1),
        }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps of the grid done, this one included; the adaptive solver counts its attempts.
    pub step: usize,
    /// The level the sample is at now.
    pub level: Level,
    /// Network evaluations of this step.
    pub evaluations: u32,
    /// Whether the sample moved: the adaptive solver rejects attempts whose error is too large.
    pub accepted: bool,
}

/// What solvers remember from step to step. Written after a step's last evaluation, never before: a step that fails leaves
/// it as it was.
#[derive(Clone, Debug)]
struct Memory<S> {
    history: History<S>,
    pending: Option<unipc::Pending<S>>,
    adaptive: Option<rk45::Adaptive<S>>,
}

impl<S: Clone> Memory<S> {
    fn new() -> Self {
        Self { history: History::new(), pending: None, adaptive: None }
    }
}

/// A run that can be paused after every step.
#[derive(Clone, Debug)]
pub struct Sampler<S> {
    solver: Solver,
    schedule: Schedule,
    levels: Vec<Level>,
    position: usize,
    level: Level,
    x: S,
    memory: Memory<S>,
    tally: Tally<S>,
    attempts: usize,
    rejected: u32,
}

impl<S: State> Sampler<S> {
    /// A run of `solver` along `levels` from `start`, a sample of `levels[0]`: for generating,
    /// [`Schedule::prior_std`] times unit noise on [`Schedule::grid`]; for encoding, data on
    /// [`Schedule::encoding_grid`].
    ///
    /// Only the last level may be clean; the run ends at the first that is. With fewer than two levels there is nothing
    /// to do.
    #[must_use]
    pub fn new(solver: Solver, schedule: Schedule, mut levels: Vec<Level>, start: S) -> Self {
        if let Some(end) = levels.iter().position(|level| level.sigma <= 0.0) {
            levels.truncate(if end == 0 { 0 } else { end + 1 });
        }
        let level = levels.first().copied().unwrap_or_else(super::schedule::clean);
        let memory = Memory::new();
        let tally = Tally::default();
        Self { solver, schedule, levels, position: 0, level, x: start, memory, tally, attempts: 0, rejected: 0 }
    }

    /// One step. `None` when the run is over.
    ///
    /// # Errors
    /// The model's. The run is then as it was before the step, which can be made again.
    pub async fn step<D: Denoiser<S>, N: FnMut(&S, NoiseUse) -> S>(
        &mut self,
        model: &mut D,
        noise: &mut N,
    ) -> Result<Option<StepReport>, D::Error> {
        let Some(&to) = self.levels.get(self.position + 1) else { return Ok(None) };
        // Counts of this step; what solvers remember they write themselves, after their last evaluation.
        let mut tally = self.tally.next();
        let mut run = Context {
            from: self.level,
            to,
            step: self.position,
            steps: self.levels.len() - 1,
            schedule: &self.schedule,
            model,
            noise,
            tally: &mut tally,
        };
        let mut accepted = true;
        let x = self.x.clone();
        let adaptive = if let Solver::Rk45(tolerance) = self.solver { Some(tolerance) } else { None };
        match adaptive {
            Some(tolerance) if to.sigma > 0.0 || self.position + 2 < self.levels.len() => {
                // One long way to the last noisy level.
                let last = self.levels.len() - 1 - usize::from(self.levels.last().is_some_and(|l| l.sigma == 0.0));
                run.from = self.levels[0];
                run.to = self.levels[last];
                match rk45::attempt(&mut run, &mut self.memory.adaptive, &x, tolerance).await? {
                    Some(next) => self.x = next,
                    None => {
                        accepted = false;
                        self.rejected += 1;
                    }
                }
                let t = self.memory.adaptive.as_ref().map_or(self.level.t, |now| now.t);
                if accepted {
                    let arrived = t == self.levels[last].t;
                    self.level = if arrived { self.levels[last] } else { self.schedule.level(t) };
                    self.position = if arrived { last } else { self.position };
                }
            }
            _ => {
                self.x = advance(&mut run, self.solver, &mut self.memory, x).await?;
                self.level = to;
                self.position += 1;
            }
        }
        self.attempts += 1;
        let evaluations = self.tally.add(tally);
        Ok(Some(StepReport {
            step: if adaptive.is_some() { self.attempts } else { self.position },
            level: self.level,
            evaluations,
            accepted,
        }))
    }

    /// Every step that is left; gives the end.
    ///
    /// # Errors
    /// The model's.
    pub async fn run<D: Denoiser<S>, N: FnMut(&S, NoiseUse) -> S>(
        mut self,
        model: &mut D,
        noise: &mut N,
    ) -> Result<S, D::Error> {
        while self.step(model, noise).await?.is_some() {}
        Ok(self.x)
    }

    /// Replaces the sample, given it and its level: a projection between steps, as inpainting makes. What the solver
    /// remembers of earlier steps stays, but for the adaptive solver's slope at the old place.
    pub fn change(&mut self, change: impl FnOnce(S, Level) -> S) {
        self.x = change(self.x.clone(), self.level);
        if let Some(adaptive) = &mut self.memory.adaptive {
            adaptive.moved();
        }
    }

    /// Goes back up one level with fresh unit noise `z`, as RePaint does, and forgets the past. Gives whether there
    /// was a level above.
    pub fn raise(&mut self, z: S) -> bool {
        let Some(above) = self.position.checked_sub(1).and_then(|i| self.levels.get(i).copied()) else { return false };
        self.x = super::level::renoise(self.x.clone(), self.level, above, z);
        self.level = above;
        self.position -= 1;
        self.memory = Memory::new();
        true
    }

    /// The sample as it is now.
    #[must_use]
    pub fn x(&self) -> &S {
        &self.x
    }

    /// The level it is at.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The solver.
    #[must_use]
    pub fn solver(&self) -> Solver {
        self.solver
    }

    /// The grid.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// What the model said last, somewhere within the last step; `None` before the first.
    #[must_use]
    pub fn estimate(&self) -> Option<&Estimate<S>> {
        self.tally.last.as_ref()
    }

    /// Network evaluations so far.
    #[must_use]
    pub fn evaluations(&self) -> u32 {
        self.tally.evaluations
    }

    /// Network evaluations of the whole run; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_evaluations(&self) -> Option<u32> {
        self.levels.iter().skip(1).map(|to| self.solver.evaluations(to.sigma == 0.0)).sum()
    }

    /// Steps of the whole run; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_steps(&self) -> Option<usize> {
        (!matches!(self.solver, Solver::Rk45(_))).then(|| self.levels.len().saturating_sub(1))
    }

    /// Attempts that the adaptive solver rejected.
    #[must_use]
    pub fn rejected(&self) -> u32 {
        self.rejected
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.position + 1 >= self.levels.len()
    }
}

/// One step of a solver with a fixed grid. Adding a solver is adding a line here.
async fn advance<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    solver: Solver,
    memory: &mut Memory<S>,
    x: S,
) -> Result<S, D::Error> {
    // What solvers do at the level they come from, before they leave it.
    let x = match solver {
        Solver::PredictorCorrector { snr, corrections } => sde::correct(run, x, snr, corrections).await?,
        Solver::AnnealedCorrector { snr, corrections } | Solver::AnnealedLangevin { snr, corrections } => {
            sde::anneal(run, x, snr, corrections).await?
        }
        Solver::EdmHeun(churn) => return ode::edm(run, x, churn).await,
        _ => x,
    };
    if run.to.sigma == 0.0 {
        return Ok(run.estimate(&x, run.from).await?.data);
    }
    let history = &mut memory.history;
    match solver {
        Solver::Ddpm(variance) => ancestral::ddpm(run, x, variance).await,
        Solver::Ddim { eta } => ancestral::ddim(run, x, eta).await,
        Solver::EulerMaruyama => sde::euler_maruyama(run, x).await,
        Solver::ReverseDiffusion | Solver::PredictorCorrector { .. } | Solver::AnnealedCorrector { .. } => {
            sde::reverse_diffusion(run, x).await
        }
        // The same sample, seen at the next level.
        Solver::AnnealedLangevin { .. } => Ok(x.scale(run.to.alpha / run.from.alpha)),
        Solver::Euler => ode::euler(run, x).await,
        Solver::Heun => ode::heun(run, x).await,
        Solver::Dpm1 | Solver::Rk45(_) | Solver::EdmHeun(_) => dpm::first(run, x).await,
        Solver::Dpm2 => dpm::second(run, x).await,
        Solver::Dpm3 => dpm::third(run, x).await,
        Solver::DpmPp2m => multistep::deterministic(run, history, x, 2).await,
        Solver::DpmPp3m => multistep::deterministic(run, history, x, 3).await,
        Solver::DpmPpSde => multistep::stochastic(run, history, x).await,
        Solver::UniPc { order, basis } => {
            unipc::step(run, history, &mut memory.pending, x, order.clamp(1, 3), basis).await
        }
        Solver::Ipndm { order, strides } => adams::ipndm(run, history, x, order.clamp(1, 4), strides).await,
        Solver::Deis { degree } => adams::deis(run, history, x, degree.clamp(1, 3)).await,
    }
}
