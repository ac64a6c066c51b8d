//! Training on the processor with the factors of convolutions and matrices in bfloat16: near single precision, the same
//! for any number of threads, and a run may go over to it.

use crate::program::{Folder, failure, images, scorefield, success};
use crate::training::{advance, cpu, set, tensors, tiny};
use kernels::native::bf16::{Kind, kinds};
use scorefield::engine::image_trainer::{ImageTrainer, Optimiser, Recipe, TrainingPrecision};
use scorefield::nn::unet::{Style, UNetConfig};

fn in_bfloat16(recipe: Recipe) -> Recipe {
    Recipe { precision: TrainingPrecision::Bf16, ..recipe }
}

/// Losses of so many steps.
fn losses(recipe: &Recipe, steps: u32) -> Vec<f32> {
    let mut trainer = ImageTrainer::new(recipe.clone(), &cpu(), 2).unwrap();
    advance(&mut trainer, &set(20), steps);
    trainer.take_losses().unwrap()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

#[test]
fn fifty_steps_have_the_losses_of_single_precision() {
    println!("computed by {}", kinds()[0].id());
    for optimiser in [Optimiser::Adam, Optimiser::Muon] {
        let recipe = Recipe { steps: 50, optimiser, ..tiny() };
        let [single, half] = [recipe.clone(), in_bfloat16(recipe)].map(|recipe| losses(&recipe, 50));
        assert!(single != half, "{optimiser:?}: factors are rounded");
        // The same images and noise in the same order: what differs are roundings, which training neither adds up nor takes
        // out. The first loss is that of an output of zeros, with which a network begins.
        let [early, late] = [1..25, 25..50].map(|part| mean(&half[part.clone()]) / mean(&single[part]) - 1.0);
        println!("{optimiser:?}: the halves are off by {early:.1e} and {late:.1e}");
        assert!(early.abs() < 0.01 && late.abs() < 0.01, "{optimiser:?}: {early} {late}");
        // Both have learnt something.
        assert!(mean(&half[40..]) < 0.9 * mean(&half[..5]), "{half:?}");
    }
}

#[test]
fn a_run_is_the_same_for_any_threads_and_goes_on_bit_for_bit() {
    let (recipe, set) = (in_bfloat16(Recipe { optimiser: Optimiser::Muon, ..tiny() }), set(20));
    let mut whole = ImageTrainer::new(recipe.clone(), &cpu(), 1).unwrap();
    advance(&mut whole, &set, 6);
    let mut first = ImageTrainer::new(recipe, &cpu(), 3).unwrap();
    advance(&mut first, &set, 3);
    let mut second = ImageTrainer::from_bytes(&first.to_bytes().unwrap(), &cpu(), 2).unwrap();
    assert_eq!(second.recipe().precision, TrainingPrecision::Bf16);
    advance(&mut second, &set, 3);
    assert!(tensors(&second) == tensors(&whole));
}

#[test]
fn a_run_goes_over_to_bfloat16_and_back_and_says_so() {
    let folder = Folder::new("bfloat16");
    let (data, out) = (folder.path("data"), folder.path("out"));
    images(&folder, "data", 12, 8);
    let network = ["--channels", "8", "--multipliers", "1,2", "--layers", "1", "--attention", "1", "--groups", "4"];
    let train = |more: &[&str]| {
        let args = ["train", "--data", &data, "--out", &out, "--stop-after", "2"];
        scorefield(args.into_iter().chain(more.iter().copied()))
    };
    success(&train(&[&network[..], &["--batch", "4", "--steps", "9"]].concat()));
    if kinds()[0] == Kind::Plain {
        println!("no instructions for bfloat16: it is refused");
        failure(&train(&["--resume", "--compute", "bf16"]), 2, "neither AMX-BF16 nor AVX512-BF16");
        return;
    }
    println!("computed by {}", kinds()[0].id());
    let said = |more: &[&str]| {
        let output = train(more);
        success(&output);
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&["--resume", "--compute", "bf16"]).contains("computed in bf16 from step 2 on, until then in f32"));
    assert!(!said(&["--resume"]).contains("until then"), "it stays");
    let manifest = std::fs::read_to_string(format!("{out}/manifest.json")).unwrap();
    assert!(manifest.contains("computed in bf16"), "{manifest}");
    assert!(said(&["--resume", "--compute", "f32"]).contains("computed in f32 from step 6 on, until then in bf16"));
    failure(&train(&["--resume", "--batch", "5"]), 2, "no other recipe");
}

#[test]
fn networks_without_written_derivatives_are_refused() {
    let folder = Folder::new("bfloat16-refused");
    let (data, out) = (folder.path("data"), folder.path("out"));
    images(&folder, "data", 12, 8);
    for network in [["--dropout", "0.1"], ["--network", "improved"]] {
        let args = ["train", "--data", &data, "--out", &out, "--compute", "bf16"];
        failure(&scorefield(args.into_iter().chain(network)), 2, "does not train in bf16 with dropout or in the style");
    }
    let written = |style, dropout| UNetConfig { style, dropout, ..tiny().network }.has_written_derivatives();
    assert!(written(Style::Ddpm, 0.0) && !written(Style::Ddpm, 0.1) && !written(Style::Improved, 0.0));
}
