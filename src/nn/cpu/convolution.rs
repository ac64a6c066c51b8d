//! Convolutions and products at every pixel.

use std::cell::RefCell;

use burn::tensor::Tensor;
use kernels::convolution as direct;
use kernels::winograd;

use super::{lend, numbers, tensor};

/// Numbers of the im2col matrix of a piece of an image: as many as stay in the caches.
const PIECE: usize = 1 << 17;
/// Whether convolutions are direct: in WebAssembly, where every kernel has the same instructions.
const DIRECT: bool = cfg!(target_arch = "wasm32");

thread_local! {
    /// What the last convolution worked in, for the next: a few megabytes at most.
    static ROOM: RefCell<Vec<[f32; 4]>> = const { RefCell::new(Vec::new()) };
}

/// A convolution, or a product at every pixel for a kernel of size 1: `[outputs, inputs, kernel, kernel]` matrices, with
/// rows and columns of zeros before and after.
#[must_use]
pub fn convolve(x: Tensor<4>, weight: &Tensor<4>, bias: &[f32], stride: usize, pad: (usize, usize)) -> Tensor<4> {
    match (weight.dims()[2], stride, pad) {
        (3, 1, (1, 1)) => convolve_winograd(x, weight, bias),
        (1, 1, (0, 0)) if DIRECT => multiply_pixels(x, weight, bias),
        _ if DIRECT => convolve_direct(x, weight, bias, stride, pad),
        _ => im2col(x, weight, bias, stride, pad),
    }
}

/// As products of tiles, a quarter as many.
fn convolve_winograd(x: Tensor<4>, weight: &Tensor<4>, bias: &[f32]) -> Tensor<4> {
    let ([images, inputs, height, width], device) = (x.dims(), x.device());
    let outputs = weight.dims()[0];
    let sizes = winograd::Sizes { inputs, outputs, height, width };
    let mut found = vec![0.0; images * outputs * height * width];
    let mut room = ROOM.take();
    winograd::convolve(&sizes, &lend(x), &lend(weight.clone()), bias, &mut room, &mut found);
    ROOM.set(room);
    tensor(found, [images, outputs, height, width], &device)
}

/// As a product at every pixel.
fn multiply_pixels(x: Tensor<4>, weight: &Tensor<4>, bias: &[f32]) -> Tensor<4> {
    let ([images, inputs, height, width], device) = (x.dims(), x.device());
    let outputs = weight.dims()[0];
    let packed = direct::pack(&lend(weight.clone()), inputs);
    let mut shifts = bias.to_vec();
    shifts.resize(outputs.next_multiple_of(direct::CHANNELS), 0.0);
    let pixels = height * width;
    let mut found = vec![0.0; images * outputs * pixels];
    let offsets = found.chunks_exact_mut((outputs * pixels).max(1));
    for (image, place) in lend(x).chunks_exact((inputs * pixels).max(1)).zip(offsets) {
        direct::multiply(image, inputs, &packed, &shifts, pixels, place);
    }
    tensor(found, [images, outputs, height, width], &device)
}

/// Where the numbers of padded images lie, so that every tap of a kernel is a shift: for each channel one plane for each
/// remainder of row and column by the stride.
struct Layout {
    stride: usize,
    before: usize,
    height: usize,
    width: usize,
    /// Rows and columns of a plane.
    plane: [usize; 2],
    /// Rows and columns of the result.
    result: [usize; 2],
    kernel: usize,
}

impl Layout {
    fn new([height, width]: [usize; 2], kernel: usize, stride: usize, (before, after): (usize, usize)) -> Self {
        let padded = [height, width].map(|length| length + before + after);
        let plane = padded.map(|length| length.div_ceil(stride));
        let result = padded.map(|length| (length - kernel) / stride + 1);
        Self { stride, before, height, width, plane, result, kernel }
    }

    fn size(&self) -> usize {
        self.plane[0] * self.plane[1]
    }

    /// Numbers of a padded image with this many channels, and what is read beyond its end.
    fn length(&self, channels: usize) -> usize {
        channels * self.stride * self.stride * self.size() + direct::POSITIONS
    }

    /// Positions of a result, those between its rows included.
    fn positions(&self) -> usize {
        (self.result[0] - 1) * self.plane[1] + self.result[1]
    }

    /// Where each tap begins, channel by channel, row by row.
    fn offsets(&self, channels: usize) -> Vec<usize> {
        let (kernel, stride) = (self.kernel, self.stride);
        (0..channels * kernel * kernel)
            .map(|tap| {
                let (channel, down, right) = (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel);
                let phase = (channel * stride + down % stride) * stride + right % stride;
                phase * self.size() + down / stride * self.plane[1] + right / stride
            })
            .collect()
    }

    /// Puts an image into its place. What lies around it is zero and stays so.
    fn fill(&self, image: &[f32], padded: &mut [f32]) {
        let (stride, size) = (self.stride, self.size());
        for (index, line) in image.chunks_exact(self.width).enumerate() {
            let (channel, row) = (index / self.height, index % self.height + self.before);
            let start = (channel * stride + row % stride) * stride * size + row / stride * self.plane[1];
            if stride == 1 {
                padded[start + self.before..][..self.width].copy_from_slice(line);
                continue;
            }
            for (column, value) in line.iter().enumerate() {
                let column = column + self.before;
                padded[start + column % stride * size + column / stride] = *value;
            }
        }
    }
}

/// As one product of the weights with shifted rows of the padded image.
fn convolve_direct(x: Tensor<4>, weight: &Tensor<4>, bias: &[f32], stride: usize, pad: (usize, usize)) -> Tensor<4> {
    let ([images, inputs, height, width], device) = (x.dims(), x.device());
    let [outputs, _, kernel, _] = weight.dims();
    let layout = Layout::new([height, width], kernel, stride, pad);
    let offsets = layout.offsets(inputs);
    let packed = direct::pack(&lend(weight.clone()), offsets.len());
    let channels = outputs.next_multiple_of(direct::CHANNELS);
    let mut shifts = bias.to_vec();
    shifts.resize(channels, 0.0);
    let positions = layout.positions();
    let length = direct::row_length(positions);
    let mut padded = vec![0.0; layout.length(inputs)];
    let mut lines = vec![0.0; channels * length];
    let [rows, columns] = layout.result;
    let mut found = Vec::with_capacity(images * outputs * rows * columns);
    for image in lend(x).chunks_exact(inputs * height * width) {
        layout.fill(image, &mut padded);
        direct::convolve(&padded, &offsets, &packed, &shifts, positions, &mut lines);
        for line in lines.chunks_exact(length).take(outputs) {
            for row in line.chunks(layout.plane[1]).take(rows) {
                found.extend_from_slice(&row[..columns]);
            }
        }
    }
    tensor(found, [images, outputs, rows, columns], &device)
}

/// Burn's matrix product with the im2col matrix: its products are the quickest where they may choose their instructions.
fn im2col(x: Tensor<4>, weight: &Tensor<4>, bias: &[f32], stride: usize, (before, after): (usize, usize)) -> Tensor<4> {
    let ([images, inputs, height, width], device) = (x.dims(), x.device());
    let [outputs, _, kernel, _] = weight.dims();
    let matrix = weight.clone().reshape([outputs as i32, -1]);
    let size = |length: usize| (length + before + after - kernel) / stride + 1;
    let (rows, columns) = (size(height), size(width));
    let taps = inputs * kernel * kernel;
    let at_once = (PIECE / (taps * columns).max(1)).clamp(1, rows);
    let values = lend(x);
    let mut found = vec![0.0; images * outputs * rows * columns];
    let planes = values.chunks_exact(inputs * height * width).zip(found.chunks_exact_mut(outputs * rows * columns));
    for (image, result) in planes {
        let mut first = 0;
        while first < rows {
            let count = at_once.min(rows - first);
            let mut im2col = vec![0.0; taps * count * columns];
            let offsets = im2col.chunks_exact_mut(count * columns).enumerate();
            for (tap, place) in offsets {
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
            let product = matrix.clone().matmul(tensor(im2col, [taps, count * columns], &device));
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

/// `W x + b` at every pixel of `[images, inputs, pixels]`, times `k`.
#[must_use]
pub fn linear_pixels(x: Tensor<3>, weight: &Tensor<2>, bias: &[f32], k: f32) -> Tensor<3> {
    let [images, inputs, pixels] = x.dims();
    let outputs = bias.len();
    let weight = weight.clone().reshape([outputs, inputs, 1, 1]);
    let found = convolve(x.reshape([images, inputs, 1, pixels]), &weight, bias, 1, (0, 0));
    let found = if k == 1.0 { found } else { super::edit(found, |values| kernels::scale_and_shift(values, k, 0.0)) };
    found.reshape([images, outputs, pixels])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::rng::{Rng, Stream};

    /// Sizes: channels that fill no block, images smaller than a tile, odd sides, more tiles than are kept at a time.
    const SIZES: [[usize; 5]; 9] = [
        [2, 3, 5, 7, 6],
        [1, 1, 1, 1, 1],
        [3, 4, 4, 4, 4],
        [2, 5, 9, 2, 3],
        [1, 2, 2, 32, 32],
        [1, 64, 12, 16, 16],
        [40, 33, 8, 8, 8],
        [1, 3, 3, 1, 70],
        [2, 40, 17, 9, 13],
    ];

    struct Case {
        x: Tensor<4>,
        weight: Tensor<4>,
        bias: Vec<f32>,
    }

    impl Case {
        fn new([images, inputs, outputs, height, width]: [usize; 5], kernel: usize) -> Self {
            let device = Device::flex();
            let mut rng = Rng::new(3, Stream::Test, inputs as u32);
            let mut normal = |shape: [usize; 4]| tensor(rng.normals(shape.iter().product()), shape, &device);
            let (x, weight) = (normal([images, inputs, height, width]), normal([outputs, inputs, kernel, kernel]));
            Self { x, weight, bias: (0..outputs).map(|i| i as f32).collect() }
        }

        /// By the definition, in double precision.
        fn plain(&self, stride: usize, (before, after): (usize, usize)) -> Vec<f64> {
            let ([images, inputs, height, width], [outputs, _, kernel, _]) = (self.x.dims(), self.weight.dims());
            let (x, weight) = (lend(self.x.clone()), lend(self.weight.clone()));
            let size = |length: usize| (length + before + after - kernel) / stride + 1;
            let mut found = Vec::new();
            for place in 0..images * outputs * size(height) * size(width) {
                let (row, column) = (place / size(width) % size(height) * stride, place % size(width) * stride);
                let plane = place / (size(width) * size(height));
                let (image, output) = (plane / outputs, plane % outputs);
                let mut sum = f64::from(self.bias[output]);
                for tap in 0..inputs * kernel * kernel {
                    let (input, y, x_) = (tap / (kernel * kernel), tap / kernel % kernel + row, tap % kernel + column);
                    if (before..height + before).contains(&y) && (before..width + before).contains(&x_) {
                        let at = ((image * inputs + input) * height + y - before) * width + x_ - before;
                        sum += f64::from(weight[output * inputs * kernel * kernel + tap]) * f64::from(x[at]);
                    }
                }
                found.push(sum);
            }
            found
        }
    }

    /// The largest error, for the root mean square of what is expected.
    fn error(found: Tensor<4>, expected: &[f64]) -> f64 {
        let found = numbers(found);
        assert_eq!(found.len(), expected.len());
        let scale = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64).sqrt();
        found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / scale
    }

    #[test]
    fn products_of_tiles_are_the_convolution() {
        for sizes in SIZES {
            let case = Case::new(sizes, 3);
            let error = error(convolve_winograd(case.x.clone(), &case.weight, &case.bias), &case.plain(1, (1, 1)));
            // Sums of up to 576 products: a plain sum is off by 6e-8 times the root of their number, 1.5e-6; here each
            // number is weighed at 36 points, which makes that some four times as much, and the largest of many errors
            // is some four times an average one.
            assert!(error < 2.5e-5, "{sizes:?}: {error:e}");
        }
    }

    #[test]
    fn direct_and_unfolded_convolutions_are_the_convolution() {
        for (kernel, stride, pad) in [(3, 1, (1, 1)), (3, 2, (0, 1)), (3, 2, (1, 1)), (1, 1, (0, 0))] {
            for sizes in SIZES.into_iter().filter(|[_, _, _, height, width]| height.min(width) + pad.1 >= kernel) {
                let case = Case::new(sizes, kernel);
                let expected = case.plain(stride, pad);
                let (x, weight, bias) = (case.x.clone(), &case.weight, &case.bias);
                let direct = error(convolve_direct(x.clone(), weight, bias, stride, pad), &expected);
                let product = error(im2col(x.clone(), weight, bias, stride, pad), &expected);
                let pixels = if kernel == 1 { error(multiply_pixels(x, weight, bias), &expected) } else { 0.0 };
                // The same with no points.
                let found = [direct, product, pixels];
                assert!(found.iter().all(|error| *error < 6e-6), "{sizes:?}, {kernel}, {stride}: {found:?}");
            }
        }
    }

    #[test]
    fn an_image_is_the_same_alone_and_among_others_to_the_last_bit() {
        for sizes in SIZES {
            let [images, ..] = sizes;
            for (kernel, convolve) in [
                (3, convolve_winograd as fn(Tensor<4>, &Tensor<4>, &[f32]) -> Tensor<4>),
                (1, multiply_pixels),
                (3, |x, weight, bias| convolve_direct(x, weight, bias, 1, (1, 1))),
            ] {
                let case = Case::new(sizes, kernel);
                let together = convolve(case.x.clone(), &case.weight, &case.bias);
                let last = convolve(super::super::part(&case.x, images - 1, images), &case.weight, &case.bias);
                let bits = |x: Tensor<4>| numbers(x).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(super::super::part(&together, images - 1, images)), bits(last), "{sizes:?}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_in_its_image_and_its_output() {
        let sizes = [3, 5, 9, 4, 4];
        for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
            let case = Case::new(sizes, 3);
            let (mut x, mut weight) = (numbers(case.x.clone()), numbers(case.weight.clone()));
            // In the second of three images, all three of which are multiplied together, and in the third of nine outputs.
            x[5 * 16 + 3] = bad;
            weight[2 * 5 * 9 + 4] = bad;
            let device = Device::flex();
            let (x, weight) = (tensor(x, case.x.dims(), &device), tensor(weight, case.weight.dims(), &device));
            let found = numbers(convolve_winograd(x, &weight, &case.bias));
            let clean = numbers(convolve_winograd(case.x.clone(), &case.weight, &case.bias));
            for (plane, (found, clean)) in found.chunks(16).zip(clean.chunks(16)).enumerate() {
                let touched = plane / 9 == 1 || plane % 9 == 2;
                assert_eq!(found != clean, touched, "{bad}: image {}, output {}", plane / 9, plane % 9);
            }
        }
    }
}
