//! What may be known of a datum beforehand, and what it does to a mixture: everything in closed form.

use core::f64::consts::TAU;

use crate::diffusion::Level;
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
                let along = variance / total * (value - seen) + noise * libm::sqrt(variance / total) * rng.normal();
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

    /// What an observation makes of a noisy sample: its part along the direction replaced by what was seen, noised to the
    /// level with the unit noise `z` (score_sde's inpainting). The noise of the observation is part of the level's; at
    /// levels with less than it, nothing is replaced. A class changes nothing here.
    #[must_use]
    pub fn replace(&self, x: [f64; 2], level: Level, z: f64) -> [f64; 2] {
        let Self::Observation { direction, value, noise } = self else { return x };
        let left = level.sigma.powi(2) - (level.alpha * noise).powi(2);
        if left < 0.0 {
            return x;
        }
        moved(x, *direction, level.alpha * value + libm::sqrt(left) * z, 1.0)
    }

    /// A belief about the data moved onto the observation (Wang et al. 2022), or as near to it as its noise leaves it
    /// worth beside that of the belief, which for data of unit variance is `sigma^2 / (alpha^2 + sigma^2)`.
    #[must_use]
    pub fn project(&self, data: [f64; 2], level: Level) -> [f64; 2] {
        let Self::Observation { direction, value, noise } = self else { return data };
        let doubt = level.sigma.powi(2) / (level.alpha.powi(2) + level.sigma.powi(2));
        let share = if *noise > 0.0 { doubt / (doubt + noise * noise) } else { 1.0 };
        moved(data, *direction, *value, share)
    }
}

fn dot(a: [f64; 2], b: [f64; 2]) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

/// `x` with its part along the direction moved by this share of the way to `target`.
fn moved(x: [f64; 2], direction: [f64; 2], target: f64, share: f64) -> [f64; 2] {
    let way = share * (target - dot(direction, x));
    [x[0] + way * direction[0], x[1] + way * direction[1]]
}
