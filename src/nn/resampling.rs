//! Changes of height and width by a separable filter (Karras et al. 2019, as Song et al. 2021 use it): which filters
//! there are, and the weights with which every interpreter of the layers computes them.

use serde::{Deserialize, Serialize};

/// A filter of resampling, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// `[1, 1] / 2`: means of two by two pixels, and every pixel twice in both directions.
    Box,
    /// `[1, 3, 3, 1] / 8`.
    Binomial,
}

impl Filter {
    /// The weights, which add up to 1 and are the same read backwards.
    #[must_use]
    pub const fn taps(self) -> &'static [f32] {
        match self {
            Self::Box => &[0.5, 0.5],
            Self::Binomial => &[0.125, 0.375, 0.375, 0.125],
        }
    }
}

/// A change of height and width, with zeros beyond the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resampling {
    /// Half of both: the filter at every second pixel.
    Halve(Filter),
    /// Twice both: the filter over pixels with zeros between them, times 4.
    Double(Filter),
    /// One more of both: the filter between all pixels and at the edges. A convolution of size 3 at every second pixel of
    /// it, without zeros around, is one at half the size after a convolution and the filter.
    Blur(Filter),
    /// The same size: means of five by five pixels, zeros beyond the edges among them.
    Mean,
    /// Twice both, bilinear, corners upon corners (RefineNet's).
    Stretch,
}

/// Pixels that [`Resampling::Mean`] takes along a direction.
pub const MEAN: usize = 5;

/// What one pixel of the result reads along a direction: weights of consecutive pixels, the first of which is `first` and
/// may lie beyond the edge.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// The first pixel that is read.
    pub first: isize,
    /// Weights from there on.
    pub weights: [f32; MEAN],
    /// How many there are.
    pub count: usize,
}

impl Resampling {
    /// The length of the result along a direction of `length` pixels.
    #[must_use]
    pub const fn length(self, length: usize) -> usize {
        match self {
            Self::Halve(_) => length / 2,
            Self::Double(_) | Self::Stretch => 2 * length,
            Self::Blur(_) => length + 1,
            Self::Mean => length,
        }
    }

    /// What pixel `at` of the result reads of a direction of `length`.
    #[must_use]
    pub fn reach(self, at: usize, length: usize) -> Reach {
        let at = at as isize;
        let mut weights = [0.0; MEAN];
        match self {
            Self::Halve(filter) | Self::Blur(filter) => {
                let taps = filter.taps();
                let before = taps.len() as isize / 2 - 1;
                weights[..taps.len()].copy_from_slice(taps);
                let first = if matches!(self, Self::Halve(_)) { 2 * at - before } else { at - before - 1 };
                Reach { first, weights, count: taps.len() }
            }
            Self::Mean => Reach { first: at - MEAN as isize / 2, weights: [1.0 / MEAN as f32; MEAN], count: MEAN },
            Self::Stretch => {
                let (last, steps) = (length.saturating_sub(1), (2 * length).saturating_sub(1).max(1));
                let place = at as usize * last;
                let share = (place % steps) as f32 / steps as f32;
                weights[..2].copy_from_slice(&[1.0 - share, share]);
                Reach { first: (place / steps) as isize, weights, count: 2 }
            }
            Self::Double(filter) => {
                let taps = filter.taps();
                let before = taps.len() as isize / 2 - 1;
                // Of tap k and pixel i the place 2 i + k - before: every second tap, the later ones for earlier pixels.
                let last = (at + before).div_euclid(2);
                let count = taps.len() / 2;
                let first = last + 1 - count as isize;
                for (place, weight) in weights[..count].iter_mut().enumerate() {
                    *weight = 2.0 * taps[(at + before - 2 * (first + place as isize)) as usize];
                }
                Reach { first, weights, count }
            }
        }
    }

    /// The weights that pixels of a direction of `length` have in each pixel of the result, those beyond the edges left
    /// out: the first pixel that is read, and its weight and those of the next.
    pub fn rows(self, length: usize) -> impl Iterator<Item = (usize, impl Iterator<Item = f32>)> {
        (0..self.length(length)).map(move |at| {
            let Reach { first, weights, count } = self.reach(at, length);
            let skipped = usize::try_from(-first).unwrap_or(0).min(count);
            let start = usize::try_from(first).unwrap_or(0);
            let kept = count.min(usize::try_from(length as isize - first).unwrap_or(0)).saturating_sub(skipped);
            (start, weights.into_iter().skip(skipped).take(kept))
        })
    }
}

/// The resampling of maps of numbers, `channels` of a pixel together when `inner` is their number, or channel by channel
/// when it is 1: first along rows, then along columns.
#[must_use]
pub fn resample(x: &[f32], [height, width]: [usize; 2], inner: usize, how: Resampling) -> Vec<f32> {
    let (rows, columns) = (how.length(height), how.length(width));
    let maps = x.len() / (height * width * inner).max(1);
    let mut across = vec![0.0; maps * height * columns * inner];
    for (row, found) in x.chunks_exact(width * inner).zip(across.chunks_exact_mut(columns * inner)) {
        along(row, found, inner, how, width);
    }
    let mut found = vec![0.0; maps * rows * columns * inner];
    let (map, result) = (height * columns * inner, rows * columns * inner);
    for (map, found) in across.chunks_exact(map).zip(found.chunks_exact_mut(result)) {
        along(map, found, columns * inner, how, height);
    }
    found
}

/// The gradient in what was resampled, `[height, width]`, of a gradient in the result.
#[must_use]
pub fn resample_back(gradient: &[f32], [height, width]: [usize; 2], inner: usize, how: Resampling) -> Vec<f32> {
    let (rows, columns) = (how.length(height), how.length(width));
    let maps = gradient.len() / (rows * columns * inner).max(1);
    let mut across = vec![0.0; maps * height * columns * inner];
    let (map, result) = (height * columns * inner, rows * columns * inner);
    for (gradient, map) in gradient.chunks_exact(result).zip(across.chunks_exact_mut(map)) {
        along_back(gradient, map, columns * inner, how, height);
    }
    let mut found = vec![0.0; maps * height * width * inner];
    for (gradient, row) in across.chunks_exact(columns * inner).zip(found.chunks_exact_mut(width * inner)) {
        along_back(gradient, row, inner, how, width);
    }
    found
}

/// Sums of pieces of `inner` numbers.
fn along(x: &[f32], found: &mut [f32], inner: usize, how: Resampling, length: usize) {
    for ((start, weights), found) in how.rows(length).zip(found.chunks_exact_mut(inner)) {
        for (piece, weight) in x[start * inner..].chunks_exact(inner).zip(weights) {
            found.iter_mut().zip(piece).for_each(|(sum, x)| *sum += weight * x);
        }
    }
}

fn along_back(gradient: &[f32], found: &mut [f32], inner: usize, how: Resampling, length: usize) {
    for ((start, weights), gradient) in how.rows(length).zip(gradient.chunks_exact(inner)) {
        for (piece, weight) in found[start * inner..].chunks_exact_mut(inner).zip(weights) {
            piece.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += weight * g);
        }
    }
}
