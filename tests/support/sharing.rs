//! A tiny run on images, and how far gradients of it are from one another.
#![allow(dead_code)]

use scorefield::data::ImageSet;
use scorefield::engine::image_trainer::{Gradient, ImageBatches, ImageTrainer, Recipe};
use scorefield::nn::objective::Objective;
use scorefield::nn::unet::{Style, UNetConfig};

use crate::training::{self, cpu};
use crate::unet_weights::parameter;

/// Sums of a batch in another order, through some 20 layers and back in single precision: what `cli_training.rs` allows
/// between this program and PyTorch, which sums in another order too, is ten times as much.
pub const TOLERANCE: f32 = 1e-5;
/// Of losses and parameters (root mean square, relative) after six steps. Adam divides a gradient by its own size, so that
/// where it is nothing but rounding, as before a normalisation that takes it out again, its sign is a step.
pub const STEPS_TOLERANCE: f64 = 2e-4;

pub fn recipe(network: UNetConfig, batch: usize) -> Recipe {
    Recipe { network, batch, ..training::tiny() }
}

pub fn tiny() -> UNetConfig {
    training::tiny().network
}

/// Runs of every kind of gradient: of a plain network, of one that learns variances as well, and of one whose derivatives
/// are not written out and go through automatic differentiation.
pub fn recipes() -> [Recipe; 3] {
    let hybrid = Recipe { objective: Objective::Ddpm, ..recipe(UNetConfig { learned_variance: true, ..tiny() }, 7) };
    [recipe(tiny(), 6), hybrid, recipe(UNetConfig { style: Style::Improved, ..tiny() }, 6)]
}

pub fn set() -> ImageSet {
    training::set(20)
}

/// A trainer on the CPU with weights of unit gain, so that every parameter has a gradient.
pub fn alone(recipe: &Recipe) -> ImageTrainer {
    let mut trainer = ImageTrainer::new(recipe.clone(), &cpu(), 2).unwrap();
    let shapes = trainer.shapes();
    trainer.set_parameters(shapes.iter().map(|p| parameter(&p.name, &p.shape)).collect());
    trainer
}

pub fn advance(trainer: &mut ImageTrainer, steps: u32) {
    for _ in 0..steps {
        let done = trainer.done();
        trainer.advance(&set(), done).unwrap();
    }
}

pub fn numbers(gradient: Gradient) -> (f32, Vec<Vec<f32>>) {
    let read = |tensor: burn::tensor::Tensor<1>| tensor.into_data().try_into_vec::<f32>().unwrap();
    (read(gradient.loss)[0], gradient.parts.into_iter().map(read).collect())
}

/// Largest difference of any numbers, relative to the largest of the same parameter or to a thousandth of all.
pub fn difference(found: &[Vec<f32>], wanted: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let all = wanted.iter().map(|part| largest(part)).fold(0.0, f32::max);
    let parts = found.iter().zip(wanted).map(|(found, wanted)| {
        assert_eq!(found.len(), wanted.len());
        let furthest = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        furthest / largest(wanted).max(1e-3 * all)
    });
    parts.fold(0.0, f32::max)
}

/// Asserts that these trainers find the loss and the gradient that one device finds of a whole batch.
pub fn agree(recipe: &Recipe, shared: impl IntoIterator<Item = (String, ImageTrainer)>) {
    let batch = ImageBatches::new(recipe).batch(&set(), 0);
    let (loss, parts) = numbers(alone(recipe).gradient(&batch).unwrap());
    for (name, trainer) in shared {
        let (found_loss, found) = numbers(trainer.gradient(&batch).unwrap());
        let error = difference(&found, &parts);
        println!("{name}: loss {found_loss} of {loss}, gradients differ by {error:.1e}");
        assert!((found_loss - loss).abs() <= TOLERANCE * loss, "{name}: {found_loss} instead of {loss}");
        assert!(error <= TOLERANCE, "{name}: {error:e}");
    }
}
