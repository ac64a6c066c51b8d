//! SiLU, `x * sigmoid(x)`, sixteen numbers at a time: the activation of most networks here.

use crate::lanes::{LANES, Lanes, Task, run};

/// SiLU and its slope.
#[inline(always)]
pub(crate) fn with_slope<L: Lanes>(l: L, x: L::Of) -> (L::Of, L::Of) {
    let gate = l.sigmoid(x);
    let value = l.multiply(x, gate);
    (value, l.add(gate, l.multiply(value, l.subtract(l.splat(1.0), gate))))
}

/// `rows = silu(rows + bias)`, row by row.
pub fn activate(rows: &mut [f32], bias: &[f32]) {
    run(Activate { rows, bias });
}

struct Activate<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl Task for Activate<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for row in self.rows.chunks_exact_mut(self.bias.len().max(1)) {
            for (x, bias) in row.chunks_mut(LANES).zip(self.bias.chunks(LANES)) {
                let z = l.add(l.read(x), l.read(bias));
                l.write(l.multiply(z, l.sigmoid(z)), x);
            }
        }
    }
}

/// The same, with the slopes.
pub fn activate_with_slope(rows: &mut [f32], slopes: &mut [f32], bias: &[f32]) {
    run(ActivateWithSlope { rows, slopes, bias });
}

struct ActivateWithSlope<'a> {
    rows: &'a mut [f32],
    slopes: &'a mut [f32],
    bias: &'a [f32],
}

impl Task for ActivateWithSlope<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let width = self.bias.len().max(1);
        for (row, slopes) in self.rows.chunks_exact_mut(width).zip(self.slopes.chunks_exact_mut(width)) {
            let parts = row.chunks_mut(LANES).zip(slopes.chunks_mut(LANES)).zip(self.bias.chunks(LANES));
            for ((x, slope), bias) in parts {
                let (value, slopes) = with_slope(l, l.add(l.read(x), l.read(bias)));
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
            l.write(l.multiply(l.read(gradient), with_slope(l, l.read(x)).1), gradient);
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
            l.write(l.multiply(z, l.sigmoid(z)), x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::tests::{noise, with_each};

    /// SiLU and its slope in double precision.
    fn exact(x: f64) -> [f64; 2] {
        let gate = 1.0 / (1.0 + (-x).exp());
        [x * gate, gate + x * gate * (1.0 - gate)]
    }

    fn near(found: f32, exact: f64, context: &str) {
        assert!((f64::from(found) - exact).abs() <= 1e-6 * exact.abs().max(1.0), "{context}: {found} for {exact}");
    }

    #[test]
    fn silu_and_its_slope_are_those_of_double_precision_whatever_the_width() {
        with_each(|kind| {
            for width in [1, 3, 16, 17, 64, 70] {
                let x: Vec<f32> = noise(width as u64, 3 * width).iter().map(|x| 12.0 * x).collect();
                let bias = noise(7, width);
                let (mut plain, mut rows, mut slopes) = (x.clone(), x.clone(), vec![0.0; x.len()]);
                activate(&mut plain, &bias);
                activate_with_slope(&mut rows, &mut slopes, &bias);
                for (i, x) in x.iter().enumerate() {
                    let [value, slope] = exact(f64::from(*x + bias[i % width]));
                    let context = format!("{kind:?} width {width} number {i}");
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
                near(found, exact((f64::from(*x) - 0.25) * 3.0 - 0.5)[0], &format!("{kind:?} {x}"));
            }
        });
    }
}
