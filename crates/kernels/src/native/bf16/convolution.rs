//! Convolutions in bfloat16, and their derivatives, for images whose channels lie together. Nothing is unfolded: an image
//! lies once with zeros between its rows, as a sequence of places, and the tile of sixteen places that a tap of the
//! kernel looks at is the same tile as that of another, some places further. Results at places that are no pixels are
//! dropped.
//!
//! The gradient of the inputs is the convolution of the errors with the kernel turned round: the same places, the other
//! way. That of the kernels sums over places: errors turned, so that a row is a channel, times pairs of inputs at places
//! that follow one another, which lie ready twice, since a tap may be an odd number of places away.

use super::Line;
use super::block::{Block, Results, SIDE, Steps, Unit};
use super::layout::{Added, Kernels, Learn, NOWHERE, Pairs, Rows, Scatter, Turned};
use crate::native::lanes::{LANES, run};
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
    x: Vec<Line>,
    errors: Vec<Line>,
    pairs: [Vec<Line>; 2],
    turned: Vec<Line>,
    sums: Vec<Results>,
}

/// Bytes that are worked on together: half of what a core has of the second cache.
const TOGETHER: usize = 1 << 20;

/// As many lines of a buffer, whatever is in them.
fn take(room: &mut Vec<Line>, count: usize) -> &mut [Line] {
    if room.len() < count {
        room.resize(count, Line::default());
    }
    &mut room[..count]
}

/// The same, all zeros.
fn zeros(room: &mut Vec<Line>, count: usize) -> &mut [Line] {
    let room = take(room, count);
    room.fill(Line::default());
    room
}

/// Images as a sequence of places.
struct Grid {
    /// Images together.
    count: usize,
    /// Places of a row, and of an image.
    pitch: usize,
    each: usize,
    /// Places before the first pixel.
    margin: usize,
    /// Places in all, an even number.
    total: usize,
    /// For each tap how many places further it looks than one before all that any looks at.
    taps: Vec<usize>,
    /// Where the inputs and the results are, relative to the first pixel.
    inputs: Vec<u32>,
    outputs: Vec<u32>,
}

impl Sizes {
    /// Rows and columns of the result.
    #[must_use]
    pub fn results(&self) -> [usize; 2] {
        let (before, after) = self.pad;
        [self.height, self.width].map(|length| (length + before + after - self.kernel) / self.stride + 1)
    }

    fn is_empty(&self) -> bool {
        self.images * self.inputs * self.outputs * self.height * self.width == 0
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// The grid of as many images as have room, with so many lines for a place.
    fn grid(&self, lines: usize) -> Grid {
        let Self { images, height, width, kernel, stride, pad: (before, after), .. } = *self;
        assert!(before + after < kernel, "a convolution with more zeros around the image than its kernel is wide");
        let gap = before.max(after);
        let pitch = width + gap;
        let each = (height + gap) * pitch;
        let count = (TOGETHER / (lines * size_of::<Line>() * each)).clamp(1, images);
        let margin = ((kernel - 1) * (pitch + 1)).next_multiple_of(2);
        let total = margin + (count * each).next_multiple_of(SIDE) + margin;
        // Relative to `before` rows and columns ahead of the first pixel.
        let taps = (0..kernel * kernel).map(|tap| tap / kernel * pitch + tap % kernel).collect();
        let [rows, columns] = self.results();
        let place = |rows: usize, columns: usize, step: usize| {
            let at = move |index: usize| {
                let (image, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
                (image * each + (row * pitch + column) * step) as u32
            };
            (0..count * rows * columns).map(at).collect()
        };
        Grid { count, pitch, each, margin, total, taps, inputs: place(height, width, 1), outputs: place(rows, columns, stride) }
    }
}

impl Grid {
    /// For each place from the first pixel on, in blocks, which of these pixels it is.
    fn pixels(&self, places: &[u32]) -> Vec<u32> {
        let mut found = vec![NOWHERE; (self.count * self.each).next_multiple_of(SIDE)];
        for (pixel, place) in places.iter().enumerate() {
            found[*place as usize] = pixel as u32;
        }
        found
    }

    /// Places in blocks, of so many images.
    fn blocks(&self, images: usize) -> usize {
        (images * self.each).div_ceil(SIDE)
    }

    /// The same places in a buffer with a margin.
    fn inside(&self, places: &[u32]) -> Vec<u32> {
        places.iter().map(|place| place + self.margin as u32).collect()
    }
}

/// Products of places and kernels, each of which looks at its `terms`, results at `pixels`.
struct Pass<'a> {
    unit: Unit,
    /// Lines `[chunks, places]`, and how many places.
    lines: &'a [Line],
    places: usize,
    /// Where the taps look, for the first block.
    taps: &'a [usize],
    kernels: &'a [Line],
    chunks: usize,
    pixels: &'a [u32],
    start: usize,
    each: usize,
    columns: usize,
    added: Added<'a>,
}

impl Pass<'_> {
    fn run(&self, out: &mut [f32]) {
        let Self { unit, lines, places, taps, kernels, chunks, pixels, start, each, columns, added } = *self;
        let count = taps.len() * chunks;
        let offsets = taps.iter().flat_map(|tap| (0..chunks).map(move |chunk| chunk * places + tap));
        let steps = Steps::new(offsets.enumerate().map(|(step, place)| [place, step * LANES]));
        for first in (0..columns).step_by(SIDE) {
            let b = &kernels[first / LANES * count * LANES..];
            let tiles = [LANES, count * LANES];
            for (index, pixels) in pixels.chunks_exact(SIDE).enumerate() {
                if pixels.iter().all(|pixel| *pixel == NOWHERE) {
                    continue;
                }
                let a = &lines[index * SIDE..];
                let mut results = Results::ZERO;
                unit.multiply(&Block { steps: &steps, a, b, tiles, wide: first + LANES < columns }, &mut results);
                run(Scatter { results: &results, pixels, start, each, first, columns, added, out });
            }
        }
    }
}

/// `out` = epilogue + weights * images: `x` is `[images, height, width, inputs]`, `weights`
/// `[outputs, inputs, kernel, kernel]` and `out` `[images, rows, columns, outputs]`. `room` is worked in.
///
/// # Panics
/// When a slice is shorter than `sizes` say.
pub fn convolve(
    sizes: &Sizes,
    x: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    room: &mut Room,
    out: &mut [f32],
) {
    if sizes.is_empty() {
        return;
    }
    let Sizes { images, inputs, outputs, height, width, .. } = *sizes;
    let (chunks, taps) = (inputs.div_ceil(SIDE), sizes.taps());
    let kernels = take(&mut room.kernels, Kernels::lines(inputs, outputs, taps));
    run(Kernels { weights, outputs, inputs, taps, back: false, tiles: kernels });
    let grid = sizes.grid(chunks);
    let lines = zeros(&mut room.x, chunks * grid.total);
    let [rows, columns] = sizes.results();
    let (places, pixels) = (grid.inside(&grid.inputs), grid.pixels(&grid.outputs));
    // The first tap of the first result looks at `before` rows and columns ahead of it.
    let ahead = grid.margin - sizes.pad.0 * (grid.pitch + 1);
    let looks: Vec<usize> = grid.taps.iter().map(|tap| ahead + tap).collect();
    let (bias, shifts, residual) = (Some(epilogue.bias), epilogue.shifts, epilogue.residual);
    for first in (0..images).step_by(grid.count) {
        let count = grid.count.min(images - first);
        let size = height * width;
        let x = &x[first * size * inputs..(first + count) * size * inputs];
        run(Rows { x, channels: inputs, places: &places[..count * size], step: grid.total, lines });
        let pass = Pass {
            unit: Unit::best(),
            lines,
            places: grid.total,
            taps: &looks,
            kernels,
            chunks,
            pixels: &limited(&pixels, grid.blocks(count), count * rows * columns),
            start: first * rows * columns,
            each: rows * columns,
            columns: outputs,
            added: Added { bias, shifts, residual, add: false },
        };
        pass.run(out);
    }
}

/// The first blocks, with none of the pixels from this one on.
fn limited(pixels: &[u32], blocks: usize, end: usize) -> Vec<u32> {
    let keep = |pixel: &u32| if (*pixel as usize) < end { *pixel } else { NOWHERE };
    pixels[..blocks * SIDE].iter().map(keep).collect()
}

/// The gradients of a convolution, for those of its results, `[images, rows, columns, outputs]`: those of its inputs are
/// put into `of_x`, or added to what is there, if anyone asks, and those of its kernels put into `of_weights`.
///
/// # Panics
/// When a slice is shorter than `sizes` say.
pub fn convolve_back(
    sizes: &Sizes,
    x: &[f32],
    weights: &[f32],
    errors: &[f32],
    room: &mut Room,
    mut of_x: Option<(&mut [f32], bool)>,
    of_weights: &mut [f32],
) {
    if sizes.is_empty() {
        of_weights.fill(0.0);
        return;
    }
    let Sizes { images, inputs, outputs, height, width, .. } = *sizes;
    let (taps, unit) = (sizes.taps(), Unit::best());
    let [of_inputs, of_outputs] = [inputs, outputs].map(|channels| channels.div_ceil(SIDE));
    let Room { kernels, x: x_lines, errors: error_lines, pairs, turned, sums } = room;
    let kernels = take(kernels, Kernels::lines(outputs, inputs, taps));
    if of_x.is_some() {
        run(Kernels { weights, outputs, inputs, taps, back: true, tiles: kernels });
    }
    let grid = sizes.grid(3 * of_inputs + 2 * of_outputs);
    let [rows, columns] = sizes.results();
    let (size, each) = (height * width, rows * columns);
    let (x_places, error_places) = (grid.inside(&grid.inputs), grid.inside(&grid.outputs));
    let pixels = grid.pixels(&grid.inputs);
    let before = sizes.pad.0 * (grid.pitch + 1);
    // Errors lie the other way: what looked some places ahead is looked at from there.
    let looks_back: Vec<usize> = grid.taps.iter().map(|tap| grid.margin + before - tap).collect();
    let ahead = grid.margin - before;
    let x_lines = zeros(x_lines, of_inputs * grid.total);
    let error_lines = zeros(error_lines, of_outputs * grid.total);
    sums.clear();
    sums.resize(taps * of_inputs * of_outputs, Results::ZERO);
    for first in (0..images).step_by(grid.count) {
        let count = grid.count.min(images - first);
        if count < grid.count {
            // What the images before left would be summed.
            error_lines.fill(Line::default());
        }
        let x = &x[first * size * inputs..(first + count) * size * inputs];
        run(Rows { x, channels: inputs, places: &x_places[..count * size], step: grid.total, lines: x_lines });
        let errors = &errors[first * each * outputs..(first + count) * each * outputs];
        let places = &error_places[..count * each];
        run(Rows { x: errors, channels: outputs, places, step: grid.total, lines: error_lines });
        if let Some((of_x, add)) = &mut of_x {
            let pass = Pass {
                unit,
                lines: error_lines,
                places: grid.total,
                taps: &looks_back,
                kernels,
                chunks: of_outputs,
                pixels: &limited(&pixels, grid.blocks(count), count * size),
                start: first * size,
                each: size,
                columns: inputs,
                added: Added { bias: None, shifts: None, residual: None, add: *add },
            };
            pass.run(of_x);
        }
        let blocks = grid.blocks(count);
        let [even, odd] = pairs.each_mut().map(|room| take(room, of_inputs * grid.total));
        run(Pairs { lines: x_lines, step: grid.total, first: even, second: odd });
        let turned = take(turned, 2 * of_outputs * blocks * LANES);
        run(Turned { lines: error_lines, step: grid.total, start: grid.margin, count: blocks, tiles: turned });
        let steps = Steps::new((0..blocks).map(|block| [block * LANES; 2]));
        let half = grid.total / 2;
        for (tap, (output, input)) in (0..taps)
            .flat_map(|tap| (0..of_outputs).flat_map(move |o| (0..of_inputs).map(move |i| (tap, (o, i)))))
        {
            let look = ahead + grid.taps[tap];
            let pairs: &[Line] = if look.is_multiple_of(2) { even } else { odd };
            let block = Block {
                steps: &steps,
                a: &turned[2 * output * blocks * LANES..],
                b: &pairs[2 * input * half + look / 2..],
                tiles: [blocks * LANES, half],
                wide: input * SIDE + LANES < inputs,
            };
            unit.multiply(&block, &mut sums[(tap * of_outputs + output) * of_inputs + input]);
        }
    }
    run(Learn { sums, outputs, inputs, taps, found: of_weights });
}
