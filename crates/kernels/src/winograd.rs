//! Convolutions with 3 x 3 kernels by Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and Gray 2016,
//! arXiv 1509.09308): 36 products of an input and an output channel make 16 results instead of 144.
//!
//! Polynomials are evaluated at 0, infinity, and plus and minus 3/4 and 3/2. Lavin and Gray's plus and minus 1 and 2 make
//! the rounding errors twice as large; with these they are about twice those of plain sums. Sums run over the
//! channels in their order, whatever is worked on together: results do not depend on the number of images. Products are
//! fused with sums in the program for browsers with relaxed vector instructions alone; elsewhere they do not depend on the
//! machine either.

use crate::four::{self, Four};

/// Height and width of a tile of results.
pub(crate) const TILE: usize = 4;
/// Height and width of what it is made from.
pub(crate) const SIDE: usize = TILE + 2;
/// Products of a tile and two channels.
pub(crate) const POINTS: usize = SIDE * SIDE;
/// Tiles multiplied at once.
const TILES: usize = 4;
/// Output channels multiplied at once, in fours.
const HALVES: usize = 2;
const OUTPUTS: usize = 4 * HALVES;
/// Transformed tiles kept at a time, in fours of numbers: as many as stay in the caches.
const PIECE: usize = 1 << 16;

/// F32x4 of four channels.
type F32x4 = [f32; 4];
/// Four input channels of some tiles at the points.
type Tiles<const T: usize> = [[F32x4; T]; POINTS];
/// Four input channels of the kernels of [`OUTPUTS`] outputs at the points.
type Kernels = [[[F32x4; HALVES]; 4]; POINTS];

/// The points beside 0 and infinity are plus and minus these.
pub(crate) const A: f32 = 0.75;
pub(crate) const B: f32 = 1.5;
pub(crate) const A2: f32 = A * A;
pub(crate) const B2: f32 = B * B;
/// What kernels are divided by at them, inverted.
pub(crate) const OF_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
pub(crate) const OF_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

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

/// `image` has `[channels, height, width]` and up to four channels. `columns` gets what it is at the points of the rows of
/// a line of tiles, `[points, columns, 4 channels]`, with a column of zeros before and after.
#[inline(never)]
fn transform_rows(image: &[f32], sizes: &Sizes, first: usize, columns: &mut [F32x4]) {
    let mut rows = [[[].as_slice(); SIDE]; 4];
    for (plane, rows) in image.chunks_exact(sizes.height * sizes.width).zip(&mut rows) {
        let lines = plane.chunks_exact(sizes.width).skip(first.saturating_sub(1));
        // Above the first line is none.
        for (place, line) in rows[usize::from(first == 0)..].iter_mut().zip(lines) {
            *place = line;
        }
    }
    let length = columns.len() / SIDE;
    for start in (0..length - 2).step_by(TILE) {
        let mut found = [[four::splat(0.0); 4]; SIDE];
        for (channel, lines) in rows.iter().enumerate() {
            for (place, value) in found.iter_mut().zip(input(lines.map(|line| four::load_from(line, start)))) {
                place[channel] = value;
            }
        }
        for (found, columns) in found.into_iter().zip(columns.chunks_exact_mut(length)) {
            if let Some(places) = columns[start + 1..].first_chunk_mut::<4>() {
                *places = four::transpose(found).map(four::numbers);
            }
        }
    }
}

/// Transforms one of `T` tiles of four channels.
#[inline(never)]
fn transform_columns<const T: usize>(columns: &[F32x4], start: usize, found: &mut Tiles<T>, tile: usize) {
    let rows = found.as_chunks_mut::<SIDE>().0.iter_mut().zip(columns.chunks_exact(columns.len() / SIDE));
    for (places, columns) in rows {
        let Some(x) = columns[start..].first_chunk::<SIDE>() else { return };
        let values = input([0, 1, 2, 3, 4, 5].map(|column| four::load(&x[column])));
        for (place, value) in places.iter_mut().zip(values) {
            place[tile] = four::numbers(value);
        }
    }
}

/// The kernels of up to [`OUTPUTS`] outputs at the points.
#[inline(never)]
fn transform_kernels(weights: &[f32], inputs: usize, found: &mut [Kernels]) {
    const NONE: [f32; 9] = [0.0; 9];
    let weights = weights.as_chunks().0;
    for (group, found) in found.iter_mut().enumerate() {
        for part in 0..4 * HALVES {
            let (channel, half) = (part / HALVES, part % HALVES);
            let input = 4 * group + channel;
            let of = |output: usize| -> &[f32; 9] {
                if input < inputs { weights.get((4 * half + output) * inputs + input).unwrap_or(&NONE) } else { &NONE }
            };
            let [a, b, c, d] = [of(0), of(1), of(2), of(3)];
            let taps = |of: fn(&[f32; 9]) -> &[f32; 4]| four::transpose([a, b, c, d].map(|w| four::load(of(w))));
            let [w0, w1, w2, w3] = taps(|[a @ .., _, _, _, _, _]| a);
            let [w4, w5, w6, w7] = taps(|[_, _, _, _, a @ .., _]| a);
            let w8 = four::load(&[a[8], b[8], c[8], d[8]]);
            let columns = [kernel([w0, w3, w6]), kernel([w1, w4, w7]), kernel([w2, w5, w8])];
            // Written out, for the compiler makes a loop of a loop.
            let row = |row: usize| kernel([columns[0][row], columns[1][row], columns[2][row]]);
            let values = [row(0), row(1), row(2), row(3), row(4), row(5)];
            for (place, value) in found.iter_mut().zip(values.as_flattened()) {
                place[channel][half] = four::numbers(*value);
            }
        }
    }
}

/// The sums over the channels for `T` tiles and [`OUTPUTS`] outputs at a point.
#[cfg_attr(all(target_arch = "wasm32", feature = "relaxed"), target_feature(enable = "relaxed-simd"))]
#[inline(never)]
fn multiply<const T: usize>(tiles: &[Tiles<T>], kernels: &[Kernels], point: usize, products: &mut [[Four; HALVES]; T]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        /// The same operations, eight at once.
        #[target_feature(enable = "avx")]
        fn wide<const T: usize>(tiles: &[Tiles<T>], kernels: &[Kernels], point: usize) -> [[Four; HALVES]; T] {
            sums(tiles, kernels, point)
        }
        // SAFETY: the processor has these instructions.
        #[allow(unsafe_code)]
        let found = unsafe { wide(tiles, kernels, point) };
        *products = found;
        return;
    }
    *products = sums(tiles, kernels, point);
}

#[inline(always)]
fn sums<const T: usize>(tiles: &[Tiles<T>], kernels: &[Kernels], point: usize) -> [[Four; HALVES]; T] {
    let mut sums = [[four::splat(0.0); HALVES]; T];
    for (x, w) in tiles.iter().zip(kernels) {
        let x = &x[point];
        for (channel, w) in w[point].iter().enumerate() {
            let w = [four::load(&w[0]), four::load(&w[1])];
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = four::splat(x[channel]);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = four::multiply_add(w, x, *sum);
                }
            }
        }
    }
    sums
}

/// Where a tile's results go.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of the first result of the first output.
    start: usize,
    /// Results that are in the image.
    rows: usize,
    columns: usize,
}

impl Place {
    fn new(sizes: &Sizes, image: usize, tile: [usize; 2]) -> Self {
        let [row, column] = tile.map(|index| index * TILE);
        let start = (image * sizes.outputs * sizes.height + row) * sizes.width + column;
        Self { start, rows: TILE.min(sizes.height - row), columns: TILE.min(sizes.width - column) }
    }
}

/// Multiplies `T` tiles that lie together and puts the results of [`OUTPUTS`] outputs into their places.
#[inline(never)]
fn block<const T: usize>(
    tiles: &[F32x4],
    kernels: &[Kernels],
    places: &[Place],
    sizes: &Sizes,
    bias: &[f32],
    out: &mut [f32],
) {
    let tiles = tiles.as_chunks().0.as_chunks().0;
    let mut products = [[[four::splat(0.0); HALVES]; T]; POINTS];
    for (point, products) in products.iter_mut().enumerate() {
        multiply::<T>(tiles, kernels, point, products);
    }
    let size = sizes.height * sizes.width;
    for (tile, place) in places.iter().enumerate().take(T) {
        for (half, bias) in bias.chunks(4).enumerate().take(HALVES) {
            // Written out, for the compiler makes loops of loops.
            let value = |row: usize, column: usize| products[row * SIDE + column][tile][half];
            let down =
                |c: usize| output([value(0, c), value(1, c), value(2, c), value(3, c), value(4, c), value(5, c)]);
            let columns = [down(0), down(1), down(2), down(3), down(4), down(5)];
            let across = |row: usize| output(columns.map(|column| column[row]));
            let values = [across(0), across(1), across(2), across(3)];
            let shift = four::load_from(bias, 0);
            for (row, values) in values.into_iter().enumerate().take(place.rows) {
                let lines = four::transpose(values.map(|value| four::add(value, shift)));
                for (output, line) in lines.into_iter().enumerate().take(bias.len()) {
                    let start = place.start + (4 * half + output) * size + row * sizes.width;
                    four::store_into(&mut out[start..start + place.columns], line);
                }
            }
        }
    }
}

/// `out = bias + weights * images` with a row and a column of zeros around each image: `[images, inputs, height, width]`,
/// `[outputs, inputs, 3, 3]` and `[images, outputs, height, width]`. `room` is worked in.
///
/// # Panics
/// When `weights`, `bias` or `out` is shorter than `sizes` say.
#[inline(never)]
pub fn convolve(
    sizes: &Sizes,
    images: &[f32],
    weights: &[f32],
    bias: &[f32],
    room: &mut Vec<[f32; 4]>,
    out: &mut [f32],
) {
    let Sizes { inputs, outputs, height, width } = *sizes;
    let (size, [rows, columns], groups) = (height * width, sizes.tiles(), sizes.groups());
    if inputs * outputs * size == 0 {
        return;
    }
    let (weights, bias) = (&weights[..outputs * inputs * 9], &bias[..outputs]);
    let mut line = vec![[0.0; 4]; SIDE * (columns * TILE + 2)];
    let lines = images.len() / (inputs * size) * rows;
    let together = (PIECE / (POINTS * groups * columns)).max(1);
    let mut places = Vec::new();
    for first in (0..lines).step_by(together) {
        let lines = first..lines.min(first + together);
        let count = lines.len() * columns;
        // In fours, and the last up to three one by one.
        let blocked = count / TILES * TILES;
        let needed = groups * POINTS * (4 * HALVES + count);
        if room.len() < needed {
            room.resize(needed, [0.0; 4]);
        }
        let (kernels, tiles) = room[..needed].split_at_mut(groups * POINTS * 4 * HALVES);
        let kernels = kernels.as_chunks_mut().0.as_chunks_mut().0.as_chunks_mut().0;
        let (fours, ones) = tiles.split_at_mut(groups * POINTS * blocked);
        places.clear();
        for index in lines {
            let (image, row) = (index / rows, index % rows);
            for (group, image) in images[image * inputs * size..][..inputs * size].chunks(4 * size).enumerate() {
                transform_rows(image, sizes, row * TILE, &mut line);
                for column in 0..columns {
                    let tile = places.len() + column;
                    if tile < blocked {
                        let tiles: &mut [Tiles<TILES>] = fours.as_chunks_mut().0.as_chunks_mut().0;
                        let place = &mut tiles[tile / TILES * groups + group];
                        transform_columns(&line, column * TILE, place, tile % TILES);
                    } else {
                        let tiles: &mut [Tiles<1>] = ones.as_chunks_mut().0.as_chunks_mut().0;
                        let place = &mut tiles[(tile - blocked) * groups + group];
                        transform_columns(&line, column * TILE, place, 0);
                    }
                }
            }
            places.extend((0..columns).map(|column| Place::new(sizes, image, [row, column])));
        }
        let (in_fours, in_ones) = places.split_at(blocked);
        let weights = weights.chunks(OUTPUTS * inputs * 9).zip(bias.chunks(OUTPUTS));
        for (index, (weights, bias)) in weights.enumerate() {
            transform_kernels(weights, inputs, kernels);
            let out = &mut out[index * OUTPUTS * size..];
            for (tiles, places) in fours.chunks_exact(groups * POINTS * TILES).zip(in_fours.chunks_exact(TILES)) {
                block::<TILES>(tiles, kernels, places, sizes, bias, out);
            }
            for (tiles, places) in ones.chunks_exact(groups * POINTS).zip(in_ones.chunks_exact(1)) {
                block::<1>(tiles, kernels, places, sizes, bias, out);
            }
        }
    }
}
