//! Conventions of trained networks: what the output means, how the input is scaled, how the level is told. The serde
//! names are those of the manifests beside weights (format 1).

use serde::{Deserialize, Serialize};

use super::schedule::COSINE_OFFSET;
use super::{Level, Prediction};

/// Convention of a trained network: all that has to be known to ask it about a noisy sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convention {
    /// Meaning of its output, which is of unit size: see [`Prediction::output_scale`].
    pub prediction: Prediction,
    /// Scale of its input.
    pub input: InputScale,
    /// Time it is told.
    pub time: TimeConvention,
}

impl Convention {
    /// Convention of Ho et al. 2020: the noise, from the 1000 steps of betas that grow evenly from 1e-4 to 0.02.
    #[must_use]
    pub fn ddpm() -> Self {
        Self {
            prediction: Prediction::Noise,
            input: InputScale::Preserving,
            time: TimeConvention::Steps { count: 1000, first: 1e-4, last: 0.02 },
        }
    }

    /// Convention of Nichol and Dhariwal 2021 for CIFAR-10: the noise, from the 4000 steps of the cosine schedule.
    #[must_use]
    pub fn improved() -> Self {
        Self { time: TimeConvention::CosineSteps { count: 4000 }, ..Self::ddpm() }
    }

    /// Convention of Song et al. 2021 for variance-exploding networks, as for images between -1 and 1: the score times
    /// sigma, told the logarithm of half of sigma, for theirs lay between 0 and 1.
    #[must_use]
    pub fn ve() -> Self {
        Self {
            prediction: Prediction::Score,
            input: InputScale::Exploding,
            time: TimeConvention::LogScaled { factor: 1.0, scale: 0.5 },
        }
    }

    /// Convention of Song et al. 2021 for variance-preserving networks: the noise, told 999 times the time of betas from
    /// 0.1 to 20.
    #[must_use]
    pub fn vp() -> Self {
        Self { time: TimeConvention::Linear { beta_min: 0.1, beta_max: 20.0, scale: 999.0 }, ..Self::ddpm() }
    }

    /// Time of a level in the network's units.
    #[must_use]
    pub fn time_of(&self, level: Level) -> f64 {
        self.time.times(&[level])[0]
    }
}

/// Scale of a network's input: what it was shown of `x = alpha data + sigma noise`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputScale {
    /// `x / sqrt(alpha^2 + sigma^2)`: variance-preserving training.
    Preserving,
    /// `x / alpha`: variance-exploding training.
    Exploding,
    /// `x / sqrt(alpha^2 data_std^2 + sigma^2)`: EDM.
    Karras {
        /// Standard deviation of the data.
        data_std: f64,
    },
}

impl InputScale {
    /// What `x` at this level is multiplied by.
    #[must_use]
    pub fn scale(self, level: Level) -> f64 {
        let Level { alpha, sigma, .. } = level;
        let divisor = match self {
            Self::Preserving => libm::hypot(alpha, sigma),
            Self::Exploding => alpha,
            Self::Karras { data_std } => libm::hypot(alpha * data_std, sigma),
        };
        1.0 / divisor.max(1e-6)
    }
}

/// Time of a network: how it was told the noise level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TimeConvention {
    /// Not at all (NCSNv2): always 0.
    None,
    /// `factor * ln(sigma / alpha)`; the factor is 100 for this project's EDM and VE training.
    LogSigma {
        /// The factor.
        factor: f64,
    },
    /// `factor * ln(scale * sigma / alpha)`.
    LogScaled {
        /// The factor.
        factor: f64,
        /// What sigma is multiplied by first.
        scale: f64,
    },
    /// The step among `count`, from 0, of the betas that grow evenly from `first` to `last` (Ho et al. 2020); between
    /// two steps in proportion to the logarithm of `sigma / alpha`. Networks of chains of another length than 1000 are
    /// told `step * 1000 / count`, as improved DDPM does.
    Steps {
        /// Number of steps.
        count: u32,
        /// First beta.
        first: f64,
        /// Last beta.
        last: f64,
    },
    /// The same among the steps of the cosine schedule (Nichol and Dhariwal 2021, `s = 0.008`).
    CosineSteps {
        /// Number of steps.
        count: u32,
    },
    /// The step itself, from 0, among the `count` of a chain, as diffusers' schedulers tell it; between two steps as above.
    Chain {
        /// Its betas.
        betas: ChainBetas,
        /// Number of steps.
        count: u32,
    },
    /// The place, from 0, among `count` levels of `sigma / alpha` that fall geometrically from `largest` to `smallest`; between
    /// two in proportion to the logarithm (Song et al. 2021's networks for variance that explodes in steps).
    Levels {
        /// Number of levels.
        count: u32,
        /// The first.
        largest: f64,
        /// The last.
        smallest: f64,
    },
    /// `scale * t` of the continuous schedule whose beta grows from `beta_min` to `beta_max` (Song et al. 2021).
    Linear {
        /// Beta at 0.
        beta_min: f64,
        /// Beta at 1.
        beta_max: f64,
        /// The factor, 999 in score_sde.
        scale: f64,
    },
}

/// Betas of a chain of any length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChainBetas {
    /// From `first` to `last` in equal steps (Ho et al. 2020).
    Linear {
        /// First beta.
        first: f64,
        /// Last beta.
        last: f64,
    },
    /// Their roots in equal steps (Rombach et al. 2022).
    ScaledLinear {
        /// First beta.
        first: f64,
        /// Last beta.
        last: f64,
    },
    /// Those of the cosine schedule (Nichol and Dhariwal 2021, `s = 0.008`).
    Cosine,
}

impl ChainBetas {
    /// The beta of a step of a chain of so many.
    fn at(self, step: u32, count: u32) -> f64 {
        let share = f64::from(step) / f64::from(count.max(2) - 1);
        match self {
            Self::Linear { first, last } => first + (last - first) * share,
            Self::ScaledLinear { first, last } => {
                let (first, last) = (first.sqrt(), last.sqrt());
                libm::pow(first + (last - first) * share, 2.0)
            }
            Self::Cosine => {
                let signal = |step: u32| {
                    let t = f64::from(step) / f64::from(count.max(1));
                    libm::pow(
                        libm::cos((t + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * core::f64::consts::FRAC_PI_2),
                        2.0,
                    )
                };
                (1.0 - signal(step + 1) / signal(step)).min(0.999)
            }
        }
    }

    fn is_possible(self) -> bool {
        match self {
            Self::Cosine => true,
            Self::Linear { first, last } | Self::ScaledLinear { first, last } => {
                0.0 < first && first <= last && last < 1.0
            }
        }
    }
}

/// Most steps of a table.
const MOST_STEPS: u32 = 100_000;

impl TimeConvention {
    /// Times of these levels, in the units of the network. A table of steps is made once for all of them.
    #[must_use]
    pub fn times(self, levels: &[Level]) -> Vec<f64> {
        let log_ratio = |level: &Level| libm::log(level.sigma.max(1e-9)) - libm::log(level.alpha.max(1e-9));
        let logs = levels.iter().map(log_ratio);
        match self {
            Self::None => vec![0.0; levels.len()],
            Self::LogSigma { factor } => logs.map(|log| factor * log).collect(),
            Self::LogScaled { factor, scale } => logs.map(|log| factor * (log + libm::log(scale))).collect(),
            Self::Steps { count, first, last } => {
                let table = steps(ChainBetas::Linear { first, last }, count);
                logs.map(|log| thousandth(count) * position(&table, log)).collect()
            }
            Self::CosineSteps { count } => {
                let table = steps(ChainBetas::Cosine, count);
                logs.map(|log| thousandth(count) * position(&table, log)).collect()
            }
            Self::Chain { betas, count } => {
                let table = steps(betas, count);
                logs.map(|log| position(&table, log)).collect()
            }
            Self::Levels { count, largest, smallest } => {
                let (first, last) = (libm::log(largest), f64::from(count.max(2) - 1));
                let step = last / (first - libm::log(smallest));
                logs.map(|log| (step * (first - log)).clamp(0.0, last)).collect()
            }
            Self::Linear { beta_min, beta_max, scale } => {
                // sigma^2 / alpha^2 = exp(B) - 1 with B = beta_min t + (beta_max - beta_min) t^2 / 2, solved for t in
                // the form that loses no digits for small t.
                let slope = beta_max - beta_min;
                let integral = |log: f64| libm::log1p(libm::exp(2.0 * log));
                let time = |b: f64| 2.0 * b / (beta_min + (beta_min * beta_min + 2.0 * slope * b).sqrt());
                logs.map(|log| scale * time(integral(log))).collect()
            }
        }
    }

    /// Whether its numbers are those of a schedule: positive, ordered and finite.
    #[must_use]
    pub fn is_possible(self) -> bool {
        match self {
            Self::None => true,
            Self::LogSigma { factor } => factor.is_finite(),
            Self::LogScaled { factor, scale } => factor.is_finite() && (1e-6..=1e6).contains(&scale),
            Self::CosineSteps { count } => (2..=MOST_STEPS).contains(&count),
            Self::Steps { count, first, last } => {
                (2..=MOST_STEPS).contains(&count) && ChainBetas::Linear { first, last }.is_possible()
            }
            Self::Chain { betas, count } => (2..=MOST_STEPS).contains(&count) && betas.is_possible(),
            Self::Levels { count, largest, smallest } => {
                (2..=MOST_STEPS).contains(&count) && (1e-9..largest).contains(&smallest) && largest <= 1e9
            }
            Self::Linear { beta_min, beta_max, scale } => {
                0.0 < beta_min && beta_min <= beta_max && beta_max <= 1e4 && scale.is_finite()
            }
        }
    }
}

/// What a step of a chain of this length is in a chain of 1000.
fn thousandth(count: u32) -> f64 {
    1000.0 / f64::from(count.max(1))
}

/// `ln(sigma / alpha)` after each step, ascending.
fn steps(betas: ChainBetas, count: u32) -> Vec<f64> {
    let mut kept = 1.0;
    let log_ratio = |step| {
        kept *= 1.0 - betas.at(step, count);
        0.5 * (libm::log(1.0 - kept) - libm::log(kept))
    };
    (0..count.min(MOST_STEPS)).map(log_ratio).collect()
}

/// Where in an ascending table a value lies, from 0, between two entries in proportion.
fn position(table: &[f64], value: f64) -> f64 {
    let last = table.len().saturating_sub(1);
    let above = table.partition_point(|entry| *entry < value).clamp(1, last.max(1));
    match (table.get(above - 1), table.get(above)) {
        (Some(low), Some(high)) => {
            let share = (value - low) / (high - low);
            ((above - 1) as f64 + share).clamp(0.0, last as f64)
        }
        _ => 0.0,
    }
}
