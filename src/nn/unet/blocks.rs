//! What a U-Net is made of: residual blocks, attention, and the levels of resolution, as modules whose paths are the
//! names of the parameters. How they are put together, [`super::graph`] says.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};

use super::config::Style;
use crate::nn::layers::modules::{Conv, GroupNorm, Init, Initialiser, Linear};

/// The numbers of one level on one side.
pub struct Stage {
    /// Channels that each residual block gets.
    pub inputs: Vec<usize>,
    /// Channels of the level.
    pub outputs: usize,
    /// Length of the embedding of time and class.
    pub temb: usize,
    /// Groups of the normalisations.
    pub groups: usize,
    /// Share dropped in training.
    pub dropout: f64,
    /// Whether attention follows each residual block.
    pub attention: bool,
    /// Heads of attention.
    pub heads: usize,
    /// Whose details.
    pub style: Style,
}

impl Stage {
    fn resnets(&self, initialiser: &mut Initialiser) -> Vec<Resnet> {
        self.inputs.iter().map(|&inputs| Resnet::new(initialiser, inputs, self)).collect()
    }

    fn attentions(&self, initialiser: &mut Initialiser, count: usize) -> Vec<Attention> {
        let count = if self.attention { count } else { 0 };
        (0..count).map(|_| Attention::new(initialiser, self.outputs, self)).collect()
    }
}

/// A residual block.
#[derive(Module, Debug)]
pub struct Resnet {
    pub(super) norm1: GroupNorm,
    pub(super) conv1: Conv,
    pub(super) time_emb_proj: Linear,
    pub(super) norm2: GroupNorm,
    pub(super) dropout: Dropout,
    pub(super) conv2: Conv,
    /// Where the channels differ.
    pub(super) conv_shortcut: Option<Conv>,
}

impl Resnet {
    fn new(initialiser: &mut Initialiser, inputs: usize, stage: &Stage) -> Self {
        let outputs = stage.outputs;
        let shifts = outputs * if stage.style == Style::Improved { 2 } else { 1 };
        Self {
            norm1: GroupNorm::new(initialiser, inputs, stage.groups),
            conv1: Conv::new(initialiser, [inputs, outputs], 3, Init::Fan),
            time_emb_proj: Linear::new(initialiser, stage.temb, shifts, Init::Fan),
            norm2: GroupNorm::new(initialiser, outputs, stage.groups),
            dropout: DropoutConfig::new(stage.dropout).init(),
            conv2: Conv::new(initialiser, [outputs, outputs], 3, Init::Zeros),
            conv_shortcut: (inputs != outputs).then(|| Conv::new(initialiser, [inputs, outputs], 1, Init::Fan)),
        }
    }
}

/// Self-attention of all pixels.
#[derive(Module, Debug)]
pub struct Attention {
    pub(super) group_norm: GroupNorm,
    pub(super) to_q: Linear,
    pub(super) to_k: Linear,
    pub(super) to_v: Linear,
    pub(super) to_out: Vec<Linear>,
    #[module(skip)]
    pub(super) heads: usize,
}

impl Attention {
    fn new(initialiser: &mut Initialiser, channels: usize, stage: &Stage) -> Self {
        let mut linear = |init| Linear::new(initialiser, channels, channels, init);
        let [to_q, to_k, to_v] = [(); 3].map(|()| linear(Init::Fan));
        let to_out = vec![linear(Init::Zeros)];
        let group_norm = GroupNorm::new(initialiser, channels, stage.groups);
        Self { group_norm, to_q, to_k, to_v, to_out, heads: stage.heads }
    }
}

/// A change of resolution.
#[derive(Module, Debug)]
pub struct Resample {
    pub(super) conv: Conv,
}

impl Resample {
    fn new(initialiser: &mut Initialiser, channels: usize) -> Self {
        Self { conv: Conv::new(initialiser, [channels, channels], 3, Init::Fan) }
    }
}

/// A level on the way down.
#[derive(Module, Debug)]
pub struct DownBlock {
    pub(super) resnets: Vec<Resnet>,
    pub(super) attentions: Vec<Attention>,
    pub(super) downsamplers: Vec<Resample>,
}

impl DownBlock {
    /// With a halving at its end, except at the lowest level.
    pub fn new(initialiser: &mut Initialiser, stage: &Stage, halves: bool) -> Self {
        Self {
            resnets: stage.resnets(initialiser),
            attentions: stage.attentions(initialiser, stage.inputs.len()),
            downsamplers: (0..usize::from(halves)).map(|_| Resample::new(initialiser, stage.outputs)).collect(),
        }
    }
}

/// The lowest level: residual block, attention, residual block.
#[derive(Module, Debug)]
pub struct MidBlock {
    pub(super) attentions: Vec<Attention>,
    pub(super) resnets: Vec<Resnet>,
}

impl MidBlock {
    /// With attention after the first of its two residual blocks.
    pub fn new(initialiser: &mut Initialiser, stage: &Stage) -> Self {
        Self { resnets: stage.resnets(initialiser), attentions: stage.attentions(initialiser, 1) }
    }
}

/// A level on the way up.
#[derive(Module, Debug)]
pub struct UpBlock {
    pub(super) resnets: Vec<Resnet>,
    pub(super) attentions: Vec<Attention>,
    pub(super) upsamplers: Vec<Resample>,
}

impl UpBlock {
    /// With a doubling at its end, except at full resolution.
    pub fn new(initialiser: &mut Initialiser, stage: &Stage, doubles: bool) -> Self {
        Self {
            resnets: stage.resnets(initialiser),
            attentions: stage.attentions(initialiser, stage.inputs.len()),
            upsamplers: (0..usize::from(doubles)).map(|_| Resample::new(initialiser, stage.outputs)).collect(),
        }
    }
}
