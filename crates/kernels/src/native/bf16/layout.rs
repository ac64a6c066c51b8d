//! Kernels in the order in which tiles read them, and results where they belong.

use super::Line;
use super::block::{Results, SIDE};
use crate::lanes::{F32x16, LANES, Lanes, Task};

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
            if taps == 1 {
                // A matrix: its rows or its columns are lines, in halves that are or are not turned.
                for (chunk, lines) in tiles.chunks_exact_mut(LANES).enumerate() {
                    let mut halves = [[l.splat(0.0); LANES]; 2];
                    for (half, first) in halves.iter_mut().zip([chunk * SIDE, chunk * SIDE + LANES]) {
                        let terms = LANES.min(terms.saturating_sub(first));
                        if back {
                            for (row, place) in half.iter_mut().take(terms).enumerate() {
                                *place = l.read(&weights[(first + row) * term_step..][..columns]);
                            }
                        } else if terms > 0 {
                            *half = turned(l, weights, first, [columns, column_step], terms, true);
                            // The beginnings of the rows after.
                            half.iter_mut().skip(terms).for_each(|place| *place = l.splat(0.0));
                        }
                    }
                    for (line, (low, high)) in lines.iter_mut().zip(halves[0].iter().zip(halves[1])) {
                        *line = l.pairs(*low, high);
                    }
                }
                continue;
            }
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
        if self.first + SIDE <= self.columns { self.rows::<L, true>(l) } else { self.rows::<L, false>(l) }
    }
}

/// So many numbers from a place on, and so many after them. Not a closure, which would not be compiled for the
/// instructions of its caller.
#[inline(always)]
fn halves<L: Lanes>(l: L, values: &[f32], at: usize, [low, high]: [usize; 2]) -> [L::Of; 2] {
    [l.read(&values[at..at + low]), l.read(&values[at + low..at + low + high])]
}

impl Scatter<'_> {
    #[inline(always)]
    fn rows<L: Lanes, const WHOLE: bool>(self, l: L) {
        let Self { results, pixels, each, first, columns, added, out } = self;
        let ends =
            if WHOLE { [LANES; 2] } else { [0, LANES].map(|at| LANES.min((columns - first).saturating_sub(at))) };
        let bias = match added.bias {
            Some(bias) => halves(l, bias, first, ends),
            None => [l.splat(0.0); 2],
        };
        // What is added to all pixels of an image, and the first pixel after them.
        let (mut constant, mut next) = (bias, 0);
        for (row, pixel) in pixels.iter().enumerate() {
            if *pixel == NOWHERE {
                continue;
            }
            let pixel = *pixel as usize;
            if let Some(shifts) = added.shifts
                && pixel >= next
            {
                let image = pixel / each;
                let shifts = halves(l, shifts, image * columns + first, ends);
                constant = [l.add(bias[0], shifts[0]), l.add(bias[1], shifts[1])];
                next = (image + 1) * each;
            }
            let at = pixel * columns + first;
            let mut values =
                [l.add(l.load(results.row(row, 0)), constant[0]), l.add(l.load(results.row(row, 1)), constant[1])];
            if let Some(residual) = added.residual {
                let residual = halves(l, residual, at, ends);
                values = [l.add(values[0], residual[0]), l.add(values[1], residual[1])];
            }
            if added.add {
                let there = halves(l, out, at, ends);
                values = [l.add(values[0], there[0]), l.add(values[1], there[1])];
            }
            let (low, high) = out[at..at + ends[0] + ends[1]].split_at_mut(ends[0]);
            l.write(values[0], low);
            l.write(values[1], high);
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
                    // The usual kernel's without asking how many they are.
                    if let (Ok(places), Some(nine)) = (<&mut [f32; 9]>::try_from(&mut *places), buffer.first_chunk()) {
                        *places = *nine;
                    } else {
                        places[start..start + wide].copy_from_slice(&buffer[..wide]);
                    }
                }
            }
        }
    }
}
