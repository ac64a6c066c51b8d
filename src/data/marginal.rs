//! A mixture at a level of noise: density, score, posterior means and divergences in closed form.

use core::f64::consts::TAU;
use std::convert::Infallible;

use crate::diffusion::likelihood::JacobianProduct;
use crate::diffusion::{Denoiser, Estimate, Level};

use super::mixture::Mixture;

/// Logarithm of the share below which a component is left out of a sum. Of 512 components the ones left out together
/// weigh less than `512 * exp(-45) < 2e-17`, which is below rounding.
const NEGLIGIBLE: f64 = -45.0;

/// The least variance of a component: keeps `alpha = sigma = 0`, where the density is a spike, free of `0 / 0`.
const LEAST_VARIANCE: f64 = 1e-280;

/// The distribution of `x = alpha * data + sigma * noise` for data of a mixture. It is again a mixture, of means
/// `alpha * mean` and variances `alpha^2 * std^2 + sigma^2`.
///
/// For a point that is not finite, everything is NaN, and so it is beyond about `1e150` standard deviations.
#[derive(Clone, Debug)]
pub struct Marginal<'a> {
    mixture: &'a Mixture,
    level: Level,
    components: Vec<Component>,
}

/// What one component needs to know at a level.
#[derive(Clone, Copy, Debug)]
struct Component {
    /// `alpha * mean`
    centre: [f64; 2],
    /// `1 / variance`
    precision: f64,
    /// `ln(weight / (2 pi variance))`
    log_peak: f64,
    /// `alpha * std^2 / variance`: how much of the deviation from the centre is data.
    data_gain: f64,
    /// `sigma / variance`: how much of it is noise.
    noise_gain: f64,
}

impl Component {
    fn offset(&self, x: [f64; 2]) -> [f64; 2] {
        [x[0] - self.centre[0], x[1] - self.centre[1]]
    }
}

impl<'a> Marginal<'a> {
    /// The mixture at `level`; the same as [`Mixture::at`].
    #[must_use]
    pub fn new(mixture: &'a Mixture, level: Level) -> Self {
        let mut marginal = Self { mixture, level, components: Vec::new() };
        marginal.set_level(level);
        marginal
    }

    fn set_level(&mut self, level: Level) {
        let Level { alpha, sigma, .. } = level;
        let mixture = self.mixture;
        self.level = level;
        self.components.clear();
        self.components.extend(mixture.weights.iter().zip(&mixture.means).zip(&mixture.stds).map(
            |((weight, mean), std)| {
                let clean = (alpha * std) * (alpha * std);
                let variance = (clean + sigma * sigma).max(LEAST_VARIANCE);
                Component {
                    centre: [alpha * mean[0], alpha * mean[1]],
                    precision: 1.0 / variance,
                    log_peak: libm::log(*weight) - libm::log(TAU * variance),
                    data_gain: alpha * std * std / variance,
                    noise_gain: sigma / variance,
                }
            },
        ));
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Writes every component's log-density times weight at `x` and returns the largest.
    fn logits(&self, x: [f64; 2], logits: &mut Vec<f64>) -> f64 {
        logits.clear();
        logits.extend(self.components.iter().map(|component| {
            let [dx, dy] = component.offset(x);
            component.log_peak - 0.5 * component.precision * (dx * dx + dy * dy)
        }));
        logits.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Calls `visit` with every component that matters at `x` and its share of the density, not yet normalised,
    /// and returns the sum of the shares.
    fn visit(&self, x: [f64; 2], logits: &mut Vec<f64>, mut visit: impl FnMut(usize, &Component, f64)) -> f64 {
        let top = self.logits(x, logits);
        let mut total = 0.0;
        for (index, (component, logit)) in self.components.iter().zip(logits.iter()).enumerate() {
            let below = logit - top;
            // NaN is visited too, so that it spreads.
            if below.is_nan() || below >= NEGLIGIBLE {
                let share = libm::exp(below);
                total += share;
                visit(index, component, share);
            }
        }
        total
    }

    /// Log-density, in nats.
    #[must_use]
    pub fn log_density(&self, x: [f64; 2]) -> f64 {
        let mut logits = Vec::with_capacity(self.components.len());
        let total = self.visit(x, &mut logits, |_, _, _| {});
        libm::log(total) + logits.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The score: gradient of the log-density.
    #[must_use]
    pub fn score(&self, x: [f64; 2]) -> [f64; 2] {
        let mut sum = [0.0; 2];
        let total = self.visit(x, &mut Vec::new(), |_, component, share| {
            let [dx, dy] = component.offset(x);
            sum = [sum[0] - share * component.precision * dx, sum[1] - share * component.precision * dy];
        });
        [sum[0] / total, sum[1] / total]
    }

    /// Probabilities that `x` came from each component.
    #[must_use]
    pub fn responsibilities(&self, x: [f64; 2]) -> Vec<f64> {
        let mut shares = vec![0.0; self.components.len()];
        let total = self.visit(x, &mut Vec::new(), |index, _, share| shares[index] = share);
        shares.iter_mut().for_each(|share| *share /= total);
        shares
    }

    /// The component `x` most probably came from; the first of equals.
    #[must_use]
    pub fn nearest(&self, x: [f64; 2]) -> usize {
        let mut logits = Vec::new();
        let top = self.logits(x, &mut logits);
        logits.iter().position(|&logit| logit == top).unwrap_or(0)
    }

    /// Posterior means of data and noise given `x`.
    #[must_use]
    pub fn estimate(&self, x: [f64; 2]) -> Estimate<[f64; 2]> {
        self.estimate_into(x, &mut Vec::with_capacity(self.components.len()))
    }

    fn estimate_into(&self, x: [f64; 2], logits: &mut Vec<f64>) -> Estimate<[f64; 2]> {
        let means = &self.mixture.means;
        let (mut data, mut noise) = ([0.0; 2], [0.0; 2]);
        let total = self.visit(x, logits, |index, component, share| {
            let offset = component.offset(x);
            for axis in 0..2 {
                data[axis] += share * (means[index][axis] + component.data_gain * offset[axis]);
                noise[axis] += share * component.noise_gain * offset[axis];
            }
        });
        Estimate::new(data.map(|v| v / total), noise.map(|v| v / total))
    }

    /// The same for many points.
    #[must_use]
    pub fn estimates(&self, x: &[[f64; 2]]) -> Estimate<Vec<[f64; 2]>> {
        let mut logits = Vec::with_capacity(self.components.len());
        let (data, noise) = x
            .iter()
            .map(|&point| {
                let estimate = self.estimate_into(point, &mut logits);
                (estimate.data, estimate.noise)
            })
            .unzip();
        Estimate::new(data, noise)
    }

    /// Divergences of the estimates of data and of noise, exact at `alpha = 0` and at `sigma = 0` too.
    #[must_use]
    pub fn divergence(&self, x: [f64; 2]) -> Estimate<f64> {
        let means = &self.mixture.means;
        let data = self.divergence_of(x, |index, component| {
            let ([dx, dy], gain, mean) = (component.offset(x), component.data_gain, means[index]);
            (gain, [mean[0] + gain * dx, mean[1] + gain * dy])
        });
        let noise = self.divergence_of(x, |_, component| {
            let ([dx, dy], gain) = (component.offset(x), component.noise_gain);
            (gain, [gain * dx, gain * dy])
        });
        Estimate::new(data, noise)
    }

    /// The Jacobian of the noise estimate, which is symmetric, times `v`.
    #[must_use]
    pub fn noise_product(&self, x: [f64; 2], v: [f64; 2]) -> [f64; 2] {
        let score = self.score(x);
        let mut sum = [0.0; 2];
        let total = self.visit(x, &mut Vec::new(), |_, component, share| {
            let [dx, dy] = component.offset(x);
            let pull = [-component.precision * dx - score[0], -component.precision * dy - score[1]];
            let along = pull[0] * v[0] + pull[1] * v[1];
            let gain = share * component.noise_gain;
            sum = [sum[0] + gain * (v[0] + along * dx), sum[1] + gain * (v[1] + along * dy)];
        });
        [sum[0] / total, sum[1] / total]
    }

    /// Calls `visit` with every component: its number, the logarithm of its weight times its density at `x`, its own
    /// score there, and what it expects of the data: `(mean, slope of the mean in x, variance)`.
    pub(super) fn each(&self, x: [f64; 2], mut visit: impl FnMut(usize, f64, [f64; 2], ([f64; 2], f64, f64))) {
        let sigma = self.level.sigma;
        for (index, component) in self.components.iter().enumerate() {
            let [dx, dy] = component.offset(x);
            let (mean, std, gain) = (self.mixture.means[index], self.mixture.stds[index], component.data_gain);
            let log = component.log_peak - 0.5 * component.precision * (dx * dx + dy * dy);
            let expected = [mean[0] + gain * dx, mean[1] + gain * dy];
            let variance = std * std * sigma * sigma * component.precision;
            visit(index, log, [-component.precision * dx, -component.precision * dy], (expected, gain, variance));
        }
    }

    /// Divergence of a field that component by component is linear: `part` gives its slope and its value at `x`. A
    /// component's responsibility has the gradient `share * (own score - score)`.
    fn divergence_of(&self, x: [f64; 2], part: impl Fn(usize, &Component) -> (f64, [f64; 2])) -> f64 {
        let score = self.score(x);
        let mut sum = 0.0;
        let total = self.visit(x, &mut Vec::new(), |index, component, share| {
            let ([dx, dy], (slope, value)) = (component.offset(x), part(index, component));
            let pull = [-component.precision * dx - score[0], -component.precision * dy - score[1]];
            sum += share * (2.0 * slope + pull[0] * value[0] + pull[1] * value[1]);
        });
        sum / total
    }
}

impl Mixture {
    /// The distribution of `alpha * data + sigma * noise`. For more than one point at a level this is the thing to keep.
    #[must_use]
    pub fn at(&self, level: Level) -> Marginal<'_> {
        Marginal::new(self, level)
    }

    /// Log-density at `level`, in nats.
    #[must_use]
    pub fn log_density(&self, x: [f64; 2], level: Level) -> f64 {
        self.at(level).log_density(x)
    }

    /// Score at `level`: the gradient of the log-density.
    #[must_use]
    pub fn score(&self, x: [f64; 2], level: Level) -> [f64; 2] {
        self.at(level).score(x)
    }

    /// Posterior means of data and noise given `x` at `level`.
    #[must_use]
    pub fn estimate(&self, x: [f64; 2], level: Level) -> Estimate<[f64; 2]> {
        self.at(level).estimate(x)
    }

    /// The density at a clean point.
    #[must_use]
    pub fn density(&self, x: [f64; 2]) -> f64 {
        libm::exp(self.log_density(x, Level { t: 0.0, alpha: 1.0, sigma: 0.0 }))
    }
}

/// The denoiser that perfect training would give: a mixture's posterior means.
#[derive(Clone, Debug)]
pub struct Exact<'a> {
    // The marginal of the last level asked for: solvers ask for many points at one level.
    marginal: Marginal<'a>,
}

impl<'a> Exact<'a> {
    /// The denoiser of data from `mixture`.
    #[must_use]
    pub fn new(mixture: &'a Mixture) -> Self {
        Self { marginal: mixture.at(Level { t: 0.0, alpha: 1.0, sigma: 0.0 }) }
    }

    /// The mixture at `level`, kept until another level is asked for.
    pub fn at(&mut self, level: Level) -> &Marginal<'a> {
        if self.marginal.level != level {
            self.marginal.set_level(level);
        }
        &self.marginal
    }
}

impl Denoiser<[f64; 2]> for Exact<'_> {
    type Error = Infallible;

    async fn estimate(&mut self, x: &[f64; 2], level: Level) -> Result<Estimate<[f64; 2]>, Infallible> {
        Ok(self.at(level).estimate(*x))
    }
}

impl JacobianProduct<Vec<[f64; 2]>> for Exact<'_> {
    type Error = Infallible;

    async fn estimate_with_product(
        &mut self,
        x: &Vec<[f64; 2]>,
        level: Level,
        v: &Vec<[f64; 2]>,
    ) -> Result<(Estimate<Vec<[f64; 2]>>, Vec<[f64; 2]>), Infallible> {
        let marginal = self.at(level);
        let products = x.iter().zip(v).map(|(&x, &v)| marginal.noise_product(x, v)).collect();
        Ok((marginal.estimates(x), products))
    }
}

impl Denoiser<Vec<[f64; 2]>> for Exact<'_> {
    type Error = Infallible;

    async fn estimate(&mut self, x: &Vec<[f64; 2]>, level: Level) -> Result<Estimate<Vec<[f64; 2]>>, Infallible> {
        Ok(self.at(level).estimates(x))
    }
}
