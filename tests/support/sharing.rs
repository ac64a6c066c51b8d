//! A tiny run on images, and how far gradients of it are from one another.
#![allow(dead_code)]

use scorefield::data::ImageSet;
use scorefield::diffusion::now;
use scorefield::engine::image_trainer::{Gradient, ImageTrainer, Recipe};
use scorefield::lab::DeviceChoice;
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::UNetConfig;

use crate::unet_weights::{hashed, parameter};

/// Sums of a batch in another order, through some 20 layers and back in single precision: what `cli_training.rs` allows
/// between this program and PyTorch, which sums in another order too, is ten times as much.
pub const TOLERANCE: f32 = 1e-5;
/// Of losses and parameters (root mean square, relative) after six steps. Adam divides a gradient by its own size, so that
/// where it is nothing but rounding, as before a normalisation that takes it out again, its sign is a step.
pub const STEPS_TOLERANCE: f64 = 2e-4;

pub fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).unwrap()
}

pub fn recipe(network: UNetConfig, batch: usize) -> Recipe {
    Recipe { network, steps: 8, batch, piece: 4, rate: 2e-3, warm_up: 3, ..Recipe::default() }
}

pub fn tiny() -> UNetConfig {
    UNetConfig {
        channels: 8,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![1],
        classes: 10,
        groups: 4,
        dropout: 0.0,
        ..UNetConfig::cifar10()
    }
}

pub fn set() -> ImageSet {
    let colours = hashed("pixels", 60).flat_map(|u| [(127.5 + 127.0 * u) as u8; 64]);
    let classes = (0..10).map(|i| i.to_string()).collect();
    ImageSet::new(8, 3, colours.collect(), (0..20).map(|i| i % 10).collect(), classes).unwrap()
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
