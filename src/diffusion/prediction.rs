//! What a network's output means.
//!
//! Every prediction is a fixed linear map of data and noise, `output = a data + b noise`. Beside
//! `x = alpha data + sigma noise` that makes a 2 x 2 system, so that each is exactly convertible into every other.
//!
//! The maps hold for every `(alpha, sigma)`. A network that is to serve every schedule should see the canonical view
//! of a level, [`canonical`]: `x` divided by `sqrt(alpha^2 + sigma^2)`, its output read at the level so scaled.

use serde::{Deserialize, Serialize};

use super::{Estimate, Level, State};

/// The meaning of a network's output. Serialised as manifests of weights name it; their format 1 knows no flow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Prediction {
    /// The clean sample.
    Data,
    /// The noise (Ho et al. 2020).
    Noise,
    /// `alpha noise - sigma data` (Salimans and Ho 2022, arXiv 2202.00512).
    Velocity,
    /// The score of the noisy density, `-noise / sigma` (Song and Ermon 2019). A network says it times sigma:
    /// see [`Self::output_scale`].
    Score,
    /// EDM's `F` in `data = c_skip x + c_out F` (Karras et al. 2022, arXiv 2206.00364), for `x` of any `alpha`.
    Karras {
        /// Standard deviation of the data; 0.5 for EDM's images, 1 for standardised points.
        data_std: f64,
    },
    /// Flow matching's `noise - data` (Lipman et al. 2022, arXiv 2210.02747).
    #[serde(skip)]
    Flow,
}

/// `x * self.x + output * self.output`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Coefficient of the noisy sample.
    pub x: f64,
    /// Coefficient of the network's output.
    pub output: f64,
}

impl Affine {
    /// The value for a sample and an output.
    #[must_use]
    pub fn of<S: State>(self, x: S, output: S) -> S {
        x.blend(self.x, output, self.output)
    }
}

/// Signal and noise below this are taken to be this where a map divides by them. A noise prediction at `alpha = 0`
/// says nothing about the data, and a data prediction at `sigma = 0` nothing about the noise: what comes out is then
/// meaningless but finite.
const FLOOR: f64 = 1e-6;

impl Prediction {
    /// Every prediction, for tables and tests, with EDM for data of this standard deviation.
    #[must_use]
    pub fn all(data_std: f64) -> [Self; 6] {
        [Self::Data, Self::Noise, Self::Velocity, Self::Score, Self::Karras { data_std }, Self::Flow]
    }

    /// Name in manifests, files and reports.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Noise => "noise",
            Self::Velocity => "velocity",
            Self::Score => "score",
            Self::Karras { .. } => "karras",
            Self::Flow => "flow",
        }
    }

    /// `(a, b)` of the training target `a data + b noise`.
    #[must_use]
    pub fn target(self, level: Level) -> (f64, f64) {
        let Level { alpha, sigma, .. } = level;
        match self {
            Self::Data => (1.0, 0.0),
            Self::Noise => (0.0, 1.0),
            Self::Velocity => (-sigma, alpha),
            Self::Score => (0.0, -1.0 / sigma.max(FLOOR)),
            Self::Karras { data_std } => {
                let scale = self.input_scale(level);
                (sigma * scale / data_std, -alpha * data_std * scale)
            }
            Self::Flow => (-1.0, 1.0),
        }
    }

    /// The maps from `(x, output)` to the data and to the noise.
    #[must_use]
    pub fn split(self, level: Level) -> (Affine, Affine) {
        let Level { alpha, sigma, .. } = level;
        match self {
            Self::Data => {
                let divisor = sigma.max(FLOOR);
                (Affine { x: 0.0, output: 1.0 }, Affine { x: 1.0 / divisor, output: -alpha / divisor })
            }
            Self::Noise => {
                let divisor = alpha.max(FLOOR);
                (Affine { x: 1.0 / divisor, output: -sigma / divisor }, Affine { x: 0.0, output: 1.0 })
            }
            Self::Score => {
                let (divisor, sigma) = (alpha.max(FLOOR), sigma.max(FLOOR));
                (Affine { x: 1.0 / divisor, output: sigma * sigma / divisor }, Affine { x: 0.0, output: -sigma })
            }
            Self::Velocity | Self::Karras { .. } | Self::Flow => {
                let (a, b) = self.target(level);
                let determinant = alpha * b - sigma * a;
                (
                    Affine { x: b / determinant, output: -sigma / determinant },
                    Affine { x: -a / determinant, output: alpha / determinant },
                )
            }
        }
    }

    /// What the network believes, from the noisy sample and the network's output at the level.
    #[must_use]
    pub fn estimate<S: State>(self, x: S, output: S, level: Level) -> Estimate<S> {
        let (data, noise) = self.split(level);
        Estimate::new(data.of(x.clone(), output.clone()), noise.of(x, output))
    }

    /// The map from `(x, output)` of this prediction to the output of another.
    #[must_use]
    pub fn convert(self, other: Self, level: Level) -> Affine {
        let (data, noise) = self.split(level);
        let (a, b) = other.target(level);
        Affine { x: a * data.x + b * noise.x, output: a * data.output + b * noise.output }
    }

    /// What the network's input is multiplied by, so that it has unit variance when the data have: EDM's `c_in`.
    #[must_use]
    pub fn input_scale(self, level: Level) -> f64 {
        let data_std = if let Self::Karras { data_std } = self { data_std } else { 1.0 };
        1.0 / libm::hypot(level.alpha * data_std, level.sigma).max(FLOOR)
    }

    /// What a network's raw output of unit size should be multiplied by: `1 / sigma` for the score (NCSNv2's technique
    /// 3, `s = f / sigma`), 1 for all others, whose targets are of unit size at a [`canonical`] level.
    #[must_use]
    pub fn output_scale(self, level: Level) -> f64 {
        if self == Self::Score { 1.0 / level.sigma.max(FLOOR) } else { 1.0 }
    }

    /// How the error of this output relates to that of the data estimate: `|d output / d data|` at fixed `x`.
    #[must_use]
    pub fn sensitivity(self, level: Level) -> f64 {
        let (data, _) = self.split(level);
        1.0 / data.output.abs().max(1e-12)
    }
}

/// The level as a network that serves every schedule sees it, `alpha^2 + sigma^2 = 1`, and the factor that brings `x`
/// there. Data, noise and log-SNR are the same in both views.
#[must_use]
pub fn canonical(level: Level) -> (Level, f64) {
    let scale = 1.0 / libm::hypot(level.alpha, level.sigma).max(f64::MIN_POSITIVE);
    (Level { t: level.t, alpha: level.alpha * scale, sigma: level.sigma * scale }, scale)
}

/// Learned variance (Nichol and Dhariwal 2021): the log-variance between the smallest and the largest of a DDPM step
/// that the raw output `v` in `[-1, 1]` means. Not clipped: as in the paper, nothing keeps `v` in range but the loss.
#[must_use]
pub fn learned_log_variance(v: f64, smallest: f64, largest: f64) -> f64 {
    let share = 0.5 * (v + 1.0);
    share * libm::log(largest) + (1.0 - share) * libm::log(smallest)
}

/// Least variance that a logarithm is taken of: towards the clean level the posterior's is zero.
const LEAST_VARIANCE: f64 = 1e-20;

impl<S: State> Estimate<S> {
    /// Unit noise at the standard deviation that the model learned for a DDPM step, between the posterior variance
    /// `smallest` and the forward variance `largest`. A model that learned none has the posterior variance.
    #[must_use]
    pub fn learned_noise(&self, noise: S, smallest: f64, largest: f64) -> S {
        let Some(variance) = &self.variance else { return noise.scale(smallest.max(0.0).sqrt()) };
        let smallest = smallest.max(LEAST_VARIANCE);
        // The logarithm is linear in the output: two values give it.
        let (low, high) = (learned_log_variance(-1.0, smallest, largest), learned_log_variance(1.0, smallest, largest));
        let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
        noise.times_exp(variance, 0.5 * half, 0.5 * middle)
    }
}
