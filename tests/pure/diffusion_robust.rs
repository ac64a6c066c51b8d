//! No configuration that the controls allow gives anything but finite numbers, and counts are exact.

use std::convert::Infallible;

use crate::support::{Batch, Gaussian, anything};
use scorefield::diffusion::{
    Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, State, infallible, now,
};
use scorefield::lab::{RunConfig, ScheduleId, SolverId, SpacingId};
use scorefield::rng::{Rng, Stream};

/// An exact denoiser that counts how often it is asked.
struct Counted {
    data: Gaussian,
    calls: u32,
}

impl Denoiser<f64> for Counted {
    type Error = Infallible;

    async fn estimate(&mut self, x: &f64, level: Level) -> Result<Estimate<f64>, Infallible> {
        self.calls += 1;
        assert!(level.sigma > 0.0 && level.alpha > 0.0, "asked at {level:?}");
        assert!((0.0..=1.0).contains(&level.t), "asked at {level:?}");
        Ok(self.data.believe(*x, level))
    }
}

/// The same, which fails every so often before it answers.
struct Failing {
    data: Gaussian,
    luck: Rng,
    failures: u32,
}

/// That it failed.
#[derive(Debug)]
struct Lost;

impl Denoiser<f64> for Failing {
    type Error = Lost;

    async fn estimate(&mut self, x: &f64, level: Level) -> Result<Estimate<f64>, Lost> {
        if self.luck.uniform() < 0.3 {
            self.failures += 1;
            return Err(Lost);
        }
        Ok(self.data.believe(*x, level))
    }
}

fn noise(seed: u32) -> impl FnMut(&f64, NoiseUse) -> f64 {
    move |_, use_| Rng::new(seed, use_.stream, use_.index).normal()
}

/// Runs a configuration to its end and checks everything that must hold for each.
fn check(config: &RunConfig, data: Gaussian) {
    let mut model = Counted { data, calls: 0 };
    let mut noise = noise(config.seed);
    let start = Rng::new(config.seed, Stream::Prior, 0).normal();
    let mut sampler = Sampler::from_config(config, start);
    let planned = (sampler.planned_steps(), sampler.planned_evaluations());
    let mut steps = 0;
    while let Some(report) = infallible(now(sampler.step(&mut model, &mut noise))) {
        steps += 1;
        // Far from where f32 runs out, too: a device computes in it.
        // Annealed Langevin with steps too small to matter only divides by the first level's alpha, 5e-5 for the clipped
        // cosine table.
        let bound = 1e6 * report.level.sigma.max(1.0);
        assert!(sampler.x().abs() < bound, "{config:?}: {report:?} {}", sampler.x());
        assert_eq!(model.calls, sampler.evaluations());
        assert_eq!(report.step, steps);
        assert!(steps < 20_000, "{config:?} does not end");
    }
    assert!(sampler.is_finished());
    assert_eq!(sampler.level().sigma, 0.0);
    // The end is the last estimate of the data, exactly.
    assert_eq!(sampler.estimate().map(|e| e.data), Some(*sampler.x()), "{config:?}");
    if let (Some(planned_steps), Some(planned_evaluations)) = planned {
        assert_eq!((steps, model.calls), (planned_steps, planned_evaluations), "{config:?}");
    }
}

#[test]
fn every_configuration_in_range_ends_finite_with_the_evaluations_it_planned() {
    let mut rng = Rng::new(5, Stream::Test, 0);
    for _ in 0..1500 {
        let mut config = anything(&mut rng);
        // A hundred corrections at a thousand levels cost more than they show.
        config.corrections = config.corrections.min(100_000 / config.steps.max(1) / 20 + 1);
        let variance = [0.0, 0.01, 1.0, 4.0][rng.below(4) as usize];
        check(&config, Gaussian::new(rng.normal(), variance));
    }
}

#[test]
fn every_pair_of_schedule_solver_and_spacing_survives_one_step_and_a_thousand() {
    for schedule in ScheduleId::ALL {
        for solver in SolverId::ALL {
            for spacing in SpacingId::ALL {
                for steps in [1, 2, 3, 1000] {
                    if steps == 1000 && *spacing == SpacingId::Quadratic && *solver != SolverId::Ddpm {
                        continue;
                    }
                    let config = RunConfig {
                        schedule: *schedule,
                        solver: *solver,
                        spacing: *spacing,
                        steps,
                        tolerance: 1e-5,
                        eta: 1.0,
                        ..RunConfig::default()
                    };
                    check(&config, Gaussian::new(0.5, 1.0));
                }
            }
        }
    }
}

#[test]
fn a_model_that_answers_with_no_number_still_ends_every_run() {
    for solver in SolverId::ALL {
        let config = RunConfig { solver: *solver, tolerance: 1e-8, churn: 10.0, ..RunConfig::default() };
        let mut model = |x: &f64, level: Level| {
            let lost = if level.t < 0.5 { f64::NAN } else { 0.1 * *x };
            Estimate::new(lost, lost)
        };
        let mut sampler = Sampler::from_config(&config, 0.7);
        let mut noise = noise(1);
        let mut steps = 0;
        while infallible(now(sampler.step(&mut model, &mut noise))).is_some() {
            steps += 1;
            assert!(steps < 1000, "{solver:?} goes on");
        }
        assert!(sampler.x().is_nan(), "{solver:?}");
    }
}

#[test]
fn a_rough_model_does_not_keep_the_adaptive_solver_for_ever() {
    // A denoiser whose answers jump at every look: no step is short enough.
    let config = RunConfig { solver: SolverId::Rk45, tolerance: 1e-8, ..RunConfig::default() };
    let mut rng = Rng::new(4, Stream::Test, 0);
    let mut model = |x: &f64, level: Level| {
        let data = rng.normal();
        Estimate::new(data, (x - level.alpha * data) / level.sigma)
    };
    let mut sampler = Sampler::from_config(&config, 0.7);
    let mut noise = noise(1);
    while infallible(now(sampler.step(&mut model, &mut noise))).is_some() {
        assert!(sampler.evaluations() < 2_000_000);
    }
    assert!(sampler.x().is_finite());
}

#[test]
fn a_grid_falls_to_the_clean_level_in_as_many_steps_as_asked() {
    for id in ScheduleId::ALL {
        let schedule = Schedule::from_config(&RunConfig { schedule: *id, levels: 1000, ..RunConfig::default() });
        for spacing in [
            Spacing::Uniform,
            Spacing::Quadratic,
            Spacing::LogSnr,
            Spacing::Karras { rho: 7.0 },
            Spacing::Leading,
            Spacing::Linspace,
            Spacing::Trailing,
        ] {
            for steps in [1, 2, 7, 100] {
                let grid = schedule.grid(spacing, steps);
                // Geometric levels are a table, and a bent spacing may want one of them twice.
                let exact = *id != ScheduleId::Geometric;
                assert!(
                    grid.len() == steps + 1 || !exact && grid.len() <= steps + 1,
                    "{schedule:?} {spacing:?} {steps}"
                );
                assert_eq!(grid[grid.len() - 1], Level { t: 0.0, alpha: 1.0, sigma: 0.0 });
                for pair in grid.windows(2) {
                    assert!(pair[0].log_snr() < pair[1].log_snr(), "{schedule:?} {spacing:?} {pair:?}");
                    assert!(pair[0].t >= pair[1].t);
                    assert!(pair[0].alpha > 0.0 && pair[0].sigma > 0.0);
                }
            }
        }
    }
}

#[test]
fn a_vanishing_score_does_not_send_the_corrector_to_infinity() {
    let schedule = Schedule::Exploding { sigma_min: 0.01, sigma_max: 20.0 };
    let solver = Solver::PredictorCorrector { snr: 1.0, corrections: 3 };
    let grid = schedule.grid(Spacing::Uniform, 10);
    let mut flat = |x: &Batch, _: Level| Estimate::new(x.clone(), x.clone().scale(0.0));
    let mut noise = |x: &Batch, _: NoiseUse| Batch(vec![1.0; x.0.len()]);
    let end = infallible(now(Sampler::new(solver, schedule, grid, Batch(vec![0.0; 3])).run(&mut flat, &mut noise)));
    assert!(end.0.iter().all(|x| x.is_finite()));
}

#[test]
fn a_step_whose_model_fails_can_be_made_again_as_if_nothing_had_happened() {
    let data = Gaussian::new(0.3, 0.4);
    for &solver in SolverId::ALL {
        // Three Langevin steps a level, churn and fresh noise: whatever a step may have begun when it fails.
        let config =
            RunConfig { solver, steps: 12, corrections: 3, churn: 5.0, eta: 0.5, seed: 4, ..RunConfig::default() };
        let start = || Sampler::from_config(&config, 0.8);
        let (mut sampler, mut smooth) = (start(), start());
        let mut model = Failing { data, luck: Rng::new(1, Stream::Test, 0), failures: 0 };
        let (mut noise, mut reports) = (noise(config.seed), Vec::new());
        loop {
            match now(sampler.step(&mut model, &mut noise)) {
                Ok(Some(report)) => reports.push((report, *sampler.x(), sampler.estimate().cloned())),
                Ok(None) => break,
                Err(Lost) => {
                    let last = reports.last().map_or(0.8 * Schedule::from_config(&config).prior_std(), |(_, x, _)| *x);
                    assert_eq!(*sampler.x(), last, "{solver:?} moved in vain");
                }
            }
        }
        assert!(model.failures > 0);
        let mut expected = Vec::new();
        while let Some(report) = infallible(now(smooth.step(&mut data.clone(), &mut noise))) {
            expected.push((report, *smooth.x(), smooth.estimate().cloned()));
        }
        assert_eq!(reports, expected, "{solver:?}");
        assert_eq!(
            (sampler.evaluations(), sampler.rejected()),
            (smooth.evaluations(), smooth.rejected()),
            "{solver:?} counted what was in vain"
        );
    }
}
