//! What the mathematics itself costs, without any network: `cargo bench --bench core`.

use divan::{Bencher, black_box};
use scorefield::data::{Condition, Dataset, Exact};
use scorefield::data::{DatasetId, Drawing, Gaussians};
use scorefield::diffusion::likelihood::{Probes, flow_likelihood};
use scorefield::diffusion::solver::Tolerance;
use scorefield::diffusion::{Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now};
use scorefield::lab::{RunConfig, ScheduleId, SolverId};

fn main() {
    divan::main();
}

/// Points of a run, as many as the page samples by default.
const POINTS: usize = 2000;
const STEPS: u32 = 20;

/// A model that costs two copies: what is left is the solver's own arithmetic.
// A state is an owned batch.
#[allow(clippy::ptr_arg)]
fn free(x: &Vec<[f64; 2]>, _: Level) -> Estimate<Vec<[f64; 2]>> {
    Estimate::new(x.clone(), x.clone())
}

/// Twenty steps of a solver on 2000 points, noise included as a copy.
#[divan::bench(args = SolverId::IDS)]
fn twenty_steps_of_2000_points(bencher: Bencher, id: &str) {
    let Some(solver) = SolverId::from_id(id) else { return };
    let config = RunConfig { solver, steps: STEPS, tolerance: 1e-2, ..RunConfig::default() };
    let unit = circle();
    bencher.bench(|| {
        let sampler = Sampler::from_config(&config, unit.clone());
        let mut noise = |_: &Vec<[f64; 2]>, _: NoiseUse| unit.clone();
        infallible(now(sampler.run(&mut free, &mut noise)))
    });
}

/// One number: the scalars of a step, which on a device are all that the CPU does.
#[divan::bench(args = SolverId::IDS)]
fn scalars_of_twenty_steps(bencher: Bencher, id: &str) {
    let Some(solver) = SolverId::from_id(id) else { return };
    let config = RunConfig { solver, steps: STEPS, tolerance: 1e-2, ..RunConfig::default() };
    let (schedule, solver) = (Schedule::from_config(&config), Solver::from_config(&config));
    let grid = solver.grid(&schedule, config.spacing.into(), STEPS as usize);
    let mut model = |x: &f64, _: Level| Estimate::new(*x, *x);
    bencher.bench_local(|| {
        let sampler = Sampler::new(solver, schedule.clone(), grid.clone(), black_box(0.7));
        infallible(now(sampler.run(&mut model, &mut |_: &f64, _: NoiseUse| 0.3)))
    });
}

/// A grid of a thousand levels.
#[divan::bench(args = ScheduleId::IDS)]
fn grid_of_1000_levels(bencher: Bencher, id: &str) {
    let Some(schedule) = ScheduleId::from_id(id) else { return };
    let schedule = Schedule::from_config(&RunConfig { schedule, levels: 1000, ..RunConfig::default() });
    bencher.bench(|| black_box(&schedule).grid(Spacing::LogSnr, 1000));
}

/// The exact denoiser of the moons, 96 components, on 2000 points.
#[divan::bench]
fn exact_estimates_of_2000_points(bencher: Bencher) {
    let data = moons();
    let unit = circle();
    bencher.bench(|| data.standard.at(Schedule::Cosine.level(0.4)).estimates(black_box(&unit)));
}

/// What guidance by an observation adds to each of them.
#[divan::bench]
fn guidance_of_2000_points(bencher: Bencher) {
    let (data, unit) = (moons(), circle());
    let condition = Condition::Observation { direction: [0.6, 0.8], value: 0.3, noise: 0.1 };
    bencher.bench(|| {
        let marginal = data.standard.at(Schedule::Cosine.level(0.4));
        unit.iter().map(|&x| condition.gradient(&marginal, x)).collect::<Vec<_>>()
    });
}

/// Exact log-densities of 64 points by the probability flow at the page's tolerance.
#[divan::bench]
fn flow_likelihood_of_64_points(bencher: Bencher) {
    let data = moons();
    let x: Vec<[f64; 2]> = circle()[..64].to_vec();
    let units = [vec![[1.0, 0.0]; 64], vec![[0.0, 1.0]; 64]];
    bencher.bench(|| {
        let mut model = Exact::new(&data.standard);
        let mut exact = Probes { model: &mut model, probes: &units, weight: 1.0 };
        let tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };
        infallible(now(flow_likelihood(&Schedule::Cosine, tolerance, &mut exact, x.clone())))
    });
}

fn moons() -> Dataset {
    Dataset::new(DatasetId::Moons, &Drawing::default(), &Gaussians::default()).expect("a data set without a drawing")
}

fn circle() -> Vec<[f64; 2]> {
    (0..POINTS).map(|i| [(i as f64).sin(), (i as f64).cos()]).collect()
}
