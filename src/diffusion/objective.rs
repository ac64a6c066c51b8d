//! What networks are trained on: weightings, score matching in its forms, and which times to train at.

use std::ops::{Add, Mul};

use super::prediction::canonical;
use super::schedule::ncsn::normal_cdf;
use super::{Level, Prediction, Schedule};

/// How the loss weighs the levels. Each is a weight of the squared error of the *data estimate*; [`Self::of_raw_output`]
/// turns it into one of the network's own output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weighting {
    /// The network's own output, unweighted: `L_simple` for noise (Ho et al. 2020), `lambda = sigma^2` for the score
    /// (Song and Ermon 2019).
    Simple,
    /// `min(snr, cap)` of the data error (Hang et al. 2023, arXiv 2303.09556; their cap is 5).
    MinSnr {
        /// The cap.
        cap: f64,
    },
    /// EDM's `(sigma^2 + data_std^2) / (sigma data_std)^2` of the data error at `alpha = 1` (Karras et al. 2022).
    Edm {
        /// Standard deviation of the data.
        data_std: f64,
    },
    /// `g^2` of the score error: a bound on the likelihood (Song et al. 2021, arXiv 2101.09258).
    Likelihood,
}

impl Weighting {
    /// The weight of the squared error of a network's raw output, which is of unit size: the prediction is
    /// [`Prediction::output_scale`] times as large. For a network that sees [`canonical`] levels; finite at every level of
    /// [`Schedule::time_range`].
    #[must_use]
    pub fn of_raw_output(self, prediction: Prediction, schedule: &Schedule, level: Level) -> f64 {
        let (seen, _) = canonical(level);
        match (self, prediction) {
            // EDM's own loss in terms of its F is unweighted, whatever else is asked for.
            (_, Prediction::Karras { .. }) | (Self::Simple, _) => 1.0,
            _ => self.of_error(prediction.output_scale(seen) / prediction.sensitivity(seen), schedule, level),
        }
    }

    /// The weight of a squared error of which the data estimate's is `ratio^2` times as large; of the data estimate's own
    /// for [`Self::Simple`].
    fn of_error(self, ratio: f64, schedule: &Schedule, level: Level) -> f64 {
        let of_data = match self {
            Self::Simple => 1.0,
            Self::MinSnr { cap } => level.snr().min(cap),
            Self::Edm { data_std } => {
                let (seen, _) = canonical(Level { alpha: level.alpha * data_std, ..level });
                1.0 / (seen.sigma * seen.sigma) / (data_std * data_std)
            }
            // The score is -noise / sigma, and an error of the data is one of the noise times alpha / sigma.
            Self::Likelihood => (schedule.diffusion(level.t) * level.alpha / (level.sigma * level.sigma)).powi(2),
        };
        of_data * ratio * ratio
    }
}

/// Sliced score matching (Song et al. 2019, arXiv 1905.07088) along `direction`, with `curvature = v^T J v`.
#[must_use]
pub fn sliced(score: &[f64], direction: &[f64], curvature: f64) -> f64 {
    curvature + 0.5 * dot(score, direction).powi(2)
}

/// Denoising score matching (Vincent 2011): half the squared distance of the score at `alpha data + sigma noise` to
/// `-noise / sigma`. NCSN multiplies it by `sigma^2`.
#[must_use]
pub fn denoising(score: &[f64], noise: &[f64], sigma: f64) -> f64 {
    0.5 * score.iter().zip(noise).map(|(s, z)| (s + z / sigma).powi(2)).sum::<f64>()
}

/// Implicit score matching of the model `N(mean, variance)` on data of these moments, in closed form:
/// `(v + (m - mean)^2) / (2 variance^2) - 1 / variance`. Smallest at the data's own moments.
#[must_use]
pub fn gaussian_implicit(mean: f64, variance: f64, data_mean: f64, data_variance: f64) -> f64 {
    (data_variance + (data_mean - mean).powi(2)) / (2.0 * variance.powi(2)) - 1.0 / variance
}

/// The "simplified loss" that a widely read article prints for the same model, `E[(x - mean)^2 / variance^2 +
/// 1 / variance]`: a factor and a sign are wrong, and it falls without end as the variance grows.
#[must_use]
pub fn gaussian_implicit_misprinted(mean: f64, variance: f64, data_mean: f64, data_variance: f64) -> f64 {
    (data_variance + (data_mean - mean).powi(2)) / variance.powi(2) + 1.0 / variance
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `KL(N(mean_1, variance_1) || N(mean_2, variance_2))` in one dimension, in nats.
#[must_use]
pub fn normal_divergence(mean_1: f64, variance_1: f64, mean_2: f64, variance_2: f64) -> f64 {
    0.5 * (libm::log(variance_2 / variance_1) + (variance_1 + (mean_1 - mean_2).powi(2)) / variance_2 - 1.0)
}

/// DDPM's decoder: the log-probability, in nats, of a grey value `x` in `[-1, 1]` under a normal distribution cut into bins
/// of this half-width, the outermost open: `1 / 255` for bytes, `1 / 16` for the 17 values of handwritten digits.
/// Probabilities are at least `1e-12`.
#[must_use]
pub fn discretised_log_probability(x: f64, mean: f64, std: f64, half_width: f64, cdf: impl Fn(f64) -> f64) -> f64 {
    let above = if x > 0.999 { 1.0 } else { cdf((x - mean + half_width) / std) };
    let below = if x < -0.999 { 0.0 } else { cdf((x - mean - half_width) / std) };
    libm::log((above - below).max(1e-12))
}

/// Half-width of a bin of [`discretised_log_probability`] for grey values that are bytes.
pub const BYTE_HALF_WIDTH: f64 = 1.0 / 255.0;

/// [`discretised_log_probability`] with the exact distribution function.
#[must_use]
pub fn exact_discretised_log_probability(x: f64, mean: f64, std: f64, half_width: f64) -> f64 {
    discretised_log_probability(x, mean, std, half_width, normal_cdf)
}

/// `L_hybrid = L_simple + 0.001 L_vlb` (Nichol and Dhariwal 2021), from the bound's term at one of `steps` steps drawn
/// uniformly, in bits per dimension; the mean inside the term must carry no gradient. Of numbers, or of tensors of them.
#[must_use]
pub fn hybrid<T: Add<Output = T> + Mul<f64, Output = T>>(simple: T, bound_term: T, steps: usize) -> T {
    simple + bound_term * (0.001 * steps as f64)
}

/// `count` rising times in `[0, 1)`, one in each of `count` equal parts and all at the same share `shift` of theirs, which
/// is uniform (Kingma et al. 2021, arXiv 2107.00630, appendix I.1): together they cover the interval evenly.
pub fn low_discrepancy_times(count: usize, shift: f64) -> impl Iterator<Item = f64> {
    (0..count).map(move |i| (i as f64 + shift) / count as f64)
}

/// Importance sampling of the steps of a chain by the second moment of their losses (Nichol and Dhariwal 2021, section
/// 3.3): probability in proportion to the root of the mean square of the last ten losses, mixed with a little of the
/// uniform one; uniform until every step has ten.
#[derive(Clone, Debug, PartialEq)]
pub struct LossMemory {
    losses: Vec<Vec<f64>>,
    next: Vec<usize>,
}

impl LossMemory {
    /// Losses kept per step.
    pub const KEPT: usize = 10;
    /// Share of the uniform distribution.
    pub const UNIFORM: f64 = 0.001;

    /// No losses yet, for a chain of this many steps.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        Self { losses: vec![Vec::with_capacity(Self::KEPT); steps], next: vec![0; steps] }
    }

    /// Notes the loss of a step, unweighted. What is not finite, or not a step, is left out.
    pub fn note(&mut self, step: usize, loss: f64) {
        let (Some(losses), true) = (self.losses.get_mut(step), loss.is_finite()) else { return };
        if losses.len() < Self::KEPT {
            losses.push(loss);
        } else {
            losses[self.next[step]] = loss;
        }
        self.next[step] = (self.next[step] + 1) % Self::KEPT;
    }

    /// Probability of every step.
    #[must_use]
    pub fn probabilities(&self) -> Vec<f64> {
        let count = self.losses.len() as f64;
        let uniform = vec![1.0 / count; self.losses.len()];
        if self.losses.iter().any(|losses| losses.len() < Self::KEPT) {
            return uniform;
        }
        let roots: Vec<f64> = self
            .losses
            .iter()
            .map(|losses| (losses.iter().map(|l| l * l).sum::<f64>() / Self::KEPT as f64).sqrt())
            .collect();
        let total: f64 = roots.iter().sum();
        if total <= 0.0 {
            return uniform;
        }
        roots.iter().map(|root| (1.0 - Self::UNIFORM) * root / total + Self::UNIFORM / count).collect()
    }

    /// The step for a uniform `u` in `[0, 1)`, and the weight `1 / (steps p)` that keeps the loss unbiased.
    #[must_use]
    pub fn draw(&self, u: f64) -> (usize, f64) {
        let probabilities = self.probabilities();
        let mut left = u;
        for (step, p) in probabilities.iter().enumerate() {
            left -= p;
            if left < 0.0 || step + 1 == probabilities.len() {
                return (step, 1.0 / (probabilities.len() as f64 * p));
            }
        }
        (0, 1.0)
    }
}
