//! What images are compared by.

use clap::ValueEnum;

use crate::data::ImageSet;
use crate::nn::inception::{FEATURES, Inception};

/// Height and width of the shrunken images.
const SMALL: usize = 8;

/// Which features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FeaturesArg {
    /// The 2015 Inception network's: the distance is FID
    Inception,
    /// The pixels of images shrunk to 8 x 8: for a quick look, and not FID
    Pixels,
}

/// Turns images into features.
pub enum Extractor {
    /// The 2015 Inception network.
    Inception(Box<Inception>),
    /// Shrunken images.
    Pixels,
}

impl Extractor {
    /// What the numbers are called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Inception(_) => "inception-2015-12-05",
            Self::Pixels => "pixels-8x8, which is not FID",
        }
    }

    /// What tells two of them apart.
    #[must_use]
    pub fn digest(&self) -> &str {
        match self {
            Self::Inception(network) => network.digest(),
            Self::Pixels => "pixels-8x8",
        }
    }

    /// Numbers of an image of this many channels.
    #[must_use]
    pub fn dimension(&self, channels: usize) -> usize {
        match self {
            Self::Inception(_) => FEATURES,
            Self::Pixels => SMALL * SMALL * channels,
        }
    }

    /// The features of all images; fewer rows when `seen` said to end.
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    pub fn features(
        &self,
        set: &ImageSet,
        batch: usize,
        threads: usize,
        seen: impl FnMut(usize) -> bool,
    ) -> Result<Vec<f32>, String> {
        match self {
            Self::Inception(network) => network.features_of(set, batch, threads, seen),
            Self::Pixels => Ok((0..set.len()).flat_map(|index| shrink(set, index)).collect()),
        }
    }
}

/// Means over areas, in `[-1, 1]`.
fn shrink(set: &ImageSet, index: usize) -> Vec<f32> {
    let size = set.size();
    let mut sums = vec![0.0_f64; SMALL * SMALL * set.channels()];
    let mut counts = vec![0.0_f64; sums.len()];
    for (at, value) in set.image(index).iter().enumerate() {
        let (channel, row, column) = (at / (size * size), at / size % size, at % size);
        let place = channel * SMALL * SMALL + row * SMALL / size * SMALL + column * SMALL / size;
        sums[place] += f64::from(*value) / 127.5 - 1.0;
        counts[place] += 1.0;
    }
    sums.iter().zip(counts).map(|(sum, count)| (sum / count.max(1.0)) as f32).collect()
}
