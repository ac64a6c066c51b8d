//! Constraints on images: the core's methods on tensors, beside exact conditional distributions, and in runs of a network.

use std::convert::Infallible;

use crate::unet_weights::network;
use scorefield::diffusion::constraint::{ConstrainedSampler, Masked, Method, classifier_free};
use scorefield::diffusion::solver::Variance;
use scorefield::diffusion::{
    Convention, Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, Spacing, infallible, now,
};
use scorefield::engine::images::{ImageModel, ImageRun, Outcome, Pictures};
use scorefield::lab::{
    DeviceChoice, MethodId, PIXELS, Picture, RunConfig, SIDE, SolverId, TaskId, planned_evaluations,
};
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::UNetConfig;
use scorefield::rng::{Rng, Stream};

fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).expect("this build has the CPU device")
}

/// Images of two pixels, the first of unit variance and the second the first plus noise of variance 0.25: exactly denoised.
struct Tilted;

const PAIR: [usize; 3] = [1, 1, 2];

impl Denoiser<Pictures> for Tilted {
    type Error = Infallible;

    async fn estimate(&mut self, x: &Pictures, level: Level) -> Result<Estimate<Pictures>, Infallible> {
        let c = [[1.0, 1.0], [1.0, 1.25]];
        let (a2, s2) = (level.alpha.powi(2), level.sigma.powi(2));
        let m = [[a2 * c[0][0] + s2, a2 * c[0][1]], [a2 * c[1][0], a2 * c[1][1] + s2]];
        let det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        let values = x.values().await.expect("the CPU answers");
        let (mut data, mut noise) = (Vec::new(), Vec::new());
        for pair in values.chunks_exact(2) {
            let x = [f64::from(pair[0]), f64::from(pair[1])];
            let w = [(m[1][1] * x[0] - m[0][1] * x[1]) / det, (m[0][0] * x[1] - m[1][0] * x[0]) / det];
            data.extend(c.map(|c| (level.alpha * (c[0] * w[0] + c[1] * w[1])) as f32));
            noise.extend(w.map(|w| (level.sigma * w) as f32));
        }
        let image = |values| Pictures::new(values, x.0.dims(), &x.0.device());
        Ok(Estimate::new(image(data), image(noise)))
    }
}

/// Mean and variance of the second pixel of 600 images whose first is known to be 1.5, with noise of this deviation; and
/// the first pixels.
fn second_pixel(method: Method, noise: f64) -> (f64, f64, Vec<f64>) {
    let (compute, count) = (cpu(), 600);
    let image = |values: Vec<f32>, count| Pictures::new(values, [count, PAIR[0], PAIR[1], PAIR[2]], &compute.device);
    let schedule = Schedule::Cosine;
    let start = image(Rng::new(4, Stream::Prior, 0).normals(2 * count), count);
    let known = Masked { known: image(vec![1.5, 0.0], 1), mask: image(vec![1.0, 0.0], 1), noise };
    let grid = schedule.grid(Spacing::LogSnr, 30);
    let sampler = Sampler::new(Solver::Ddpm(Variance::Small), schedule, grid, start);
    let mut run = ConstrainedSampler::new(sampler, Some((known, method)));
    let mut draw =
        |_: &Pictures, usage: NoiseUse| image(Rng::new(4, usage.stream, usage.index).normals(2 * count), count);
    while infallible(now(run.step(&mut Tilted, &mut draw))).is_some() {}
    let values = now(run.sampler().x().values()).expect("the CPU answers");
    let pixel = |which: usize| values.iter().skip(which).step_by(2).map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let (first, second) = (pixel(0), pixel(1));
    let mean = second.iter().sum::<f64>() / count as f64;
    let variance = second.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
    (mean, variance, first)
}

#[test]
fn repaint_of_images_of_an_exact_gaussian_comes_closer_to_the_conditional_than_replacement() {
    // The exact conditional of the second pixel is N(1.5, 0.25); 600 images know its mean to 0.02.
    let (replaced, _, first) = second_pixel(Method::Replace, 0.0);
    assert!(first.iter().all(|v| *v == 1.5), "what is known is met exactly");
    let (repainted, variance, first) = second_pixel(Method::Repaint { jump: 3, resamples: 6 }, 0.0);
    assert!(first.iter().all(|v| *v == 1.5));
    assert!((repainted - 1.5).abs() < 0.5 * (replaced - 1.5).abs(), "{replaced} {repainted}");
    // The standard error of a variance of 600 is 0.014, to which the errors of 30 steps and of few passes come.
    assert!((variance - 0.25).abs() < 0.1, "{variance}");
}

#[test]
fn a_noisy_observation_of_images_is_met_to_within_its_noise_and_an_exact_one_exactly() {
    let (_, _, first) = second_pixel(Method::Project, 0.0);
    assert!(first.iter().all(|v| *v == 1.5));
    let (_, _, exact) = second_pixel(Method::Guide, 0.0);
    assert_eq!(exact, first, "without noise an observation guides as it projects");
    let (mean, _, first) = second_pixel(Method::Guide, 0.5);
    let miss = (first.iter().map(|v| (v - 1.5).powi(2)).sum::<f64>() / first.len() as f64).sqrt();
    // The exact posterior of the first pixel is N(1.2, 0.2), whose root mean square distance from 1.5 is 0.54.
    assert!(miss > 0.2 && miss < 0.8, "{miss}");
    // And leans on the second, whose exact posterior mean is 1.2: the prior's is 0.
    assert!(mean > 0.4, "{mean}");
}

#[test]
fn classifier_free_guidance_of_images_is_that_of_numbers() {
    let compute = cpu();
    let draw = |index| Rng::new(3, Stream::Test, index).normals(8);
    let image = |values| Pictures::new(values, [1, 2, 2, 2], &compute.device);
    let guided = now(classifier_free(image(draw(0)), image(draw(1)), 2.5).values()).expect("the CPU answers");
    for ((found, with), without) in guided.iter().zip(draw(0)).zip(draw(1)) {
        let expected = classifier_free(f64::from(with), f64::from(without), 2.5);
        // Three roundings of single precision.
        assert!((f64::from(*found) - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{found} {expected}");
    }
}

fn picture() -> Picture {
    let mut rng = Rng::new(3, Stream::Test, 4);
    let colours = (0..3 * PIXELS).map(|_| rng.below(256) as u8).collect();
    Picture::new(colours, (0..PIXELS).map(|i| i % SIDE < 20).collect()).expect("an image of this size")
}

/// A network for images with so many channels.
fn model(image_channels: usize, compute: &ComputeDevice) -> ImageModel {
    let unet = UNetConfig {
        image_channels,
        channels: 8,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![],
        groups: 4,
        ..UNetConfig::cifar10()
    };
    ImageModel::new(network(&unet, &compute.device), Convention::ddpm(), SIDE)
}

/// A run of a network that makes its plan come true. Gives its last frame's bytes and its residual.
fn ran(config: &RunConfig) -> (Vec<u8>, [f64; 2]) {
    ran_in(config, 3)
}

/// The same of a network for images with so many channels.
fn ran_in(config: &RunConfig, channels: usize) -> (Vec<u8>, [f64; 2]) {
    let compute = cpu();
    let model = model(channels, &compute);
    let mut run = ImageRun::new(config.clone(), &model, &compute).expect("a run").with_batch(2);
    let planned = (run.planned_steps(), run.planned_evaluations());
    assert_eq!(planned.1, planned_evaluations(config), "the page says the same");
    while now(run.step(&mut ())).expect("it computes") == Outcome::Stepped {}
    if let (Some(steps), Some(evaluations)) = planned {
        assert_eq!((run.steps() as usize, run.sampler().evaluations()), (steps, evaluations));
    }
    let frame = now(run.frame()).expect("finite images");
    (frame.noisy.0, now(run.residual()).expect("a constraint"))
}

#[test]
fn every_method_completes_and_colours_and_only_a_noisy_observation_leaves_a_residual() {
    for task in [TaskId::Inpaint, TaskId::Colourise] {
        for solver in [SolverId::DpmPp2m, SolverId::Ddpm, SolverId::Rk45] {
            for method in [MethodId::Project, MethodId::Observe, MethodId::Replace, MethodId::Repaint] {
                let what = format!("{task:?} {solver:?} {method:?}");
                let config = RunConfig {
                    task,
                    solver,
                    method,
                    picture: picture(),
                    images: 2,
                    steps: 5,
                    jump: 2,
                    resamples: 2,
                    tolerance: 0.1,
                    observe_noise: 0.5,
                    ..RunConfig::of_images()
                };
                let (bytes, [residual, noise]) = ran(&config);
                if method == MethodId::Observe {
                    assert!(residual > 1e-3 && noise == 0.5, "{what}: {residual}");
                    continue;
                }
                // Colours are moved in single precision; known pixels are copied.
                let most = if task == TaskId::Inpaint { 0.0 } else { 1e-5 };
                assert!(residual <= most && noise == 0.0, "{what}: {residual}");
                if task == TaskId::Inpaint {
                    let given = picture();
                    for (i, (found, colour)) in bytes.iter().zip(given.colours().iter().cycle()).enumerate() {
                        assert!(!given.known()[i / 3 % PIXELS] || found == colour, "{what}: byte {i}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_network_without_colours_completes_the_grey_of_a_picture_and_colours_none() {
    let config = RunConfig { task: TaskId::Inpaint, picture: picture(), images: 2, steps: 5, ..RunConfig::of_images() };
    let (bytes, [residual, _]) = ran_in(&config, 1);
    assert_eq!(residual, 0.0);
    let given = picture();
    for (i, found) in bytes.chunks_exact(3).enumerate() {
        let [pixel, mean] =
            [i % PIXELS, given.colours()[3 * (i % PIXELS)..][..3].iter().map(|c| usize::from(*c)).sum()];
        assert!(!given.known()[pixel] || usize::from(found[0]) == (mean + 1) / 3, "pixel {i}");
        assert!(found[0] == found[1] && found[1] == found[2], "pixel {i}");
    }
    let config = RunConfig { task: TaskId::Colourise, ..config };
    let compute = cpu();
    let refused = ImageRun::new(config, &model(1, &compute), &compute).err().map(|error| error.to_string());
    assert!(refused.is_some_and(|words| words.contains("1 channels")));
}

#[test]
fn repaint_of_images_passes_each_stretch_as_often_as_asked() {
    let config = RunConfig {
        task: TaskId::Inpaint,
        method: MethodId::Repaint,
        picture: picture(),
        images: 1,
        steps: 5,
        jump: 2,
        resamples: 3,
        ..RunConfig::of_images()
    };
    // Two stretches of two steps, three times each, and the last step.
    assert_eq!(planned_evaluations(&config), Some(13));
    assert_eq!(planned_evaluations(&RunConfig { task: TaskId::Generate, ..config.clone() }), Some(5));
    let one = ran(&config).0;
    assert_ne!(one, ran(&RunConfig { resamples: 1, ..config.clone() }).0);
    assert_eq!(one, ran(&config).0, "the same seed, the same image");
}
