//! Small runs on images.
#![allow(dead_code)]

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use scorefield::data::ImageSet;
use scorefield::diffusion::now;
use scorefield::engine::image_trainer::{ImageTrainer, Recipe};
use scorefield::engine::images::self_test::hashed;
use scorefield::lab::DeviceChoice;
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::UNetConfig;

/// The processor.
pub fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).unwrap()
}

/// A run of eight steps.
pub fn tiny() -> Recipe {
    Recipe {
        network: UNetConfig {
            channels: 8,
            multipliers: vec![1, 2],
            layers: 1,
            attention_levels: vec![1],
            classes: 10,
            groups: 4,
            dropout: 0.0,
            ..UNetConfig::cifar10()
        },
        steps: 8,
        batch: 6,
        piece: 4,
        rate: 2e-3,
        warm_up: 3,
        ..Recipe::default()
    }
}

/// So many images of 8 x 8.
pub fn set(count: usize) -> ImageSet {
    // Every image has one colour: something to learn in a few steps.
    let colours = hashed("pixels", count * 3).flat_map(|u| [(127.5 + 127.0 * u) as u8; 64]);
    let pixels = colours.collect();
    let classes = (0..10).map(|i| i.to_string()).collect();
    ImageSet::new(8, 3, pixels, (0..count as u32).map(|i| i % 10).collect(), classes).unwrap()
}

/// All tensors of the state by name, bit for bit.
pub fn tensors(trainer: &ImageTrainer) -> BTreeMap<String, Vec<u8>> {
    let bytes = trainer.to_bytes().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

/// Some steps.
pub fn advance(trainer: &mut ImageTrainer, set: &ImageSet, steps: u32) {
    for _ in 0..steps {
        let done = trainer.done();
        trainer.advance(set, done).unwrap();
    }
}
