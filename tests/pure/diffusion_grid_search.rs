//! Searched grids: the search finds what it should, and what it finds is better than grids made for every model.

use crate::support::Gaussian;
use scorefield::diffusion::grid_search::{COEFFICIENT, GridSearch, Metric, SearchError, TEACHER_STEPS, cheapest_path};
use scorefield::diffusion::likelihood::Batched;
use scorefield::diffusion::schedule::Betas;
use scorefield::diffusion::solver::{Strides, Tolerance};
use scorefield::diffusion::{
    Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, State, infallible, now,
};
use scorefield::rng::{Rng, Stream};
use std::convert::Infallible;

const EDM: Schedule = Schedule::Edm { sigma_min: 0.002, sigma_max: 80.0 };
const IPNDM: Solver = Solver::Ipndm { order: 4, strides: Strides::Equal };
const DDIM: Solver = Solver::Ddim { eta: 0.0 };

/// Points of many dimensions, as images are.
#[derive(Clone, Debug)]
struct Cloud(Vec<Vec<f64>>);

impl Cloud {
    fn zip(mut self, other: &Self, change: impl Fn(&mut f64, &f64)) -> Self {
        let numbers = self.0.iter_mut().flatten();
        numbers.zip(other.0.iter().flatten()).for_each(|(x, other)| change(x, other));
        self
    }
}

impl State for Cloud {
    fn scale(mut self, k: f64) -> Self {
        self.0.iter_mut().flatten().for_each(|x| *x *= k);
        self
    }
    fn add(self, other: Self) -> Self {
        self.zip(&other, |x, other| *x += other)
    }
    async fn mean_norm(&self) -> f64 {
        let squares = self.dots(self).await;
        squares.iter().map(|square| square.sqrt()).sum::<f64>() / squares.len() as f64
    }
    fn times_exp(self, exponent: &Self, slope: f64, shift: f64) -> Self {
        self.zip(exponent, |x, exponent| *x *= (slope * exponent + shift).exp())
    }
}

impl Batched for Cloud {
    async fn dots(&self, other: &Self) -> Vec<f64> {
        let dot = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a * b).sum();
        self.0.iter().zip(&other.0).map(dot).collect()
    }
    fn dimension(&self) -> usize {
        DIMENSIONS
    }
}

const DIMENSIONS: usize = 32;

/// An even mixture of round Gaussians.
struct Clusters {
    means: Vec<Vec<f64>>,
    variance: f64,
}

impl Clusters {
    fn new(seed: u32, count: usize, std: f64) -> Self {
        let mut rng = Rng::new(seed, Stream::Test, 1);
        let mean = |_| (0..DIMENSIONS).map(|_| 0.5 * rng.normal()).collect();
        Self { means: (0..count).map(mean).collect(), variance: std * std }
    }

    fn data(&self, x: &[f64], level: Level) -> Vec<f64> {
        let total = level.alpha.powi(2) * self.variance + level.sigma.powi(2);
        let centred = |mean: &[f64]| -> Vec<f64> { x.iter().zip(mean).map(|(x, m)| x - level.alpha * m).collect() };
        let log = |mean: &Vec<f64>| -0.5 * centred(mean).iter().map(|c| c * c).sum::<f64>() / total;
        let logs: Vec<f64> = self.means.iter().map(log).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
        let sum: f64 = shares.iter().sum();
        let mut data = vec![0.0; x.len()];
        for (share, mean) in shares.iter().zip(&self.means) {
            for ((data, c), m) in data.iter_mut().zip(centred(mean)).zip(mean) {
                *data += share / sum * (m + level.alpha * self.variance / total * c);
            }
        }
        data
    }
}

impl Denoiser<Cloud> for Clusters {
    type Error = Infallible;

    async fn estimate(&mut self, x: &Cloud, level: Level) -> Result<Estimate<Cloud>, Infallible> {
        let data = Cloud(x.0.iter().map(|x| self.data(x, level)).collect());
        let noise = x.clone().blend(1.0 / level.sigma, data.clone(), -level.alpha / level.sigma);
        Ok(Estimate::new(data, noise))
    }
}

fn noise(index: u32, count: usize) -> Cloud {
    let mut rng = Rng::new(3, Stream::Prior, index);
    Cloud((0..count).map(|_| (0..DIMENSIONS).map(|_| rng.normal()).collect()).collect())
}

fn run(data: &mut Clusters, schedule: &Schedule, solver: Solver, levels: Vec<Level>, unit: &Cloud) -> Cloud {
    let mut silence = |_: &Cloud, _: NoiseUse| panic!("a deterministic solver asked for noise");
    let start = unit.clone().scale(schedule.prior_std());
    infallible(now(Sampler::new(solver, schedule.clone(), levels, start).run(data, &mut silence)))
}

fn search(data: &mut Clusters, schedule: Schedule, metric: Metric, steps: usize, unit: &Cloud) -> GridSearch {
    let mut search = GridSearch::new(schedule, metric, steps);
    infallible(now(search.add(data, unit.clone())));
    search
}

#[test]
fn the_cheapest_path_is_that_of_trying_them_all() {
    let mut rng = Rng::new(1, Stream::Test, 0);
    for case in 0..200 {
        let places = 2 + rng.below(7) as usize;
        let steps = 1 + rng.below(places as u32 - 1) as usize;
        let coefficient = [0.8, 1.0, 1.15][case % 3];
        // Steps may cost less than nothing.
        let costs: Vec<f64> = (0..places * places).map(|_| rng.normal()).collect();
        let cost = |i: usize, j: usize| costs[i * places + j];
        let total = |path: &[usize]| -> f64 {
            path.windows(2).rev().fold(0.0, |after, pair| cost(pair[0], pair[1]) + coefficient * after)
        };
        // Every choice of the places between, as the bits of a number.
        let between = |bits: u32| (1..places - 1).filter(move |i| bits >> (i - 1) & 1 == 1);
        let all = (0..1_u32 << (places - 2)).filter(|bits| bits.count_ones() as usize == steps - 1);
        let all = all.map(|bits| [0].into_iter().chain(between(bits)).chain([places - 1]).collect::<Vec<_>>());
        let best = all.min_by(|a, b| total(a).total_cmp(&total(b))).expect("a path");
        let found = cheapest_path(places, steps, coefficient, cost).expect("a path");
        assert_eq!(found, best, "{places} places, {steps} steps: {} {}", total(&found), total(&best));
    }
    for (places, steps, coefficient) in [(0, 1, 1.0), (1, 1, 1.0), (3, 0, 1.0), (3, 3, 1.0), (3, 2, f64::NAN)] {
        assert_eq!(cheapest_path(places, steps, coefficient, |_, _| 1.0), None);
    }
    assert_eq!(cheapest_path(4, 3, 1.0, |_, _| f64::NAN), None);
}

#[test]
fn costs_are_what_ddim_misses_the_teacher_by() {
    let (mut data, unit) = (Clusters::new(1, 5, 0.2), noise(0, 6));
    let schedule = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    let found = search(&mut data, schedule.clone(), Metric::Distance, 12, &unit);
    assert_eq!(found.trajectories(), 6);
    let levels = found.levels().to_vec();
    // The teacher's samples at every level, and what it believed there.
    let mut sampler = Sampler::new(IPNDM, schedule.clone(), levels.clone(), unit);
    let (mut at, mut believed) = (vec![sampler.x().clone()], Vec::new());
    while infallible(now(sampler.step(&mut data, &mut |x: &Cloud, _: NoiseUse| x.clone()))).is_some() {
        at.push(sampler.x().clone());
        believed.extend(sampler.estimate().cloned());
    }
    assert_eq!(believed.len(), 12);
    for (i, estimate) in believed.into_iter().enumerate() {
        for j in i + 1..=12 {
            let arrived = levels[j].mix(estimate.data.clone(), estimate.noise.clone());
            let miss = now(arrived.blend(1.0, at[j].clone(), -1.0).mean_norm()) / levels[j].alpha;
            assert!((found.cost(i, j) - miss).abs() < 1e-8 * miss.max(1.0), "{i} {j}: {} {miss}", found.cost(i, j));
        }
    }
    // The teacher's own first step is DDIM's.
    assert!(found.cost(0, 1) < 1e-9 && found.cost(3, 3).is_infinite() && found.cost(4, 2).is_infinite());
}

#[test]
fn a_flow_in_straight_lines_costs_nothing() {
    for metric in [Metric::Distance, Metric::Deviation] {
        let mut search = GridSearch::new(EDM, metric, 10);
        infallible(now(search.add(&mut Gaussian::new(0.7, 0.0), 1.3)));
        for i in 0..10 {
            for j in i + 1..=10 {
                assert!(search.cost(i, j).abs() < 1e-9, "{metric:?}: {}", search.cost(i, j));
            }
        }
    }
}

#[test]
fn the_deviation_is_the_distance_from_the_line_between_the_ends() {
    let (mut data, unit) = (Clusters::new(1, 5, 0.2), noise(0, 1));
    let found = search(&mut data, EDM, Metric::Deviation, 8, &unit);
    let levels = found.levels().to_vec();
    let mut sampler = Sampler::new(IPNDM, EDM, levels.clone(), unit.scale(80.0));
    let (mut at, mut believed) = (vec![sampler.x().clone()], Vec::new());
    while infallible(now(sampler.step(&mut data, &mut |x: &Cloud, _: NoiseUse| x.clone()))).is_some() {
        at.push(sampler.x().clone());
        believed.extend(sampler.estimate().cloned());
    }
    let less = |a: &Cloud, b: &Cloud| a.clone().blend(1.0, b.clone(), -1.0);
    let norm = |a: &Cloud| now(a.mean_norm());
    let line = less(&at[0], &at[8]);
    // By projection onto the unit vector along the line.
    let beside = |point: &Cloud| {
        let (away, unit) = (less(point, &at[8]), line.clone().scale(1.0 / norm(&line)));
        let along = now(away.dots(&unit))[0];
        norm(&less(&away, &unit.scale(along)))
    };
    assert_eq!(believed.len(), 8);
    for (i, estimate) in believed.into_iter().enumerate() {
        for j in i + 1..=8 {
            let arrived = levels[j].mix(estimate.data.clone(), estimate.noise.clone());
            let expected = beside(&arrived) - beside(&at[j]);
            assert!((found.cost(i, j) - expected).abs() < 1e-6, "{i} {j}: {} {expected}", found.cost(i, j));
        }
    }
}

#[test]
fn trajectories_may_be_added_in_parts() {
    let mut data = Clusters::new(2, 5, 0.2);
    let (unit, mut parts) = (noise(4, 7), GridSearch::new(EDM, Metric::Deviation, 20));
    let whole = search(&mut data, EDM, Metric::Deviation, 20, &unit);
    for part in unit.0.chunks(3) {
        parts.merge(&search(&mut data, EDM, Metric::Deviation, 20, &Cloud(part.to_vec())));
    }
    assert_eq!(parts.trajectories(), 7);
    assert!((0..20).all(|i| (parts.cost(i, 20) - whole.cost(i, 20)).abs() < 1e-9));
    assert_eq!(parts.ratios(5, COEFFICIENT), whole.ratios(5, COEFFICIENT));
    // What was measured otherwise is not mixed in.
    parts.merge(&search(&mut data, EDM, Metric::Distance, 20, &unit));
    parts.merge(&search(&mut data, EDM, Metric::Deviation, 19, &unit));
    assert_eq!(parts.trajectories(), 7);
}

#[test]
fn a_search_without_trajectories_numbers_or_room_says_so() {
    let empty = GridSearch::new(EDM, Metric::Distance, 10);
    assert_eq!(empty.ratios(5, 1.0), Err(SearchError::NoTrajectory));
    let mut lost = GridSearch::new(EDM, Metric::Deviation, 10);
    infallible(now(lost.add(&mut |_: &f64, _: Level| Estimate::new(f64::NAN, f64::NAN), 1.0)));
    assert_eq!(lost.ratios(5, 1.0), Err(SearchError::NotFinite));
    let found = search(&mut Clusters::new(1, 3, 0.2), EDM, Metric::Distance, 10, &noise(0, 2));
    for steps in [0, 11] {
        assert_eq!(found.ratios(steps, 1.0), Err(SearchError::TooManySteps { steps, most: 10 }));
    }
    // As many as the teacher has are the teacher's own.
    let all: Vec<f64> = found.levels()[..10].iter().map(|level| level.sigma / level.alpha).collect();
    assert_eq!(found.ratios(10, 1.0), Ok(all));
    assert_eq!(found.ratios(1, 1.0).map(|ratios| ratios.len()), Ok(1));
}

#[test]
fn ratios_become_levels_of_every_schedule_from_its_own_start() {
    let ratios = [80.0, 9.0, 2.0, 0.3];
    for schedule in [
        EDM,
        Schedule::Cosine,
        Schedule::Flow,
        Schedule::Linear { beta_min: 0.1, beta_max: 20.0 },
        Schedule::Exploding { sigma_min: 0.01, sigma_max: 20.0 },
        Schedule::table(Betas::linear(1000, 1e-4, 0.02)),
    ] {
        let levels = schedule.levels_at(&ratios);
        assert_eq!(levels.len(), 5, "{schedule:?}");
        assert_eq!(levels[0], schedule.grid(Spacing::LogSnr, 4)[0]);
        assert_eq!(levels[4], Level { t: 0.0, alpha: 1.0, sigma: 0.0 });
        for (level, ratio) in levels[1..4].iter().zip(&ratios[1..]) {
            assert!((level.sigma / level.alpha - ratio).abs() < 1e-9 * ratio, "{schedule:?} {level:?}");
        }
    }
    // What a schedule does not reach is left out or becomes its end; what is no level is left out.
    let short = Schedule::Exploding { sigma_min: 0.5, sigma_max: 8.0 };
    let sigmas: Vec<f64> = short.levels_at(&ratios).iter().map(|level| level.sigma).collect();
    assert_eq!(sigmas.len(), 4);
    assert_eq!((sigmas[0], sigmas[2], sigmas[3]), (8.0, 0.5, 0.0));
    assert_eq!(EDM.levels_at(&[]).len(), 2);
    assert_eq!(EDM.levels_at(&[80.0, f64::NAN, 3.0, 3.0, f64::INFINITY]).len(), 3);
    assert_eq!(EDM.levels_at(&[80.0, -1.0, 0.0]).len(), 3);
}

#[test]
fn searched_grids_end_nearer_to_the_flow_than_those_made_for_every_model() {
    for (seed, count, std) in [(1, 12, 0.1), (2, 40, 0.2)] {
        let mut data = Clusters::new(seed, count, std);
        let found = search(&mut data, EDM, Metric::Distance, TEACHER_STEPS, &noise(0, 64));
        // The flow itself, on noise that the search has not seen.
        let (unit, tight) = (noise(1, 64), Solver::Rk45(Tolerance { relative: 1e-8, absolute: 1e-8 }));
        let end = run(&mut data, &EDM, tight, tight.grid(&EDM, Spacing::Uniform, 1), &unit);
        for steps in [5, 6, 8, 10] {
            let searched = EDM.levels_at(&found.ratios(steps, 1.0).expect("a grid"));
            for solver in [DDIM, IPNDM] {
                let mut error = |levels: Vec<Level>| {
                    now(run(&mut data, &EDM, solver, levels, &unit).blend(1.0, end.clone(), -1.0).mean_norm())
                };
                let (karras, log_snr) =
                    (EDM.grid(Spacing::Karras { rho: 7.0 }, steps), EDM.grid(Spacing::LogSnr, steps));
                let (ours, karras, log_snr) = (error(searched.clone()), error(karras), error(log_snr));
                println!("{count} clusters, {steps} steps, {solver:?}: {ours:.4}, {karras:.4}, {log_snr:.4}");
            }
        }
    }
}
