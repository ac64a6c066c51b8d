//! Convolutions with 3 x 3 kernels by Winograd's F(4 x 4, 3 x 3), and their derivatives, for images whose channels lie
//! together: [`crate::winograd`] as matrix products at each of the 36 points.
//!
//! With `x` a tile of 6 x 6 inputs, `w` a kernel and `y` a tile of 4 x 4 results, `y = A^T [(G w G^T) (B^T x B)] A`, where
//! the product in brackets is one of numbers at the same point, summed over the inputs: a matrix product of tiles by
//! inputs by outputs at each point. Its derivatives are the same read backwards: errors at the points `e = A dy A^T`,
//! and `dw = G^T [sum over tiles (B^T x B) e] G`, `dx = B [(G w G^T) e] B^T`, summed where tiles overlap.

mod points;
#[cfg(test)]
mod tests;

use points::{Input, InputBack, Kernel, KernelBack, Output, OutputBack, both};

use crate::lanes::{LANES, Lanes, Task, run};
use crate::product::{Product, multiply};
use crate::winograd::{POINTS, SIDE, TILE};

/// F32x16 at the points that are worked on together: with the kernels, what a core has of the second cache.
const ROOM: usize = 1 << 18;
/// Fewest tiles that are worked on together, however many their channels: each reads all kernels.
const FEWEST: usize = 24;
/// F32x16 between the points of a buffer beside its own: without, those of a tile would all fall into one place of
/// the nearest cache.
const GAP: usize = LANES;

/// A convolution with as many rows and columns of results as of inputs.
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
}

impl Sizes {
    fn tiles(&self) -> usize {
        self.images * self.height.div_ceil(TILE) * self.width.div_ceil(TILE)
    }

    /// Inputs and outputs with zeros that make them whole sixteens.
    fn padded(&self) -> [usize; 2] {
        [self.inputs, self.outputs].map(|channels| channels.next_multiple_of(LANES))
    }

    /// How many tiles are worked on together.
    fn together(&self) -> usize {
        let [inputs, outputs] = self.padded();
        // Whole blocks of rows of a product.
        let most = (ROOM / (POINTS * (inputs + outputs))).max(FEWEST) / 12 * 12;
        most.min(self.tiles()).max(1)
    }

    fn is_empty(&self) -> bool {
        self.images * self.inputs * self.outputs * self.height * self.width == 0
    }
}

/// Images `[images, height, width, channels]`.
#[derive(Clone, Copy)]
struct Images {
    height: usize,
    width: usize,
    channels: usize,
    /// With zeros that make whole sixteens.
    padded: usize,
}

/// A square of pixels, some of which may be outside of the image.
#[derive(Clone, Copy)]
struct Window {
    /// Where the first pixel would be, in pixels from the beginning of all images; below zero for some outside.
    start: isize,
    rows: [usize; 2],
    columns: [usize; 2],
}

impl Images {
    /// The window of a tile with sides of `side`, that begins `before` pixels before the tile's results.
    #[inline(always)]
    fn window(&self, tile: usize, side: usize, before: usize) -> Window {
        let [down, across] = [self.height, self.width].map(|length| length.div_ceil(TILE));
        let (image, row, column) = (tile / (down * across), tile / across % down * TILE, tile % across * TILE);
        let inside = |at: usize, length: usize| [before.saturating_sub(at), side.min(length + before - at)];
        let start = ((image * self.height + row) * self.width + column) as isize;
        let start = start - (before * (self.width + 1)) as isize;
        Window { start, rows: inside(row, self.height), columns: inside(column, self.width) }
    }

    /// Where a pixel of a window is among the numbers of some channels, if it is in the image.
    #[inline(always)]
    fn place(&self, window: &Window, row: usize, column: usize, channel: usize) -> Option<usize> {
        let [rows, columns] = [window.rows, window.columns];
        if row < rows[0] || row >= rows[1] || column < columns[0] || column >= columns[1] {
            return None;
        }
        Some((window.start + (row * self.width + column) as isize) as usize * self.channels + channel)
    }

    #[inline(always)]
    fn read<L: Lanes, const N: usize>(
        &self,
        l: L,
        x: &[f32],
        window: &Window,
        channel: usize,
        count: usize,
    ) -> [[L::Of; N]; N] {
        let mut found = [[l.splat(0.0); N]; N];
        for (row, values) in found.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                if let Some(at) = self.place(window, row, column, channel) {
                    *value = l.read(&x[at..at + count]);
                }
            }
        }
        found
    }
}

/// F32x16 of tiles at the points, `[points, rows, columns]` with a gap between points.
#[derive(Clone, Copy)]
struct Points {
    columns: usize,
    step: usize,
}

impl Points {
    fn new(rows: usize, columns: usize) -> Self {
        Self { columns, step: rows * columns + GAP }
    }

    fn length(&self) -> usize {
        POINTS * self.step
    }

    #[inline(always)]
    fn store<L: Lanes>(&self, l: L, values: &[[L::Of; SIDE]; SIDE], row: usize, column: usize, places: &mut [f32]) {
        let places = &mut places[row * self.columns + column..];
        for (point, value) in values.as_flattened().iter().enumerate() {
            l.write(*value, &mut places[point * self.step..][..LANES]);
        }
    }

    #[inline(always)]
    fn load<L: Lanes>(&self, l: L, row: usize, column: usize, places: &[f32]) -> [[L::Of; SIDE]; SIDE] {
        let mut values = [[l.splat(0.0); SIDE]; SIDE];
        let places = &places[row * self.columns + column..];
        for (point, value) in values.as_flattened_mut().iter_mut().enumerate() {
            *value = l.read(&places[point * self.step..][..LANES]);
        }
        values
    }
}

/// Inputs, or errors of results, of some tiles at the points.
struct Evaluate<'a> {
    images: Images,
    x: &'a [f32],
    tiles: std::ops::Range<usize>,
    points: Points,
    found: &'a mut [f32],
    errors: bool,
}

impl Task for Evaluate<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { images, x, tiles, points, found, errors } = self;
        for (row, tile) in tiles.enumerate() {
            let window = if errors { images.window(tile, TILE, 0) } else { images.window(tile, SIDE, 1) };
            for channel in (0..images.padded).step_by(LANES) {
                let count = LANES.min(images.channels - channel);
                let values = if errors {
                    both::<L, OutputBack, TILE, SIDE>(l, &images.read(l, x, &window, channel, count))
                } else {
                    both::<L, Input, SIDE, SIDE>(l, &images.read(l, x, &window, channel, count))
                };
                points.store(l, &values, row, channel, found);
            }
        }
    }
}

/// Results of some tiles from the products at the points.
struct Interpolate<'a> {
    images: Images,
    products: &'a [f32],
    points: Points,
    tiles: std::ops::Range<usize>,
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
}

impl Task for Interpolate<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { images, products, points, tiles, epilogue, out } = self;
        let Images { height, width, channels, .. } = images;
        let each = height.div_ceil(TILE) * width.div_ceil(TILE);
        for (row, tile) in tiles.enumerate() {
            let window = images.window(tile, TILE, 0);
            let shifts = epilogue.shifts.map(|shifts| &shifts[tile / each * channels..][..channels]);
            for channel in (0..images.padded).step_by(LANES) {
                let count = LANES.min(channels - channel);
                let values = both::<L, Output, SIDE, TILE>(l, &points.load(l, row, channel, products));
                let mut shift = l.read(&epilogue.bias[channel..channel + count]);
                if let Some(shifts) = shifts {
                    shift = l.add(shift, l.read(&shifts[channel..channel + count]));
                }
                for (row, values) in values.iter().enumerate() {
                    for (column, value) in values.iter().enumerate() {
                        if let Some(at) = images.place(&window, row, column, channel) {
                            let mut value = l.add(*value, shift);
                            if let Some(residual) = epilogue.residual {
                                value = l.add(value, l.read(&residual[at..at + count]));
                            }
                            l.write(value, &mut out[at..at + count]);
                        }
                    }
                }
            }
        }
    }
}

/// Gradients of inputs of some tiles from those at the points, added to what is there.
struct GiveBack<'a> {
    images: Images,
    gradients: &'a [f32],
    points: Points,
    tiles: std::ops::Range<usize>,
    of_x: &'a mut [f32],
}

impl Task for GiveBack<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { images, gradients, points, tiles, of_x } = self;
        for (row, tile) in tiles.enumerate() {
            let window = images.window(tile, SIDE, 1);
            for channel in (0..images.padded).step_by(LANES) {
                let count = LANES.min(images.channels - channel);
                let values = both::<L, InputBack, SIDE, SIDE>(l, &points.load(l, row, channel, gradients));
                for (row, values) in values.iter().enumerate() {
                    for (column, value) in values.iter().enumerate() {
                        if let Some(at) = images.place(&window, row, column, channel) {
                            let place = &mut of_x[at..at + count];
                            l.write(l.add(l.read(place), *value), place);
                        }
                    }
                }
            }
        }
    }
}

/// Kernels at the points, `[points, rows, columns]`.
struct Transform<'a> {
    weights: &'a [f32],
    /// How many rows and columns, and how far apart they are in the weights.
    rows: [usize; 2],
    columns: [usize; 2],
    points: Points,
    found: &'a mut [f32],
}

impl Task for Transform<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { weights, rows, columns, points, found } = self;
        for row in 0..rows[0] {
            for first in (0..points.columns).step_by(LANES) {
                let mut taps = [[0.0; LANES]; 9];
                for lane in 0..LANES.min(columns[0] - first) {
                    let weights = &weights[row * rows[1] + (first + lane) * columns[1]..][..9];
                    for (tap, weight) in taps.iter_mut().zip(weights) {
                        tap[lane] = *weight;
                    }
                }
                let mut values = [[l.splat(0.0); 3]; 3];
                for (value, tap) in values.as_flattened_mut().iter_mut().zip(&taps) {
                    *value = l.load(tap);
                }
                points.store(l, &both::<L, Kernel, 3, SIDE>(l, &values), row, first, found);
            }
        }
    }
}

/// Gradients of kernels from those at the points, `[points, inputs, outputs]`.
struct Learn<'a> {
    gradients: &'a [f32],
    points: Points,
    inputs: usize,
    outputs: usize,
    found: &'a mut [f32],
}

impl Task for Learn<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { gradients, points, inputs, outputs, found } = self;
        for input in 0..inputs {
            for first in (0..outputs).step_by(LANES) {
                let values = both::<L, KernelBack, SIDE, 3>(l, &points.load(l, input, first, gradients));
                let mut taps = [[0.0; LANES]; 9];
                for (tap, value) in taps.iter_mut().zip(values.as_flattened()) {
                    l.store(*value, tap);
                }
                for lane in 0..LANES.min(outputs - first) {
                    let places = &mut found[((first + lane) * inputs + input) * 9..][..9];
                    for (place, tap) in places.iter_mut().zip(&taps) {
                        *place = tap[lane];
                    }
                }
            }
        }
    }
}

/// A convolution's epilogue: what is added to its results.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// A number for each output.
    pub bias: &'a [f32],
    /// A number for each output of each image, `[images, outputs]`.
    pub shifts: Option<&'a [f32]>,
    /// As many as there are results.
    pub residual: Option<&'a [f32]>,
}

/// As many numbers of a buffer, whatever is in them.
fn take(room: &mut Vec<f32>, count: usize) -> &mut [f32] {
    if room.len() < count {
        room.resize(count, 0.0);
    }
    &mut room[..count]
}

/// `out` = epilogue + weights * images, with a row and a column of zeros around each image: `x` is
/// `[images, height, width, inputs]`, `weights` `[outputs, inputs, 3, 3]` and `out` `[images, height, width, outputs]`.
/// `room` is worked in.
///
/// # Panics
/// When a slice is shorter than `sizes` say.
pub fn convolve(
    sizes: &Sizes,
    x: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    room: &mut Vec<f32>,
    out: &mut [f32],
) {
    if sizes.is_empty() {
        return;
    }
    let Sizes { inputs, outputs, height, width, .. } = *sizes;
    let ([padded_inputs, padded_outputs], together) = (sizes.padded(), sizes.together());
    let of_inputs = Images { height, width, channels: inputs, padded: padded_inputs };
    let of_outputs = Images { height, width, channels: outputs, padded: padded_outputs };
    let at_weights = Points::new(inputs, padded_outputs);
    let (at_x, at_y) = (Points::new(together, padded_inputs), Points::new(together, padded_outputs));
    let room = take(room, at_weights.length() + at_x.length() + at_y.length());
    let (kernels, room) = room.split_at_mut(at_weights.length());
    let (at_inputs, products) = room.split_at_mut(at_x.length());
    let (rows, columns) = ([inputs, 9], [outputs, inputs * 9]);
    run(Transform { weights, rows, columns, points: at_weights, found: kernels });
    for first in (0..sizes.tiles()).step_by(together) {
        let tiles = first..sizes.tiles().min(first + together);
        run(Evaluate { images: of_inputs, x, tiles: tiles.clone(), points: at_x, found: at_inputs, errors: false });
        for point in 0..POINTS {
            multiply(Product {
                rows: tiles.len(),
                inner: inputs,
                columns: padded_outputs,
                a: &at_inputs[point * at_x.step..],
                a_steps: [padded_inputs, 1],
                b: &kernels[point * at_weights.step..],
                b_step: padded_outputs,
                c: &mut products[point * at_y.step..],
                c_step: padded_outputs,
                add: false,
            });
        }
        run(Interpolate { images: of_outputs, products, points: at_y, tiles, epilogue, out: &mut *out });
    }
}

/// The gradients of a convolution, for those of its results, `[images, height, width, outputs]`: those of its inputs are
/// added to `of_x`, if anyone asks, and those of its kernels put into `of_weights`.
///
/// # Panics
/// When a slice is shorter than `sizes` say.
pub fn convolve_back(
    sizes: &Sizes,
    x: &[f32],
    weights: &[f32],
    errors: &[f32],
    room: &mut Vec<f32>,
    mut of_x: Option<&mut [f32]>,
    of_weights: &mut [f32],
) {
    if sizes.is_empty() {
        of_weights.fill(0.0);
        return;
    }
    let Sizes { inputs, outputs, height, width, .. } = *sizes;
    let ([padded_inputs, padded_outputs], together) = (sizes.padded(), sizes.together());
    let of_inputs = Images { height, width, channels: inputs, padded: padded_inputs };
    let of_outputs = Images { height, width, channels: outputs, padded: padded_outputs };
    let (at_weights, at_learnt) = (Points::new(outputs, padded_inputs), Points::new(inputs, padded_outputs));
    let (at_x, at_y) = (Points::new(together, padded_inputs), Points::new(together, padded_outputs));
    let room = take(room, at_weights.length() + at_learnt.length() + at_x.length() + at_y.length());
    let (kernels, room) = room.split_at_mut(at_weights.length());
    let (learnt, room) = room.split_at_mut(at_learnt.length());
    let (at_inputs, at_errors) = room.split_at_mut(at_x.length());
    if of_x.is_some() {
        let (rows, columns) = ([outputs, inputs * 9], [inputs, 9]);
        run(Transform { weights, rows, columns, points: at_weights, found: kernels });
    }
    for first in (0..sizes.tiles()).step_by(together) {
        let tiles = first..sizes.tiles().min(first + together);
        run(Evaluate { images: of_inputs, x, tiles: tiles.clone(), points: at_x, found: at_inputs, errors: false });
        let errors = Evaluate {
            images: of_outputs,
            x: errors,
            tiles: tiles.clone(),
            points: at_y,
            found: at_errors,
            errors: true,
        };
        run(errors);
        for point in 0..POINTS {
            multiply(Product {
                rows: inputs,
                inner: tiles.len(),
                columns: padded_outputs,
                a: &at_inputs[point * at_x.step..],
                a_steps: [1, padded_inputs],
                b: &at_errors[point * at_y.step..],
                b_step: padded_outputs,
                c: &mut learnt[point * at_learnt.step..],
                c_step: padded_outputs,
                add: first > 0,
            });
        }
        let Some(of_x) = &mut of_x else { continue };
        for point in 0..POINTS {
            multiply(Product {
                rows: tiles.len(),
                inner: outputs,
                columns: padded_inputs,
                a: &at_errors[point * at_y.step..],
                a_steps: [padded_outputs, 1],
                b: &kernels[point * at_weights.step..],
                b_step: padded_inputs,
                c: &mut at_inputs[point * at_x.step..],
                c_step: padded_inputs,
                add: false,
            });
        }
        run(GiveBack { images: of_inputs, gradients: at_inputs, points: at_x, tiles, of_x });
    }
    run(Learn { gradients: learnt, points: at_learnt, inputs, outputs, found: of_weights });
}
