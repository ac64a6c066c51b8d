//! The parameters of the network, by module paths that are their names, and how they are made.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::blocks::{DownBlock, MidBlock, Stage, UpBlock};
use super::config::{ConfigError, UNetConfig};
use super::song::Encoder;
use crate::nn::layers::modules::{Conv, Embedding, GroupNorm, Init, Initialiser, Linear};

/// The layers that embed times.
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    pub(super) linear_1: Linear,
    pub(super) linear_2: Linear,
}

/// Frequencies at which the noise level is told, drawn once and never trained.
#[derive(Module, Debug)]
pub struct Frequencies {
    pub(super) weight: Param<Tensor<1>>,
    /// The same numbers, for features are made beside the device.
    #[module(skip)]
    pub(super) numbers: Vec<f32>,
}

/// The network. Made by [`UNetConfig::init`], filled by [`UNet::load`].
#[derive(Module, Debug)]
pub struct UNet {
    pub(super) conv_in: Conv,
    pub(super) time_proj: Option<Frequencies>,
    pub(super) time_embedding: TimeEmbedding,
    pub(super) class_embedding: Option<Embedding>,
    pub(super) down_blocks: Vec<DownBlock>,
    pub(super) mid_block: MidBlock,
    pub(super) up_blocks: Vec<UpBlock>,
    pub(super) conv_norm_out: GroupNorm,
    pub(super) conv_out: Conv,
    #[module(skip)]
    pub(super) config: UNetConfig,
}

impl Frequencies {
    /// Standard deviation of the frequencies, as published.
    const SPREAD: f32 = 16.0;

    fn new(initialiser: &mut Initialiser, count: usize) -> Self {
        let (weight, numbers) = initialiser.drawn(count, Self::SPREAD);
        Self { weight, numbers }
    }
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
        let mut initialiser = Initialiser::new(seed, device, self.details().epsilon);
        let (channels, temb) = (self.channels, self.embedding_width());
        let time_proj = (self.feature_width() > channels).then(|| Frequencies::new(&mut initialiser, channels));
        let conv_in = Conv::new(&mut initialiser, [self.image_channels, channels], 3, Init::Fan);
        let time_embedding = TimeEmbedding {
            linear_1: Linear::new(&mut initialiser, self.feature_width(), temb, Init::Fan),
            linear_2: Linear::new(&mut initialiser, temb, temb, Init::Fan),
        };
        let rows = self.class_rows();
        let class_embedding = (rows > 0).then(|| Embedding::new(&mut initialiser, rows, self.class_width()));

        let widths = self.widths();
        let stage = |level: usize, inputs: Vec<usize>| Stage {
            inputs,
            outputs: widths[level],
            temb,
            dropout: self.dropout,
            attention: self.attention_levels.contains(&level),
            heads: self.heads_of(widths[level]),
            config: self,
        };
        let mut skips = vec![channels];
        let mut width = channels;
        let mut down_blocks = Vec::with_capacity(widths.len());
        for (level, &output) in widths.iter().enumerate() {
            let inputs = (0..self.layers).map(|layer| if layer == 0 { width } else { output }).collect();
            let last = level + 1 == widths.len();
            // The image itself above the first level, or what the level above made of it.
            let told =
                if level == 0 || self.progressive_input() == Some(Encoder::Skip) { self.image_channels } else { width };
            down_blocks.push(DownBlock::new(&mut initialiser, &stage(level, inputs), !last, told));
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
        let conv_norm_out = GroupNorm::new(&mut initialiser, width, self.groups_of(width));
        let conv_out = Conv::new(&mut initialiser, [width, self.output_channels()], 3, Init::Zeros);
        Ok(UNet {
            conv_in,
            time_proj,
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

    /// The device of the parameters.
    pub(super) fn device(&self) -> Device {
        self.conv_in.device()
    }
}
