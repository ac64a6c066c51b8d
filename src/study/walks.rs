//! Walks of digits down the noise, under what is known of them.

use super::chain::{start, walk_under};
use super::context::StudyContext;
use super::error::StudyError;
use super::rows::{RowDenoiser, Rows};
use crate::diffusion::constraint::{Masked, Method};
use crate::diffusion::solver::Variance;
use crate::diffusion::{Sampler, Schedule, Solver, Spacing, State as _};

/// Noise of the walks, and of the training for them.
pub const SIGMAS: [f64; 2] = [0.05, 40.0];
/// Steps of a walk down.
pub const STEPS: usize = 60;
/// How far data estimates reach: a little beyond black and white.
pub const MOST: f64 = 1.2;

/// What all walks share.
pub struct Walks<'a> {
    /// Where the study works.
    pub context: &'a StudyContext,
    /// Steps done.
    pub done: usize,
    /// Steps of all.
    pub all: usize,
}

impl Walks<'_> {
    /// A walk down the noise, from the same noise every time, under a constraint or none.
    pub async fn walk(
        &mut self,
        [dimension, count]: [usize; 2],
        constraint: Option<(Masked<Rows>, Method)>,
        model: &mut dyn RowDenoiser,
    ) -> Result<Rows, StudyError> {
        let schedule = Schedule::Exploding { sigma_min: SIGMAS[0], sigma_max: SIGMAS[1] };
        let from = start(self.context, dimension, count, 0).scale(schedule.prior_std());
        let grid = schedule.grid(Spacing::Uniform, STEPS);
        let sampler = Sampler::new(Solver::Ddpm(Variance::Small), schedule, grid, from);
        let Self { context, done, all } = self;
        let mut look = |_: &Sampler<Rows>| {
            *done += 1;
            context.progress((*done).min(*all), *all);
        };
        walk_under(context, sampler, constraint, model, &mut look).await
    }
}
