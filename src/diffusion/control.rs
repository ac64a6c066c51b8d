//! Control of an unconditional model: denoisers around denoisers, and projections between the steps of a sampler.

use super::level::{Denoiser, Estimate, Level, State};

/// A state whose elements can be multiplied one by one: what masks need.
pub trait Elementwise: State {
    /// The product, element by element.
    #[must_use]
    fn times(self, other: &Self) -> Self;

    /// `self` where the mask is 1, `other` where it is 0.
    #[must_use]
    fn select(self, other: Self, mask: &Self) -> Self {
        let change = self.blend(1.0, other.clone(), -1.0).times(mask);
        other.add(change)
    }
}

impl Elementwise for f64 {
    fn times(self, other: &Self) -> Self {
        self * other
    }
}

impl Elementwise for [f64; 2] {
    fn times(self, other: &Self) -> Self {
        [self[0] * other[0], self[1] * other[1]]
    }
}

impl Elementwise for Vec<[f64; 2]> {
    fn times(mut self, other: &Self) -> Self {
        self.iter_mut().zip(other).for_each(|(a, b)| *a = a.times(b));
        self
    }
}

impl<S: State> Estimate<S> {
    /// The estimate with this belief about the data: `x = alpha data + sigma noise` gives the noise.
    #[must_use]
    pub fn from_data(x: &S, data: S, level: Level) -> Self {
        let sigma = level.sigma.max(1e-12);
        let noise = x.clone().blend(1.0 / sigma, data.clone(), -level.alpha / sigma);
        Self::new(data, noise)
    }

    /// The estimate with this belief about the noise: `x = alpha data + sigma noise` gives the data.
    #[must_use]
    pub fn from_noise(x: &S, noise: S, level: Level) -> Self {
        let alpha = level.alpha.max(1e-6);
        let data = x.clone().blend(1.0 / alpha, noise.clone(), -level.sigma / alpha);
        Self::new(data, noise)
    }
}

/// A linear observation of the data: every data estimate is moved onto the data that agree with what is known, as DDNM
/// does (Wang et al. 2022, arXiv 2212.00490): `data + A^+ (y - A data)`.
///
/// Inpainting, colourisation and super-resolution are choices of `project`; the end of every run agrees exactly.
pub struct Observed<'a, M, P> {
    /// The model.
    pub model: &'a mut M,
    /// Moves data onto those that agree with the observation. A projection: doing it twice changes nothing. It is told the
    /// level, because an observation with noise of its own says little at levels with less.
    pub project: P,
}

impl<S: State, M: Denoiser<S>, P: FnMut(S, Level) -> S> Denoiser<S> for Observed<'_, M, P> {
    type Error = M::Error;

    async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, Self::Error> {
        let Estimate { data, variance, .. } = self.model.estimate(x, level).await?;
        Ok(Estimate { variance, ..Estimate::from_data(x, (self.project)(data, level), level) })
    }
}

/// score_sde's inpainting (Song et al. 2021, appendix I.2), between the steps of a sampler: what is known (mask 1) is
/// replaced by the known data at the sample's level with the fresh unit noise `z`; at the clean level by the data.
#[must_use]
pub fn replace_known<S: Elementwise>(x: S, known: &S, mask: &S, level: Level, z: S) -> S {
    level.mix(known.clone(), z).select(x, mask)
}

/// RePaint's way back up (Lugmayr et al. 2022, arXiv 2201.09865): the forward process from a cleaner level to a noisier.
#[must_use]
pub fn renoise<S: State>(x: S, from: Level, to: Level, z: S) -> S {
    let keep = to.alpha / from.alpha;
    x.blend(keep, z, (to.sigma.powi(2) - (keep * from.sigma).powi(2)).max(0.0).sqrt())
}

/// A move of RePaint along the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// One step of the solver.
    Down,
    /// One step of the forward process: [`super::Sampler::raise`].
    Up,
}

/// RePaint's moves over a grid of `steps` steps: after every `jump` steps down, up again by as many, so that each such
/// stretch is passed `resamples` times (their `j` and `r`). The stretch that ends at the clean level is passed once:
/// nothing is above noise that is gone.
#[must_use]
pub fn repaint_moves(steps: usize, jump: usize, resamples: usize) -> Vec<Move> {
    let jump = jump.max(1);
    let mut moves = Vec::new();
    let mut done = 0;
    while done + jump < steps {
        for pass in 0..resamples.max(1) {
            if pass > 0 {
                moves.extend([Move::Up].repeat(jump));
            }
            moves.extend([Move::Down].repeat(jump));
        }
        done += jump;
    }
    moves.extend([Move::Down].repeat(steps - done));
    moves
}

/// score_sde's orthonormal basis of colours, one basis vector per row; the first is grey. Exact here, rounded there.
#[must_use]
pub fn colour_basis() -> [[f64; 3]; 3] {
    let (grey, wide, half) = (1.0 / 3.0_f64.sqrt(), (2.0_f64 / 3.0).sqrt(), 0.5_f64.sqrt());
    [[grey; 3], [-wide, 0.5 * wide, 0.5 * wide], [0.0, half, -half]]
}

/// Colourisation as an observation: the pixel of this grey coordinate that is nearest to `pixel`. The grey coordinate is
/// the first in [`colour_basis`], the sum of the channels over the root of three.
#[must_use]
pub fn with_grey(pixel: [f64; 3], grey: f64) -> [f64; 3] {
    let axis = colour_basis()[0];
    let now: f64 = pixel.iter().zip(axis).map(|(p, a)| p * a).sum();
    std::array::from_fn(|i| pixel[i] + (grey - now) * axis[i])
}

/// Guidance by a classifier (Song et al. 2021; Dhariwal and Nichol 2021): its gradient `grad_x ln p(class | x)`, times
/// `scale`, is added to the score. A classifier that is a network may have to be waited for, and may fail as the model.
pub struct ClassifierGuided<'a, M, G> {
    /// The model.
    pub model: &'a mut M,
    /// The gradient with respect to the noisy sample at a level, an `AsyncFnMut(&S, Level) -> Result<S, M::Error>`.
    pub gradient: G,
    /// How much of it; 1 samples the posterior.
    pub scale: f64,
}

impl<S: State, M: Denoiser<S>, G: AsyncFnMut(&S, Level) -> Result<S, M::Error>> Denoiser<S>
    for ClassifierGuided<'_, M, G>
{
    type Error = M::Error;

    async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, Self::Error> {
        let Estimate { noise, variance, .. } = self.model.estimate(x, level).await?;
        let noise = noise.blend(1.0, (self.gradient)(x, level).await?, -level.sigma * self.scale);
        Ok(Estimate { variance, ..Estimate::from_noise(x, noise, level) })
    }
}

/// Classifier-free guidance (Ho and Salimans 2022), within an interval of noise (Kynkäänniemi et al. 2024, arXiv
/// 2404.07724): `unconditional + weight (conditional - unconditional)`. A sampler counts a pair as one evaluation.
pub struct ClassifierFree<'a, C, U> {
    /// The model that knows the class.
    pub conditional: &'a mut C,
    /// The model that does not.
    pub unconditional: &'a mut U,
    /// 0 ignores the class, 1 is the conditional model, more exaggerates.
    pub weight: f64,
    /// The values of `sigma / alpha` between which guidance acts; outside, the conditional model alone is asked.
    pub interval: (f64, f64),
}

impl<S: State, C: Denoiser<S>, U: Denoiser<S, Error = C::Error>> Denoiser<S> for ClassifierFree<'_, C, U> {
    type Error = C::Error;

    async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, Self::Error> {
        let with = self.conditional.estimate(x, level).await?;
        let ratio = level.sigma / level.alpha;
        if ratio < self.interval.0 || ratio > self.interval.1 {
            return Ok(with);
        }
        let without = self.unconditional.estimate(x, level).await?;
        let mix = |with: S, without: S| with.blend(self.weight, without, 1.0 - self.weight);
        Ok(Estimate { data: mix(with.data, without.data), noise: mix(with.noise, without.noise), ..with })
    }
}
