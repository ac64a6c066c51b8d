//! Matrix products: blocks of the result in registers, one of the factors read number by number where it lies, in
//! whatever order, the other in rows of sixteen.

use crate::lanes::{F32x16, LANES, Lanes, Task, run};

/// Sums that are worked on together: sixteen or thirty-two columns of as many rows stay in the nearest cache.
const TOGETHER: usize = 256;

/// `c = a b`, or `c += a b`.
#[derive(Debug)]
pub struct Product<'a> {
    /// Rows of `a` and `c`.
    pub rows: usize,
    /// Columns of `a`, rows of `b`.
    pub inner: usize,
    /// Columns of `b` and `c`.
    pub columns: usize,
    /// One factor.
    pub a: &'a [f32],
    /// From a number of `a` to that of the next row, and of the next column.
    pub a_steps: [usize; 2],
    /// The other factor.
    pub b: &'a [f32],
    /// From a row of `b` to the next; numbers of a row follow one another.
    pub b_step: usize,
    /// The result.
    pub c: &'a mut [f32],
    /// From a row of `c` to the next; numbers of a row follow one another.
    pub c_step: usize,
    /// Whether the product is added to what is in `c`.
    pub add: bool,
}

/// Multiplies.
///
/// # Panics
/// When a slice is shorter than the sizes say.
#[inline(never)]
pub fn multiply(product: Product<'_>) {
    run(product);
}

impl Task for Product<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { rows, inner, columns, a, a_steps, b, b_step, c, c_step, add } = self;
        if rows * columns == 0 {
            return;
        }
        let last = |steps: [usize; 2], rows: usize, columns: usize| (rows - 1) * steps[0] + (columns - 1) * steps[1];
        assert!(c.len() > last([c_step, 1], rows, columns), "the result is shorter than its sizes");
        if inner == 0 {
            if !add {
                c.chunks_mut(c_step.max(1)).take(rows).for_each(|row| row[..columns].fill(0.0));
            }
            return;
        }
        assert!(a.len() > last(a_steps, rows, inner), "the first factor is shorter than its sizes");
        assert!(b.len() > last([b_step, 1], inner, columns), "the second factor is shorter than its sizes");
        let [most_rows, wide] = L::BLOCK;
        let mut first = 0;
        while first < inner {
            let count = TOGETHER.min(inner - first);
            let mut column = 0;
            while column < columns {
                let width = (wide * LANES).min(columns - column);
                // Whole sixteens, then what is left of one.
                let width = if width > LANES && width < wide * LANES { LANES } else { width };
                let (mut b, mut b_step) = (&b[first * b_step + column..], b_step);
                let mut padded;
                if width < LANES {
                    // Zeros beside the last columns: all rows of the result read whole sixteens.
                    padded = [[0.0; LANES]; TOGETHER];
                    for (place, from) in padded.iter_mut().zip(b.chunks(b_step)).take(count) {
                        place[..width].copy_from_slice(&from[..width]);
                    }
                    (b, b_step) = (padded.as_flattened(), LANES);
                }
                let mut row = 0;
                while row < rows {
                    let left = (rows - row).min(most_rows);
                    let block = Block {
                        count,
                        a: &a[row * a_steps[0] + first * a_steps[1]..],
                        a_steps,
                        b,
                        b_step,
                        c: &mut c[row * c_step + column..],
                        c_step,
                        add: add || first > 0,
                        width,
                    };
                    // SAFETY: the assertions above are of every number that a block within these sizes looks at, but for the
                    // last columns, of which sixteen are there now.
                    #[allow(unsafe_code)]
                    let done = unsafe {
                        if wide == 2 && width == 2 * LANES {
                            block.of_any_rows::<L, 2>(lanes, left)
                        } else {
                            block.of_any_rows::<L, 1>(lanes, left)
                        }
                    };
                    row += done;
                }
                column += width;
            }
            first += count;
        }
    }
}

/// Some rows and columns of a result.
struct Block<'a> {
    count: usize,
    a: &'a [f32],
    a_steps: [usize; 2],
    b: &'a [f32],
    b_step: usize,
    c: &'a mut [f32],
    c_step: usize,
    add: bool,
    width: usize,
}

#[allow(unsafe_code)]
impl Block<'_> {
    /// As many of these rows as there is a loop for; says how many.
    ///
    /// # Safety
    /// The slices must hold all numbers that a block of so many rows looks at: of `b` whole sixteens.
    #[inline(always)]
    unsafe fn of_any_rows<L: Lanes, const WIDE: usize>(self, lanes: L, rows: usize) -> usize {
        // SAFETY: of fewer rows than the caller answers for.
        unsafe {
            match rows {
                12.. => self.of_rows::<L, 12, WIDE>(lanes),
                8.. => self.of_rows::<L, 8, WIDE>(lanes),
                6.. => self.of_rows::<L, 6, WIDE>(lanes),
                4.. => self.of_rows::<L, 4, WIDE>(lanes),
                2.. => self.of_rows::<L, 2, WIDE>(lanes),
                _ => self.of_rows::<L, 1, WIDE>(lanes),
            }
        }
    }

    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn of_rows<L: Lanes, const ROWS: usize, const WIDE: usize>(self, lanes: L) -> usize {
        let mut sums = [[lanes.splat(0.0); WIDE]; ROWS];
        let (mut a, mut b) = (self.a.as_ptr(), self.b.as_ptr());
        for _ in 0..self.count {
            let mut factors = [lanes.splat(0.0); WIDE];
            for (index, factor) in factors.iter_mut().enumerate() {
                // SAFETY: within `b`, by the contract.
                *factor = lanes.load(unsafe { &*b.add(index * LANES).cast::<F32x16>() });
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: within `a`, by the contract.
                let x = lanes.splat(unsafe { *a.add(row * self.a_steps[0]) });
                for (sum, factor) in sums.iter_mut().zip(&factors) {
                    *sum = lanes.fused(x, *factor, *sum);
                }
            }
            // Only beyond the last number of all are these pointers not of the slices, and there not used.
            (a, b) = (a.wrapping_add(self.a_steps[1]), b.wrapping_add(self.b_step));
        }
        // What is left of the columns when there are fewer than sixteen.
        let tail = self.width.min(LANES);
        for (row, sums) in sums.iter().enumerate() {
            for (index, sum) in sums.iter().enumerate() {
                let start = row * self.c_step + index * LANES;
                let place = &mut self.c[start..start + tail];
                let sum = if self.add { lanes.add(lanes.read(place), *sum) } else { *sum };
                lanes.write(sum, place);
            }
        }
        ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::tests::{error, noise, with_each};

    /// Rows, sums and columns: blocks that are full and not, fewer columns than sixteen, sums in two parts.
    const SIZES: [[usize; 3]; 9] = [
        [1, 1, 1],
        [12, 7, 32],
        [13, 5, 33],
        [31, 300, 48],
        [3, 2, 15],
        [64, 64, 64],
        [5, 513, 17],
        [25, 1, 70],
        [7, 0, 5],
    ];

    #[test]
    fn products_are_products_however_the_factors_lie() {
        with_each(|kind| {
            for [rows, inner, columns] in SIZES {
                for (transposed, add) in [(false, false), (true, false), (false, true), (true, true)] {
                    // With gaps between rows.
                    let a_steps = if transposed { [1, rows + 2] } else { [inner + 3, 1] };
                    let (b_step, c_step) = (columns + 1, columns + 5);
                    let a = noise(1, (rows + 2) * (inner + 3));
                    let b = noise(2, (inner + 1) * b_step);
                    let before = noise(3, rows * c_step);
                    let mut c = before.clone();
                    multiply(Product { rows, inner, columns, a: &a, a_steps, b: &b, b_step, c: &mut c, c_step, add });
                    let mut expected = Vec::new();
                    for (row, line) in before.chunks_exact(c_step).enumerate() {
                        for (column, value) in line.iter().enumerate() {
                            let of = |k: usize| {
                                f64::from(a[row * a_steps[0] + k * a_steps[1]]) * f64::from(b[k * b_step + column])
                            };
                            let sum = if column < columns { (0..inner).map(of).sum::<f64>() } else { 0.0 };
                            // What lies between the rows stays.
                            expected.push(sum + if add || column >= columns { f64::from(*value) } else { 0.0 });
                        }
                    }
                    // A sum of 513 products is off by 6e-8 times the root of their number; the largest of many errors is
                    // some four times an average one.
                    let error = error(&c, &expected);
                    assert!(error < 1e-5, "{kind:?} {rows} {inner} {columns} {transposed} {add}: {error:e}");
                }
            }
        });
    }

    #[test]
    #[should_panic(expected = "shorter")]
    fn a_product_does_not_look_beyond_its_factors() {
        let (a, b, mut c) = ([0.0; 5], [0.0; 6], [0.0; 4]);
        let (a_steps, b_step, c_step) = ([3, 1], 2, 2);
        multiply(Product {
            rows: 2,
            inner: 3,
            columns: 2,
            a: &a,
            a_steps,
            b: &b,
            b_step,
            c: &mut c,
            c_step,
            add: false,
        });
    }
}
