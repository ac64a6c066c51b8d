//! The U-Net of Ho et al. 2020 (arXiv 2006.11239): the network behind DDPM, DDIM and, with Karras et al.'s scaling
//! around it, EDM's training of the same graph.
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
mod cost;
#[cfg(not(target_arch = "wasm32"))]
mod gradients;
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
mod half;
mod layers;
mod parameters;
mod time;
#[cfg(feature = "cli")]
mod trace;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use thiserror::Error;

use crate::nn::cpu;

use blocks::{DownBlock, MidBlock, Stage, UpBlock};
use layers::{Conv, Embedding, GroupNorm, Init, Initialiser, Linear, full};

pub use config::{ConfigError, Style, UNetConfig};
pub use cost::Cost;
pub use parameters::Parameter;
pub use time::time_features;

/// Reason why a network has no embedding of these times and labels.
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
}

/// Condition of a network beside the image: the activated embedding of times and classes, `[1 or images, 4 channels]`.
#[derive(Clone, Debug)]
pub struct Condition(Tensor<2>);

#[derive(Module, Debug)]
struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

/// The network. Made by [`UNetConfig::init`], filled by [`UNet::load`].
#[derive(Module, Debug)]
pub struct UNet {
    conv_in: Conv,
    time_embedding: TimeEmbedding,
    class_embedding: Option<Embedding>,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv,
    #[module(skip)]
    config: UNetConfig,
}

impl UNetConfig {
    /// The network with initial parameters that depend on the seed only, made when they are first used: convolutions
    /// and matrices uniform within `1 / sqrt(inputs)`, and zero where a residual branch or the network ends (Ho et al.
    /// 2020 start these at 1e-10), so that every block starts as the identity.
    ///
    /// # Errors
    /// A [`ConfigError`] when there is no such network.
    pub fn init(&self, seed: u32, device: &Device) -> Result<UNet, ConfigError> {
        self.validate()?;
        let mut initialiser = Initialiser::new(seed, device, self.style);
        let (channels, temb) = (self.channels, self.embedding_width());
        let conv_in = Conv::new(&mut initialiser, [self.image_channels, channels], 3, Init::Fan);
        let time_embedding = TimeEmbedding {
            linear_1: Linear::new(&mut initialiser, channels, temb, Init::Fan),
            linear_2: Linear::new(&mut initialiser, temb, temb, Init::Fan),
        };
        let class_embedding = (self.classes > 0).then(|| Embedding::new(&mut initialiser, self.classes + 1, temb));

        let widths = self.widths();
        let stage = |level: usize, inputs: Vec<usize>| Stage {
            inputs,
            outputs: widths[level],
            temb,
            groups: self.groups,
            dropout: self.dropout,
            attention: self.attention_levels.contains(&level),
            heads: self.heads,
            style: self.style,
        };
        let mut skips = vec![channels];
        let mut width = channels;
        let mut down_blocks = Vec::with_capacity(widths.len());
        for (level, &output) in widths.iter().enumerate() {
            let inputs = (0..self.layers).map(|layer| if layer == 0 { width } else { output }).collect();
            let last = level + 1 == widths.len();
            down_blocks.push(DownBlock::new(&mut initialiser, &stage(level, inputs), !last));
            skips.extend(std::iter::repeat_n(output, self.layers + usize::from(!last)));
            width = output;
        }
        let mid_block =
            MidBlock::new(&mut initialiser, &Stage { attention: true, ..stage(widths.len() - 1, vec![width; 2]) });
        let mut up_blocks = Vec::with_capacity(widths.len());
        for (level, &output) in widths.iter().enumerate().rev() {
            let mut inputs = Vec::with_capacity(self.layers + 1);
            for _ in 0..=self.layers {
                // As many were laid down as are taken up: `layers` and one at each level.
                inputs.push(width + skips.pop().unwrap_or(0));
                width = output;
            }
            up_blocks.push(UpBlock::new(&mut initialiser, &stage(level, inputs), level > 0));
        }
        let conv_norm_out = GroupNorm::new(&mut initialiser, width, self.groups);
        let conv_out = Conv::new(&mut initialiser, [width, self.output_channels()], 3, Init::Zeros);
        Ok(UNet {
            conv_in,
            time_embedding,
            class_embedding,
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out,
            conv_out,
            config: self.clone(),
        })
    }
}

impl UNet {
    /// The shape of the network.
    #[must_use]
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    fn device(&self) -> Device {
        self.conv_in.device()
    }

    /// The embedding of times, in the units the network was trained with (0 to 999 for Ho et al.), and of classes,
    /// `None` meaning no class. Each list has one entry for all images or one for each; no labels mean no class.
    ///
    /// # Errors
    /// A [`ConditionError`] when the lists do not belong together or there is no such class.
    pub fn condition(&self, times: &[f64], labels: &[Option<usize>]) -> Result<Condition, ConditionError> {
        self.check(times, labels)?;
        let classes = self.config.classes;
        let features = time_features(times, self.config.channels, self.config.style);
        let features = cpu::tensor(features, [times.len(), self.config.channels], &self.device());
        let classes_told = self.class_embedding.as_ref().map(|table| {
            let labels = if labels.is_empty() { &[None] } else { labels };
            let rows: Vec<i32> = labels.iter().map(|label| label.unwrap_or(classes) as i32).collect();
            table.forward(&rows)
        });
        let hidden = self.time_embedding.linear_1.forward_activated(features, None);
        // Every block begins by activating it, so it is done once.
        Ok(Condition(self.time_embedding.linear_2.forward_activated(hidden, classes_told)))
    }

    fn check(&self, times: &[f64], labels: &[Option<usize>]) -> Result<(), ConditionError> {
        let together = times.len() == labels.len() || times.len() == 1 || labels.len() <= 1;
        if times.is_empty() || !together {
            return Err(ConditionError::Count { times: times.len(), labels: labels.len() });
        }
        let classes = self.config.classes;
        match labels.iter().flatten().find(|label| **label >= classes) {
            Some(&found) => Err(ConditionError::Class { found, classes }),
            None => Ok(()),
        }
    }

    /// The output for noisy images `x`, `[images, image_channels, height, width]`: the same shape, or with twice the
    /// channels where the variance is learned too (Nichol and Dhariwal 2021).
    ///
    /// # Panics
    /// When height or width is not a multiple of [`UNetConfig::size_multiple`], the channels are not the network's, or
    /// the condition is for another number of images.
    #[must_use]
    pub fn forward(&self, x: Tensor<4>, condition: &Condition) -> Tensor<4> {
        let temb = &condition.0;
        let mut h = self.conv_in.forward(x);
        let mut skips = vec![h.clone()];
        for block in &self.down_blocks {
            h = block.forward(h, temb, &mut skips);
        }
        h = self.mid_block.forward(h, temb);
        for block in &self.up_blocks {
            h = block.forward(h, temb, &mut skips);
        }
        full(self.conv_out.forward_after(&self.conv_norm_out, h))
    }
}
