//! What RefineNets do to feature maps beside convolutions, channels before pixels.

use burn::tensor::Tensor;

use super::{edit, lend, numbers, tensor};

/// What an instance normalisation with the channels' means multiplies every channel of one image by and then adds, after
/// its mean was taken off: of `[channels, pixels]` and the scales, shares of means and shifts of the channels.
#[must_use]
pub fn instance_affine(planes: &[f32], pixels: usize, scales: &[f32], epsilon: f32) -> Vec<[f32; 3]> {
    let channels = scales.len() / 3;
    let moments: Vec<(f32, f32)> = planes.chunks_exact(pixels.max(1)).map(kernels::mean_and_variance).collect();
    let mean = moments.iter().map(|(mean, _)| mean).sum::<f32>() / channels as f32;
    let square = moments.iter().map(|(of, _)| (of - mean) * (of - mean)).sum::<f32>();
    let rest = 1.0 / (square / (channels.max(2) - 1) as f32 + epsilon).sqrt();
    let channel = |(channel, (of, variance)): (usize, (f32, f32))| {
        let [scale, share, shift] = [0, 1, 2].map(|part| scales[part * channels + channel]);
        [of, scale / (variance + epsilon).sqrt(), scale * share * (of - mean) * rest + shift]
    };
    moments.into_iter().enumerate().map(channel).collect()
}

/// Instance normalisation with the channels' means, with `[1 or images, 3 channels]` scales, shares and shifts; then ELU if
/// `elu`.
#[must_use]
pub fn instance_norm(x: Tensor<4>, scales: &[f32], epsilon: f32, elu: bool) -> Tensor<4> {
    let [_, channels, height, width] = x.dims();
    let pixels = height * width;
    edit(x, |values| {
        for (image, planes) in values.chunks_exact_mut(channels * pixels).enumerate() {
            let row = if scales.len() > 3 * channels { image } else { 0 };
            let affine = instance_affine(planes, pixels, &scales[3 * channels * row..][..3 * channels], epsilon);
            for (plane, [mean, scale, shift]) in planes.chunks_exact_mut(pixels).zip(affine) {
                kernels::normalise(plane, mean, scale, shift);
                if elu {
                    kernels::elu_in_place(plane);
                }
            }
        }
    })
}

/// Every image by its number, or all by one.
#[must_use]
pub fn scale(x: Tensor<4>, k: &[f32]) -> Tensor<4> {
    let share = x.dims().into_iter().product::<usize>() / k.len().max(1);
    edit(x, |values| {
        for (image, k) in values.chunks_exact_mut(share.max(1)).zip(k) {
            image.iter_mut().for_each(|x| *x *= k);
        }
    })
}

/// ELU.
#[must_use]
pub fn elu(x: Tensor<4>) -> Tensor<4> {
    edit(x, kernels::elu_in_place)
}

/// The largest number in a square of this odd side around every pixel: along rows, then along columns.
#[must_use]
pub fn largest(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let reach = side / 2;
    edit(x, |values| {
        let mut line = Vec::new();
        for plane in values.chunks_exact_mut(height * width) {
            for (count, start, step) in
                (0..height).map(|y| (width, y * width, 1)).chain((0..width).map(|x| (height, x, width)))
            {
                line.clear();
                line.extend((0..count).map(|i| plane[start + i * step]));
                for i in 0..count {
                    let around = &line[i.saturating_sub(reach)..(i + reach + 1).min(count)];
                    plane[start + i * step] =
                        around.iter().copied().fold(f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
                }
            }
        }
    })
}

/// Every `step`-th pixel in both directions as an image of its own, `step * step` of each; zeros beyond the edges make them
/// equally large. A convolution dilated by so much is one of these that is not.
#[must_use]
pub fn phases(x: Tensor<4>, step: usize) -> Tensor<4> {
    let ([images, channels, height, width], device) = (x.dims(), x.device());
    let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
    let mut found = vec![0.0; images * step * step * channels * rows * columns];
    let values = lend(x);
    each(step, [images, channels, height, width], |at, phase| found[phase] = values[at]);
    tensor(found, [images * step * step, channels, rows, columns], &device)
}

/// The images of this height and width whose [`phases`] these are.
#[must_use]
pub fn whole(x: Tensor<4>, step: usize, [height, width]: [usize; 2]) -> Tensor<4> {
    let ([parts, channels, ..], device) = (x.dims(), x.device());
    let shape = [parts / (step * step), channels, height, width];
    let mut found = vec![0.0; shape.iter().product()];
    let values = numbers(x);
    each(step, shape, |at, phase| found[at] = values[phase]);
    tensor(found, shape, &device)
}

/// Where every number of images is, and where among their phases.
fn each(step: usize, [images, channels, height, width]: [usize; 4], mut visit: impl FnMut(usize, usize)) {
    let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
    let mut at = 0;
    for image in 0..images {
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let part = (image * step + y % step) * step + x % step;
                    visit(at, ((part * channels + channel) * rows + y / step) * columns + x / step);
                    at += 1;
                }
            }
        }
    }
}
