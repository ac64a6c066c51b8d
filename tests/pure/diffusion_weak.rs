//! Stochastic solvers give the right distribution: on Gaussian data their steps are affine, so that mean and variance
//! are followed exactly, without sampling.

use std::convert::Infallible;

use crate::support::{Batch, Gaussian, Mixture};
use scorefield::diffusion::langevin::{Place, adjusted, unadjusted};
use scorefield::diffusion::solver::{Churn, Tolerance, Variance};
use scorefield::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now};
use scorefield::rng::{Rng, Stream};

/// Mean and variance of the end when the start is normal: an affine chain is probed with one unit of each of its noises.
fn moments(solver: Solver, schedule: &Schedule, grid: &[Level], start: (f64, f64), data: Gaussian) -> (f64, f64) {
    let run = |x: f64, excited: Option<u32>| {
        let mut draws = 0;
        let mut noise = |_: &f64, _: NoiseUse| {
            draws += 1;
            if excited == Some(draws) { 1.0 } else { 0.0 }
        };
        let end = infallible(now(
            Sampler::new(solver, schedule.clone(), grid.to_vec(), x).run(&mut data.clone(), &mut noise)
        ));
        (end, draws)
    };
    let (mean, draws) = run(start.0, None);
    let mut variance = (run(start.0 + 1.0, None).0 - mean).powi(2) * start.1;
    for k in 1..=draws {
        variance += (run(start.0, Some(k)).0 - mean).powi(2);
    }
    (mean, variance)
}

/// The error in the variance at the last level, and the order at which it falls when the steps double.
fn weak_order(solver: Solver, schedule: &Schedule, spacing: Spacing, steps: usize) -> (f64, f64) {
    let data = Gaussian::new(0.4, 0.25);
    // An end where noise and data are of one size: near the data alone the first order all but vanishes.
    let (first, last) = (0.95, 0.4);
    let error = |steps: usize| {
        let grid = schedule.levels_between(spacing, first, last, steps + 1);
        let (from, to) = (grid[0], grid[steps]);
        let start = (from.alpha * data.mean, data.total(from));
        let (mean, variance) = moments(solver, schedule, &grid, start, data);
        (mean - to.alpha * data.mean).abs() + (variance - data.total(to)).abs()
    };
    let (coarse, fine) = (error(steps), error(2 * steps));
    (fine, (coarse / fine).log2())
}

#[test]
fn first_order_stochastic_solvers_converge_weakly_with_order_one() {
    for schedule in [
        Schedule::Linear { beta_min: 0.1, beta_max: 20.0 },
        Schedule::Cosine,
        Schedule::Exploding { sigma_min: 0.01, sigma_max: 20.0 },
    ] {
        for solver in [
            Solver::Ddpm(Variance::Small),
            Solver::Ddpm(Variance::Large),
            Solver::Ddim { eta: 1.0 },
            Solver::Ddim { eta: 0.5 },
            Solver::EulerMaruyama,
            Solver::ReverseDiffusion,
        ] {
            let (error, order) = weak_order(solver, &schedule, Spacing::Uniform, 160);
            assert!((order - 1.0).abs() < 0.3, "{solver:?} on {schedule:?}: order {order}, error {error:e}");
        }
    }
}

#[test]
fn sde_dpm_solver_pp_converges_weakly_faster_than_order_one() {
    for schedule in [Schedule::Linear { beta_min: 0.1, beta_max: 20.0 }, Schedule::Cosine] {
        let (error, order) = weak_order(Solver::DpmPpSde, &schedule, Spacing::LogSnr, 160);
        assert!(order > 1.7, "{schedule:?}: order {order}, error {error:e}");
    }
}

#[test]
fn churn_converges_weakly() {
    // More steps share the same churn out: the error falls with the step.
    let schedule = Schedule::Edm { sigma_min: 0.01, sigma_max: 20.0 };
    let (error, order) = weak_order(Solver::EdmHeun(Churn::everywhere(10.0)), &schedule, Spacing::LogSnr, 160);
    assert!(order > 0.8, "order {order}, error {error:e}");
}

#[test]
fn every_solver_gives_the_right_marginals_of_a_mixture() {
    let mut data = Mixture(vec![(0.8, 1.0, 0.04), (0.2, -1.0, 0.09)]);
    let (mean, second) = (0.6, 0.8 * 1.04 + 0.2 * 1.09);
    let variance: f64 = second - mean * mean;
    let count = 4000;
    let schedule = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    for (solver, spacing, steps) in [
        (Solver::Ddpm(Variance::Small), Spacing::LogSnr, 200),
        (Solver::Ddpm(Variance::Large), Spacing::LogSnr, 200),
        (Solver::Ddim { eta: 0.0 }, Spacing::LogSnr, 100),
        (Solver::Ddim { eta: 1.0 }, Spacing::LogSnr, 200),
        (Solver::EulerMaruyama, Spacing::Uniform, 300),
        (Solver::ReverseDiffusion, Spacing::Uniform, 300),
        (Solver::PredictorCorrector { snr: 0.1, corrections: 1 }, Spacing::Uniform, 200),
        (Solver::AnnealedCorrector { snr: 0.1, corrections: 1 }, Spacing::Uniform, 200),
        (Solver::Euler, Spacing::Uniform, 200),
        (Solver::Heun, Spacing::Uniform, 100),
        (Solver::Rk45(Tolerance { relative: 1e-4, absolute: 1e-4 }), Spacing::Uniform, 2),
        (Solver::EdmHeun(Churn::everywhere(0.0)), Spacing::Karras { rho: 7.0 }, 30),
        (Solver::EdmHeun(Churn::everywhere(10.0)), Spacing::Karras { rho: 7.0 }, 60),
        (Solver::Dpm1, Spacing::LogSnr, 100),
        (Solver::Dpm2, Spacing::LogSnr, 40),
        (Solver::Dpm3, Spacing::LogSnr, 30),
        (Solver::DpmPp2m, Spacing::LogSnr, 50),
        (Solver::DpmPp3m, Spacing::LogSnr, 50),
        (Solver::DpmPpSde, Spacing::LogSnr, 80),
        (Solver::UniPc { order: 2, basis: scorefield::diffusion::solver::Basis::Exponential }, Spacing::LogSnr, 40),
        (Solver::UniPc { order: 3, basis: scorefield::diffusion::solver::Basis::Linear }, Spacing::LogSnr, 40),
        (Solver::AnnealedLangevin { snr: 0.2, corrections: 20 }, Spacing::LogSnr, 60),
    ] {
        let mut prior = Rng::new(11, Stream::Prior, 0);
        let start = Batch((0..count).map(|_| prior.normal()).collect());
        let mut noise = |like: &Batch, use_: NoiseUse| {
            let mut rng = Rng::new(11, use_.stream, use_.index);
            Batch(like.0.iter().map(|_| rng.normal()).collect())
        };
        let grid = solver.grid(&schedule, spacing, steps);
        let end = infallible(now(Sampler::new(solver, schedule.clone(), grid, start).run(&mut data, &mut noise)));
        let (m, v) = end.moments();
        let left = end.0.iter().filter(|x| **x < 0.0).count() as f64 / f64::from(count);
        // Four standard errors of the mean, of a share of 0.2 and of the variance, and 0.02 for the steps' own error.
        let n = f64::from(count);
        assert!((m - mean).abs() < 4.0 * (variance / n).sqrt() + 0.02, "{solver:?}: mean {m}");
        assert!((v - variance).abs() < 4.0 * variance * (2.0 / n).sqrt() + 0.02, "{solver:?}: variance {v}");
        assert!((left - 0.2).abs() < 4.0 * (0.16 / n).sqrt() + 0.02, "{solver:?}: weight {left}");
    }
}

/// A model that learned a variance halfway, in the logarithm, between the two ends.
struct Halfway(Gaussian);

impl Denoiser<f64> for Halfway {
    type Error = Infallible;

    async fn estimate(&mut self, x: &f64, level: Level) -> Result<Estimate<f64>, Infallible> {
        Ok(Estimate { variance: Some(0.0), ..self.0.believe(*x, level) })
    }
}

#[test]
fn a_learned_variance_lies_between_the_fixed_ones() {
    let schedule = Schedule::Cosine;
    let levels = vec![schedule.level(0.6), schedule.level(0.5)];
    let data = Gaussian::new(0.2, 0.5);
    let spread = |variance, model: &mut dyn FnMut(Solver, f64) -> f64| {
        model(Solver::Ddpm(variance), 1.0) - model(Solver::Ddpm(variance), 0.0)
    };
    let mut fixed = |solver, z| {
        infallible(now(
            Sampler::new(solver, schedule.clone(), levels.clone(), 0.4).run(&mut data.clone(), &mut |_: &f64, _| z)
        ))
    };
    let (small, large) = (spread(Variance::Small, &mut fixed), spread(Variance::Large, &mut fixed));
    let unlearned = spread(Variance::Learned, &mut fixed);
    let mut learned = |solver, z| {
        infallible(now(
            Sampler::new(solver, schedule.clone(), levels.clone(), 0.4).run(&mut Halfway(data), &mut |_: &f64, _| z)
        ))
    };
    let halfway = spread(Variance::Learned, &mut learned);
    assert!(small < large);
    assert!((unlearned - small).abs() < 1e-14 && (halfway - (small * large).sqrt()).abs() < 1e-14);
}

#[test]
fn unadjusted_langevin_has_the_stationary_variance_that_its_step_implies() {
    // On N(0, v) the chain is x (1 - e / 2v) + sqrt(e) z, whose variance is v / (1 - e / 4v).
    let (v, epsilon) = (2.0, 0.7);
    let mut square = 0.5;
    for _ in 0..200 {
        let moved = unadjusted(1.0, -1.0 / v, epsilon, 0.0);
        let fresh = unadjusted(0.0, 0.0, epsilon, 1.0);
        square = moved * moved * square + fresh * fresh;
    }
    assert!((square - v / (1.0 - epsilon / (4.0 * v))).abs() < 1e-12);
}

#[test]
fn the_metropolis_test_keeps_the_density_that_the_unadjusted_chain_loses() {
    let (v, epsilon, count) = (1.0, 1.5, 60_000);
    let look = |x: &f64| (-x * x / (2.0 * v), -x / v);
    let mut rng = Rng::new(2, Stream::Test, 0);
    let mut place = Place { x: 0.3, log_density: look(&0.3).0, score: look(&0.3).1 };
    let (mut square, mut fourth, mut accepted, mut expected) = (0.0, 0.0, 0.0, 0.0);
    for _ in 0..count {
        let (z, u) = (rng.normal(), rng.uniform());
        let verdict = adjusted(&mut place, epsilon, z, u, |x| x * x, look);
        accepted += f64::from(u8::from(verdict.accepted));
        expected += verdict.log_acceptance.exp();
        square += place.x.powi(2);
        fourth += place.x.powi(4);
    }
    let n = f64::from(count);
    // The unadjusted chain's variance would be 1 / (1 - 1.5 / 4) = 1.6. The chain forgets within a few steps; ten
    // standard errors of independent draws leave room for that.
    assert!((square / n - v).abs() < 10.0 * (2.0 / n).sqrt(), "{}", square / n);
    assert!((fourth / n - 3.0).abs() < 10.0 * (96.0 / n).sqrt(), "{}", fourth / n);
    assert!((accepted - expected).abs() / n < 5.0 * (0.25 / n).sqrt());
    assert!(accepted / n > 0.5 && accepted / n < 0.99);
}

#[test]
fn metropolis_acceptance_is_detailed_balance() {
    let look = |x: &f64| (-x.powi(4) / 4.0, -x.powi(3));
    let epsilon = 0.3;
    for (a, z) in [(0.4_f64, 1.3), (-1.1, 0.2), (1.5, -2.0)] {
        let b = unadjusted(a, look(&a).1, epsilon, z);
        let there_at = |x: f64| Place { x, log_density: look(&x).0, score: look(&x).1 };
        let there = adjusted(&mut there_at(a), epsilon, z, 1.0, |x| x * x, look).log_acceptance;
        let back_z = (a - b - 0.5 * epsilon * look(&b).1) / epsilon.sqrt();
        let back = adjusted(&mut there_at(b), epsilon, back_z, 1.0, |x| x * x, look).log_acceptance;
        // p(a) q(b | a) A(a, b) = p(b) q(a | b) A(b, a)
        let left = look(&a).0 - 0.5 * z * z + there;
        let right = look(&b).0 - 0.5 * back_z * back_z + back;
        assert!((left - right).abs() < 1e-12, "{left} {right}");
    }
    // A place the density gives no number for is never entered.
    let mut place = Place { x: 0.0, log_density: 0.0, score: 0.0 };
    let verdict = adjusted(&mut place, 1.0, 0.5, 0.0, |x| x * x, |_| (f64::NAN, f64::NAN));
    assert!(!verdict.accepted && place.x == 0.0);
}

/// The signal-to-noise ratio that makes annealed Langevin step as NCSN's released code does with `epsilon`:
/// `a = epsilon (sigma / sigma_min)^2`, `x + a score + sqrt(2 a) z`.
fn snr_for_epsilon(epsilon: f64, sigma_min: f64) -> f64 {
    (0.5 * epsilon).sqrt() / sigma_min
}

#[test]
fn both_conventions_of_annealed_langevin_steps_are_at_hand() {
    // The published NCSN settings are an SNR of 0.316 in the code's convention.
    assert!((snr_for_epsilon(2e-5, 0.01) - 0.1_f64.sqrt()).abs() < 1e-12);
    let (epsilon, sigma_min, sigma) = (0.1, 1.0, 5.0);
    let level = Level { t: 0.5, alpha: 1.0, sigma };
    let schedule = Schedule::Geometric { sigma_min, sigma_max: 20.0, levels: 10 };
    let data = Gaussian::new(0.0, 1.0);
    let (x, z) = (3.0, 0.7);
    let score = -data.believe(x, level).noise / sigma;
    let a: f64 = epsilon * (sigma / sigma_min).powi(2);
    for (snr, expected) in [
        (snr_for_epsilon(epsilon, sigma_min), x + a * score + (2.0 * a).sqrt() * z),
        // The paper's (algorithm 1) is half the step.
        (snr_for_epsilon(0.5 * epsilon, sigma_min), x + 0.5 * a * score + a.sqrt() * z),
    ] {
        let solver = Solver::AnnealedLangevin { snr, corrections: 1 };
        let below = Level { sigma: 4.0, ..level };
        let sampler = Sampler::new(solver, schedule.clone(), vec![level, below], x);
        let end = infallible(now(sampler.run(&mut data.clone(), &mut |_: &f64, _: NoiseUse| z)));
        assert!((end - expected).abs() < 1e-12);
    }
}
