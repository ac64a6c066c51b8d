//! Solvers of the reverse-time SDE `dx = (f x - g^2 score) dt + g dw` (Song et al. 2021, arXiv 2011.13456).

use super::context::{Context, NoiseSource, root};
use crate::diffusion::langevin::unadjusted;
use crate::diffusion::{Denoiser, State};

/// Euler-Maruyama in time.
pub(super) async fn euler_maruyama<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
) -> Result<S, D::Error> {
    let (from, dt) = (run.from, run.from.t - run.to.t);
    let (drift, diffusion) = (run.schedule.drift(from.t), run.schedule.diffusion(from.t));
    let noise = run.estimate(&x, from).await?.noise;
    let z = run.draw(&x);
    // g^2 score = -g^2 noise / sigma
    Ok(x.blend(1.0 - drift * dt, noise, -diffusion.powi(2) * dt / from.sigma).blend(1.0, z, diffusion * root(dt)))
}

/// The reverse diffusion sampler: the reverse SDE discretised like the forward chain `x_from = a x_to + sqrt(v) z`,
/// `x + (1 - a) x + v score + sqrt(v) z` (their appendix E). With DDPM's `a = sqrt(1 - beta)` and VE's `a = 1` this is
/// score_sde's pair of formulas.
pub(super) async fn reverse_diffusion<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let shrink = from.alpha / to.alpha;
    let variance = (from.sigma.powi(2) - (shrink * to.sigma).powi(2)).max(0.0);
    let noise = run.estimate(&x, from).await?.noise;
    let z = run.draw(&x);
    Ok(x.blend(2.0 - shrink, noise, -variance / from.sigma).blend(1.0, z, root(variance)))
}

/// Langevin steps at the level the sample is at, of a size set by the ratio of noise to score (their algorithm 5):
/// `e = 2 a (snr |z| / |score|)^2`, norms averaged over the batch, `a` the chain's `1 - beta`.
pub(super) async fn correct<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    mut x: S,
    snr: f64,
    corrections: u32,
) -> Result<S, D::Error> {
    let from = run.from;
    let shrink = (from.alpha / run.to.alpha).powi(2).min(1.0);
    // A vanishing score would ask for an endless step; no density of unit scale needs one this long.
    let longest = 100.0 * (from.alpha.powi(2) + from.sigma.powi(2));
    for _ in 0..corrections {
        let noise = run.estimate(&x, from).await?.noise;
        let z = run.draw_corrector(&x);
        let score_norm = noise.mean_norm().await / from.sigma;
        let step = (2.0 * shrink * (snr * z.mean_norm().await / score_norm).powi(2)).min(longest);
        let step = if step.is_nan() { 0.0 } else { step };
        x = unadjusted(x, noise.scale(-1.0 / from.sigma), 2.0 * step, z);
    }
    Ok(x)
}

/// Langevin steps of the size that annealed Langevin dynamics takes at this level, `e = 2 (snr sigma)^2`:
/// `x + e score + sqrt(2 e) z`, as the released code of NCSN steps (its paper halves `e`).
pub(super) async fn anneal<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    mut x: S,
    snr: f64,
    corrections: u32,
) -> Result<S, D::Error> {
    let from = run.from;
    let step = 2.0 * (snr * from.sigma).powi(2);
    for _ in 0..corrections {
        let noise = run.estimate(&x, from).await?.noise;
        let z = run.draw_corrector(&x);
        x = unadjusted(x, noise.scale(-1.0 / from.sigma), 2.0 * step, z);
    }
    Ok(x)
}
