//! One step back of a chain on the line, by quadrature: what the Gaussian of a learned step stands for.

use super::line::{Line, normal};
use crate::diffusion::Level;
use crate::diffusion::solver::Posterior;

/// Points of a quadrature.
const POINTS: usize = 4001;

/// A density known up to a constant, by quadrature over an interval in which it lies.
pub struct Quadrature {
    from: f64,
    step: f64,
    values: Vec<f64>,
}

impl Quadrature {
    fn new([from, to]: [f64; 2], density: impl Fn(f64) -> f64) -> Self {
        let step = (to - from) / (POINTS - 1) as f64;
        let mut values: Vec<f64> = (0..POINTS).map(|i| density(from + i as f64 * step)).collect();
        let total = step * values.iter().sum::<f64>();
        values.iter_mut().for_each(|v| *v /= total);
        Self { from, step, values }
    }

    /// Places and densities.
    pub fn places(&self) -> impl Iterator<Item = (f64, f64)> {
        self.values.iter().enumerate().map(|(i, v)| (self.from + i as f64 * self.step, *v))
    }

    /// Mean and variance.
    pub fn moments(&self) -> (f64, f64) {
        let mean = self.step * self.places().map(|(x, p)| x * p).sum::<f64>();
        (mean, self.step * self.places().map(|(x, p)| (x - mean).powi(2) * p).sum::<f64>())
    }

    /// The divergence from a Gaussian, in nats.
    pub fn divergence(&self, mean: f64, variance: f64) -> f64 {
        let log_normal = |x: f64| -0.5 * ((x - mean).powi(2) / variance + (std::f64::consts::TAU * variance).ln());
        let terms = self.places().filter(|(_, p)| *p > 0.0).map(|(x, p)| p * (p.ln() - log_normal(x)));
        self.step * terms.sum::<f64>()
    }
}

/// The step of the chain to `from`, from the level before it: `from.x = shrink * x + noise`.
#[derive(Clone, Copy)]
pub struct StepBack {
    from: Level,
    to: Level,
    x: f64,
}

impl StepBack {
    /// The step to `from`, where the sample is `x`, from the level `to` before it.
    pub fn new(from: Level, to: Level, x: f64) -> Self {
        Self { from, to, x }
    }

    /// The density of `x` given the sample before it, as a function of that.
    fn forward(self, before: f64) -> f64 {
        let posterior = Posterior::between(self.from, self.to);
        normal(self.x, self.from.alpha / self.to.alpha * before, posterior.forward)
    }

    /// Where the factor [`Self::forward`] and a density of this support are both more than nothing.
    fn interval(self, [low, high]: [f64; 2]) -> [f64; 2] {
        let shrink = self.from.alpha / self.to.alpha;
        let (middle, reach) = (self.x / shrink, 9.0 * Posterior::between(self.from, self.to).forward.sqrt() / shrink);
        // Far from both the product still has its peak between them.
        let low = low.max((middle - reach).min(high - 0.1 * reach));
        [low, high.min((middle + reach).max(low + 0.1 * reach))]
    }

    /// `q(x_to | x_from)` for data of this marginal at `to`.
    pub fn marginal(self, line: &Line) -> Quadrature {
        Quadrature::new(self.interval(line.support()), |before| self.forward(before) * line.density(before))
    }

    /// `q(x_to | x_from, data)`, as the product of its two factors.
    pub fn given(self, data: f64) -> Quadrature {
        let (mean, variance) = (self.to.alpha * data, self.to.sigma * self.to.sigma);
        let reach = 12.0 * self.to.sigma;
        Quadrature::new([mean - reach, mean + reach], |before| self.forward(before) * normal(before, mean, variance))
    }
}
