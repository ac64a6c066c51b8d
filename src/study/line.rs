//! Mixtures of Gaussians on the line.

use crate::data::Mixture;
use crate::diffusion::Level;
use crate::diffusion::schedule::ncsn::normal_cdf;

/// The density of a normal distribution.
pub fn normal(x: f64, mean: f64, variance: f64) -> f64 {
    (-0.5 * (x - mean).powi(2) / variance).exp() / (std::f64::consts::TAU * variance).sqrt()
}

/// A mixture of Gaussians on the line: weight, mean and standard deviation of every component. The weights sum to 1.
pub struct Line(pub Vec<(f64, f64, f64)>);

impl Line {
    /// The first coordinate of a mixture in the plane, at a level.
    pub fn first_of(mixture: &Mixture, level: Level) -> Self {
        let parts = mixture.weights.iter().zip(&mixture.means).zip(&mixture.stds);
        Self(parts.map(|((w, m), s)| (*w, level.alpha * m[0], (level.alpha * s).hypot(level.sigma))).collect())
    }

    /// Log-density, in nats.
    pub fn log_density(&self, x: f64) -> f64 {
        let logs = self
            .0
            .iter()
            .map(|(w, m, s)| (w / (s * (std::f64::consts::TAU).sqrt())).ln() - 0.5 * ((x - m) / s).powi(2));
        let top = logs.clone().fold(f64::NEG_INFINITY, f64::max);
        top + logs.map(|l| (l - top).exp()).sum::<f64>().ln()
    }

    /// Density.
    pub fn density(&self, x: f64) -> f64 {
        self.log_density(x).exp()
    }

    /// Derivative of the log-density.
    pub fn score(&self, x: f64) -> f64 {
        let log = |(w, m, s): &(f64, f64, f64)| (w / s).ln() - 0.5 * ((x - m) / s).powi(2);
        let top = self.0.iter().map(log).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut total) = (0.0, 0.0);
        for part in &self.0 {
            let share = (log(part) - top).exp();
            sum -= share * (x - part.1) / (part.2 * part.2);
            total += share;
        }
        sum / total
    }

    /// Distribution function.
    pub fn cdf(&self, x: f64) -> f64 {
        self.0.iter().map(|(w, m, s)| w * normal_cdf((x - m) / s)).sum()
    }

    /// Where all but nothing of it lies.
    pub fn support(&self) -> [f64; 2] {
        self.0.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], (_, mean, std)| {
            [low.min(mean - 9.0 * std), high.max(mean + 9.0 * std)]
        })
    }
}
