//! Many small square images as one picture: how many stand in a line, and the pixels of the whole.

/// Pixels between two images.
pub const GAP: usize = 1;

/// How images are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mosaic {
    /// Images in all.
    pub count: usize,
    /// Pixels along a side of one.
    pub side: usize,
    /// Images in a line.
    pub columns: usize,
    /// Pixels of the screen for a pixel of an image, along each side: a whole number, so that all are equal.
    pub zoom: usize,
}

impl Mosaic {
    /// The layout that shows the images largest within `width` by `height` pixels of the screen. Where that would be
    /// smaller than twice their size, it grows downwards instead.
    #[must_use]
    pub fn fit(count: usize, side: usize, width: usize, height: usize) -> Self {
        let (count, cell) = (count.max(1), side + GAP);
        let with = |columns: usize, zoom: usize| Self { count, side, columns, zoom };
        let zoom = |columns: usize| {
            let lines = count.div_ceil(columns);
            (width / (columns * cell)).min(height / (lines * cell))
        };
        // Among equally large ones the full rectangle, then the squarer one.
        let rank = |columns: usize| {
            let lines = count.div_ceil(columns);
            (zoom(columns), count.is_multiple_of(columns), usize::MAX - columns.abs_diff(lines))
        };
        let best = (1..=count).max_by_key(|&columns| rank(columns)).unwrap_or(1);
        if zoom(best) >= 2 {
            return with(best, zoom(best));
        }
        let columns = (width / (2 * cell)).clamp(1, count);
        with(columns, (width / (columns * cell)).max(1))
    }

    /// All images in one line.
    #[must_use]
    pub fn line(count: usize, side: usize, width: usize) -> Self {
        let count = count.max(1);
        Self { count, side, columns: count, zoom: (width / (count * (side + GAP))).max(1) }
    }

    /// Width and height of the picture in pixels of the images, gaps included.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        let length = |images: usize| images * (self.side + GAP) - GAP;
        [length(self.columns.min(self.count)), length(self.count.div_ceil(self.columns))]
    }

    /// Left and top of an image in the picture.
    #[must_use]
    pub fn place(&self, index: usize) -> [usize; 2] {
        [index % self.columns, index / self.columns].map(|at| at * (self.side + GAP))
    }

    /// The image at this place of the screen, counted in pixels of the screen from the left and the top of the picture.
    #[must_use]
    pub fn at(&self, x: f64, y: f64) -> Option<usize> {
        let cell = ((self.side + GAP) * self.zoom) as f64;
        if !(x >= 0.0 && y >= 0.0) {
            return None;
        }
        let [column, line] = [x / cell, y / cell].map(|at| at as usize);
        let index = line * self.columns + column;
        (column < self.columns && index < self.count).then_some(index)
    }

    /// The pixels of the picture, red, green, blue and opacity, from those of the images, red, green and blue. Gaps, and
    /// images that are not there, are clear.
    #[must_use]
    pub fn pixels(&self, images: &[u8]) -> Vec<u8> {
        let [width, height] = self.size();
        let mut out = vec![0; 4 * width * height];
        let length = 3 * self.side * self.side;
        for (index, image) in images.chunks_exact(length.max(1)).take(self.count).enumerate() {
            let [left, top] = self.place(index);
            for (line, pixels) in image.chunks_exact(3 * self.side).enumerate() {
                let start = 4 * ((top + line) * width + left);
                for (to, from) in out[start..].chunks_exact_mut(4).zip(pixels.chunks_exact(3)) {
                    to[..3].copy_from_slice(from);
                    to[3] = 255;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_shown_as_large_as_the_place_allows() {
        assert_eq!(Mosaic::fit(16, 32, 800, 720), Mosaic { count: 16, side: 32, columns: 4, zoom: 5 });
        assert_eq!(Mosaic::fit(1, 32, 800, 720).zoom, 21);
        // A wide and low place takes one line.
        assert_eq!(Mosaic::fit(8, 32, 800, 150).columns, 8);
    }

    #[test]
    fn a_narrow_place_keeps_the_images_large_enough_to_see() {
        for count in 1..=64 {
            for width in [150, 200, 310, 330, 700] {
                let mosaic = Mosaic::fit(count, 32, width, 500);
                assert!(mosaic.zoom >= 2, "{count} in {width}: {mosaic:?}");
                assert!(mosaic.size()[0] * mosaic.zoom <= width, "{count} in {width}: {mosaic:?}");
                assert!(mosaic.columns * mosaic.count.div_ceil(mosaic.columns) >= count);
            }
        }
    }

    #[test]
    fn every_image_is_found_where_it_is_painted_and_nowhere_else() {
        let mosaic = Mosaic::fit(5, 4, 60, 60);
        let images: Vec<u8> = (0..5).flat_map(|image| [10 * image + 1; 48]).collect();
        let pixels = mosaic.pixels(&images);
        let [width, height] = mosaic.size();
        assert_eq!(pixels.len(), 4 * width * height);
        for y in 0..height {
            for x in 0..width {
                let pixel = &pixels[4 * (y * width + x)..][..4];
                let found = (0..5).find(|&index| {
                    let [left, top] = mosaic.place(index);
                    (left..left + 4).contains(&x) && (top..top + 4).contains(&y)
                });
                match found {
                    Some(index) => {
                        let tone = 10 * index as u8 + 1;
                        assert_eq!(pixel, [tone, tone, tone, 255]);
                        let middle = |at: usize| (at as f64 + 0.5) * mosaic.zoom as f64;
                        assert_eq!(mosaic.at(middle(x), middle(y)), Some(index));
                    }
                    None => assert_eq!(pixel, [0; 4]),
                }
            }
        }
        assert_eq!(mosaic.at(-1.0, 0.0), None);
        assert_eq!(mosaic.at(1e6, 1.0), None);
    }
}
