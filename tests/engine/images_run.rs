//! Sampling images: seeds, batches, schedules, guidance, control and memory, on networks small enough for a test.

use crate::counting;
use crate::unet_weights::network;
use scorefield::diffusion::convention::{InputScale, TimeConvention};
use scorefield::diffusion::{Convention, Denoiser as _, Level, Prediction, Schedule, Solver, Spacing, now};
use scorefield::engine::EngineError;
use scorefield::engine::images::self_test;
use scorefield::engine::images::{BatchPolicy, ProgressListener, sample};
use scorefield::engine::images::{ImageDenoiser, ImageError, ImageModel, ImageRun, Outcome, Pictures};
use scorefield::lab::{
    ArrangementId, ClassChoice, ClipId, DeviceChoice, RunConfig, ScheduleId, SolverId, SpacingId, TaskId,
};
use scorefield::lab::{PIXELS, Picture, SIDE};
use scorefield::nn::checkpoint::SearchedGrid;
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::UNetConfig;
use scorefield::rng::{Rng, Stream};

fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).expect("this build has the CPU device")
}

/// The network of the self-test: 16 channels, images of 8 by 8.
fn tiny(compute: &ComputeDevice) -> ImageModel {
    self_test::model(compute).unwrap()
}

fn with_classes(compute: &ComputeDevice, side: usize) -> ImageModel {
    let config = UNetConfig {
        channels: 16,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![],
        classes: 10,
        groups: 8,
        ..UNetConfig::cifar10()
    };
    ImageModel::new(network(&config, &compute.device), Convention::ddpm(), side)
}

fn config() -> RunConfig {
    RunConfig { images: 3, steps: 4, seed: 5, ..RunConfig::of_images() }
}

fn images(config: &RunConfig, model: &ImageModel, compute: &ComputeDevice) -> Vec<f32> {
    let pictures = now(sample(config, model, compute, &mut ())).unwrap().expect("nobody ends it");
    now(pictures.values()).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

fn size(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

#[test]
fn the_same_seed_gives_the_same_images_and_another_seed_others() {
    let compute = cpu();
    let model = tiny(&compute);
    for solver in [SolverId::DpmPp2m, SolverId::Ddpm] {
        let config = RunConfig { solver, ..config() };
        let first = images(&config, &model, &compute);
        assert_eq!(first, images(&config, &model, &compute), "{solver:?}");
        assert_ne!(first, images(&RunConfig { seed: 50, ..config }, &model, &compute), "{solver:?}");
    }
}

#[test]
fn refinenets_are_sampled_as_published_and_by_every_other_solver() {
    let compute = cpu();
    let golden = |name: &str| std::fs::read(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for (file, told) in [("ncsn_small.pth", true), ("ncsnv2_small.pth", false)] {
        let mut model = ImageModel::from_published(&[(file, &golden(file))], &compute.device).unwrap();
        model.side = 8;
        // Ten levels of NCSN's published settings, with fewer steps at each.
        let published = RunConfig {
            images: 1,
            steps: 10,
            solver: SolverId::AnnealedLangevin,
            schedule: ScheduleId::Geometric,
            spacing: SpacingId::Uniform,
            sigma_min: 0.02,
            sigma_max: 2.0,
            levels: 10,
            snr: 0.316,
            corrections: 3,
            clip: ClipId::Never,
            ..config()
        };
        // The levels are those that the network knows, for pixels from 0 to 1.
        let grid = Solver::from_config(&published).grid(&Schedule::from_config(&published), Spacing::Uniform, 10);
        for (at, level) in grid[..10].iter().enumerate() {
            let known = 0.01_f64.powf(at as f64 / 9.0);
            assert!((level.sigma / level.alpha / 2.0 / known - 1.0).abs() < 1e-9, "{at}: {level:?}");
            let time = model.convention.time_of(*level);
            assert!(if told { (time - known.ln()).abs() < 1e-9 } else { time == 0.0 }, "{at}: {time}");
        }
        let mut run = ImageRun::new(published.clone(), &model, &compute).unwrap();
        while now(run.step(&mut ())).unwrap() == Outcome::Stepped {}
        // Three at every level, and the denoising in the end.
        assert_eq!(run.sampler().evaluations(), 31);
        let made = images(&published, &model, &compute);
        assert!(made.iter().all(|value| value.is_finite()));
        assert_ne!(made, images(&RunConfig { seed: 6, ..published.clone() }, &model, &compute));
        for &solver in SolverId::ALL {
            let other = RunConfig { solver, steps: 4, images: 1, ..config() };
            assert!(images(&other, &model, &compute).iter().all(|value| value.is_finite()), "{file}, {solver:?}");
        }
    }
}

#[test]
fn an_image_does_not_depend_on_what_else_is_made_and_comes_again_alone() {
    let compute = cpu();
    let model = with_classes(&compute, 8);
    let count = 3 * 8 * 8;
    // The two whose steps follow a norm averaged over the batch are left out: their papers define them so.
    let alone = |solver: &&SolverId| !matches!(solver, SolverId::PredictorCorrector | SolverId::Rk45);
    for &solver in SolverId::ALL.iter().filter(alone) {
        let config = RunConfig {
            solver,
            eta: 0.7,
            churn: 4.0,
            image_class: ClassChoice::Named("dog".into()),
            guidance: 2.0,
            ..config()
        };
        let all = images(&config, &model, &compute);
        for image in 0..3 {
            let one = RunConfig { images: 1, seed: config.seed + image as u32, ..config.clone() };
            let one = images(&one, &model, &compute);
            assert_eq!(one, all[image * count..(image + 1) * count], "{solver:?}, image {image}");
        }
    }
}

#[test]
fn however_many_images_are_evaluated_at_a_time_the_result_is_the_same() {
    let compute = cpu();
    let model = with_classes(&compute, 8);
    let config = RunConfig { images: 5, image_class: ClassChoice::Each, guidance: 1.5, ..config() };
    let with_batch = |batch| {
        let mut run = ImageRun::new(config.clone(), &model, &compute).unwrap().with_batch(batch);
        while now(run.step(&mut ())).unwrap() == Outcome::Stepped {}
        assert_eq!(run.evaluated(), 5 * u64::from(run.sampler().evaluations()));
        now(run.sampler().x().values()).unwrap()
    };
    let one = with_batch(1);
    for batch in [2, 3, 5, 64] {
        // To the last bit, so that it does not matter who evaluates what beside what.
        assert!(with_batch(batch) == one, "{batch}");
    }
}

#[test]
fn every_solver_runs_on_every_schedule_and_ends_with_finite_images() {
    let compute = cpu();
    let model = tiny(&compute);
    for &schedule in ScheduleId::ALL {
        for &solver in SolverId::ALL {
            let config = RunConfig { schedule, solver, images: 1, steps: 3, levels: 5, corrections: 1, ..config() };
            let config = RunConfig { sigma_min: 0.01, tolerance: 0.5, ..config };
            let values = images(&config, &model, &compute);
            assert!(values.iter().all(|v| v.is_finite()), "{schedule:?} {solver:?}");
        }
    }
}

#[test]
fn a_searched_grid_is_the_weights_own_for_exactly_its_number_of_steps() {
    let compute = cpu();
    let mut model = tiny(&compute);
    let ratios = vec![80.0, 9.0, 2.0, 0.3];
    model.set_grids(vec![SearchedGrid { ratios: ratios.clone(), search: "for a test".into() }]);
    assert_eq!(model.summary.grids, [4]);
    let run = |config: &RunConfig| ImageRun::new(config.clone(), &model, &compute).unwrap();
    let searched = RunConfig { spacing: SpacingId::Searched, solver: SolverId::Ipndm4, ..config() };
    let over = run(&searched);
    assert!(!over.is_without_grid());
    assert_eq!(over.sampler().planned_evaluations(), Some(4));
    let taken: Vec<f64> = over.sampler().levels().iter().map(|level| level.sigma / level.alpha).collect();
    assert_eq!(taken.len(), 5);
    assert_eq!(taken[4], 0.0);
    taken.iter().zip(&ratios).for_each(|(taken, wanted)| assert!((taken - wanted).abs() < 1e-9 * wanted));
    // For another number of steps, and on a schedule that does not reach its levels, there is none, and the run says so.
    for other in [RunConfig { steps: 5, ..searched.clone() }, RunConfig { sigma_max: 1.0, ..searched.clone() }] {
        let karras = run(&RunConfig { spacing: SpacingId::Karras, ..other.clone() });
        assert!(run(&other).is_without_grid() && !karras.is_without_grid());
        assert_eq!(run(&other).sampler().levels(), karras.sampler().levels());
    }
    // The adaptive solver takes no grid at all.
    assert!(!run(&RunConfig { solver: SolverId::Rk45, ..searched }).is_without_grid());
}

#[test]
fn one_network_makes_the_same_image_on_every_scale_of_the_noise() {
    let compute = cpu();
    let model = tiny(&compute);
    let noise = Rng::new(2, Stream::Test, 6).normals(3 * 8 * 8);
    // The same ratios of sigma to alpha: on the way the images differ by their scale alone, at the end not at all.
    let ratios = [20.0_f64, 5.0, 1.5, 0.5, 0.1, 0.02];
    let end = |level: &dyn Fn(f64) -> Level| {
        let mut x: Vec<f32> = noise.iter().map(|v| (f64::from(*v) * level(ratios[0]).sigma) as f32).collect();
        for step in ratios.windows(2) {
            let (from, to) = (level(step[0]), level(step[1]));
            let [data, noise] = estimate(&model, &compute, &x, from, &[], 1.0);
            let pairs = data.iter().zip(&noise);
            x = pairs.map(|(d, n)| (to.alpha * f64::from(*d) + to.sigma * f64::from(*n)) as f32).collect();
        }
        let last = level(ratios[5]);
        x.into_iter().map(|v| (f64::from(v) / last.alpha) as f32).collect::<Vec<f32>>()
    };
    let exploding = end(&|ratio| Level { t: 0.5, alpha: 1.0, sigma: ratio });
    let preserving = end(&|ratio| {
        let alpha = 1.0 / f64::hypot(1.0, ratio);
        Level { t: 0.5, alpha, sigma: ratio * alpha }
    });
    let flow = end(&|ratio| Level { t: 0.5, alpha: 1.0 / (1.0 + ratio), sigma: ratio / (1.0 + ratio) });
    for other in [&preserving, &flow] {
        let error = largest_difference(&exploding, other) / size(&exploding);
        println!("{error:.1e}");
        // Single precision through five evaluations, of which each feeds the next.
        assert!(error < 5e-4, "{error}");
    }
}

/// One estimate of a model.
fn estimate(
    model: &ImageModel,
    compute: &ComputeDevice,
    x: &[f32],
    level: Level,
    labels: &[Option<usize>],
    guidance: f64,
) -> [Vec<f32>; 2] {
    let mut policy = BatchPolicy::new(model, compute);
    let shape = [x.len() / (3 * model.side * model.side), 3, model.side, model.side];
    let x = Pictures::new(x.to_vec(), shape, &compute.device);
    let progress = &mut ();
    let mut denoiser = ImageDenoiser { model, labels, guidance, clip: false, policy: &mut policy, progress };
    let estimate = now(denoiser.estimate(&x, level)).unwrap();
    [estimate.data, estimate.noise].map(|part| now(part.values()).unwrap())
}

#[test]
fn estimates_are_the_same_in_every_scale_of_the_noisy_image_and_make_it_up_again() {
    let compute = cpu();
    let x = Rng::new(1, Stream::Test, 0).normals(3 * 8 * 8);
    for prediction in [
        Prediction::Data,
        Prediction::Noise,
        Prediction::Velocity,
        Prediction::Score,
        Prediction::Karras { data_std: 0.5 },
    ] {
        for input in [InputScale::Preserving, InputScale::Exploding, InputScale::Karras { data_std: 0.5 }] {
            let mut model = tiny(&compute);
            model.convention = Convention { prediction, input, time: TimeConvention::LogSigma { factor: 100.0 } };
            for (alpha, sigma) in [(0.9, 0.43), (0.3, 0.95)] {
                let at = |scale: f64| {
                    let level = Level { t: 0.5, alpha: scale * alpha, sigma: scale * sigma };
                    let x: Vec<f32> = x.iter().map(|v| (f64::from(*v) * scale) as f32).collect();
                    estimate(&model, &compute, &x, level, &[], 1.0)
                };
                let [data, noise] = at(1.0);
                let again: Vec<f32> =
                    data.iter().zip(&noise).map(|(d, n)| alpha as f32 * d + sigma as f32 * n).collect();
                let what = format!("{prediction:?} {input:?} {alpha}");
                assert!(largest_difference(&again, &x) < 1e-4 * size(&data).max(size(&noise)), "{what}");
                let [exploding_data, exploding_noise] = at(1.0 / alpha);
                assert!(largest_difference(&exploding_data, &data) < 1e-4 * size(&data), "{what}");
                assert!(largest_difference(&exploding_noise, &noise) < 1e-4 * size(&noise), "{what}");
            }
        }
    }
}

#[test]
fn a_score_times_sigma_is_minus_the_noise() {
    let compute = cpu();
    let x = Rng::new(1, Stream::Test, 1).normals(3 * 8 * 8);
    let mut model = tiny(&compute);
    for (alpha, sigma) in [(1.0, 30.0), (1.0, 0.05), (0.6, 0.8), (0.06, 0.1)] {
        let level = Level { t: 0.5, alpha, sigma };
        let mut noise = |prediction| {
            model.convention.prediction = prediction;
            let [_, noise] = estimate(&model, &compute, &x, level, &[], 1.0);
            noise
        };
        let plain = noise(Prediction::Noise);
        let minus: Vec<f32> = noise(Prediction::Score).iter().map(|v| -v).collect();
        assert!(largest_difference(&plain, &minus) < 1e-5 * size(&plain), "{level:?}");
    }
}

#[test]
fn guidance_mixes_the_conditional_and_the_unconditional_network() {
    let compute = cpu();
    let model = with_classes(&compute, 8);
    let x = Rng::new(1, Stream::Test, 2).normals(2 * 3 * 8 * 8);
    let level = Level { t: 0.5, alpha: 0.7, sigma: 0.7 };
    let data = |labels: &[Option<usize>], guidance| estimate(&model, &compute, &x, level, labels, guidance)[0].clone();
    let (with, without) = (data(&[Some(1), Some(4)], 1.0), data(&[], 1.0));
    assert!(largest_difference(&with, &without) > 1e-2 * size(&with));
    assert_eq!(data(&[Some(1), Some(4)], 0.0), without);
    let expected: Vec<f32> = with.iter().zip(&without).map(|(w, u)| u + 3.0 * (w - u)).collect();
    assert!(largest_difference(&data(&[Some(1), Some(4)], 3.0), &expected) < 1e-5 * size(&expected));
    // No class, no guidance.
    assert_eq!(data(&[None, None], 3.0), without);
}

#[test]
fn the_learned_variance_lies_between_the_two_of_ddpm() {
    let compute = cpu();
    let network = network(&UNetConfig { learned_variance: true, ..model_config() }, &compute.device);
    let model = ImageModel::new(network, Convention::ddpm(), 8);
    let mut policy = BatchPolicy::new(&model, &compute);
    let (labels, progress) = (&[][..], &mut ());
    let mut denoiser =
        ImageDenoiser { model: &model, labels, guidance: 1.0, clip: false, policy: &mut policy, progress };
    let values = Rng::new(1, Stream::Test, 3).normals(3 * 8 * 8);
    let x = Pictures::new(values, [1, 3, 8, 8], &compute.device);
    let estimate = now(denoiser.estimate(&x, Level { t: 0.5, alpha: 0.7, sigma: 0.7 })).unwrap();
    let said = now(estimate.variance.as_ref().expect("it was learned").values()).unwrap();
    let ones = Pictures::new(vec![1.0; said.len()], [1, 3, 8, 8], &compute.device);
    let (smallest, largest) = (0.01_f64, 0.02_f64);
    let spread = now(estimate.learned_noise(ones, smallest, largest).values()).unwrap();
    for (v, spread) in said.iter().zip(spread) {
        let share = 0.5 * (f64::from(*v) + 1.0);
        let expected = (0.5 * (share * largest.ln() + (1.0 - share) * smallest.ln())).exp();
        assert!((f64::from(spread) / expected - 1.0).abs() < 1e-5);
    }
    // The whole chain runs.
    let config = RunConfig { solver: SolverId::Ddpm, ..config() };
    assert!(images(&config, &model, &compute).iter().all(|v| v.is_finite()));
}

fn model_config() -> UNetConfig {
    UNetConfig {
        channels: 16,
        multipliers: vec![1],
        layers: 1,
        groups: 8,
        attention_levels: vec![],
        ..UNetConfig::cifar10()
    }
}

fn picture() -> Picture {
    let mut rng = Rng::new(3, Stream::Test, 4);
    let colours = (0..3 * PIXELS).map(|_| rng.below(256) as u8).collect();
    Picture::new(colours, (0..PIXELS).map(|i| i % SIDE < 20).collect()).unwrap()
}

#[test]
fn inpainting_leaves_the_known_pixels_exactly_and_fills_the_others() {
    let compute = cpu();
    let model = with_classes(&compute, SIDE);
    let picture = picture();
    for solver in [SolverId::DpmPp2m, SolverId::Ddpm, SolverId::EdmHeun] {
        let config =
            RunConfig { task: TaskId::Inpaint, picture: picture.clone(), solver, images: 2, steps: 3, ..config() };
        let mut run = ImageRun::new(config, &model, &compute).unwrap();
        while now(run.step(&mut ())).unwrap() == Outcome::Stepped {}
        let frame = now(run.frame()).unwrap();
        assert_eq!((frame.t, frame.images, frame.side), (0.0, 2, 32));
        for bytes in [&frame.noisy.0, &frame.expected.0] {
            for (i, (found, given)) in bytes.iter().zip(picture.colours().iter().cycle()).enumerate() {
                assert!(!picture.known()[i / 3 % PIXELS] || found == given, "{solver:?}: byte {i}");
            }
        }
        let (first, second) = frame.noisy.0.split_at(3 * PIXELS);
        assert_ne!(first, second, "what is missing is filled differently");
    }
}

#[test]
fn colourisation_keeps_the_grey_of_every_pixel() {
    let compute = cpu();
    let model = with_classes(&compute, SIDE);
    let picture = picture();
    let config = RunConfig { task: TaskId::Colourise, picture: picture.clone(), images: 2, steps: 3, ..config() };
    let values = images(&config, &model, &compute);
    for (image, values) in values.chunks(3 * PIXELS).enumerate() {
        for pixel in 0..PIXELS {
            let mean = |value: &dyn Fn(usize) -> f32| (value(0) + value(1) + value(2)) / 3.0;
            let found = mean(&|channel| values[channel * PIXELS + pixel]);
            let given = mean(&|channel| f32::from(picture.colours()[3 * pixel + channel]) / 127.5 - 1.0);
            // Rounding of numbers as large as the image's.
            assert!((found - given).abs() < 1e-6 * size(values).max(1.0), "image {image}, pixel {pixel}");
        }
    }
    let (first, second) = values.split_at(3 * PIXELS);
    assert!(largest_difference(first, second) > 0.01, "the colours are not given");
}

#[test]
fn a_task_without_its_image_or_with_one_of_another_size_is_refused() {
    let compute = cpu();
    let refused = |side, picture| {
        let model = with_classes(&compute, side);
        let config = RunConfig { task: TaskId::Inpaint, picture, ..config() };
        ImageRun::new(config, &model, &compute).err()
    };
    assert_eq!(refused(32, Picture::default()), Some(ImageError::NoPicture));
    assert_eq!(refused(8, picture()), Some(ImageError::Side { side: 8, channels: 3 }));
    assert_eq!(refused(32, picture()), None);
}

#[test]
fn clipped_estimates_stay_within_the_range_of_pixels() {
    let compute = cpu();
    let model = tiny(&compute);
    let most = |clip| size(&images(&RunConfig { clip, ..config() }, &model, &compute));
    assert!(most(ClipId::Never) > 1.0);
    assert!(most(ClipId::Always) <= 1.0);
}

#[test]
fn variations_begin_with_the_image_and_an_interpolation_ends_at_the_other_seed() {
    let compute = cpu();
    let model = tiny(&compute);
    let count = 3 * 8 * 8;
    let alone = |seed| images(&RunConfig { images: 1, seed, ..config() }, &model, &compute);
    let config = RunConfig { images: 4, seed: 7, seed_to: 90, variation: 0.2, ..config() };
    let near = images(&RunConfig { arrangement: ArrangementId::Variations, ..config.clone() }, &model, &compute);
    assert_eq!(near[..count], alone(7));
    let far = images(
        &RunConfig { arrangement: ArrangementId::Variations, variation: 1.0, ..config.clone() },
        &model,
        &compute,
    );
    let distance = |all: &[f32], image: usize| -> f64 {
        let pairs = all[image * count..].iter().zip(&all[..count]);
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    for image in 1..4 {
        assert!(distance(&near, image) > 0.0 && distance(&near, image) < distance(&far, image), "{image}");
    }
    let way = images(&RunConfig { arrangement: ArrangementId::Interpolation, ..config }, &model, &compute);
    assert_eq!(way[..count], alone(7));
    assert_eq!(way[3 * count..], alone(90));
}

/// Ends a run after so many parts of evaluations.
struct Impatient(u64);

impl ProgressListener for Impatient {
    async fn go_on(&mut self, _: u64) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
    fn smaller_batch(&mut self, _: usize) {}
    fn now_ms(&self) -> f64 {
        0.0
    }
}

#[test]
fn a_run_ends_before_the_next_evaluation_and_goes_on_as_if_nothing_had_happened() {
    let compute = cpu();
    let model = tiny(&compute);
    let config = config();
    let whole = images(&config, &model, &compute);
    assert!(now(sample(&config, &model, &compute, &mut Impatient(2))).unwrap().is_none());
    let mut run = ImageRun::new(config, &model, &compute).unwrap().with_batch(1);
    assert_eq!(now(run.step(&mut ())).unwrap(), Outcome::Stepped);
    let before = now(run.sampler().x().values()).unwrap();
    assert_eq!(now(run.step(&mut Impatient(2))).unwrap(), Outcome::GivenUp);
    assert_eq!(run.evaluated(), 3 + 1, "one part of the step was evaluated");
    assert_eq!(now(run.sampler().x().values()).unwrap(), before);
    while now(run.step(&mut ())).unwrap() == Outcome::Stepped {}
    assert_eq!(now(run.sampler().x().values()).unwrap(), whole);
}

#[test]
fn want_of_memory_halves_the_batch_and_is_said_and_without_room_for_one_it_is_an_error() {
    struct Told(Vec<usize>);
    impl ProgressListener for Told {
        async fn go_on(&mut self, _: u64) -> bool {
            true
        }
        fn smaller_batch(&mut self, images: usize) {
            self.0.push(images);
        }
        fn now_ms(&self) -> f64 {
            0.0
        }
    }
    let compute = cpu();
    let model = tiny(&compute);
    let needs = model.network.cost(8).bytes;
    let mut told = Told(Vec::new());
    // Room for two images, and a little.
    let mut run = ImageRun::new(RunConfig { images: 8, ..config() }, &model, &compute).unwrap().with_batch(8);
    run.pace_mut().limit_memory(2 * needs + needs / 2);
    assert_eq!(now(run.step(&mut told)).unwrap(), Outcome::Stepped);
    assert_eq!(told.0, [4, 2]);
    let mut run = ImageRun::new(config(), &model, &compute).unwrap();
    run.pace_mut().limit_memory(needs / 2);
    let error = now(run.step(&mut told)).unwrap_err();
    assert!(matches!(error, EngineError::Images(ImageError::OutOfMemory { .. })), "{error}");
}

#[test]
fn nothing_is_held_after_two_hundred_runs_that_was_not_held_after_ten() {
    let compute = cpu();
    let model = tiny(&compute);
    let config = RunConfig { images: 1, steps: 2, ..config() };
    let run = || assert!(!images(&config, &model, &compute).is_empty());
    (0..10).for_each(|_| run());
    let before = counting::held();
    (0..200).for_each(|_| run());
    assert_eq!(counting::held(), before);
}

#[test]
fn the_estimate_of_memory_is_not_below_what_an_evaluation_takes() {
    let compute = cpu();
    for (name, model) in [("tiny", tiny(&compute)), ("32 pixels", with_classes(&compute, SIDE))] {
        let values = Rng::new(1, Stream::Test, 5).normals(3 * model.side * model.side);
        let x = Pictures::new(values, [1, 3, model.side, model.side], &compute.device);
        let ask = || model.network.forward(x.0.clone(), &model.network.condition(&[400.0], &[]).unwrap());
        // Parameters are made when they are first used.
        ask();
        // In a thread of its own, which has no room yet to work in.
        let taken = std::thread::scope(|scope| scope.spawn(|| counting::peak(ask).1).join()).expect("an evaluation");
        let said = model.network.cost(model.side).bytes as usize;
        println!("{name}: {taken} bytes taken, {said} said");
        assert!(taken < said && said < 10 * taken, "{name}: {taken} taken, {said} said");
    }
}
