//! Control in the plane: conditions on mixtures in closed form, and sampling runs that obey them.

use crate::support::anything;
use scorefield::data::metrics::{Floor, Slices, modes};
use scorefield::data::{Condition, Dataset, Exact, Mixture};
use scorefield::data::{DatasetId, Drawing, Gaussians};
use scorefield::diffusion::constraint::ConstrainedSampler;
use scorefield::diffusion::{Denoiser, Estimate, Level, NoiseUse, Schedule, infallible, now};
use scorefield::lab::{ControlId, RunConfig, ScheduleId, SolverId, SpacingId, planned_evaluations};
use scorefield::rng::{Rng, Stream};

fn three() -> Mixture {
    Mixture::from_components([(0.5, [-0.8, 0.3], 0.35), (0.3, [0.9, 0.8], 0.2), (0.2, [0.4, -1.1], 0.5)])
}

fn slanted(noise: f64) -> Condition {
    Condition::Observation { direction: [0.6, 0.8], value: 0.7, noise }
}

/// `ln p(observation | x)` from the joint normal distribution of `x` and what is seen, component by component, in the
/// frame of the direction.
fn log_likelihood(mixture: &Mixture, condition: &Condition, x: [f64; 2], level: Level) -> f64 {
    let Condition::Observation { direction: u, value, noise } = condition else { panic!("an observation") };
    let (mut joint, mut alone) = (0.0, 0.0);
    for ((weight, m), s) in mixture.weights.iter().zip(&mixture.means).zip(&mixture.stds) {
        let total = level.alpha.powi(2) * s * s + level.sigma.powi(2);
        let offset = [x[0] - level.alpha * m[0], x[1] - level.alpha * m[1]];
        let along = u[0] * offset[0] + u[1] * offset[1];
        let square = offset[0].powi(2) + offset[1].powi(2);
        let density = weight * (-0.5 * square / total).exp() / total;
        alone += density;
        let seen = value - u[0] * m[0] - u[1] * m[1];
        let covariance = level.alpha * s * s;
        let left = s * s + noise * noise - covariance * covariance / total;
        joint += density * (-0.5 * (seen - covariance / total * along).powi(2) / left).exp() / left.sqrt();
    }
    joint.ln() - alone.ln()
}

#[test]
fn the_gradient_of_an_observation_is_the_difference_quotient_of_its_likelihood() {
    let mixture = three();
    for condition in [slanted(0.0), slanted(0.3)] {
        for level in [Schedule::Cosine.level(0.3), Schedule::Cosine.level(0.8), Schedule::Flow.level(0.5)] {
            for x in [[0.1, 0.4], [-1.2, 0.9]] {
                let found = condition.gradient(&mixture.at(level), x);
                for axis in 0..2 {
                    let at = |k: f64| {
                        let mut moved = x;
                        moved[axis] += k;
                        log_likelihood(&mixture, &condition, moved, level)
                    };
                    // The error of the central difference is of the order of the square of the step.
                    let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((found[axis] - difference).abs() < 1e-6 * difference.abs().max(1.0), "{level:?} {x:?}");
                }
            }
        }
    }
}

#[test]
fn guidance_by_a_class_at_scale_one_is_the_denoiser_of_the_class() {
    let mixture = three();
    let condition = Condition::Class(vec![false, true, true]);
    let kept = condition.kept(&mixture);
    assert_eq!(kept.weights.len(), 2);
    for level in [Schedule::Cosine.level(0.02), Schedule::Cosine.level(0.5), Schedule::Cosine.level(0.99)] {
        // The last is far from the class, where no share of it is left in the mixture's own sums.
        for x in [[0.1, 0.4], [-0.8, 0.3], [-9.0, 9.0]] {
            let gradient = condition.gradient(&mixture.at(level), x);
            let (score, wanted) = (mixture.score(x, level), kept.score(x, level));
            for axis in 0..2 {
                let found = score[axis] + gradient[axis];
                assert!((found - wanted[axis]).abs() < 1e-9 * wanted[axis].abs().max(1.0), "{level:?} {x:?}");
            }
        }
    }
    // Nothing marked, nothing known.
    assert_eq!(
        Condition::Class(vec![false; 3]).gradient(&mixture.at(Schedule::Cosine.level(0.5)), [1.0, 1.0]),
        [0.0; 2]
    );
    assert!(Condition::Class(vec![false; 3]).draw(&mixture, &mut Rng::new(1, Stream::Test, 0), 5).is_empty());
}

#[test]
fn draws_under_an_observation_are_those_that_weighting_plain_draws_gives() {
    let (mixture, condition, count) = (three(), slanted(0.3), 200_000);
    let plain = mixture.draw(&mut Rng::new(2, Stream::Test, 0), count);
    let weight = |x: &[f64; 2]| (-0.5 * ((0.7 - 0.6 * x[0] - 0.8 * x[1]) / 0.3).powi(2)).exp();
    let total: f64 = plain.iter().map(weight).sum();
    let drawn = condition.draw(&mixture, &mut Rng::new(2, Stream::Test, 1), count);
    for moment in [|x: &[f64; 2]| x[0], |x: &[f64; 2]| x[1], |x: &[f64; 2]| x[0] * x[1], |x: &[f64; 2]| x[0] * x[0]] {
        let weighted = plain.iter().map(|x| weight(x) * moment(x)).sum::<f64>() / total;
        let direct = drawn.iter().map(moment).sum::<f64>() / count as f64;
        let variance = drawn.iter().map(|x| (moment(x) - direct).powi(2)).sum::<f64>() / count as f64;
        // Five standard errors of both; weighting has a quarter of the draws' worth.
        let error = 5.0 * (variance / count as f64 * (1.0 + 4.0)).sqrt();
        assert!((weighted - direct).abs() < error, "{weighted} {direct} {error}");
    }
    // An exact observation is met exactly.
    for x in slanted(0.0).draw(&mixture, &mut Rng::new(3, Stream::Test, 0), 100) {
        assert!((0.6 * x[0] + 0.8 * x[1] - 0.7).abs() < 1e-12);
    }
}

#[test]
fn shares_of_modes_under_conditions_are_those_of_quadrature() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../golden/conditional.json")).expect("it is JSON");
    let number = |of: &serde_json::Value| of.as_f64().expect("a number");
    let list = |of: &serde_json::Value| of.as_array().expect("a list").iter().map(number).collect::<Vec<f64>>();
    let pair = |of: &serde_json::Value| [number(&of[0]), number(&of[1])];
    let components = golden["mixture"].as_array().expect("a list");
    let mixture = Mixture::from_components(components.iter().map(|c| (number(&c[0]), pair(&c[1]), number(&c[2]))));
    let drawn = |condition: &Condition, shares: &[f64]| {
        let found = modes(&condition.draw(&mixture, &mut Rng::new(4, Stream::Test, 0), 100_000), &mixture);
        for ((found, error), exact) in found.weights.iter().zip(&found.errors).zip(shares) {
            assert!((found - exact).abs() < 5.0 * error + 1e-6, "{condition:?}: {found} instead of {exact}");
        }
    };
    for case in golden["observations"].as_array().expect("a list") {
        let (direction, value, noise) = (pair(&case["direction"]), number(&case["value"]), number(&case["noise"]));
        let (condition, shares) = (Condition::Observation { direction, value, noise }, list(&case["shares"]));
        for (found, exact) in condition.kept(&mixture).weights.iter().zip(&shares) {
            assert!((found - exact).abs() < 1e-7, "{condition:?}: {found} instead of {exact}");
        }
        drawn(&condition, &shares);
    }
    for (class, shares) in golden["classes"].as_array().expect("a list").iter().enumerate() {
        drawn(&Condition::Class((0..3).map(|of| of == class).collect()), &list(shares));
    }
}

fn dataset(config: &RunConfig) -> Dataset {
    let moons = || Dataset::new(DatasetId::Moons, &config.drawing, &config.gaussians).expect("moons");
    config.data().unwrap_or_else(|_| moons())
}

/// Runs a configuration to its end with the exact denoiser. Gives the samples in the model's coordinates.
fn sampled(config: &RunConfig, dataset: &Dataset) -> Vec<[f64; 2]> {
    let count = config.samples as usize;
    let mut noise =
        |_: &Vec<[f64; 2]>, use_: NoiseUse| Rng::new(config.seed, use_.stream, use_.index).normal_points(count);
    let start = Rng::new(config.seed, Stream::Prior, 0).normal_points(count);
    let mut run = ConstrainedSampler::from_config(config, dataset, start);
    let mut model = Exact::new(&dataset.standard);
    let planned = (run.planned_steps(), planned_evaluations(config));
    let mut steps = 0;
    while let Some(report) = infallible(now(run.step(&mut model, &mut noise))) {
        steps += 1;
        assert_eq!(report.step, steps);
        // Beliefs reach to 40 deviations. From them Heun's second look extrapolates by the ratio of the noise of two
        // levels, and all steps together by that of the ends, up to 1e6; f32 reaches farther.
        let bound = 1e12;
        assert!(
            run.sampler().x().iter().flatten().all(|v| v.abs() < bound),
            "{config:?}: {report:?} {:?}",
            run.sampler().x()
        );
        assert!(run.sampler().evaluations() < 2_000_000, "{config:?} does not end");
    }
    assert!(run.sampler().is_finished());
    if let (Some(planned_steps), Some(evaluations)) = planned {
        assert_eq!((steps, run.sampler().evaluations()), (planned_steps, evaluations), "{config:?}");
    }
    run.sampler().x().clone()
}

fn with(control: ControlId) -> RunConfig {
    RunConfig {
        control,
        dataset: DatasetId::EightGaussians,
        observe_value: 2.5,
        observe_angle: 30.0,
        samples: 1000,
        steps: 60,
        ..RunConfig::default()
    }
}

/// Distance of the samples from exact draws under the condition, and what exact draws have among themselves.
fn distance(config: &RunConfig) -> (f64, Floor) {
    let data = dataset(config);
    let samples = sampled(config, &data);
    let run = ConstrainedSampler::from_config(config, &data, samples.clone());
    let condition = &run.constraint().expect("a constraint").condition;
    let draw = |i| condition.draw(&data.standard, &mut Rng::new(9, Stream::Test, i), samples.len());
    let slices = Slices::new(&draw(0), 32, 1);
    let floors: Vec<f64> = (1..9).map(|i| slices.distance(&draw(i))).collect();
    (slices.distance(&samples), Floor::of(&floors))
}

#[test]
fn guidance_at_scale_one_samples_the_exact_conditional_distribution() {
    for solver in [SolverId::DpmPp2m, SolverId::Ddpm] {
        for (control, noise) in [(ControlId::Observe, 0.0), (ControlId::Observe, 0.8), (ControlId::Class, 0.0)] {
            let config = RunConfig { solver, observe_noise: noise, class: 3, steps: 100, ..with(control) };
            let (found, floor) = distance(&config);
            // Six deviations of the floor, and 0.05 of the data's deviation for the error of a hundred steps.
            assert!(
                found < floor.mean + 6.0 * floor.spread + 0.05,
                "{control:?} {noise} {solver:?}: {found} {floor:?}"
            );
        }
    }
}

#[test]
fn what_is_observed_holds_at_the_end_and_resampling_comes_closer() {
    let (mut distances, data) = (Vec::new(), dataset(&with(ControlId::Replace)));
    for control in [ControlId::Replace, ControlId::Repaint, ControlId::Project, ControlId::Observe] {
        let config = RunConfig { solver: SolverId::Ddpm, ..with(control) };
        let (sine, cosine) = 30.0_f64.to_radians().sin_cos();
        for x in sampled(&config, &data) {
            let [x, y] = data.from_standard(x);
            // Guidance keeps a last step's worth of noise in the belief, a thousandth of the data's deviation.
            let exact = if control == ControlId::Observe { 0.02 } else { 1e-9 };
            assert!((cosine * x + sine * y - 2.5).abs() < exact, "{control:?}: {x} {y}");
        }
        distances.push(distance(&config).0);
    }
    assert!(distances[1] < distances[0], "resampling is for coming closer: {distances:?}");
    assert!(distances[3] < distances[0], "the exact gradient is exact: {distances:?}");
}

#[test]
fn the_adaptive_solver_takes_replacement_too() {
    let config = RunConfig { solver: SolverId::Rk45, samples: 50, tolerance: 1e-3, ..with(ControlId::Replace) };
    let data = dataset(&config);
    let (sine, cosine) = 30.0_f64.to_radians().sin_cos();
    for x in sampled(&config, &data) {
        let [x, y] = data.from_standard(x);
        assert!((cosine * x + sine * y - 2.5).abs() < 1e-9);
    }
}

#[test]
fn guidance_acts_within_its_interval_only() {
    let base = RunConfig { samples: 20, guidance: 4.0, ..with(ControlId::Class) };
    let data = dataset(&base);
    let all = sampled(&base, &data);
    // An interval of nothing is scale one everywhere.
    let none = RunConfig { guidance_from: 1000.0, guidance_to: 0.001, ..base.clone() };
    let one = RunConfig { guidance: 1.0, ..base.clone() };
    assert_eq!(sampled(&none, &data), sampled(&one, &data));
    assert_ne!(all, sampled(&one, &data));
    let part = RunConfig { guidance_to: 1.0, ..base };
    assert_ne!(sampled(&part, &data), all);
}

#[test]
fn every_data_set_has_classes_for_all_of_its_components() {
    let (drawing, _) = Drawing::from_text("");
    for (id, count) in [
        (DatasetId::Mixture, 2),
        (DatasetId::EightGaussians, 8),
        (DatasetId::Grid, 25),
        (DatasetId::Moons, 2),
        (DatasetId::SwissRoll, 4),
        (DatasetId::Rings, 3),
        (DatasetId::Gaussians, 3),
        (DatasetId::Checkerboard, 8),
        (DatasetId::Pinwheel, 5),
    ] {
        let data = Dataset::new(id, &drawing, &Gaussians::default()).expect("a data set");
        assert_eq!(data.classes.len(), data.mixture.weights.len(), "{id:?}");
        for class in 0..count {
            assert!(data.classes.contains(&class), "{id:?} {class}");
        }
        assert!(data.classes.iter().all(|&c| c < count), "{id:?}");
    }
}

/// [`anything`], small enough to run.
fn anything_small(rng: &mut Rng) -> RunConfig {
    let mut config = anything(rng);
    config.samples = 3;
    config.steps = config.steps.min(1 + rng.below(60));
    config.corrections = config.corrections.min(3);
    // The adaptive solver is asked about rough fields too, but not for a million steps of each.
    config.tolerance = config.tolerance.max(1e-4);
    config
}

#[test]
fn every_controlled_configuration_in_range_ends_finite_with_the_evaluations_it_planned() {
    let mut rng = Rng::new(6, Stream::Test, 0);
    for _ in 0..600 {
        let config = anything_small(&mut rng);
        if config.solver == SolverId::Rk45 && rng.below(4) > 0 {
            continue;
        }
        sampled(&config, &dataset(&config));
    }
}

#[test]
fn every_control_survives_every_solver_and_schedule_at_one_step_and_at_its_strongest() {
    for schedule in ScheduleId::ALL {
        for solver in SolverId::ALL {
            for control in ControlId::ALL {
                for steps in [1, 2, 24] {
                    let config = RunConfig {
                        schedule: *schedule,
                        solver: *solver,
                        control: *control,
                        steps,
                        samples: 2,
                        guidance: 10.0,
                        observe_value: 12.0,
                        jump: 5,
                        tolerance: 1e-2,
                        dataset: DatasetId::Mixture,
                        spacing: SpacingId::LogSnr,
                        ..RunConfig::default()
                    };
                    sampled(&config, &dataset(&config));
                }
            }
        }
    }
}

/// The exact denoiser, which fails every so often before it answers.
struct Failing<'a> {
    exact: Exact<'a>,
    luck: Rng,
}

impl Denoiser<Vec<[f64; 2]>> for Failing<'_> {
    type Error = ();

    async fn estimate(&mut self, x: &Vec<[f64; 2]>, level: Level) -> Result<Estimate<Vec<[f64; 2]>>, ()> {
        if self.luck.uniform() < 0.3 { Err(()) } else { Ok(infallible(self.exact.estimate(x, level).await)) }
    }
}

#[test]
fn a_controlled_step_whose_model_fails_can_be_made_again_as_if_nothing_had_happened() {
    for &control in ControlId::ALL {
        let config = RunConfig { control, solver: SolverId::Heun, steps: 12, samples: 5, ..RunConfig::default() };
        let dataset = dataset(&config);
        let mut noise = |_: &Vec<[f64; 2]>, use_: NoiseUse| Rng::new(2, use_.stream, use_.index).normal_points(5);
        let start =
            || ConstrainedSampler::from_config(&config, &dataset, Rng::new(2, Stream::Prior, 0).normal_points(5));
        let (mut run, mut smooth) = (start(), start());
        let exact = || Exact::new(&dataset.standard);
        let (mut model, mut failures) = (Failing { exact: exact(), luck: Rng::new(1, Stream::Test, 0) }, 0);
        let (mut reports, mut expected) = (Vec::new(), Vec::new());
        loop {
            match now(run.step(&mut model, &mut noise)) {
                Ok(Some(report)) => reports.push((report, run.sampler().x().clone())),
                Ok(None) => break,
                Err(()) => failures += 1,
            }
        }
        while let Some(report) = infallible(now(smooth.step(&mut exact(), &mut noise))) {
            expected.push((report, smooth.sampler().x().clone()));
        }
        assert!(failures > 0 && reports == expected, "{control:?}");
    }
}
