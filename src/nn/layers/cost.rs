//! The cost of an evaluation: an interpreter that counts instead of computing.

use burn::nn::Dropout;

use super::modules::{Conv, Embedding, GroupNorm, InstanceNorm, Linear};
use super::{Fused, Layers, Source};
use crate::nn::resampling::Resampling;

/// What one evaluation of one image costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications, each with an addition.
    pub products: u64,
    /// Most bytes of single-precision numbers that are needed at once, about: the maps that are kept to be concatenated,
    /// and the copies that the widest layer makes.
    pub bytes: u64,
    /// Bytes of the largest single tensor.
    pub largest: u64,
}

/// Copies of its input that a layer may make.
const COPIES: u64 = 6;
/// What products of matrices and convolutions keep to work in, whatever their size.
const BUFFERS: u64 = 4 << 20;

/// The size of feature maps of one image.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many maps.
    pub channels: usize,
    /// Height and width of each.
    pub side: usize,
}

impl Size {
    fn pixels(self) -> u64 {
        (self.side as u64).pow(2)
    }

    fn bytes(self) -> u64 {
        4 * self.channels as u64 * self.pixels()
    }
}

/// The interpreter that counts: feature maps are their size, rows their length.
#[derive(Debug, Default)]
pub struct Counter {
    products: u64,
    largest: u64,
    /// Bytes of the maps that were kept to be concatenated with later ones.
    kept: u64,
}

impl Counter {
    /// What was counted.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let bytes = self.kept + COPIES * self.largest + BUFFERS;
        Cost { products: self.products, bytes, largest: self.largest }
    }

    /// A matrix at every pixel.
    fn product(&mut self, layer: &Linear, x: Size) -> Size {
        let [outputs, inputs] = layer.shape();
        self.layer([inputs, outputs], 1, x)
    }

    /// A convolution to maps of this height and width.
    fn convolution(&mut self, layer: &Conv, x: Size, side: usize) -> Size {
        let [outputs, inputs, kernel, _] = layer.shape();
        self.layer([inputs, outputs], kernel, Size { side, ..x })
    }

    fn layer(&mut self, [inputs, outputs]: [usize; 2], kernel: usize, x: Size) -> Size {
        debug_assert_eq!(inputs, x.channels, "the graph gives a layer the channels that it was made for");
        let result = Size { channels: outputs, ..x };
        self.products += inputs as u64 * outputs as u64 * (kernel as u64).pow(2) * x.pixels();
        self.largest = self.largest.max(x.bytes()).max(result.bytes());
        result
    }
}

fn read(source: &Source<Counter>) -> Size {
    match source {
        Source::Plain(x) | Source::Normed(x) => *x,
        Source::Upsampled(x) => Size { side: 2 * x.side, ..*x },
    }
}

impl Layers for Counter {
    type Maps = Size;
    type Normed = Size;
    type Rows = usize;

    fn embed(&mut self, table: &Embedding, _: &[usize]) -> usize {
        table.shape()[1]
    }

    fn linear(&mut self, layer: &Linear, x: usize) -> usize {
        self.product(layer, Size { channels: x, side: 1 }).channels
    }

    fn linear_silu(&mut self, layer: &Linear, x: usize, _: Option<usize>) -> usize {
        self.linear(layer, x)
    }

    fn norm(&mut self, _: &GroupNorm, x: Size, _: Option<usize>, _: bool) -> Size {
        x
    }

    fn dropout(&mut self, _: &Dropout, x: Size) -> Size {
        x
    }

    fn convolve(&mut self, layer: &Conv, fused: Fused<Self>) -> Size {
        let x = read(&fused.source);
        self.convolution(layer, x, x.side)
    }

    fn downsample(&mut self, layer: &Conv, x: Size, pad: (usize, usize)) -> Size {
        self.convolution(layer, x, (x.side + pad.0 + pad.1).saturating_sub(layer.shape()[2]) / 2 + 1)
    }

    fn attend(&mut self, projections: [&Linear; 3], x: Size, _: usize) -> Size {
        let [_, _, value] = projections.map(|layer| self.product(layer, x));
        // Scores of every pixel for every other, and their products with the values.
        self.products += 2 * value.channels as u64 * x.pixels().pow(2);
        self.largest = self.largest.max(4 * x.pixels().pow(2));
        value
    }

    fn project(&mut self, layer: &Linear, x: Size, _: Option<Size>) -> Size {
        self.product(layer, x)
    }

    fn concat(&mut self, a: Size, b: Size) -> Size {
        self.kept += b.bytes();
        Size { channels: a.channels + b.channels, ..b }
    }

    /// A few products a number, as those of normalisations are: not counted.
    fn resample(&mut self, x: Source<Self>, how: Resampling) -> Size {
        let x = read(&x);
        let result = Size { side: how.length(x.side), ..x };
        self.largest = self.largest.max(x.bytes()).max(result.bytes());
        result
    }

    fn scale(&mut self, x: Size, _: &[f32]) -> Size {
        x
    }

    fn scales(&mut self, layer: &InstanceNorm, _: &[usize]) -> usize {
        layer.embed.as_ref().map_or_else(|| 3 * layer.vectors()[0].lazy_shape()[0], |table| table.shape()[1])
    }

    fn instance_norm(&mut self, x: Size, _: usize, _: bool) -> Size {
        x
    }

    fn elu(&mut self, x: Size) -> Size {
        x
    }

    fn largest(&mut self, x: Size, _: usize) -> Size {
        x
    }

    fn add(&mut self, a: Size, _: Size) -> Size {
        a
    }

    fn add_rows(&mut self, a: usize, _: usize) -> usize {
        a
    }
}
