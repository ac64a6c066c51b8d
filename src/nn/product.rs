//! Matrix products of the CPU: rows of numbers that follow one another, by the loops of `kernels`.

use kernels::product::{Product, multiply};

/// `a b` for `a` of `[rows, inner]` and `b` of `[inner, columns]` numbers.
///
/// # Panics
/// When a slice is shorter than the sizes say.
#[must_use]
pub fn product(a: &[f32], b: &[f32], [rows, inner, columns]: [usize; 3]) -> Vec<f32> {
    stepping(a, [inner, 1], b, [rows, inner, columns])
}

/// The product of `a`, transposed, with `b`, for `a` of `[inner, rows]` numbers.
///
/// # Panics
/// As [`product`].
#[must_use]
pub fn transposed_product(a: &[f32], b: &[f32], [rows, inner, columns]: [usize; 3]) -> Vec<f32> {
    stepping(a, [1, rows], b, [rows, inner, columns])
}

/// The product of `a` with `b`, transposed, for `b` of `[columns, inner]` numbers.
///
/// # Panics
/// As [`product`].
#[must_use]
pub fn product_transposed(a: &[f32], b: &[f32], [rows, inner, columns]: [usize; 3]) -> Vec<f32> {
    product(a, &transposed(b, [columns, inner]), [rows, inner, columns])
}

/// The numbers of a matrix column by column.
fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut found = vec![0.0; rows * columns];
    transpose_into(values, [rows, columns], columns, &mut found);
    found
}

/// Of a matrix whose rows are `step` apart the numbers column by column.
///
/// # Panics
/// When a slice is shorter than the sizes say.
pub fn transpose_into(values: &[f32], [rows, columns]: [usize; 2], step: usize, found: &mut [f32]) {
    // In squares that stay in the nearest cache.
    const SQUARE: usize = 16;
    for top in (0..rows).step_by(SQUARE) {
        for left in (0..columns).step_by(SQUARE) {
            for column in left..columns.min(left + SQUARE) {
                let positions = &mut found[column * rows..][top..rows.min(top + SQUARE)];
                for (place, row) in positions.iter_mut().zip(top..) {
                    *place = values[row * step + column];
                }
            }
        }
    }
}

fn stepping(a: &[f32], a_steps: [usize; 2], b: &[f32], [rows, inner, columns]: [usize; 3]) -> Vec<f32> {
    let mut c = vec![0.0; rows * columns];
    multiply(Product { rows, inner, columns, a, a_steps, b, b_step: columns, c: &mut c, c_step: columns, add: false });
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_products_are_the_same_for_factors_that_lie_otherwise() {
        // 2 x 3 and 3 x 4.
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0, 1.0, 0.0, 3.0]);
        let (a_turned, b_turned) = (transposed(&a, [2, 3]), transposed(&b, [3, 4]));
        let expected = [4.0, 5.0, 4.0, 14.0, 10.0, 11.0, 13.0, 32.0];
        assert_eq!(product(&a, &b, [2, 3, 4]), expected);
        assert_eq!(transposed_product(&a_turned, &b, [2, 3, 4]), expected);
        assert_eq!(product_transposed(&a, &b_turned, [2, 3, 4]), expected);
        assert!(product(&[], &[], [0, 3, 0]).is_empty());
        assert_eq!(product_transposed(&[], &[], [2, 0, 2]), [0.0; 4]);
    }
}
