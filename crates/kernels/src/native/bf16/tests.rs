//! Convolutions in bfloat16 beside their definition, in double precision: of the same factors, rounded, as exactly as
//! sums in single precision are; of those that were given, as exactly as bfloat16 is.

use std::cell::Cell;

use super::convolution::{Room, Sizes, convolve, convolve_back};
use super::places::{Grid, restore, round};
use super::*;
use crate::lanes::tests::{error, noise};
use crate::native::tiles::Epilogue;

thread_local! {
    /// The instructions to take in this thread instead of the fastest.
    pub static FORCED: Cell<Option<Kind>> = const { Cell::new(None) };
}

/// Does something with each of the instructions that there are, and says which.
fn with_each(check: impl Fn(Kind)) {
    for kind in kinds() {
        println!("computed by {}", kind.id());
        FORCED.set(Some(kind));
        check(kind);
    }
    FORCED.set(None);
}

/// Images, inputs, outputs, height, width, kernel, stride, zeros before and after.
const SIZES: [[usize; 9]; 14] = [
    [1, 3, 32, 32, 32, 3, 1, 1, 1],
    [2, 3, 5, 7, 6, 3, 1, 1, 1],
    [1, 1, 1, 1, 1, 3, 1, 1, 1],
    [3, 64, 48, 4, 4, 3, 1, 1, 1],
    [17, 33, 16, 8, 8, 3, 1, 1, 1],
    [1, 256, 128, 4, 4, 3, 1, 1, 1],
    [2, 40, 17, 9, 13, 3, 1, 1, 1],
    [5, 96, 32, 32, 32, 3, 1, 1, 1],
    [3, 32, 64, 8, 8, 3, 2, 0, 1],
    [2, 20, 33, 5, 7, 3, 2, 1, 1],
    [2, 48, 20, 6, 5, 1, 1, 0, 0],
    [1, 128, 512, 1, 19, 1, 1, 0, 0],
    [2, 7, 9, 6, 8, 5, 1, 2, 2],
    [1, 16, 16, 7, 9, 3, 1, 0, 0],
];

fn rounded(values: &[f32]) -> Vec<f32> {
    let round = |x: &f32| {
        let bits = x.to_bits();
        f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
    };
    values.iter().map(round).collect()
}

struct Case {
    sizes: Sizes,
    x: Vec<f32>,
    weights: Vec<f32>,
    errors: Vec<f32>,
    bias: Vec<f32>,
    shifts: Vec<f32>,
    plus: Vec<f32>,
}

impl Case {
    fn new([images, inputs, outputs, height, width, kernel, stride, before, after]: [usize; 9]) -> Self {
        let sizes = Sizes { images, inputs, outputs, height, width, kernel, stride, pad: (before, after) };
        let [rows, columns] = sizes.results();
        let size = images * rows * columns;
        Self {
            sizes,
            x: noise(1, images * height * width * inputs),
            weights: noise(2, inputs * outputs * kernel * kernel),
            errors: noise(6, size * outputs),
            bias: noise(3, outputs),
            shifts: noise(4, images * outputs),
            plus: noise(5, size * outputs),
        }
    }

    /// The result, and the gradients of inputs and of kernels, by the definition.
    fn expected(&self, [x, weights, errors]: [&[f32]; 3]) -> [Vec<f64>; 3] {
        let Sizes { images, inputs, outputs, height, width, kernel, stride, pad } = self.sizes;
        let [rows, columns] = self.sizes.results();
        let [mut y, mut of_x] = [self.plus.len(), self.x.len()].map(|count| vec![0.0; count]);
        let mut of_weights = vec![0.0; weights.len()];
        for (at, y) in y.iter_mut().enumerate() {
            let (output, image) = (at % outputs, at / (outputs * rows * columns));
            *y = [self.bias[output], self.shifts[image * outputs + output], self.plus[at]].map(f64::from).iter().sum();
        }
        for (place, tap) in (0..images * rows * columns).flat_map(|p| (0..kernel * kernel).map(move |tap| (p, tap))) {
            let (image, row, column) = (place / (rows * columns), place / columns % rows, place % columns);
            let (down, across) = (row * stride + tap / kernel, column * stride + tap % kernel);
            if !(pad.0..height + pad.0).contains(&down) || !(pad.0..width + pad.0).contains(&across) {
                continue;
            }
            let from = (image * height + down - pad.0) * width + across - pad.0;
            for (output, input) in (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i))) {
                let (x_at, w_at) = (from * inputs + input, (output * inputs + input) * kernel * kernel + tap);
                let error = f64::from(errors[place * outputs + output]);
                y[place * outputs + output] += f64::from(x[x_at]) * f64::from(weights[w_at]);
                of_x[x_at] += error * f64::from(weights[w_at]);
                of_weights[w_at] += error * f64::from(x[x_at]);
            }
        }
        [y, of_x, of_weights]
    }

    fn lines(&self, grid: &Grid) -> Vec<Line> {
        // What was there does not matter.
        let mut lines = vec![Line([0x3f80_3f80; 16]); grid.lines(self.sizes.inputs)];
        round(&self.x, self.sizes.inputs, grid, [self.sizes.height, self.sizes.width], 1, &mut lines);
        lines
    }

    /// At as many places as are needed, or at the usual ones, which are more.
    fn found(&self, room: &mut Room, usual: bool) -> [Vec<f32>; 3] {
        let Self { sizes, x, weights, errors, .. } = self;
        let grid = if usual { Grid::usual(sizes.images, sizes.height, sizes.width) } else { sizes.grid() };
        let lines = self.lines(&grid);
        let mut back = vec![f32::NAN; x.len()];
        restore(&lines, sizes.inputs, &grid, &mut back);
        assert_eq!(back, rounded(x));
        let epilogue = Epilogue { bias: &self.bias, shifts: Some(&self.shifts), residual: Some(&self.plus) };
        let [mut y, mut of_x, mut of_weights] = [&self.plus, x, weights].map(|v| vec![f32::NAN; v.len()]);
        convolve(sizes, (&grid, &lines), weights, epilogue, room, &mut y);
        convolve_back(sizes, (&grid, &lines), weights, errors, room, Some((&mut of_x, false)), &mut of_weights);
        let (mut twice, mut alone) = (of_x.clone(), vec![f32::NAN; weights.len()]);
        convolve_back(sizes, (&grid, &lines), weights, errors, room, Some((&mut twice, true)), &mut of_weights);
        convolve_back(sizes, (&grid, &lines), weights, errors, room, None, &mut alone);
        assert!(of_x.iter().zip(twice).all(|(once, twice)| 2.0 * once == twice), "added to what is there");
        assert_eq!(alone, of_weights);
        [y, of_x, of_weights]
    }
}

#[test]
fn convolutions_and_their_gradients_are_the_definition_but_for_the_rounding_of_factors() {
    let cases: Vec<_> = SIZES
        .into_iter()
        .map(|sizes| {
            let case = Case::new(sizes);
            let short = [&case.x, &case.weights, &case.errors].map(|values| rounded(values));
            let of_rounded = case.expected(short.each_ref().map(|values| &values[..]));
            let exact = case.expected([&case.x, &case.weights, &case.errors]);
            (case, of_rounded, exact)
        })
        .collect();
    with_each(|kind| {
        // Each works in what the one before left.
        let mut room = Room::default();
        for (case, of_rounded, exact) in &cases {
            let what = format!("{} {:?}", kind.id(), case.sizes);
            let found = case.found(&mut room, false);
            if case.sizes.kernel <= 3 {
                // Sums over places in other blocks: not the same bits.
                for (found, other) in found.iter().zip(case.found(&mut room, true)) {
                    let other: Vec<f64> = other.into_iter().map(f64::from).collect();
                    let apart = error(found, &other);
                    assert!(apart < 1e-5, "{what}, at the usual places: {apart:e}");
                }
            }
            for (part, found) in found.iter().enumerate() {
                let [sums, factors] = [&of_rounded[part], &exact[part]].map(|expected| error(found, expected));
                assert!(sums < 1e-5, "{what}, part {part}: {sums:e}");
                // Each factor is off by at most 2^-9 of itself, in a random direction: by 2^-9 in the mean of both, and
                // the largest of 100,000 results by six times as much.
                assert!(factors < 0.015, "{what}, part {part}: {factors:e}");
            }
        }
    });
}

#[test]
#[should_panic(expected = "shorter")]
fn a_block_does_not_look_beyond_its_factors() {
    use super::block::{Block, Results, Steps, Unit};
    let (a, b) = (vec![Line::default(); 32], vec![Line::default(); 31]);
    let steps = Steps::new([[0, 0]].into_iter());
    let block = Block { steps: &steps, a: &a, b: &b, tiles: [16, 16], wide: true };
    Unit::best().multiply(&block, &mut { Results::ZERO }, false);
}

/// Prints how fast each kind is: `cargo test -p kernels speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    for [inputs, outputs, side] in
        [[32, 32, 32], [96, 32, 32], [64, 64, 16], [128, 128, 8], [128, 128, 4], [256, 128, 8]]
    {
        let case = Case::new([16, inputs, outputs, side, side, 3, 1, 1, 1]);
        let Case { sizes, x, weights, errors, .. } = &case;
        let grid = sizes.grid();
        let lines = case.lines(&grid);
        let work = (16 * inputs * outputs * side * side * 9) as f64;
        for kind in kinds() {
            FORCED.set(Some(kind));
            let mut room = Room::default();
            let epilogue = Epilogue { bias: &case.bias, shifts: None, residual: None };
            let [mut y, mut of_x, mut of_weights] = [errors, x, weights].map(|v| vec![0.0; v.len()]);
            let mut times = [f64::INFINITY; 3];
            for _ in 0..10 {
                let start = std::time::Instant::now();
                convolve(sizes, (&grid, &lines), weights, epilogue, &mut room, &mut y);
                times[0] = times[0].min(start.elapsed().as_secs_f64());
                let start = std::time::Instant::now();
                convolve_back(
                    sizes,
                    (&grid, &lines),
                    weights,
                    errors,
                    &mut room,
                    Some((&mut of_x, false)),
                    &mut of_weights,
                );
                times[1] = times[1].min(start.elapsed().as_secs_f64());
                let start = std::time::Instant::now();
                convolve_back(sizes, (&grid, &lines), weights, errors, &mut room, None, &mut of_weights);
                times[2] = times[2].min(start.elapsed().as_secs_f64());
            }
            let speeds = [1.0, 2.0, 1.0].map(|n| n * work * 1e-9);
            println!(
                "{inputs} {outputs} {side} {}: {:.0}, {:.0}, {:.0} billion products and sums a second",
                kind.id(),
                speeds[0] / times[0],
                speeds[1] / times[1],
                speeds[2] / times[2]
            );
        }
    }
    FORCED.set(None);
}
