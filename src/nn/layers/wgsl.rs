//! The interpreter of WebGPU: the shaders of [`crate::nn::shader`], without derivatives. A normalisation and SiLU, a
//! doubling, shifts and residuals are in the pass of the convolution or product that they surround.

use burn::nn::Dropout;
use burn::tensor::{FloatDType, Tensor};

use super::modules::{Conv, Embedding, GroupNorm, INSTANCE_EPSILON, InstanceNorm, Linear};
use super::{Fused, Layers, Source, operations};
use crate::nn::resampling::Resampling;
use crate::nn::shader::{self, Movement, Then};

/// The interpreter of WebGPU.
#[derive(Clone, Copy, Debug)]
pub struct Wgsl;

/// Feature maps and what a normalisation makes of them, which is computed by who reads them.
#[derive(Debug)]
pub struct Normed {
    x: Tensor<4>,
    /// See [`shader::normalisation`].
    affine: Tensor<3>,
    then: Then,
}

fn convolve(layer: &Conv, x: Tensor<4>, moved: Movement, fused: shader::Fused) -> Tensor<4> {
    let (weight, bias) = (layer.weight.val(), layer.shifts());
    let bias = if bias.dtype() == weight.dtype() { bias } else { bias.cast(FloatDType::from(weight.dtype())) };
    shader::convolve(x, weight, bias, moved, fused)
}

/// A matrix at every pixel, times `k`.
fn product(layer: &Linear, x: Tensor<4>, k: f64, fused: shader::Fused) -> Tensor<4> {
    let ([images, channels, height, width], [outputs, _]) = (x.dims(), layer.shape());
    let x = x.reshape([images, channels, height * width]);
    let y = shader::linear_pixels(x, layer.weight.val(), layer.bias.val(), k, fused);
    y.reshape([images, outputs, height, width])
}

/// Maps, the normalisation that whoever reads them does, and whether every pixel is read twice in both directions.
fn parts(source: Source<Wgsl>) -> (Tensor<4>, Option<(Tensor<3>, Then)>, bool) {
    match source {
        Source::Plain(x) => (x, None, false),
        Source::Normed(Normed { x, affine, then }) => (x, Some((affine, then)), false),
        Source::Upsampled(x) => (x, None, true),
    }
}

impl Layers for Wgsl {
    type Maps = Tensor<4>;
    type Normed = Normed;
    type Rows = Tensor<2>;

    fn embed(&mut self, table: &Embedding, indices: &[usize]) -> Tensor<2> {
        operations::embed(table, indices)
    }

    fn linear(&mut self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        shader::linear(x, (layer.weight.val(), layer.bias.val()), None, false)
    }

    fn linear_silu(&mut self, layer: &Linear, x: Tensor<2>, added: Option<Tensor<2>>) -> Tensor<2> {
        shader::linear(x, (layer.weight.val(), layer.bias.val()), added, true)
    }

    fn norm(&mut self, layer: &GroupNorm, x: Tensor<4>, scale_shift: Option<Tensor<2>>, silu: bool) -> Normed {
        let parameters = [layer.weight.val(), layer.bias.val()];
        let affine = shader::normalisation(x.clone(), parameters, layer.groups, layer.epsilon, scale_shift);
        Normed { x, affine, then: if silu { Then::Silu } else { Then::Nothing } }
    }

    fn dropout(&mut self, _: &Dropout, x: Normed) -> Normed {
        x
    }

    fn convolve(&mut self, layer: &Conv, fused: Fused<Self>) -> Tensor<4> {
        let (x, norm, upsample) = parts(fused.source);
        let fused = shader::Fused { norm, upsample, shifts: fused.shifts, residual: fused.residual };
        convolve(layer, x, Movement { stride: 1, pad: layer.pad(), dilation: layer.dilation }, fused)
    }

    fn downsample(&mut self, layer: &Conv, x: Tensor<4>, pad: (usize, usize)) -> Tensor<4> {
        convolve(layer, x, Movement { stride: 2, pad, dilation: layer.dilation }, shader::Fused::default())
    }

    fn attend(&mut self, [query, key, value]: [&Linear; 3], x: Normed, heads: usize) -> Tensor<4> {
        let Normed { x, affine, then } = x;
        let [images, channels, height, width] = x.dims();
        let part = |layer: &Linear, k: f64| {
            let fused = shader::Fused { norm: Some((affine.clone(), then)), ..shader::Fused::default() };
            product(layer, x.clone(), k, fused).reshape([images, channels, height * width])
        };
        let parts = [part(query, ((channels / heads) as f64).powf(-0.5)), part(key, 1.0), part(value, 1.0)];
        let y = match shader::attend(&parts, heads) {
            Some(y) => y,
            // Shared memory has no room for so many pixels, or they do not divide.
            None => operations::attend(parts, heads),
        };
        y.reshape([images, channels, height, width])
    }

    fn project(&mut self, layer: &Linear, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        let [images, channels, height, width] = x.dims();
        let residual = residual.map(|rest| rest.reshape([images, channels, 1, height * width]));
        product(layer, x, 1.0, shader::Fused { residual, ..shader::Fused::default() })
    }

    fn concat(&mut self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        shader::stack(a, b)
    }

    fn resample(&mut self, source: Source<Self>, how: Resampling) -> Tensor<4> {
        let (x, norm, upsample) = parts(source);
        debug_assert!(!upsample, "nothing is doubled twice");
        shader::resample(x, norm, how)
    }

    fn scale(&mut self, x: Tensor<4>, k: &[f32]) -> Tensor<4> {
        operations::scale(x, k)
    }

    fn scales(&mut self, layer: &InstanceNorm, levels: &[usize]) -> Tensor<2> {
        operations::scales(layer, levels)
    }

    fn instance_norm(&mut self, x: Tensor<4>, scales: Tensor<2>, elu: bool) -> Normed {
        let affine = shader::instance_normalisation(x.clone(), scales, INSTANCE_EPSILON);
        Normed { x, affine, then: if elu { Then::Elu } else { Then::Nothing } }
    }

    fn elu(&mut self, x: Tensor<4>) -> Tensor<4> {
        shader::window(x, 1, Then::Elu)
    }

    fn largest(&mut self, x: Tensor<4>, side: usize) -> Tensor<4> {
        shader::window(x, side, Then::Nothing)
    }

    fn add(&mut self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        a + b
    }

    fn add_rows(&mut self, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
        a + b
    }
}
