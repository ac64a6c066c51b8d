//! Activation functions on slices: value and slope in one pass, without branches, so that the compiler makes vector
//! instructions of them on every target, and of plain arithmetic, so that they are the same everywhere.

use crate::lab::Activation;

/// `e^x` to 2 units in the last place, for `x` held within `[-87, 88]`.
#[inline]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first short enough for exact products.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    // The Taylor series: on |r| <= ln 2 / 2 the first term left out is below 2e-8.
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0)));
    let fraction = 1.0 + r * (1.0 + r * (0.5 + r * tail));
    fraction * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[inline]
fn silu(x: f32) -> (f32, f32) {
    let gate = 1.0 / (1.0 + exp(-x));
    let value = x * gate;
    (value, gate + value * (1.0 - gate))
}

#[inline]
fn gelu(x: f32) -> (f32, f32) {
    // The normal distribution function by Abramowitz and Stegun 7.1.26, to 1e-7.
    let density = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let series = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * series * density;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    (x * below, below + x * density * 0.398_942_3)
}

#[inline]
fn relu(x: f32) -> (f32, f32) {
    (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 })
}

#[inline]
fn tanh(x: f32) -> (f32, f32) {
    let value = 1.0 - 2.0 / (1.0 + exp(2.0 * x));
    (value, 1.0 - value * value)
}

#[inline(always)]
fn forward(rows: &mut [f32], bias: &[f32], f: impl Fn(f32) -> (f32, f32)) {
    for row in rows.chunks_exact_mut(bias.len().max(1)) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x = f(*x + b).0;
        }
    }
}

#[inline(always)]
fn trace(rows: &mut [f32], slopes: &mut [f32], bias: &[f32], f: impl Fn(f32) -> (f32, f32)) {
    let width = bias.len().max(1);
    for (row, slopes) in rows.chunks_exact_mut(width).zip(slopes.chunks_exact_mut(width)) {
        for ((x, slope), b) in row.iter_mut().zip(slopes).zip(bias) {
            (*x, *slope) = f(*x + b);
        }
    }
}

/// `rows = activation(rows + bias)`, row by row.
pub fn activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::Silu => forward(rows, bias, silu),
        Activation::Gelu => forward(rows, bias, gelu),
        Activation::Relu => forward(rows, bias, relu),
        Activation::Tanh => forward(rows, bias, tanh),
    }
}

/// The same, with the activation's derivatives.
pub fn activate_with_slope(rows: &mut [f32], slopes: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::Silu => trace(rows, slopes, bias, silu),
        Activation::Gelu => trace(rows, slopes, bias, gelu),
        Activation::Relu => trace(rows, slopes, bias, relu),
        Activation::Tanh => trace(rows, slopes, bias, tanh),
    }
}

/// `values = silu(values)`.
pub fn silu_in_place(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = silu(*x).0);
}

/// `values = exp(values) / sum of exp(values)`; the largest is taken off first, so that none is too large.
pub fn softmax_in_place(values: &mut [f32]) {
    let largest = values.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    values.iter_mut().for_each(|x| *x = exp(*x - largest));
    let mut lanes = [0.0_f32; 8];
    for chunk in values.chunks(8) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    let inverse = 1.0 / lanes.iter().sum::<f32>();
    values.iter_mut().for_each(|x| *x *= inverse);
}

/// `rows += bias`, row by row.
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len().max(1)) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x += b;
        }
    }
}

/// The sums of the columns of `rows`.
pub fn column_sums(rows: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in rows.chunks_exact(sums.len().max(1)) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-4000..=4000).map(|i| i as f32 * 0.01)
    }

    #[test]
    fn exp_is_accurate_to_a_few_units_in_the_last_place() {
        for x in grid() {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 4.0 * f64::from(f32::EPSILON), "{x}: {error}");
        }
        assert!(exp(f32::INFINITY).is_finite() && exp(f32::NEG_INFINITY) >= 0.0 && exp(f32::NAN).is_nan());
    }

    #[test]
    fn activations_match_their_definitions_and_slopes() {
        let normal = |x: f64| 0.5 * libm::erfc(-x / 2.0_f64.sqrt());
        let exact: [(Activation, &dyn Fn(f64) -> f64); 4] = [
            (Activation::Silu, &|x| x / (1.0 + (-x).exp())),
            (Activation::Gelu, &|x| x * normal(x)),
            (Activation::Relu, &|x| x.max(0.0)),
            (Activation::Tanh, &|x| x.tanh()),
        ];
        for (activation, f) in exact {
            for x in grid().filter(|x| *x != 0.0) {
                let (mut value, mut slope, mut plain) = ([x], [0.0], [x]);
                activate_with_slope(&mut value, &mut slope, &[0.0], activation);
                activate(&mut plain, &[0.0], activation);
                assert_eq!(value, plain);
                let (x, h) = (f64::from(x), 1e-5);
                let tolerance = 5e-7 * (1.0 + x.abs());
                assert!((f64::from(value[0]) - f(x)).abs() < tolerance, "{activation:?} {x}");
                let difference = (f(x + h) - f(x - h)) / (2.0 * h);
                assert!((f64::from(slope[0]) - difference).abs() < 2e-6, "{activation:?} {x}");
            }
        }
    }
}
