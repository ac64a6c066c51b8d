//! The parameters of the network, by module paths that are their names, and how they are made.

use burn::module::Module;
use burn::tensor::Device;

use super::blocks::{DownBlock, MidBlock, Stage, UpBlock};
use super::config::{ConfigError, Style, UNetConfig};
use super::refine_net::RefineNet;
use super::song::Encoder;
use super::table::Table;
use crate::nn::layers::modules::{Conv, Embedding, GroupNorm, Init, Initialiser, Linear};

/// The layers that embed times.
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    pub(super) linear_1: Linear,
    pub(super) linear_2: Linear,
}

/// The network. Made by [`UNetConfig::init`], filled by [`UNet::load`].
#[derive(Module, Debug)]
pub struct UNet {
    pub(super) body: Body,
    #[module(skip)]
    pub(super) config: UNetConfig,
}

/// The layers of a network, which differ in more than details.
#[allow(clippy::large_enum_variant, reason = "a network has one of them; and the derivation of modules knows no boxes")]
#[derive(Module, Debug)]
pub enum Body {
    /// Of Ho et al.'s, Nichol and Dhariwal's and Song et al.'s.
    Blocks(Blocks),
    /// Of Song and Ermon's.
    Refine(RefineNet),
}

/// How many modules are around the layers: the field and the variant of [`Body`], which no parameter is named after.
pub(super) const AROUND: usize = 2;

/// Residual blocks and attention on levels of resolution.
#[derive(Module, Debug)]
pub struct Blocks {
    pub(super) conv_in: Conv,
    pub(super) time_proj: Option<Table>,
    pub(super) time_embedding: TimeEmbedding,
    pub(super) class_embedding: Option<Embedding>,
    pub(super) down_blocks: Vec<DownBlock>,
    pub(super) mid_block: MidBlock,
    pub(super) up_blocks: Vec<UpBlock>,
    pub(super) conv_norm_out: GroupNorm,
    pub(super) conv_out: Conv,
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
        if let Style::Refine(refine) = self.style {
            let body = Body::Refine(RefineNet::new(self, refine, seed, device));
            return Ok(UNet { body, config: self.clone() });
        }
        let mut initialiser = Initialiser::new(seed, device, self.details().epsilon);
        let (channels, temb) = (self.channels, self.embedding_width());
        let time_proj = (self.feature_width() > channels).then(|| Table::frequencies(&mut initialiser, channels));
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
        let body = Body::Blocks(Blocks {
            conv_in,
            time_proj,
            time_embedding,
            class_embedding,
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out,
            conv_out,
        });
        Ok(UNet { body, config: self.clone() })
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
        self.first().device()
    }

    /// The layer that sees the images.
    pub(super) fn first(&self) -> &Conv {
        match &self.body {
            Body::Blocks(blocks) => &blocks.conv_in,
            Body::Refine(network) => &network.begin_conv,
        }
    }

    /// Numbers that are never trained, if there are any.
    pub(super) fn table(&mut self) -> Option<&mut Table> {
        match &mut self.body {
            Body::Blocks(blocks) => blocks.time_proj.as_mut(),
            Body::Refine(network) => network.sigmas.as_mut(),
        }
    }
}
