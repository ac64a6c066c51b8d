//! Convolutions in bfloat16, and their derivatives, for images whose channels lie together. Nothing is unfolded: images
//! lie once with zeros between their rows, as a sequence of places ([`super::places`]), and the tile of sixteen places
//! that a tap of the kernel looks at is that of another tap, some places further. Results at places that are no pixels
//! are dropped.
//!
//! The gradient of the inputs is the convolution of the errors with the kernel turned round: the same places, the other
//! way. That of the kernels sums over places: errors turned, so that a row is a channel, times pairs of inputs at places
//! that follow one another, which lie ready twice, since a tap may be an odd number of places away.

use super::Line;
use super::block::{Block, Results, SIDE, Steps, Unit};
use super::layout::{Added, Kernels, Learn, NOWHERE, Scatter};
use super::places::{Grid, Pairs, Turned, round};
use crate::lanes::{LANES, run};
use crate::native::tiles::Epilogue;

/// A convolution of images `[images, height, width, inputs]` with kernels `[outputs, inputs, kernel, kernel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// How many images.
    pub images: usize,
    /// Channels that come in.
    pub inputs: usize,
    /// Channels of the result.
    pub outputs: usize,
    /// Height of an image.
    pub height: usize,
    /// Width of an image.
    pub width: usize,
    /// Height and width of a kernel.
    pub kernel: usize,
    /// Pixels from one result to the next.
    pub stride: usize,
    /// Rows and columns of zeros before and after an image; together fewer than the kernel's.
    pub pad: (usize, usize),
}

/// What the last convolution worked in, for the next.
#[derive(Debug, Default)]
pub struct Room {
    kernels: Vec<Line>,
    errors: Vec<Line>,
    pairs: [Vec<Line>; 2],
    turned: Vec<Line>,
    sums: Vec<Results>,
}

/// Lines that are worked on together: half a megabyte, a quarter of what a core has of the second cache.
const TOGETHER: usize = 1 << 13;

/// As many lines of a buffer, whatever is in them.
fn take(room: &mut Vec<Line>, count: usize) -> &mut [Line] {
    if room.len() < count {
        room.resize(count, Line::default());
    }
    &mut room[..count]
}

impl Sizes {
    /// A product of a matrix of so many rows and columns and another, whose kernels are its columns.
    #[must_use]
    pub fn matrix(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self { images: 1, inputs, outputs, height: 1, width: rows, kernel: 1, stride: 1, pad: (0, 0) }
    }

    /// Rows and columns of the result.
    #[must_use]
    pub fn results(&self) -> [usize; 2] {
        let (before, after) = self.pad;
        [self.height, self.width].map(|length| (length + before + after - self.kernel) / self.stride + 1)
    }

    /// The places that the images need.
    #[must_use]
    pub fn grid(&self) -> Grid {
        let Self { images, height, width, kernel, pad: (before, after), .. } = *self;
        Grid { images, height, width, gap: before.max(after), reach: kernel - 1 }
    }

    fn is_empty(&self) -> bool {
        self.images * self.inputs * self.outputs * self.height * self.width == 0
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// # Panics
    /// When the images have other places, or too few.
    fn check(&self, grid: &Grid, lines: &[Line]) {
        let Self { images, height, width, pad: (before, after), kernel, .. } = *self;
        assert!(before + after < kernel, "a convolution with more zeros around the image than its kernel is wide");
        let needed = self.grid();
        assert_eq!((grid.images, grid.height, grid.width), (images, height, width), "places of other images");
        assert!(grid.gap >= needed.gap && grid.reach >= needed.reach, "too few places for the kernel");
        assert_eq!(lines.len(), grid.lines(self.inputs), "lines of other images");
    }

    /// For each place from the first pixel on, in blocks, which of these pixels it is, that are so many places apart.
    fn pixels(grid: &Grid, [rows, columns]: [usize; 2], stride: usize) -> Vec<u32> {
        let mut found = vec![NOWHERE; grid.blocks() * SIDE];
        let mut pixel = 0;
        for (image, row) in (0..grid.images).flat_map(|image| (0..rows).map(move |row| (image, row))) {
            let start = grid.row(image, row * stride) - grid.margin();
            for place in found[start..].iter_mut().step_by(stride).take(columns) {
                *place = pixel;
                pixel += 1;
            }
        }
        found
    }
}

/// Products of places and kernels, results at `pixels`.
struct Pass<'a> {
    unit: Unit,
    /// Lines `[chunks, places]`, and how many places.
    lines: &'a [Line],
    places: usize,
    /// Where the taps look, for the first block.
    taps: &'a [usize],
    kernels: &'a [Line],
    pixels: &'a [u32],
    each: usize,
    columns: usize,
    added: Added<'a>,
}

impl Pass<'_> {
    fn run(&self, out: &mut [f32]) {
        let Self { unit, lines, places, taps, kernels, pixels, each, columns, added } = *self;
        let chunks = lines.len() / places;
        let count = taps.len() * chunks;
        let offsets = taps.iter().flat_map(|tap| (0..chunks).map(move |chunk| chunk * places + tap));
        let steps = Steps::new(offsets.enumerate().map(|(step, place)| [place, step * LANES]));
        let mut results = Results::ZERO;
        let together = (TOGETHER / (SIDE * chunks)).max(1);
        for (part, pixels) in pixels.chunks(together * SIDE).enumerate() {
            for first in (0..columns).step_by(SIDE) {
                let b = &kernels[first / LANES * count * LANES..];
                let tiles = [LANES, count * LANES];
                for (index, pixels) in pixels.chunks_exact(SIDE).enumerate() {
                    if pixels.iter().all(|pixel| *pixel == NOWHERE) {
                        continue;
                    }
                    let a = &lines[(part * together + index) * SIDE..];
                    let block = Block { steps: &steps, a, b, tiles, wide: first + LANES < columns };
                    unit.multiply(&block, &mut results, false);
                    run(Scatter { results: &results, pixels, each, first, columns, added, out });
                }
            }
        }
    }
}

/// `out` = epilogue + weights * images: `x` are lines of `[images, height, width, inputs]` at the places of the grid,
/// `weights` `[outputs, inputs, kernel, kernel]` and `out` `[images, rows, columns, outputs]`. `room` is worked in.
///
/// # Panics
/// When a slice is shorter than `sizes` say, or the grid has too few places.
pub fn convolve(
    sizes: &Sizes,
    (grid, x): (&Grid, &[Line]),
    weights: &[f32],
    epilogue: Epilogue<'_>,
    room: &mut Room,
    out: &mut [f32],
) {
    if sizes.is_empty() {
        return;
    }
    sizes.check(grid, x);
    let Sizes { inputs, outputs, kernel, stride, pad, .. } = *sizes;
    let [rows, columns] = sizes.results();
    let kernels = take(&mut room.kernels, Kernels::lines(inputs, outputs, sizes.taps()));
    run(Kernels { weights, outputs, inputs, taps: sizes.taps(), back: false, tiles: kernels });
    // The first tap of the first result looks at `before` rows and columns ahead of it.
    let ahead = grid.margin() - pad.0 * (grid.pitch() + 1);
    let looks: Vec<usize> = places(grid, kernel).map(|tap| ahead + tap).collect();
    let (bias, shifts, residual) = (Some(epilogue.bias), epilogue.shifts, epilogue.residual);
    let pass = Pass {
        unit: Unit::best(),
        lines: x,
        places: grid.places(),
        taps: &looks,
        kernels,
        pixels: &Sizes::pixels(grid, [rows, columns], stride),
        each: rows * columns,
        columns: outputs,
        added: Added { bias, shifts, residual, add: false },
    };
    pass.run(out);
}

/// How many places each tap looks further than the first.
fn places(grid: &Grid, kernel: usize) -> impl Iterator<Item = usize> {
    let pitch = grid.pitch();
    (0..kernel * kernel).map(move |tap| tap / kernel * pitch + tap % kernel)
}

/// The gradients of a convolution, for those of its results, `[images, rows, columns, outputs]`: those of its inputs are
/// put into `of_x`, or added to what is there, if anyone asks, and those of its kernels put into `of_weights`.
///
/// # Panics
/// When a slice is shorter than `sizes` say, or the grid has too few places.
pub fn convolve_back(
    sizes: &Sizes,
    (grid, x): (&Grid, &[Line]),
    weights: &[f32],
    errors: &[f32],
    room: &mut Room,
    of_x: Option<(&mut [f32], bool)>,
    of_weights: &mut [f32],
) {
    if sizes.is_empty() {
        of_weights.fill(0.0);
        return;
    }
    sizes.check(grid, x);
    let Sizes { inputs, outputs, height, width, kernel, stride, pad, .. } = *sizes;
    let (taps, unit, step) = (sizes.taps(), Unit::best(), grid.places());
    let before = pad.0 * (grid.pitch() + 1);
    let Room { kernels, errors: error_lines, pairs, turned, sums } = room;
    let error_lines = take(error_lines, grid.lines(outputs));
    round(errors, outputs, grid, sizes.results(), stride, error_lines);
    if let Some((of_x, add)) = of_x {
        let kernels = take(kernels, Kernels::lines(outputs, inputs, taps));
        run(Kernels { weights, outputs, inputs, taps, back: true, tiles: kernels });
        // Errors lie the other way: what looked some places ahead is looked at from there.
        let looks: Vec<usize> = places(grid, kernel).map(|tap| grid.margin() + before - tap).collect();
        let pass = Pass {
            unit,
            lines: error_lines,
            places: step,
            taps: &looks,
            kernels,
            pixels: &Sizes::pixels(grid, [height, width], 1),
            each: height * width,
            columns: inputs,
            added: Added { bias: None, shifts: None, residual: None, add },
        };
        pass.run(of_x);
    }
    let [of_inputs, of_outputs] = [inputs, outputs].map(|channels| channels.div_ceil(SIDE));
    sums.resize(taps * of_inputs * of_outputs, Results::ZERO);
    let together = (TOGETHER / (SIDE * (2 * of_inputs + of_outputs))).max(1);
    let last = places(grid, kernel).last().unwrap_or(0);
    for first in (0..grid.blocks()).step_by(together) {
        let blocks = together.min(grid.blocks() - first);
        let start = grid.margin() + first * SIDE;
        let count = blocks * LANES + last.div_ceil(2);
        let [even, odd] = pairs.each_mut().map(|room| take(room, 2 * of_inputs * count));
        let second = (taps > 1).then_some(&mut *odd);
        run(Pairs { lines: x, step, start: start - before, count, first: even, second });
        let turned = take(turned, 2 * of_outputs * blocks * LANES);
        run(Turned { lines: error_lines, step, start, count: blocks, tiles: turned });
        let steps = Steps::new((0..blocks).map(|block| [block * LANES; 2]));
        for (tap, look) in places(grid, kernel).enumerate() {
            let pairs: &[Line] = if look.is_multiple_of(2) { even } else { odd };
            for (output, input) in (0..of_outputs).flat_map(|o| (0..of_inputs).map(move |i| (o, i))) {
                let block = Block {
                    steps: &steps,
                    a: &turned[2 * output * blocks * LANES..],
                    b: &pairs[2 * input * count + look / 2..],
                    tiles: [blocks * LANES, count],
                    wide: input * SIDE + LANES < inputs,
                };
                unit.multiply(&block, &mut sums[(tap * of_outputs + output) * of_inputs + input], first > 0);
            }
        }
    }
    run(Learn { sums, outputs, inputs, taps, found: of_weights });
}
