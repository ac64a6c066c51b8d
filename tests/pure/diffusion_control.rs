//! Inpainting, colourisation, guidance: control of an unconditional model.

use std::convert::Infallible;

use crate::support::Gaussian;
use scorefield::diffusion::constraint::{
    Constrained, ConstrainedSampler, Constraint, Guidance, Masked, Method, Move, classifier_free, repaint_moves,
};
use scorefield::diffusion::level::renoise;
use scorefield::diffusion::solver::Variance;
use scorefield::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now};
use scorefield::rng::{Rng, Stream};

/// Correlated data in the plane: `x2 = x1 + 0.5 z`, `x1` of unit variance.
struct Tilted;

impl Denoiser<[f64; 2]> for Tilted {
    type Error = Infallible;

    async fn estimate(&mut self, x: &[f64; 2], level: Level) -> Result<Estimate<[f64; 2]>, Infallible> {
        let c = [[1.0, 1.0], [1.0, 1.25]];
        let (a2, s2) = (level.alpha.powi(2), level.sigma.powi(2));
        let m = [[a2 * c[0][0] + s2, a2 * c[0][1]], [a2 * c[1][0], a2 * c[1][1] + s2]];
        let det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        // (a^2 C + s^2 I)^-1 x
        let w = [(m[1][1] * x[0] - m[0][1] * x[1]) / det, (m[0][0] * x[1] - m[1][0] * x[0]) / det];
        Ok(Estimate::new(
            [level.alpha * (c[0][0] * w[0] + c[0][1] * w[1]), level.alpha * (c[1][0] * w[0] + c[1][1] * w[1])],
            [level.sigma * w[0], level.sigma * w[1]],
        ))
    }
}

/// Runs a constrained sampler of correlated data in the plane to its end.
fn end<C: Constraint<[f64; 2]>>(constraint: C, method: Method, solver: Solver, steps: usize, sample: u32) -> [f64; 2] {
    let schedule = Schedule::Cosine;
    let mut prior = Rng::new(sample, Stream::Prior, 0);
    let start = [prior.normal(), prior.normal()];
    let sampler = Sampler::new(solver, schedule.clone(), schedule.grid(Spacing::LogSnr, steps), start);
    let mut run = ConstrainedSampler::new(sampler, Some((constraint, method)));
    let (planned, evaluations) = (run.planned_steps(), run.planned_evaluations());
    let mut draw = |_: &[f64; 2], use_: NoiseUse| {
        let mut rng = Rng::new(sample, use_.stream, use_.index);
        [rng.normal(), rng.normal()]
    };
    let mut done = 0;
    while let Some(report) = infallible(now(run.step(&mut Tilted, &mut draw))) {
        done = report.step;
    }
    assert!(run.sampler().is_finished());
    assert_eq!((Some(done), Some(run.sampler().evaluations())), (planned, evaluations));
    *run.sampler().x()
}

#[test]
fn inpainting_ends_with_the_known_values_and_conditions_the_rest() {
    let mean = |method| {
        let known = || Masked { known: [1.5, 0.0], mask: [1.0, 0.0], noise: 0.0 };
        let ends = (0..300).map(|sample| end(known(), method, Solver::Ddpm(Variance::Small), 30, sample));
        ends.inspect(|x| assert_eq!(x[0], 1.5, "{method:?}")).map(|x| x[1]).sum::<f64>() / 300.0
    };
    // The exact conditional is N(1.5, 0.25). Replacement alone knows too little of the known part at early levels; the
    // point of resampling is to come closer.
    let (plain, again) =
        ((mean(Method::Replace) - 1.5).abs(), (mean(Method::Repaint { jump: 3, resamples: 4 }) - 1.5).abs());
    assert!(again < 0.5 * plain, "{plain} {again}");
    // Projection of the estimate alone is as approximate as replacement: it only leans from the unconditional mean 0,
    // which a sample of 300 knows to 0.065, towards the conditional one.
    let projected = mean(Method::Project);
    assert!(projected > 0.4 && projected < 1.6, "{projected}");
    // Without a gradient of its own and without noise an observation guides as it projects.
    assert_eq!(mean(Method::Guide), projected);
}

#[test]
fn a_noisy_observation_weighs_the_estimate_by_its_variance() {
    // Data of unit variance and observation noise as large: halfway between estimate and observation where the level says
    // nothing, all the estimate's where it says everything.
    let observed = Masked { known: 2.0, mask: 1.0, noise: 1.0 };
    let at = |alpha: f64, sigma: f64| Level { t: 0.5, alpha, sigma };
    assert!((observed.project(0.0, at(1e-9, 1.0)) - 1.0).abs() < 1e-12);
    assert!((observed.project(0.0, at(1.0, 1.0)) - 2.0 / 3.0).abs() < 1e-12);
    assert!(observed.project(0.0, at(1.0, 1e-9)).abs() < 1e-12);
    // For standard normal data that is the exact posterior mean given a noisy sample and the observation.
    let mut prior = Gaussian::new(0.0, 1.0);
    for (alpha, sigma, x) in [(0.6, 0.8, 0.4), (1.0, 3.0, -2.0)] {
        let (level, way) = (at(alpha, sigma), (observed.clone(), Method::Guide));
        let mut guided = Constrained { model: &mut prior, constraint: Some(&way) };
        let found = infallible(now(guided.estimate(&x, level)));
        // Precisions add up: prior 1, sample alpha^2 / sigma^2, observation 1.
        let exact = (alpha * x / (sigma * sigma) + observed.known) / (2.0 + (alpha / sigma).powi(2));
        assert!((found.data - exact).abs() < 1e-12, "{level:?}");
        assert!((level.mix(found.data, found.noise) - x).abs() < 1e-12);
    }
    // The noise of the observation is part of the level's, and none is replaced below it.
    assert_eq!(observed.replace(0.3, at(1.0, 0.5), 7.0), 0.3);
    assert!((observed.replace(0.3, at(1.0, 2.0), 1.0) - (2.0 + 3.0_f64.sqrt())).abs() < 1e-12);
    assert!((now(observed.residual(0.5)) - 1.5).abs() < 1e-12);
}

#[test]
fn repaint_goes_through_every_stretch_as_often_as_asked() {
    use Move::{Down, Up};
    assert_eq!(repaint_moves(5, 2, 2), [Down, Down, Up, Up, Down, Down, Down, Down, Up, Up, Down, Down, Down]);
    assert_eq!(repaint_moves(3, 10, 4), [Down; 3]);
    // Up and down again keeps the marginal.
    let (low, high) = (Schedule::Cosine.level(0.3), Schedule::Cosine.level(0.5));
    let keep = renoise(1.0, low, high, 0.0);
    let fresh = renoise(0.0, low, high, 1.0);
    assert!((keep * low.alpha - high.alpha).abs() < 1e-14);
    assert!(((keep * low.sigma).powi(2) + fresh * fresh - high.sigma.powi(2)).abs() < 1e-14);
}

#[test]
fn classifier_guidance_turns_the_prior_into_the_posterior() {
    // Data N(0, 1), observed with noise: y = data + N(0, 0.5). The classifier's gradient at a level is known, and the
    // guided model must be the exact denoiser of the posterior N(2y/3, 1/3).
    let (y, spread) = (1.2, 0.5);
    let mut prior = Gaussian::new(0.0, 1.0);
    let posterior = Gaussian::new(y / 1.5, 1.0 / 3.0);
    for level in [Schedule::Cosine.level(0.2), Schedule::Flow.level(0.7), Level { t: 0.5, alpha: 1.0, sigma: 3.0 }] {
        let gradient = |x: &f64, level: Level| {
            // ln p(y | x_t): y given x_t is normal around E[data | x_t] with variance Var[data | x_t] + spread.
            let total = Gaussian::new(0.0, 1.0).total(level);
            let (slope, variance) = (level.alpha / total, level.sigma.powi(2) / total + spread);
            (y - slope * x) / variance * slope
        };
        for x in [-1.0, 0.3, 2.0] {
            let unguided = infallible(now(prior.estimate(&x, level)));
            let (found, exact) = (unguided.guided(&x, gradient(&x, level), level), posterior.believe(x, level));
            assert!((found.data - exact.data).abs() < 1e-12, "{level:?}");
            assert!((found.noise - exact.noise).abs() < 1e-12, "{level:?}");
        }
    }
}

#[test]
fn classifier_free_guidance_exaggerates_the_condition_within_its_interval_only() {
    let (conditional, unconditional) = (Gaussian::new(1.0, 0.2), Gaussian::new(0.0, 1.0));
    let (inside, outside) = (Schedule::Cosine.level(0.5), Schedule::Cosine.level(0.95));
    for scale in [0.0, 1.0, 3.0] {
        let guidance = Guidance { scale, interval: (0.3, 3.0) };
        assert_eq!((guidance.at(inside), guidance.at(outside)), (scale, 1.0));
        let (c, u) = (conditional.believe(0.4, inside), unconditional.believe(0.4, inside));
        let data = classifier_free(c.data, u.data, scale);
        let noise = classifier_free(c.noise, u.noise, scale);
        assert!((data - (u.data + scale * (c.data - u.data))).abs() < 1e-14);
        assert!((inside.mix(data, noise) - 0.4).abs() < 1e-14);
        // At the same scale classifier guidance by the difference of the scores is the same.
        let gradient = scale * (u.noise - c.noise) / inside.sigma;
        let guided = u.guided(&0.4, gradient, inside);
        assert!((guided.data - data).abs() < 1e-12 && (guided.noise - noise).abs() < 1e-12);
    }
    // Of any state.
    assert_eq!(classifier_free([1.0, 2.0], [0.5, 2.5], 3.0), [2.0, 1.0]);
}

/// Known: `x1 + x2 = 0.8`.
struct Sum;

impl Constraint<[f64; 2]> for Sum {
    fn toward(&self, x: [f64; 2], scale: f64, fresh: Option<([f64; 2], f64)>, share: f64) -> [f64; 2] {
        let noise = fresh.map_or(0.0, |(z, std)| std * (z[0] + z[1]));
        // Both move by half of what is missing.
        let missing = 0.5 * share * (0.8 * scale + noise - x[0] - x[1]);
        [x[0] + missing, x[1] + missing]
    }
}

#[test]
fn every_solver_and_every_method_respect_an_observation() {
    for solver in [Solver::Ddim { eta: 0.0 }, Solver::DpmPp2m, Solver::Heun, Solver::EulerMaruyama, Solver::DpmPpSde] {
        for method in [Method::Project, Method::Guide, Method::Replace, Method::Repaint { jump: 4, resamples: 2 }] {
            let end = end(Sum, method, solver, 20, 5);
            assert!((end[0] + end[1] - 0.8).abs() < 1e-12, "{solver:?} {method:?}");
            assert!(now(Sum.residual(end)) < 1e-12);
        }
    }
}
