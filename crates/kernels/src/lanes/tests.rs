//! Tests of the instructions, and what the tests of loops share.

use std::cell::Cell;

use super::*;

thread_local! {
    /// The instructions to take in this thread instead of the widest.
    pub static FORCED: Cell<Option<Kind>> = const { Cell::new(None) };
}

/// Does something with each of the instructions that there are.
pub fn with_each(check: impl Fn(Kind)) {
    for kind in kinds() {
        FORCED.set(Some(kind));
        check(kind);
    }
    FORCED.set(None);
}

/// So many numbers between -1 and 1 that look random.
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The largest error, for the root mean square of what is expected.
pub fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64).sqrt();
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / scale.max(1e-30)
}

struct Turn([F32x16; LANES], Vec<Line>);

impl Task for &mut Turn {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let mut rows = [l.splat(0.0); LANES];
        rows.iter_mut().zip(&self.0).for_each(|(row, numbers)| *row = l.load(numbers));
        self.1.push(l.pairs(rows[3], rows[9]));
        let columns = l.transposed(rows);
        self.0.iter_mut().zip(columns).for_each(|(numbers, column)| l.store(column, numbers));
    }
}

#[test]
fn numbers_are_turned_and_rounded_to_the_nearest() {
    let mut numbers = [[0.0; LANES]; LANES];
    numbers.as_flattened_mut().iter_mut().zip(noise(1, 256)).for_each(|(place, x)| *place = x);
    // In the middle of two, of which the even one is below and above; just beside it; the largest; no numbers.
    let special = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff, 0x7f7f_ffff, 0x7f80_0000, 0xffc0_0000];
    numbers[3].iter_mut().zip(special).for_each(|(place, bits)| *place = f32::from_bits(bits));
    let rounded = [0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0x7f80, 0xffc0];
    with_each(|kind| {
        let mut turn = Turn(numbers, Vec::new());
        run(&mut turn);
        for (row, column) in (0..LANES).flat_map(|row| (0..LANES).map(move |column| (row, column))) {
            assert_eq!(turn.0[row][column].to_bits(), numbers[column][row].to_bits(), "{kind:?} {row} {column}");
        }
        let found = turn.1[0].0;
        assert!(found.iter().zip(rounded).all(|(word, wanted)| word & 0xffff == wanted), "{kind:?}: {found:x?}");
        for (word, x) in found.iter().zip(numbers[9]) {
            let error = (f32::from_bits(word & 0xffff_0000) - x).abs();
            assert!(error <= x.abs() / 256.0, "{kind:?}: {x} is off by {error}");
        }
    });
}

struct Exponentials<'a>(&'a [f32], &'a mut [f32]);

impl Task for Exponentials<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (x, found) in self.0.chunks(LANES).zip(self.1.chunks_mut(LANES)) {
            l.write(l.exp(l.read(x)), found);
        }
    }
}

#[test]
fn exponentials_of_all_instructions_are_accurate_to_a_few_units_in_the_last_place() {
    let x: Vec<f32> = (-4000..=4003).map(|i| i as f32 * 0.01).collect();
    with_each(|kind| {
        let mut found = vec![0.0; x.len()];
        run(Exponentials(&x, &mut found));
        for (x, found) in x.iter().zip(&found) {
            let exact = f64::from(*x).exp();
            let error = (f64::from(*found) - exact).abs() / exact;
            assert!(error < 4.0 * f64::from(f32::EPSILON), "{kind:?} {x}: {error}");
        }
        let mut ends = [0.0; 3];
        run(Exponentials(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN], &mut ends));
        assert!(ends[0].is_finite() && ends[1] >= 0.0 && ends[2].is_nan(), "{kind:?}: {ends:?}");
    });
}
