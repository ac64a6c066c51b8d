//! What a U-Net is made of: residual blocks, attention, and the levels of resolution.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::Tensor;

use super::Style;
use super::layers::{Conv, GroupNorm, Init, Initialiser, Linear, add, add_to_channels, attend, stack};
use crate::nn::cpu;
#[cfg(feature = "gpu")]
use crate::nn::shader::Around;
#[cfg(feature = "cli")]
use crate::nn::tape::{Plus, Tape, Value};

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

/// Norm, SiLU, convolution, plus the embedding; norm, SiLU, dropout, convolution; plus what came in. Improved DDPM's
/// embedding is a scale and a shift after the second norm instead. Dropout acts on
/// devices with automatic differentiation only, and its noise is the device's: it belongs to training, which no link
/// reproduces bit by bit.
#[derive(Module, Debug)]
pub struct Resnet {
    norm1: GroupNorm,
    conv1: Conv,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    dropout: Dropout,
    conv2: Conv,
    conv_shortcut: Option<Conv>,
    #[module(skip)]
    style: Style,
}

impl Resnet {
    fn new(initialiser: &mut Initialiser, inputs: usize, stage: &Stage) -> Self {
        let outputs = stage.outputs;
        let scale_shift = outputs * if stage.style == Style::Improved { 2 } else { 1 };
        Self {
            norm1: GroupNorm::new(initialiser, inputs, stage.groups),
            conv1: Conv::new(initialiser, [inputs, outputs], 3, Init::Fan),
            time_emb_proj: Linear::new(initialiser, stage.temb, scale_shift, Init::Fan),
            norm2: GroupNorm::new(initialiser, outputs, stage.groups),
            dropout: DropoutConfig::new(stage.dropout).init(),
            conv2: Conv::new(initialiser, [outputs, outputs], 3, Init::Zeros),
            conv_shortcut: (inputs != outputs).then(|| Conv::new(initialiser, [inputs, outputs], 1, Init::Fan)),
            style: stage.style,
        }
    }

    fn forward(&self, x: Tensor<4>, temb: &Tensor<2>) -> Tensor<4> {
        #[cfg(feature = "gpu")]
        if self.conv1.in_shaders(&x) {
            return self.forward_in_shaders(x, temb);
        }
        let h = self.conv1.forward(self.norm1.forward_silu(x.clone()));
        let scale_shift = self.time_emb_proj.forward(temb.clone());
        let h = match self.style {
            Style::Ddpm => self.norm2.forward_silu(add_to_channels(h, scale_shift)),
            Style::Improved => self.norm2.forward_scale_shift(h, scale_shift),
        };
        let h = if !cpu::ONLY && h.device().is_autodiff() { self.dropout.forward(h) } else { h };
        let h = self.conv2.forward(h);
        match &self.conv_shortcut {
            Some(shortcut) => add(h, shortcut.forward(x)),
            None => add(h, x),
        }
    }
}

#[cfg(feature = "gpu")]
impl Resnet {
    /// [`Self::forward`] in five passes, or six.
    fn forward_in_shaders(&self, x: Tensor<4>, temb: &Tensor<2>) -> Tensor<4> {
        let scale_shift = self.time_emb_proj.forward(temb.clone());
        let (shifts, scale_shift) = match self.style {
            Style::Ddpm => (Some(scale_shift), None),
            Style::Improved => (None, Some(scale_shift)),
        };
        let normed = Some((self.norm1.scales(x.clone(), None), true));
        let h = self.conv1.forward_around(x.clone(), Around { normed, shifts, ..Around::default() });
        let normed = Some((self.norm2.scales(h.clone(), scale_shift), true));
        let rest = Some(match &self.conv_shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        });
        self.conv2.forward_around(h, Around { normed, rest, ..Around::default() })
    }
}

#[cfg(feature = "gpu")]
impl Attention {
    /// [`Self::forward`] in six passes.
    fn forward_in_shaders(&self, x: Tensor<4>) -> Tensor<4> {
        let [images, channels, height, width] = x.dims();
        let flat = [images, channels, height * width];
        let y = x.clone().reshape(flat);
        let scales = self.group_norm.scales(x.clone(), None);
        let product = |layer: &Linear, k: f64| {
            let normed = Some((scales.clone(), false));
            layer.forward_around(y.clone(), k, Around { normed, ..Around::default() }).reshape(flat)
        };
        let query = product(&self.to_q, ((channels / self.heads) as f64).powf(-0.5));
        let mut y = attend(query, product(&self.to_k, 1.0), product(&self.to_v, 1.0), self.heads);
        let last = self.to_out.len() - 1;
        for (index, layer) in self.to_out.iter().enumerate() {
            let rest = (index == last).then(|| x.clone().reshape([images, channels, 1, height * width]));
            y = layer.forward_around(y, 1.0, Around { rest, ..Around::default() }).reshape(flat);
        }
        y.reshape([images, channels, height, width])
    }
}

#[cfg(feature = "cli")]
impl Resnet {
    /// [`Self::forward`] on a tape, in Ho et al.'s style and without dropout.
    fn trace(&self, tape: &mut Tape, x: &Value, temb: &Value) -> Value {
        let h = self.norm1.trace(tape, x, true);
        let scale_shift = self.time_emb_proj.trace(tape, temb);
        let h = self.conv1.trace(tape, &h, Plus { shifts: Some(&scale_shift), rest: None });
        let h = self.norm2.trace(tape, &h, true);
        let x = self.conv_shortcut.as_ref().map_or_else(|| x.clone(), |layer| layer.trace(tape, x, Plus::default()));
        self.conv2.trace(tape, &h, Plus { shifts: None, rest: Some(&x) })
    }
}

#[cfg(feature = "cli")]
impl Attention {
    fn trace(&self, tape: &mut Tape, x: &Value) -> Value {
        let y = self.group_norm.trace(tape, x, false);
        let [query, key, value] =
            [&self.to_q, &self.to_k, &self.to_v].map(|layer| layer.trace_pixels(tape, &y, Plus::default()));
        let mut y = tape.attend([&query, &key, &value], self.heads);
        for (index, layer) in self.to_out.iter().enumerate() {
            let rest = (index + 1 == self.to_out.len()).then_some(x);
            y = layer.trace_pixels(tape, &y, Plus { shifts: None, rest });
        }
        y
    }
}

#[cfg(feature = "cli")]
impl DownBlock {
    /// [`Self::forward`] on a tape.
    pub fn trace(&self, tape: &mut Tape, mut h: Value, temb: &Value, skips: &mut Vec<Value>) -> Value {
        for (index, resnet) in self.resnets.iter().enumerate() {
            h = resnet.trace(tape, &h, temb);
            if let Some(attention) = self.attentions.get(index) {
                h = attention.trace(tape, &h);
            }
            skips.push(h.clone());
        }
        for downsampler in &self.downsamplers {
            h = downsampler.conv.trace_halving(tape, &h);
            skips.push(h.clone());
        }
        h
    }
}

#[cfg(feature = "cli")]
impl MidBlock {
    /// [`Self::forward`] on a tape.
    pub fn trace(&self, tape: &mut Tape, mut h: Value, temb: &Value) -> Value {
        for (index, resnet) in self.resnets.iter().enumerate() {
            h = resnet.trace(tape, &h, temb);
            if let Some(attention) = self.attentions.get(index) {
                h = attention.trace(tape, &h);
            }
        }
        h
    }
}

#[cfg(feature = "cli")]
impl UpBlock {
    /// [`Self::forward`] on a tape.
    pub fn trace(&self, tape: &mut Tape, mut h: Value, temb: &Value, skips: &mut Vec<Value>) -> Value {
        for (index, resnet) in self.resnets.iter().enumerate() {
            if let Some(skip) = skips.pop() {
                h = tape.stack(&h, &skip);
            }
            h = resnet.trace(tape, &h, temb);
            if let Some(attention) = self.attentions.get(index) {
                h = attention.trace(tape, &h);
            }
        }
        for upsampler in &self.upsamplers {
            h = tape.double(&h);
            h = upsampler.conv.trace(tape, &h, Plus::default());
        }
        h
    }
}

/// Every pixel looks at every other (Vaswani et al. 2017). Channels stay before pixels throughout; each head has some of
/// them.
#[derive(Module, Debug)]
pub struct Attention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Vec<Linear>,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    fn new(initialiser: &mut Initialiser, channels: usize, stage: &Stage) -> Self {
        let mut linear = |init| Linear::new(initialiser, channels, channels, init);
        let [to_q, to_k, to_v] = [(); 3].map(|()| linear(Init::Fan));
        let to_out = vec![linear(Init::Zeros)];
        let group_norm = GroupNorm::new(initialiser, channels, stage.groups);
        Self { group_norm, to_q, to_k, to_v, to_out, heads: stage.heads }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        #[cfg(feature = "gpu")]
        if self.to_q.in_shaders(&x) {
            return self.forward_in_shaders(x);
        }
        let [images, channels, height, width] = x.dims();
        let y = self.group_norm.forward(x.clone()).reshape([images, channels, height * width]);
        let share = channels / self.heads;
        let query = self.to_q.forward_pixels(y.clone(), (share as f64).powf(-0.5));
        let key = self.to_k.forward_pixels(y.clone(), 1.0);
        let mut y = attend(query, key, self.to_v.forward_pixels(y, 1.0), self.heads);
        for layer in &self.to_out {
            y = layer.forward_pixels(y, 1.0);
        }
        add(x, y.reshape([images, channels, height, width]))
    }
}

/// A change of resolution.
#[derive(Module, Debug)]
pub struct Resample {
    conv: Conv,
}

impl Resample {
    fn new(initialiser: &mut Initialiser, channels: usize) -> Self {
        Self { conv: Conv::new(initialiser, [channels, channels], 3, Init::Fan) }
    }

    fn double(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward_doubled(x)
    }
}

/// A level on the way down.
#[derive(Module, Debug)]
pub struct DownBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<Attention>,
    downsamplers: Vec<Resample>,
    #[module(skip)]
    style: Style,
}

impl DownBlock {
    /// With a halving at its end, except at the lowest level.
    pub fn new(initialiser: &mut Initialiser, stage: &Stage, halves: bool) -> Self {
        Self {
            resnets: stage.resnets(initialiser),
            attentions: stage.attentions(initialiser, stage.inputs.len()),
            downsamplers: (0..usize::from(halves)).map(|_| Resample::new(initialiser, stage.outputs)).collect(),
            style: stage.style,
        }
    }

    /// Leaves every intermediate result in `skips`.
    pub fn forward(&self, mut h: Tensor<4>, temb: &Tensor<2>, skips: &mut Vec<Tensor<4>>) -> Tensor<4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            h = resnet.forward(h, temb);
            if let Some(attention) = self.attentions.get(index) {
                h = attention.forward(h);
            }
            skips.push(h.clone());
        }
        for downsampler in &self.downsamplers {
            h = downsampler.conv.forward_halving(h, self.style);
            skips.push(h.clone());
        }
        h
    }
}

/// The lowest level: residual block, attention, residual block.
#[derive(Module, Debug)]
pub struct MidBlock {
    attentions: Vec<Attention>,
    resnets: Vec<Resnet>,
}

impl MidBlock {
    /// With attention after the first of its two residual blocks.
    pub fn new(initialiser: &mut Initialiser, stage: &Stage) -> Self {
        Self { resnets: stage.resnets(initialiser), attentions: stage.attentions(initialiser, 1) }
    }

    /// The same shape.
    pub fn forward(&self, mut h: Tensor<4>, temb: &Tensor<2>) -> Tensor<4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            h = resnet.forward(h, temb);
            if let Some(attention) = self.attentions.get(index) {
                h = attention.forward(h);
            }
        }
        h
    }
}

/// A level on the way up.
#[derive(Module, Debug)]
pub struct UpBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<Attention>,
    upsamplers: Vec<Resample>,
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

    /// Takes from `skips` what the way down left there, last first.
    pub fn forward(&self, mut h: Tensor<4>, temb: &Tensor<2>, skips: &mut Vec<Tensor<4>>) -> Tensor<4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            if let Some(skip) = skips.pop() {
                h = stack(h, skip);
            }
            h = resnet.forward(h, temb);
            if let Some(attention) = self.attentions.get(index) {
                h = attention.forward(h);
            }
        }
        for upsampler in &self.upsamplers {
            h = upsampler.double(h);
        }
        h
    }
}
