//! The network on the CPU: images as matrices with a row for each pixel and a column for each channel.
//!
//! So a convolution is one product of matrices whose result needs no rearranging, what a place looks at are a few runs of
//! numbers that lie together, and a kernel of one pixel takes the matrix as it is.

use burn::tensor::{Device, Tensor};

use super::graph::{self, Op, SIDE};
use crate::nn::cpu;

/// Numbers of an im2col matrix that is made at once.
const PIECE: usize = 1 << 18;

/// A convolution with its normalisation folded in.
#[derive(Clone, Debug)]
pub struct Layer {
    /// `[kernel height * kernel width * inputs, outputs]`
    matrix: Tensor<2>,
    bias: Vec<f32>,
}

impl Layer {
    /// Of `[outputs, inputs, height, width]` numbers.
    pub fn new(weight: &[f32], bias: Vec<f32>, [outputs, inputs, height, width]: [usize; 4]) -> Self {
        let taps = height * width;
        let mut matrix = vec![0.0; weight.len()];
        for (output, weight) in weight.chunks_exact((inputs * taps).max(1)).enumerate() {
            for (input, weight) in weight.chunks_exact(taps).enumerate() {
                for (tap, value) in weight.iter().enumerate() {
                    matrix[(tap * inputs + input) * outputs + output] = *value;
                }
            }
        }
        Self { matrix: tensor(matrix, [taps * inputs, outputs]), bias }
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    cpu::tensor(values, shape, &Device::flex())
}

/// Images of one size.
#[derive(Clone, Debug)]
pub struct Images {
    /// `[images * height * width, channels]`
    rows: Tensor<2>,
    height: usize,
    width: usize,
}

/// Where a kernel looks: its height and width, the steps between its positions, and rows and columns beyond each edge.
#[derive(Clone, Copy, Debug)]
struct Window {
    kernel: [usize; 2],
    stride: usize,
    pad: [usize; 2],
}

impl Window {
    /// How many positions there are along a side.
    fn positions(&self, side: usize, length: usize) -> usize {
        (length + 2 * self.pad[side] - self.kernel[side]) / self.stride + 1
    }

    /// What a place sees along a side that lies inside, and how much lies before it.
    fn seen(&self, side: usize, place: usize, length: usize) -> (std::ops::Range<usize>, usize) {
        let (start, pad) = (place * self.stride, self.pad[side]);
        let inside = start.max(pad)..(start + self.kernel[side]).min(length + pad);
        (inside.start - pad..inside.end - pad, inside.start - start)
    }
}

impl Images {
    /// Of grey values, `[image, channel, row, column]`, as the network sees them.
    pub fn enlarged(pixels: &[u8], channels: usize, size: usize) -> Self {
        let positions: Vec<(usize, usize, f32)> = (0..SIDE).map(|place| graph::neighbours(place, size)).collect();
        let images = pixels.len() / (channels * size * size).max(1);
        let mut values = Vec::with_capacity(images * SIDE * SIDE * 3);
        for image in pixels.chunks_exact((channels * size * size).max(1)) {
            // Every row at its new width.
            let mut wide = Vec::with_capacity(size * SIDE * 3);
            for row in 0..size {
                for &(left, right, share) in &positions {
                    wide.extend((0..3).map(|channel| {
                        let line = &image[(channel.min(channels - 1) * size + row) * size..][..size];
                        let [left, right] = [left, right].map(|column| f32::from(line[column]));
                        ((left - 128.0) * (1.0 - share) + (right - 128.0) * share) / 128.0
                    }));
                }
            }
            for &(above, below, share) in &positions {
                let [above, below] = [above, below].map(|row| &wide[row * SIDE * 3..(row + 1) * SIDE * 3]);
                values.extend(above.iter().zip(below).map(|(above, below)| above * (1.0 - share) + below * share));
            }
        }
        Self { rows: tensor(values, [images * SIDE * SIDE, 3]), height: SIDE, width: SIDE }
    }

    /// The mean of every channel, image by image.
    pub fn means(self) -> Vec<f32> {
        let ([_, channels], pixels) = (self.rows.dims(), self.height * self.width);
        let mut means = Vec::new();
        for image in cpu::lend(self.rows).chunks_exact((pixels * channels).max(1)) {
            let mut sums = vec![0.0; channels];
            for row in image.chunks_exact(channels) {
                cpu::add_scaled(&mut sums, row, 1.0);
            }
            means.extend(sums.iter().map(|sum| sum / pixels as f32));
        }
        means
    }

    /// Images side by side, channel after channel.
    pub fn join(parts: &[Self]) -> Self {
        let (height, width) = parts.first().map_or((0, 0), |part| (part.height, part.width));
        let widths: Vec<usize> = parts.iter().map(|part| part.rows.dims()[1]).collect();
        let lent: Vec<cpu::Borrowed> = parts.iter().map(|part| cpu::lend(part.rows.clone())).collect();
        let (count, channels) = (parts.first().map_or(0, |part| part.rows.dims()[0]), widths.iter().sum());
        let mut values = Vec::with_capacity(count * channels);
        for row in 0..count {
            for (part, width) in lent.iter().zip(&widths) {
                values.extend_from_slice(&part[row * width..(row + 1) * width]);
            }
        }
        Self { rows: tensor(values, [count, channels]), height, width }
    }

    fn positions(&self, window: &Window) -> [usize; 2] {
        [window.positions(0, self.height), window.positions(1, self.width)]
    }

    fn images(&self) -> usize {
        self.rows.dims()[0] / (self.height * self.width)
    }

    /// A convolution and ReLU.
    fn convolve(self, layer: &Layer, window: &Window) -> Self {
        let ([height, columns], outputs) = (self.positions(window), layer.bias.len());
        if window.kernel == [1, 1] && window.stride == 1 {
            let product = self.rows.matmul(layer.matrix.clone());
            let rows = cpu::edit(product, |values| {
                for row in values.chunks_exact_mut(outputs) {
                    row.iter_mut().zip(&layer.bias).for_each(|(value, bias)| *value = activated(*value + bias));
                }
            });
            return Self { rows, height: self.height, width: self.width };
        }
        let taps = layer.matrix.dims()[0];
        // As many pieces for every image, of nearly one size: what an image becomes depends on no other.
        let pieces = height.div_ceil((PIECE / (taps * columns).max(1)).max(1));
        let step = height.div_ceil(pieces);
        let images = self.images();
        let x = cpu::lend(self.rows.clone());
        let mut found = Vec::with_capacity(images * height * columns * outputs);
        for image in x.chunks_exact((x.len() / images.max(1)).max(1)) {
            for first in (0..height).step_by(step) {
                let piece = first..height.min(first + step);
                let positions = piece.len() * columns;
                let im2col = tensor(self.im2col(image, piece, window, taps), [positions, taps]);
                for row in cpu::numbers(im2col.matmul(layer.matrix.clone())).chunks_exact(outputs) {
                    found.extend(row.iter().zip(&layer.bias).map(|(value, bias)| activated(value + bias)));
                }
            }
        }
        let rows = tensor(found, [images * height * columns, outputs]);
        Self { rows, height, width: columns }
    }

    /// What the positions in these rows of the result see of an image, a row of `taps` numbers each.
    fn im2col(&self, image: &[f32], rows: std::ops::Range<usize>, window: &Window, taps: usize) -> Vec<f32> {
        let (channels, [_, width]) = (self.rows.dims()[1], self.positions(window));
        let line = self.width * channels;
        let mut im2col = vec![0.0; rows.len() * width * taps];
        let mut positions = im2col.chunks_exact_mut(taps);
        for row in rows {
            let (downs, above) = window.seen(0, row, self.height);
            for column in 0..width {
                let Some(place) = positions.next() else { return im2col };
                let (rights, before) = window.seen(1, column, self.width);
                let length = rights.len() * channels;
                let mut to = (above * window.kernel[1] + before) * channels;
                for down in downs.clone() {
                    let from = down * line + rights.start * channels;
                    place[to..to + length].copy_from_slice(&image[from..from + length]);
                    to += window.kernel[1] * channels;
                }
            }
        }
        im2col
    }

    /// Of the pixels of every 3 x 3 window that lie inside the largest, or the mean.
    fn pool(self, stride: usize, pad: usize, mean: bool) -> Self {
        let window = Window { kernel: [3; 2], stride, pad: [pad; 2] };
        let ([_, channels], [height, width]) = (self.rows.dims(), self.positions(&window));
        let images = self.images();
        let x = cpu::lend(self.rows);
        let start = if mean { 0.0 } else { f32::NEG_INFINITY };
        let mut found = vec![start; images * height * width * channels];
        for (index, place) in found.chunks_exact_mut(channels).enumerate() {
            let (image, row, column) = (index / (height * width), index / width % height, index % width);
            let (downs, rights) = (window.seen(0, row, self.height).0, window.seen(1, column, self.width).0);
            let count = downs.len() * rights.len();
            for down in downs {
                for right in rights.clone() {
                    let from = ((image * self.height + down) * self.width + right) * channels;
                    let values = &x[from..from + channels];
                    if mean {
                        place.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                    } else {
                        place.iter_mut().zip(values).for_each(|(most, value)| *most = larger(*value, *most));
                    }
                }
            }
            if mean {
                place.iter_mut().for_each(|sum| *sum /= count as f32);
            }
        }
        Self { rows: tensor(found, [images * height * width, channels]), height, width }
    }
}

/// One instruction, unlike `f32::max`, which looks for what is not a number.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

fn activated(value: f32) -> f32 {
    larger(value, 0.0)
}

/// The convolutions, in order.
pub struct Layers<'a>(pub std::slice::Iter<'a, Layer>);

impl graph::Layers for Layers<'_> {
    type Images = Images;

    fn apply(&mut self, op: &Op, x: Images) -> Images {
        match *op {
            Op::Conv(_, kernel, stride, kept) => match self.0.next() {
                Some(layer) => x.convolve(layer, &Window { kernel, stride, pad: graph::pads(kernel, kept) }),
                None => x,
            },
            Op::Halve => x.pool(2, 0, false),
            Op::Largest => x.pool(1, 1, false),
            Op::Mean => x.pool(1, 1, true),
        }
    }

    fn join(&self, parts: Vec<Images>) -> Images {
        Images::join(&parts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layers as _, Tensors};
    use super::*;
    use crate::rng::{Rng, Stream};

    fn normals(shape: [usize; 4]) -> Tensor<4> {
        let values = Rng::new(7, Stream::Test, shape[3] as u32).normals(shape.iter().product());
        cpu::tensor(values, shape, &Device::flex())
    }

    fn images(x: &Tensor<4>) -> Images {
        let [images, channels, height, width] = x.dims();
        let rows = x.clone().permute([0, 2, 3, 1]).reshape([images * height * width, channels]);
        Images { rows, height, width }
    }

    /// The largest difference.
    fn error(found: &Images, wanted: Tensor<4>) -> f32 {
        let wanted = images(&wanted);
        assert_eq!((found.height, found.width), (wanted.height, wanted.width));
        let (found, wanted) = (cpu::lend(found.rows.clone()), cpu::lend(wanted.rows));
        assert_eq!(found.len(), wanted.len());
        found.iter().zip(wanted.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn every_kind_of_layer_is_what_burns_operations_make_of_it() {
        let device = Device::flex();
        for (height, width) in [(9, 9), (8, 11), (35, 35)] {
            let x = normals([2, 6, height, width]);
            for op in [
                Op::Conv(5, [1, 1], 1, true),
                Op::Conv(5, [3, 3], 1, true),
                Op::Conv(5, [3, 3], 1, false),
                Op::Conv(5, [3, 3], 2, false),
                Op::Conv(5, [5, 5], 1, true),
                Op::Conv(5, [1, 7], 1, true),
                Op::Conv(5, [7, 1], 1, true),
                Op::Conv(5, [1, 3], 1, true),
                Op::Conv(5, [3, 1], 1, true),
                Op::Halve,
                Op::Mean,
                Op::Largest,
            ] {
                let kernel = if let Op::Conv(_, kernel, ..) = op { kernel } else { [1, 1] };
                let shape = [5, 6, kernel[0], kernel[1]];
                let weight = cpu::lend(normals(shape)).to_vec();
                let bias = vec![0.5, -1.0, 0.0, 2.0, 0.25];
                let layer = Layer::new(&weight, bias.clone(), shape);
                let other = super::super::Layer::new(weight, bias, shape, &device);
                let found = Layers([layer].iter()).apply(&op, images(&x));
                let error = error(&found, Tensors([other].iter()).apply(&op, x.clone()));
                // Sums of up to 150 products of normal numbers, each sum some 12: 20 roundings of 6e-8 of that.
                assert!(error < 2e-5, "{op:?} of {height} x {width}: {error:e}");
            }
        }
    }

    #[test]
    fn an_image_becomes_the_same_whatever_is_beside_it() {
        // Large enough for several pieces.
        let (x, shape) = (normals([3, 64, 35, 35]), [48, 64, 5, 5]);
        let weight = cpu::lend(normals(shape)).to_vec();
        let layer = [Layer::new(&weight, vec![0.0; 48], shape)];
        let convolve = |x: Tensor<4>| Layers(layer.iter()).apply(&Op::Conv(48, [5, 5], 1, true), images(&x));
        let all = cpu::lend(convolve(x.clone()).rows);
        for (index, together) in all.chunks_exact(48 * 35 * 35).enumerate() {
            let alone = cpu::lend(convolve(x.clone().narrow(0, index, 1)).rows);
            assert_eq!(&*alone, together);
        }
    }

    #[test]
    fn enlarged_images_are_what_burns_operations_make_of_them() {
        for (channels, size) in [(3, 32), (1, 8)] {
            let pixels: Vec<u8> = (0..2 * channels * size * size).map(|i| (i * 37 % 256) as u8).collect();
            let found = Images::enlarged(&pixels, channels, size);
            // Numbers up to 1; the other way multiplies numbers up to 255 first.
            assert!(error(&found, super::super::enlarged(&pixels, channels, size, &Device::flex())) < 1e-6);
        }
    }
}
