//! Handwritten digits of 8 by 8 pixels: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, 1998, UCI
//! Machine Learning Repository, CC BY 4.0; the 1797 of its test set that scikit-learn ships.
//!
//! The file `web/data/digits.bin`: their number as two bytes, low first; half a byte of label each; half a byte a pixel,
//! low half first, its grey value from 0 to 15; and of every pixel that is 15 there one bit more, whether it is 16.

/// Pixels of a digit.
pub const PIXELS: usize = 64;

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
    fn what_is_no_such_file_is_refused() {
        for length in [0, 1, 2, 500, file().len() - 1] {
            assert_eq!(Digits::read(&file()[..length]), None, "{length}");
        }
        assert_eq!(Digits::read(&[file(), &[0]].concat()), None);
        assert_eq!(Digits::read(b"<!DOCTYPE html>"), None);
    }
}
