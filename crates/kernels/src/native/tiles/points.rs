//! Tiles, results and kernels at the points, and the same read backwards.

use super::{SIDE, TILE};
use crate::lanes::Lanes;
use crate::winograd::{A, A2, B, B2, OF_A, OF_B};

/// A transformation of a line of numbers: a type and not a closure, as those are not always inlined.
pub trait Change<const I: usize, const O: usize> {
    /// Of one line.
    fn of<L: Lanes>(l: L, x: [L::Of; I]) -> [L::Of; O];
}

/// `B^T x`
pub struct Input;

impl Change<SIDE, SIDE> for Input {
    #[inline(always)]
    fn of<L: Lanes>(l: L, [x0, x1, x2, x3, x4, x5]: [L::Of; SIDE]) -> [L::Of; SIDE] {
        let (even_a, odd_a) = (l.scale_add(x2, -B2, x4), l.scale(l.scale_add(x1, -B2, x3), A));
        let (even_b, odd_b) = (l.scale_add(x2, -A2, x4), l.scale(l.scale_add(x1, -A2, x3), B));
        [
            l.scale_add(x0, A2 * B2, l.scale_add(x2, -(A2 + B2), x4)),
            l.add(even_a, odd_a),
            l.subtract(even_a, odd_a),
            l.add(even_b, odd_b),
            l.subtract(even_b, odd_b),
            l.scale_add(x1, A2 * B2, l.scale_add(x3, -(A2 + B2), x5)),
        ]
    }
}

/// `B y`
pub struct InputBack;

impl Change<SIDE, SIDE> for InputBack {
    #[inline(always)]
    fn of<L: Lanes>(l: L, [y0, y1, y2, y3, y4, y5]: [L::Of; SIDE]) -> [L::Of; SIDE] {
        let (even_a, odd_a) = (l.add(y1, y2), l.scale(l.subtract(y1, y2), A));
        let (even_b, odd_b) = (l.add(y3, y4), l.scale(l.subtract(y3, y4), B));
        [
            l.scale(y0, A2 * B2),
            l.scale_add(odd_a, -B2, l.scale_add(odd_b, -A2, l.scale(y5, A2 * B2))),
            l.scale_add(even_a, -B2, l.scale_add(even_b, -A2, l.scale(y0, -(A2 + B2)))),
            l.add(l.add(odd_a, odd_b), l.scale(y5, -(A2 + B2))),
            l.add(l.add(even_a, even_b), y0),
            y5,
        ]
    }
}

/// `A^T m`
pub struct Output;

impl Change<SIDE, TILE> for Output {
    #[inline(always)]
    fn of<L: Lanes>(l: L, [m0, m1, m2, m3, m4, m5]: [L::Of; SIDE]) -> [L::Of; TILE] {
        let (even_a, odd_a) = (l.add(m1, m2), l.subtract(m1, m2));
        let (even_b, odd_b) = (l.add(m3, m4), l.subtract(m3, m4));
        [
            l.add(m0, l.add(even_a, even_b)),
            l.scale_add(odd_a, A, l.scale(odd_b, B)),
            l.scale_add(even_a, A2, l.scale(even_b, B2)),
            l.scale_add(odd_a, A * A2, l.scale_add(odd_b, B * B2, m5)),
        ]
    }
}

/// `A z`
pub struct OutputBack;

impl Change<TILE, SIDE> for OutputBack {
    #[inline(always)]
    fn of<L: Lanes>(l: L, [z0, z1, z2, z3]: [L::Of; TILE]) -> [L::Of; SIDE] {
        let (even_a, odd_a) = (l.scale_add(z2, A2, z0), l.scale_add(z3, A * A2, l.scale(z1, A)));
        let (even_b, odd_b) = (l.scale_add(z2, B2, z0), l.scale_add(z3, B * B2, l.scale(z1, B)));
        [z0, l.add(even_a, odd_a), l.subtract(even_a, odd_a), l.add(even_b, odd_b), l.subtract(even_b, odd_b), z3]
    }
}

/// `G w`
pub struct Kernel;

impl Change<3, SIDE> for Kernel {
    #[inline(always)]
    fn of<L: Lanes>(l: L, [w0, w1, w2]: [L::Of; 3]) -> [L::Of; SIDE] {
        let (even_a, odd_a) = (l.scale(l.scale_add(w2, A2, w0), OF_A), l.scale(w1, A * OF_A));
        let (even_b, odd_b) = (l.scale(l.scale_add(w2, B2, w0), OF_B), l.scale(w1, B * OF_B));
        [
            l.scale(w0, 1.0 / (A2 * B2)),
            l.add(even_a, odd_a),
            l.subtract(even_a, odd_a),
            l.add(even_b, odd_b),
            l.subtract(even_b, odd_b),
            w2,
        ]
    }
}

/// `G^T u`
pub struct KernelBack;

impl Change<SIDE, 3> for KernelBack {
    #[inline(always)]
    fn of<L: Lanes>(l: L, [u0, u1, u2, u3, u4, u5]: [L::Of; SIDE]) -> [L::Of; 3] {
        let (even_a, odd_a) = (l.scale(l.add(u1, u2), OF_A), l.scale(l.subtract(u1, u2), A * OF_A));
        let (even_b, odd_b) = (l.scale(l.add(u3, u4), OF_B), l.scale(l.subtract(u3, u4), B * OF_B));
        [
            l.scale_add(u0, 1.0 / (A2 * B2), l.add(even_a, even_b)),
            l.add(odd_a, odd_b),
            l.scale_add(even_a, A2, l.scale_add(even_b, B2, u5)),
        ]
    }
}

/// A transformation of columns, then of rows.
#[inline(always)]
pub fn both<L: Lanes, C: Change<I, O>, const I: usize, const O: usize>(l: L, x: &[[L::Of; I]; I]) -> [[L::Of; O]; O] {
    let zero = l.splat(0.0);
    let mut half = [[zero; I]; O];
    for column in 0..I {
        let mut values = [zero; I];
        for row in 0..I {
            values[row] = x[row][column];
        }
        let values = C::of(l, values);
        for row in 0..O {
            half[row][column] = values[row];
        }
    }
    let mut found = [[zero; O]; O];
    for row in 0..O {
        found[row] = C::of(l, half[row]);
    }
    found
}
