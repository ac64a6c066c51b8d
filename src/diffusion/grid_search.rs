//! Searched grids: where few steps should be, by the shape of a model's own trajectories (GITS, Chen et al. 2024,
//! arXiv 2405.11326).
//!
//! A teacher follows the probability flow of a batch over a fine grid. An Euler step from one of its levels to another,
//! which is DDIM's, leaves its trajectory by some distance: the cost of that step. Dynamic programming then finds the
//! levels between which a given number of steps is cheapest. Everything is measured in `x / alpha` and
//! `rho = sigma / alpha`, so that a grid found on one schedule is good on every other.

use super::likelihood::Batched;
use super::solver::Strides;
use super::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing};

/// Steps of the teacher's grid, as published (61 levels).
pub const TEACHER_STEPS: usize = 60;
/// Trajectories that the published grids are averaged over.
pub const TRAJECTORIES: usize = 256;
/// The published coefficient of the dynamic programming, for [`Metric::Deviation`].
pub const COEFFICIENT: f64 = 1.15;
/// The published teacher: iPNDM of order 4 on EDM's grid.
const TEACHER: Solver = Solver::Ipndm { order: 4, strides: Strides::Equal };

/// What a step costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// How much farther from the straight line between the trajectory's ends it arrives than the teacher is there: the
    /// published cost. Less than 0 for a step that cuts a corner.
    Deviation,
    /// How far from the teacher it arrives: with a coefficient of 1, the sum over the steps bounds the error of DDIM on
    /// a flow that does not drive neighbours apart.
    Distance,
}

/// Why there is no grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// No trajectory was added.
    #[error("there is no trajectory to search by")]
    NoTrajectory,
    /// The model answered with something that is no number.
    #[error("the model's answers are no numbers")]
    NotFinite,
    /// The teacher's grid is not that fine.
    #[error("{steps} steps do not fit in a teacher's grid of {most}")]
    TooManySteps {
        /// Steps asked for.
        steps: usize,
        /// Most steps there are.
        most: usize,
    },
}

/// The search for a model's grids: costs of all steps between the levels of a teacher's grid, summed over trajectories.
#[derive(Clone, Debug)]
pub struct GridSearch {
    schedule: Schedule,
    metric: Metric,
    levels: Vec<Level>,
    /// Row by row: the cost of the step from level `i` to level `j > i` at `i * levels + j`.
    sums: Vec<f64>,
    trajectories: usize,
}

impl GridSearch {
    /// A search over a teacher's grid of this many steps, usually [`TEACHER_STEPS`]: EDM's, from the noisiest level to
    /// the clean one.
    #[must_use]
    pub fn new(schedule: Schedule, metric: Metric, steps: usize) -> Self {
        let levels = schedule.grid(Spacing::Karras { rho: 7.0 }, steps);
        let sums = vec![0.0; levels.len() * levels.len()];
        Self { schedule, metric, levels, sums, trajectories: 0 }
    }

    /// The teacher's grid, falling, the clean level last.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Trajectories so far.
    #[must_use]
    pub fn trajectories(&self) -> usize {
        self.trajectories
    }

    /// Adds the teacher's trajectories from a batch of unit noise: one evaluation of the model a step, and two states a
    /// level held until the costs are known. Gives the teacher's samples.
    ///
    /// # Errors
    /// The model's; nothing is added then.
    pub async fn add<S: Batched, D: Denoiser<S>>(&mut self, model: &mut D, unit_noise: S) -> Result<S, D::Error> {
        let start = unit_noise.scale(self.schedule.prior_std());
        let mut sampler = Sampler::new(TEACHER, self.schedule.clone(), self.levels.clone(), start.clone());
        // The teacher draws no noise.
        let mut silence = |like: &S, _: NoiseUse| like.clone();
        let mut said: Vec<Estimate<S>> = Vec::with_capacity(self.levels.len());
        while sampler.step(model, &mut silence).await?.is_some() {
            said.extend(sampler.estimate().cloned());
        }
        let end = sampler.x().clone();
        let line = start.scale(1.0 / self.levels[0].alpha).blend(1.0, end.clone(), -1.0);
        let squares = line.dots(&line).await;
        // In units of data: where a straight line along this estimate is at a level, which for its own is the sample.
        let along = |estimate: &Estimate<S>, rho: f64| estimate.data.clone().blend(1.0, estimate.noise.clone(), rho);
        for j in 1..self.levels.len() {
            let rho = self.levels[j].ratio();
            let teacher = said.get(j).map_or_else(|| end.clone(), |estimate| along(estimate, rho));
            // Taken off before distances are: the same multiple of the line, which is most of what there is.
            let chord = end.clone().blend(1.0, line.clone(), rho / self.levels[0].ratio());
            let bent = match self.metric {
                Metric::Distance => 0.0,
                Metric::Deviation => beside(teacher.clone().blend(1.0, chord.clone(), -1.0), &line, &squares).await,
            };
            for (i, estimate) in said.iter().enumerate().take(j) {
                let arrived = along(estimate, rho);
                let cost = match self.metric {
                    Metric::Distance => {
                        let miss = arrived.blend(1.0, teacher.clone(), -1.0);
                        miss.dots(&miss).await.into_iter().map(f64::sqrt).sum()
                    }
                    Metric::Deviation => beside(arrived.blend(1.0, chord.clone(), -1.0), &line, &squares).await - bent,
                };
                self.sums[i * self.levels.len() + j] += cost;
            }
        }
        self.trajectories += squares.len();
        Ok(end)
    }

    /// Takes in what another search over the same grid found by other trajectories. Nothing of a search over another.
    pub fn merge(&mut self, other: &Self) {
        if self.levels == other.levels && self.metric == other.metric {
            self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum += more);
            self.trajectories += other.trajectories;
        }
    }

    /// The mean cost of a step from one level of the teacher's grid to a later one, in the data's units.
    #[must_use]
    pub fn cost(&self, from: usize, to: usize) -> f64 {
        let sum = if from < to { self.sums.get(from * self.levels.len() + to) } else { None };
        sum.map_or(f64::INFINITY, |sum| sum / self.trajectories.max(1) as f64)
    }

    /// The best grid for this many steps: `sigma / alpha` of its noisy levels, falling, as many as steps; after the last
    /// of them comes the clean level. [`Schedule::levels_at`] makes levels of them.
    ///
    /// # Errors
    /// When no trajectory was added, a cost is no number, or there are more steps than the teacher has.
    pub fn ratios(&self, steps: usize, coefficient: f64) -> Result<Vec<f64>, SearchError> {
        if self.trajectories == 0 {
            return Err(SearchError::NoTrajectory);
        }
        if !self.sums.iter().all(|sum| sum.is_finite()) {
            return Err(SearchError::NotFinite);
        }
        let most = self.levels.len() - 1;
        let path = cheapest_path(self.levels.len(), steps, coefficient, |i, j| self.cost(i, j));
        let path = path.ok_or(SearchError::TooManySteps { steps, most })?;
        Ok(path[..steps].iter().map(|&i| self.levels[i].ratio()).collect())
    }
}

/// The cheapest way from place 0 to place `places - 1` in exactly `steps` steps, each to a later place: `steps + 1`
/// places, both ends included. A step's cost counts `coefficient` times as much as that of the step before it (the
/// paper's algorithm). Of ways that cost the same, the first. `None` when there is no way, or no coefficient.
#[must_use]
pub fn cheapest_path(
    places: usize,
    steps: usize,
    coefficient: f64,
    cost: impl Fn(usize, usize) -> f64,
) -> Option<Vec<usize>> {
    let end = places.checked_sub(1)?;
    if steps == 0 || steps > end || !coefficient.is_finite() {
        return None;
    }
    // For one step left, two, …: what is left to pay from each place, and the place to go to.
    let mut left: Vec<Vec<(f64, usize)>> = vec![(0..end).map(|i| (cost(i, end), end)).collect()];
    for k in 1..steps {
        let after = &left[k - 1];
        // From a place with fewer than k places between it and the end there is no way.
        let best = |i: usize| {
            (i + 1..end).fold((f64::INFINITY, end), |best, j| {
                let total = cost(i, j) + coefficient * after[j].0;
                if total < best.0 { (total, j) } else { best }
            })
        };
        left.push((0..end).map(best).collect());
    }
    let mut path = vec![0];
    for choices in left.iter().rev() {
        let &(total, next) = choices.get(*path.last()?)?;
        if !total.is_finite() {
            return None;
        }
        path.push(next);
    }
    Some(path)
}

/// How far these are from lines through the origin, summed over the batch; `squares` are the lines' squared lengths.
async fn beside<S: Batched>(away: S, line: &S, squares: &[f64]) -> f64 {
    let (own, shared) = (away.dots(&away).await, away.dots(line).await);
    let distances = own.iter().zip(shared).zip(squares).map(|((own, shared), square)| {
        let rest = if *square > 0.0 { own - shared * shared / square } else { *own };
        // Rounding may leave less than nothing; what is no number stays so.
        if rest < 0.0 { 0.0 } else { rest.sqrt() }
    });
    distances.sum()
}
