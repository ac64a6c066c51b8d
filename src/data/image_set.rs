//! Images of one size, with or without classes.

use thiserror::Error;

/// Why images cannot be used together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImageSetError {
    /// There are none.
    #[error("there are no images")]
    Empty,
    /// The bytes are not whole images.
    #[error("{found} bytes are not whole images of {channels} x {size} x {size}")]
    Length {
        /// Number of bytes.
        found: usize,
        /// Channels of an image.
        channels: usize,
        /// Height and width of an image.
        size: usize,
    },
    /// Another number of labels than images.
    #[error("{labels} labels for {images} images")]
    Labels {
        /// How many labels.
        labels: usize,
        /// How many images.
        images: usize,
    },
    /// A label without a class.
    #[error("label {label} of image {image}, but there are {classes} classes")]
    Class {
        /// The label.
        label: u32,
        /// The image.
        image: usize,
        /// How many classes there are.
        classes: usize,
    },
}

/// Square images of one size with 256 grey values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    size: usize,
    channels: usize,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl ImageSet {
    /// Images whose `pixels` are `[image, channel, row, column]`; `labels` is empty or has one for each, an index into
    /// `classes`.
    ///
    /// # Errors
    /// An [`ImageSetError`] when these do not belong together.
    pub fn new(
        size: usize,
        channels: usize,
        pixels: Vec<u8>,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Result<Self, ImageSetError> {
        let each = size * size * channels;
        if pixels.is_empty() || each == 0 {
            return Err(ImageSetError::Empty);
        }
        if !pixels.len().is_multiple_of(each) {
            return Err(ImageSetError::Length { found: pixels.len(), channels, size });
        }
        let images = pixels.len() / each;
        if !labels.is_empty() && labels.len() != images {
            return Err(ImageSetError::Labels { labels: labels.len(), images });
        }
        match labels.iter().position(|label| *label as usize >= classes.len()) {
            Some(image) => Err(ImageSetError::Class { label: labels[image], image, classes: classes.len() }),
            None => Ok(Self { size, channels, pixels, labels, classes }),
        }
    }

    /// How many images there are; never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.pixels.len() / self.numbers()
    }

    /// Height and width.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Channels: 3, or 1 for grey.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Numbers of an image.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.size * self.size * self.channels
    }

    /// An image, `[channel, row, column]`; the last one when there is no such image.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let each = self.numbers();
        let start = index.min(self.len() - 1) * each;
        &self.pixels[start..start + each]
    }

    /// The class of an image.
    #[must_use]
    pub fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).map(|label| *label as usize)
    }

    /// Names of the classes.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// All pixels, `[image, channel, row, column]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels; empty without.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The first `count` images.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.pixels.truncate(count.max(1) * self.numbers());
        self.labels.truncate(count.max(1));
        self
    }

    /// All but the first `count` images; `None` when there are no others.
    #[must_use]
    pub fn without_first(mut self, count: usize) -> Option<Self> {
        if count >= self.len() {
            return None;
        }
        self.pixels.drain(..count * self.numbers());
        self.labels.drain(..count.min(self.labels.len()));
        Some(self)
    }

    /// The images in so many parts of about the same size, in order; fewer where there are not so many images.
    #[must_use]
    pub fn shares(&self, count: usize) -> Vec<Self> {
        let count = count.clamp(1, self.len().max(1));
        let share = |index: usize| {
            let [start, end] = [index, index + 1].map(|index| self.len() * index / count);
            let labels = self.labels.get(start..end).unwrap_or_default().to_vec();
            let pixels = self.pixels[start * self.numbers()..end * self.numbers()].to_vec();
            Self { size: self.size, channels: self.channels, pixels, labels, classes: self.classes.clone() }
        };
        (0..count).map(share).collect()
    }
}

/// A grey value as the networks see it, in `[-1, 1]`.
#[must_use]
pub fn to_unit(value: u8) -> f32 {
    f32::from(value) / 127.5 - 1.0
}

/// The nearest grey value.
#[must_use]
pub fn to_grey(value: f32) -> u8 {
    // Rounds half to even, as torch and numpy do; what is not a number becomes black.
    (value * 127.5 + 127.5).round_ties_even().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grey_value_comes_back() {
        assert!((0..=255).all(|value| to_grey(to_unit(value)) == value));
        assert_eq!((to_grey(-7.0), to_grey(7.0), to_grey(f32::NAN)), (0, 255, 0));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let classes = vec!["a".to_owned()];
        let set =
            |pixels: usize, labels: &[u32]| ImageSet::new(2, 3, vec![0; pixels], labels.to_vec(), classes.clone());
        assert_eq!(set(0, &[]), Err(ImageSetError::Empty));
        assert_eq!(set(13, &[]), Err(ImageSetError::Length { found: 13, channels: 3, size: 2 }));
        assert_eq!(set(24, &[0]), Err(ImageSetError::Labels { labels: 1, images: 2 }));
        assert_eq!(set(24, &[0, 1]), Err(ImageSetError::Class { label: 1, image: 1, classes: 1 }));
        let set = set(24, &[0, 0]).unwrap();
        assert!(set.clone().without_first(2).is_none());
        assert_eq!((set.len(), set.label(1), set.first(1).len()), (2, Some(0), 1));
    }

    #[test]
    fn shares_are_all_images_in_order() {
        let pixels: Vec<u8> = (0..7).flat_map(|image| [image; 3]).collect();
        let classes = ["a", "b"].map(str::to_owned).to_vec();
        let set = ImageSet::new(1, 3, pixels.clone(), vec![0, 1, 0, 1, 1, 0, 0], classes).unwrap();
        let shares = set.shares(3);
        assert_eq!(shares.iter().map(ImageSet::len).collect::<Vec<_>>(), [2, 2, 3]);
        assert_eq!(shares.iter().flat_map(|share| share.pixels().to_vec()).collect::<Vec<_>>(), pixels);
        assert_eq!((shares[1].label(0), shares[2].label(0)), (Some(0), Some(1)));
        assert_eq!(set.shares(9).len(), 7);
    }
}
