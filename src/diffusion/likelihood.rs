//! Likelihoods: by the probability-flow ODE and by the variational bound of a chain.

use super::level::{Denoiser, Estimate, Evaluation, Level, State};
use super::objective::normal_divergence;
use super::prediction::learned_log_variance;
use super::solver::{Posterior, Tolerance, follow};
use super::{Schedule, schedule};

/// A state that is a batch of samples with an inner product each.
#[allow(async_fn_in_trait)]
pub trait Batched: State {
    /// The inner product of every sample with its counterpart, in order.
    async fn dots(&self, other: &Self) -> Vec<f64>;
    /// Dimensions of a sample.
    fn dimension(&self) -> usize;
}

impl Batched for f64 {
    async fn dots(&self, other: &Self) -> Vec<f64> {
        vec![self * other]
    }
    fn dimension(&self) -> usize {
        1
    }
}

impl Batched for [f64; 2] {
    async fn dots(&self, other: &Self) -> Vec<f64> {
        vec![self[0] * other[0] + self[1] * other[1]]
    }
    fn dimension(&self) -> usize {
        2
    }
}

impl Batched for Vec<[f64; 2]> {
    async fn dots(&self, other: &Self) -> Vec<f64> {
        self.iter().zip(other).map(|(a, b)| a[0] * b[0] + a[1] * b[1]).collect()
    }
    fn dimension(&self) -> usize {
        2
    }
}

/// A denoiser that knows the divergence of its noise estimate.
#[allow(async_fn_in_trait)]
pub trait Diverges<S> {
    /// Why there is no estimate: see [`Denoiser::Error`].
    type Error;

    /// The estimate, and `sum_i d noise_i / d x_i` for every sample.
    ///
    /// # Errors
    /// When the evaluation was not made, or not to its end.
    async fn estimate_with_divergence(&mut self, x: &S, level: Level) -> Result<(Estimate<S>, Vec<f64>), Self::Error>;
}

/// A denoiser that can multiply a vector by the Jacobian of its noise estimate, from either side.
#[allow(async_fn_in_trait)]
pub trait JacobianProduct<S> {
    /// Why there is no estimate: see [`Denoiser::Error`].
    type Error;

    /// The estimate, and `J v` or `v^T J` with `J = d noise / d x`.
    ///
    /// # Errors
    /// When the evaluation was not made, or not to its end.
    async fn estimate_with_product(&mut self, x: &S, level: Level, v: &S) -> Result<(Estimate<S>, S), Self::Error>;
}

/// The divergence from products with several probes: with the unit vectors and weight 1 it is exact; with random ones of
/// `E v v^T = I`, which stay the same for the whole solution, and the reciprocal of their number as weight it is the mean of
/// Hutchinson's estimates `v^T J v` (Grathwohl et al. 2018; Song et al. 2021). Random signs have the smaller variance,
/// normal numbers work too.
pub struct Probes<'a, M, S> {
    /// The model.
    pub model: &'a mut M,
    /// The directions, of which there is at least one.
    pub probes: &'a [S],
    /// What each counts.
    pub weight: f64,
}

impl<S: Batched, M: JacobianProduct<S>> Diverges<S> for Probes<'_, M, S> {
    type Error = M::Error;

    async fn estimate_with_divergence(&mut self, x: &S, level: Level) -> Result<(Estimate<S>, Vec<f64>), M::Error> {
        let mut found: Option<(Estimate<S>, Vec<f64>)> = None;
        for probe in self.probes {
            let (estimate, product) = self.model.estimate_with_product(x, level, probe).await?;
            let dots = probe.dots(&product).await;
            let (_, sum) = found.get_or_insert_with(|| (estimate, vec![0.0; dots.len()]));
            sum.iter_mut().zip(dots).for_each(|(s, d)| *s += self.weight * d);
        }
        // Without a probe there is no estimate to be had but that the noise is the sample.
        Ok(found.unwrap_or_else(|| (Estimate::new(x.clone().scale(0.0), x.clone()), Vec::new())))
    }
}

/// A batch with the integral of the flow's divergence beside every sample.
#[derive(Clone, Debug, PartialEq)]
struct Followed<S> {
    x: S,
    divergence: Vec<f64>,
}

impl<S: State> State for Followed<S> {
    fn scale(mut self, k: f64) -> Self {
        self.divergence.iter_mut().for_each(|d| *d *= k);
        Self { x: self.x.scale(k), ..self }
    }
    fn add(mut self, other: Self) -> Self {
        self.divergence.iter_mut().zip(other.divergence).for_each(|(d, o)| *d += o);
        Self { x: self.x.add(other.x), ..self }
    }
    async fn mean_norm(&self) -> f64 {
        let mean = self.divergence.iter().map(|d| d.abs()).sum::<f64>() / self.divergence.len().max(1) as f64;
        self.x.mean_norm().await.max(mean)
    }
    fn times_exp(mut self, exponent: &Self, slope: f64, shift: f64) -> Self {
        for (divergence, exponent) in self.divergence.iter_mut().zip(&exponent.divergence) {
            *divergence = divergence.times_exp(exponent, slope, shift);
        }
        Self { x: self.x.times_exp(&exponent.x, slope, shift), ..self }
    }
}

/// The flow `dx/dt = alpha' data + sigma' noise` is linear in the estimate, and so is its divergence: a denoiser whose
/// estimates have the divergences of data and noise as further coordinates makes any solver in time integrate both.
struct Follower<'a, M>(&'a mut M);

impl<S: Batched, M: Diverges<S>> Denoiser<Followed<S>> for Follower<'_, M> {
    type Error = M::Error;

    async fn estimate(&mut self, followed: &Followed<S>, level: Level) -> Result<Estimate<Followed<S>>, M::Error> {
        let asked: Evaluation<'_, (Estimate<S>, Vec<f64>), M::Error> =
            Box::pin(self.0.estimate_with_divergence(&followed.x, level));
        let (estimate, of_noise) = asked.await?;
        let dimension = followed.x.dimension() as f64;
        // data = (x - sigma noise) / alpha
        let of_data = of_noise.iter().map(|d| (dimension - level.sigma * d) / level.alpha).collect();
        Ok(Estimate::new(
            Followed { x: estimate.data, divergence: of_data },
            Followed { x: estimate.noise, divergence: of_noise },
        ))
    }
}

/// What the probability flow says about points.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowLikelihood<S> {
    /// Where the flow takes the points: their unique code in the prior.
    pub latent: S,
    /// Log-density of every point, in nats.
    pub log_density: Vec<f64>,
    /// Network evaluations.
    pub evaluations: u32,
}

/// Log-density of points by the instantaneous change of variables along the probability flow (Song et al. 2021,
/// section 4.3): `ln p(x) = ln prior(latent) + integral of the divergence`, from the schedule's smallest noise to its
/// largest by the adaptive solver.
///
/// What comes out is the density of `x` at the smallest noise, and as good as the prior fits the schedule's end.
///
/// # Errors
/// The model's.
pub async fn flow_likelihood<S: Batched, M: Diverges<S>>(
    schedule: &Schedule,
    tolerance: Tolerance,
    model: &mut M,
    x: S,
) -> Result<FlowLikelihood<S>, M::Error> {
    let (last, first) = schedule.time_range();
    let ends = (schedule.level(first), schedule.level(last));
    let count = x.dots(&x).await.len();
    let dimension = x.dimension();
    let start = Followed { x, divergence: vec![0.0; count] };
    let (end, evaluations) = follow(schedule, tolerance, ends, &mut Follower(model), start).await?;
    let norms = end.x.dots(&end.x).await;
    let log_density = norms
        .iter()
        .zip(&end.divergence)
        .map(|(norm, integral)| schedule.prior_log_density(*norm, dimension) + integral)
        .collect();
    Ok(FlowLikelihood { latent: end.x, log_density, evaluations })
}

/// Bits per dimension of images from the log-density, in nats, of their dequantised values in an interval of this
/// `width`, where neighbouring grey values of 256 are `width / 256` apart: 8 bits for `[0, 1]`, 7 for `[-1, 1]` are added.
#[must_use]
pub fn bits_per_dimension(log_density: f64, dimension: usize, width: f64) -> f64 {
    -log_density / (dimension.max(1) as f64 * std::f64::consts::LN_2) + libm::log2(256.0 / width)
}

/// Uniform dequantisation of a grey value, `(value + u) / 256` in `[0, 1)`, with `u` uniform in `[0, 1)`.
#[must_use]
pub fn dequantise(value: u8, u: f64) -> f64 {
    (f64::from(value) + u) / 256.0
}

/// The variational bound of a chain, taken apart: the negative of the sum bounds the log-likelihood from below. Averages
/// over the batch, in nats per sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// `KL(q(x_T | data) || prior)`
    pub prior: f64,
    /// `KL(q(x_to | x_from, data) || p(x_to | x_from))` of every step between noisy levels, in the order of the grid.
    pub steps: Vec<f64>,
    /// `-ln p(data | x_1)`
    pub reconstruction: f64,
    /// The sum for every sample, from which the error of its average follows.
    pub samples: Vec<f64>,
}

impl Bound {
    /// The sum.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.prior + self.steps.iter().sum::<f64>() + self.reconstruction
    }

    /// A number of nats per sample in bits per dimension.
    #[must_use]
    pub fn bits_per_dimension(nats: f64, dimension: usize) -> f64 {
        nats / (dimension.max(1) as f64 * std::f64::consts::LN_2)
    }
}

/// One draw of the variational bound (Sohl-Dickstein et al. 2015; Ho et al. 2020, equation 5) along a falling grid that
/// ends at the clean level: at every noisy level the data are mixed with `noise(level number)`.
///
/// `variance` gives the model's variance of a step from its posterior and levels (DDPM's small: `posterior.variance`).
/// `decode` gives `ln p(data | x_1)` of every sample from `(data, mean)`: a normal density for continuous data, the
/// discretised one for grey values. It may have to read them back from a device.
///
/// # Errors
/// The model's, and those of `decode`.
pub async fn variational_bound<S: Batched, M: Denoiser<S>>(
    levels: &[Level],
    model: &mut M,
    data: &S,
    noise: &mut impl FnMut(usize) -> S,
    prior_std: f64,
    variance: impl Fn(Posterior, Level, Level) -> f64,
    decode: impl AsyncFnOnce(&S, &S) -> Result<Vec<f64>, M::Error>,
) -> Result<Bound, M::Error> {
    let mut bound = Bound { prior: 0.0, steps: Vec::new(), reconstruction: 0.0, samples: Vec::new() };
    let Some(top) = levels.first() else { return Ok(bound) };
    bound.samples = prior_divergences(data, *top, prior_std).await;
    bound.prior = mean(&bound.samples);
    let mut decode = Some(decode);
    for (number, pair) in levels.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let x = from.mix(data.clone(), noise(number));
        let estimate = model.estimate(&x, from).await?;
        let clean = to.sigma <= schedule::clean().sigma;
        let terms: Vec<f64> = if clean {
            let Some(decode) = decode.take() else { break };
            decode(data, &estimate.data).await?.into_iter().map(|log| -log).collect()
        } else {
            let posterior = Posterior::between(from, to);
            step_divergences(data, &estimate.data, posterior, variance(posterior, from, to)).await
        };
        bound.samples.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += term);
        if clean {
            bound.reconstruction = mean(&terms);
            break;
        }
        bound.steps.push(mean(&terms));
    }
    Ok(bound)
}

/// `KL(q(x_T | data) || prior)` of every sample, in nats: the bound's term of the chain's noisiest level.
pub async fn prior_divergences<S: Batched>(data: &S, top: Level, prior_std: f64) -> Vec<f64> {
    let ratio = (top.sigma / prior_std).powi(2);
    let fixed = 0.5 * data.dimension() as f64 * (ratio - 1.0 - libm::log(ratio));
    let scale = 0.5 * (top.alpha / prior_std).powi(2);
    data.dots(data).await.iter().map(|square| fixed + scale * square).collect()
}

/// `KL(q(x_to | x_from, data) || p(x_to | x_from))` of every sample, in nats, for a model with this estimate of the data
/// and this variance of the step: the bound's term of a step between noisy levels.
pub async fn step_divergences<S: Batched>(data: &S, estimated: &S, posterior: Posterior, variance: f64) -> Vec<f64> {
    let share = posterior.variance / variance;
    let miss = data.clone().blend(1.0, estimated.clone(), -1.0);
    let fixed = data.dimension() as f64 * (share - 1.0 - libm::log(share));
    let scale = posterior.data.powi(2) / posterior.variance * share;
    miss.dots(&miss).await.iter().map(|square| 0.5 * (fixed + scale * square)).collect()
}

/// The same for one sample and a variance that the model learned for each number (Nichol and Dhariwal 2021): `v` are its
/// outputs.
#[must_use]
pub fn learned_step_divergence(data: &[f64], estimated: &[f64], v: &[f64], posterior: Posterior) -> f64 {
    let terms = data.iter().zip(estimated).zip(v).map(|((data, estimated), v)| {
        let variance = libm::exp(learned_log_variance(*v, posterior.variance, posterior.forward));
        // Both means have the same share of the noisier sample.
        normal_divergence(posterior.data * data, posterior.variance, posterior.data * estimated, variance)
    });
    terms.sum()
}

/// Standard deviation of what a chain decodes to along a falling grid: to within its noise where the last step starts, the
/// data are known.
#[must_use]
pub fn decoder_std(levels: &[Level]) -> f64 {
    levels.iter().rev().find(|level| level.sigma > schedule::clean().sigma).map_or(1.0, |level| level.ratio())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
