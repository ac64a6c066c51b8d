//! DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095): multistep, with data prediction, in `lambda = ln(alpha / sigma)`.

use super::context::{Context, NoiseSource, clock, root};
use super::dpm::phi;
use crate::diffusion::{Denoiser, State};

/// Estimates of earlier steps, the newest last, each with its place on the clock that the solver goes by.
#[derive(Clone, Debug)]
pub(super) struct History<S> {
    entries: Vec<(f64, S)>,
}

impl<S: Clone> History<S> {
    pub fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds an estimate and lets go of all but the newest `keep`.
    pub fn push(&mut self, place: f64, estimate: S, keep: usize) {
        self.entries.push((place, estimate));
        self.entries.drain(..self.entries.len().saturating_sub(keep));
    }

    /// Place and estimate of the `age`-th entry before the newest.
    pub fn back(&self, age: usize) -> Option<(f64, &S)> {
        let index = self.entries.len().checked_sub(age + 1)?;
        self.entries.get(index).map(|(place, estimate)| (*place, estimate))
    }

    /// Entries that hold.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Orders 2 and 3 (their algorithm 2 and its third-order sibling); 1 where there is no past.
pub(super) async fn deterministic<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    history: &mut History<S>,
    x: S,
    order: usize,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let data = run.estimate(&x, from).await?.data;
    history.push(clock(from), data.clone(), order);
    let h = clock(to) - clock(from);
    let phi_1 = libm::expm1(-h);
    let base = x.blend(to.sigma / from.sigma, data.clone(), -to.alpha * phi_1);

    let order = run.order(order).min(history.len());
    let (Some((clock_1, data_1)), true) = (history.back(1), order >= 2) else { return Ok(base) };
    let r0 = (clock(from) - clock_1) / h;
    let slope_0 = data.blend(1.0 / r0, data_1.clone(), -1.0 / r0);
    let (Some((clock_2, data_2)), true) = (history.back(2), order >= 3) else {
        return Ok(base.blend(1.0, slope_0, -0.5 * to.alpha * phi_1));
    };
    let r1 = (clock_1 - clock_2) / h;
    let slope_1 = data_1.clone().blend(1.0 / r1, data_2.clone(), -1.0 / r1);
    let bend = slope_0.clone().blend(1.0 / (r0 + r1), slope_1, -1.0 / (r0 + r1));
    let slope = slope_0.blend(1.0, bend.clone(), r0);
    // (e^-h - 1) / h + 1 and its successor, without their cancellation.
    let phi_2 = -phi(-h);
    let phi_3 = phi_3(h, phi_2);
    Ok(base.blend(1.0, slope, to.alpha * phi_2).blend(1.0, bend, -to.alpha * phi_3))
}

/// `phi_2 / h - 1/2`
fn phi_3(h: f64, phi_2: f64) -> f64 {
    if h.abs() < 1e-3 { -h / 6.0 * (1.0 - h / 4.0 * (1.0 - h / 5.0)) } else { phi_2 / h - 0.5 }
}

/// SDE-DPM-Solver++(2M), their appendix on the diffusion SDE, midpoint form.
pub(super) async fn stochastic<S: State, D: Denoiser<S>, N: NoiseSource<S>>(
    run: &mut Context<'_, S, D, N>,
    history: &mut History<S>,
    x: S,
) -> Result<S, D::Error> {
    let (from, to) = (run.from, run.to);
    let data = run.estimate(&x, from).await?.data;
    history.push(clock(from), data.clone(), 2);
    let h = clock(to) - clock(from);
    let fresh = -libm::expm1(-2.0 * h);
    let z = run.draw(&x);
    let base = x.blend(to.sigma / from.sigma * libm::exp(-h), data.clone(), to.alpha * fresh).blend(
        1.0,
        z,
        to.sigma * root(fresh),
    );
    Ok(match history.back(1) {
        Some((clock_1, data_1)) if run.order(2) >= 2 => {
            let r0 = (clock(from) - clock_1) / h;
            let share = 0.5 * to.alpha * fresh / r0;
            base.blend(1.0, data.blend(share, data_1.clone(), -share), 1.0)
        }
        _ => base,
    })
}
