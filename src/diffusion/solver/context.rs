//! What a solver's step is given: two levels, a counted model and a source of noise.

use crate::diffusion::{Denoiser, Estimate, Level, Schedule, State};
use crate::rng::Stream;

/// What a draw of unit noise is for. `stream` and `index` name it uniquely within a run, so that the same noise can be
/// had again from [`crate::rng`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseUse {
    /// [`Stream::Solver`] for a step between levels, [`Stream::Corrector`] for a Langevin step at one.
    pub stream: Stream,
    /// Counts the draws of this stream from 0.
    pub index: u32,
    /// The solver step that asks.
    pub step: usize,
}

/// A source of unit noise: any `FnMut(&S, NoiseUse) -> S`, whose first argument shows the shape wanted.
pub trait NoiseSource<S>: FnMut(&S, NoiseUse) -> S {}
impl<S, F: FnMut(&S, NoiseUse) -> S> NoiseSource<S> for F {}

/// What a run has used so far. A step counts in its own, which is the run's once the step is done.
#[derive(Clone, Debug)]
pub(super) struct Tally<S> {
    pub evaluations: u32,
    pub last: Option<Estimate<S>>,
    pub solver_draws: u32,
    pub corrector_draws: u32,
}

impl<S> Tally<S> {
    /// The tally of the next step, which goes on counting.
    pub fn next(&self) -> Self {
        Self { last: None, ..*self }
    }

    /// Takes over the counts of a step that is done. Gives its evaluations.
    pub fn add(&mut self, step: Self) -> u32 {
        let evaluations = step.evaluations - self.evaluations;
        *self = Self { last: step.last.or(self.last.take()), ..step };
        evaluations
    }
}

impl<S> Default for Tally<S> {
    fn default() -> Self {
        Self { evaluations: 0, last: None, solver_draws: 0, corrector_draws: 0 }
    }
}

/// One step, from a level to the next. It may end at any of its evaluations: what the solver remembers is only to be
/// written after the last of them, so that the step can be made again.
pub(super) struct Context<'a, S, D, N> {
    /// Where the sample is.
    pub from: Level,
    /// Where it goes; `sigma > 0`, the clean level being the sampler's own affair.
    pub to: Level,
    /// Number of this step, from 0.
    pub step: usize,
    /// Number of steps of the run.
    pub steps: usize,
    pub schedule: &'a Schedule,
    pub model: &'a mut D,
    pub noise: &'a mut N,
    pub tally: &'a mut Tally<S>,
}

impl<S: State, D: Denoiser<S>, N: NoiseSource<S>> Context<'_, S, D, N> {
    /// One network evaluation.
    pub async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, D::Error> {
        let estimate = self.model.estimate(x, level).await?;
        self.tally.evaluations += 1;
        self.tally.last = Some(estimate.clone());
        Ok(estimate)
    }

    /// Fresh unit noise for the step.
    pub fn draw(&mut self, like: &S) -> S {
        let index = self.tally.solver_draws;
        self.tally.solver_draws += 1;
        (self.noise)(like, NoiseUse { stream: Stream::Solver, index, step: self.step })
    }

    /// Fresh unit noise for a Langevin step at a level.
    pub fn draw_corrector(&mut self, like: &S) -> S {
        let index = self.tally.corrector_draws;
        self.tally.corrector_draws += 1;
        (self.noise)(like, NoiseUse { stream: Stream::Corrector, index, step: self.step })
    }

    /// The highest order to use in this step: what was asked for, but in short runs falling to 1 at the end (as
    /// DPM-Solver's authors do below 15 steps).
    pub fn order(&self, wanted: usize) -> usize {
        if self.steps < 15 { wanted.min(self.steps - self.step) } else { wanted }
    }
}

/// The square root, of rounding errors below zero too.
pub(super) fn root(square: f64) -> f64 {
    square.max(0.0).sqrt()
}

/// `ln(alpha / sigma)`, the clock of the DPM-Solver family.
pub(super) fn clock(level: Level) -> f64 {
    0.5 * level.log_snr()
}
