//! The image that a run of images begins with.

use serde::{Deserialize, Serialize};

use crate::base64;

/// Pixels along a side of a known image: CIFAR-10's.
pub const SIDE: usize = 32;
/// Pixels of a known image.
pub const PIXELS: usize = SIDE * SIDE;

/// Letters of a link for the pixels, and for the mask.
const COLOUR_LETTERS: usize = PIXELS * 3 * 8 / 6;
const MASK_LETTERS: usize = (PIXELS).div_ceil(6);

/// An image of which something is known: 32 by 32 pixels, rows from the top, and which of them are given. Small enough
/// to travel in a link. The default is no image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Picture {
    colours: Vec<u8>,
    known: Vec<bool>,
}

impl Picture {
    /// The image with these colours, `red, green, blue` of every pixel, of which the pixels marked in `known` are
    /// given. `None` when either has another length than 32 by 32 pixels have.
    #[must_use]
    pub fn new(colours: Vec<u8>, known: Vec<bool>) -> Option<Self> {
        (colours.len() == 3 * PIXELS && known.len() == PIXELS).then_some(Self { colours, known })
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.colours.is_empty()
    }

    /// The colours, `red, green, blue` of every pixel; empty without an image.
    #[must_use]
    pub fn colours(&self) -> &[u8] {
        &self.colours
    }

    /// Which pixels are given; empty without an image.
    #[must_use]
    pub fn known(&self) -> &[bool] {
        &self.known
    }

    /// Marks a pixel as given or as missing; one outside the image is ignored.
    pub fn mark(&mut self, column: usize, row: usize, known: bool) {
        if column < SIDE
            && let Some(pixel) = self.known.get_mut(row * SIDE + column)
        {
            *pixel = known;
        }
    }

    /// Letters of base64url: the colours, then the mask. Empty without an image.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bits = self.colours.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
        let bits: Vec<bool> = bits.chain(self.known.iter().copied()).collect();
        let letter = |six: &[bool]| {
            let value = six.iter().fold(0_u8, |value, bit| 2 * value + u8::from(*bit));
            base64::letter(value << (6 - six.len()))
        };
        bits.chunks(6).map(letter).collect()
    }

    /// Reads [`Self::to_text`]; `None` when it is not that.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        if text.len() != COLOUR_LETTERS + MASK_LETTERS {
            return None;
        }
        let mut bits = Vec::with_capacity(6 * text.len());
        for byte in text.bytes() {
            let value = base64::value(byte)?;
            bits.extend((0..6).rev().map(|bit| value >> bit & 1 == 1));
        }
        let (colours, mask) = bits.split_at(24 * PIXELS);
        let byte = |eight: &[bool]| eight.iter().fold(0_u8, |value, bit| value << 1 | u8::from(*bit));
        Self::new(colours.chunks_exact(8).map(byte).collect(), mask.get(..PIXELS)?.to_vec())
    }
}

impl From<Picture> for String {
    fn from(picture: Picture) -> Self {
        picture.to_text()
    }
}

impl TryFrom<String> for Picture {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_text(&text).ok_or("not an image of 32 by 32 pixels")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let colours = (0..3 * PIXELS).map(|i| (i * 7 % 256) as u8).collect();
        Picture::new(colours, (0..PIXELS).map(|i| i % 3 == 0).collect()).expect("the right lengths")
    }

    #[test]
    fn a_picture_survives_its_text() {
        let picture = picture();
        let text = picture.to_text();
        assert_eq!(text.len(), COLOUR_LETTERS + MASK_LETTERS);
        assert_eq!(Picture::from_text(&text), Some(picture));
        assert_eq!(Picture::from_text(""), Some(Picture::default()));
        assert_eq!(Picture::default().to_text(), "");
        assert_eq!(Picture::from_text(&text[1..]), None);
        assert_eq!(Picture::from_text(&text.replacen(&text[..1], "!", 1)), None);
        assert_eq!(Picture::new(vec![0; 3], vec![true]), None);
    }

    #[test]
    fn marking_touches_one_pixel_and_nothing_outside() {
        let mut picture = picture();
        let before = picture.clone();
        picture.mark(SIDE, 0, true);
        picture.mark(0, SIDE, true);
        assert_eq!(picture, before);
        picture.mark(1, 0, true);
        assert!(picture.known()[1] && !before.known()[1]);
        Picture::default().mark(0, 0, true);
    }
}
