//! The receptive field of a network: an interpreter that follows how far its convolutions reach instead of computing. What
//! normalisations and attention look at is all of the image, and is not counted.

use burn::nn::Dropout;

use super::modules::{Conv, Embedding, GroupNorm, InstanceNorm, Linear};
use super::{Fused, Layers, Source};
use crate::nn::resampling::Resampling;

/// How many pixels of the image, along a direction, a number of feature maps depends on.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// How many.
    pub pixels: f64,
    /// Pixels of the image from one number to the next.
    pub step: f64,
}

impl Field {
    /// A pixel itself.
    pub const PIXEL: Self = Self { pixels: 1.0, step: 1.0 };

    /// After a sum over so many of its neighbours.
    fn wider(self, neighbours: usize) -> Self {
        Self { pixels: self.pixels + neighbours.saturating_sub(1) as f64 * self.step, ..self }
    }

    fn resampled(self, how: Resampling) -> Self {
        // Every interpreter computes with what a number in the middle of a long direction reads.
        let reach = how.reach(MIDDLE, MIDDLE);
        let wider = self.wider(reach.count);
        let step = self.step * MIDDLE as f64 / how.length(MIDDLE) as f64;
        // One more row changes no step.
        if matches!(how, Resampling::Blur(_)) { wider } else { Self { step, ..wider } }
    }

    fn both(self, other: Self) -> Self {
        Self { pixels: self.pixels.max(other.pixels), step: self.step }
    }
}

/// A place, and the length of a direction with it in it.
const MIDDLE: usize = 1 << 10;

/// The interpreter that follows.
#[derive(Debug, Default)]
pub struct Follower;

fn read(source: Source<Follower>) -> Field {
    match source {
        Source::Plain(x) | Source::Normed(x) => x,
        Source::Upsampled(x) => Field { step: x.step / 2.0, ..x },
    }
}

fn with(x: Field, residual: Option<Field>) -> Field {
    residual.map_or(x, |residual| x.both(residual))
}

impl Layers for Follower {
    type Maps = Field;
    type Normed = Field;
    type Rows = ();

    fn embed(&mut self, _: &Embedding, _: &[usize]) {}

    fn linear(&mut self, _: &Linear, (): ()) {}

    fn linear_silu(&mut self, _: &Linear, (): (), _: Option<()>) {}

    fn norm(&mut self, _: &GroupNorm, x: Field, _: Option<()>, _: bool) -> Field {
        x
    }

    fn dropout(&mut self, _: &Dropout, x: Field) -> Field {
        x
    }

    fn convolve(&mut self, layer: &Conv, fused: Fused<Self>) -> Field {
        with(read(fused.source).wider((layer.shape()[2] - 1) * layer.dilation + 1), fused.residual)
    }

    fn downsample(&mut self, layer: &Conv, x: Field, _: (usize, usize)) -> Field {
        let wider = x.wider(layer.shape()[2]);
        Field { step: 2.0 * wider.step, ..wider }
    }

    fn attend(&mut self, _: [&Linear; 3], x: Field, _: usize) -> Field {
        x
    }

    fn project(&mut self, _: &Linear, x: Field, residual: Option<Field>) -> Field {
        with(x, residual)
    }

    fn concat(&mut self, a: Field, b: Field) -> Field {
        a.both(b)
    }

    fn resample(&mut self, x: Source<Self>, how: Resampling) -> Field {
        read(x).resampled(how)
    }

    fn scale(&mut self, x: Field, _: &[f32]) -> Field {
        x
    }

    fn add(&mut self, a: Field, b: Field) -> Field {
        a.both(b)
    }

    fn scales(&mut self, _: &InstanceNorm, _: &[usize]) {}

    fn instance_norm(&mut self, x: Field, (): (), _: bool) -> Field {
        x
    }

    fn elu(&mut self, x: Field) -> Field {
        x
    }

    fn largest(&mut self, x: Field, side: usize) -> Field {
        x.wider(side)
    }

    fn add_rows(&mut self, (): (), (): ()) {}
}
