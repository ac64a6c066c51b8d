//! What may be known of a datum beforehand, and what it does to a mixture: everything in closed form.

use core::f64::consts::TAU;

use crate::diffusion::constraint::{Constraint, Guidance};
use crate::diffusion::{Estimate, Level};
use crate::rng::Rng;

use super::marginal::Marginal;
use super::mixture::Mixture;

/// Something known of the data, in the coordinates of the mixture it is asked about.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `direction . data + noise z = value` with a unit vector and a standard normal `z`.
    Observation {
        /// What was looked at.
        direction: [f64; 2],
        /// What was seen.
        value: f64,
        /// Standard deviation of the observation's own noise; 0 for one that is exact.
        noise: f64,
    },
    /// The datum came from one of the components that are marked.
    Class(Vec<bool>),
}

/// The least variance of what is observed: keeps an exact observation at a level without noise free of `0 / 0`.
const LEAST_VARIANCE: f64 = 1e-18;

impl Condition {
    /// `grad_x ln p(condition | x)` for a noisy `x`: the gradient of a perfect classifier. Zero when no component is
    /// marked.
    #[must_use]
    pub fn gradient(&self, marginal: &Marginal<'_>, x: [f64; 2]) -> [f64; 2] {
        let mut terms = Vec::new();
        marginal.each(x, |index, log, own, (expected, gain, variance)| match self {
            Self::Class(marked) => {
                if marked.get(index).copied().unwrap_or(false) {
                    terms.push((log, own));
                }
            }
            Self::Observation { direction, value, noise } => {
                let variance = (variance + noise * noise).max(LEAST_VARIANCE);
                let miss = value - dot(*direction, expected);
                let pull = gain * miss / variance;
                let log = log - 0.5 * (libm::log(variance) + miss * miss / variance);
                terms.push((log, [own[0] + pull * direction[0], own[1] + pull * direction[1]]));
            }
        });
        let top = terms.iter().map(|(log, _)| *log).fold(f64::NEG_INFINITY, f64::max);
        if terms.is_empty() {
            return [0.0; 2];
        }
        let (mut total, mut sum) = (0.0, [0.0; 2]);
        for (log, own) in terms {
            let share = libm::exp(log - top);
            total += share;
            sum = [sum[0] + share * own[0], sum[1] + share * own[1]];
        }
        let score = marginal.score(x);
        [sum[0] / total - score[0], sum[1] / total - score[1]]
    }

    /// `count` independent points of the mixture under this condition, exactly. Empty when no component is marked.
    #[must_use]
    pub fn draw(&self, mixture: &Mixture, rng: &mut Rng, count: usize) -> Vec<[f64; 2]> {
        let Self::Observation { direction, value, noise } = self else {
            let kept = self.kept(mixture);
            return if kept.weights.is_empty() { Vec::new() } else { kept.draw(rng, count) };
        };
        let across = [-direction[1], direction[0]];
        // Which component, and then where along the direction and across it.
        self.kept(mixture)
            .draw_labelled(rng, count)
            .into_iter()
            .map(|(component, _)| {
                let (mean, variance) = (mixture.means[component], mixture.stds[component].powi(2));
                let seen = dot(*direction, mean);
                let total = (variance + noise * noise).max(LEAST_VARIANCE);
                let along = variance / total * (value - seen) + noise * (variance / total).sqrt() * rng.normal();
                let aside = mixture.stds[component] * rng.normal();
                [mean[0] + along * direction[0] + aside * across[0], mean[1] + along * direction[1] + aside * across[1]]
            })
            .collect()
    }

    /// The mixture with the weights that its components have under this condition; those not marked left out.
    #[must_use]
    pub fn kept(&self, mixture: &Mixture) -> Mixture {
        let logs: Vec<f64> = match self {
            Self::Class(marked) => marked.iter().map(|&marked| if marked { 0.0 } else { f64::NEG_INFINITY }).collect(),
            Self::Observation { direction, value, noise } => mixture
                .means
                .iter()
                .zip(&mixture.stds)
                .map(|(&mean, std)| {
                    let total = (std * std + noise * noise).max(LEAST_VARIANCE);
                    let miss = value - dot(*direction, mean);
                    -0.5 * (libm::log(TAU * total) + miss * miss / total)
                })
                .collect(),
        };
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let marked = matches!(self, Self::Class(_));
        Mixture::from_components(
            mixture
                .weights
                .iter()
                .zip(&logs)
                .enumerate()
                // An observation keeps every component in its place, so that labels go on meaning the same.
                .filter(|(_, (_, log))| !marked || log.is_finite())
                .map(|(i, (weight, log))| (weight * libm::exp(log - top), mixture.means[i], mixture.stds[i])),
        )
    }

    /// `x` with its observed part moved by this share of the way to `target`; a class changes nothing.
    fn moved(&self, x: [f64; 2], share: f64, target: impl FnOnce(f64) -> f64) -> [f64; 2] {
        let Self::Observation { direction, value, .. } = self else { return x };
        let way = share * (target(*value) - dot(*direction, x));
        [x[0] + way * direction[0], x[1] + way * direction[1]]
    }
}

/// A condition on points of a mixture, which guides by its exact gradient: that of a perfect classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactConstraint {
    /// What is known.
    pub condition: Condition,
    /// The data.
    pub mixture: Mixture,
    /// How strongly the gradient guides.
    pub guidance: Guidance,
    /// How far guided estimates of the data may lie from the middle: strong guidance at few levels would otherwise throw
    /// the samples farther at every step.
    pub radius: f64,
}

impl Constraint<Vec<[f64; 2]>> for ExactConstraint {
    fn noise(&self) -> f64 {
        if let Condition::Observation { noise, .. } = self.condition { noise } else { 0.0 }
    }

    /// Of the noise of each point, its first number counts: that along the direction.
    fn toward(
        &self,
        mut x: Vec<[f64; 2]>,
        scale: f64,
        fresh: Option<(Vec<[f64; 2]>, f64)>,
        share: f64,
    ) -> Vec<[f64; 2]> {
        let (z, std) = fresh.unwrap_or_default();
        for (i, x) in x.iter_mut().enumerate() {
            let noise = z.get(i).map_or(0.0, |z| std * z[0]);
            *x = self.condition.moved(*x, share, |value| scale * value + noise);
        }
        x
    }

    fn guide(&self, x: &Vec<[f64; 2]>, estimate: Estimate<Vec<[f64; 2]>>, level: Level) -> Estimate<Vec<[f64; 2]>> {
        let (scale, marginal) = (self.guidance.at(level), self.mixture.at(level));
        let gradient = x.iter().map(|&x| self.condition.gradient(&marginal, x).map(|g| scale * g)).collect();
        let mut estimate = estimate.guided(x, gradient, level);
        for ((x, data), noise) in x.iter().zip(&mut estimate.data).zip(&mut estimate.noise) {
            let far = libm::hypot(data[0], data[1]);
            if far > self.radius {
                *data = data.map(|d| d * self.radius / far);
                *noise = [0, 1].map(|i| (x[i] - level.alpha * data[i]) / level.sigma.max(1e-12));
            }
        }
        estimate
    }
}

fn dot(a: [f64; 2], b: [f64; 2]) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}
