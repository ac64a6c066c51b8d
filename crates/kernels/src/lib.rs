//! The inner loops of small networks on slices, a crate of their own so that they alone are compiled for speed and what
//! surrounds them for size. A function that is inlined is compiled as its caller is, so none may be.
//!
//! Activation functions give value and slope in one pass, without branches, so that the compiler makes vector
//! instructions of them on every target, and of plain arithmetic, so that they are the same everywhere.

pub mod convolution;
mod four;
pub mod lanes;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod product;
mod smooth;
pub mod winograd;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x * sigmoid(x)`
    Silu,
    /// `x * Phi(x)`
    Gelu,
    /// `max(x, 0)`
    Relu,
    /// `max(x, 0) + slope min(x, 0)`; the usual slope is 0.2.
    LeakyRelu(f32),
    /// `tanh(x)`
    Tanh,
    /// `ln(1 + e^x)`
    Softplus,
}

/// `e^x` to 2 units in the last place, for `x` held within `[-87, 88]`.
#[inline]
#[must_use]
pub fn exp(x: f32) -> f32 {
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
fn gelu(x: f32) -> (f32, f32) {
    let density = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + smooth::SHARE * x.abs());
    let tail = 0.5 * smooth::SERIES.iter().rfold(0.0, |sum, factor| t * (factor + sum)) * density;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    (x * below, below + x * density * smooth::DENSITY)
}

#[inline]
fn relu(x: f32) -> (f32, f32) {
    (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 })
}

#[inline]
fn leaky_relu(x: f32, slope: f32) -> (f32, f32) {
    (x.max(0.0) + slope * x.min(0.0), if x > 0.0 { 1.0 } else { slope })
}

#[inline]
fn tanh(x: f32) -> (f32, f32) {
    let value = 1.0 - 2.0 / (1.0 + exp(2.0 * x));
    (value, 1.0 - value * value)
}

#[inline]
fn softplus(x: f32) -> (f32, f32) {
    let below = exp(-x.abs());
    // ln(1 + u) = 2 artanh(u / (2 + u)), whose argument is at most 1/3: the first term left out is below 2e-9.
    let s = below / (2.0 + below);
    let q = s * s;
    let tail = 1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0)));
    let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * tail)));
    (x.max(0.0) + 2.0 * s * series, 1.0 / (1.0 + exp(-x)))
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
#[inline(never)]
pub fn activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::Silu => smooth::activate(rows, bias, smooth::Silu),
        Activation::Gelu => smooth::activate(rows, bias, smooth::Gelu),
        Activation::Relu => forward(rows, bias, relu),
        Activation::LeakyRelu(slope) => forward(rows, bias, |x| leaky_relu(x, slope)),
        Activation::Tanh => forward(rows, bias, tanh),
        Activation::Softplus => forward(rows, bias, softplus),
    }
}

/// The same, with the activation's derivatives.
#[inline(never)]
pub fn activate_with_slope(rows: &mut [f32], slopes: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::Silu => smooth::activate_with_slope(rows, slopes, bias, smooth::Silu),
        Activation::Gelu => smooth::activate_with_slope(rows, slopes, bias, smooth::Gelu),
        Activation::Relu => trace(rows, slopes, bias, relu),
        Activation::LeakyRelu(slope) => trace(rows, slopes, bias, |x| leaky_relu(x, slope)),
        Activation::Tanh => trace(rows, slopes, bias, tanh),
        Activation::Softplus => trace(rows, slopes, bias, softplus),
    }
}

/// `values = silu(values)`.
#[inline(never)]
pub fn silu_in_place(values: &mut [f32]) {
    smooth::normalised(values, 0.0, 1.0, 0.0);
}

/// `values = exp(values)`
#[inline(never)]
pub fn exp_in_place(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = exp(*x));
}

/// `values = exp(values) / sum of exp(values)`; the largest is taken off first, so that none is too large. Gives the
/// largest `m` and the sum of `exp(values - m)`, from which follows the logarithm of the divisor.
#[inline(never)]
pub fn softmax_in_place(values: &mut [f32]) -> (f32, f32) {
    let largest = values.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    values.iter_mut().for_each(|x| *x = exp(*x - largest));
    let mut lanes = [0.0_f32; 8];
    for chunk in values.chunks(8) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    let sum = lanes.iter().sum::<f32>();
    let inverse = 1.0 / sum;
    values.iter_mut().for_each(|x| *x *= inverse);
    (largest, sum)
}

/// `rows += bias`, row by row.
#[inline(never)]
pub fn add_bias(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len().max(1)) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x += b;
        }
    }
}

/// The sums of the columns of `rows`.
#[inline(never)]
pub fn column_sums(rows: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in rows.chunks_exact(sums.len().max(1)) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

/// `gradient *= silu'(x)`
///
/// # Panics
/// When there are fewer `x`.
#[inline(never)]
pub fn times_silu_slope(gradient: &mut [f32], x: &[f32]) {
    smooth::times_slope(gradient, x);
}

/// `a += b`
#[inline(never)]
pub fn add(a: &mut [f32], b: &[f32]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
}

/// `a -= b`
#[inline(never)]
pub fn subtract(a: &mut [f32], b: &[f32]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a -= b);
}

/// `a *= b`
#[inline(never)]
pub fn multiply(a: &mut [f32], b: &[f32]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a *= b);
}

/// `values *= values`
#[inline(never)]
pub fn square(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x *= *x);
}

/// `values = k values + shift`
#[inline(never)]
pub fn scale_and_shift(values: &mut [f32], k: f32, shift: f32) {
    values.iter_mut().for_each(|x| *x = k * *x + shift);
}

/// The sigmoid and its first three derivatives.
#[inline]
fn sigmoid(x: f32) -> [f32; 4] {
    let gate = 1.0 / (1.0 + exp(-x));
    let slope = gate * (1.0 - gate);
    [gate, slope, slope * (1.0 - 2.0 * gate), slope * (1.0 - 6.0 * slope)]
}

/// SiLU and its first three derivatives.
#[inline]
fn silu_jet(x: f32) -> [f32; 4] {
    let [gate, slope, bend, twist] = sigmoid(x);
    [x * gate, gate + x * slope, 2.0 * slope + x * bend, 3.0 * bend + x * twist]
}

#[inline(always)]
fn jets(z: &[f32], orders: &mut [&mut [f32]], f: impl Fn(f32) -> [f32; 4]) {
    const LANES: usize = 8;
    let mut found = [[0.0; LANES]; 4];
    for (index, chunk) in z.chunks(LANES).enumerate() {
        let mut padded = [0.0; LANES];
        padded[..chunk.len()].copy_from_slice(chunk);
        for (lane, x) in padded.iter().enumerate() {
            let [a, b, c, d] = f(*x);
            (found[0][lane], found[1][lane], found[2][lane], found[3][lane]) = (a, b, c, d);
        }
        for (place, found) in orders.iter_mut().zip(&found) {
            place[LANES * index..][..chunk.len()].copy_from_slice(&found[..chunk.len()]);
        }
    }
}

/// An activation and its first three derivatives; those of rectifiers are 0 beyond the first.
#[inline]
fn jet(activation: Activation, x: f32) -> [f32; 4] {
    match activation {
        Activation::Silu => silu_jet(x),
        Activation::Gelu => {
            let (value, slope) = gelu(x);
            let density = exp(-0.5 * x * x) * 0.398_942_3;
            [value, slope, density * (2.0 - x * x), density * x * (x * x - 4.0)]
        }
        Activation::Relu => [relu(x).0, relu(x).1, 0.0, 0.0],
        Activation::LeakyRelu(slope) => [leaky_relu(x, slope).0, leaky_relu(x, slope).1, 0.0, 0.0],
        Activation::Tanh => {
            let (value, slope) = tanh(x);
            [value, slope, -2.0 * value * slope, slope * (6.0 * value * value - 2.0)]
        }
        Activation::Softplus => {
            let [gate, slope, bend, _] = sigmoid(x);
            [softplus(x).0, gate, slope, bend]
        }
    }
}

/// An activation of every number and as many of its derivatives as there are places, four at most.
///
/// # Panics
/// When a place is shorter than `z`.
#[inline(never)]
pub fn derivatives(z: &[f32], orders: &mut [&mut [f32]], activation: Activation) {
    match activation {
        // The one that studies differentiate twice has a loop of its own, of vector instructions.
        Activation::Silu => jets(z, orders, silu_jet),
        other => jets(z, orders, |x| jet(other, x)),
    }
}

/// `scale * sum_i weight_i |x_i - target_i|^2` for rows `x_i` of `columns` numbers, which become its gradient with
/// respect to them.
#[inline(never)]
pub fn squared_error(rows: &mut [f32], target: &[f32], weight: &[f32], columns: usize, scale: f32) -> f32 {
    let (mut loss, columns) = (0.0_f64, columns.max(1));
    for ((row, target), weight) in rows.chunks_exact_mut(columns).zip(target.chunks_exact(columns)).zip(weight) {
        for (x, target) in row.iter_mut().zip(target) {
            let error = *x - target;
            loss += f64::from(weight * error * error);
            *x = 2.0 * scale * weight * error;
        }
    }
    (loss * f64::from(scale)) as f32
}

/// Mean and variance of numbers, in eight lanes, so that they are accurate and quick.
#[inline(never)]
#[must_use]
pub fn mean_and_variance(values: &[f32]) -> (f32, f32) {
    let count = values.len() as f32;
    let mean = lanes(values, |v| v) / count;
    (mean, lanes(values, |v| (v - mean) * (v - mean)) / count)
}

#[inline(always)]
fn lanes(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let chunks = values.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|v| f(*v)).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// `values = (values - mean) * scale + shift`
#[inline(never)]
pub fn normalise(values: &mut [f32], mean: f32, scale: f32, shift: f32) {
    values.iter_mut().for_each(|x| *x = (*x - mean) * scale + shift);
}

/// `values = elu(values)`: `exp(x) - 1` where `x` is negative.
#[inline(never)]
pub fn elu_in_place(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { exp(*x) - 1.0 });
}

/// `values = silu((values - mean) * scale + shift)`
#[inline(never)]
pub fn normalise_silu(values: &mut [f32], mean: f32, scale: f32, shift: f32) {
    smooth::normalised(values, mean, scale, shift);
}

/// `a += k b`
#[inline(never)]
pub fn add_scaled(a: &mut [f32], b: &[f32], k: f32) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += k * b);
}

/// `values += shift`
#[inline(never)]
pub fn shift(values: &mut [f32], shift: f32) {
    values.iter_mut().for_each(|x| *x += shift);
}
