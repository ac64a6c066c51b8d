//! SiLU, `x * sigmoid(x)`, and GELU, `x * Phi(x)`, sixteen numbers at a time: the activations of most networks here.

use crate::lanes::{LANES, Lanes, Task, run};

/// An activation function without corners, in vector instructions.
pub trait Smooth: Copy {
    /// Its value.
    fn value<L: Lanes>(&self, l: L, x: L::Of) -> L::Of;
    /// Its value and slope.
    fn with_slope<L: Lanes>(&self, l: L, x: L::Of) -> (L::Of, L::Of);
}

/// `x * sigmoid(x)`
#[derive(Clone, Copy, Debug)]
pub struct Silu;
/// `x * Phi(x)`
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

impl Smooth for Silu {
    #[inline(always)]
    fn value<L: Lanes>(&self, l: L, x: L::Of) -> L::Of {
        l.multiply(x, l.sigmoid(x))
    }

    #[inline(always)]
    fn with_slope<L: Lanes>(&self, l: L, x: L::Of) -> (L::Of, L::Of) {
        let gate = l.sigmoid(x);
        let value = l.multiply(x, gate);
        (value, l.add(gate, l.multiply(value, l.subtract(l.splat(1.0), gate))))
    }
}

/// `Phi(-x) = t (c_0 + t (c_1 + ...)) exp(-x^2 / 2) / 2` with `t = 1 / (1 + SHARE x)`, for `x >= 0`: Abramowitz and Stegun 7.1.26,
/// to 1e-7.
pub const SERIES: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
/// As above.
pub const SHARE: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
/// `1 / sqrt(2 pi)`: the density of the normal distribution at 0.
pub const DENSITY: f32 = 0.398_942_3;

impl Gelu {
    /// GELU, `exp(-x^2 / 2)` and `Phi(-|x|)`.
    #[inline(always)]
    fn parts<L: Lanes>(l: L, x: L::Of) -> [L::Of; 3] {
        let one = l.splat(1.0);
        let size = l.most(x, l.scale(x, -1.0));
        let density = l.exp(l.multiply(x, l.scale(x, -0.5)));
        let t = l.divide(one, l.scale_add(size, SHARE, one));
        let [first @ .., last] = SERIES;
        let mut series = l.splat(last);
        for factor in first.into_iter().rev() {
            series = l.fused(series, t, l.splat(factor));
        }
        let tail = l.multiply(l.scale(l.multiply(series, t), 0.5), density);
        [l.subtract(l.most(x, l.splat(0.0)), l.multiply(size, tail)), density, tail]
    }
}

impl Smooth for Gelu {
    #[inline(always)]
    fn value<L: Lanes>(&self, l: L, x: L::Of) -> L::Of {
        Self::parts(l, x)[0]
    }

    #[inline(always)]
    fn with_slope<L: Lanes>(&self, l: L, x: L::Of) -> (L::Of, L::Of) {
        let [value, density, tail] = Self::parts(l, x);
        // Phi(x) is as far above a half as Phi(-|x|) below it, on the side of x; where it is near a half, the side matters little.
        let side = l.most(l.splat(-0.5), l.least(l.splat(0.5), l.scale(x, 1e30)));
        let beyond = l.scale_add(tail, -2.0, l.splat(1.0));
        let below = l.fused(side, beyond, l.splat(0.5));
        (value, l.fused(x, l.scale(density, DENSITY), below))
    }
}

/// `rows = f(rows + bias)`, row by row.
pub fn activate<F: Smooth>(rows: &mut [f32], bias: &[f32], f: F) {
    run(Activate { rows, bias, f });
}

struct Activate<'a, F> {
    rows: &'a mut [f32],
    bias: &'a [f32],
    f: F,
}

impl<F: Smooth> Task for Activate<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.rows.chunks_exact_mut(self.bias.len().max(1)) {
            for (x, bias) in row.chunks_mut(LANES).zip(self.bias.chunks(LANES)) {
                let z = l.add(l.read(x), l.read(bias));
                l.write(self.f.value(l, z), x);
            }
        }
    }
}

/// The same, with the slopes.
pub fn activate_with_slope<F: Smooth>(rows: &mut [f32], slopes: &mut [f32], bias: &[f32], f: F) {
    run(ActivateWithSlope { rows, slopes, bias, f });
}

struct ActivateWithSlope<'a, F> {
    rows: &'a mut [f32],
    slopes: &'a mut [f32],
    bias: &'a [f32],
    f: F,
}

impl<F: Smooth> Task for ActivateWithSlope<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let width = self.bias.len().max(1);
        for (row, slopes) in self.rows.chunks_exact_mut(width).zip(self.slopes.chunks_exact_mut(width)) {
            let parts = row.chunks_mut(LANES).zip(slopes.chunks_mut(LANES)).zip(self.bias.chunks(LANES));
            for ((x, slope), bias) in parts {
                let (value, slopes) = self.f.with_slope(l, l.add(l.read(x), l.read(bias)));
                l.write(value, x);
                l.write(slopes, slope);
            }
        }
    }
}

/// `gradient *= silu'(x)`
///
/// # Panics
/// When there are fewer `x`.
pub fn times_slope(gradient: &mut [f32], x: &[f32]) {
    run(TimesSlope { gradient, x });
}

struct TimesSlope<'a> {
    gradient: &'a mut [f32],
    x: &'a [f32],
}

impl Task for TimesSlope<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let x = &self.x[..self.gradient.len()];
        for (gradient, x) in self.gradient.chunks_mut(LANES).zip(x.chunks(LANES)) {
            l.write(l.multiply(l.read(gradient), Silu.with_slope(l, l.read(x)).1), gradient);
        }
    }
}

/// `values = silu((values - mean) * scale + shift)`
pub fn normalised(values: &mut [f32], mean: f32, scale: f32, shift: f32) {
    run(Normalised { values, mean, scale, shift });
}

struct Normalised<'a> {
    values: &'a mut [f32],
    mean: f32,
    scale: f32,
    shift: f32,
}

impl Task for Normalised<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (mean, scale, shift) = (l.splat(self.mean), l.splat(self.scale), l.splat(self.shift));
        for x in self.values.chunks_mut(LANES) {
            let z = l.fused(l.subtract(l.read(x), mean), scale, shift);
            l.write(Silu.value(l, z), x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::tests::{noise, with_each};

    /// SiLU and its slope in double precision.
    fn silu(x: f64) -> [f64; 2] {
        let gate = 1.0 / (1.0 + (-x).exp());
        [x * gate, gate + x * gate * (1.0 - gate)]
    }

    /// GELU and its slope in double precision: the error function by its series, which converges for the numbers here.
    fn gelu(x: f64) -> [f64; 2] {
        let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let (mut term, mut sum) = (x, x);
        for n in 1..400 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        let below = if x < -6.0 { 0.0 } else { 0.5 + density * sum };
        [x * below, below + x * density]
    }

    fn near(found: f32, exact: f64, context: &str) {
        assert!((f64::from(found) - exact).abs() <= 1e-6 * exact.abs().max(1.0), "{context}: {found} for {exact}");
    }

    #[test]
    fn activations_and_their_slopes_are_those_of_double_precision_whatever_the_width() {
        check(Silu, silu);
        check(Gelu, gelu);
    }

    fn check<F: Smooth + std::fmt::Debug>(f: F, exact: fn(f64) -> [f64; 2]) {
        with_each(|kind| {
            for width in [1, 3, 16, 17, 64, 70] {
                let x: Vec<f32> = noise(width as u64, 3 * width).iter().map(|x| 12.0 * x).collect();
                let bias = noise(7, width);
                let (mut plain, mut rows, mut slopes) = (x.clone(), x.clone(), vec![0.0; x.len()]);
                activate(&mut plain, &bias, f);
                activate_with_slope(&mut rows, &mut slopes, &bias, f);
                for (i, x) in x.iter().enumerate() {
                    let [value, slope] = exact(f64::from(*x + bias[i % width]));
                    let context = format!("{f:?} {kind:?} width {width} number {i}");
                    near(plain[i], value, &context);
                    near(rows[i], value, &context);
                    near(slopes[i], slope, &context);
                }
            }
        });
    }

    #[test]
    fn normalised_numbers_are_scaled_and_shifted_before() {
        with_each(|kind| {
            let x = noise(5, 37);
            let mut found = x.clone();
            normalised(&mut found, 0.25, 3.0, -0.5);
            for (x, found) in x.iter().zip(found) {
                near(found, silu((f64::from(*x) - 0.25) * 3.0 - 0.5)[0], &format!("{kind:?} {x}"));
            }
        });
    }
}
