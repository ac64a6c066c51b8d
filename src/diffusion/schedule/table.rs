//! Discrete schedules: a table of betas, read as a function of time as DPM-Solver reads it.

use std::f64::consts::FRAC_PI_2;

/// The offset `s` of Nichol and Dhariwal's cosine schedule (arXiv 2102.09672).
pub const COSINE_OFFSET: f64 = 0.008;

/// Betas of a discrete variance-preserving chain with everything that follows from them.
///
/// Step `i` of the chain (counted from 0) lies at time `(i + 1) / len`; in between, `ln alpha` is linear in time
/// (Lu et al. 2022, arXiv 2206.00927, appendix D.2), and at time 0 it is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Betas {
    betas: Vec<f64>,
    /// `ln alpha` at times `0, 1 / len, …, 1`: one more entry than betas.
    log_alphas: Vec<f64>,
}

impl Betas {
    /// A chain with these betas, each moved into `[1e-12, 1 - 1e-12]`. An empty list becomes the single beta 0.5.
    #[must_use]
    pub fn new(betas: Vec<f64>) -> Self {
        let betas: Vec<f64> = if betas.is_empty() { vec![0.5] } else { betas };
        let betas: Vec<f64> = betas.into_iter().map(|beta| beta.clamp(1e-12, 1.0 - 1e-12)).collect();
        let mut log_alphas = Vec::with_capacity(betas.len() + 1);
        let mut log_alpha = 0.0;
        log_alphas.push(log_alpha);
        for beta in &betas {
            log_alpha += 0.5 * libm::log1p(-beta);
            log_alphas.push(log_alpha);
        }
        Self { betas, log_alphas }
    }

    /// Equally spaced from `first` to `last`. DDPM (Ho et al. 2020, arXiv 2006.11239): 1000 from 1e-4 to 0.02.
    #[must_use]
    pub fn linear(count: usize, first: f64, last: f64) -> Self {
        Self::new(spread(count, first, last).collect())
    }

    /// Equally spaced square roots: latent diffusion's schedule, and DDPM's "quad".
    #[must_use]
    pub fn scaled_linear(count: usize, first: f64, last: f64) -> Self {
        Self::new(spread(count, first.sqrt(), last.sqrt()).map(|root| root * root).collect())
    }

    /// Nichol and Dhariwal 2021: `1 - f((i + 1) / count) / f(i / count)` with `f` the squared cosine, at most 0.999.
    #[must_use]
    pub fn cosine(count: usize) -> Self {
        let signal = |i: usize| {
            let angle = (i as f64 / count as f64 + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * FRAC_PI_2;
            libm::cos(angle).powi(2)
        };
        Self::new((0..count).map(|i| (1.0 - signal(i + 1) / signal(i)).min(0.999)).collect())
    }

    /// From `first` to `last` along the logistic function on `[-6, 6]` (GeoDiff, as in diffusers).
    #[must_use]
    pub fn sigmoid(count: usize, first: f64, last: f64) -> Self {
        Self::new(spread(count, -6.0, 6.0).map(|v| first + (last - first) / (1.0 + libm::exp(-v))).collect())
    }

    /// The chain that visits only these steps, given in rising order; its betas are `1 - abar_k / abar_(k-1)`.
    #[must_use]
    pub fn strided(&self, steps: &[usize]) -> Self {
        let mut previous = 0.0;
        let betas = steps.iter().map(|&step| {
            let log_alpha = self.log_alphas[(step + 1).min(self.betas.len())];
            let beta = -libm::expm1(2.0 * (log_alpha - previous));
            previous = log_alpha;
            beta
        });
        Self::new(betas.collect())
    }

    /// The betas.
    #[must_use]
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// Number of steps; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.betas.len()
    }

    /// `alpha_bar` after step `i` (the papers' cumulative product), by the last step when `i` is beyond it.
    #[must_use]
    pub fn signal_power(&self, i: usize) -> f64 {
        libm::exp(2.0 * self.log_alphas[(i + 1).min(self.betas.len())])
    }

    /// Time of step `i`.
    #[must_use]
    pub fn time(&self, i: usize) -> f64 {
        ((i + 1) as f64 / self.len() as f64).min(1.0)
    }

    pub(super) fn log_alpha(&self, t: f64) -> f64 {
        let (segment, share) = self.locate(t);
        let (low, high) = (self.log_alphas[segment], self.log_alphas[segment + 1]);
        low + share * (high - low)
    }

    /// `d ln alpha / dt` on the segment that ends at or contains `t`.
    pub(super) fn slope(&self, t: f64) -> f64 {
        let (segment, _) = self.locate(t);
        (self.log_alphas[segment + 1] - self.log_alphas[segment]) * self.len() as f64
    }

    /// The time at which `ln alpha` has this value, within `[0, 1]`.
    pub(super) fn time_at_log_alpha(&self, log_alpha: f64) -> f64 {
        // The table falls; the first entry below the value ends the segment that holds it.
        let end = self.log_alphas.partition_point(|&entry| entry > log_alpha).clamp(1, self.len());
        let (low, high) = (self.log_alphas[end - 1], self.log_alphas[end]);
        let share = ((log_alpha - low) / (high - low)).clamp(0.0, 1.0);
        ((end - 1) as f64 + share) / self.len() as f64
    }

    /// The segment `(k / len, (k + 1) / len]` that holds `t`, and how far into it `t` is. A time within rounding of a
    /// knot belongs to the segment below the knot.
    fn locate(&self, t: f64) -> (usize, f64) {
        let position = t.clamp(0.0, 1.0) * self.len() as f64;
        let nearest = position.round();
        let position = if (position - nearest).abs() < 1e-9 { nearest } else { position };
        let segment = (position.ceil() as usize).clamp(1, self.len()) - 1;
        (segment, position - segment as f64)
    }
}

/// `count` equally spaced numbers, both ends included.
pub(super) fn spread(count: usize, first: f64, last: f64) -> impl Iterator<Item = f64> {
    let step = if count > 1 { (last - first) / (count - 1) as f64 } else { 0.0 };
    (0..count).map(move |i| if i > 0 && i + 1 == count { last } else { first + step * i as f64 })
}
