//! Convolutions with 3 x 3 kernels by Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and Gray 2016,
//! arXiv 1509.09308): 36 products of an input and an output channel make 16 results instead of 144.
//!
//! Polynomials are evaluated at 0, infinity, and plus and minus 3/4 and 3/2. Lavin and Gray's plus and minus 1 and 2 make
//! the rounding errors twice as large; with these they are about twice those of plain sums. Sums run over the
//! channels in their order, whatever is worked on together, and no product is fused with a sum: results depend neither on
//! the number of images nor on the machine.

use crate::four::{self, Four};

/// Height and width of a tile of results.
const TILE: usize = 4;
/// Height and width of what it is made from.
const SIDE: usize = TILE + 2;
/// Products of a tile and two channels.
const POINTS: usize = SIDE * SIDE;
/// Tiles multiplied at once.
const TILES: usize = 4;
/// Output channels multiplied at once, in fours.
const HALVES: usize = 2;
const OUTPUTS: usize = 4 * HALVES;
/// Numbers of four channels.
type Numbers = [f32; 4];
/// What is left free between the points of a block of tiles: without it they would share few places of the nearest cache.
const GAP: usize = 4;
/// Numbers of transformed tiles kept at a time, in fours: as many as stay in the caches.
const PIECE: usize = 1 << 16;

/// The points beside 0 and infinity are plus and minus these.
const A: f32 = 0.75;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

/// Sizes of a convolution with as many rows and columns of results as of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
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
    /// Groups of four channels that come in.
    fn groups(&self) -> usize {
        self.inputs.div_ceil(4)
    }

    /// Rows and columns of tiles.
    fn tiles(&self) -> [usize; 2] {
        [self.height.div_ceil(TILE), self.width.div_ceil(TILE)]
    }
}

/// Where the tiles of a piece lie: blocks of [`TILES`] and then single ones, in each the points, in each the groups of
/// four channels, in each the tiles.
#[derive(Clone, Copy)]
struct Places {
    groups: usize,
    /// Tiles in blocks.
    blocked: usize,
}

impl Places {
    /// From one point to the next in a block of so many tiles.
    fn step(&self, tiles: usize) -> usize {
        tiles * self.groups + GAP
    }

    /// Where a tile begins, and how far apart its points and its groups of channels are.
    fn of(&self, tile: usize) -> [usize; 3] {
        let (blocks, rest) = (tile.min(self.blocked) / TILES, tile.saturating_sub(self.blocked));
        let block = blocks * POINTS * self.step(TILES);
        if tile < self.blocked {
            return [block + tile % TILES, self.step(TILES), TILES];
        }
        [block + rest * POINTS * self.step(1), self.step(1), 1]
    }
}

/// Inputs at the points: `B^T x`.
#[inline(always)]
fn input([x0, x1, x2, x3, x4, x5]: [Four; SIDE]) -> [Four; SIDE] {
    use four::{add, scale, subtract};
    let ends = |x0, x2, x4| add(subtract(scale(x0, A2 * B2), scale(x2, A2 + B2)), x4);
    let (even_a, odd_a) = (subtract(x4, scale(x2, B2)), scale(subtract(x3, scale(x1, B2)), A));
    let (even_b, odd_b) = (subtract(x4, scale(x2, A2)), scale(subtract(x3, scale(x1, A2)), B));
    [
        ends(x0, x2, x4),
        add(even_a, odd_a),
        subtract(even_a, odd_a),
        add(even_b, odd_b),
        subtract(even_b, odd_b),
        ends(x1, x3, x5),
    ]
}

/// A kernel at the points: `G w`.
#[inline(always)]
fn kernel([w0, w1, w2]: [Four; 3]) -> [Four; SIDE] {
    use four::{add, scale, subtract};
    const OF_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
    const OF_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));
    let (even_a, odd_a) = (scale(add(w0, scale(w2, A2)), OF_A), scale(w1, A * OF_A));
    let (even_b, odd_b) = (scale(add(w0, scale(w2, B2)), OF_B), scale(w1, B * OF_B));
    [
        scale(w0, 1.0 / (A2 * B2)),
        add(even_a, odd_a),
        subtract(even_a, odd_a),
        add(even_b, odd_b),
        subtract(even_b, odd_b),
        w2,
    ]
}

/// The results from the products at the points: `A^T m`.
#[inline(always)]
fn output([m0, m1, m2, m3, m4, m5]: [Four; SIDE]) -> [Four; TILE] {
    use four::{add, scale, subtract};
    let (even_a, odd_a, even_b, odd_b) = (add(m1, m2), subtract(m1, m2), add(m3, m4), subtract(m3, m4));
    [
        add(m0, add(even_a, even_b)),
        add(scale(odd_a, A), scale(odd_b, B)),
        add(scale(even_a, A2), scale(even_b, B2)),
        add(add(scale(odd_a, A * A2), scale(odd_b, B * B2)), m5),
    ]
}

/// Four neighbours in a line, zeros where it ends.
#[inline(always)]
fn neighbours(line: &[f32], column: usize) -> Four {
    if let Some(found) = line[column..].first_chunk() {
        return four::load(found);
    }
    let mut found = [0.0; 4];
    for (place, value) in found.iter_mut().zip(&line[column..]) {
        *place = *value;
    }
    four::load(&found)
}

/// `image` has `[channels, height, width]` and up to four channels. `columns` gets what it is at the points of the rows of
/// a line of tiles, `[points, columns, 4 channels]`, with a column of zeros before and after.
#[inline(always)]
fn transform_rows(image: &[f32], sizes: &Sizes, first: usize, columns: &mut [Numbers], length: usize) {
    let size = sizes.height * sizes.width;
    let row = |channel: usize, row: usize| {
        let row = (first + row).checked_sub(1).filter(|row| *row < sizes.height)?;
        image.get(channel * size + row * sizes.width..channel * size + (row + 1) * sizes.width)
    };
    for start in (0..length - 2).step_by(4) {
        let mut found = [[four::splat(0.0); 4]; SIDE];
        for channel in 0..4 {
            let mut x = [four::splat(0.0); SIDE];
            for (index, x) in x.iter_mut().enumerate() {
                if let Some(line) = row(channel, index) {
                    *x = neighbours(line, start);
                }
            }
            for (place, value) in found.iter_mut().zip(input(x)) {
                place[channel] = value;
            }
        }
        for (point, found) in found.iter().enumerate() {
            let places = &mut columns[point * length + start + 1..][..4];
            for (place, value) in places.iter_mut().zip(four::transpose(*found)) {
                *place = four::numbers(value);
            }
        }
    }
}

/// Transforms a line of tiles of four channels.
#[inline(always)]
fn transform_line(columns: &[Numbers], length: usize, tile: usize, group: usize, places: Places, found: &mut [Numbers]) {
    for index in 0..(length - 2) / TILE {
        let [start, step, group_step] = places.of(tile + index);
        let found = &mut found[start + group * group_step..];
        for row in 0..SIDE {
            let x = &columns[row * length + index * TILE..][..SIDE];
            let mut values = [four::splat(0.0); SIDE];
            for (value, x) in values.iter_mut().zip(x) {
                *value = four::load(x);
            }
            for (column, value) in input(values).into_iter().enumerate() {
                found[(row * SIDE + column) * step] = four::numbers(value);
            }
        }
    }
}

/// The kernels of up to [`OUTPUTS`] outputs at the points, `[points, channels, HALVES]`, the points `step` apart.
#[inline(always)]
fn transform_kernels(weights: &[f32], inputs: usize, step: usize, found: &mut [Numbers]) {
    const NONE: [f32; 9] = [0.0; 9];
    let weights = weights.as_chunks().0;
    for channel in 0..inputs {
        for half in 0..HALVES {
            let of = |output: usize| weights.get((4 * half + output) * inputs + channel).unwrap_or(&NONE);
            let [a, b, c, d] = [of(0), of(1), of(2), of(3)];
            let taps = |start: usize| {
                let of = |w: &[f32; 9]| four::load(&[w[start], w[start + 1], w[start + 2], w[start + 3]]);
                four::transpose([of(a), of(b), of(c), of(d)])
            };
            let ([w0, w1, w2, w3], [w4, w5, w6, w7]) = (taps(0), taps(4));
            let w8 = four::load(&[a[8], b[8], c[8], d[8]]);
            let columns = [kernel([w0, w3, w6]), kernel([w1, w4, w7]), kernel([w2, w5, w8])];
            for row in 0..SIDE {
                for (column, value) in kernel(columns.map(|column| column[row])).into_iter().enumerate() {
                    found[(row * SIDE + column) * step + channel * HALVES + half] = four::numbers(value);
                }
            }
        }
    }
}

/// The sums over the channels for `T` tiles and [`OUTPUTS`] outputs at a point.
#[inline(never)]
fn multiply<const T: usize>(tiles: &[Numbers], kernels: &[Numbers], products: &mut [[Four; HALVES]; T]) {
    let mut sums = [[four::splat(0.0); HALVES]; T];
    for (x, w) in tiles.as_chunks::<T>().0.iter().zip(kernels.as_chunks::<{ 4 * HALVES }>().0) {
        for channel in 0..4 {
            let w = [four::load(&w[2 * channel]), four::load(&w[2 * channel + 1])];
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = four::splat(x[channel]);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = four::add(*sum, four::multiply(w, x));
                }
            }
        }
    }
    *products = sums;
}

/// Where results go.
struct Results<'a> {
    sizes: &'a Sizes,
    bias: &'a [f32],
    /// The first output worked on.
    output: usize,
    out: &'a mut [f32],
}

impl Results<'_> {
    /// Puts four outputs of a tile into their places.
    #[inline(always)]
    fn put(&mut self, products: &[[Four; HALVES]], step: usize, half: usize, tile: usize) {
        let Sizes { outputs, height, width, .. } = *self.sizes;
        let [rows, columns] = self.sizes.tiles();
        let (image, row, column) = (tile / (rows * columns), tile / columns % rows * TILE, tile % columns * TILE);
        let mut down = [[four::splat(0.0); SIDE]; TILE];
        for column in 0..SIDE {
            let mut values = [four::splat(0.0); SIDE];
            for (row, value) in values.iter_mut().enumerate() {
                *value = products[(row * SIDE + column) * step][half];
            }
            for (down, value) in down.iter_mut().zip(output(values)) {
                down[column] = value;
            }
        }
        let first = self.output + 4 * half;
        let shift = neighbours(self.bias, first.min(self.bias.len()));
        for (index, values) in down.into_iter().enumerate().take(height - row) {
            let lines = four::transpose(output(values).map(|value| four::add(value, shift)));
            for (output, line) in lines.into_iter().enumerate().take(outputs.saturating_sub(first)) {
                let start = ((image * outputs + first + output) * height + row + index) * width + column;
                let place = &mut self.out[start..][..TILE.min(width - column)];
                let line = four::numbers(line);
                match place.first_chunk_mut() {
                    Some(place) => *place = line,
                    None => place.copy_from_slice(&line[..place.len()]),
                }
            }
        }
    }

    /// Multiplies `T` tiles that lie together and puts their results into their places.
    #[inline(always)]
    fn block<const T: usize>(&mut self, tiles: &[Numbers], step: usize, kernels: &[Numbers], first: usize) {
        let groups = self.sizes.groups();
        let mut products = [[[four::splat(0.0); HALVES]; T]; POINTS];
        for (point, products) in products.iter_mut().enumerate() {
            let kernels = &kernels[point * (4 * HALVES * groups + GAP)..][..4 * HALVES * groups];
            multiply::<T>(&tiles[point * step..][..T * groups], kernels, products);
        }
        for tile in 0..T {
            for half in 0..HALVES {
                self.put(&products.as_flattened()[tile..], T, half, first + tile);
            }
        }
    }
}

/// `out = bias + weights * images` with a row and a column of zeros around each image: `[images, inputs, height, width]`,
/// `[outputs, inputs, 3, 3]` and `[images, outputs, height, width]`. `room` is worked in.
///
/// # Panics
/// When `images`, `weights` or `out` is shorter than `sizes` say.
#[inline(never)]
pub fn convolve(sizes: &Sizes, images: &[f32], weights: &[f32], bias: &[f32], room: &mut Vec<Numbers>, out: &mut [f32]) {
    let Sizes { inputs, outputs, height, width } = *sizes;
    let (size, [rows, columns], groups) = (height * width, sizes.tiles(), sizes.groups());
    if inputs * outputs * size == 0 {
        return;
    }
    let length = columns * TILE + 2;
    let mut line = vec![[0.0; 4]; SIDE * length];
    let kernels = POINTS * (4 * HALVES * groups + GAP);
    let lines = images.len() / (inputs * size) * rows;
    let together = (PIECE / (POINTS * groups * columns)).max(1);
    for first in (0..lines).step_by(together) {
        let count = together.min(lines - first);
        let places = Places { groups, blocked: count * columns / TILES * TILES };
        let needed = kernels + places.of(count * columns)[0];
        if room.len() < needed {
            room.resize(needed, [0.0; 4]);
        }
        let (kernels, tiles) = room.split_at_mut(kernels);
        for index in 0..count {
            let (image, row) = ((first + index) / rows, (first + index) % rows);
            let image = &images[image * inputs * size..][..inputs * size];
            for (group, image) in image.chunks(4 * size).enumerate() {
                transform_rows(image, sizes, row * TILE, &mut line, length);
                transform_line(&line, length, index * columns, group, places, tiles);
            }
        }
        for (index, weights) in weights[..outputs * inputs * 9].chunks(OUTPUTS * inputs * 9).enumerate() {
            kernels.fill([0.0; 4]);
            transform_kernels(weights, inputs, kernels.len() / POINTS, kernels);
            let mut results = Results { sizes, bias, output: index * OUTPUTS, out };
            for tile in (0..places.blocked).step_by(TILES) {
                let [start, step, _] = places.of(tile);
                results.block::<TILES>(&tiles[start..], step, kernels, first * columns + tile);
            }
            for tile in places.blocked..count * columns {
                let [start, step, _] = places.of(tile);
                results.block::<1>(&tiles[start..], step, kernels, first * columns + tile);
            }
        }
    }
}
