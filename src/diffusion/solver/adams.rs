//! Adams-Bashforth methods on the probability flow: iPNDM and tAB-DEIS (Zhang and Chen 2023, arXiv 2204.13902).
//!
//! With `rho = sigma / alpha`, the slope of `x / alpha` in `rho` is the noise estimate, on every schedule. These methods
//! put a polynomial through the last noise estimates and integrate it over the step; with one estimate alone that is
//! DDIM. They differ in what the polynomial is one of: `rho` with equal steps, `rho`, or time.

use super::context::{Context, NoiseSource, clock};
use super::multistep::History;
use crate::diffusion::{Denoiser, Level, Schedule, State};

/// Which steps in `rho` the coefficients of iPNDM are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strides {
    /// Equal ones, whatever the grid: the fixed coefficients of Adams and Bashforth. That is the iPNDM of the papers'
    /// tables (of order 2 on uneven grids, but better there in few steps than its error's order says).
    Equal,
    /// Those of the grid: the `iPNDM_v` of the toolbox of Zhou et al. 2024 (arXiv 2312.00094).
    Actual,
}

/// Coefficients of order 1 to 4 for equal steps, the newest slope first, per length of the step.
const EQUAL: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// Abscissae and weights of Gauss and Legendre's rule with 8 points, the positive half of `[-1, 1]`.
const GAUSS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_27),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
];

/// iPNDM of this order, 1 to 4: Adams and Bashforth's method in `rho`, starting with order 1.
pub(super) async fn ipndm<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    history: &mut History<S>,
    x: S,
    order: usize,
    strides: Strides,
) -> Result<S, D::Error> {
    let (from, to) = (run.from.ratio(), run.to.ratio());
    step(run, history, x, from, order, |places| match strides {
        Strides::Equal => EQUAL[places.len() - 1].iter().map(|weight| weight * (to - from)).collect(),
        // The integrand is a polynomial in rho: one panel is exact.
        Strides::Actual => weights(places, gauss(from, to)),
    })
    .await
}

/// tAB-DEIS with a polynomial of this degree in time, 1 to 3 (their tAB1 to tAB3), starting with degree 0: their
/// equation 15, whose integrand `1/2 Psi(to, t) g^2 / sigma` is `alpha(to) d rho / dt`.
pub(super) async fn deis<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    history: &mut History<S>,
    x: S,
    degree: usize,
) -> Result<S, D::Error> {
    let (schedule, from, to) = (run.schedule, run.from, run.to);
    step(run, history, x, from.t, degree + 1, |places| {
        // Integrated over ln rho, in which time is smooth up to either end of every schedule.
        weights(
            places,
            panels(schedule, from, to)
                .into_iter()
                .flat_map(|(first, last)| gauss(first, last))
                .map(|(log_rho, width)| (schedule.time_at_log_snr(-2.0 * log_rho), width * libm::exp(log_rho))),
        )
    })
    .await
}

/// A step with the last `order` noise estimates: DDIM, and the weighted differences of the older ones from the newest.
/// `place` is where the newest lies for the polynomial; `weights` gives everyone's weight, the newest first, from the
/// places in that order. The weights are integrals over `rho`, and add up to the length of the step.
async fn step<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    history: &mut History<S>,
    x: S,
    place: f64,
    order: usize,
    weights: impl FnOnce(&[f64]) -> Vec<f64>,
) -> Result<S, D::Error> {
    let to = run.to;
    let estimate = run.estimate(&x, run.from).await?;
    history.push(place, estimate.noise.clone(), order);
    let past: Vec<(f64, &S)> = (0..history.len()).filter_map(|age| history.back(age)).collect();
    let places: Vec<f64> = past.iter().map(|(place, _)| *place).collect();
    let shares: Vec<f64> = weights(&places).into_iter().skip(1).map(|weight| to.alpha * weight).collect();
    let taken: f64 = shares.iter().sum();
    let ddim = estimate.data.blend(to.alpha, estimate.noise, to.sigma - taken);
    let older = past.into_iter().skip(1).zip(shares);
    Ok(older.fold(ddim, |x, ((_, noise), share)| x.blend(1.0, noise.clone(), share)))
}

/// The integral of every Lagrange polynomial over these places, by a rule whose points are given with their weights.
fn weights(places: &[f64], rule: impl IntoIterator<Item = (f64, f64)>) -> Vec<f64> {
    let mut integrals = vec![0.0; places.len()];
    for (point, weight) in rule {
        for (j, (place, integral)) in places.iter().zip(&mut integrals).enumerate() {
            let others = places.iter().enumerate().filter(|(k, _)| *k != j);
            *integral += weight * others.map(|(_, other)| (point - other) / (place - other)).product::<f64>();
        }
    }
    integrals
}

/// Gauss and Legendre's rule on an interval: exact for polynomials up to degree 15.
fn gauss(first: f64, last: f64) -> impl Iterator<Item = (f64, f64)> {
    let (middle, half) = (0.5 * (first + last), 0.5 * (last - first));
    GAUSS
        .into_iter()
        .flat_map(move |(at, weight)| [(middle - half * at, half * weight), (middle + half * at, half * weight)])
}

/// A step in `ln rho`, cut where time as a function of it has a kink and then into pieces of length 1 at most: its
/// nearest pole lies `pi / 2` from the real line, so that the rule's error is about 1e-13 of the integral.
fn panels(schedule: &Schedule, from: Level, to: Level) -> Vec<(f64, f64)> {
    let kinks = schedule.knots(from.t, to.t).into_iter().map(|t| -0.5 * schedule.log_snr(t));
    let ends: Vec<f64> = [-clock(from)].into_iter().chain(kinks).chain([-clock(to)]).collect();
    let cut = |pair: &[f64]| {
        let (first, length) = (pair[0], pair[1] - pair[0]);
        let pieces = length.abs().ceil().max(1.0);
        (0..pieces as usize)
            .map(move |i| (first + length * i as f64 / pieces, first + length * (i + 1) as f64 / pieces))
    };
    ends.windows(2).flat_map(cut).collect()
}
