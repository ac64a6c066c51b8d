//! Gaussian data along the axes of their covariance: what is known of their noisy levels in closed form.

use super::gaussian::{GaussianFit, eigenvalues};
use crate::diffusion::Level;

/// A Gaussian by its variances along the axes of its covariance.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Square of the length of the mean.
    pub mean_square: f64,
    /// Variances along axes.
    pub variances: Vec<f64>,
    /// Number of further axes, along which the data do not vary.
    pub flat: usize,
}

impl Spectrum {
    /// That of a fit.
    #[must_use]
    pub fn of(fit: &GaussianFit) -> Self {
        let variances = eigenvalues(fit.covariance.clone(), fit.mean.len());
        Self {
            mean_square: fit.mean.iter().map(|v| v * v).sum(),
            // Of rounding errors below zero.
            variances: variances.into_iter().map(|v| v.max(0.0)).collect(),
            flat: 0,
        }
    }

    /// That of images every pixel of which is repeated `side` by `side` times: `side^2` times the variance along as many
    /// axes, and none along the others.
    #[must_use]
    pub fn repeated(&self, side: usize) -> Self {
        let times = (side * side) as f64;
        let axes = self.variances.len() + self.flat;
        Self {
            mean_square: times * self.mean_square,
            variances: self.variances.iter().map(|v| times * v).collect(),
            flat: self.flat + axes * (side * side).saturating_sub(1),
        }
    }

    /// The Kullback-Leibler divergence, in nats, of these data at a noisy level from the standard normal distribution, which a
    /// walk back from that level starts from.
    #[must_use]
    pub fn divergence(&self, level: Level) -> f64 {
        let (signal, noise) = (level.alpha.powi(2), level.sigma.powi(2));
        // v - 1 - ln v of the variance v, by v - 1: near the prior nothing else is left.
        let of = |variance: f64| {
            let excess = signal * variance + (noise - 1.0);
            excess - libm::log1p(excess)
        };
        let axes: f64 = self.variances.iter().map(|&v| of(v)).sum();
        0.5 * (axes + self.flat as f64 * of(0.0) + signal * self.mean_square)
    }

    /// The share of the data's variance that the best linear guess recovers from one sample of a level. For Gaussian data
    /// no guess recovers more.
    #[must_use]
    pub fn recovered(&self, level: Level) -> f64 {
        let (signal, noise) = (level.alpha.powi(2), level.sigma.powi(2));
        let all: f64 = self.variances.iter().sum();
        let known = self.variances.iter().filter(|v| **v > 0.0).map(|v| signal * v * v / (signal * v + noise));
        if all > 0.0 { known.sum::<f64>() / all } else { 0.0 }
    }
}
