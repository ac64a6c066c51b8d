//! Measured orders of convergence against the exact probability flow of Gaussian data.

use crate::support::Gaussian;
use scorefield::diffusion::solver::{Basis, Churn, Strides, Tolerance};
use scorefield::diffusion::{Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now};

fn silence(_: &f64, _: NoiseUse) -> f64 {
    panic!("a deterministic solver asked for noise")
}

/// The times that runs go through.
fn range(schedule: &Schedule) -> (f64, f64) {
    let (first, last) = schedule.time_range();
    (first.min(0.99), last.max(0.01))
}

/// Error at the end of a run from the noisiest level to the smallest.
fn error(solver: Solver, schedule: &Schedule, spacing: Spacing, steps: usize) -> f64 {
    let (first, last) = range(schedule);
    error_on(solver, schedule, schedule.levels_between(spacing, first, last, steps + 1))
}

/// Levels over the same times, quadratic in log-SNR: the first steps are so short that starting with order 1 costs
/// nothing.
fn gently(schedule: &Schedule, steps: usize) -> Vec<Level> {
    let (first, last) = range(schedule);
    let (start, end) = (schedule.log_snr(first), schedule.log_snr(last));
    let at = |i: usize| schedule.level_at_log_snr(start + (end - start) * (i as f64 / steps as f64).powi(2));
    (0..=steps).map(at).collect()
}

/// Error at the end of a run along these levels.
fn error_on(solver: Solver, schedule: &Schedule, levels: Vec<Level>) -> f64 {
    let mut data = Gaussian::new(0.3, 0.25);
    let (from, to) = (levels[0], levels[levels.len() - 1]);
    let start = 1.2 * from.sigma;
    let end = infallible(now(Sampler::new(solver, schedule.clone(), levels, start).run(&mut data, &mut silence)));
    (end - data.flow(start, from, to)).abs()
}

/// The order between two numbers of steps.
fn order(solver: Solver, schedule: &Schedule, spacing: Spacing, steps: usize) -> f64 {
    (error(solver, schedule, spacing, steps) / error(solver, schedule, spacing, 2 * steps)).log2()
}

fn schedules() -> [Schedule; 5] {
    [
        Schedule::Linear { beta_min: 0.1, beta_max: 20.0 },
        Schedule::Cosine,
        Schedule::SubVp { beta_min: 0.1, beta_max: 20.0 },
        Schedule::Exploding { sigma_min: 0.01, sigma_max: 20.0 },
        Schedule::Flow,
    ]
}

fn has_order(solver: Solver, spacing: Spacing, expected: f64, steps: usize) {
    for schedule in schedules() {
        let measured = order(solver, &schedule, spacing, steps);
        assert!((measured - expected).abs() < 0.25, "{solver:?} on {schedule:?}: order {measured}");
    }
}

#[test]
fn ddim_and_dpm_solver_1_converge_with_order_one() {
    has_order(Solver::Ddim { eta: 0.0 }, Spacing::LogSnr, 1.0, 200);
    has_order(Solver::Dpm1, Spacing::LogSnr, 1.0, 200);
}

#[test]
fn euler_converges_with_order_one_and_heun_with_order_two() {
    has_order(Solver::Euler, Spacing::Uniform, 1.0, 4000);
    has_order(Solver::Heun, Spacing::Uniform, 2.0, 4000);
}

#[test]
fn edm_heun_converges_with_order_two() {
    has_order(Solver::EdmHeun(Churn::everywhere(0.0)), Spacing::Karras { rho: 7.0 }, 2.0, 200);
}

#[test]
fn dpm_solver_2_and_3_converge_with_their_orders() {
    has_order(Solver::Dpm2, Spacing::LogSnr, 2.0, 200);
    has_order(Solver::Dpm3, Spacing::LogSnr, 3.0, 200);
}

#[test]
fn dpm_solver_pp_converges_with_order_two_which_its_first_step_sets_for_3m_too() {
    has_order(Solver::DpmPp2m, Spacing::LogSnr, 2.0, 200);
    has_order(Solver::DpmPp3m, Spacing::LogSnr, 2.0, 200);
}

#[test]
fn unipc_converges_one_order_above_its_predictor() {
    for basis in [Basis::Linear, Basis::Exponential] {
        has_order(Solver::UniPc { order: 1, basis }, Spacing::LogSnr, 2.0, 200);
        has_order(Solver::UniPc { order: 2, basis }, Spacing::LogSnr, 3.0, 200);
        has_order(Solver::UniPc { order: 3, basis }, Spacing::LogSnr, 4.0, 100);
    }
}

#[test]
fn ipndm_and_deis_converge_with_as_many_orders_as_they_follow_slopes_unless_equal_steps_are_taken_for_granted() {
    // The start with order 1 would hide orders above 2.
    let has_order = |solver, expected: f64, steps| {
        for schedule in schedules() {
            let error = |steps| error_on(solver, &schedule, gently(&schedule, steps));
            let measured = (error(steps) / error(2 * steps)).log2();
            assert!((measured - expected).abs() < 0.25, "{solver:?} on {schedule:?}: order {measured}");
        }
    };
    for order in 1..=4 {
        has_order(Solver::Ipndm { order, strides: Strides::Actual }, order as f64, 200);
        has_order(Solver::Ipndm { order, strides: Strides::Equal }, order.min(2) as f64, 200);
    }
    for degree in 1..=3 {
        has_order(Solver::Deis { degree }, (degree + 1) as f64, 400);
    }
}

#[test]
fn the_adaptive_solver_keeps_its_tolerance() {
    for schedule in schedules() {
        let run = |tolerance| {
            let tolerance = Tolerance { relative: tolerance, absolute: tolerance };
            error(Solver::Rk45(tolerance), &schedule, Spacing::Uniform, 2)
        };
        let (coarse, fine) = (run(1e-4), run(1e-8));
        // Local errors below the tolerance add up over some tens to hundreds of steps.
        assert!(coarse < 1e-2 && fine < 1e-6 && fine < coarse, "{schedule:?}: {coarse:e} {fine:e}");
    }
}
