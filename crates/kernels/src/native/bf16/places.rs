//! Images as sequences of places, rounded: what convolutions read, and what normalisation can write at once.

use super::Line;
use super::block::SIDE;
use crate::lanes::{LANES, Lanes, Task, run};

/// Images of a height and a width with places for zeros after every row and every image, and before the first and after
/// the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// How many images.
    pub images: usize,
    /// Height of an image.
    pub height: usize,
    /// Width of an image.
    pub width: usize,
    /// Places after a row, rows after an image.
    pub gap: usize,
    /// Rows and columns from one tap of a kernel to another.
    pub reach: usize,
}

impl Grid {
    /// For kernels of up to three rows and columns with a row and a column of zeros around the image.
    #[must_use]
    pub fn usual(images: usize, height: usize, width: usize) -> Self {
        Self { images, height, width, gap: 1, reach: 2 }
    }

    /// Places from a row to the next.
    pub(super) fn pitch(&self) -> usize {
        self.width + self.gap
    }

    /// Places from an image to the next.
    pub(super) fn each(&self) -> usize {
        (self.height + self.gap) * self.pitch()
    }

    /// Places before the first pixel, and after all blocks.
    pub(super) fn margin(&self) -> usize {
        self.reach * (self.pitch() + 1)
    }

    /// Blocks of places in which there are pixels.
    pub(super) fn blocks(&self) -> usize {
        (self.images * self.each()).div_ceil(SIDE)
    }

    /// Places in all.
    #[must_use]
    pub fn places(&self) -> usize {
        self.blocks() * SIDE + 2 * self.margin()
    }

    /// How many lines images of so many channels are.
    #[must_use]
    pub fn lines(&self, channels: usize) -> usize {
        channels.div_ceil(SIDE) * self.places()
    }

    /// Zeros at the places of thirty-two channels that are no pixels.
    pub(crate) fn clear(&self, lines: &mut [Line]) {
        let zero = Line::default();
        let (margin, pitch) = (self.margin(), self.pitch());
        let (before, rest) = lines.split_at_mut(margin);
        before.fill(zero);
        let (images, after) = rest.split_at_mut(self.images * self.each());
        after.fill(zero);
        for image in images.chunks_exact_mut(self.each()) {
            let (rows, below) = image.split_at_mut(self.height * pitch);
            below.fill(zero);
            rows.chunks_exact_mut(pitch).for_each(|row| row[self.width..].fill(zero));
        }
    }

    /// Where the rows of an image begin among the lines of thirty-two channels.
    #[inline(always)]
    pub(crate) fn row(&self, image: usize, row: usize) -> usize {
        self.margin() + image * self.each() + row * self.pitch()
    }
}

struct Rows<'a> {
    x: &'a [f32],
    channels: usize,
    grid: Grid,
    rows: usize,
    columns: usize,
    stride: usize,
    lines: &'a mut [Line],
}

/// Rounds images `[images, rows, columns, channels]`, whose pixels are so many rows and columns of the grid apart, to
/// lines `[chunks of 32 channels, places]`: a line has channels `c` and `c + 16` in each pair, and zeros where there are no
/// more.
///
/// # Panics
/// When they do not fit into the grid, or there are not as many lines as it says.
pub fn round(x: &[f32], channels: usize, grid: &Grid, [rows, columns]: [usize; 2], stride: usize, lines: &mut [Line]) {
    assert_eq!(x.len(), grid.images * rows * columns * channels, "images of another size");
    assert_eq!(lines.len(), grid.lines(channels), "lines of another grid");
    run(Rows { x, channels, grid: *grid, rows, columns, stride, lines });
}

impl Task for Rows<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { x, channels, grid, rows, columns, stride, lines } = self;
        let whole = channels.is_multiple_of(SIDE);
        for (chunk, lines) in lines.chunks_exact_mut(grid.places()).enumerate() {
            if stride == 1 && [rows, columns] == [grid.height, grid.width] {
                grid.clear(lines);
            } else {
                lines.fill(Line::default());
            }
            let first = chunk * SIDE;
            let (middle, end) = (channels.min(first + LANES), channels.min(first + SIDE));
            for (index, x) in x.chunks_exact(columns * channels).enumerate() {
                let places = lines[grid.row(index / rows, index % rows * stride)..].iter_mut().step_by(stride);
                if whole {
                    let pixels = x.as_chunks::<LANES>().0.chunks_exact(channels / LANES);
                    for (pixel, place) in pixels.zip(places) {
                        *place = l.pairs(l.load(&pixel[2 * chunk]), l.load(&pixel[2 * chunk + 1]));
                    }
                } else {
                    for (pixel, place) in x.chunks_exact(channels).zip(places) {
                        *place = l.pairs(l.read(&pixel[first..middle]), l.read(&pixel[middle..end]));
                    }
                }
            }
        }
    }
}

/// The numbers `[images, height, width, channels]` of lines, as they were rounded.
///
/// # Panics
/// When there are others than the grid has.
pub fn restore(lines: &[Line], channels: usize, grid: &Grid, numbers: &mut [f32]) {
    assert_eq!(numbers.len(), grid.images * grid.height * grid.width * channels, "images of another size");
    assert_eq!(lines.len(), grid.lines(channels), "lines of another grid");
    for (index, row) in numbers.chunks_exact_mut((grid.width * channels).max(1)).enumerate() {
        let start = grid.row(index / grid.height, index % grid.height);
        for (column, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (chunk, numbers) in pixel.chunks_mut(SIDE).enumerate() {
                let line = &lines[chunk * grid.places() + start + column].0;
                for (channel, number) in numbers.iter_mut().enumerate() {
                    let word = line[channel % LANES];
                    let high = if channel < LANES { word << 16 } else { word & 0xffff_0000 };
                    *number = f32::from_bits(high);
                }
            }
        }
    }
}

#[inline(always)]
fn even(a: &Line, b: &Line) -> Line {
    let mut found = *a;
    found.0.iter_mut().zip(&b.0).for_each(|(a, b)| *a = (*a & 0xffff) | (b << 16));
    found
}

#[inline(always)]
fn odd(a: &Line, b: &Line) -> Line {
    let mut found = *a;
    found.0.iter_mut().zip(&b.0).for_each(|(a, b)| *a = (*a >> 16) | (b & 0xffff_0000));
    found
}

/// Of lines `[chunks, places]` pairs of places that follow one another, from a place on, `[sixteens of channels, pairs]`:
/// in `first` those that begin there and every second place after, in `second`, if they are wanted, those that begin at
/// the places between.
pub(super) struct Pairs<'a> {
    pub lines: &'a [Line],
    pub step: usize,
    pub start: usize,
    /// How many pairs.
    pub count: usize,
    pub first: &'a mut [Line],
    pub second: Option<&'a mut [Line]>,
}

impl Task for Pairs<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { lines, step, start, count, first, mut second } = self;
        for (chunk, lines) in lines.chunks_exact(step).enumerate() {
            let at = 2 * chunk * count;
            let lines = &lines[start..];
            let (low, high) = first[at..at + 2 * count].split_at_mut(count);
            for ((pair, low), high) in lines.chunks_exact(2).zip(low).zip(high) {
                (*low, *high) = (even(&pair[0], &pair[1]), odd(&pair[0], &pair[1]));
            }
            if let Some(second) = &mut second {
                let (low, high) = second[at..at + 2 * count].split_at_mut(count);
                for ((pair, low), high) in lines[1..].chunks_exact(2).zip(low).zip(high) {
                    (*low, *high) = (even(&pair[0], &pair[1]), odd(&pair[0], &pair[1]));
                }
            }
        }
    }
}

/// Of lines `[chunks, places]` from a place on, 32 for each tile, the tiles whose rows are channels and whose terms are
/// places: `[sixteens of channels, tiles, 16]`.
pub(super) struct Turned<'a> {
    pub lines: &'a [Line],
    pub step: usize,
    pub start: usize,
    /// How many tiles.
    pub count: usize,
    pub tiles: &'a mut [Line],
}

impl Task for Turned<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { lines, step, start, count, tiles } = self;
        let size = count * LANES;
        for (lines, tiles) in lines.chunks_exact(step).zip(tiles.chunks_exact_mut(2 * size)) {
            let (low, high) = tiles.split_at_mut(size);
            let sources = lines[start..start + count * SIDE].chunks_exact(SIDE);
            for ((lines, low), high) in sources.zip(low.chunks_exact_mut(LANES)).zip(high.chunks_exact_mut(LANES)) {
                let (mut a, mut b) = ([l.splat(0.0); LANES], [l.splat(0.0); LANES]);
                for (pair, (a, b)) in lines.chunks_exact(2).zip(a.iter_mut().zip(&mut b)) {
                    *a = l.load(&even(&pair[0], &pair[1]).0.map(f32::from_bits));
                    *b = l.load(&odd(&pair[0], &pair[1]).0.map(f32::from_bits));
                }
                for (turned, places) in [(l.transposed(a), low), (l.transposed(b), high)] {
                    for (row, place) in turned.iter().zip(places) {
                        let mut numbers = [0.0; LANES];
                        l.store(*row, &mut numbers);
                        place.0 = numbers.map(f32::to_bits);
                    }
                }
            }
        }
    }
}
