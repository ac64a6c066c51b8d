//! Exact denoisers of simple data and random configurations, for the tests of the mathematics.
#![allow(dead_code)]

use std::convert::Infallible;

use scorefield::diffusion::{Denoiser, Estimate, Level, State};
use scorefield::lab::{ClassChoice, FIELDS, Kind, RunConfig, Value};
use scorefield::rng::Rng;

/// Data `N(mean, variance)` in one dimension.
#[derive(Clone, Copy, Debug)]
pub struct Gaussian {
    pub mean: f64,
    pub variance: f64,
}

impl Gaussian {
    pub fn new(mean: f64, variance: f64) -> Self {
        Self { mean, variance }
    }

    /// Variance of `x` at a level.
    pub fn total(&self, level: Level) -> f64 {
        level.alpha.powi(2) * self.variance + level.sigma.powi(2)
    }

    pub fn believe(&self, x: f64, level: Level) -> Estimate<f64> {
        let centred = x - level.alpha * self.mean;
        Estimate::new(
            self.mean + level.alpha * self.variance / self.total(level) * centred,
            level.sigma / self.total(level) * centred,
        )
    }

    /// Where the probability-flow ODE takes `x` from one level to another.
    pub fn flow(&self, x: f64, from: Level, to: Level) -> f64 {
        to.alpha * self.mean + (self.total(to) / self.total(from)).sqrt() * (x - from.alpha * self.mean)
    }
}

impl Denoiser<f64> for Gaussian {
    type Error = Infallible;

    async fn estimate(&mut self, x: &f64, level: Level) -> Result<Estimate<f64>, Infallible> {
        Ok(self.believe(*x, level))
    }
}

/// A mixture of Gaussians `(weight, mean, variance)` in one dimension.
#[derive(Clone, Debug)]
pub struct Mixture(pub Vec<(f64, f64, f64)>);

impl Mixture {
    /// Log-density of `x` at a level.
    pub fn log_density(&self, x: f64, level: Level) -> f64 {
        let logs = self.logs(x, level);
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest + logs.iter().map(|l| (l - largest).exp()).sum::<f64>().ln()
    }

    fn logs(&self, x: f64, level: Level) -> Vec<f64> {
        self.0
            .iter()
            .map(|(weight, mean, variance)| {
                let total = level.alpha.powi(2) * variance + level.sigma.powi(2);
                weight.ln() - 0.5 * ((std::f64::consts::TAU * total).ln() + (x - level.alpha * mean).powi(2) / total)
            })
            .collect()
    }

    pub fn believe(&self, x: f64, level: Level) -> Estimate<f64> {
        let total = self.log_density(x, level);
        let mut estimate = Estimate::new(0.0, 0.0);
        for (log, (_, mean, variance)) in self.logs(x, level).into_iter().zip(&self.0) {
            let share = (log - total).exp();
            let part = Gaussian::new(*mean, *variance).believe(x, level);
            estimate = Estimate::new(estimate.data + share * part.data, estimate.noise + share * part.noise);
        }
        estimate
    }
}

impl Denoiser<f64> for Mixture {
    type Error = Infallible;

    async fn estimate(&mut self, x: &f64, level: Level) -> Result<Estimate<f64>, Infallible> {
        Ok(self.believe(*x, level))
    }
}

/// A batch of independent numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch(pub Vec<f64>);

impl State for Batch {
    fn scale(mut self, k: f64) -> Self {
        self.0.iter_mut().for_each(|x| *x *= k);
        self
    }
    fn add(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(x, y)| *x += y);
        self
    }
    async fn mean_norm(&self) -> f64 {
        self.0.iter().map(|x| x.abs()).sum::<f64>() / self.0.len() as f64
    }
    fn times_exp(mut self, exponent: &Self, slope: f64, shift: f64) -> Self {
        self.0.iter_mut().zip(&exponent.0).for_each(|(x, e)| *x = x.times_exp(e, slope, shift));
        self
    }
}

impl Batch {
    /// Mean and variance.
    pub fn moments(&self) -> (f64, f64) {
        let n = self.0.len() as f64;
        let mean = self.0.iter().sum::<f64>() / n;
        (mean, self.0.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
    }
}

fn each(x: &Batch, believe: impl Fn(f64) -> Estimate<f64>) -> Estimate<Batch> {
    let pairs: Vec<Estimate<f64>> = x.0.iter().map(|x| believe(*x)).collect();
    Estimate::new(Batch(pairs.iter().map(|p| p.data).collect()), Batch(pairs.iter().map(|p| p.noise).collect()))
}

impl Denoiser<Batch> for Gaussian {
    type Error = Infallible;

    async fn estimate(&mut self, x: &Batch, level: Level) -> Result<Estimate<Batch>, Infallible> {
        Ok(each(x, |x| self.believe(x, level)))
    }
}

impl Denoiser<Batch> for Mixture {
    type Error = Infallible;

    async fn estimate(&mut self, x: &Batch, level: Level) -> Result<Estimate<Batch>, Infallible> {
        Ok(each(x, |x| self.believe(x, level)))
    }
}

/// A configuration with every field anywhere in its range.
pub fn anything(rng: &mut Rng) -> RunConfig {
    let mut config = RunConfig::default();
    for field in FIELDS {
        let value = match field.kind {
            Kind::Choice(ids) => Value::Choice(ids[rng.below(ids.len() as u32) as usize]),
            Kind::Whole { min, max } => Value::Whole(match rng.below(4) {
                0 => min,
                1 => max,
                _ => min + rng.below((max - min).saturating_add(1)),
            }),
            Kind::Real { min, max, .. } => Value::Real(match rng.below(4) {
                0 => min,
                1 => max,
                _ => min + (max - min) * rng.uniform(),
            }),
            Kind::Class => Value::Class(ClassChoice::from_text(["any", "each", "cat"][rng.below(3) as usize])),
            Kind::Drawing | Kind::Gaussians | Kind::Word | Kind::Picture => continue,
        };
        assert_eq!(field.set(&mut config, value), None, "{}", field.key);
    }
    config
}
