//! Schedules: which levels of noise there are, and the stochastic differential equation that runs through them.
//!
//! Every schedule is read as `dx = f(t) x dt + g(t) dw` (Song et al. 2021, arXiv 2011.13456) with the marginals
//! `x = alpha(t) data + sigma(t) noise`, from `t = 0` (data) to `t = 1` (noise).

pub mod ncsn;
pub mod spacing;
pub mod table;

use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

pub use spacing::Spacing;
pub use table::{Betas, COSINE_OFFSET};

use super::{Level, State};

/// A noise schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Variance preserving with `beta` linear in time (VP SDE, the limit of DDPM).
    Linear {
        /// `beta(0)`, 0.1 in the papers.
        beta_min: f64,
        /// `beta(1)`, 20 in the papers.
        beta_max: f64,
    },
    /// Sub-VP SDE (Song et al. 2021): the same mean as [`Self::Linear`], `sigma = 1 - exp(-B)`.
    SubVp {
        /// `beta(0)`.
        beta_min: f64,
        /// `beta(1)`.
        beta_max: f64,
    },
    /// Variance exploding SDE (Song et al. 2021): `alpha = 1`, `sigma = sigma_min (sigma_max / sigma_min)^t`.
    Exploding {
        /// `sigma(0)`.
        sigma_min: f64,
        /// `sigma(1)`.
        sigma_max: f64,
    },
    /// Nichol and Dhariwal's cosine (arXiv 2102.09672) in continuous time:
    /// `alpha = cos((t + s) / (1 + s) pi / 2) / cos(s / (1 + s) pi / 2)`, `s = 0.008`. Reaches `alpha = 0` at `t = 1`.
    Cosine,
    /// Straight lines between data and noise: `alpha = 1 - t`, `sigma = t` (Liu et al. 2022; Lipman et al. 2022).
    Flow,
    /// NCSN's geometric levels (Song and Ermon 2019): [`Self::Exploding`], of which only `levels` are trained and
    /// sampled, at times `i / (levels - 1)`.
    Geometric {
        /// Smallest noise.
        sigma_min: f64,
        /// Largest noise.
        sigma_max: f64,
        /// Number of levels, at least 2.
        levels: u32,
    },
    /// EDM (Karras et al. 2022, arXiv 2206.00364): `alpha = 1` and noise that grows linearly, `sigma = sigma_max t`.
    Edm {
        /// Smallest noise of a sampling grid.
        sigma_min: f64,
        /// Largest noise.
        sigma_max: f64,
    },
    /// A discrete chain with a table of betas.
    Betas(Arc<Betas>),
}

/// No noise: where every sampling run ends.
#[must_use]
pub fn clean() -> Level {
    Level { t: 0.0, alpha: 1.0, sigma: 0.0 }
}

/// Mean of `ln sigma` over the noise levels that EDM trains at, for data of standard deviation 0.5 (Karras et al. 2022).
pub const EDM_LOG_MEAN: f64 = -1.2;
/// Standard deviation of the same.
pub const EDM_LOG_STD: f64 = 1.2;

/// Sampling neither starts with less signal than this share of the noise nor, before the clean level, ends with less
/// noise than this share of the signal.
const SMALLEST_RATIO: f64 = 1e-3;

impl Schedule {
    /// The schedule of a discrete chain.
    #[must_use]
    pub fn table(betas: Betas) -> Self {
        Self::Betas(Arc::new(betas))
    }

    /// The level at time `t`, moved into `[0, 1]`.
    #[must_use]
    pub fn level(&self, t: f64) -> Level {
        let t = t.clamp(0.0, 1.0);
        let (alpha, sigma) = match self {
            Self::Linear { beta_min, beta_max } => preserve(-0.5 * beta_integral(*beta_min, *beta_max, t)),
            Self::SubVp { beta_min, beta_max } => {
                let integral = beta_integral(*beta_min, *beta_max, t);
                (libm::exp(-0.5 * integral), -libm::expm1(-integral))
            }
            Self::Exploding { sigma_min, sigma_max } | Self::Geometric { sigma_min, sigma_max, .. } => {
                (1.0, sigma_min * libm::pow(sigma_max / sigma_min, t))
            }
            Self::Cosine => {
                let (start, angle) = (cosine_angle(0.0), cosine_angle(t));
                let alpha = if t == 1.0 { 0.0 } else { libm::cos(angle) / libm::cos(start) };
                // 1 - alpha^2 without its cancellation near t = 0.
                (alpha, (libm::sin(angle - start) * libm::sin(angle + start)).max(0.0).sqrt() / libm::cos(start))
            }
            Self::Flow => (1.0 - t, t),
            Self::Edm { sigma_max, .. } => (1.0, sigma_max * t),
            Self::Betas(table) => preserve(table.log_alpha(t)),
        };
        Level { t, alpha, sigma }
    }

    /// `(d alpha / dt, d sigma / dt)`: what moves a sample along the probability-flow ODE,
    /// `dx/dt = (d alpha/dt) data + (d sigma/dt) noise`. Finite for every `t > 0`, also where `alpha = 0`.
    #[must_use]
    pub fn velocity(&self, t: f64) -> (f64, f64) {
        let Level { t, alpha, sigma } = self.level(t);
        match self {
            Self::Linear { beta_min, beta_max } => {
                let beta = beta_min + (beta_max - beta_min) * t;
                (-0.5 * beta * alpha, 0.5 * beta * alpha * alpha / sigma)
            }
            Self::SubVp { beta_min, beta_max } => {
                let beta = beta_min + (beta_max - beta_min) * t;
                (-0.5 * beta * alpha, beta * alpha * alpha)
            }
            Self::Exploding { sigma_min, sigma_max } | Self::Geometric { sigma_min, sigma_max, .. } => {
                (0.0, sigma * libm::log(sigma_max / sigma_min))
            }
            Self::Cosine => {
                let rate = FRAC_PI_2 / (1.0 + COSINE_OFFSET);
                let fall = rate * libm::sin(cosine_angle(t)) / libm::cos(cosine_angle(0.0));
                (-fall, alpha * fall / sigma)
            }
            Self::Flow => (-1.0, 1.0),
            Self::Edm { sigma_max, .. } => (0.0, *sigma_max),
            Self::Betas(table) => {
                let slope = table.slope(t);
                (slope * alpha, -slope * alpha * alpha / sigma)
            }
        }
    }

    /// `f(t) = d ln alpha / dt`, the drift of the forward SDE. Minus infinity where `alpha = 0`.
    #[must_use]
    pub fn drift(&self, t: f64) -> f64 {
        let t = t.clamp(0.0, 1.0);
        match self {
            Self::Linear { beta_min, beta_max } | Self::SubVp { beta_min, beta_max } => {
                -0.5 * (beta_min + (beta_max - beta_min) * t)
            }
            Self::Exploding { .. } | Self::Geometric { .. } | Self::Edm { .. } => 0.0,
            Self::Cosine if t == 1.0 => f64::NEG_INFINITY,
            Self::Cosine => -FRAC_PI_2 / (1.0 + COSINE_OFFSET) * libm::tan(cosine_angle(t)),
            Self::Flow => -1.0 / (1.0 - t),
            Self::Betas(table) => table.slope(t),
        }
    }

    /// `g(t)`, the diffusion of the forward SDE: `g^2 = d sigma^2 / dt - 2 f sigma^2`. Infinite where `alpha = 0`.
    #[must_use]
    pub fn diffusion(&self, t: f64) -> f64 {
        let t = t.clamp(0.0, 1.0);
        let square = match self {
            Self::Linear { .. } | Self::Cosine | Self::Betas(_) => -2.0 * self.drift(t),
            Self::SubVp { beta_min, beta_max } => {
                let beta = beta_min + (beta_max - beta_min) * t;
                -beta * libm::expm1(-2.0 * beta_integral(*beta_min, *beta_max, t))
            }
            Self::Exploding { .. } | Self::Geometric { .. } | Self::Edm { .. } => {
                2.0 * self.level(t).sigma * self.velocity(t).1
            }
            Self::Flow => 2.0 * t / (1.0 - t),
        };
        square.max(0.0).sqrt()
    }

    /// Euler-Maruyama step of the forward SDE (Kloeden and Platen 1992): `x + f x dt + g sqrt(dt) z` with fresh unit
    /// noise `z`, from time `from` to the later time `to`.
    #[must_use]
    pub fn forward_step<S: State>(&self, x: S, from: f64, to: f64, z: S) -> S {
        let dt = to - from;
        x.blend(1.0 + self.drift(from) * dt, z, self.diffusion(from) * dt.max(0.0).sqrt())
    }

    /// `ln(alpha^2 / sigma^2)` at time `t`. Falls with `t`.
    #[must_use]
    pub fn log_snr(&self, t: f64) -> f64 {
        self.level(t).log_snr()
    }

    /// The time at which the log-SNR has this value; 0 or 1 when the schedule does not reach it.
    #[must_use]
    pub fn time_at_log_snr(&self, log_snr: f64) -> f64 {
        if log_snr.is_infinite() {
            return if log_snr > 0.0 { 0.0 } else { 1.0 };
        }
        // -ln alpha^2 of a variance-preserving level.
        let decay = softplus(-log_snr);
        let t = match self {
            Self::Linear { beta_min, beta_max } => beta_integral_inverse(*beta_min, *beta_max, decay),
            Self::SubVp { beta_min, beta_max } => {
                // With y = exp(-B / 2) and r = alpha / sigma: r (1 - y^2) = y.
                let r = libm::exp(0.5 * log_snr);
                let root = (1.0 + 4.0 * r * r).sqrt();
                let log_y = if r < 1.0 {
                    libm::log(2.0 * r / (1.0 + root))
                } else {
                    libm::log1p(-(1.0 + 1.0 / (2.0 * r + root)) / (1.0 + root))
                };
                beta_integral_inverse(*beta_min, *beta_max, -2.0 * log_y)
            }
            Self::Exploding { sigma_min, sigma_max } | Self::Geometric { sigma_min, sigma_max, .. } => {
                (-0.5 * log_snr - libm::log(*sigma_min)) / libm::log(sigma_max / sigma_min)
            }
            Self::Cosine => {
                let start = cosine_angle(0.0);
                let cosine = libm::cos(start) * libm::exp(-0.5 * decay);
                let sine = (libm::sin(start).powi(2) + libm::cos(start).powi(2) * libm::exp(-softplus(log_snr))).sqrt();
                libm::atan2(sine, cosine) / FRAC_PI_2 * (1.0 + COSINE_OFFSET) - COSINE_OFFSET
            }
            Self::Flow => 1.0 / (1.0 + libm::exp(0.5 * log_snr)),
            Self::Edm { sigma_max, .. } => libm::exp(-0.5 * log_snr) / sigma_max,
            Self::Betas(table) => table.time_at_log_alpha(-0.5 * decay),
        };
        t.clamp(0.0, 1.0)
    }

    /// The level with this log-SNR. Schedules without drift have one for every value, with `t` held within `[0, 1]`;
    /// the others have none beyond their ends and give the end.
    #[must_use]
    pub fn level_at_log_snr(&self, log_snr: f64) -> Level {
        let t = self.time_at_log_snr(log_snr);
        match self {
            Self::Exploding { .. } | Self::Geometric { .. } | Self::Edm { .. } => {
                Level { t, alpha: 1.0, sigma: libm::exp(-0.5 * log_snr) }
            }
            _ => self.level(t),
        }
    }

    /// Times strictly between these two, in their order, at which the levels as a function of time have a kink: the
    /// steps of a table.
    #[must_use]
    pub fn knots(&self, from: f64, to: f64) -> Vec<f64> {
        let Self::Betas(table) = self else { return Vec::new() };
        let inside = |t: &f64| *t > from.min(to) && *t < from.max(to);
        let mut knots: Vec<f64> = (0..table.len()).map(|i| table.time(i)).filter(inside).collect();
        if from > to {
            knots.reverse();
        }
        knots
    }

    /// `(largest, smallest)` time of a noisy level in sampling and training: `1` and `0.001`, or later and earlier
    /// where there would be less than 0.1 % signal or noise. Schedules with `sigma > 0` at `t = 0` go down to it; tables
    /// to their first step.
    #[must_use]
    pub fn time_range(&self) -> (f64, f64) {
        let largest = match self {
            Self::Exploding { .. } | Self::Geometric { .. } | Self::Edm { .. } => 1.0,
            _ => self.time_at_log_snr(2.0 * libm::log(SMALLEST_RATIO)),
        };
        let smallest = match self {
            Self::Exploding { .. } | Self::Geometric { .. } => 0.0,
            Self::Edm { sigma_min, sigma_max } => sigma_min / sigma_max,
            Self::Betas(table) => table.time(0),
            _ => self.time_at_log_snr(-2.0 * libm::log(SMALLEST_RATIO)).max(SMALLEST_RATIO),
        };
        (largest.max(smallest), smallest)
    }

    /// The level to train at for `u` in `[0, 1)`, spread as the schedule's papers spread it: uniform in time, over the
    /// steps of a chain, over geometric levels, or log-normal in sigma (EDM, for data of unit variance).
    #[must_use]
    pub fn training_level(&self, u: f64) -> Level {
        let (largest, smallest) = self.time_range();
        match self {
            Self::Betas(table) => {
                let step = ((u * table.len() as f64) as usize).min(table.len() - 1);
                self.level(table.time(step).min(largest))
            }
            Self::Geometric { levels, .. } => {
                let count = f64::from((*levels).max(2));
                self.level((u * count).floor().min(count - 1.0) / (count - 1.0))
            }
            Self::Edm { sigma_min, sigma_max } => {
                // From data of standard deviation 0.5 to data of 1.
                let log_sigma = EDM_LOG_MEAN + std::f64::consts::LN_2 + EDM_LOG_STD * ncsn::normal_quantile(u);
                let sigma = libm::exp(log_sigma).clamp(*sigma_min, *sigma_max);
                Level { t: sigma / sigma_max, alpha: 1.0, sigma }
            }
            _ => self.level(smallest + (largest - smallest) * u),
        }
    }

    /// Standard deviation of the noise that sampling starts from.
    #[must_use]
    pub fn prior_std(&self) -> f64 {
        match self {
            Self::Exploding { sigma_max, .. } | Self::Geometric { sigma_max, .. } | Self::Edm { sigma_max, .. } => {
                *sigma_max
            }
            _ => 1.0,
        }
    }

    /// Log-density of the prior, in nats, at a point of `dimension` dimensions with this squared norm.
    #[must_use]
    pub fn prior_log_density(&self, square_norm: f64, dimension: usize) -> f64 {
        let variance = self.prior_std().powi(2);
        -0.5 * (dimension as f64 * libm::log(std::f64::consts::TAU * variance) + square_norm / variance)
    }
}

/// `alpha` and `sigma = sqrt(1 - alpha^2)` from `ln alpha`.
fn preserve(log_alpha: f64) -> (f64, f64) {
    // Subtracted from 0, not negated: which of -0 and 0 is the larger is for each processor to say.
    (libm::exp(log_alpha), (0.0 - libm::expm1(2.0 * log_alpha)).max(0.0).sqrt())
}

/// `B(t)`, the integral of `beta` from 0 to `t`.
fn beta_integral(beta_min: f64, beta_max: f64, t: f64) -> f64 {
    t * (beta_min + 0.5 * (beta_max - beta_min) * t)
}

/// The time at which the integral of `beta` has this value, without cancellation for small ones.
fn beta_integral_inverse(beta_min: f64, beta_max: f64, integral: f64) -> f64 {
    2.0 * integral / (beta_min + (beta_min * beta_min + 2.0 * (beta_max - beta_min) * integral).max(0.0).sqrt())
}

fn cosine_angle(t: f64) -> f64 {
    (t + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * FRAC_PI_2
}

/// `ln(1 + e^x)`
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}
