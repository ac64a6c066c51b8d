//! Likelihoods against independent computations: `golden/likelihood.py` made the numbers.

use crate::support::{Batch, Gaussian};
use scorefield::data::{Exact, Mixture};
use scorefield::diffusion::likelihood::{
    Batched, Bound, Diverges, JacobianProduct, Probes, flow_likelihood, learned_step_divergence, variational_bound,
};
use scorefield::diffusion::objective::discretised_log_probability;
use scorefield::diffusion::prediction::learned_log_variance;
use scorefield::diffusion::schedule::{Betas, clean};
use scorefield::diffusion::solver::{Posterior, Tolerance};
use scorefield::diffusion::{Estimate, Level, Schedule, infallible, now};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/likelihood.json")).expect("the golden file is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn points(value: &Value) -> Vec<[f64; 2]> {
    let pair = |v| <[f64; 2]>::try_from(numbers(v)).expect("two numbers");
    value.as_array().expect("a list of points").iter().map(pair).collect()
}

fn mixture(golden: &Value) -> Mixture {
    let parts = golden["mixture"].as_array().expect("components");
    Mixture::from_components(parts.iter().map(numbers).map(|part| (part[0], [part[1], part[2]], part[3])))
}

fn schedules() -> [(&'static str, Schedule); 2] {
    [
        ("vp", Schedule::Linear { beta_min: 0.1, beta_max: 20.0 }),
        ("ve", Schedule::Exploding { sigma_min: 0.01, sigma_max: 20.0 }),
    ]
}

/// A thousandth of what is asserted: the solver's tolerance holds for a step, and there are some hundred.
const TIGHT: Tolerance = Tolerance { relative: 1e-9, absolute: 1e-9 };

fn close(ours: &[f64], theirs: &[f64], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{what}: {a}, should be {b}");
    }
}

/// The normal distribution function as DDPM's code approximates it.
fn tanh_cdf(x: f64) -> f64 {
    0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

#[test]
fn flow_likelihoods_and_codes_in_the_plane_are_those_of_torch_and_scipy() {
    let golden = golden();
    let mixture = mixture(&golden);
    let x = points(&golden["points"]);
    for (name, schedule) in schedules() {
        let theirs = &golden["flow"][name];
        assert!((schedule.time_range().1 - theirs["start"].as_f64().expect("a time")).abs() < 1e-15, "{name}");
        let units = [vec![[1.0, 0.0]; x.len()], vec![[0.0, 1.0]; x.len()]];
        let mut model = Exact::new(&mixture);
        let mut exact = Probes { model: &mut model, probes: &units, weight: 1.0 };
        let ours = infallible(now(flow_likelihood(&schedule, TIGHT, &mut exact, x.clone())));
        close(&ours.log_density, &numbers(&theirs["log_density"]), name);
        let (latent, code) = (ours.latent.concat(), points(&theirs["latents"]).concat());
        close(&latent, &code, name);
        let start = schedule.level(schedule.time_range().1);
        let marginal: Vec<f64> = x.iter().map(|&x| mixture.log_density(x, start)).collect();
        close(&marginal, &numbers(&theirs["marginal"]), name);
    }
}

#[test]
fn hutchinsons_estimates_are_those_of_torch_and_average_over_probes() {
    let golden = golden();
    let mixture = mixture(&golden);
    let (x, probes) = (points(&golden["points"])[..3].to_vec(), points(&golden["probes"]));
    for (name, schedule) in schedules() {
        let theirs: Vec<Vec<f64>> =
            golden["flow"][name]["hutchinson"].as_array().expect("lists").iter().map(numbers).collect();
        for (probe, theirs) in probes.iter().zip(&theirs) {
            let mut model = Exact::new(&mixture);
            let probe_of_each = [vec![*probe; x.len()]];
            let mut estimated = Probes { model: &mut model, probes: &probe_of_each, weight: 1.0 };
            let ours = infallible(now(flow_likelihood(&schedule, TIGHT, &mut estimated, x.clone())));
            // A probe of length other than the dimension's root scales the data's part of the divergence too: that is
            // alpha' / alpha times 2 here and times |v|^2 in the reference.
            let excess = probe[0].powi(2) + probe[1].powi(2) - 2.0;
            let (last, first) = schedule.time_range();
            let log_alpha = schedule.level(last).alpha.ln() - schedule.level(first).alpha.ln();
            let theirs: Vec<f64> = theirs.iter().map(|t| t - excess * log_alpha).collect();
            close(&ours.log_density, &theirs, name);
        }
        let signs: Vec<Vec<[f64; 2]>> = probes[..2].iter().map(|probe| vec![*probe; x.len()]).collect();
        let mut model = Exact::new(&mixture);
        let mut both = Probes { model: &mut model, probes: &signs, weight: 0.5 };
        let ours = infallible(now(flow_likelihood(&schedule, TIGHT, &mut both, x.clone())));
        let mean: Vec<f64> = (0..3).map(|i| 0.5 * (theirs[0][i] + theirs[1][i])).collect();
        close(&ours.log_density, &mean, name);
    }
}

#[test]
fn the_product_with_the_jacobian_is_its_difference_quotient_and_the_divergence_its_trace() {
    let mixture = mixture(&golden());
    let mut model = Exact::new(&mixture);
    for level in [Schedule::Cosine.level(0.3), Level { t: 0.5, alpha: 1.0, sigma: 0.7 }] {
        for x in [[0.3, -0.2], [1.5, 1.0]] {
            let v = [0.6, -1.1];
            let (estimate, product) = infallible(now(model.estimate_with_product(&vec![x], level, &vec![v])));
            assert_eq!(estimate, mixture.at(level).estimates(&[x]));
            let step = 1e-5;
            let at = |k: f64| mixture.estimate([x[0] + k * v[0], x[1] + k * v[1]], level).noise;
            let (above, below) = (at(step), at(-step));
            for i in 0..2 {
                // The error of the central difference is of the order of step^2.
                assert!((product[0][i] - (above[i] - below[i]) / (2.0 * step)).abs() < 1e-8);
            }
            let units = [vec![[1.0, 0.0]], vec![[0.0, 1.0]]];
            let mut exact = Probes { model: &mut model, probes: &units, weight: 1.0 };
            let (_, divergence) = infallible(now(exact.estimate_with_divergence(&vec![x], level)));
            assert!((divergence[0] - mixture.at(level).divergence(x).noise).abs() < 1e-12);
        }
    }
}

impl Batched for Batch {
    async fn dots(&self, other: &Self) -> Vec<f64> {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).collect()
    }
    fn dimension(&self) -> usize {
        1
    }
}

#[test]
fn every_term_of_the_bound_is_that_of_improved_diffusion() {
    let golden = &golden()["bound"];
    let betas = Betas::new(numbers(&golden["betas"]));
    let count = betas.len();
    let schedule = Schedule::table(betas);
    let mut levels: Vec<Level> = (1..=count).rev().map(|i| schedule.level(i as f64 / count as f64)).collect();
    levels.push(clean());
    let noise: Vec<Vec<f64>> = golden["noise"].as_array().expect("lists").iter().map(numbers).collect();
    let model = Gaussian::new(0.1, 0.3);
    // What the model learned: a number for every step of the chain.
    let learned = |from: Level| (from.t * count as f64).round().sin();
    for values in ["bytes", "seventeen"] {
        let (grey, half_width) = (&golden["of"][values]["grey"], &golden["of"][values]["half_width"]);
        let (grey, half_width) = (Batch(numbers(grey)), half_width.as_f64().expect("a number"));
        for kind in ["small", "large", "learned"] {
            let theirs = &golden["of"][values]["terms"][kind];
            let std = theirs["decoder_log_std"].as_f64().expect("a number").exp();
            let decode = async |data: &Batch, mean: &Batch| {
                let pairs = data.0.iter().zip(&mean.0);
                let log =
                    |(data, mean): (&f64, &f64)| discretised_log_probability(*data, *mean, std, half_width, tanh_cdf);
                Ok(pairs.map(log).collect())
            };
            let bound = infallible(now(variational_bound(
                &levels,
                &mut model.clone(),
                &grey,
                &mut |number| Batch(noise[count - 1 - number].clone()),
                1.0,
                |posterior, from, _| match kind {
                    "small" => posterior.variance,
                    "large" => posterior.forward,
                    _ => learned_log_variance(learned(from), posterior.variance, posterior.forward).exp(),
                },
                decode,
            )));
            let bits = |nats: f64| Bound::bits_per_dimension(nats, 1);
            let check = |ours: f64, theirs: f64, what: &str| {
                assert!(
                    (ours - theirs).abs() < 1e-11 * theirs.abs().max(1.0),
                    "{values}, {kind}, {what}: {ours}, should be {theirs}"
                );
            };
            let steps = numbers(&theirs["steps"]);
            assert_eq!(bound.steps.len(), steps.len());
            for (number, (ours, theirs)) in bound.steps.iter().zip(&steps).enumerate() {
                check(bits(*ours), *theirs, &format!("term {number}"));
                // The same by the function for a variance of its own for every number.
                let (from, to) = (levels[number], levels[number + 1]);
                let noise = &noise[count - 1 - number];
                let term = grey.0.iter().zip(noise).map(|(data, noise)| {
                    let estimated = model.believe(from.mix(*data, *noise), from).data;
                    learned_step_divergence(&[*data], &[estimated], &[learned(from)], Posterior::between(from, to))
                });
                if kind == "learned" {
                    check(bits(term.sum::<f64>() / grey.0.len() as f64), *theirs, &format!("learned term {number}"));
                }
            }
            check(bits(bound.reconstruction), theirs["reconstruction"].as_f64().expect("a number"), "reconstruction");
            check(bits(bound.prior), theirs["prior"].as_f64().expect("a number"), "prior");
            // The sums of the samples average to the sum of the terms.
            let mean = bound.samples.iter().sum::<f64>() / bound.samples.len() as f64;
            check(mean, bound.total(), "sum");
        }
    }
}

/// Without a probe nothing is known, and nothing breaks.
#[test]
fn no_probe_at_all_is_no_panic() {
    let mixture = mixture(&golden());
    let mut model = Exact::new(&mixture);
    let mut none = Probes { model: &mut model, probes: &[], weight: 1.0 };
    let (Estimate { data, .. }, divergence) =
        infallible(now(none.estimate_with_divergence(&vec![[1.0, 2.0]], Schedule::Cosine.level(0.5))));
    assert_eq!((data, divergence), (vec![[0.0, 0.0]], Vec::new()));
}
