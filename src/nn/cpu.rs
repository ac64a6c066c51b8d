//! Tensors of the CPU device as plain numbers: layers of a convolutional network with one pass over memory where a
//! chain of tensor operations has five, between matrix products.
//!
//! What is here computes what the tensor operations of `nn::layers::operations` compute; it has no derivatives. A worker
//! that knows only the CPU uses nothing else, and so need not carry the tensor operations: a third of its size.

mod convolution;
mod maps;
#[cfg(feature = "cpu")]
mod memory;

use burn::tensor::{Device, Tensor, TensorData};

use super::elementwise;
use super::product::{product_transposed, transposed_product};
pub use convolution::{convolve, linear_pixels};
pub use kernels::add_scaled;
pub use maps::{elu, instance_norm, largest, phases, scale, whole};
#[cfg(feature = "cpu")]
pub use memory::Borrowed;
/// Numbers read back from a device.
#[cfg(not(feature = "cpu"))]
pub type Borrowed = Vec<f32>;

/// Whether there is no other device in this program: what the others need is then left out, a third of its size.
pub const ONLY: bool = cfg!(all(target_arch = "wasm32", not(feature = "gpu")));

/// Whether tensors of this device are worked on here.
#[must_use]
pub fn is_cpu(device: &Device) -> bool {
    ONLY || is_flex(device)
}

#[cfg(feature = "cpu")]
fn is_flex(device: &Device) -> bool {
    !device.is_autodiff() && *device == Device::flex()
}

#[cfg(not(feature = "cpu"))]
fn is_flex(_: &Device) -> bool {
    false
}

/// Whether so many bytes can be had of the processor's memory. They are given back at once.
#[must_use]
pub fn has_room(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok())
}

/// The numbers of a tensor, last dimension first; not copied unless they are shared.
///
/// # Panics
/// When they are not in single precision, or the device no longer answers.
#[must_use]
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    #[cfg(feature = "cpu")]
    if is_cpu(&tensor.device()) {
        return memory::take(tensor);
    }
    tensor.into_data().try_into_vec().expect("numbers in single precision")
}

/// The numbers of a tensor to look at, last dimension first: not copied, whoever else has them.
#[must_use]
pub fn lend<const D: usize>(tensor: Tensor<D>) -> Borrowed {
    #[cfg(feature = "cpu")]
    return if is_cpu(&tensor.device()) { memory::lend(tensor) } else { Borrowed::Numbers(numbers(tensor)) };
    #[cfg(not(feature = "cpu"))]
    numbers(tensor)
}

/// A tensor of these numbers.
#[must_use]
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    #[cfg(feature = "cpu")]
    if is_cpu(device) {
        return memory::tensor(TensorData::new(values, shape));
    }
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
        values.resize(start + 2 * width, 0.0);
        for (pair, value) in values[start..].chunks_exact_mut(2).zip(row) {
            pair.fill(*value);
        }
        values.extend_from_within(start..);
    }
    tensor(values, [images, channels, 2 * height, 2 * width], &device)
}

/// Group normalisation with a scale and a shift of each channel: two passes over memory that is in the caches. Then, if
/// there is one, another scale (about 1) and shift of each channel, for each image or the same for all, and SiLU if
/// `silu`.
#[must_use]
pub fn group_norm(
    x: Tensor<4>,
    [weight, bias]: [&[f32]; 2],
    groups: usize,
    epsilon: f64,
    scale_shift: Option<&[f32]>,
    silu: bool,
) -> Tensor<4> {
    let [_, channels, height, width] = x.dims();
    let (pixels, share) = (height * width, channels / groups.max(1));
    edit(x, |values| {
        for (image, values) in values.chunks_exact_mut(channels * pixels).enumerate() {
            let scale_shift = scale_shift.map(|scale_shift| {
                let row = if scale_shift.len() > 2 * channels { image } else { 0 };
                &scale_shift[2 * channels * row..2 * channels * (row + 1)]
            });
            for (group, values) in values.chunks_exact_mut(share * pixels).enumerate() {
                let (mean, variance) = kernels::mean_and_variance(values);
                let inverse = 1.0 / (variance + epsilon as f32).sqrt();
                for (index, plane) in values.chunks_exact_mut(pixels).enumerate() {
                    let channel = group * share + index;
                    let (mut scale, mut shift) = (weight[channel] * inverse, bias[channel]);
                    if let Some(scale_shift) = scale_shift {
                        scale *= 1.0 + scale_shift[channel];
                        shift = shift * (1.0 + scale_shift[channel]) + scale_shift[channels + channel];
                    }
                    if silu {
                        kernels::normalise_silu(plane, mean, scale, shift);
                    } else {
                        kernels::normalise(plane, mean, scale, shift);
                    }
                }
            }
        }
    })
}

/// The sum of rows, of which either may be one for all.
#[must_use]
pub fn add_rows(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let ([rows, width], [others, _], device) = (a.dims(), b.dims(), a.device());
    let (a, b, count) = (numbers(a), numbers(b), rows.max(others));
    let at = |values: &[f32], row: usize, column: usize| values[(row * width + column) % values.len()];
    let values = (0..count * width).map(|i| at(&a, i / width, i % width) + at(&b, i / width, i % width)).collect();
    tensor(values, [count, width], &device)
}

/// Adds a number to every channel, for each image or the same for all.
#[must_use]
pub fn add_to_channels(x: Tensor<4>, shifts: &[f32]) -> Tensor<4> {
    let [_, channels, height, width] = x.dims();
    edit(x, |values| {
        for (index, plane) in values.chunks_exact_mut(height * width).enumerate() {
            kernels::shift(plane, shifts[index % shifts.len().max(channels)]);
        }
    })
}

/// `x W^T + b`, row by row.
#[must_use]
pub fn linear(x: Tensor<2>, weight: &Tensor<2>, bias: &[f32]) -> Tensor<2> {
    let ([rows, inner], [columns, _], device) = (x.dims(), weight.dims(), x.device());
    let mut found = product_transposed(&lend(x), &lend(weight.clone()), [rows, inner, columns]);
    elementwise::add_bias(&mut found, bias);
    tensor(found, [rows, columns], &device)
}

/// What attention makes of scaled queries, keys and values, each `[images, channels, pixels]`, its channels divided
/// among the heads.
#[must_use]
pub fn attend(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    let ([images, channels, pixels], device) = (query.dims(), query.device());
    let share = channels / heads.max(1);
    let mut found = Vec::with_capacity(images * channels * pixels);
    let (query, key, value) = (lend(query), lend(key), lend(value));
    for head in (0..images * heads).map(|head| head * share * pixels..(head + 1) * share * pixels) {
        let mut weights = transposed_product(&query[head.clone()], &key[head.clone()], [pixels, share, pixels]);
        for row in weights.chunks_exact_mut(pixels) {
            elementwise::softmax_in_place(row);
        }
        found.extend(product_transposed(&value[head], &weights, [share, pixels, pixels]));
    }
    tensor(found, [images, channels, pixels], &device)
}
