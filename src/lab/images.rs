//! What a run of images says that has no number: the name of its weights, and the image it begins with.

use serde::{Deserialize, Serialize};

use super::choices::ArrangementId;
use super::config::RunConfig;
use crate::base64;

/// Longest name.
const LONGEST: usize = 64;

/// A name of letters, digits, `.`, `-` and `_` that does not begin with a point: fit for a link and for a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Word(String);

impl Word {
    /// The name in a text; what has no place in one is left out.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let kept: String = text.trim_start_matches('.').chars().filter(fit).take(LONGEST).collect();
        Self(kept.trim_start_matches('.').to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

/// The word for weights that the visitor brought.
pub const OWN_WEIGHTS: &str = "own";

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

/// The seed of image `index` of a run: with it, and a run of one image, the image comes again alone. Variations and
/// interpolations have the seed of the run; what makes them differ is in [`start_of`].
#[must_use]
pub fn seed_of(config: &RunConfig, index: u32) -> u32 {
    match config.arrangement {
        ArrangementId::Independent => config.seed.wrapping_add(index),
        ArrangementId::Variations | ArrangementId::Interpolation => config.seed,
    }
}

/// What the starting noise of an image is mixed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// The noise of a seed.
    Seed(u32),
    /// Between two noises along a great circle.
    Between {
        /// Seed of the first.
        from: u32,
        /// The second.
        to: Other,
        /// How far, from 0 to 1.
        share: f64,
    },
}

/// The other end of a great circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// The noise of a seed.
    Seed(u32),
    /// The `n`-th neighbour of the first noise, from 1.
    Neighbour(u32),
}

/// The starting noise of image `index` of a run.
#[must_use]
pub fn start_of(config: &RunConfig, index: u32) -> Start {
    match config.arrangement {
        ArrangementId::Independent => Start::Seed(seed_of(config, index)),
        ArrangementId::Variations if index == 0 => Start::Seed(config.seed),
        ArrangementId::Variations => {
            Start::Between { from: config.seed, to: Other::Neighbour(index), share: config.variation }
        }
        ArrangementId::Interpolation => {
            let last = config.images.max(2) - 1;
            let share = f64::from(index.min(last)) / f64::from(last);
            Start::Between { from: config.seed, to: Other::Seed(config.seed_to), share }
        }
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

    #[test]
    fn words_hold_nothing_that_leads_elsewhere() {
        assert_eq!(Word::new("preview-32_b.1").as_str(), "preview-32_b.1");
        assert_eq!(Word::new("../../etc/passwd").as_str(), "etcpasswd");
        assert_eq!(Word::new("/.hidden?x=1").as_str(), "hiddenx1");
        assert_eq!(Word::new(&"a".repeat(100)).as_str().len(), LONGEST);
    }

    #[test]
    fn interpolations_begin_and_end_at_the_two_seeds() {
        let config = RunConfig {
            arrangement: ArrangementId::Interpolation,
            images: 5,
            seed: 7,
            seed_to: 9,
            ..RunConfig::default()
        };
        let shares: Vec<f64> = (0..5)
            .map(|i| match start_of(&config, i) {
                Start::Between { from: 7, to: Other::Seed(9), share } => share,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(shares, [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(seed_of(&RunConfig { seed: u32::MAX, ..RunConfig::default() }, 2), 1);
    }
}
