//! Laws of schedules and predictions: what must hold at every level, whatever the numbers.

use crate::support::{Batch, Mixture};
use scorefield::diffusion::prediction::{Prediction, canonical, learned_log_variance};
use scorefield::diffusion::schedule::ncsn::normal_cdf;
use scorefield::diffusion::schedule::{Betas, ncsn, spacing};
use scorefield::diffusion::solver::{Churn, Posterior, Strides, Tolerance, Variance, follow};
use scorefield::diffusion::{Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now};
use scorefield::lab::{RunConfig, ScheduleId};
use scorefield::rng::{Rng, Stream};

fn schedules() -> Vec<Schedule> {
    ScheduleId::ALL
        .iter()
        .map(|id| Schedule::from_config(&RunConfig { schedule: *id, ..RunConfig::default() }))
        .collect()
}

fn preserves_variance(schedule: &Schedule) -> bool {
    matches!(schedule, Schedule::Linear { .. } | Schedule::Cosine | Schedule::Betas(_))
}

#[test]
fn variance_preserving_levels_have_variance_one() {
    for schedule in schedules().iter().filter(|s| preserves_variance(s)) {
        for i in 0..=1000 {
            let level = schedule.level(f64::from(i) / 1000.0);
            assert!((level.alpha.powi(2) + level.sigma.powi(2) - 1.0).abs() < 1e-14, "{schedule:?} {level:?}");
        }
    }
}

#[test]
fn drift_and_diffusion_are_the_derivatives_of_the_levels() {
    for schedule in schedules() {
        for i in 1..40 {
            // Away from the knots of the tables, where the derivative jumps.
            let t = f64::from(i) / 40.0 + 0.000_31;
            let h = 1e-5;
            let (low, high, level) = (schedule.level(t - h), schedule.level(t + h), schedule.level(t));
            let alpha = (high.alpha - low.alpha) / (2.0 * h);
            let square = (high.sigma.powi(2) - low.sigma.powi(2)) / (2.0 * h);
            let (drift, diffusion) = (schedule.drift(t), schedule.diffusion(t));
            // Central differences: h^2 / 6 times third derivatives, which grow like the functions' own rates cubed.
            let size = 1.0 + drift.abs().powi(3);
            assert!((drift * level.alpha - alpha).abs() < 1e-8 * size, "{schedule:?} at {t}");
            let expected = square - 2.0 * drift * level.sigma.powi(2);
            assert!((diffusion.powi(2) - expected).abs() < 1e-6 * size * (1.0 + square.abs()), "{schedule:?} at {t}");
            let (d_alpha, d_sigma) = schedule.velocity(t);
            assert!((d_alpha - alpha).abs() < 1e-8 * size, "{schedule:?} at {t}");
            assert!((2.0 * level.sigma * d_sigma - square).abs() < 1e-6 * size * (1.0 + square.abs()));
        }
    }
}

#[test]
fn time_and_log_snr_are_inverse_to_each_other() {
    for schedule in schedules() {
        let (first, last) = schedule.time_range();
        for i in 0..=500 {
            let t = last + (first - last) * f64::from(i) / 500.0;
            let back = schedule.time_at_log_snr(schedule.log_snr(t));
            assert!((back - t).abs() < 1e-11, "{schedule:?}: {t} became {back}");
            let level = schedule.level_at_log_snr(schedule.log_snr(t));
            assert!((level.log_snr() - schedule.log_snr(t)).abs() < 1e-9);
        }
        assert_eq!(schedule.time_at_log_snr(f64::INFINITY), 0.0);
        assert_eq!(schedule.time_at_log_snr(f64::NEG_INFINITY), 1.0);
    }
}

#[test]
fn the_ends_of_every_schedule_are_finite_and_as_stated() {
    for schedule in schedules() {
        let (noisy, clean) = (schedule.level(1.0), schedule.level(0.0));
        assert_eq!(clean.alpha, 1.0, "{schedule:?}");
        assert!(noisy.alpha >= 0.0 && noisy.sigma > 0.0);
        let (first, last) = schedule.time_range();
        assert!(schedule.level(first).alpha >= 9e-4 && schedule.level(last).sigma > 9e-4, "{schedule:?}");
        for t in [first, last] {
            let (d_alpha, d_sigma) = schedule.velocity(t);
            assert!([d_alpha, d_sigma, schedule.drift(t), schedule.diffusion(t)].iter().all(|v| v.is_finite()));
        }
        assert!(schedule.velocity(1.0).0.is_finite() && schedule.velocity(1.0).1.is_finite(), "{schedule:?}");
        for u in [0.0, 0.3, 1.0 - 1e-12] {
            let level = schedule.training_level(u);
            assert!(level.alpha > 0.0 && level.sigma > 0.0 && (0.0..=1.0).contains(&level.t), "{schedule:?} {level:?}");
        }
    }
}

#[test]
fn the_prior_is_the_normal_density() {
    let schedule = Schedule::Exploding { sigma_min: 0.01, sigma_max: 5.0 };
    let step = 0.01;
    let total: f64 =
        (-5000..5000).map(|i| f64::from(i) * step).map(|x| schedule.prior_log_density(x * x, 1).exp() * step).sum();
    assert!((total - 1.0).abs() < 1e-10);
    assert!((schedule.prior_log_density(2.0, 2) - 2.0 * schedule.prior_log_density(1.0, 1)).abs() < 1e-12);
}

#[test]
fn every_prediction_converts_into_every_other_and_back() {
    let mut rng = Rng::new(1, Stream::Test, 0);
    for schedule in schedules() {
        let (first, last) = schedule.time_range();
        for i in 0..=50 {
            let raw = schedule.level(last + (first - last) * f64::from(i) / 50.0);
            for level in [raw, canonical(raw).0] {
                let (data, noise) = (rng.normal(), rng.normal());
                let x = level.mix(data, noise);
                // Dividing by alpha or sigma multiplies rounding by as much.
                let tolerance = 1e-14 * (1.0 + level.sigma / level.alpha + level.alpha / level.sigma).powi(2);
                for from in Prediction::all(0.5) {
                    let (a, b) = from.target(level);
                    let output = a * data + b * noise;
                    let estimate = from.estimate(x, output, level);
                    assert!((estimate.data - data).abs() < tolerance, "{from:?} {level:?}");
                    assert!((estimate.noise - noise).abs() < tolerance, "{from:?} {level:?}");
                    for to in Prediction::all(0.5) {
                        let there = from.convert(to, level).of(x, output);
                        let (a, b) = to.target(level);
                        let size = 1.0 + a.abs() + b.abs();
                        assert!((there - (a * data + b * noise)).abs() < tolerance * size, "{from:?} {to:?} {level:?}");
                        let back = to.convert(from, level).of(x, there);
                        assert!((back - output).abs() < 10.0 * tolerance * (1.0 + output.abs()) * size);
                    }
                }
            }
        }
    }
}

#[test]
fn the_karras_prediction_is_edm_preconditioning() {
    let data_std = 0.5_f64;
    for sigma in [0.002_f64, 0.1, 1.0, 7.0, 80.0] {
        let level = Level { t: 0.5, alpha: 1.0, sigma };
        let edm = Prediction::Karras { data_std };
        let total = sigma * sigma + data_std * data_std;
        let (data, _) = edm.split(level);
        assert!((data.x - data_std * data_std / total).abs() < 1e-14);
        assert!((data.output - sigma * data_std / total.sqrt()).abs() < 1e-14);
        assert!((edm.input_scale(level) - 1.0 / total.sqrt()).abs() < 1e-14);
    }
}

#[test]
fn predictions_stay_finite_where_they_say_nothing() {
    for level in [Level { t: 1.0, alpha: 0.0, sigma: 1.0 }, Level { t: 0.0, alpha: 1.0, sigma: 0.0 }] {
        for prediction in Prediction::all(1.0) {
            let estimate = prediction.estimate(0.7, 0.3, level);
            assert!(estimate.data.is_finite() && estimate.noise.is_finite(), "{prediction:?} {level:?}");
            assert!(prediction.sensitivity(level).is_finite() && prediction.output_scale(level).is_finite());
        }
    }
    // Without noise every prediction that can say so returns the sample itself.
    let clean = Level { t: 0.0, alpha: 1.0, sigma: 0.0 };
    for prediction in [Prediction::Noise, Prediction::Velocity, Prediction::Flow, Prediction::Karras { data_std: 1.0 }]
    {
        assert_eq!(prediction.estimate(0.7, 0.3, clean).data, 0.7, "{prediction:?}");
    }
}

#[test]
fn targets_at_canonical_levels_have_unit_size() {
    for schedule in schedules() {
        let (first, last) = schedule.time_range();
        for i in 0..=20 {
            let (level, scale) = canonical(schedule.level(last + (first - last) * f64::from(i) / 20.0));
            assert!((level.alpha.hypot(level.sigma) - 1.0).abs() < 1e-14 && scale > 0.0);
            for prediction in Prediction::all(1.0) {
                let (a, b) = prediction.target(level);
                let size = a.hypot(b) / prediction.output_scale(level);
                // Flow's noise - data is sqrt(2), the others 1.
                assert!((0.999..1.42).contains(&size), "{prediction:?}: {size}");
            }
        }
    }
}

#[test]
fn learned_variance_reaches_both_ends_and_their_geometric_middle() {
    let (small, large) = (1e-4_f64, 0.02_f64);
    assert!((learned_log_variance(-1.0, small, large).exp() - small).abs() < 1e-16);
    assert!((learned_log_variance(1.0, small, large).exp() - large).abs() < 1e-16);
    assert!((learned_log_variance(0.0, small, large).exp() - (small * large).sqrt()).abs() < 1e-15);
}

#[test]
fn the_posterior_undoes_the_forward_step() {
    // Averaged over x_from given the data, the posterior must give the marginal at `to`.
    for schedule in schedules() {
        let grid = schedule.grid(Spacing::LogSnr, 12);
        for pair in grid.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let p = Posterior::between(from, to);
            assert!((p.data + p.x * from.alpha - to.alpha).abs() < 1e-12);
            let variance = p.variance + (p.x * from.sigma).powi(2);
            assert!((variance - to.sigma.powi(2)).abs() < 1e-12 * from.sigma.powi(2).max(1.0), "{schedule:?}");
        }
    }
}

#[test]
fn a_strided_chain_has_the_levels_of_its_steps() {
    let full = Betas::linear(1000, 1e-4, 0.02);
    let steps = spacing::even_subset(1000, 50);
    let strided = full.strided(&steps);
    for (k, step) in steps.iter().enumerate() {
        assert!((strided.signal_power(k) - full.signal_power(*step)).abs() < 1e-13);
    }
    assert_eq!(full.strided(&(0..1000).collect::<Vec<_>>()).len(), 1000);
    assert_eq!((steps[0], steps[49]), (0, 999));
    assert_eq!(spacing::quadratic_subset(1000, 10), [0, 9, 39, 88, 158, 246, 355, 483, 632, 800]);
    assert_eq!(spacing::leading_subset(1000, 3), [0, 333, 666]);
    assert_eq!(spacing::trailing_subset(1000, 4), [249, 499, 749, 999]);
}

fn data() -> Mixture {
    Mixture(vec![(0.8, 1.0, 0.04), (0.2, -1.0, 0.09)])
}

fn noise(_: &Batch, use_: NoiseUse) -> Batch {
    let mut rng = Rng::new(3, use_.stream, use_.index);
    Batch((0..4).map(|_| rng.normal()).collect())
}

fn start() -> Batch {
    Batch(vec![-1.3, -0.2, 0.4, 1.9])
}

fn scale(batch: Batch, k: f64) -> Batch {
    scorefield::diffusion::State::scale(batch, k)
}

#[test]
fn ddim_with_eta_one_is_ddpm() {
    for schedule in schedules() {
        let grid = schedule.grid(Spacing::LogSnr, 30);
        let from = scale(start(), schedule.prior_std());
        let run = |solver| {
            infallible(now(
                Sampler::new(solver, schedule.clone(), grid.clone(), from.clone()).run(&mut data(), &mut noise)
            ))
        };
        let (ddim, ddpm) = (run(Solver::Ddim { eta: 1.0 }), run(Solver::Ddpm(Variance::Small)));
        for (a, b) in ddim.0.iter().zip(&ddpm.0) {
            assert!((a - b).abs() < 1e-10, "{schedule:?}: {a} {b}");
        }
    }
}

#[test]
fn variance_preserving_and_exploding_runs_are_the_same_picture_from_the_same_noise() {
    let vp = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    let ve = Schedule::Edm { sigma_min: 1e-3, sigma_max: 200.0 };
    let grid = vp.grid(Spacing::LogSnr, 25);
    let rescaled: Vec<Level> = grid
        .iter()
        .map(|l| Level { t: (l.sigma / l.alpha / 200.0).min(1.0), alpha: 1.0, sigma: l.sigma / l.alpha })
        .collect();
    for solver in [
        Solver::Ddpm(Variance::Small),
        Solver::Ddim { eta: 0.0 },
        Solver::Ddim { eta: 0.5 },
        Solver::AnnealedLangevin { snr: 0.2, corrections: 3 },
        Solver::EdmHeun(Churn::everywhere(0.0)),
        Solver::Dpm1,
        Solver::Dpm2,
        Solver::Dpm3,
        Solver::DpmPp2m,
        Solver::DpmPp3m,
        Solver::DpmPpSde,
        Solver::UniPc { order: 3, basis: scorefield::diffusion::solver::Basis::Linear },
        Solver::Ipndm { order: 4, strides: Strides::Equal },
        Solver::Ipndm { order: 4, strides: Strides::Actual },
    ] {
        let one = infallible(now(Sampler::new(solver, vp.clone(), grid.clone(), start()).run(&mut data(), &mut noise)));
        let from = scale(start(), 1.0 / grid[0].alpha);
        let other =
            infallible(now(Sampler::new(solver, ve.clone(), rescaled.clone(), from).run(&mut data(), &mut noise)));
        for (a, b) in one.0.iter().zip(&other.0) {
            assert!((a - b).abs() < 1e-9, "{solver:?}: {a} {b}");
        }
    }
}

#[test]
fn adams_bashforth_methods_are_ddim_at_order_one_and_the_same_where_their_variables_are() {
    let edm = Schedule::Edm { sigma_min: 0.01, sigma_max: 20.0 };
    let run = |solver, levels: Vec<Level>| {
        let sampler = Sampler::new(solver, edm.clone(), levels, scale(start(), 20.0));
        infallible(now(sampler.run(&mut data(), &mut noise)))
    };
    let same = |one, other, levels: Vec<Level>| {
        for (a, b) in run(one, levels.clone()).0.iter().zip(&run(other, levels).0) {
            assert!((a - b).abs() < 1e-10, "{one:?} {other:?}: {a} {b}");
        }
    };
    let karras = edm.grid(Spacing::Karras { rho: 7.0 }, 12);
    for strides in [Strides::Equal, Strides::Actual] {
        same(Solver::Ipndm { order: 1, strides }, Solver::Ddim { eta: 0.0 }, karras.clone());
    }
    // Time is sigma here.
    same(Solver::Deis { degree: 3 }, Solver::Ipndm { order: 4, strides: Strides::Actual }, karras);
    let even = edm.levels_between(Spacing::Uniform, 1.0, 0.01, 12);
    for order in 2..=4 {
        let ipndm = |strides| Solver::Ipndm { order, strides };
        same(ipndm(Strides::Equal), ipndm(Strides::Actual), even.clone());
    }
}

#[test]
fn the_probability_flow_there_and_back_returns_the_point() {
    let schedule = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    let up = schedule.encoding_grid(Spacing::LogSnr, 400);
    let down: Vec<Level> = up.iter().rev().copied().collect();
    for (solver, tolerance) in [
        (Solver::Rk45(scorefield::diffusion::solver::Tolerance { relative: 1e-9, absolute: 1e-9 }), 1e-5),
        (Solver::Ddim { eta: 0.0 }, 0.1),
        (Solver::EdmHeun(Churn::everywhere(0.0)), 5e-3),
        (Solver::Dpm2, 5e-3),
        (Solver::Dpm3, 1e-3),
        (Solver::DpmPp2m, 5e-3),
        (Solver::UniPc { order: 2, basis: scorefield::diffusion::solver::Basis::Exponential }, 1e-3),
        (Solver::Ipndm { order: 4, strides: Strides::Equal }, 5e-3),
        (Solver::Ipndm { order: 4, strides: Strides::Actual }, 1e-3),
        (Solver::Deis { degree: 3 }, 1e-3),
    ] {
        let mut silence = |_: &Batch, _: NoiseUse| panic!("a deterministic solver asked for noise");
        let points = Batch(vec![-1.2, -0.6, 0.7, 1.1]);
        let code = infallible(now(
            Sampler::new(solver, schedule.clone(), up.clone(), points.clone()).run(&mut data(), &mut silence)
        ));
        let back = infallible(now(
            Sampler::new(solver, schedule.clone(), down.clone(), code.clone()).run(&mut data(), &mut silence)
        ));
        for (a, b) in back.0.iter().zip(&points.0) {
            assert!((a - b).abs() < tolerance, "{solver:?}: {a} {b}");
        }
        // The code is unique: larger data have larger codes.
        assert!(code.0.windows(2).all(|pair| pair[0] < pair[1]), "{solver:?}");
    }
}

#[test]
fn ncsnv2_choices_reproduce_the_published_settings() {
    // CIFAR-10: sigma 50 to 0.01 in 232 levels; the published overlap is 0.567, its best step 6.2e-6 for T = 5.
    let ratio = (50.0_f64 / 0.01).powf(1.0 / 231.0);
    assert!((ratio - 1.03756).abs() < 1e-5);
    assert!((ncsn::overlap(ratio, 3072) - 0.567).abs() < 5e-4);
    assert!((ncsn::variance_ratio(6.2e-6, 5, ratio, 0.01) - 1.0555).abs() < 1e-4);
    let exact = ncsn::ratio_for_overlap(0.5, 3072);
    assert!((ncsn::overlap(exact, 3072) - 0.5).abs() < 1e-12 && (exact - 1.0398).abs() < 1e-4);
    assert_eq!(ncsn::level_count(50.0, 0.01, exact), 219);
    // The published steps are about the best ones.
    let best = ncsn::best_step(5, ratio, 0.01);
    assert!((best / 6.2e-6 - 1.0).abs() < 0.05, "{best:e}");
    let miss = |epsilon: f64| (ncsn::variance_ratio(epsilon, 5, ratio, 0.01) - 1.0).abs();
    assert!(miss(best) <= miss(6.2e-6) && miss(best) <= miss(1.01 * best) && miss(best) <= miss(0.99 * best));
}

#[test]
fn the_normal_quantile_inverts_the_distribution_function() {
    for p in [1e-300, 1e-100, 1e-12, 0.001, 0.1, 0.4, 0.5, 0.7, 0.999] {
        assert!((ncsn::normal_cdf(ncsn::normal_quantile(p)) / p - 1.0).abs() < 1e-12, "{p}");
    }
    // From the tables of every textbook.
    assert!((ncsn::normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-14);
}

#[test]
fn steps_of_the_forward_equation_approach_its_marginals_at_first_order() {
    let equations = [
        Schedule::Linear { beta_min: 0.1, beta_max: 20.0 },
        Schedule::SubVp { beta_min: 0.1, beta_max: 20.0 },
        Schedule::Exploding { sigma_min: 0.01, sigma_max: 50.0 },
    ];
    for schedule in equations {
        // Each step is linear: what it makes of a mean, and of the variance of unit noise, says all of it.
        let gaps = [1000, 2000].map(|steps| {
            let (start, time) = (schedule.level(0.0), |i: usize| i as f64 / f64::from(steps));
            let (mut mean, mut variance) = (start.alpha, start.sigma.powi(2));
            for i in 0..600 * steps as usize / 1000 {
                let (from, to) = (time(i), time(i + 1));
                variance = schedule.forward_step(variance.sqrt(), from, to, 0.0).powi(2)
                    + schedule.forward_step(0.0, from, to, 1.0).powi(2);
                mean = schedule.forward_step(mean, from, to, 0.0);
            }
            let level = schedule.level(0.6);
            [mean - level.alpha, (variance - level.sigma.powi(2)) / level.sigma.powi(2)]
        });
        for (coarse, fine) in gaps[0].iter().zip(gaps[1]) {
            assert!(
                coarse.abs() < 0.03 && (coarse - 2.0 * fine).abs() < 0.1 * coarse.abs() + 1e-12,
                "{schedule:?} {gaps:?}"
            );
        }
    }
}

#[test]
fn the_flow_on_a_line_keeps_the_order_of_points_and_their_quantiles() {
    let mut rng = Rng::new(11, Stream::Test, 0);
    let tolerance = Tolerance { relative: 1e-9, absolute: 1e-9 };
    let [beta_min, beta_max, sigma_min, sigma_max] = [0.1, 20.0, 0.01, 50.0];
    for schedule in [
        Schedule::Exploding { sigma_min, sigma_max },
        Schedule::Linear { beta_min, beta_max },
        Schedule::SubVp { beta_min, beta_max },
    ] {
        let (first, last) = schedule.time_range();
        let (above, below) = (schedule.level(first), schedule.level(last));
        for _ in 0..8 {
            let count = 1 + rng.below(4) as usize;
            let parts = (0..count).map(|_| (0.1 + rng.uniform(), 1.5 * rng.normal(), 0.02 + rng.uniform()));
            let parts: Vec<(f64, f64, f64)> = parts.collect();
            let total: f64 = parts.iter().map(|part| part.0).sum();
            let mut mixture = Mixture(parts.into_iter().map(|(w, m, v)| (w / total, m, v)).collect());
            let below_of = |mixture: &Mixture, x: f64, level: Level| -> f64 {
                let part = |(w, m, v): &(f64, f64, f64)| {
                    w * normal_cdf((x - level.alpha * m) / (level.alpha.powi(2) * v + level.sigma.powi(2)).sqrt())
                };
                mixture.0.iter().map(part).sum()
            };
            let mut before = f64::NEG_INFINITY;
            for z in -12..=12 {
                let start = 0.25 * f64::from(z) * above.sigma;
                let (end, _) = infallible(now(follow(&schedule, tolerance, (above, below), &mut mixture, start)));
                assert!(end > before, "{schedule:?} {:?}: {end} after {before}", mixture.0);
                before = end;
                // The flow carries all that is below a point with it.
                let [from, to] = [below_of(&mixture, start, above), below_of(&mixture, end, below)];
                assert!((from - to).abs() < 1e-5, "{schedule:?} {:?}: {from} becomes {to}", mixture.0);
            }
        }
    }
}
