//! DPM-Solver (Lu et al. 2022, arXiv 2206.00927): single steps of order 1, 2 and 3 in `lambda = ln(alpha / sigma)`,
//! exact in the linear part, with noise prediction.

use super::context::{Context, NoiseSource, clock};
use crate::diffusion::{Denoiser, Level, State};

/// `(a_t / a_s) x - sigma_t (e^h - 1) noise`, their equation 3.7 and the base of the higher orders.
fn base<S: State>(from: Level, to: Level, h: f64, x: S, noise: S) -> S {
    x.blend(to.alpha / from.alpha, noise, -to.sigma * libm::expm1(h))
}

/// DPM-Solver-1, which is DDIM.
pub(super) async fn first<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let noise = run.estimate(&x, from).await?.noise;
    Ok(base(from, to, clock(to) - clock(from), x, noise))
}

/// DPM-Solver-2 with `r1 = 1/2`, their algorithm 1.
pub(super) async fn second<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let h = clock(to) - clock(from);
    let middle = run.schedule.level_at_log_snr(2.0 * (clock(from) + 0.5 * h));
    let noise = run.estimate(&x, from).await?.noise;
    let trial = base(from, middle, clock(middle) - clock(from), x.clone(), noise.clone());
    let change = run.estimate(&trial, middle).await?.noise.blend(1.0, noise.clone(), -1.0);
    Ok(base(from, to, h, x, noise).blend(1.0, change, -to.sigma * libm::expm1(h)))
}

/// DPM-Solver-3 with `r1 = 1/3`, `r2 = 2/3`, their algorithm 2.
pub(super) async fn third<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let h = clock(to) - clock(from);
    let (r1, r2) = (1.0 / 3.0, 2.0 / 3.0);
    let one = run.schedule.level_at_log_snr(2.0 * (clock(from) + r1 * h));
    let two = run.schedule.level_at_log_snr(2.0 * (clock(from) + r2 * h));
    let noise = run.estimate(&x, from).await?.noise;

    let trial = base(from, one, r1 * h, x.clone(), noise.clone());
    let change = run.estimate(&trial, one).await?.noise.blend(1.0, noise.clone(), -1.0);

    let bend = two.sigma * r2 / r1 * phi(r2 * h);
    let trial = base(from, two, r2 * h, x.clone(), noise.clone()).blend(1.0, change, -bend);
    let change = run.estimate(&trial, two).await?.noise.blend(1.0, noise.clone(), -1.0);

    Ok(base(from, to, h, x, noise).blend(1.0, change, -to.sigma / r2 * phi(h)))
}

/// `(e^h - 1) / h - 1`, by its series where the difference cancels.
pub(super) fn phi(h: f64) -> f64 {
    if h.abs() < 1e-3 {
        h / 2.0 * (1.0 + h / 3.0 * (1.0 + h / 4.0 * (1.0 + h / 5.0)))
    } else {
        libm::expm1(h) / h - 1.0
    }
}
