//! Muon beside an independent implementation (`tests/golden/muon.py` made its numbers), several moving averages, an end
//! that is decided on late, and noise matched to images.

use crate::golden::Golden;
use std::collections::BTreeSet;
use std::fs;

use crate::program::{Folder, NETWORK, failure, images, scorefield, success};
use crate::training::{advance, cpu, set, tensors, tiny};
use burn::tensor::{Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::serialize;
use scorefield::diffusion::Level;
use scorefield::engine::image_trainer::{FinishError, ImageBatches, ImageTrainer, Optimiser, Recipe};
use scorefield::engine::images::self_test::hashed;
use scorefield::nn::muon::{Momentum, Sizes, TensorMomentum, orthogonal, orthogonal_tensor};
use scorefield::nn::objective::Objective;
use scorefield::nn::tape::Factors;

const REFERENCE: Golden = Golden(include_bytes!("../golden/muon.safetensors"));
/// A singular value near 0 is multiplied by 3.4445^5 = 485, and the rounding of single precision, 6e-8, with it: 3e-5 of
/// numbers below 1. None of the singular values here is that near to 0; found are 7e-7.
const TOLERANCE: f32 = 1e-5;
/// The same with factors rounded to 8 bits, 2^-9 of themselves, in fifteen products whose errors the rounds after pass on;
/// the polynomial leaves singular values 0.3 from 1.
const TOLERANCE_BF16: f32 = 0.03;
/// Names and shapes of the matrices in `muon.py`.
const MATRICES: [(&str, &[usize]); 6] = [
    ("tall", &[40, 12]),
    ("wide", &[12, 3, 3, 3]),
    ("square", &[24, 24]),
    ("large", &[50, 37]),
    ("row", &[1, 17]),
    ("column", &[33, 1]),
];
/// Learning rates and lengths of the gradients there.
const STEPS: [(f64, f32); 5] = [(0.004, 1e-3), (0.012, 3.0), (0.02, 0.3), (0.02, 1.0), (0.01, 0.1)];

fn named(name: &str, shape: &[usize]) -> Vec<f32> {
    hashed(name, shape.iter().product()).map(|u| u as f32).collect()
}

fn flat(values: Vec<f32>) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &cpu().device)
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[track_caller]
fn near(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: {worst:.1e}");
    assert!(worst < tolerance, "{what}: {worst:e}");
}

#[test]
fn matrices_become_what_the_polynomial_makes_of_their_singular_values() {
    for (name, shape) in MATRICES {
        let (sizes, matrix) = (Sizes::of(shape).unwrap(), named(&format!("matrix {name}"), shape));
        let expected = REFERENCE.numbers(&format!("orthogonal/{name}"));
        let tensor = flat(matrix.clone()).reshape([sizes.rows, sizes.columns]);
        near(name, &orthogonal(matrix.clone(), sizes, Factors::Single), &expected, TOLERANCE);
        let half = format!("{name} of bfloat16");
        near(&half, &orthogonal(matrix, sizes, Factors::Bfloat16), &expected, TOLERANCE_BF16);
        near(&format!("{name} on a device"), &numbers(orthogonal_tensor(tensor)), &expected, TOLERANCE);
    }
    // No gradient is no direction, and not a number that is none.
    for factors in [Factors::Single, Factors::Bfloat16] {
        assert_eq!(orthogonal(vec![0.0; 6], Sizes { rows: 2, columns: 3 }, factors), [0.0; 6]);
    }
}

#[test]
fn steps_of_muon_equal_an_independent_implementations() {
    for (name, shape) in MATRICES {
        let (sizes, start) = (Sizes::of(shape).unwrap(), named(&format!("start {name}"), shape));
        let mut host = Momentum::of(sizes, vec![0.0; start.len()]);
        let mut device = TensorMomentum::of(sizes, flat(vec![0.0; start.len()]));
        let (mut on_host, mut on_device) = (start.clone(), flat(start));
        for (step, (rate, length)) in STEPS.into_iter().enumerate() {
            let gradient = named(&format!("gradient {step} {name}"), shape).into_iter().map(|g| g * length);
            let gradient: Vec<f32> = gradient.collect();
            host.step(&mut on_host, &gradient, rate, Factors::Single);
            on_device = device.step(on_device, flat(gradient), rate);
        }
        // The tolerance of every step by its length, and some roundings of numbers about 1.
        let lengths: f64 = STEPS.iter().map(|(rate, _)| sizes.step(*rate)).sum();
        let tolerance = lengths as f32 * TOLERANCE + 1e-6;
        let expected = REFERENCE.numbers(&format!("steps/{name}"));
        near(name, &on_host, &expected, tolerance);
        near(&format!("{name} on a device"), &numbers(on_device), &expected, tolerance);
        near(&format!("{name}'s momentum"), &host.into_mean(), &numbers(device.into_mean()), 1e-6);
    }
}

fn with_muon() -> Recipe {
    Recipe { optimiser: Optimiser::Muon, ..tiny() }
}

/// Names of the parameters of which the state keeps this.
fn kept(trainer: &ImageTrainer, kind: &str) -> BTreeSet<String> {
    tensors(trainer).keys().filter_map(|name| name.strip_prefix(kind)).map(str::to_owned).collect()
}

#[test]
fn muon_has_the_matrices_within_the_network_and_adam_the_rest() {
    let trainer = ImageTrainer::new(with_muon(), &cpu(), 1).unwrap();
    let outer = ["conv_in", "conv_out", "time_embedding", "class_embedding"];
    let (mut matrices, mut rest) = (BTreeSet::new(), BTreeSet::new());
    for parameter in trainer.shapes() {
        let is_outer = outer.contains(&parameter.name.split('.').next().unwrap());
        let into = if parameter.shape.len() > 1 && !is_outer { &mut matrices } else { &mut rest };
        into.insert(parameter.name);
    }
    for some in ["mid_block.attentions.0.to_q.weight", "up_blocks.0.resnets.1.time_emb_proj.weight"] {
        assert!(matrices.contains(some), "{some}");
    }
    // Each is remembered once, and nothing beside it.
    assert_eq!(kept(&trainer, "momentum."), matrices);
    assert_eq!((kept(&trainer, "mean."), kept(&trainer, "square.")), (rest.clone(), rest));
    let adam = ImageTrainer::new(tiny(), &cpu(), 1).unwrap();
    assert!(kept(&adam, "momentum.").is_empty());
    assert_eq!(kept(&adam, "mean.").len(), adam.shapes().len());
}

#[test]
fn a_run_with_muon_in_two_parts_and_with_any_threads_is_the_run_in_one_bit_for_bit() {
    let (set, compute) = (set(20), cpu());
    let mut whole = ImageTrainer::new(with_muon(), &compute, 1).unwrap();
    advance(&mut whole, &set, 6);
    let mut first = ImageTrainer::new(with_muon(), &compute, 2).unwrap();
    advance(&mut first, &set, 3);
    let mut second = ImageTrainer::from_bytes(&first.to_bytes().unwrap(), &compute, 3).unwrap();
    assert!(tensors(&second) != tensors(&whole));
    advance(&mut second, &set, 3);
    assert!(tensors(&second) == tensors(&whole));
    let mut adam = ImageTrainer::new(tiny(), &compute, 2).unwrap();
    advance(&mut adam, &set, 6);
    assert!(adam.averaged(1).unwrap() != whole.averaged(1).unwrap());
}

#[test]
fn training_with_muon_lowers_the_loss() {
    let recipe = Recipe { steps: 60, batch: 8, piece: 8, rate: 4e-3, warm_up: 5, ..with_muon() };
    let mut trainer = ImageTrainer::new(recipe, &cpu(), 2).unwrap();
    advance(&mut trainer, &set(8), 60);
    let losses = trainer.take_losses().unwrap();
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    assert!(mean(&losses[45..]) < 0.85 * mean(&losses[..15]), "{losses:?}");
}

#[test]
fn every_moving_average_has_the_half_life_that_is_its() {
    let recipe = Recipe { averages: vec![2.0, 50.0], ema_images: 12.0, ..with_muon() };
    let (set, mut trainer) = (set(20), ImageTrainer::new(recipe.clone(), &cpu(), 2).unwrap());
    let values = |trainer: &ImageTrainer, kind: &str| -> Vec<f32> {
        let all = tensors(trainer);
        let wanted = all.iter().filter(|(name, _)| name.starts_with(kind));
        let bytes = wanted.flat_map(|(_, bytes)| bytes.chunks_exact(4));
        bytes.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let mut expected = vec![values(&trainer, "parameter."); 2];
    for step in 1..=6 {
        advance(&mut trainer, &set, 1);
        let parameters = values(&trainer, "parameter.");
        // By the definition: what was there is half of what it was after a half-life, a share of the images seen.
        let seen = f64::from(step * 6);
        for (average, share) in expected.iter_mut().zip([0.02, 0.5]) {
            let keep = 0.5_f64.powf(6.0 / (share * seen).min(12.0)) as f32;
            average.iter_mut().zip(&parameters).for_each(|(a, p)| *a = keep * *a + (1.0 - keep) * p);
        }
    }
    // Of two the second is the result. Numbers of size 1 are rounded six times.
    near("2 %", &values(&trainer, "average-2."), &expected[0], 2e-6);
    near("50 %", &values(&trainer, "average."), &expected[1], 2e-6);
    assert!(recipe.validate(&set).is_ok());
    for averages in [vec![], vec![5.0, 2.0], vec![2.0, 2.0], vec![0.0], vec![101.0], vec![f64::NAN], vec![1.0; 9]] {
        assert!(Recipe { averages, ..tiny() }.validate(&set).is_err());
    }
}

#[test]
fn a_state_of_before_there_was_a_choice_is_a_run_of_adam_with_one_average() {
    let (set, compute) = (set(20), cpu());
    let recipe = Recipe { averages: vec![5.0], ema_images: 500_000.0, ..tiny() };
    let mut trainer = ImageTrainer::new(recipe.clone(), &compute, 1).unwrap();
    advance(&mut trainer, &set, 2);
    let bytes = trainer.to_bytes().unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    let known: serde_json::Value = serde_json::from_str(&metadata["scorefield.recipe"]).unwrap();
    let mut old = known.as_object().unwrap().clone();
    for new in ["optimiser", "muon_rate", "match_noise", "averages"] {
        assert!(old.remove(new).is_some(), "{new}");
    }
    metadata.insert("scorefield.recipe".to_owned(), serde_json::to_string(&old).unwrap());
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let bytes = serialize(file.iter(), Some(metadata)).unwrap();
    let mut resumed = ImageTrainer::from_bytes(&bytes, &compute, 1).unwrap();
    assert_eq!(*resumed.recipe(), recipe);
    advance(&mut trainer, &set, 2);
    advance(&mut resumed, &set, 2);
    assert!(tensors(&resumed) == tensors(&trainer));
}

#[test]
fn an_end_takes_the_rate_to_0_and_goes_on_bit_for_bit() {
    let (set, compute) = (set(20), cpu());
    let recipe = Recipe { steps: 1000, decay: 0.0, ..with_muon() };
    let mut whole = ImageTrainer::new(recipe, &compute, 2).unwrap();
    advance(&mut whole, &set, 4);
    assert_eq!(whole.finish(0, 0.0), Err(FinishError::Steps(0)));
    assert_eq!(whole.finish(u32::MAX, 0.0), Err(FinishError::Steps(u32::MAX)));
    whole.finish(4, whole.done()).unwrap();
    let rate = whole.recipe().rate;
    let rates: Vec<f64> = (4..=8).map(|step| whole.rate_at(step, 0.0) / rate).collect();
    assert_eq!(rates, [1.0, 0.75, 0.5, 0.25, 0.0]);
    advance(&mut whole, &set, 1);
    assert_eq!(whole.finish(9, whole.done()), Err(FinishError::Finishing { done: 1, steps: 4 }));
    let mut second = ImageTrainer::from_bytes(&whole.to_bytes().unwrap(), &compute, 1).unwrap();
    assert_eq!((second.done(), second.finishing()), (0.25, whole.finishing()));
    advance(&mut whole, &set, 3);
    advance(&mut second, &set, 3);
    assert!(tensors(&second) == tensors(&whole));
    assert_eq!(second.done(), 1.0);
    assert_eq!(second.finish(4, 1.0), Err(FinishError::Finished(8)));
    // A run whose rate is falling already falls on from there.
    let mut falling = ImageTrainer::new(Recipe { steps: 8, decay: 1.0, warm_up: 1, ..tiny() }, &compute, 2).unwrap();
    advance(&mut falling, &set, 4);
    falling.finish(2, falling.done()).unwrap();
    assert_eq!([4, 5].map(|step| falling.rate_at(step, falling.done()) / rate), [0.5, 0.25]);
}

#[test]
fn matched_noise_is_the_nearest_of_several_draws_and_everything_else_stays() {
    let set = set(20);
    // Its target is the noise.
    let recipe = Recipe { objective: Objective::Ddpm, batch: 40, ..tiny() };
    let batch = |match_noise| ImageBatches::new(&Recipe { match_noise, ..recipe.clone() }).batch(&set, 3);
    let (plain, two, five) = (batch(1), batch(2), batch(5));
    let convention = recipe.objective.convention();
    let mut closer = 0;
    for image in 0..40 {
        let of = |values: &[f32]| values[image * 192..(image + 1) * 192].to_vec();
        let distance = |targets: &[f32]| -> f64 {
            of(&plain.images).iter().zip(of(targets)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let [first, second, fifth] = [&plain, &two, &five].map(|batch| distance(&batch.targets));
        assert!(fifth <= second && second <= first, "{first} {second} {fifth}");
        closer += u32::from(second < first);
        let level = Level { t: 0.0, alpha: 1.0, sigma: plain.levels[image].sigma };
        let scale = convention.input.scale(level);
        let noise = of(&five.targets).into_iter().zip(of(&five.images));
        let noisy: Vec<f32> =
            noise.map(|(noise, image)| (scale * (f64::from(image) + level.sigma * f64::from(noise))) as f32).collect();
        near("what the network sees", &of(&five.inputs), &noisy, 1e-5);
    }
    // One of two draws is the nearer in half of the cases: 20, and within four deviations of 3.2.
    assert!((8..=32).contains(&closer), "{closer}");
    assert!(plain.images == five.images && plain.levels == five.levels && plain.labels == five.labels);
}

#[test]
fn the_program_goes_on_until_its_end_is_asked_for_and_says_what_cannot_be_asked() {
    let folder = Folder::new("train-finish");
    images(&folder, "images", 6, 8);
    let (data, whole, parts) = (folder.path("images"), folder.path("whole"), folder.path("parts"));
    let train = |out: &str, more: &[&str]| scorefield(["train", "--data", &data, "--out", out].iter().chain(more));
    let flat = |more: &[&str]| train(&whole, &[&NETWORK[..], &["--flat", "--optimiser", "muon"], more].concat());
    failure(&flat(&["--finish", "1"]), 2, "--resume");
    failure(&flat(&["--decay", "0.5"]), 2, "--decay");
    failure(&flat(&["--averages", "5,2"]), 2, "rising");
    failure(&flat(&["--averages", "2,x"]), 2, "--averages");
    failure(&flat(&["--match-noise", "0"]), 2, "draws of noise");
    success(&flat(&["--stop-after", "0"]));
    failure(&train(&whole, &["--resume", "--finish", "1"]), 2, "without a step");
    success(&train(&whole, &["--resume", "--stop-after", "3"]));
    let copy = |from: &str, to: &str| {
        fs::create_dir(to).unwrap();
        for name in ["resume.safetensors", "metrics.csv"] {
            fs::copy(format!("{from}/{name}"), format!("{to}/{name}")).unwrap();
        }
    };
    copy(&whole, &parts);
    for minutes in ["0", "-1", "nan", "inf"] {
        let minutes = format!("--finish={minutes}");
        failure(&train(&whole, &["--resume", &minutes]), 2, "more than 0");
    }
    failure(&train(&whole, &["--resume", "--finish", "1", "--minutes", "2"]), 2, "--minutes");
    failure(&train(&whole, &["--resume", "--optimiser", "adam"]), 2, "no other recipe");
    // Both copies have the same speed so far, and so the same end. Six thousandths of a second: some steps at most.
    let output = train(&whole, &["--resume", "--finish", "0.0001"]);
    success(&output);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("images/s so far: the learning rate falls to 0 over"), "{said}");
    success(&train(&parts, &["--resume", "--finish", "0.0001", "--stop-after", "0"]));
    failure(&train(&parts, &["--resume", "--finish", "1"]), 2, "finishing already");
    failure(&train(&parts, &["--resume", "--steps", "9"]), 2, "finishing");
    failure(&train(&parts, &["--resume", "--minutes", "9"]), 2, "finishing");
    success(&train(&parts, &["--resume", "--threads", "1"]));
    failure(&train(&parts, &["--resume", "--finish", "1"]), 2, "the run is finished");
    for set in ["", "average-2/", "average-10/"] {
        let weights = |out: &str| fs::read(format!("{out}/{set}weights.00.safetensors")).unwrap();
        assert!(weights(&whole) == weights(&parts), "{set}");
        // A set like any other.
        let (from, to) = (format!("{whole}/{set}"), folder.path(&format!("converted {}", set.len())));
        success(&scorefield(["convert", &from, "--out", &to, "--precision", "int8"]));
        let manifest = fs::read_to_string(format!("{to}/manifest.json")).unwrap();
        let percent = set.trim_start_matches("average-").trim_end_matches('/');
        let percent = if percent.is_empty() { "5" } else { percent };
        let words =
            [&format!("half-life of {percent} % of the images,"), "Muon at a learning rate of 0.02", "falling to 0"];
        assert!(words.iter().all(|word| manifest.contains(word)), "{manifest}");
    }
    // At most the rate that there was, a step further up its rise.
    let table = fs::read_to_string(format!("{whole}/metrics.csv")).unwrap();
    let rates: Vec<f64> = table.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert!(rates.len() == 2 && rates[1] <= 1.34 * rates[0], "{table}");
}
