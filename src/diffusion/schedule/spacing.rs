//! How the steps of a sampler are spread over the levels of a schedule.

use super::table::spread;
use super::{Schedule, clean};
use crate::diffusion::Level;

/// How the noisy levels of a grid are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spacing {
    /// Uniform in time.
    Uniform,
    /// Quadratic in time, dense near the data.
    Quadratic,
    /// Uniform in log-SNR (Lu et al. 2022).
    LogSnr,
    /// Uniform in `(sigma / alpha)^(1 / rho)` (Karras et al. 2022); they use `rho = 7`.
    Karras {
        /// The bend: larger puts more levels near the data.
        rho: f64,
    },
    /// Every k-th step of a trained chain, starting at the cleanest (DDPM, DDIM).
    Leading,
    /// Both ends of a trained chain and equal strides between, rounded (improved DDPM).
    Linspace,
    /// Every k-th step of a trained chain, starting at the noisiest (Lin et al. 2023, arXiv 2305.08891).
    Trailing,
}

/// Steps of a chain that a schedule without a table is cut into by [`Spacing::Leading`] and its relatives.
const USUAL_CHAIN: usize = 1000;

impl Schedule {
    /// `steps + 1` falling levels (at least one step) that end at the clean level, `sigma = 0` exactly; what is
    /// before it has `sigma > 0`. Schedules that reach `alpha = 0` start a little before it: see [`Self::time_range`].
    ///
    /// Trained tables of levels ([`Schedule::Geometric`], and the discrete spacings) have fewer when `steps` is more
    /// than they hold.
    #[must_use]
    pub fn grid(&self, spacing: Spacing, steps: usize) -> Vec<Level> {
        let steps = steps.max(1);
        let (first, last) = self.time_range();
        let mut levels = match spacing {
            Spacing::Leading | Spacing::Linspace | Spacing::Trailing => self.chain_levels(spacing, steps),
            // Where the noise vanishes at t = 0 by itself, the clean level is the natural end of the grid.
            Spacing::Uniform | Spacing::Quadratic if self.level(0.0).sigma == 0.0 => {
                let power = if spacing == Spacing::Quadratic { 2 } else { 1 };
                (0..steps).map(|i| self.level(first * (1.0 - i as f64 / steps as f64).powi(power))).collect()
            }
            _ => self.levels_between(spacing, first, last, steps),
        };
        if let Self::Geometric { levels: trained, .. } = self {
            let last = (*trained).max(2) as f64 - 1.0;
            levels = levels.into_iter().map(|level| self.level((level.t * last).round() / last)).collect();
        }
        levels.dedup_by(|b, a| b.sigma * a.alpha >= a.sigma * b.alpha);
        levels.push(clean());
        levels
    }

    /// `count` levels from time `first` to time `last`, both included; rising when `last` is larger. One level alone
    /// is the first. The discrete spacings are read as [`Spacing::Uniform`] here.
    #[must_use]
    pub fn levels_between(&self, spacing: Spacing, first: f64, last: f64, count: usize) -> Vec<Level> {
        let (start, end) = (self.level(first), self.level(last));
        let mut levels: Vec<Level> = match spacing {
            Spacing::LogSnr => {
                spread(count, start.log_snr(), end.log_snr()).map(|log_snr| self.level_at_log_snr(log_snr)).collect()
            }
            Spacing::Karras { rho } => {
                spread(count, libm::pow(start.ratio(), 1.0 / rho), libm::pow(end.ratio(), 1.0 / rho))
                    .map(|root| self.level_at_log_snr(-2.0 * rho * libm::log(root)))
                    .collect()
            }
            Spacing::Quadratic => {
                spread(count, first.sqrt(), last.sqrt()).map(|root| self.level(root * root)).collect()
            }
            _ => spread(count, first, last).map(|t| self.level(t)).collect(),
        };
        // The inverse of log-SNR rounds; the ends are known.
        if let Some(level) = levels.first_mut() {
            *level = start;
        }
        if count > 1
            && let Some(level) = levels.last_mut()
        {
            *level = end;
        }
        levels
    }

    /// `steps + 1` rising levels for encoding data into noise by a deterministic solver, from the smallest level of
    /// [`Self::time_range`] to the largest.
    #[must_use]
    pub fn encoding_grid(&self, spacing: Spacing, steps: usize) -> Vec<Level> {
        let (first, last) = self.time_range();
        self.levels_between(spacing, last, first, steps.max(1) + 1)
    }

    /// The grid with these noisy levels, given as `sigma / alpha`: falling, the clean level last. Where a run starts is
    /// for the schedule to say, so that its noisiest level stands for the first ratio, whatever that is. Of the others,
    /// those at or above that level are left out, and those below the schedule's least noisy one become it.
    #[must_use]
    pub fn levels_at(&self, ratios: &[f64]) -> Vec<Level> {
        let (first, last) = self.time_range();
        let (start, end) = (self.level(first), self.level(last));
        let inside = ratios.iter().skip(1).filter(|wanted| **wanted < start.ratio());
        let mut inside: Vec<f64> = inside.map(|wanted| wanted.max(end.ratio())).collect();
        inside.sort_unstable_by(|a, b| b.total_cmp(a));
        inside.dedup();
        // The inverse of log-SNR rounds; the ends are known.
        let level = |wanted| if wanted == end.ratio() { end } else { self.level_at_log_snr(-2.0 * libm::log(wanted)) };
        [start].into_iter().chain(inside.into_iter().map(level)).chain([clean()]).collect()
    }

    /// Levels of a trained chain at the steps that a discrete spacing chooses, falling, without the clean level.
    fn chain_levels(&self, spacing: Spacing, steps: usize) -> Vec<Level> {
        let trained = match self {
            Self::Betas(table) => table.len(),
            Self::Geometric { levels, .. } => (*levels).max(2) as usize,
            _ => USUAL_CHAIN,
        };
        let (largest, _) = self.time_range();
        let chosen = match spacing {
            Spacing::Leading => leading_subset(trained, steps),
            Spacing::Trailing => trailing_subset(trained, steps),
            _ => even_subset(trained, steps),
        };
        let time = |step: usize| match self {
            Self::Geometric { .. } => step as f64 / (trained - 1) as f64,
            Self::Betas(_) => (step + 1) as f64 / trained as f64,
            _ => ((step + 1) as f64 / trained as f64).min(largest),
        };
        chosen.into_iter().rev().map(|step| self.level(time(step))).collect()
    }
}

/// Improved DDPM's strided subset: `count` equally spaced reals over `0..trained`, both ends included, rounded half to
/// even. In rising order; all of them when `count` is more than `trained`. One step alone is the last.
#[must_use]
pub fn even_subset(trained: usize, count: usize) -> Vec<usize> {
    if count <= 1 || trained <= 1 {
        return vec![trained.max(1) - 1];
    }
    spread(count.min(trained), 0.0, (trained - 1) as f64).map(|v| v.round_ties_even() as usize).collect()
}

/// DDIM's uniform subset: every `trained / count`-th step from 0, the stride rounded down, `count` of them, rising.
#[must_use]
pub fn leading_subset(trained: usize, count: usize) -> Vec<usize> {
    let count = count.clamp(1, trained.max(1));
    let stride = (trained / count).max(1);
    (0..count).map(|i| i * stride).collect()
}

/// The subset that contains the noisiest step: `trained - 1, trained - 1 - stride, …` with the real stride
/// `trained / count`, rounded half to even. Rising.
#[must_use]
pub fn trailing_subset(trained: usize, count: usize) -> Vec<usize> {
    let count = count.clamp(1, trained.max(1));
    let stride = trained as f64 / count as f64;
    let mut steps: Vec<usize> =
        (0..count).map(|i| ((trained as f64 - i as f64 * stride).round_ties_even() as usize).max(1) - 1).collect();
    steps.reverse();
    steps.dedup();
    steps
}

/// DDIM's quadratic subset, `int(linspace(0, sqrt(0.8 trained), count)^2)`, rising; repeated steps are left out.
#[must_use]
pub fn quadratic_subset(trained: usize, count: usize) -> Vec<usize> {
    let mut steps: Vec<usize> =
        spread(count.max(1), 0.0, (0.8 * trained as f64).sqrt()).map(|root| (root * root) as usize).collect();
    steps.dedup();
    steps
}
