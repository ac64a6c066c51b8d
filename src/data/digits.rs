//! Handwritten digits of 8 by 8 pixels: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, 1998, UCI
//! Machine Learning Repository, CC BY 4.0; the 1797 of its test set that scikit-learn ships.
//!
//! The file `web/data/digits.bin`: their number as two bytes, low first; half a byte of label each; half a byte a pixel,
//! low half first, its grey value from 0 to 15; and of every pixel that is 15 there one bit more, whether it is 16.

/// Pixels of a digit.
pub const PIXELS: usize = 64;
/// Grey values of a pixel, evenly from -1 to 1.
pub const GREYS: usize = 17;
/// Half the distance of neighbouring grey values: the half-width of a bin of
/// [`crate::diffusion::objective::discretised_log_probability`].
pub const HALF_WIDTH: f64 = 1.0 / (GREYS - 1) as f64;

/// Bits per pixel of each of some digits under a model of independent pixels: how often a pixel had a grey value among
/// those known, with one more of every value (Laplace's rule).
#[must_use]
pub fn independent_pixel_bits(known: &[f32], digits: &[f32]) -> Vec<f64> {
    let grey = |v: f32| (((f64::from(v) + 1.0) / (2.0 * HALF_WIDTH)).round() as usize).min(GREYS - 1);
    let mut counts = [[1.0; GREYS]; PIXELS];
    for digit in known.chunks_exact(PIXELS) {
        counts.iter_mut().zip(digit).for_each(|(counts, v)| counts[grey(*v)] += 1.0);
    }
    let all = (known.len() / PIXELS + GREYS) as f64;
    let bits =
        |digit: &[f32]| counts.iter().zip(digit).map(|(counts, v)| -libm::log2(counts[grey(*v)] / all)).sum::<f64>();
    digits.chunks_exact(PIXELS).map(|digit| bits(digit) / PIXELS as f64).collect()
}

/// The digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Digits {
    /// Grey values from -1 to 1, digit by digit, row by row from the top.
    pub pixels: Vec<f32>,
    /// Which digit each is.
    pub labels: Vec<u8>,
}

impl Digits {
    /// Reads the file; nothing when it is not one.
    #[must_use]
    pub fn read(file: &[u8]) -> Option<Self> {
        let (head, rest) = file.split_at_checked(2)?;
        let count = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let (labels, rest) = rest.split_at_checked(count.div_ceil(2))?;
        let (greys, ones) = rest.split_at_checked(count * PIXELS / 2)?;
        let halves = |bytes: &[u8]| bytes.iter().flat_map(|b| [b & 15, b >> 4]).collect::<Vec<u8>>();
        let (mut labels, greys) = (halves(labels), halves(greys));
        labels.truncate(count);
        let bright = greys.iter().filter(|&&grey| grey == 15).count();
        if count == 0 || ones.len() != bright.div_ceil(8) || labels.iter().any(|&label| label > 9) {
            return None;
        }
        let mut bits = ones.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
        let pixels = greys
            .into_iter()
            .map(|grey| if grey == 15 { grey + bits.next().unwrap_or(0) } else { grey })
            .map(|grey| f32::from(grey) / 8.0 - 1.0)
            .collect();
        Some(Self { pixels, labels })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// The pixels of one.
    #[must_use]
    pub fn digit(&self, index: usize) -> &[f32] {
        &self.pixels[index * PIXELS..(index + 1) * PIXELS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> &'static [u8] {
        include_bytes!("../../web/data/digits.bin")
    }

    #[test]
    fn the_digits_are_those_of_the_collection() {
        let digits = Digits::read(file()).expect("the file of the page");
        assert_eq!(digits.count(), 1797);
        // The collection's first digit, a zero, and its sums: of all grey values and of those of 16.
        let grey: Vec<u32> = digits.pixels.iter().map(|v| ((v + 1.0) * 8.0) as u32).collect();
        assert_eq!(grey[..16], [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]);
        assert_eq!(grey.iter().sum::<u32>(), 561_718);
        assert_eq!(grey.iter().filter(|&&v| v == 16).count(), 10_456);
        let count = |label| digits.labels.iter().filter(|&&l| l == label).count();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(count), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn independent_pixels_are_known_by_their_counts() {
        let digit = |grey: usize| [2.0 * HALF_WIDTH as f32 * grey as f32 - 1.0; PIXELS];
        let known = [digit(3), digit(3), digit(16)].concat();
        let bits = independent_pixel_bits(&known, &[digit(3), digit(16), digit(0)].concat());
        let expected = [3.0, 2.0, 1.0].map(|count: f64| -(count / 20.0).log2());
        for (bits, expected) in bits.iter().zip(expected) {
            assert!((bits - expected).abs() < 1e-12, "{bits} {expected}");
        }
        // Of real digits, less than the logarithm of the number of values.
        let digits = Digits::read(file()).expect("the file of the page");
        let (known, other) = digits.pixels.split_at(1597 * PIXELS);
        let bits = independent_pixel_bits(known, other);
        let mean = bits.iter().sum::<f64>() / bits.len() as f64;
        assert!(mean > 2.2 && mean < 2.6, "{mean}");
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for length in [0, 1, 2, 500, file().len() - 1] {
            assert_eq!(Digits::read(&file()[..length]), None, "{length}");
        }
        assert_eq!(Digits::read(&[file(), &[0]].concat()), None);
        assert_eq!(Digits::read(b"<!DOCTYPE html>"), None);
    }
}
