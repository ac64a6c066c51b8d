//! Solvers of the probability-flow ODE with fixed steps.
//!
//! In time the flow is `dx/dt = (d alpha/dt) data + (d sigma/dt) noise`; in `x / alpha` as a function of
//! `sigma / alpha` it is simply `noise` (Karras et al. 2022).

use super::context::{Context, NoiseSource, root};
use crate::diffusion::{Denoiser, Estimate, Level, Schedule, State};

/// Settings of EDM's stochastic sampler (Karras et al. 2022, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// `S_churn`: how much noise is put back over the whole run. 0 makes the sampler deterministic.
    pub amount: f64,
    /// `S_min`: noise is put back only where `sigma / alpha` is at least this.
    pub lowest: f64,
    /// `S_max`: and at most this.
    pub highest: f64,
    /// `S_noise`: standard deviation of the noise put back.
    pub noise: f64,
}

impl Churn {
    /// This much churn at every level.
    #[must_use]
    pub fn everywhere(amount: f64) -> Self {
        Self { amount, lowest: 0.0, highest: f64::INFINITY, noise: 1.0 }
    }
}

/// `dx/dt` along the flow.
pub(super) fn slope<S: State>(schedule: &Schedule, estimate: Estimate<S>, level: Level) -> S {
    let (alpha, sigma) = schedule.velocity(level.t);
    estimate.data.blend(alpha, estimate.noise, sigma)
}

/// Euler in time.
pub(super) async fn euler<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
) -> Result<S, D::Error> {
    let estimate = run.estimate(&x, run.from).await?;
    Ok(x.blend(1.0, slope(run.schedule, estimate, run.from), run.to.t - run.from.t))
}

/// Heun (the explicit trapezoid) in time.
pub(super) async fn heun<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
) -> Result<S, D::Error> {
    let dt = run.to.t - run.from.t;
    let estimate = run.estimate(&x, run.from).await?;
    let first = slope(run.schedule, estimate, run.from);
    let trial = x.clone().blend(1.0, first.clone(), dt);
    let estimate = run.estimate(&trial, run.to).await?;
    let second = slope(run.schedule, estimate, run.to);
    Ok(x.blend(1.0, first.add(second), 0.5 * dt))
}

/// Karras et al. 2022, algorithm 2, in `x / alpha` and `sigma / alpha`, where the slope is the noise estimate. Where the
/// schedule ends before the raised level, it is raised to the end.
pub(super) async fn edm<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: S,
    churn: Churn,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let sigma = from.sigma / from.alpha;
    let active = churn.amount > 0.0 && (churn.lowest..=churn.highest).contains(&sigma);
    let mut hat = from;
    let mut x = x.scale(1.0 / from.alpha);
    if active {
        let gamma = (churn.amount / run.steps as f64).min(std::f64::consts::SQRT_2 - 1.0);
        let raised = run.schedule.level_at_log_snr(-2.0 * libm::log(sigma * (1.0 + gamma)));
        if raised.sigma / raised.alpha > sigma {
            hat = raised;
        }
    }
    let sigma_hat = hat.sigma / hat.alpha;
    if active {
        let z = run.draw(&x);
        x = x.blend(1.0, z, root(sigma_hat.powi(2) - sigma.powi(2)) * churn.noise);
    }
    let first = run.estimate(&x.clone().scale(hat.alpha), hat).await?;
    if to.sigma == 0.0 {
        return Ok(first.data);
    }
    let ds = to.sigma / to.alpha - sigma_hat;
    let trial = x.clone().blend(to.alpha, first.noise.clone(), to.alpha * ds);
    let second = run.estimate(&trial, to).await?;
    Ok(x.blend(to.alpha, first.noise.add(second.noise), 0.5 * to.alpha * ds))
}
