//! Loops on slices, which are in a crate of their own, `kernels`.

pub use kernels::{add_bias, column_sums, silu_in_place, softmax_in_place};

#[cfg(test)]
mod tests {
    use kernels::{Activation, activate, activate_with_slope, derivatives, exp};

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
        let exact: [(Activation, &dyn Fn(f64) -> f64); 6] = [
            (Activation::Silu, &|x| x / (1.0 + (-x).exp())),
            (Activation::Gelu, &|x| x * normal(x)),
            (Activation::Relu, &|x| x.max(0.0)),
            (Activation::LeakyRelu(0.2), &|x| if x > 0.0 { x } else { f64::from(0.2_f32) * x }),
            (Activation::Tanh, &|x| x.tanh()),
            (Activation::Softplus, &|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
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
                let mut orders = [[0.0_f32]; 4];
                let mut places: Vec<&mut [f32]> = orders.iter_mut().map(<[f32; 1]>::as_mut_slice).collect();
                derivatives(&[x as f32], &mut places, activation);
                let [a, b, c, d] = orders.map(|[v]| f64::from(v));
                assert!((a - f64::from(value[0])).abs() < tolerance, "{activation:?} {x}");
                assert!((b - f64::from(slope[0])).abs() < 2e-6, "{activation:?} {x}");
                let h = 1e-2;
                if x.abs() > 3.0 * h {
                    // Central differences of second and third order err by h^2 / 12 and h^2 / 4 of the fourth and the
                    // fifth derivative, which are at most 4 or so.
                    let bend = (f(x + h) - 2.0 * f(x) + f(x - h)) / (h * h);
                    let twist = (f(x + 2.0 * h) - 2.0 * (f(x + h) - f(x - h)) - f(x - 2.0 * h)) / (2.0 * h * h * h);
                    assert!((c - bend).abs() < 1e-4, "{activation:?} {x}: {c} {bend}");
                    assert!((d - twist).abs() < 5e-4, "{activation:?} {x}: {d} {twist}");
                }
            }
        }
    }
}
