//! Layers of a convolutional network over any way to compute them. A network's graph is written once, generic over
//! [`Layers`]; an interpreter is an implementation of it, and a layer that one of them lacks does not compile:
//!
//! | interpreter | computes with | in programs with |
//! |---|---|---|
//! | `cpu::Cpu` | the loops of [`super::cpu`], without derivatives | the feature `cpu` |
//! | `wgsl::Wgsl` | the shaders of `nn::shader`, without derivatives | the feature `gpu` |
//! | `operations::Operations` | Burn's tensor operations, with its automatic derivatives and in half precision | native ones |
//! | `nn::tape::Tape` | the loops of `nn::tape`, with written-out derivatives | the feature `cli` |
//! | [`cost::Counter`] | nothing: it counts | all |
//! | `reach::Follower` | nothing: it follows how far convolutions reach | native ones |
//!
//! What one of them computes in the same pass as a convolution, [`Fused`] says for all; the others do one after the other.

pub mod cost;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod interpreter;
pub mod modules;
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
pub mod operations;
#[cfg(not(target_arch = "wasm32"))]
pub mod reach;
#[cfg(feature = "cli")]
mod tape;
#[cfg(feature = "gpu")]
pub mod wgsl;

use burn::nn::Dropout;

use super::resampling::Resampling;
use modules::{Conv, Embedding, GroupNorm, InstanceNorm, Linear};

/// An interpreter of a convolutional network: one method for each kind of layer.
pub trait Layers: Sized {
    /// Feature maps, `[images, channels, height, width]`. Clones share their numbers.
    type Maps: Clone;
    /// Feature maps after a normalisation, which may be left to the layer that reads them.
    type Normed;
    /// Embeddings, `[1 or images, width]`: one row is that of all images. Clones share their numbers.
    type Rows: Clone;

    /// The rows of a table.
    fn embed(&mut self, table: &Embedding, indices: &[usize]) -> Self::Rows;

    /// `x W^T + b`.
    fn linear(&mut self, layer: &Linear, x: Self::Rows) -> Self::Rows;

    /// SiLU of [`Self::linear`] and, if there are any, other rows added to it.
    fn linear_silu(&mut self, layer: &Linear, x: Self::Rows, added: Option<Self::Rows>) -> Self::Rows;

    /// Group normalisation with the layer's scale and shift of each channel; then, if there is one, another scale (about 1)
    /// and shift of each channel, the two halves of `scale_shift` (FiLM, Perez et al. 2018); then SiLU if `silu`.
    fn norm(&mut self, layer: &GroupNorm, x: Self::Maps, scale_shift: Option<Self::Rows>, silu: bool) -> Self::Normed;

    /// Dropout in training; the same maps in an interpreter without derivatives, which trains nothing.
    fn dropout(&mut self, layer: &Dropout, x: Self::Normed) -> Self::Normed;

    /// A convolution, dilated or not, of the same height and width as what it reads.
    fn convolve(&mut self, layer: &Conv, fused: Fused<Self>) -> Self::Maps;

    /// A convolution at every second pixel in both directions, with rows and columns of zeros before and after.
    fn downsample(&mut self, layer: &Conv, x: Self::Maps, pad: (usize, usize)) -> Self::Maps;

    /// Queries, keys and values as products at every pixel, and what each head, to which consecutive channels belong, makes
    /// of its own at every pixel: `softmax(Q^T K / sqrt(channels of a head))` of its values (Vaswani et al. 2017).
    fn attend(&mut self, projections: [&Linear; 3], x: Self::Normed, heads: usize) -> Self::Maps;

    /// A product at every pixel, plus other maps of the result's shape if there are any.
    fn project(&mut self, layer: &Linear, x: Self::Maps, residual: Option<Self::Maps>) -> Self::Maps;

    /// The channels of one, then those of the other.
    fn concat(&mut self, a: Self::Maps, b: Self::Maps) -> Self::Maps;

    /// Maps of another height and width, each channel by itself.
    fn resample(&mut self, x: Source<Self>, how: Resampling) -> Self::Maps;

    /// `k x`, with one number for all images or one for each.
    fn scale(&mut self, x: Self::Maps, k: &[f32]) -> Self::Maps;

    /// The sum of two of one shape.
    fn add(&mut self, a: Self::Maps, b: Self::Maps) -> Self::Maps;

    /// Scales, shares of the channels' means and shifts of an instance normalisation, `[1 or images, 3 channels]`: those of
    /// the images' noise levels, or where there are none the same for all.
    fn scales(&mut self, layer: &InstanceNorm, levels: &[usize]) -> Self::Rows;

    /// Instance normalisation with the channels' means, `gamma (h + alpha m) + beta`: `h` is the map with mean 0 and variance
    /// 1, `m` its mean with mean 0 and (unbiased) variance 1 over the channels. Then ELU if `elu`.
    fn instance_norm(&mut self, x: Self::Maps, scales: Self::Rows, elu: bool) -> Self::Normed;

    /// ELU, `x` or where that is negative `exp(x) - 1` (Clevert et al. 2016).
    fn elu(&mut self, x: Self::Maps) -> Self::Maps;

    /// The largest number in a square of this odd side around every pixel, as far as it is within the image.
    fn largest(&mut self, x: Self::Maps, side: usize) -> Self::Maps;

    /// The sum of embeddings, one row or as many as the other has.
    fn add_rows(&mut self, a: Self::Rows, b: Self::Rows) -> Self::Rows;
}

/// A convolution's prologue and epilogue: what comes before and after it, for the interpreters that can in the same pass.
pub struct Fused<L: Layers> {
    /// What is read, after the prologue.
    pub source: Source<L>,
    /// The epilogue's first part: numbers to be added to the channels, `[1 or images, channels]`.
    pub shifts: Option<L::Rows>,
    /// The epilogue's second part: maps of the result's shape to be added.
    pub residual: Option<L::Maps>,
}

/// What a convolution reads.
pub enum Source<L: Layers> {
    /// Feature maps as they are.
    Plain(L::Maps),
    /// Feature maps after a normalisation.
    Normed(L::Normed),
    /// Feature maps with every pixel twice in both directions (nearest neighbour).
    Upsampled(L::Maps),
}

impl<L: Layers> From<Source<L>> for Fused<L> {
    /// Without epilogue.
    fn from(source: Source<L>) -> Self {
        Self { source, shifts: None, residual: None }
    }
}
