//! The interpreter of Burn's tensor operations: on any device, with automatic derivatives, in half precision too. Native
//! programs train with it what no other can.

use burn::module::Param;
use burn::nn::Dropout;
use burn::tensor::activation::{silu, softmax};
use burn::tensor::module::{conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions};
use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};

use super::modules::{Conv, Embedding, GroupNorm, INSTANCE_EPSILON, InstanceNorm, Linear};
use super::{Fused, Layers, Source};
use crate::nn::resampling::Resampling;

/// The tensor in single precision.
pub fn full<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(FloatDType::F32)
}

/// Attention of scaled queries, keys and values, `[images, channels, pixels]`, with channels divided among the heads. The
/// softmax is in single precision.
pub fn attend([query, key, value]: [Tensor<3>; 3], heads: usize) -> Tensor<3> {
    let [images, channels, pixels] = query.dims();
    let parts = |y: Tensor<3>| match heads {
        1 => y,
        heads => y.reshape([images * heads, channels / heads, pixels]),
    };
    let (query, key, value) = (parts(query), parts(key), parts(value));
    // [images, looking pixel, pixel looked at], for each head
    let precision = value.dtype();
    let weights = softmax(full(query.transpose().matmul(key)), 2).cast(precision);
    value.matmul(weights.transpose()).reshape([images, channels, pixels])
}

/// The rows of a table.
pub fn embed(table: &Embedding, indices: &[usize]) -> Tensor<2> {
    let table = table.weight.val();
    let rows: Vec<i32> = indices.iter().map(|index| *index as i32).collect();
    let (rows, device) = (TensorData::new(rows, [indices.len()]), table.device());
    table.select(0, Tensor::<1, Int>::from_data(rows, &device))
}

/// The interpreter of Burn's tensor operations.
#[derive(Clone, Copy, Debug)]
pub struct Operations;

/// The tensor in the precision of a parameter, which is half or single.
fn as_of<const D: usize, const E: usize>(x: Tensor<D>, parameter: &Param<Tensor<E>>) -> Tensor<D> {
    x.cast(FloatDType::from(parameter.val().dtype()))
}

fn convolve(layer: &Conv, x: Tensor<4>, stride: usize, pad: (usize, usize)) -> Tensor<4> {
    let options = ConvOptions::new_with_padding([stride; 2], [pad; 2], [layer.dilation; 2], 1);
    conv2d(as_of(x, &layer.weight), layer.weight.val(), layer.bias.as_ref().map(Param::val), options)
}

/// A matrix at every pixel of `[images, channels, pixels]`, without moving the channels last.
fn product(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [outputs, _] = layer.shape();
    layer.weight.val().unsqueeze::<3>().matmul(as_of(x, &layer.weight)) + layer.bias.val().reshape([1, outputs, 1])
}

/// Group normalisation in single precision.
fn normalise(layer: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let share = channels / layer.groups;
    let x = x.reshape([images, layer.groups, share * height * width]);
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let scale = (variance + layer.epsilon).sqrt().recip().expand([images, layer.groups, share]);
    // Both scales in one: a pass over a few channels instead of one over all pixels.
    let scale = scale.reshape([images, channels, 1, 1]) * layer.weight.val().reshape([1, channels, 1, 1]);
    centred.reshape([images, channels, height, width]) * scale + layer.bias.val().reshape([1, channels, 1, 1])
}

/// What every channel of every image is multiplied by, and then what is added: all of the normalisation that sums, in
/// single precision, of numbers in another one.
fn affine(layer: &GroupNorm, x: &Tensor<4>) -> [Tensor<4>; 2] {
    let [images, channels, height, width] = x.dims();
    let share = channels / layer.groups;
    let x = full(x.clone()).reshape([images, layer.groups, share * height * width]);
    let mean = x.clone().mean_dim(2);
    let variance = (x - mean.clone()).square().mean_dim(2);
    let channelwise =
        |of_group: Tensor<3>| of_group.expand([images, layer.groups, share]).reshape([images, channels, 1, 1]);
    let scale = channelwise((variance + layer.epsilon).sqrt().recip());
    let scale = scale * layer.weight.val().reshape([1, channels, 1, 1]);
    let shift = layer.bias.val().reshape([1, channels, 1, 1]) - channelwise(mean) * scale.clone();
    [scale, shift]
}

/// The two halves of rows `[1 or images, 2 channels]` in single precision: a scale (about 1) and a shift of each channel.
fn halves(scale_shift: Tensor<2>) -> [Tensor<4>; 2] {
    let [rows, count] = scale_shift.dims();
    let (scale_shift, channels) = (full(scale_shift).reshape([rows, count, 1, 1]), count / 2);
    [scale_shift.clone().narrow(1, 0, channels) + 1.0, scale_shift.narrow(1, channels, channels)]
}

fn read(source: Source<Operations>) -> Tensor<4> {
    match source {
        Source::Plain(x) | Source::Normed(x) => x,
        Source::Upsampled(x) => {
            let options = InterpolateOptions::new(InterpolateMode::Nearest).with_scale_factor([2.0, 2.0]);
            interpolate(x, options)
        }
    }
}

/// A resampling as products with the matrices of its weights, one on either side.
pub fn resample(x: Tensor<4>, how: Resampling) -> Tensor<4> {
    let ([_, _, height, width], device, kind) = (x.dims(), x.device(), x.dtype());
    let matrix = |length: usize| {
        let mut numbers = vec![0.0_f32; how.length(length) * length];
        for ((start, weights), row) in how.rows(length).zip(numbers.chunks_exact_mut(length)) {
            row[start..].iter_mut().zip(weights).for_each(|(number, weight)| *number = weight);
        }
        let data = TensorData::new(numbers, [1, 1, how.length(length), length]);
        Tensor::<4>::from_data(data, &device).cast(kind)
    };
    matrix(height).matmul(x).matmul(matrix(width).transpose())
}

/// ELU. Burn's takes the exponential of positive numbers too, whose gradient is then 0 times infinity.
fn elu(x: Tensor<4>) -> Tensor<4> {
    x.clone().clamp_min(0.0) + x.clamp_max(0.0).exp() - 1.0
}

/// Every image by its number, or all by one.
pub fn scale(x: Tensor<4>, k: &[f32]) -> Tensor<4> {
    if let [k] = k {
        return x * *k;
    }
    let (device, kind) = (x.device(), x.dtype());
    x * Tensor::<4>::from_data(TensorData::new(k.to_vec(), [k.len(), 1, 1, 1]), &device).cast(kind)
}

/// Scales, shares of means and shifts, `[1 or levels, 3 channels]`.
pub fn scales(layer: &InstanceNorm, levels: &[usize]) -> Tensor<2> {
    match &layer.embed {
        Some(table) => embed(table, levels),
        None => Tensor::cat(layer.vectors().map(Param::val).to_vec(), 0).unsqueeze::<2>(),
    }
}

/// Instance normalisation with the channels' means, in single precision; the result in that of `x`.
fn instance_norm(x: Tensor<4>, scales: Tensor<2>) -> Tensor<4> {
    let ([images, channels, height, width], [rows, _], kind) = (x.dims(), scales.dims(), x.dtype());
    let x = full(x).reshape([images, channels, height * width]);
    let means = x.clone().mean_dim(2);
    let centred = x - means.clone();
    let variance = centred.clone().square().mean_dim(2);
    let rest = means.clone() - means.mean_dim(1);
    let among = rest.clone().square().sum_dim(1) / (channels.max(2) - 1) as f64;
    let rest = rest / (among + f64::from(INSTANCE_EPSILON)).sqrt();
    let [scale, share, shift] =
        [0, 1, 2].map(|part| full(scales.clone()).narrow(1, part * channels, channels).reshape([rows, channels, 1]));
    let y = (centred / (variance + f64::from(INSTANCE_EPSILON)).sqrt() + rest * share) * scale + shift;
    y.reshape([images, channels, height, width]).cast(kind)
}

impl Layers for Operations {
    type Maps = Tensor<4>;
    type Normed = Tensor<4>;
    type Rows = Tensor<2>;

    fn embed(&mut self, table: &Embedding, indices: &[usize]) -> Tensor<2> {
        embed(table, indices)
    }

    fn linear(&mut self, layer: &Linear, x: Tensor<2>) -> Tensor<2> {
        as_of(x, &layer.weight).matmul(layer.weight.val().transpose()) + layer.bias.val().unsqueeze::<2>()
    }

    fn linear_silu(&mut self, layer: &Linear, x: Tensor<2>, added: Option<Tensor<2>>) -> Tensor<2> {
        let y = self.linear(layer, x);
        silu(match added {
            Some(added) => y + added,
            None => y,
        })
    }

    fn norm(&mut self, layer: &GroupNorm, x: Tensor<4>, scale_shift: Option<Tensor<2>>, then_silu: bool) -> Tensor<4> {
        let kind = x.dtype();
        let y = match (kind == DType::F32, scale_shift.map(halves)) {
            (true, None) => normalise(layer, x),
            (true, Some([scale, shift])) => normalise(layer, x) * scale + shift,
            (false, None) => {
                let [by, plus] = affine(layer, &x);
                x * by.cast(kind) + plus.cast(kind)
            }
            (false, Some([scale, shift])) => {
                let [by, plus] = affine(layer, &x);
                x * (by * scale.clone()).cast(kind) + (plus * scale + shift).cast(kind)
            }
        };
        if then_silu { silu(y) } else { y }
    }

    /// On devices with automatic derivatives. The noise is the device's, which no link reproduces bit by bit.
    fn dropout(&mut self, layer: &Dropout, x: Tensor<4>) -> Tensor<4> {
        layer.forward(x)
    }

    fn convolve(&mut self, layer: &Conv, fused: Fused<Self>) -> Tensor<4> {
        let mut y = convolve(layer, read(fused.source), 1, layer.pad());
        if let Some(shifts) = fused.shifts {
            let [rows, channels] = shifts.dims();
            y = y + shifts.reshape([rows, channels, 1, 1]);
        }
        match fused.residual {
            Some(residual) => y + residual,
            None => y,
        }
    }

    fn downsample(&mut self, layer: &Conv, x: Tensor<4>, pad: (usize, usize)) -> Tensor<4> {
        convolve(layer, x, 2, pad)
    }

    fn attend(&mut self, [query, key, value]: [&Linear; 3], x: Tensor<4>, heads: usize) -> Tensor<4> {
        let [images, channels, height, width] = x.dims();
        let x = x.reshape([images, channels, height * width]);
        let query = product(query, x.clone()) * ((channels / heads) as f64).powf(-0.5);
        let parts = [query, product(key, x.clone()), product(value, x)];
        attend(parts, heads).reshape([images, channels, height, width])
    }

    fn project(&mut self, layer: &Linear, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        let ([images, channels, height, width], [outputs, _]) = (x.dims(), layer.shape());
        let y = product(layer, x.reshape([images, channels, height * width]));
        let y = y.reshape([images, outputs, height, width]);
        match residual {
            Some(residual) => residual + y,
            None => y,
        }
    }

    fn concat(&mut self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        Tensor::cat(vec![a, b], 1)
    }

    fn resample(&mut self, source: Source<Self>, how: Resampling) -> Tensor<4> {
        resample(read(source), how)
    }

    fn scale(&mut self, x: Tensor<4>, k: &[f32]) -> Tensor<4> {
        scale(x, k)
    }

    fn scales(&mut self, layer: &InstanceNorm, levels: &[usize]) -> Tensor<2> {
        scales(layer, levels)
    }

    fn instance_norm(&mut self, x: Tensor<4>, scales: Tensor<2>, then_elu: bool) -> Tensor<4> {
        let y = instance_norm(x, scales);
        if then_elu { elu(y) } else { y }
    }

    fn elu(&mut self, x: Tensor<4>) -> Tensor<4> {
        elu(x)
    }

    fn largest(&mut self, x: Tensor<4>, side: usize) -> Tensor<4> {
        max_pool2d(x, MaxPoolOptions::new([side; 2]).with_stride([1; 2]).with_padding([side / 2; 2]))
    }

    fn add(&mut self, a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        a + b
    }

    fn add_rows(&mut self, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
        a + b
    }
}
