//! Numbers in the order in which tiles read them, rounded.

use super::Line;
use super::block::{Results, SIDE};
use crate::native::lanes::{F32x16, LANES, Lanes, Task};

/// Images `[pixels, channels]` as lines `[chunks of 32 channels, places]`: a line has channels `c` and `c + 16` in each
/// pair, zeros where there are no more. Pixels without a place are left out.
pub struct Rows<'a> {
    pub x: &'a [f32],
    pub channels: usize,
    /// Where each pixel goes.
    pub places: &'a [u32],
    /// Lines of a chunk.
    pub step: usize,
    pub lines: &'a mut [Line],
}

impl Task for Rows<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { x, channels, places, step, lines } = self;
        for (chunk, lines) in lines.chunks_exact_mut(step).enumerate() {
            let first = chunk * SIDE;
            let middle = channels.min(first + LANES);
            let end = channels.min(first + SIDE);
            for (pixel, place) in x.chunks_exact(channels).zip(places) {
                lines[*place as usize] = l.pairs(l.read(&pixel[first..middle]), l.read(&pixel[middle..end]));
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

/// Of lines `[chunks, places]`, which are even in number, pairs of places that follow one another,
/// `[sixteens of channels, places / 2]`: in `first` those that begin at even places, in `second` those that begin at odd
/// ones.
pub struct Pairs<'a> {
    pub lines: &'a [Line],
    pub step: usize,
    pub first: &'a mut [Line],
    pub second: &'a mut [Line],
}

impl Task for Pairs<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { lines, step, first, second } = self;
        let half = step / 2;
        let chunks = lines.chunks_exact(step).zip(first.chunks_exact_mut(step)).zip(second.chunks_exact_mut(step));
        for ((lines, first), second) in chunks {
            let ((low, high), (low_next, high_next)) = (first.split_at_mut(half), second.split_at_mut(half));
            for (at, pair) in lines.chunks_exact(2).enumerate() {
                low[at] = even(&pair[0], &pair[1]);
                high[at] = odd(&pair[0], &pair[1]);
                // After the last there is nothing that anyone looks at.
                let next = lines.get(2 * at + 2).unwrap_or(&pair[1]);
                low_next[at] = even(&pair[1], next);
                high_next[at] = odd(&pair[1], next);
            }
        }
    }
}

/// Of lines `[chunks, places]` from a place on, 32 for each tile, the tiles whose rows are channels and whose terms are
/// places: `[sixteens of channels, tiles, 16]`.
pub struct Turned<'a> {
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
            for ((lines, low), high) in
                sources.zip(low.chunks_exact_mut(LANES)).zip(high.chunks_exact_mut(LANES))
            {
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

/// Kernels `[outputs, inputs, taps]` as the other factor of a convolution, tiles `[sixteens of columns, taps, chunks of
/// terms, 16]`: the columns are outputs and the terms inputs, or the other way round if `back`.
pub struct Kernels<'a> {
    pub weights: &'a [f32],
    pub outputs: usize,
    pub inputs: usize,
    pub taps: usize,
    pub back: bool,
    pub tiles: &'a mut [Line],
}

impl Kernels<'_> {
    /// How many lines they are.
    pub fn lines(terms: usize, columns: usize, taps: usize) -> usize {
        columns.div_ceil(LANES) * taps * terms.div_ceil(SIDE) * LANES
    }
}

impl Task for Kernels<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { weights, outputs, inputs, taps, back, tiles } = self;
        let (terms, columns) = if back { (outputs, inputs) } else { (inputs, outputs) };
        // Between kernels of terms and of columns that follow one another.
        let (term_step, column_step) = if back { (inputs * taps, taps) } else { (taps, inputs * taps) };
        let chunks = terms.div_ceil(SIDE);
        for (sixteen, tiles) in tiles.chunks_exact_mut(taps * chunks * LANES).enumerate() {
            let columns = LANES.min(columns - sixteen * LANES);
            let weights = &weights[sixteen * LANES * column_step..];
            for (chunk, row) in (0..chunks).flat_map(|chunk| (0..LANES).map(move |row| (chunk, row))) {
                let first = chunk * SIDE + row;
                for tap in (0..taps).step_by(LANES) {
                    let count = LANES.min(taps - tap);
                    let low = turned(l, weights, first * term_step + tap, [columns, column_step], count, first < terms);
                    let second = first + LANES;
                    let at = second * term_step + tap;
                    let high = turned(l, weights, at, [columns, column_step], count, second < terms);
                    for (index, (low, high)) in low.iter().zip(high).take(count).enumerate() {
                        tiles[((tap + index) * chunks + chunk) * LANES + row] = l.pairs(*low, high);
                    }
                }
            }
        }
    }
}

/// Up to sixteen numbers from each of so many places, number by number; zeros if there are none.
#[inline(always)]
fn turned<L: Lanes>(
    l: L,
    values: &[f32],
    start: usize,
    [rows, step]: [usize; 2],
    count: usize,
    there: bool,
) -> [L::Of; LANES] {
    let mut found = [l.splat(0.0); LANES];
    if there {
        for (row, found) in found.iter_mut().take(rows).enumerate() {
            let at = start + row * step;
            // Sixteen at once where there are, although only the first are meant.
            *found = match values.get(at..at + LANES) {
                Some(values) => l.read(values),
                None => l.read(&values[at..at + count]),
            };
        }
    }
    l.transposed(found)
}

/// What is added to the results of a product, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Added<'a> {
    /// A number for each column.
    pub bias: Option<&'a [f32]>,
    /// A number for each column of each image.
    pub shifts: Option<&'a [f32]>,
    /// As many as there are results.
    pub residual: Option<&'a [f32]>,
    /// Whether to what is there already.
    pub add: bool,
}

/// Results of a block to where they belong in `[pixels, columns]`.
pub struct Scatter<'a> {
    pub results: &'a Results,
    /// The pixel of each row; `NOWHERE` of those that are dropped.
    pub pixels: &'a [u32],
    /// The first pixel and image in the whole.
    pub start: usize,
    /// Pixels of an image.
    pub each: usize,
    /// The first column, and how many there are in all.
    pub first: usize,
    pub columns: usize,
    pub added: Added<'a>,
    pub out: &'a mut [f32],
}

/// No pixel.
pub const NOWHERE: u32 = u32::MAX;

impl Task for Scatter<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { results, pixels, start, each, first, columns, added, out } = self;
        for sixteen in 0..2 {
            let first = first + sixteen * LANES;
            if first >= columns {
                break;
            }
            let end = columns.min(first + LANES);
            let bias = added.bias.map_or_else(|| l.splat(0.0), |bias| l.read(&bias[first..end]));
            for (row, pixel) in pixels.iter().enumerate() {
                if *pixel == NOWHERE {
                    continue;
                }
                let pixel = start + *pixel as usize;
                let at = pixel * columns + first..pixel * columns + end;
                let mut value = l.add(l.load(results.row(row, sixteen)), bias);
                if let Some(shifts) = added.shifts {
                    let image = pixel / each;
                    value = l.add(value, l.read(&shifts[image * columns + first..image * columns + end]));
                }
                if let Some(residual) = added.residual {
                    value = l.add(value, l.read(&residual[at.clone()]));
                }
                if added.add {
                    value = l.add(value, l.read(&out[at.clone()]));
                }
                l.write(value, &mut out[at]);
            }
        }
    }
}

/// Sums for each tap, `[taps, blocks of outputs, blocks of inputs]`, into kernels `[outputs, inputs, taps]`.
pub struct Learn<'a> {
    pub sums: &'a [Results],
    pub outputs: usize,
    pub inputs: usize,
    pub taps: usize,
    pub found: &'a mut [f32],
}

impl Task for Learn<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { sums, outputs, inputs, taps, found } = self;
        let across = inputs.div_ceil(SIDE);
        let step = outputs.div_ceil(SIDE) * across;
        for (output, first) in
            (0..outputs).flat_map(|output| (0..inputs).step_by(LANES).map(move |first| (output, first)))
        {
            let block = output / SIDE * across + first / SIDE;
            let row = |tap: usize| sums[tap * step + block].row(output % SIDE, first % SIDE / LANES);
            let count = LANES.min(inputs - first);
            let places = &mut found[(output * inputs + first) * taps..][..count * taps];
            if taps == 1 {
                places.copy_from_slice(&row(0)[..count]);
                continue;
            }
            for start in (0..taps).step_by(LANES) {
                let wide = LANES.min(taps - start);
                let mut rows = [l.splat(0.0); LANES];
                for (tap, place) in rows.iter_mut().take(wide).enumerate() {
                    *place = l.load(row(start + tap));
                }
                let turned = l.transposed(rows);
                for (places, numbers) in places.chunks_exact_mut(taps).zip(turned) {
                    let mut buffer: F32x16 = [0.0; LANES];
                    l.store(numbers, &mut buffer);
                    places[start..start + wide].copy_from_slice(&buffer[..wide]);
                }
            }
        }
    }
}
