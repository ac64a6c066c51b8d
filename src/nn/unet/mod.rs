//! The U-Net of Ho et al. 2020 (arXiv 2006.11239): the network behind DDPM, DDIM and, with Karras et al.'s scaling
//! around it, EDM's training of the same graph; with other details those of Nichol and Dhariwal and of Song et al. The
//! RefineNets of Song and Ermon, U-Nets too, have layers of their own ([`Style::Refine`]).
//!
//! Parameters have the names and shapes of diffusers' `UNet2DModel`, so that a module path *is* the name in a file:
//! `down_blocks.1.attentions.0.to_q.weight`. With [`UNetConfig::cifar10`] it is the graph of google/ddpm-cifar10-32,
//! 35,746,307 parameters in 328 tensors.
//!
//! ```text
//! x -> conv_in -> [resnets (+ attention) -> half the size] per level -> resnet, attention, resnet
//!   -> [resnets on what the way down left (+ attention) -> twice the size] per level -> norm, SiLU, conv_out
//! ```

mod blocks;
mod config;
#[cfg(not(target_arch = "wasm32"))]
mod gradients;
mod graph;
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
mod half;
mod network;
mod parameters;
mod refine;
mod refine_graph;
mod refine_net;
mod song;
mod table;
mod time;
#[cfg(feature = "cli")]
mod trace;

use burn::tensor::Tensor;
use thiserror::Error;

use super::cpu;
use super::layers::cost::{Counter, Size};
use super::layers::interpreter::{Interpreter, interpret};
#[cfg(not(target_arch = "wasm32"))]
use super::layers::reach::{Field, Follower};

pub use super::layers::cost::Cost;
pub use config::{ConfigError, Details, Style, UNetConfig};
use graph::Told;
pub use network::UNet;
use network::{Blocks, Body};
pub use parameters::Parameter;
pub use refine::{Refine, SHAPES as REFINE_SHAPES, halvings};
pub use song::{Decoder, Encoder, Filter, NoiseEmbedding, Song};
pub use time::{fourier_features, time_features};

/// Times and labels that a network cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// No times at all, or two lists of different lengths, neither of length 1.
    #[error("{times} times and {labels} labels do not belong together")]
    Count {
        /// How many times there are.
        times: usize,
        /// How many labels there are.
        labels: usize,
    },
    /// There is no such class.
    #[error("class {found} was asked for, the network has {classes}")]
    Class {
        /// The class asked for.
        found: usize,
        /// How many the network knows.
        classes: usize,
    },
    /// No class was asked for, and the network was never without one.
    #[error("this network always wants a class: it has no row for none")]
    WithoutClass,
}

/// A network's second input: times and classes as it is told them.
#[derive(Clone, Debug)]
pub struct Condition(Told<Tensor<2>>);

/// Pixels from 0 to 1, of those from -1 to 1.
fn in_unit_range(x: Tensor<4>) -> Tensor<4> {
    // Without the tensor operations where nothing else needs them.
    if cpu::is_cpu(&x.device()) {
        return cpu::edit(x, |x| x.iter_mut().for_each(|x| *x = 0.5 * *x + 0.5));
    }
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    return x * 0.5 + 0.5;
    #[cfg(not(any(not(target_arch = "wasm32"), feature = "gpu")))]
    unreachable!("a worker has the device of its one interpreter and no other")
}

impl UNet {
    /// The embedding of times, in the units the network was trained with (0 to 999 for Ho et al.), and of classes,
    /// `None` meaning no class. Each list has one entry for all images or one for each; no labels mean no class.
    ///
    /// # Errors
    /// A [`ConditionError`] when the lists do not belong together or there is no such class.
    pub fn condition(&self, times: &[f64], labels: &[Option<usize>]) -> Result<Condition, ConditionError> {
        self.check(times, labels)?;
        let device = self.device();
        let rows = self.class_rows(if labels.is_empty() { &[None] } else { labels });
        let told = interpret!(Interpreter::of([&device]), layers =>
            graph::tell(layers, self, times, |_, features, shape| cpu::tensor(features, shape, &device), &rows));
        Ok(Condition(told))
    }

    /// A label that the network can be told, for timings and trials: no class, or the first where there always is one.
    #[must_use]
    pub fn some_label(&self) -> Option<usize> {
        self.config.requires_class().then_some(0)
    }

    /// The features of times, row by row.
    fn features(&self, blocks: &Blocks, times: &[f64]) -> Vec<f32> {
        match &blocks.time_proj {
            Some(frequencies) => fourier_features(times, &frequencies.numbers),
            None => time_features(times, self.config.channels, self.config.details()),
        }
    }

    /// Which rows of the table of classes these labels are.
    fn class_rows(&self, labels: &[Option<usize>]) -> Vec<usize> {
        labels.iter().map(|label| label.unwrap_or(self.config.classes)).collect()
    }

    fn check(&self, times: &[f64], labels: &[Option<usize>]) -> Result<(), ConditionError> {
        let together = times.len() == labels.len() || times.len() == 1 || labels.len() <= 1;
        if times.is_empty() || !together {
            return Err(ConditionError::Count { times: times.len(), labels: labels.len() });
        }
        let classes = self.config.classes;
        let none = labels.is_empty() || labels.contains(&None);
        if none && self.config.requires_class() {
            return Err(ConditionError::WithoutClass);
        }
        match labels.iter().flatten().find(|label| **label >= classes) {
            Some(&found) => Err(ConditionError::Class { found, classes }),
            None => Ok(()),
        }
    }

    /// The output for noisy images `x`, `[images, image_channels, height, width]`, in single precision: the same shape, or
    /// with twice the channels where the variance is learned too (Nichol and Dhariwal 2021).
    ///
    /// # Panics
    /// When height or width is not a multiple of [`UNetConfig::size_multiple`], the channels are not the network's, or
    /// the condition is for another number of images.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        let interpreter = Interpreter::of([&x.device(), &self.device()]);
        let x = if self.config.details().unit_pixels { in_unit_range(x) } else { x };
        let output = interpret!(interpreter, layers => graph::evaluate(layers, self, x, &condition.0));
        interpreter.in_single_precision(output)
    }

    /// What one evaluation of one image of this height and width costs, without the embedding. No parameter is initialised
    /// by asking.
    #[must_use]
    pub fn cost(&self, side: usize) -> Cost {
        let mut counter = Counter::default();
        let x = Size { channels: self.config.image_channels, side };
        let told = match &self.body {
            Body::Blocks(_) => Told::Embedding(self.config.embedding_width()),
            Body::Refine(network) => Told::Levels(network.levels(&[0.0])),
        };
        graph::evaluate(&mut counter, self, x, &told);
        counter.cost()
    }

    /// How many pixels of an image, along a direction, a pixel of the output depends on by convolutions alone: the receptive
    /// field. Normalisations and attention look at all of it.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn receptive_field(&self) -> usize {
        let told = match &self.body {
            Body::Blocks(_) => Told::Embedding(()),
            Body::Refine(network) => Told::Levels(network.levels(&[0.0])),
        };
        graph::evaluate(&mut Follower, self, Field::PIXEL, &told).pixels.ceil() as usize
    }
}
