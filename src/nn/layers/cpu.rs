//! The interpreter of the CPU: the loops of [`crate::nn::cpu`], channels before pixels, without derivatives.

use burn::nn::Dropout;
use burn::tensor::Tensor;

use super::modules::{Conv, Embedding, GroupNorm, INSTANCE_EPSILON, InstanceNorm, Linear};
use super::{Fused, Layers, Source};
use crate::nn::cpu::{self, numbers};
use crate::nn::elementwise;
use crate::nn::resampling::{self, Resampling};

/// The interpreter of the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Cpu;

fn convolve(layer: &Conv, x: Tensor<4>, stride: usize, pad: (usize, usize)) -> Tensor<4> {
    cpu::convolve(x, &layer.weight.val(), &numbers(layer.shifts()), stride, pad)
}

/// One of the pixels that are so far apart, each phase by itself.
fn dilate(layer: &Conv, x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let (step, pad) = (layer.dilation, layer.pad().0 / layer.dilation);
    cpu::whole(convolve(layer, cpu::phases(x, step), 1, (pad, pad)), step, [height, width])
}

fn read(source: Source<Cpu>) -> Tensor<4> {
    match source {
        Source::Plain(x) | Source::Normed(x) => x,
        Source::Upsampled(x) => cpu::double(x),
    }
}

/// A matrix at every pixel of `[images, channels, pixels]`, times `k`.
fn product(layer: &Linear, x: Tensor<3>, k: f32) -> Tensor<3> {
    cpu::linear_pixels(x, &layer.weight.val(), &numbers(layer.bias.val()), k)
}

impl Layers for Cpu {
    type Maps = Tensor<4>;
    type Normed = Tensor<4>;
    type Rows = Tensor<2>;

    fn embed(&mut self, table: &Embedding, indices: &[usize]) -> Tensor<2> {
        let table = table.weight.val();
        let ([_, width], device) = (table.dims(), table.device());
        let values = cpu::lend(table);
        let row = |index: &usize| values[index * width..][..width].iter().copied();
        cpu::tensor(indices.iter().flat_map(row).collect(), [indices.len(), width], &device)
    }

    fn linear(&mut self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        cpu::linear(x, &layer.weight.val(), &numbers(layer.bias.val()))
    }

    fn linear_silu(&mut self, layer: &Linear, x: Tensor<2>, added: Option<Tensor<2>>) -> Tensor<2> {
        let y = self.linear(layer, x);
        let sum = match added {
            Some(added) => cpu::add_rows(y, added),
            None => y,
        };
        cpu::edit(sum, elementwise::silu_in_place)
    }

    fn norm(&mut self, layer: &GroupNorm, x: Tensor<4>, scale_shift: Option<Tensor<2>>, silu: bool) -> Tensor<4> {
        let (weight, bias) = (numbers(layer.weight.val()), numbers(layer.bias.val()));
        let scale_shift = scale_shift.map(numbers);
        cpu::group_norm(x, [&weight, &bias], layer.groups, layer.epsilon, scale_shift.as_deref(), silu)
    }

    fn dropout(&mut self, _: &Dropout, x: Tensor<4>) -> Tensor<4> {
        x
    }

    fn convolve(&mut self, layer: &Conv, fused: Fused<Self>) -> Tensor<4> {
        let x = read(fused.source);
        let mut y = if layer.dilation > 1 { dilate(layer, x) } else { convolve(layer, x, 1, layer.pad()) };
        if let Some(shifts) = fused.shifts {
            y = cpu::add_to_channels(y, &numbers(shifts));
        }
        match fused.residual {
            Some(residual) => cpu::add(y, residual),
            None => y,
        }
    }

    fn downsample(&mut self, layer: &Conv, x: Tensor<4>, pad: (usize, usize)) -> Tensor<4> {
        convolve(layer, x, 2, pad)
    }

    fn attend(&mut self, [query, key, value]: [&Linear; 3], x: Tensor<4>, heads: usize) -> Tensor<4> {
        let [images, channels, height, width] = x.dims();
        let x = x.reshape([images, channels, height * width]);
        let scale = ((channels / heads) as f64).powf(-0.5) as f32;
        let (query, key) = (product(query, x.clone(), scale), product(key, x.clone(), 1.0));
        cpu::attend(query, key, product(value, x, 1.0), heads).reshape([images, channels, height, width])
    }

    fn project(&mut self, layer: &Linear, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        let ([images, channels, height, width], [outputs, _]) = (x.dims(), layer.shape());
        let y = product(layer, x.reshape([images, channels, height * width]), 1.0);
        let y = y.reshape([images, outputs, height, width]);
        match residual {
            Some(residual) => cpu::add(y, residual),
            None => y,
        }
    }

    fn concat(&mut self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        cpu::stack(a, b)
    }

    fn resample(&mut self, source: Source<Self>, how: Resampling) -> Tensor<4> {
        let x = read(source);
        let ([images, channels, height, width], device) = (x.dims(), x.device());
        let found = resampling::resample(&cpu::lend(x), [height, width], 1, how);
        cpu::tensor(found, [images, channels, how.length(height), how.length(width)], &device)
    }

    fn scale(&mut self, x: Tensor<4>, k: &[f32]) -> Tensor<4> {
        cpu::scale(x, k)
    }

    fn scales(&mut self, layer: &InstanceNorm, levels: &[usize]) -> Tensor<2> {
        if let Some(table) = &layer.embed {
            return self.embed(table, levels);
        }
        let [gamma, alpha, beta] = layer.vectors();
        let (count, device) = (3 * gamma.lazy_shape()[0], gamma.lazy_device());
        let values = [gamma, alpha, beta].into_iter().flat_map(|vector| numbers(vector.val())).collect();
        cpu::tensor(values, [1, count], &device)
    }

    fn instance_norm(&mut self, x: Tensor<4>, scales: Tensor<2>, elu: bool) -> Tensor<4> {
        cpu::instance_norm(x, &numbers(scales), INSTANCE_EPSILON, elu)
    }

    fn elu(&mut self, x: Tensor<4>) -> Tensor<4> {
        cpu::elu(x)
    }

    fn largest(&mut self, x: Tensor<4>, side: usize) -> Tensor<4> {
        cpu::largest(x, side)
    }

    fn add(&mut self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        cpu::add(a, b)
    }

    fn add_rows(&mut self, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
        cpu::add_rows(a, b)
    }
}
