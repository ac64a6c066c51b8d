//! What RefineNets do beside convolutions, on a tape.

use burn::module::Param;
use burn::tensor::Tensor;
use kernels::elu_in_place;

use super::{Tape, Value};
use crate::nn::cpu::numbers;

/// Of one image on its way: means and inverse deviations of the channels, and their means as shares of their deviation.
struct Moments {
    means: Vec<f64>,
    inverse: Vec<f64>,
    rest: Vec<f64>,
    /// One over the deviation of the means.
    among: f64,
}

impl Moments {
    /// Of numbers pixel by pixel.
    fn new(image: &[f32], channels: usize, epsilon: f64) -> Self {
        let pixels = (image.len() / channels) as f64;
        let mut means = vec![0.0; channels];
        for pixel in image.chunks_exact(channels) {
            means.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        means.iter_mut().for_each(|mean| *mean /= pixels);
        let mut variances = vec![0.0; channels];
        for pixel in image.chunks_exact(channels) {
            let squares = pixel.iter().zip(&means).map(|(x, mean)| (f64::from(*x) - mean).powi(2));
            variances.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        }
        let inverse = variances.into_iter().map(|sum| 1.0 / (sum / pixels + epsilon).sqrt()).collect();
        let mean = means.iter().sum::<f64>() / channels as f64;
        let square = means.iter().map(|of| (of - mean).powi(2)).sum::<f64>();
        let among = 1.0 / (square / (channels.max(2) - 1) as f64 + epsilon).sqrt();
        let rest = means.iter().map(|of| (of - mean) * among).collect();
        Self { means, inverse, rest, among }
    }
}

impl Tape {
    /// Three vectors as one row.
    pub fn row(&mut self, vectors: [&Param<Tensor<1>>; 3]) -> Value {
        let ids = vectors.map(|vector| vector.id);
        let found: Vec<f32> = vectors.into_iter().flat_map(|vector| numbers(vector.val())).collect();
        let count = found.len();
        self.record(found.into(), [1, count, 1, 1], move |gradients, gradient| {
            for (id, part) in ids.into_iter().zip(gradient.chunks_exact(count / 3)) {
                gradients.learn(id, part.to_vec());
            }
        })
    }

    /// ELU.
    pub fn elu(&mut self, x: &Value) -> Value {
        let mut found = self.pool.copy(x.numbers());
        elu_in_place(&mut found);
        let (x, results) = (x.clone(), self.pool.copy(&found));
        self.record(found, x.shape, move |gradients, mut gradient| {
            // Below 0 the slope is exp(x), which is one more than the result.
            let slopes = results.iter().map(|y| if *y > 0.0 { 1.0 } else { y + 1.0 });
            gradient.iter_mut().zip(slopes).for_each(|(g, slope)| *g *= slope);
            gradients.add(&x, gradient);
        })
    }

    /// Instance normalisation with the channels' means, with `[1 or images, 3 channels]` scales, shares and shifts.
    pub fn instance_norm(&mut self, x: &Value, scales: &Value, epsilon: f32) -> Value {
        let [images, channels, height, width] = x.shape;
        let (size, epsilon) = (height * width * channels, f64::from(epsilon));
        // One row of scales for all images, or one for each.
        let step = if scales.shape[0] > 1 { 3 * channels } else { 0 };
        let mut found = self.pool.any(x.numbers().len());
        let mut moments = Vec::with_capacity(images);
        for (at, (image, found)) in x.numbers().chunks_exact(size).zip(found.chunks_exact_mut(size)).enumerate() {
            let of = Moments::new(image, channels, epsilon);
            let row = &scales.numbers()[at * step..][..3 * channels];
            let (by, shares) = (&row[..channels], &row[channels..2 * channels]);
            let affine: Vec<[f32; 2]> = (0..channels)
                .map(|c| {
                    let (scale, share) = (f64::from(by[c]), f64::from(shares[c]));
                    let shift = f64::from(row[2 * channels + c]) + scale * share * of.rest[c];
                    [(scale * of.inverse[c]) as f32, (shift - of.means[c] * scale * of.inverse[c]) as f32]
                })
                .collect();
            for (pixel, found) in image.chunks_exact(channels).zip(found.chunks_exact_mut(channels)) {
                for ((found, x), [scale, shift]) in found.iter_mut().zip(pixel).zip(&affine) {
                    *found = x * scale + shift;
                }
            }
            moments.push(of);
        }
        let (x, scales) = (x.clone(), scales.clone());
        self.record(found, x.shape, move |gradients, mut gradient| {
            let mut of_scales = vec![0.0_f32; scales.numbers().len()];
            let pixels = (height * width) as f64;
            let parts = x.numbers().chunks_exact(size).zip(gradient.chunks_exact_mut(size)).zip(&moments).enumerate();
            for (at, ((image, errors), of)) in parts {
                let row = &scales.numbers()[at * step..][..3 * channels];
                let normal = |c: usize, x: f32| (f64::from(x) - of.means[c]) * of.inverse[c];
                // Sums over the pixels of the errors, and of their products with the normalised numbers.
                let (mut sums, mut along) = (vec![0.0; channels], vec![0.0; channels]);
                for (pixel, errors) in image.chunks_exact(channels).zip(errors.chunks_exact(channels)) {
                    for (c, (x, error)) in pixel.iter().zip(errors).enumerate() {
                        sums[c] += f64::from(*error);
                        along[c] += f64::from(*error) * normal(c, *x);
                    }
                }
                let part = &mut of_scales[at * step..][..3 * channels];
                let (by, shares) = (|c: usize| f64::from(row[c]), |c: usize| f64::from(row[channels + c]));
                for c in 0..channels {
                    part[c] += (along[c] + shares(c) * of.rest[c] * sums[c]) as f32;
                    part[channels + c] += (by(c) * of.rest[c] * sums[c]) as f32;
                    part[2 * channels + c] += sums[c] as f32;
                }
                // Through the means' share: of every channel's, less what all of them move together.
                let of_rest: Vec<f64> = (0..channels).map(|c| by(c) * shares(c) * sums[c]).collect();
                let mean = of_rest.iter().sum::<f64>() / channels as f64;
                let product = of_rest.iter().zip(&of.rest).map(|(a, b)| a * b).sum::<f64>();
                let spread = (channels.max(2) - 1) as f64;
                let shift: Vec<f64> = (0..channels)
                    .map(|c| of.among * (of_rest[c] - mean - of.rest[c] * product / spread) / pixels)
                    .collect();
                for (pixel, errors) in image.chunks_exact(channels).zip(errors.chunks_exact_mut(channels)) {
                    for (c, (x, error)) in pixel.iter().zip(errors).enumerate() {
                        let inner = f64::from(*error) - sums[c] / pixels - normal(c, *x) * along[c] / pixels;
                        *error = (by(c) * of.inverse[c] * inner + shift[c]) as f32;
                    }
                }
            }
            gradients.add(&scales, of_scales.into());
            gradients.add(&x, gradient);
        })
    }

    /// The largest number in a square of this odd side around every pixel: the first of several.
    pub fn largest(&mut self, x: &Value, side: usize) -> Value {
        let ([_, channels, height, width], reach) = (x.shape, side / 2);
        let size = height * width * channels;
        let mut found = self.pool.any(x.numbers().len());
        let mut places = vec![0_u32; x.numbers().len()];
        let images =
            x.numbers().chunks_exact(size).zip(found.chunks_exact_mut(size)).zip(places.chunks_exact_mut(size));
        for ((image, found), places) in images {
            for (pixel, (found, places)) in
                found.chunks_exact_mut(channels).zip(places.chunks_exact_mut(channels)).enumerate()
            {
                let (row, column) = (pixel / width, pixel % width);
                found.fill(f32::NEG_INFINITY);
                for y in row.saturating_sub(reach)..(row + reach + 1).min(height) {
                    for x in column.saturating_sub(reach)..(column + reach + 1).min(width) {
                        let at = (y * width + x) * channels;
                        for (c, ((found, place), value)) in
                            found.iter_mut().zip(places.iter_mut()).zip(&image[at..at + channels]).enumerate()
                        {
                            if *value > *found || value.is_nan() {
                                (*found, *place) = (*value, (at + c) as u32);
                            }
                        }
                    }
                }
            }
        }
        let x = x.clone();
        self.record(found, x.shape, move |gradients, gradient| {
            let mut of_x = gradients.pool.zeros(x.numbers().len());
            let images = of_x.chunks_exact_mut(size).zip(gradient.chunks_exact(size)).zip(places.chunks_exact(size));
            for ((of_x, errors), places) in images {
                places.iter().zip(errors).for_each(|(place, error)| of_x[*place as usize] += error);
            }
            gradients.add(&x, of_x);
        })
    }

    /// Every `step`-th pixel in both directions as an image of its own; zeros beyond the edges make them equally large.
    pub fn phases(&mut self, x: &Value, step: usize) -> Value {
        let [images, channels, height, width] = x.shape;
        let shape = [images * step * step, channels, height.div_ceil(step), width.div_ceil(step)];
        let places = phases(x.shape, step);
        let mut found = self.pool.zeros(shape.into_iter().product());
        spread(x.numbers(), channels, &places, &mut found);
        let x = x.clone();
        self.record(found, shape, move |gradients, gradient| {
            let mut of_x = gradients.pool.any(x.numbers().len());
            collect(&gradient, channels, &places, &mut of_x);
            gradients.add(&x, of_x);
        })
    }

    /// The images of this height and width whose [`Self::phases`] these are.
    pub fn whole(&mut self, x: &Value, step: usize, [height, width]: [usize; 2]) -> Value {
        let [parts, channels, ..] = x.shape;
        let shape = [parts / (step * step), channels, height, width];
        let places = phases(shape, step);
        let mut found = self.pool.any(shape.into_iter().product());
        collect(x.numbers(), channels, &places, &mut found);
        let x = x.clone();
        self.record(found, shape, move |gradients, gradient| {
            let mut of_x = gradients.pool.zeros(x.numbers().len());
            spread(&gradient, channels, &places, &mut of_x);
            gradients.add(&x, of_x);
        })
    }
}

/// Where among the phases each pixel of images of this shape is.
fn phases([images, _, height, width]: [usize; 4], step: usize) -> Vec<usize> {
    let (rows, columns) = (height.div_ceil(step), width.div_ceil(step));
    let mut places = Vec::with_capacity(images * height * width);
    for image in 0..images {
        for y in 0..height {
            for x in 0..width {
                let part = (image * step + y % step) * step + x % step;
                places.push((part * rows + y / step) * columns + x / step);
            }
        }
    }
    places
}

/// Pixels into their places.
fn spread(x: &[f32], channels: usize, places: &[usize], found: &mut [f32]) {
    for (pixel, place) in x.chunks_exact(channels).zip(places) {
        found[place * channels..][..channels].copy_from_slice(pixel);
    }
}

/// Pixels out of their places.
fn collect(x: &[f32], channels: usize, places: &[usize], found: &mut [f32]) {
    for (pixel, place) in found.chunks_exact_mut(channels).zip(places) {
        pixel.copy_from_slice(&x[place * channels..][..channels]);
    }
}
