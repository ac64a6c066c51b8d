//! The probability-flow ODE by Dormand and Prince's pair of orders 5 and 4 with step control, as score_sde solves it
//! with scipy: the same tableau, first step and control of the error.

use super::context::{Context, NoiseSource, NoiseUse, Tally};
use super::ode::slope;
use crate::diffusion::{Denoiser, Evaluation, Level, Schedule, State};

/// Times of the stages.
const NODES: [f64; 6] = [0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0];
/// Weights of the stages in each other.
const STAGES: [&[f64]; 6] = [
    &[],
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
];
/// Weights of the stages in the solution of order 5.
const FIFTH: [f64; 6] = [35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0];
/// What the solution of order 4 differs by, the seventh stage (the slope at the end) included.
const ERROR: [f64; 7] =
    [-71.0 / 57600.0, 0.0, 71.0 / 16695.0, -71.0 / 1920.0, 17253.0 / 339200.0, -22.0 / 525.0, 1.0 / 40.0];
/// Safety factor and limits of a change of step.
const SAFETY: f64 = 0.9;
const SHRINK_MOST: f64 = 0.2;
const GROW_MOST: f64 = 10.0;

/// Steps this short are taken whatever their error, so that a model that no step is short enough for ends all the same.
fn shortest(t: f64) -> f64 {
    (1e-4 * t).max(1e-7)
}

/// Tolerances of the adaptive solver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Per unit of the sample's norm.
    pub relative: f64,
    /// In the sample's own units.
    pub absolute: f64,
}

/// Where the adaptive solver is.
#[derive(Clone, Debug)]
pub(super) struct Adaptive<S> {
    /// Time reached.
    pub t: f64,
    /// Slope there; `None` after the sample was changed from outside.
    slope: Option<S>,
    /// Length of the next attempt.
    step: f64,
    /// Whether the last attempt was rejected.
    rejected: bool,
}

impl<S> Adaptive<S> {
    /// Forgets the slope, because the sample is no longer where it was taken.
    pub fn moved(&mut self) {
        self.slope = None;
    }
}

/// Follows the probability-flow ODE from one level to another, up or down. Gives the end and the evaluations it took.
///
/// # Errors
/// The model's.
pub async fn follow<S: State, D: Denoiser<S>>(
    schedule: &Schedule,
    tolerance: Tolerance,
    (from, to): (Level, Level),
    model: &mut D,
    mut x: S,
) -> Result<(S, u32), D::Error> {
    let (mut tally, mut memory) = (Tally::default(), None::<Adaptive<S>>);
    // The flow draws no noise.
    let mut silence = |like: &S, _: NoiseUse| like.clone();
    while memory.as_ref().is_none_or(|now| now.t != to.t) {
        let (model, noise, tally) = (&mut *model, &mut silence, &mut tally);
        let mut run = Context { from, to, step: 0, steps: 1, schedule, model, noise, tally };
        if let Some(next) = attempt(&mut run, &mut memory, &x, tolerance).await? {
            x = next;
        }
    }
    Ok((x, tally.evaluations))
}

/// One attempt towards `run.to`, which ends there if it can. Gives the new sample if the attempt was accepted.
pub(super) async fn attempt<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    memory: &mut Option<Adaptive<S>>,
    x: &S,
    tolerance: Tolerance,
) -> Result<Option<S>, D::Error> {
    let end = run.to.t;
    let direction = (end - run.from.t).signum();
    let started;
    let now = match &*memory {
        Some(now) => now,
        None => {
            started = start(run, x, tolerance, direction).await?;
            &started
        }
    };
    let shortest = shortest(now.t);
    let length = now.step.max(shortest).min((end - now.t).abs());
    let h = direction * length;
    let target = if length == (end - now.t).abs() { end } else { now.t + h };

    let slope = match &now.slope {
        Some(slope) => slope.clone(),
        None => slope_at(run, x, now.t).await?,
    };
    let mut stages = vec![slope.clone()];
    for (node, weights) in NODES.iter().zip(STAGES).skip(1) {
        let trial = combine(x, &stages, weights, h);
        stages.push(slope_at(run, &trial, now.t + node * h).await?);
    }
    let next = combine(x, &stages, &FIFTH, h);
    stages.push(slope_at(run, &next, target).await?);
    let zero = x.clone().scale(0.0);
    let error = combine(&zero, &stages, &ERROR, h).mean_norm().await;
    let size = x.mean_norm().await.max(next.mean_norm().await);
    let error = error / (tolerance.absolute + tolerance.relative * size);

    // A model that answers with no number is followed no further: the run ends at once, and shows it.
    let hopeless = error.is_nan() && length <= 1e-3;
    let target = if hopeless { end } else { target };
    let accepted = error < 1.0 || length <= shortest || hopeless;
    let factor = if error == 0.0 { GROW_MOST } else { SAFETY * libm::pow(error, -0.2) };
    // An error that is no number shrinks the step as far as one attempt may.
    let factor = if factor.is_nan() { SHRINK_MOST } else { factor };
    *memory = Some(if accepted {
        // After a rejection the step may not grow at once.
        let most = if now.rejected { 1.0 } else { GROW_MOST };
        Adaptive { t: target, slope: stages.pop(), step: length * factor.min(most), rejected: false }
    } else {
        Adaptive { t: now.t, slope: Some(slope), step: length * factor.max(SHRINK_MOST), rejected: true }
    });
    Ok(accepted.then_some(next))
}

/// The slope at the start and the length of the first attempt (Hairer, Nørsett and Wanner, section II.4).
async fn start<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    x: &S,
    tolerance: Tolerance,
    direction: f64,
) -> Result<Adaptive<S>, D::Error> {
    let t = run.from.t;
    let slope = slope_at(run, x, t).await?;
    let scale = tolerance.absolute + tolerance.relative * x.mean_norm().await;
    let (d0, d1) = (x.mean_norm().await / scale, slope.mean_norm().await / scale);
    let span = (run.to.t - t).abs();
    let h0 = if d0 < 1e-5 || d1 < 1e-5 { 1e-6 } else { 0.01 * d0 / d1 };
    let h0 = h0.min(span);
    let trial = x.clone().blend(1.0, slope.clone(), h0 * direction);
    let second = slope_at(run, &trial, t + h0 * direction).await?;
    let d2 = second.blend(1.0, slope.clone(), -1.0).mean_norm().await / scale / h0;
    let h1 = if d1 <= 1e-15 && d2 <= 1e-15 { (1e-3 * h0).max(1e-6) } else { libm::pow(0.01 / d1.max(d2), 0.2) };
    let step = (100.0 * h0).min(h1).min(span);
    Ok(Adaptive { t, slope: Some(slope), step: if step.is_nan() { shortest(t) } else { step }, rejected: false })
}

fn slope_at<'a, S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &'a mut Context<'_, S, D, N>,
    x: &'a S,
    t: f64,
) -> Evaluation<'a, S, D::Error> {
    Box::pin(async move {
        let level = run.schedule.level(t);
        let estimate = run.estimate(x, level).await?;
        Ok(slope(run.schedule, estimate, level))
    })
}

/// `x + h * sum of weights * stages`
fn combine<S: State>(x: &S, stages: &[S], weights: &[f64], h: f64) -> S {
    stages
        .iter()
        .zip(weights)
        .filter(|(_, weight)| **weight != 0.0)
        .fold(x.clone(), |sum, (stage, weight)| sum.blend(1.0, stage.clone(), h * weight))
}
