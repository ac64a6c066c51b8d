//! Normalisation, activation and sums of images whose channels lie together, with their derivatives.

#[cfg(test)]
mod tests;

use super::bf16::places::Grid;
use crate::lanes::{LANES, Lanes, Line, Task, run};
use crate::smooth::{Silu, Smooth as _};

/// Pixels that are added up before they are added to a sum, so that large images lose no digits.
const RUN: usize = 32;

/// Group normalisation of images `[images, pixels, channels]`, with a scale and a shift of each channel.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Pixels of an image.
    pub pixels: usize,
    /// How many groups of channels there are.
    pub groups: usize,
    /// What is added to variances.
    pub epsilon: f32,
    /// Whether SiLU follows.
    pub silu: bool,
    /// The scales.
    pub weight: &'a [f32],
    /// The shifts.
    pub bias: &'a [f32],
}

impl Norm<'_> {
    fn channels(&self) -> usize {
        self.weight.len()
    }

    fn share(&self) -> usize {
        self.channels() / self.groups.max(1)
    }

    /// Of a number for each channel the sums over groups, a number for each channel again, divided by the numbers of a
    /// group.
    fn means(&self, of_channels: &mut [f32]) {
        let share = self.share().max(1);
        for group in of_channels.chunks_mut(share) {
            let mean = group.iter().sum::<f32>() / (share * self.pixels) as f32;
            group.fill(mean);
        }
    }
}

/// For sixteen channels the sums over pixels of two numbers. Not a function with a closure, which would not be compiled
/// for the instructions of its caller.
macro_rules! sums {
    ($l:ident, $pixels:expr, $pixel:ident => $numbers:expr) => {{
        let mut totals = [$l.splat(0.0); 2];
        for first in (0..$pixels).step_by(RUN) {
            let mut part = [$l.splat(0.0); 2];
            for $pixel in first..$pixels.min(first + RUN) {
                let [a, b] = $numbers;
                part = [$l.add(part[0], a), $l.add(part[1], b)];
            }
            totals = [$l.add(totals[0], part[0]), $l.add(totals[1], part[1])];
        }
        totals
    }};
}

/// Where results go: as they are, or rounded to lines at the places of a grid.
enum Out<'a> {
    Numbers(&'a mut [f32]),
    Lines(Grid, &'a mut [Line]),
}

struct Forward<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    out: Out<'a>,
    statistics: &'a mut [f32],
}

/// Normalises: `statistics` gets the mean of each channel of each image, `[images, 2, channels]`, and what it was divided by,
/// inverted.
///
/// # Panics
/// When a slice is shorter than it should be.
#[inline(never)]
pub fn normalise(norm: &Norm<'_>, x: &[f32], out: &mut [f32], statistics: &mut [f32]) {
    run(Forward { norm: *norm, x, out: Out::Numbers(out), statistics });
}

/// The same, rounded to bfloat16 and in the lines that a convolution of it reads ([`super::bf16`]).
///
/// # Panics
/// When a slice is shorter than it should be, or the grid is of other images.
#[inline(never)]
pub fn normalise_to_lines(norm: &Norm<'_>, x: &[f32], grid: &Grid, lines: &mut [Line], statistics: &mut [f32]) {
    assert_eq!(x.len(), grid.images * norm.pixels * norm.channels(), "a grid of other images");
    assert_eq!(norm.pixels, grid.height * grid.width, "a grid of other images");
    assert_eq!(lines.len(), grid.lines(norm.channels()), "lines of another grid");
    lines.chunks_exact_mut(grid.places().max(1)).for_each(|lines| grid.clear(lines));
    run(Forward { norm: *norm, x, out: Out::Lines(*grid, lines), statistics });
}

impl Norm<'_> {
    /// Up to sixteen channels of a pixel, normalised.
    #[inline(always)]
    fn apply<L: Lanes>(&self, l: L, x: L::Of, [mean, scale, shift]: [L::Of; 3]) -> L::Of {
        let value = l.fused(l.subtract(x, mean), scale, shift);
        if self.silu { l.multiply(value, l.sigmoid(value)) } else { value }
    }

    /// What up to sixteen channels are normalised with.
    #[inline(always)]
    fn factors<L: Lanes>(&self, l: L, [means, inverses]: [&[f32]; 2], first: usize, end: usize) -> [L::Of; 3] {
        let scale = l.multiply(l.read(&self.weight[first..end]), l.read(&inverses[first..end]));
        [l.read(&means[first..end]), scale, l.read(&self.bias[first..end])]
    }
}

impl Task for Forward<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { norm, x, mut out, statistics } = self;
        let (channels, pixels) = (norm.channels(), norm.pixels);
        let size = (channels * pixels).max(1);
        let images = x.chunks_exact(size).zip(statistics.chunks_exact_mut(2 * channels.max(1)));
        for (index, (x, statistics)) in images.enumerate() {
            let (means, inverses) = statistics.split_at_mut(channels);
            for first in (0..channels).step_by(LANES) {
                let end = channels.min(first + LANES);
                let [sum, _] = sums!(l, pixels, pixel => {
                    let x = l.read(&x[pixel * channels + first..pixel * channels + end]);
                    [x, x]
                });
                l.write(sum, &mut means[first..end]);
            }
            norm.means(means);
            for first in (0..channels).step_by(LANES) {
                let end = channels.min(first + LANES);
                let mean = l.read(&means[first..end]);
                let [sum, _] = sums!(l, pixels, pixel => {
                    let x = l.subtract(l.read(&x[pixel * channels + first..pixel * channels + end]), mean);
                    let square = l.multiply(x, x);
                    [square, square]
                });
                l.write(sum, &mut inverses[first..end]);
            }
            norm.means(inverses);
            inverses.iter_mut().for_each(|value| *value = 1.0 / (*value + norm.epsilon).sqrt());
            match &mut out {
                Out::Numbers(out) => {
                    let out = &mut out[index * size..][..size];
                    for first in (0..channels).step_by(LANES) {
                        let end = channels.min(first + LANES);
                        let factors = norm.factors(l, [means, inverses], first, end);
                        for pixel in 0..pixels {
                            let at = pixel * channels + first..pixel * channels + end;
                            l.write(norm.apply(l, l.read(&x[at.clone()]), factors), &mut out[at]);
                        }
                    }
                }
                Out::Lines(grid, lines) => {
                    for (chunk, lines) in lines.chunks_exact_mut(grid.places()).enumerate() {
                        let first = 2 * LANES * chunk;
                        let (middle, end) = (channels.min(first + LANES), channels.min(first + 2 * LANES));
                        let low = norm.factors(l, [means, inverses], first, middle);
                        let high = norm.factors(l, [means, inverses], middle, end);
                        for row in 0..grid.height {
                            let x = &x[row * grid.width * channels..][..grid.width * channels];
                            let places = &mut lines[grid.row(index, row)..][..grid.width];
                            for (pixel, place) in x.chunks_exact(channels).zip(places) {
                                let a = norm.apply(l, l.read(&pixel[first..middle]), low);
                                // Zeros stay zeros where there are no more channels: scale and shift are, and SiLU of 0.
                                let b = norm.apply(l, l.read(&pixel[middle..end]), high);
                                *place = l.pairs(a, b);
                            }
                        }
                    }
                }
            }
        }
    }
}

struct Backward<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    statistics: &'a [f32],
    gradient: &'a mut [f32],
    of_weight: &'a mut [f32],
    of_bias: &'a mut [f32],
}

/// Makes the gradient of [`normalise`]'s result that of its `x`; those of scales and shifts are added to what is there.
///
/// # Panics
/// When a slice is shorter than it should be.
#[inline(never)]
pub fn normalise_back(
    norm: &Norm<'_>,
    x: &[f32],
    statistics: &[f32],
    gradient: &mut [f32],
    of_weight: &mut [f32],
    of_bias: &mut [f32],
) {
    run(Backward { norm: *norm, x, statistics, gradient, of_weight, of_bias });
}

impl Task for Backward<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { norm, x, statistics, gradient, of_weight, of_bias } = self;
        let (channels, pixels) = (norm.channels(), norm.pixels);
        let size = (channels * pixels).max(1);
        let images =
            x.chunks_exact(size).zip(gradient.chunks_exact_mut(size)).zip(statistics.chunks_exact(2 * channels.max(1)));
        // Of each channel the gradient's part along nothing and along what was normalised.
        let (mut plain, mut along) = (vec![0.0; channels], vec![0.0; channels]);
        for ((x, gradient), statistics) in images {
            let (means, inverses) = statistics.split_at(channels);
            for first in (0..channels).step_by(LANES) {
                let end = channels.min(first + LANES);
                let (mean, inverse) = (l.read(&means[first..end]), l.read(&inverses[first..end]));
                let (scale, shift) = (l.read(&norm.weight[first..end]), l.read(&norm.bias[first..end]));
                let [total, aligned] = sums!(l, pixels, pixel => {
                    let at = pixel * channels + first..pixel * channels + end;
                    let unit = l.multiply(l.subtract(l.read(&x[at.clone()]), mean), inverse);
                    let mut g = l.read(&gradient[at.clone()]);
                    if norm.silu {
                        g = l.multiply(g, Silu.with_slope(l, l.fused(unit, scale, shift)).1);
                        l.write(g, &mut gradient[at]);
                    }
                    [g, l.multiply(g, unit)]
                });
                for (sums, found) in [(&mut *of_bias, total), (&mut *of_weight, aligned)] {
                    let place = &mut sums[first..end];
                    l.write(l.add(l.read(place), found), place);
                }
                l.write(l.multiply(total, scale), &mut plain[first..end]);
                l.write(l.multiply(aligned, scale), &mut along[first..end]);
            }
            norm.means(&mut plain);
            norm.means(&mut along);
            for first in (0..channels).step_by(LANES) {
                let end = channels.min(first + LANES);
                let (mean, inverse) = (l.read(&means[first..end]), l.read(&inverses[first..end]));
                let scale = l.multiply(l.read(&norm.weight[first..end]), inverse);
                let plain = l.multiply(l.read(&plain[first..end]), inverse);
                let along = l.multiply(l.multiply(l.read(&along[first..end]), inverse), inverse);
                for pixel in 0..pixels {
                    let at = pixel * channels + first..pixel * channels + end;
                    let centred = l.subtract(l.read(&x[at.clone()]), mean);
                    let place = &mut gradient[at];
                    let rest = l.fused(centred, along, plain);
                    l.write(l.subtract(l.multiply(l.read(place), scale), rest), place);
                }
            }
        }
    }
}

struct ChannelSums<'a> {
    values: &'a [f32],
    channels: usize,
    pixels: usize,
    sums: &'a mut [f32],
}

/// The sums over the pixels of each image: of `[images, pixels, channels]` into `[images, channels]`.
///
/// # Panics
/// When there are fewer places than sums.
pub fn channel_sums(values: &[f32], channels: usize, pixels: usize, sums: &mut [f32]) {
    run(ChannelSums { values, channels, pixels, sums });
}

impl Task for ChannelSums<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { values, channels, pixels, sums: found } = self;
        let images = values.chunks_exact((channels * pixels).max(1));
        for (image, found) in images.zip(found.chunks_exact_mut(channels.max(1))) {
            for first in (0..channels).step_by(LANES) {
                let end = channels.min(first + LANES);
                let [sum, _] = sums!(l, pixels, pixel => {
                    let x = l.read(&image[pixel * channels + first..pixel * channels + end]);
                    [x, x]
                });
                l.write(sum, &mut found[first..end]);
            }
        }
    }
}

struct AddBias<'a>(&'a mut [f32], &'a [f32]);

/// Adds a number to each channel of every pixel.
pub fn add_bias(values: &mut [f32], bias: &[f32]) {
    run(AddBias(values, bias));
}

impl Task for AddBias<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for pixel in self.0.chunks_exact_mut(self.1.len().max(1)) {
            for (values, bias) in pixel.chunks_mut(LANES).zip(self.1.chunks(LANES)) {
                l.write(l.add(l.read(values), l.read(bias)), values);
            }
        }
    }
}

struct Add<'a>(&'a mut [f32], &'a [f32]);

/// `a += b`
pub fn add(a: &mut [f32], b: &[f32]) {
    run(Add(a, b));
}

impl Task for Add<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (a, b) in self.0.chunks_mut(LANES).zip(self.1.chunks(LANES)) {
            l.write(l.add(l.read(a), l.read(b)), a);
        }
    }
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    width: usize,
    scale: f32,
    /// The weights that a gradient is to be taken through.
    weights: Option<&'a [f32]>,
}

/// Of scores, row by row, the weights `exp(scale score)` divided by their sum.
pub fn weigh(scores: &mut [f32], width: usize, scale: f32) {
    run(Softmax { rows: scores, width, scale, weights: None });
}

/// Makes the gradients of weights those of the scores.
///
/// # Panics
/// When there are fewer weights than gradients.
pub fn weigh_back(gradients: &mut [f32], weights: &[f32], width: usize, scale: f32) {
    run(Softmax { rows: gradients, width, scale, weights: Some(weights) });
}

impl Task for Softmax<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { rows, width, scale, weights } = self;
        for (index, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
            if let Some(weights) = weights {
                let weights = &weights[index * width..][..width];
                let mut sum = l.splat(0.0);
                for (g, w) in row.chunks(LANES).zip(weights.chunks(LANES)) {
                    sum = l.fused(l.read(g), l.read(w), sum);
                }
                let mean = l.splat(l.total(sum));
                for (g, w) in row.chunks_mut(LANES).zip(weights.chunks(LANES)) {
                    let found = l.multiply(l.subtract(l.read(g), mean), l.scale(l.read(w), scale));
                    l.write(found, g);
                }
                continue;
            }
            let (sixteens, rest) = row.as_chunks();
            let mut largest = [f32::NEG_INFINITY; LANES];
            if let Some(first) = sixteens.first() {
                let mut most = l.load(first);
                for x in sixteens {
                    most = l.most(most, l.load(x));
                }
                l.store(most, &mut largest);
            }
            let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |most, x| most.max(*x));
            let mut sum = l.splat(0.0);
            for x in row.chunks_mut(LANES) {
                let found = l.exp(l.scale(l.subtract(l.read(x), l.splat(largest)), scale));
                l.write(found, x);
                // Zeros where the row ends.
                sum = l.add(sum, l.read(x));
            }
            let inverse = 1.0 / l.total(sum);
            for x in row.chunks_mut(LANES) {
                l.write(l.scale(l.read(x), inverse), x);
            }
        }
    }
}
