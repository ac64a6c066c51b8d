//! The handwritten digits of a study, and many of them as one picture.

use super::context::StudyContext;
use super::error::StudyError;
use super::network::{Fit, LevelNet, Size};
use super::rows::Rows;
use crate::data::digits::{Digits, PIXELS};
use crate::data::metrics::bootstrap;
use crate::data::metrics::gaussian::{GaussianFit, Moments};
use crate::rng::Rng;

/// Root mean square of the grey values.
pub const DATA: f64 = 0.85;

/// Pixels along a side of a digit.
pub const SIDE: usize = 8;
/// What is not there, below the darkest pixel.
const NOTHING: f64 = -2.0;
const FILE: &str = "data/digits.bin";

/// The digits of a study: those its networks learn from, and the last ones, which they do not see.
pub struct Split {
    /// All of them.
    pub digits: Digits,
}

impl Split {
    /// Digits that the networks do not see.
    pub const HELD_OUT: usize = 200;

    /// The digits of the file beside the page.
    ///
    /// # Errors
    /// When the file cannot be had, or is not one.
    pub async fn read(context: &StudyContext) -> Result<Self, StudyError> {
        let file = context.file(FILE).await?;
        let digits = Digits::read(&file).filter(|digits| digits.count() > 2 * Self::HELD_OUT);
        Ok(Self { digits: digits.ok_or(StudyError::File(FILE))? })
    }

    /// How many the networks learn from: the first ones.
    pub fn known(&self) -> usize {
        self.digits.count() - Self::HELD_OUT
    }

    /// The pixels of those.
    pub fn seen(&self) -> &[f32] {
        &self.digits.pixels[..self.known() * PIXELS]
    }

    /// The digits that the networks do not see.
    pub fn held_out(&self) -> Rows {
        Rows::from_f32(PIXELS, &self.digits.pixels[self.known() * PIXELS..])
    }

    /// The pixels of some digits to learn from, drawn evenly.
    pub fn batch(&self, rng: &mut Rng, count: usize) -> Vec<f32> {
        (0..count).flat_map(|_| self.digits.digit(rng.below(self.known() as u32) as usize)).copied().collect()
    }

    /// A network for all levels that has learned the digits. `after` is called as by [`Fit::train`].
    ///
    /// # Errors
    /// The device's.
    pub async fn learn(
        &self,
        context: &StudyContext,
        width: usize,
        fit: Fit,
        after: impl FnMut(usize),
    ) -> Result<LevelNet, StudyError> {
        let mut net = LevelNet::new(context, Size { dimension: PIXELS, width, depth: 2, data: DATA }, 0);
        fit.train(context, &mut net, |rng, count| self.batch(rng, count), after).await?;
        Ok(net)
    }
}

/// Many digits as one picture, `[columns, rows]` of them, rows from the bottom, over the window, with gaps between
/// them and where there is none.
pub fn digit_grid<'d>(
    counts: [usize; 2],
    window: [f64; 4],
    digit: impl Fn(usize, usize) -> Option<&'d [f32]>,
) -> Vec<f64> {
    picture_grid(SIDE, counts, window, digit)
}

/// The same of pictures with this many pixels along a side.
pub fn picture_grid<'d>(
    side: usize,
    counts: [usize; 2],
    window: [f64; 4],
    picture: impl Fn(usize, usize) -> Option<&'d [f32]>,
) -> Vec<f64> {
    let value = |column: usize, row: usize, pixel: usize| {
        picture(column, row).map(|picture| f64::from(picture[pixel]).max(-1.0))
    };
    pixel_grid(side, counts, window, [-1.0, 1.0], value)
}

/// The same of digits in colours, by the value of a pixel in the picture of a column and a row.
pub fn colour_grid(
    counts: [usize; 2],
    window: [f64; 4],
    value: impl Fn(usize, usize, usize) -> Option<f64>,
) -> Vec<f64> {
    pixel_grid(SIDE, counts, window, [0.0, f64::from(0x00ff_ffff)], value)
}

fn pixel_grid(
    side: usize,
    [columns, rows]: [usize; 2],
    [left, right, bottom, top]: [f64; 4],
    [low, high]: [f64; 2],
    value: impl Fn(usize, usize, usize) -> Option<f64>,
) -> Vec<f64> {
    let [width, height] = [columns, rows].map(|count| count * (side + 1) - 1);
    let mut numbers = vec![width as f64, height as f64, left, right, bottom, top, low, high];
    for y in 0..height {
        numbers.extend((0..width).map(|x| {
            let ([column, left], [row, above]) = ([x / (side + 1), x % (side + 1)], [y / (side + 1), y % (side + 1)]);
            // Pictures count their rows from the top.
            let pixel = (side - 1 - above.min(side - 1)) * side + left;
            let found = if left.max(above) < side { value(column, row, pixel) } else { None };
            found.unwrap_or(NOTHING)
        }));
    }
    numbers
}

/// The window of a square of that many digits a side, each at a whole number.
pub fn square(count: usize) -> [f64; 4] {
    let end = count as f64 + 0.5;
    [0.5, end, 0.5, end]
}

/// Mean and covariance of digits.
///
/// # Panics
/// When there are fewer than two.
pub fn fit<'d>(digits: impl IntoIterator<Item = &'d [f32]>) -> GaussianFit {
    let mut moments = Moments::new(PIXELS);
    digits.into_iter().for_each(|digit| moments.add(digit));
    moments.fit().expect("there are more than two")
}

/// The Fréchet distance of digits from others, and its standard error by the bootstrap of the first.
pub fn frechet(digits: &[f32], others: &GaussianFit, seed: u32) -> (f64, f64) {
    let rows: Vec<&[f32]> = digits.chunks_exact(PIXELS).collect();
    let distance = |rows: &[&[f32]]| fit(rows.iter().copied()).frechet(others);
    (distance(&rows), bootstrap(&rows, 20, seed, distance))
}

/// The Fréchet distance of digits from others over that of as many digits, the n-th of which began with the same noise as
/// the n-th of the first, and its standard error by the bootstrap of the pairs.
pub fn frechet_ratio(digits: &[f32], over: &[f32], others: &GaussianFit, seed: u32) -> (f64, f64) {
    let pairs: Vec<(&[f32], &[f32])> = digits.chunks_exact(PIXELS).zip(over.chunks_exact(PIXELS)).collect();
    let ratio = |pairs: &[(&[f32], &[f32])]| {
        let [above, below] = [fit(pairs.iter().map(|pair| pair.0)), fit(pairs.iter().map(|pair| pair.1))];
        above.frechet(others) / below.frechet(others)
    };
    (ratio(&pairs), bootstrap(&pairs, 20, seed, ratio))
}
