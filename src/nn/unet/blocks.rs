//! What a U-Net is made of: residual blocks, attention, and the levels of resolution, as modules whose paths are the
//! names of the parameters. How they are put together, [`super::graph`] says.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};

use super::config::{Style, UNetConfig};
use super::song::Encoder;
use crate::nn::layers::modules::{Conv, GroupNorm, Init, Initialiser, Linear};

/// The numbers of one level on one side.
pub struct Stage<'a> {
    /// Channels that each residual block gets.
    pub inputs: Vec<usize>,
    /// Channels of the level.
    pub outputs: usize,
    /// Length of the embedding of time and class.
    pub temb: usize,
    /// Share dropped in training.
    pub dropout: f64,
    /// Whether attention follows each residual block.
    pub attention: bool,
    /// Heads of attention.
    pub heads: usize,
    /// The shape of the whole.
    pub config: &'a UNetConfig,
}

impl Stage<'_> {
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
        Self::of(initialiser, inputs, stage, inputs != stage.outputs)
    }

    /// One that halves or doubles, whose shortcut always has a product.
    fn resampling(initialiser: &mut Initialiser, stage: &Stage) -> Self {
        Self::of(initialiser, stage.outputs, stage, true)
    }

    fn of(initialiser: &mut Initialiser, inputs: usize, stage: &Stage, shortcut: bool) -> Self {
        let outputs = stage.outputs;
        let shifts = outputs * if stage.config.style == Style::Improved { 2 } else { 1 };
        Self {
            norm1: GroupNorm::new(initialiser, inputs, stage.config.groups_of(inputs)),
            conv1: Conv::new(initialiser, [inputs, outputs], 3, Init::Fan),
            time_emb_proj: Linear::new(initialiser, stage.temb, shifts, Init::Fan),
            norm2: GroupNorm::new(initialiser, outputs, stage.config.groups_of(outputs)),
            dropout: DropoutConfig::new(stage.dropout).init(),
            conv2: Conv::new(initialiser, [outputs, outputs], 3, Init::Zeros),
            conv_shortcut: shortcut.then(|| Conv::new(initialiser, [inputs, outputs], 1, Init::Fan)),
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
        let group_norm = GroupNorm::new(initialiser, channels, stage.config.groups_of(channels));
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
    /// In Song et al.'s networks what halves instead.
    pub(super) resnet_down: Option<Resnet>,
    /// What the halved image, or what came of it, becomes before it is added.
    pub(super) skip_conv: Option<Conv>,
}

impl DownBlock {
    /// With a halving at its end, except at the lowest level. `told`: channels of what it is told of the image.
    pub fn new(initialiser: &mut Initialiser, stage: &Stage, halves: bool, told: usize) -> Self {
        let song = stage.config.style.song().is_some();
        let resnets = stage.resnets(initialiser);
        let attentions = stage.attentions(initialiser, stage.inputs.len());
        let convolutions = usize::from(halves && !song);
        let downsamplers = (0..convolutions).map(|_| Resample::new(initialiser, stage.outputs)).collect();
        let resnet_down = (halves && song).then(|| Resnet::resampling(initialiser, stage));
        let side = if stage.config.progressive_input() == Some(Encoder::Residual) { 3 } else { 1 };
        let skip_conv = (halves && stage.config.progressive_input().is_some())
            .then(|| Conv::new(initialiser, [told, stage.outputs], side, Init::Fan));
        Self { resnets, attentions, downsamplers, resnet_down, skip_conv }
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
    /// In Song et al.'s networks what doubles instead.
    pub(super) resnet_up: Option<Resnet>,
    /// The level's part of the output, where that is a sum over levels.
    pub(super) skip_norm: Option<GroupNorm>,
    pub(super) skip_conv: Option<Conv>,
}

impl UpBlock {
    /// With a doubling at its end, except at full resolution.
    pub fn new(initialiser: &mut Initialiser, stage: &Stage, doubles: bool) -> Self {
        let (song, channels) = (stage.config.style.song().is_some(), stage.outputs);
        let resnets = stage.resnets(initialiser);
        let attentions = stage.attentions(initialiser, if song { 1 } else { stage.inputs.len() });
        let convolutions = usize::from(doubles && !song);
        let upsamplers = (0..convolutions).map(|_| Resample::new(initialiser, channels)).collect();
        let resnet_up = (doubles && song).then(|| Resnet::resampling(initialiser, stage));
        // At full resolution it is the network's own end.
        let part = doubles && stage.config.sums_levels();
        let skip_norm = part.then(|| GroupNorm::new(initialiser, channels, stage.config.groups_of(channels)));
        let outputs = stage.config.output_channels();
        let skip_conv = part.then(|| Conv::new(initialiser, [channels, outputs], 3, Init::Zeros));
        Self { resnets, attentions, upsamplers, resnet_up, skip_norm, skip_conv }
    }
}
