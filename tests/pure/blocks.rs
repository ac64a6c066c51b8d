//! Images whose pixels are repeated: closed forms of their chain, and their samples from small ones.

use std::convert::Infallible;

use crate::support::Batch;
use scorefield::data::metrics::gaussian::GaussianFit;
use scorefield::data::metrics::spectrum::Spectrum;
use scorefield::diffusion::blocks::{BlockMeans, block_noise};
use scorefield::diffusion::schedule::Betas;
use scorefield::diffusion::schedule::spacing::even_subset;
use scorefield::diffusion::solver::Variance;
use scorefield::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, infallible, now};
use scorefield::rng::{Rng, Stream};
use serde_json::Value;

/// Pixels along a side of the small images.
const SMALL: usize = 8;

fn table(name: &str) -> Betas {
    if name == "linear" { Betas::linear(1000, 1e-4, 0.02) } else { Betas::cosine(1000) }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

#[test]
fn divergence_from_the_prior_and_recovered_share_are_those_of_numpys_matrices() {
    let golden: Value = serde_json::from_str(include_str!("../golden/spectrum.json")).expect("JSON");
    let covariance = golden["covariance"].as_array().expect("rows").iter().flat_map(numbers).collect();
    let fit = GaussianFit { count: 1000, mean: numbers(&golden["mean"]), covariance };
    let spectrum = Spectrum::of(&fit);
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 36);
    for case in cases {
        let [side, step] = ["side", "step"].map(|key| case[key].as_u64().expect("a whole number") as usize);
        let betas = table(case["table"].as_str().expect("a name"));
        let level = Schedule::table(betas.clone()).level(betas.time(step));
        let images = spectrum.repeated(side);
        for (key, ours) in [("divergence", images.divergence(level)), ("recovered", images.recovered(level))] {
            let theirs = case[key].as_f64().expect("a number");
            // Theirs is a difference of traces and determinants of matrices of up to 144 rows.
            assert!((ours - theirs).abs() < 1e-9 * theirs + 1e-11, "{case}: {key} is {ours}");
        }
    }
}

/// Gaussian data as a denoiser of one image: `m + alpha S (alpha^2 S + sigma^2 I)^-1 (x - alpha m)`.
#[derive(Clone)]
struct Gaussian {
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl Gaussian {
    /// Data of images whose pixels are related, along fewer axes than there are pixels.
    fn small() -> Self {
        let (count, axes) = (SMALL * SMALL, 20);
        let mut rng = Rng::new(5, Stream::Test, 0);
        let mean: Vec<f64> = (0..count).map(|_| 0.5 * rng.normal()).collect();
        let factor: Vec<f64> = (0..count * axes).map(|_| 0.2 * rng.normal()).collect();
        let row = |i: usize| &factor[i * axes..(i + 1) * axes];
        let product = |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
        let covariance = (0..count * count).map(|at| product(at / count, at % count)).collect();
        Self { mean, covariance }
    }

    /// The same with every pixel repeated.
    fn repeated(&self, side: usize) -> Self {
        let places: Vec<usize> = (0..(SMALL * side).pow(2)).map(|pixel| block(pixel, side)).collect();
        let pairs = places.iter().flat_map(|i| places.iter().map(move |j| i * SMALL * SMALL + j));
        let covariance = pairs.map(|at| self.covariance[at]).collect();
        Self { mean: places.iter().map(|&i| self.mean[i]).collect(), covariance }
    }
}

/// The small image's pixel of a pixel of the large one.
fn block(pixel: usize, side: usize) -> usize {
    let width = SMALL * side;
    pixel / width / side * SMALL + pixel % width / side
}

/// The means of a large image's blocks.
fn means(image: &[f64], side: usize) -> Vec<f64> {
    let mut means = vec![0.0; SMALL * SMALL];
    for (pixel, value) in image.iter().enumerate() {
        means[block(pixel, side)] += value / (side * side) as f64;
    }
    means
}

/// The solution of `a y = b` with a positive definite matrix, by Cholesky's method.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for j in 0..n {
        for i in j..n {
            let inner: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let left = a[i * n + j] - inner;
            a[i * n + j] = if i == j { left.sqrt() } else { left / a[j * n + j] };
        }
    }
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - inner) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - inner) / a[i * n + i];
    }
    b
}

impl Denoiser<Batch> for Gaussian {
    type Error = Infallible;

    async fn estimate(&mut self, x: &Batch, level: Level) -> Result<Estimate<Batch>, Infallible> {
        let n = self.mean.len();
        let mut noisy: Vec<f64> = self.covariance.iter().map(|v| level.alpha.powi(2) * v).collect();
        noisy.iter_mut().step_by(n + 1).for_each(|v| *v += level.sigma.powi(2));
        let centred = x.0.iter().zip(&self.mean).map(|(x, m)| x - level.alpha * m).collect();
        let whitened = solve(noisy, centred);
        let rows = self.covariance.chunks_exact(n);
        let data = rows
            .zip(&self.mean)
            .map(|(row, m)| m + level.alpha * row.iter().zip(&whitened).map(|(a, b)| a * b).sum::<f64>());
        Ok(Estimate::from_data(x, Batch(data.collect()), level))
    }
}

#[test]
fn means_of_blocks_follow_the_chain_of_the_large_image() {
    let side = 2;
    let small = Gaussian::small();
    let pixels = (SMALL * side).pow(2);
    let unit = |index: u32| -> Vec<f64> {
        let mut rng = Rng::new(9, Stream::Test, index);
        (0..pixels).map(|_| rng.normal()).collect()
    };
    let few = even_subset(1000, 12);
    for name in ["linear", "cosine"] {
        let betas = table(name);
        let schedule = Schedule::table(betas.clone());
        let levels: Vec<Level> =
            few.iter().rev().map(|&step| schedule.level(betas.time(step))).chain([schedule.level(0.0)]).collect();
        for solver in [Solver::Ddpm(Variance::Small), Solver::Ddpm(Variance::Large), Solver::Ddim { eta: 0.5 }] {
            let run = |start: Vec<f64>, model: &mut dyn FnMut(&Batch, Level) -> Estimate<Batch>, reduced: bool| {
                let mut noise = |_: &Batch, of: NoiseUse| {
                    let large = unit(1 + of.index);
                    // Unit noise of the small image's size, of which the block means of this are made.
                    let unit = means(&large, side).into_iter().map(|v| side as f64 * v).collect();
                    if reduced { block_noise(Batch(unit), side) } else { Batch(large) }
                };
                let mut model = |x: &Batch, level: Level| model(x, level);
                let sampler = Sampler::new(solver, schedule.clone(), levels.clone(), Batch(start));
                infallible(now(sampler.run(&mut model, &mut noise))).0
            };
            let mut full = small.repeated(side);
            let large = run(unit(0), &mut |x, level| infallible(now(full.estimate(x, level))), false);
            let mut reduced = BlockMeans { model: small.clone(), side };
            let few = run(means(&unit(0), side), &mut |x, level| infallible(now(reduced.estimate(x, level))), true);
            for (pixel, value) in large.iter().enumerate() {
                // The end is data: every pixel of a block is alike.
                let mean = few[block(pixel, side)];
                assert!((value - mean).abs() < 1e-9, "{name} {solver:?}: pixel {pixel} is {value}, its block {mean}");
            }
            // A model that is told the noise of the large image goes elsewhere.
            let mut told = small.clone();
            let other = run(means(&unit(0), side), &mut |x, level| infallible(now(told.estimate(x, level))), true);
            assert!(few.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-2), "{name} {solver:?}");
        }
    }
}
