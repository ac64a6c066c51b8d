//! Tensors of the CPU device as plain numbers: layers of a convolutional network with one pass over memory where a
//! chain of tensor operations has five, around Burn's matrix products.
//!
//! What is here computes what the tensor operations beside its callers compute; it has no derivatives. A worker that
//! knows only the CPU uses nothing else, and so need not carry the tensor operations: a third of its size.

use burn::tensor::{Device, Tensor, TensorData};

use super::elementwise;

/// Whether there is no other device in this program: what the others need is then left out, a third of its size.
pub const ONLY: bool = cfg!(all(target_arch = "wasm32", not(feature = "gpu")));
/// Numbers of an unfolded piece of an image: as many as stay in the caches.
const PIECE: usize = 1 << 17;

/// Whether tensors of this device are worked on here.
#[must_use]
pub fn is_host(device: &Device) -> bool {
    ONLY || is_cpu(device)
}

#[cfg(feature = "cpu")]
fn is_cpu(device: &Device) -> bool {
    !device.is_autodiff() && *device == Device::flex()
}

#[cfg(not(feature = "cpu"))]
fn is_cpu(_: &Device) -> bool {
    false
}

/// Whether so many bytes can be had of the processor's memory. They are given back at once.
#[must_use]
pub fn has_room(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok())
}

/// The numbers of a tensor, last dimension first; not copied unless they are shared.
#[must_use]
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap_or_default()
}

/// A tensor of these numbers.
#[must_use]
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The tensor with its numbers changed in place.
#[must_use]
pub fn edit<const D: usize>(x: Tensor<D>, change: impl FnOnce(&mut [f32])) -> Tensor<D> {
    let (shape, device) = (x.dims(), x.device());
    let mut values = numbers(x);
    change(&mut values);
    tensor(values, shape, &device)
}

/// `a += k b`, number by number.
pub fn add_scaled(a: &mut [f32], b: &[f32], k: f32) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += k * b;
    }
}

/// Some entries of the first dimension.
#[must_use]
pub fn part(x: &Tensor<4>, start: usize, end: usize) -> Tensor<4> {
    let ([_, channels, height, width], device) = (x.dims(), x.device());
    let size = channels * height * width;
    let values = numbers(x.clone());
    tensor(values[start * size..end * size].to_vec(), [end - start, channels, height, width], &device)
}

/// Some channels of every image.
#[must_use]
pub fn channels(x: &Tensor<4>, start: usize, count: usize) -> Tensor<4> {
    let ([images, channels, height, width], device) = (x.dims(), x.device());
    let pixels = height * width;
    let values = numbers(x.clone());
    let mut found = Vec::with_capacity(images * count * pixels);
    for image in values.chunks_exact(channels * pixels) {
        found.extend_from_slice(&image[start * pixels..(start + count) * pixels]);
    }
    tensor(found, [images, count, height, width], &device)
}

/// Images one after the other.
#[must_use]
pub fn join(parts: Vec<Tensor<4>>, device: &Device) -> Tensor<4> {
    let mut shape = parts.first().map_or([0; 4], Tensor::dims);
    shape[0] = parts.iter().map(|part| part.dims()[0]).sum();
    let mut values = Vec::with_capacity(shape.iter().product());
    for part in parts {
        values.extend(numbers(part));
    }
    tensor(values, shape, device)
}

/// The channels of one, then those of the other.
#[must_use]
pub fn stack(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let ([images, first, height, width], second, device) = (a.dims(), b.dims()[1], a.device());
    let pixels = height * width;
    let (a, b) = (numbers(a), numbers(b));
    let mut values = Vec::with_capacity(a.len() + b.len());
    for (a, b) in a.chunks_exact(first * pixels).zip(b.chunks_exact(second * pixels)) {
        values.extend_from_slice(a);
        values.extend_from_slice(b);
    }
    tensor(values, [images, first + second, height, width], &device)
}

/// The sum of two tensors of one shape.
#[must_use]
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let b = numbers(b);
    edit(a, |a| add_scaled(a, &b, 1.0))
}

/// Every pixel twice in both directions.
#[must_use]
pub fn double(x: Tensor<4>) -> Tensor<4> {
    let ([images, channels, height, width], device) = (x.dims(), x.device());
    let mut values = Vec::with_capacity(4 * images * channels * height * width);
    for row in numbers(x).chunks_exact(width) {
        let start = values.len();
        values.extend(row.iter().flat_map(|value| [*value, *value]));
        values.extend_from_within(start..);
    }
    tensor(values, [images, channels, 2 * height, 2 * width], &device)
}

/// What a normalisation does beside normalising.
#[derive(Clone, Copy, Debug, Default)]
pub struct Then<'a> {
    /// A scale and then a shift of each channel, for each image or the same for all.
    pub told: Option<&'a [f32]>,
    /// Whether SiLU follows.
    pub silu: bool,
}

/// Group normalisation with a scale and a shift of each channel: two passes over memory that is in the caches.
#[must_use]
pub fn group_norm(
    x: Tensor<4>,
    weight: &[f32],
    bias: &[f32],
    groups: usize,
    epsilon: f64,
    then: Then<'_>,
) -> Tensor<4> {
    let [_, channels, height, width] = x.dims();
    let (pixels, share) = (height * width, channels / groups.max(1));
    edit(x, |values| {
        for (image, values) in values.chunks_exact_mut(channels * pixels).enumerate() {
            let told = then.told.map(|told| {
                let row = if told.len() > 2 * channels { image } else { 0 };
                &told[2 * channels * row..2 * channels * (row + 1)]
            });
            for (group, values) in values.chunks_exact_mut(share * pixels).enumerate() {
                let count = values.len() as f32;
                let mean = sum(values, |v| v) / count;
                let variance = sum(values, |v| (v - mean) * (v - mean)) / count;
                let inverse = 1.0 / (variance + epsilon as f32).sqrt();
                for (index, plane) in values.chunks_exact_mut(pixels).enumerate() {
                    let channel = group * share + index;
                    let (mut scale, mut shift) = (weight[channel] * inverse, bias[channel]);
                    if let Some(told) = told {
                        scale *= 1.0 + told[channel];
                        shift = shift * (1.0 + told[channel]) + told[channels + channel];
                    }
                    for value in plane.iter_mut() {
                        *value = (*value - mean) * scale + shift;
                    }
                    if then.silu {
                        elementwise::silu_in_place(plane);
                    }
                }
            }
        }
    })
}

/// The sum over numbers, in eight lanes, so that it is accurate and quick.
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let chunks = values.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|v| f(*v)).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Adds a number to every channel, for each image or the same for all.
#[must_use]
pub fn add_to_channels(x: Tensor<4>, shifts: &[f32]) -> Tensor<4> {
    let [_, channels, height, width] = x.dims();
    edit(x, |values| {
        for (index, plane) in values.chunks_exact_mut(height * width).enumerate() {
            let shift = shifts[index % shifts.len().max(channels)];
            plane.iter_mut().for_each(|value| *value += shift);
        }
    })
}

/// A convolution, or a product at every pixel for a kernel of size 1: `[outputs, inputs, kernel, kernel]` matrices, with
/// rows and columns of zeros before and after.
#[must_use]
pub fn convolve(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: &[f32],
    stride: usize,
    (before, after): (usize, usize),
) -> Tensor<4> {
    let ([images, inputs, height, width], device) = (x.dims(), x.device());
    let [outputs, _, kernel, _] = weight.dims();
    let matrix = weight.clone().reshape([outputs as i32, -1]);
    let size = |length: usize| (length + before + after - kernel) / stride + 1;
    let (rows, columns) = (size(height), size(width));
    let taps = inputs * kernel * kernel;
    let at_once = (PIECE / (taps * columns).max(1)).clamp(1, rows);
    let values = numbers(x.clone());
    let mut found = vec![0.0; images * outputs * rows * columns];
    let planes = values.chunks_exact(inputs * height * width).zip(found.chunks_exact_mut(outputs * rows * columns));
    for (image, result) in planes {
        let mut first = 0;
        while first < rows {
            let count = at_once.min(rows - first);
            let mut unfolded = vec![0.0; taps * count * columns];
            let places = unfolded.chunks_exact_mut(count * columns).enumerate();
            for (tap, place) in places {
                let (channel, down, right) = (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel);
                let plane = &image[channel * height * width..(channel + 1) * height * width];
                for (row, line) in place.chunks_exact_mut(columns).enumerate() {
                    let Some(y) = ((first + row) * stride + down).checked_sub(before).filter(|y| *y < height) else {
                        continue;
                    };
                    let source = &plane[y * width..(y + 1) * width];
                    if stride == 1 {
                        // The columns whose source is inside.
                        let start = before.saturating_sub(right);
                        let end = columns.min(width + before - right.min(width + before));
                        if start < end {
                            line[start..end].copy_from_slice(&source[start + right - before..end + right - before]);
                        }
                    } else {
                        for (column, value) in line.iter_mut().enumerate() {
                            let at = (column * stride + right).checked_sub(before);
                            *value = at.and_then(|at| source.get(at)).copied().unwrap_or(0.0);
                        }
                    }
                }
            }
            let product = matrix.clone().matmul(tensor(unfolded, [taps, count * columns], &device));
            let product = numbers(product);
            for (output, line) in product.chunks_exact(count * columns).enumerate() {
                let start = (output * rows + first) * columns;
                let shift = bias.get(output).copied().unwrap_or(0.0);
                for (value, found) in result[start..start + line.len()].iter_mut().zip(line) {
                    *value = found + shift;
                }
            }
            first += count;
        }
    }
    tensor(found, [images, outputs, rows, columns], &device)
}

/// `x W^T + b`, row by row.
#[must_use]
pub fn linear(x: Tensor<2>, weight: &Tensor<2>, bias: &[f32]) -> Tensor<2> {
    edit(x.matmul(weight.clone().transpose()), |rows| elementwise::add_bias(rows, bias))
}

/// `W x + b` at every pixel of `[images, inputs, pixels]`, times `k`.
#[must_use]
pub fn linear_pixels(x: Tensor<3>, weight: &Tensor<2>, bias: &[f32], k: f32) -> Tensor<3> {
    let ([images, inputs, pixels], outputs, device) = (x.dims(), bias.len(), x.device());
    let mut found = Vec::with_capacity(images * outputs * pixels);
    for image in numbers(x).chunks_exact(inputs * pixels) {
        let product = weight.clone().matmul(tensor(image.to_vec(), [inputs, pixels], &device));
        for (row, bias) in numbers(product).chunks_exact(pixels).zip(bias) {
            found.extend(row.iter().map(|value| k * (value + bias)));
        }
    }
    tensor(found, [images, outputs, pixels], &device)
}

/// What attention makes of scaled queries, keys and values, each `[images, channels, pixels]`, its channels divided
/// among the heads.
#[must_use]
pub fn attend(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    let ([images, channels, pixels], device) = (query.dims(), query.device());
    let share = channels / heads.max(1);
    let mut found = Vec::with_capacity(images * channels * pixels);
    let (query, key, value) = (numbers(query), numbers(key), numbers(value));
    let parts = |values: &[f32], at: usize| -> Tensor<2> {
        tensor(values[at..at + share * pixels].to_vec(), [share, pixels], &device)
    };
    for at in (0..images * heads).map(|head| head * share * pixels) {
        let scores = parts(&query, at).transpose().matmul(parts(&key, at));
        let weights = edit(scores, |scores| scores.chunks_exact_mut(pixels).for_each(elementwise::softmax_in_place));
        found.extend(numbers(parts(&value, at).matmul(weights.transpose())));
    }
    tensor(found, [images, channels, pixels], &device)
}
