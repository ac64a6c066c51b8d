//! CIFAR-10's shape (Krizhevsky 2009).

use crate::cli::failure::{Failure, Outcome};
use crate::data::ImageSet;

/// Height and width of CIFAR-10's images.
pub const SIDE: usize = 32;
/// Their channels: red, green, blue.
pub const CHANNELS: usize = 3;

/// The set of these images.
///
/// # Errors
/// When they are no whole images, or there are not as many labels.
pub fn finish(
    source: &str,
    size: usize,
    channels: usize,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    classes: Vec<String>,
) -> Outcome<ImageSet> {
    ImageSet::new(size, channels, pixels, labels, classes).map_err(|error| Failure::input(source, error))
}
