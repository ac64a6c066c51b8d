//! DDPM and DDIM: steps through the posterior of the cleaner level given the noisier one and the data.

use super::context::{Context, NoiseSource, root};
use crate::diffusion::{Denoiser, Level, State};

/// The variance of a DDPM step (Ho et al. 2020, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variance {
    /// The posterior's, right for data that are one point.
    Small,
    /// The forward step's, right for data of unit variance.
    Large,
    /// Whatever the model learned in between: see [`crate::diffusion::Estimate::variance`].
    Learned,
}

/// The Gaussian `q(x_to | x_from, data)` of a step to a cleaner level:
/// mean `data * self.data + x * self.x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    /// Coefficient of the data.
    pub data: f64,
    /// Coefficient of the noisier sample.
    pub x: f64,
    /// Its variance, DDPM's `beta tilde`.
    pub variance: f64,
    /// The variance of the forward step, DDPM's `beta`.
    pub forward: f64,
}

impl Posterior {
    /// The posterior of the step from a noisier level to a cleaner one. To `sigma = 0` it is the data, exactly.
    #[must_use]
    pub fn between(from: Level, to: Level) -> Self {
        let shrink = from.alpha / to.alpha;
        let forward = (from.sigma.powi(2) - (shrink * to.sigma).powi(2)).max(0.0);
        let total = from.sigma.powi(2);
        Self {
            data: to.alpha * forward / total,
            x: shrink * to.sigma.powi(2) / total,
            variance: forward * to.sigma.powi(2) / total,
            forward,
        }
    }
}

/// Ho et al. 2020, algorithm 2, between any two levels.
pub(super) async fn ddpm<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
    variance: Variance,
) -> Result<S, D::Error> {
    let posterior = Posterior::between(run.from, run.to);
    let estimate = run.estimate(&x, run.from).await?;
    let noise = run.draw(&x);
    let noise = match variance {
        Variance::Small => noise.scale(root(posterior.variance)),
        Variance::Large => noise.scale(root(posterior.forward)),
        Variance::Learned => estimate.learned_noise(noise, posterior.variance, posterior.forward),
    };
    Ok(estimate.data.blend(posterior.data, x, posterior.x).add(noise))
}

/// Song et al. 2021, arXiv 2010.02502, equation 12: part of the noise is kept, the share `eta` of it fresh.
pub(super) async fn ddim<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
    eta: f64,
) -> Result<S, D::Error> {
    let estimate = run.estimate(&x, run.from).await?;
    let to = run.to;
    let fresh = eta * root(Posterior::between(run.from, to).variance);
    let kept = root(to.sigma.powi(2) - fresh.powi(2));
    let next = estimate.data.blend(to.alpha, estimate.noise, kept);
    Ok(if fresh > 0.0 { next.blend(1.0, run.draw(&x), fresh) } else { next })
}
