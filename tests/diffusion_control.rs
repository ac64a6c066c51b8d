//! Inpainting, colourisation, guidance: control of an unconditional model.

mod support;

use std::convert::Infallible;

use scorefield::diffusion::control::{
    ClassifierFree, ClassifierGuided, Elementwise, Move, Observed, colour_basis, renoise, repaint_moves, replace_known,
    with_grey,
};
use scorefield::diffusion::solver::Variance;
use scorefield::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now};
use scorefield::rng::{Rng, Stream};
use support::Gaussian;

fn noise(_: &[f64; 2], use_: NoiseUse) -> [f64; 2] {
    let mut rng = Rng::new(8, use_.stream, use_.index);
    [rng.normal(), rng.normal()]
}

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

#[test]
fn inpainting_ends_with_the_known_values_and_conditions_the_rest() {
    let schedule = Schedule::Cosine;
    let solver = Solver::Ddpm(Variance::Small);
    let (known, mask) = ([1.5, 0.0], [1.0, 0.0]);
    let grid = schedule.grid(Spacing::LogSnr, 30);
    let (mut replaced, mut projected, mut repainted) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..300 {
        let mut prior = Rng::new(sample, Stream::Prior, 0);
        let start = [prior.normal(), prior.normal()];
        let mut extra = Rng::new(sample, Stream::Test, 0);
        let mut draw = |_: &[f64; 2], use_: NoiseUse| {
            let mut rng = Rng::new(sample, use_.stream, use_.index);
            [rng.normal(), rng.normal()]
        };
        // score_sde: replacement after every step.
        let mut sampler = Sampler::new(solver, schedule.clone(), grid.clone(), start);
        while infallible(now(sampler.step(&mut Tilted, &mut draw))).is_some() {
            let z = [extra.normal(), extra.normal()];
            sampler.change(|x, level| replace_known(x, &known, &mask, level, z));
        }
        assert_eq!(sampler.x()[0], 1.5);
        replaced.push(sampler.x()[1]);
        // DDNM: the data estimate is projected.
        let mut observed = Observed { model: &mut Tilted, project: |data: [f64; 2], _| known.select(data, &mask) };
        let end =
            infallible(now(Sampler::new(solver, schedule.clone(), grid.clone(), start).run(&mut observed, &mut draw)));
        assert_eq!(end[0], 1.5);
        projected.push(end[1]);
        // RePaint: replacement with resampling.
        let mut sampler = Sampler::new(solver, schedule.clone(), grid.clone(), start);
        for step in repaint_moves(grid.len() - 1, 3, 4) {
            let z = [extra.normal(), extra.normal()];
            match step {
                Move::Down => {
                    assert!(infallible(now(sampler.step(&mut Tilted, &mut draw))).is_some());
                    sampler.change(|x, level| replace_known(x, &known, &mask, level, z));
                }
                Move::Up => assert!(sampler.raise(z)),
            }
        }
        assert!(sampler.is_finished());
        repainted.push(sampler.x()[1]);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    // The exact conditional is N(1.5, 0.25). Replacement alone knows too little of the known part at early levels; the
    // point of resampling is to come closer.
    let (plain, again) = ((mean(&replaced) - 1.5).abs(), (mean(&repainted) - 1.5).abs());
    assert!(again < 0.5 * plain, "{plain} {again}");
    // Projection of the estimate alone is as approximate as replacement: it only leans from the unconditional mean 0,
    // which a sample of 300 knows to 0.065, towards the conditional one.
    assert!(mean(&projected) > 0.4 && mean(&projected) < 1.6, "{}", mean(&projected));
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
fn colour_is_an_orthonormal_basis_whose_first_axis_is_grey() {
    let basis = colour_basis();
    for i in 0..3 {
        for j in 0..3 {
            let product: f64 = (0..3).map(|k| basis[i][k] * basis[j][k]).sum();
            assert!((product - f64::from(u8::from(i == j))).abs() < 1e-15);
        }
    }
    let pixel = [0.2, -0.4, 0.9];
    let moved = with_grey(pixel, 0.5);
    assert!((moved.iter().sum::<f64>() / 3.0_f64.sqrt() - 0.5).abs() < 1e-15);
    // Only the grey moves, and moving twice changes nothing.
    for axis in &basis[1..] {
        let along = |p: [f64; 3]| p.iter().zip(axis).map(|(a, b)| a * b).sum::<f64>();
        assert!((along(moved) - along(pixel)).abs() < 1e-15);
    }
    assert!(with_grey(moved, 0.5).iter().zip(moved).all(|(a, b)| (a - b).abs() < 1e-15));
}

#[test]
fn classifier_guidance_turns_the_prior_into_the_posterior() {
    // Data N(0, 1), observed with noise: y = data + N(0, 0.5). The classifier's gradient at a level is known, and the
    // guided model must be the exact denoiser of the posterior N(2y/3, 1/3).
    let (y, spread) = (1.2, 0.5);
    let mut prior = Gaussian::new(0.0, 1.0);
    let posterior = Gaussian::new(y / 1.5, 1.0 / 3.0);
    for level in [Schedule::Cosine.level(0.2), Schedule::Flow.level(0.7), Level { t: 0.5, alpha: 1.0, sigma: 3.0 }] {
        let gradient = async |x: &f64, level: Level| {
            // ln p(y | x_t): y given x_t is normal around E[data | x_t] with variance Var[data | x_t] + spread.
            let total = Gaussian::new(0.0, 1.0).total(level);
            let (slope, variance) = (level.alpha / total, level.sigma.powi(2) / total + spread);
            Ok((y - slope * x) / variance * slope)
        };
        let mut guided = ClassifierGuided { model: &mut prior, gradient, scale: 1.0 };
        for x in [-1.0, 0.3, 2.0] {
            let (found, exact) = (infallible(now(guided.estimate(&x, level))), posterior.believe(x, level));
            assert!((found.data - exact.data).abs() < 1e-12, "{level:?}");
            assert!((found.noise - exact.noise).abs() < 1e-12, "{level:?}");
        }
    }
}

#[test]
fn classifier_free_guidance_acts_within_its_interval_only() {
    let (mut conditional, mut unconditional) = (Gaussian::new(1.0, 0.2), Gaussian::new(0.0, 1.0));
    let (inside, outside) = (Schedule::Cosine.level(0.5), Schedule::Cosine.level(0.95));
    for weight in [0.0, 1.0, 3.0] {
        let (c, u) = (conditional.believe(0.4, inside), unconditional.believe(0.4, inside));
        let beyond = conditional.believe(0.4, outside);
        let mut guided = ClassifierFree {
            conditional: &mut conditional,
            unconditional: &mut unconditional,
            weight,
            interval: (0.3, 3.0),
        };
        let found = infallible(now(guided.estimate(&0.4, inside)));
        assert!((found.data - (u.data + weight * (c.data - u.data))).abs() < 1e-14);
        assert!((inside.mix(found.data, found.noise) - 0.4).abs() < 1e-14);
        assert_eq!(infallible(now(guided.estimate(&0.4, outside))), beyond);
    }
}

#[test]
fn every_solver_respects_an_observation() {
    for solver in [Solver::Ddim { eta: 0.0 }, Solver::DpmPp2m, Solver::Heun, Solver::EulerMaruyama, Solver::DpmPpSde] {
        // Known: x1 + x2 = 0.8. The projection moves both by half of what is missing.
        let mut observed = Observed {
            project: |data: [f64; 2], _| {
                let missing = 0.5 * (0.8 - data[0] - data[1]);
                [data[0] + missing, data[1] + missing]
            },
            model: &mut Tilted,
        };
        let schedule = Schedule::Cosine;
        let grid = schedule.grid(Spacing::LogSnr, 20);
        let end = infallible(now(Sampler::new(solver, schedule, grid, [0.3, -1.0]).run(&mut observed, &mut noise)));
        assert!((end[0] + end[1] - 0.8).abs() < 1e-12, "{solver:?}");
    }
}
