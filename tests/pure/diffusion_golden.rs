//! Agreement with independent implementations: diffusers, k-diffusion and scipy. `golden/diffusion.py` made the numbers,
//! and `golden/adams.py` those of iPNDM and DEIS.

use std::convert::Infallible;

use crate::support::{Batch, Mixture};
use scorefield::diffusion::schedule::{Betas, clean};
use scorefield::diffusion::solver::{Basis, Churn, Strides, Tolerance, Variance};
use scorefield::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/diffusion.json")).expect("the golden file is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().expect("a list of lists").iter().map(numbers).collect()
}

fn whole(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(|v| v.as_u64().expect("a whole number") as usize).collect()
}

/// Equal to `tolerance`, relative to numbers above 1.
fn close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what}: number {i} is {a}, should be {b}");
    }
}

fn data() -> Mixture {
    Mixture(vec![(0.7, -0.5, 0.04), (0.3, 1.0, 0.16)])
}

const START: [f64; 3] = [-1.1, 0.2, 1.7];

fn linear() -> Schedule {
    Schedule::table(Betas::linear(1000, 1e-4, 0.02))
}

/// The samples after each of `steps` steps, with this noise handed out in order.
fn follow(solver: Solver, schedule: Schedule, levels: Vec<Level>, start: Vec<f64>, run: &Value) -> Vec<Vec<f64>> {
    let steps = rows(&run["trajectory"]).len();
    let mut noise = rows(&run["noise"]).into_iter();
    let mut draw = |_: &Batch, _: NoiseUse| Batch(noise.next().expect("as much noise as the reference drew"));
    let mut sampler = Sampler::new(solver, schedule, levels, Batch(start));
    let mut model = data();
    let mut trajectory = Vec::new();
    while trajectory.len() < steps && infallible(now(sampler.step(&mut model, &mut draw))).is_some() {
        trajectory.push(sampler.x().0.clone());
    }
    trajectory
}

fn agree(ours: &[Vec<f64>], run: &Value, tolerance: f64, name: &str) {
    let theirs = rows(&run["trajectory"]);
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (step, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        close(a, b, tolerance, &format!("{name}, step {step}"));
    }
}

#[test]
fn tables_of_betas_are_those_of_diffusers() {
    let golden = golden();
    let picked = whole(&golden["steps"]);
    for (name, table) in [
        ("linear", Betas::linear(1000, 1e-4, 0.02)),
        ("scaled-linear", Betas::scaled_linear(1000, 0.00085, 0.012)),
        ("cosine", Betas::cosine(1000)),
        ("sigmoid", Betas::sigmoid(1000, 1e-4, 0.02)),
    ] {
        let theirs = &golden["tables"][name];
        let betas: Vec<f64> = picked.iter().map(|i| table.betas()[*i]).collect();
        let powers: Vec<f64> = picked.iter().map(|i| table.signal_power(*i)).collect();
        close(&betas, &numbers(&theirs["betas"]), 1e-12, name);
        close(&powers, &numbers(&theirs["signal_powers"]), 1e-12, name);
        let schedule = Schedule::table(table.clone());
        for i in &picked {
            let level = schedule.level(table.time(*i));
            assert!((level.alpha.powi(2) - table.signal_power(*i)).abs() < 1e-12, "{name} at step {i}");
            assert!((level.alpha.powi(2) + level.sigma.powi(2) - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn continuous_grids_are_those_of_k_diffusion() {
    let golden = golden();
    let sigmas = |levels: Vec<Level>| levels.iter().map(|l| l.sigma / l.alpha).collect::<Vec<f64>>();
    let edm = Schedule::Edm { sigma_min: 0.002, sigma_max: 80.0 };
    close(&sigmas(edm.grid(Spacing::Karras { rho: 7.0 }, 18)), &numbers(&golden["karras"]), 1e-12, "Karras");
    let ve = Schedule::Exploding { sigma_min: 0.01, sigma_max: 50.0 };
    for spacing in [Spacing::Uniform, Spacing::LogSnr] {
        close(&sigmas(ve.grid(spacing, 10)), &numbers(&golden["geometric"]), 1e-12, "geometric");
    }
    let ncsn = Schedule::Geometric { sigma_min: 0.01, sigma_max: 50.0, levels: 10 };
    close(&sigmas(ncsn.grid(Spacing::Uniform, 10)), &numbers(&golden["geometric"]), 1e-12, "NCSN");
    let vp = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    let mut levels = vp.levels_between(Spacing::Uniform, 1.0, 1e-3, 10);
    levels.push(clean());
    close(&sigmas(levels), &numbers(&golden["vp_sigmas"]), 1e-12, "VP");
}

#[test]
fn discrete_spacings_are_those_of_diffusers() {
    let golden = golden();
    for (name, spacing) in
        [("leading", Spacing::Leading), ("linspace", Spacing::Linspace), ("trailing", Spacing::Trailing)]
    {
        for count in [3, 7, 10, 50] {
            let theirs = whole(&golden["spacings"][format!("{name}-{count}")]);
            let grid = linear().grid(spacing, count);
            let ours: Vec<usize> = grid[..count].iter().map(|l| (l.t * 1000.0 - 1.0).round() as usize).collect();
            assert_eq!(ours, theirs, "{name} {count}");
        }
    }
}

#[test]
fn trajectories_on_a_table_are_those_of_diffusers() {
    let golden = golden();
    let runs = golden["table_runs"].as_object().expect("runs");
    let mut seen = 0;
    for (name, run) in runs.iter().filter(|(name, _)| *name != "ddpm-learned_range") {
        let solver = match name.as_str() {
            "ddpm-fixed_small" => Solver::Ddpm(Variance::Small),
            "ddpm-fixed_large" => Solver::Ddpm(Variance::Large),
            "ddim-0.0" => Solver::Ddim { eta: 0.0 },
            "ddim-0.5" => Solver::Ddim { eta: 0.5 },
            "ddim-1.0" => Solver::Ddim { eta: 1.0 },
            "dpmpp-2m-8" | "dpmpp-2m-20" => Solver::DpmPp2m,
            "dpmpp-3m-8" | "dpmpp-3m-20" => Solver::DpmPp3m,
            "dpmpp-sde-8" | "dpmpp-sde-20" => Solver::DpmPpSde,
            name => {
                let parts: Vec<&str> = name.split('-').collect();
                let basis = if parts[2] == "bh1" { Basis::Linear } else { Basis::Exponential };
                Solver::UniPc { order: parts[1].parse().expect("an order"), basis }
            }
        };
        let mut levels: Vec<Level> =
            whole(&run["steps"]).iter().map(|i| linear().level((i + 1) as f64 / 1000.0)).collect();
        // DDPM and DDIM end at the clean level, the DPM-Solver family at the first step of the table.
        levels.push(if name.starts_with("dd") { clean() } else { linear().level(0.001) });
        let ours = follow(solver, linear(), levels, START.to_vec(), run);
        agree(&ours, run, 1e-9, name);
        seen += 1;
    }
    assert_eq!(seen, 17);
}

/// The model of the other runs with a learned variance: between the two fixed ones by `v = sin(3 x)`.
struct Learned(Mixture);

impl Denoiser<Batch> for Learned {
    type Error = Infallible;

    async fn estimate(&mut self, x: &Batch, level: Level) -> Result<Estimate<Batch>, Infallible> {
        let variance = Some(Batch(x.0.iter().map(|x| (3.0 * x).sin()).collect()));
        Ok(Estimate { variance, ..self.0.estimate(x, level).await? })
    }
}

#[test]
fn the_trajectory_of_a_learned_variance_is_that_of_diffusers() {
    let golden = golden();
    let run = &golden["table_runs"]["ddpm-learned_range"];
    let mut levels: Vec<Level> = whole(&run["steps"]).iter().map(|i| linear().level((i + 1) as f64 / 1000.0)).collect();
    levels.push(clean());
    let mut noise = rows(&run["noise"]).into_iter();
    let mut draw = |_: &Batch, _: NoiseUse| Batch(noise.next().expect("as much noise as the reference drew"));
    let mut sampler = Sampler::new(Solver::Ddpm(Variance::Learned), linear(), levels, Batch(START.to_vec()));
    let (mut model, mut ours) = (Learned(data()), Vec::new());
    while infallible(now(sampler.step(&mut model, &mut draw))).is_some() {
        ours.push(sampler.x().0.clone());
    }
    agree(&ours, run, 1e-9, "learned range");
}

#[test]
fn the_samplers_of_score_sde_agree() {
    let golden = golden();
    let run = &golden["sde_runs"]["euler-maruyama"];
    let vp = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    // The reference adds noise to t = 0; this library ends with the data estimate instead.
    let levels = vp.grid(Spacing::Uniform, 12);
    let mut ours = follow(Solver::EulerMaruyama, vp, levels, START.to_vec(), run);
    let theirs = rows(&run["trajectory"]);
    assert_eq!(ours.len(), 12);
    ours.truncate(11);
    for (step, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        close(a, b, 1e-9, &format!("Euler-Maruyama, step {step}"));
    }

    let ve = Schedule::Exploding { sigma_min: 0.01, sigma_max: 20.0 };
    for (corrections, solver) in
        [(0, Solver::ReverseDiffusion), (2, Solver::PredictorCorrector { snr: 0.16, corrections: 2 })]
    {
        let name = format!("predictor-corrector-{corrections}");
        let run = &golden["sde_runs"][&name];
        let start = START.iter().map(|x| 20.0 * x).collect();
        let ours = follow(solver, ve.clone(), ve.grid(Spacing::Uniform, 12), start, run);
        agree(&ours, run, 1e-9, &name);
    }
}

#[test]
fn trajectories_without_decay_are_those_of_k_diffusion() {
    let golden = golden();
    let edm = Schedule::Edm { sigma_min: 0.01, sigma_max: 20.0 };
    let grid = edm.grid(Spacing::Karras { rho: 7.0 }, 8);
    close(&grid.iter().map(|l| l.sigma).collect::<Vec<f64>>(), &numbers(&golden["k_sigmas"]), 1e-12, "grid");
    for (name, solver) in [
        ("euler", Solver::Ddim { eta: 0.0 }),
        // Time is proportional to sigma here, so that Euler and Heun in time are theirs in sigma.
        ("euler", Solver::Euler),
        ("heun", Solver::Heun),
        ("heun", Solver::EdmHeun(Churn::everywhere(0.0))),
        ("heun-churn", Solver::EdmHeun(Churn { noise: 1.01, ..Churn::everywhere(3.0) })),
        ("heun-churn-most", Solver::EdmHeun(Churn::everywhere(100.0))),
        ("dpmpp-2m", Solver::DpmPp2m),
        ("dpmpp-2m-sde", Solver::DpmPpSde),
        ("dpm-1", Solver::Dpm1),
        ("dpm-2", Solver::Dpm2),
        ("dpm-3", Solver::Dpm3),
    ] {
        let run = &golden["k_runs"][name];
        let start = START.iter().map(|x| 20.0 * x).collect();
        let ours = follow(solver, edm.clone(), grid.clone(), start, run);
        agree(&ours, run, 1e-9, name);
    }
}

#[test]
fn ipndm_and_deis_follow_their_definition_and_diffusers_on_every_kind_of_schedule() {
    let golden: Value = serde_json::from_str(include_str!("../golden/adams.json")).expect("the golden file is JSON");
    let mut seen = 0;
    for (name, runs) in golden["runs"].as_object().expect("runs") {
        let schedule = match name.as_str() {
            "linear" => Schedule::Linear { beta_min: 0.1, beta_max: 20.0 },
            "sub-vp" => Schedule::SubVp { beta_min: 0.1, beta_max: 20.0 },
            "flow" => Schedule::Flow,
            "cosine" => Schedule::Cosine,
            "exploding" => Schedule::Exploding { sigma_min: 0.01, sigma_max: 20.0 },
            "edm" => Schedule::Edm { sigma_min: 0.01, sigma_max: 20.0 },
            _ => linear(),
        };
        let (times, start) = (numbers(&runs["times"]), numbers(&runs["start"]));
        for (id, trajectory) in runs.as_object().expect("runs").iter().filter(|(id, _)| id.contains('-')) {
            let last = id.rsplit('-').next().and_then(|order| order.parse().ok()).expect("an order");
            let solver = match id.as_str() {
                "ipndm-4" => Solver::Ipndm { order: 4, strides: Strides::Equal },
                id if id.starts_with("ipndm-v") => Solver::Ipndm { order: last, strides: Strides::Actual },
                _ => Solver::Deis { degree: last },
            };
            let levels = times.iter().map(|t| schedule.level(*t)).collect();
            let run = serde_json::json!({ "trajectory": trajectory, "noise": [] });
            let ours = follow(solver, schedule.clone(), levels, start.clone(), &run);
            agree(&ours, &run, 1e-9, &format!("{id} on {name}"));
            seen += 1;
        }
    }
    assert_eq!(seen, 52);
}

#[test]
fn the_adaptive_solver_takes_the_steps_that_scipy_takes() {
    let golden = golden();
    let vp = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    for (text, run) in golden["rk45"].as_object().expect("runs") {
        let tolerance: f64 = text.parse().expect("a number");
        let levels = vec![vp.level(1.0), vp.level(1e-3)];
        let solver = Solver::Rk45(Tolerance { relative: tolerance, absolute: tolerance });
        let mut sampler = Sampler::new(solver, vp.clone(), levels, 1.3);
        let (mut times, mut trajectory) = (vec![1.0], vec![1.3]);
        let mut silence = |_: &f64, _: NoiseUse| 0.0;
        while let Some(report) = infallible(now(sampler.step(&mut data(), &mut silence))) {
            if report.accepted {
                times.push(report.level.t);
                trajectory.push(*sampler.x());
            }
        }
        assert_eq!(u64::from(sampler.evaluations()), run["evaluations"].as_u64().expect("a count"), "{text}");
        // The step control amplifies rounding: its error estimates are differences of nearly equal numbers.
        close(&times, &numbers(&run["times"]), 1e-8, text);
        close(&trajectory, &numbers(&run["trajectory"]), 1e-8, text);
    }
}
