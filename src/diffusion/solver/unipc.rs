//! UniPC (Zhao et al. 2023, arXiv 2302.04867): a predictor of any order and a corrector of one order more, which uses
//! the evaluation that the next step needs anyway.

use super::context::{Context, NoiseSource, clock};
use super::multistep::History;
use crate::diffusion::linear::solve;
use crate::diffusion::{Denoiser, Level, State};

/// Which function `B(h)` the authors' coefficients are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// `B = h`, their choice without guidance.
    Linear,
    /// `B = e^h - 1`.
    Exponential,
}

/// A step whose end waits to be corrected.
#[derive(Clone, Debug)]
pub(super) struct Pending<S> {
    from: Level,
    order: usize,
    x: S,
}

/// Corrects the end of the last step with the estimate made there, then predicts the next.
pub(super) async fn step<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    history: &mut History<S>,
    pending: &mut Option<Pending<S>>,
    x: S,
    wanted: usize,
    basis: Basis,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let data = run.estimate(&x, from).await?.data;
    let x = match pending.take() {
        Some(last) => advance(last.x, last.from, from, history, last.order, basis, Some(&data)),
        None => x,
    };
    history.push(clock(from), data, wanted);
    let order = run.order(wanted).min(history.len());
    *pending = Some(Pending { from, order, x: x.clone() });
    Ok(advance(x, from, to, history, order, basis, None))
}

/// UniP-`order` (their equation 9 for data prediction) or, with the data estimated at the end, UniC-`order` (equation
/// 8). The newest entry of the history is the estimate at `from`.
fn advance<S: State>(
    x: S,
    from: Level,
    to: Level,
    history: &History<S>,
    order: usize,
    basis: Basis,
    end: Option<&S>,
) -> S {
    let Some((_, data)) = history.back(0) else { return x };
    let h = clock(to) - clock(from);
    let hh = -h;
    let growth = libm::expm1(hh);
    let scale = match basis {
        Basis::Linear => hh,
        Basis::Exponential => growth,
    };
    let mut ratios = Vec::with_capacity(3);
    let mut differences = Vec::with_capacity(3);
    for age in 1..order {
        if let Some((clock_k, data_k)) = history.back(age) {
            let ratio = (clock_k - clock(from)) / h;
            ratios.push(ratio);
            differences.push(data_k.clone().blend(1.0 / ratio, data.clone(), -1.0 / ratio));
        }
    }
    if let Some(end) = end {
        ratios.push(1.0);
        differences.push(end.clone().blend(1.0, data.clone(), -1.0));
    }
    let mut next = x.blend(to.sigma / from.sigma, data.clone(), -to.alpha * growth);
    for (difference, weight) in differences.into_iter().zip(weights(&ratios, hh, growth, scale)) {
        next = next.blend(1.0, difference, -to.alpha * scale * weight);
    }
    next
}

/// The weights `rho` of the differences: the solution of `sum_k ratio_k^(i-1) rho_k = b_i`, their equation 7, with the
/// authors' simplification `rho = 1/2` for a single difference.
fn weights(ratios: &[f64], hh: f64, growth: f64, scale: f64) -> Vec<f64> {
    let count = ratios.len();
    if count <= 1 {
        return vec![0.5; count];
    }
    let mut matrix = Vec::with_capacity(count);
    let mut psi = psi_1(hh, growth);
    let mut factorial = 1.0;
    for i in 1..=count {
        let row: Vec<f64> = ratios.iter().map(|r| r.powi(i as i32 - 1)).chain([psi * factorial / scale]).collect();
        matrix.push(row);
        factorial *= (i + 1) as f64;
        psi = if hh.abs() < 0.5 { psi_series(hh, i + 1) } else { psi / hh - 1.0 / factorial };
    }
    solve(matrix)
}

/// `(e^h - 1) / h - 1`
fn psi_1(hh: f64, growth: f64) -> f64 {
    if hh.abs() < 0.5 { psi_series(hh, 1) } else { growth / hh - 1.0 }
}

/// `psi_i = sum over k >= 1 of h^k / (k + i)!`, which the recursion `psi_(i+1) = psi_i / h - 1 / (i + 1)!` cannot reach
/// for small `h`.
fn psi_series(hh: f64, i: usize) -> f64 {
    let mut term: f64 = (1..=i).map(|k| 1.0 / k as f64).product();
    let mut sum = 0.0;
    for k in 1..16 {
        term *= hh / (k + i) as f64;
        sum += term;
    }
    sum
}
