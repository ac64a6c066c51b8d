//! Activation functions and other loops on slices; the loops themselves are in a crate of their own, `loops`.

pub use kernels::{add_bias, column_sums, silu_in_place, softmax_in_place, times_silu_slope};

use crate::lab::Activation;

impl From<Activation> for kernels::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::Relu => Self::Relu,
            Activation::Tanh => Self::Tanh,
        }
    }
}

/// `rows = activation(rows + bias)`, row by row.
pub fn activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
    kernels::activate(rows, bias, activation.into());
}

/// The same, with the activation's derivatives.
pub fn activate_with_slope(rows: &mut [f32], slopes: &mut [f32], bias: &[f32], activation: Activation) {
    kernels::activate_with_slope(rows, slopes, bias, activation.into());
}

#[cfg(test)]
mod tests {
    use kernels::exp;

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
