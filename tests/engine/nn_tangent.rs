//! Derivatives carried forward and gradients through them, to parameters and to inputs: against PyTorch's double
//! backward, finite differences of a plain perceptron in double precision, and tensor operations.

use burn::tensor::Device;
use scorefield::diffusion::now;
use scorefield::lab::DeviceChoice;
use scorefield::nn::architecture::{Activation, Shape};
use scorefield::nn::array::Array;
use scorefield::nn::device::open;
use scorefield::nn::mlp::{Jet, Mlp};
use scorefield::nn::score::{Form, Objective, ScoreNet};
use scorefield::rng::{Rng, Stream};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

fn array(values: &[f32], columns: usize) -> Array {
    Array::new(values.to_vec(), columns, &Device::flex())
}

fn read(array: Array) -> Vec<f32> {
    now(array.read()).expect("numbers")
}

const SMOOTH: [Activation; 4] = [Activation::Silu, Activation::Gelu, Activation::Tanh, Activation::Softplus];
const ALL: [Activation; 6] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::Relu,
    Activation::LeakyRelu(0.2),
    Activation::Tanh,
    Activation::Softplus,
];

#[track_caller]
fn assert_close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}, number {i}: {a} and {b}");
    }
}

/// Single precision leaves about 1e-6 of each of a hundred summed terms.
const ROUNDING: f32 = 2e-5;

#[test]
fn losses_and_gradients_of_score_matching_are_those_of_pytorchs_double_backward() {
    let golden: Value = serde_json::from_str(include_str!("../golden/tangent.json")).expect("the golden file is JSON");
    let size = |key: &str| golden[key].as_u64().expect("a size") as usize;
    let compute = now(open(DeviceChoice::Cpu)).expect("this build has the CPU device");
    for case in golden["cases"].as_array().expect("cases") {
        let energy = case["energy"].as_bool().expect("a flag");
        let form = Form {
            dimension: size("dimension"),
            extra: size("extra"),
            width: size("width"),
            depth: size("depth"),
            scale: golden["scale"].as_f64().expect("a scale"),
            energy,
        };
        let net = ScoreNet::from_parameters(form, &compute, &numbers(&case["parameters"]));
        let [x, extra, target, weight, direction, second, negatives] =
            ["x", "extra", "target", "weight", "direction", "second", "negatives"].map(|key| numbers(&case[key]));
        let score = now(net.scores(&x, &extra)).expect("scores");
        assert_close("score", &score, &numbers(&case["score"]), ROUNDING);
        let two = [direction.clone(), second].concat();
        let mut objectives = vec![
            ("implicit", Objective::Implicit),
            ("sliced", Objective::Sliced { directions: &direction }),
            ("two_slices", Objective::Sliced { directions: &two }),
            ("regression", Objective::Regression { target: &target, weight: &weight }),
        ];
        if energy {
            let decay = golden["decay"].as_f64().expect("a decay");
            objectives.push(("contrast", Objective::Contrast { negatives: &negatives, decay }));
        }
        // What comes with the points comes with those they are contrasted with.
        let twice = extra.repeat(2);
        for (name, objective) in objectives {
            let extra = if name == "contrast" { &twice } else { &extra };
            let (loss, gradient) = net.gradient(&x, extra, objective);
            let theirs = case[name]["loss"].as_f64().expect("a loss") as f32;
            assert_close(&format!("{name}, energy {energy}: loss"), &read(loss), &[theirs], ROUNDING);
            let what = format!("{name}, energy {energy}: gradient");
            assert_close(&what, &read(gradient.flat()), &numbers(&case[name]["gradient"]), ROUNDING);
        }
    }
}

/// A small network with its numbers, and points and directions to look at it.
fn example(activation: Activation) -> (Shape, Vec<f32>, Vec<f32>, Vec<f32>) {
    let shape = Shape { inputs: 3, width: 6, depth: 2, outputs: 2, activation };
    let mut rng = Rng::new(5, Stream::Test, 0);
    let parameters = rng.normals(shape.parameters()).iter().map(|v| 0.7 * v).collect();
    (shape, parameters, rng.normals(4 * 3), rng.normals(2 * 4 * 3))
}

#[test]
fn derivatives_carried_forward_are_finite_differences() {
    for activation in SMOOTH {
        let (shape, parameters, x, along) = example(activation);
        let net = Mlp::new(shape, &parameters, &Device::flex());
        let (jet, _) = net.push(array(&x, 3), Some(array(&along, 3)), true);
        assert_close("value", &read(jet.value), &read(net.forward(array(&x, 3))), 1e-6);
        let (first, second) = (read(jet.first.expect("first")), read(jet.second.expect("second")));
        for direction in 0..2 {
            let at = |h: f32| {
                let moved: Vec<f32> = x.iter().enumerate().map(|(i, v)| v + h * along[12 * direction + i]).collect();
                read(net.forward(array(&moved, 3)))
            };
            // Rounding 1e-7 / h^2 and truncation h^2 / 12 balance at a few hundredths.
            let h = 0.02;
            let (ahead, here, behind) = (at(h), at(0.0), at(-h));
            for i in 0..8 {
                let slope = (ahead[i] - behind[i]) / (2.0 * h);
                let bend = (ahead[i] - 2.0 * here[i] + behind[i]) / (h * h);
                let (f, s) = (first[8 * direction + i], second[8 * direction + i]);
                assert!((f - slope).abs() < 2e-3 * (1.0 + f.abs()), "{activation:?}: {f} and {slope}");
                assert!((s - bend).abs() < 1e-2 * (1.0 + s.abs()), "{activation:?}: {s} and {bend}");
            }
        }
    }
}

#[test]
fn the_pass_back_through_derivatives_is_finite_differences_of_the_parameters() {
    for activation in SMOOTH {
        let (shape, parameters, x, along) = example(activation);
        // A loss that sees values, slopes and bends, each with weights of its own.
        let mut rng = Rng::new(6, Stream::Test, 0);
        let weights = [rng.normals(8), rng.normals(16), rng.normals(16)];
        let loss = |parameters: &[f32]| -> f64 {
            let net = Mlp::new(shape, parameters, &Device::flex());
            let (jet, _) = net.push(array(&x, 3), Some(array(&along, 3)), true);
            let parts = [read(jet.value), read(jet.first.expect("first")), read(jet.second.expect("second"))];
            parts.iter().flatten().zip(weights.iter().flatten()).map(|(v, w)| f64::from(*v) * f64::from(*w)).sum()
        };
        let net = Mlp::new(shape, &parameters, &Device::flex());
        let (_, trace) = net.push(array(&x, 3), Some(array(&along, 3)), true);
        let [value, first, second] = weights.clone().map(|w| array(&w, 2));
        let gradient = net.gradient(trace, Jet { value, first: Some(first), second: Some(second) });
        let gradient = read(gradient.flat());
        let size = gradient.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        for (i, &ours) in gradient.iter().enumerate() {
            let h = 5e-3;
            let moved = |by: f32| {
                let mut parameters = parameters.clone();
                parameters[i] += by;
                loss(&parameters)
            };
            let difference = ((moved(h) - moved(-h)) / (2.0 * f64::from(h))) as f32;
            assert!((ours - difference).abs() < 2e-3 * size, "{activation:?}, parameter {i}: {ours} and {difference}");
        }
    }
}

#[test]
fn every_activation_has_pytorchs_derivatives_and_gradients() {
    let golden: Value = serde_json::from_str(include_str!("../golden/tangent.json")).expect("the golden file is JSON");
    let size = |key: &str| golden[key].as_u64().expect("a size") as usize;
    let (inputs, width, depth) = (size("dimension"), size("width"), size("depth"));
    let cases = golden["activations"].as_array().expect("cases");
    assert_eq!(cases.len(), ALL.len());
    for (case, activation) in cases.iter().zip(ALL) {
        let net = Mlp::new(
            Shape { inputs, width, depth, outputs: 2, activation },
            &numbers(&case["parameters"]),
            &Device::flex(),
        );
        let (x, along) = (array(&numbers(&case["inputs"]), inputs), array(&numbers(&case["along"]), inputs));
        let what = |of: &str| format!("{activation:?}: {of}");
        let (value, tangent) = net.forward_with_tangent(x.clone(), along.clone());
        assert_close(&what("value alone"), &read(value), &numbers(&case["value"]), ROUNDING);
        assert_close(&what("tangent alone"), &read(tangent), &numbers(&case["first"]), ROUNDING);
        let (jet, trace) = net.push(x.clone(), Some(along.clone()), true);
        assert_close(&what("value"), &read(jet.value), &numbers(&case["value"]), ROUNDING);
        assert_close(&what("first"), &read(jet.first.expect("first")), &numbers(&case["first"]), ROUNDING);
        assert_close(&what("second"), &read(jet.second.expect("second")), &numbers(&case["second"]), ROUNDING);
        let weights = case["weights"].as_array().expect("three lists");
        let [value, first, second] = [0, 1, 2].map(|order| array(&numbers(&weights[order]), 2));
        let of = Jet { value, first: Some(first), second: Some(second) };
        let (gradient, slope) = net.gradients(trace, of.clone());
        let [gradient, slope] = [gradient.flat(), slope].map(read);
        assert_close(&what("gradient"), &gradient, &numbers(&case["gradient"]), ROUNDING);
        assert_close(&what("input gradient"), &slope, &numbers(&case["input_gradient"]), ROUNDING);
        // One of the two alone is the same.
        let trace = || net.push(x.clone(), Some(along.clone()), true).1;
        assert_eq!(read(net.gradient(trace(), of.clone()).flat()), gradient);
        assert_eq!(read(net.input_gradient(trace(), of)), slope);
    }
}

/// An activation in double precision, by its definition.
fn exact(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * 0.5 * libm::erfc(-x / 2.0_f64.sqrt()),
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(slope) => x.max(0.0) + f64::from(slope) * x.min(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
    }
}

/// A perceptron in double precision, neuron by neuron.
fn perceptron(shape: Shape, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = x.chunks_exact(shape.inputs).map(<[f64]>::to_vec).collect();
    for (index, layer) in shape.layers().into_iter().enumerate() {
        for row in &mut rows {
            let unit = |unit: usize| {
                let weights = (0..layer.inputs).map(|i| parameters[layer.start + i * layer.outputs + unit]);
                let z = weights.zip(row.iter()).map(|(w, x)| w * x).sum::<f64>() + parameters[layer.bias() + unit];
                if index == shape.depth { z } else { exact(shape.activation, z) }
            };
            *row = (0..layer.outputs).map(unit).collect();
        }
    }
    rows.concat()
}

#[test]
fn gradients_to_parameters_and_inputs_are_central_differences_for_every_activation() {
    // In double precision and with this step the differences err by about 1e-10, so what is left is single precision.
    let h = 1e-5;
    for activation in ALL {
        let (shape, parameters, x, _) = example(activation);
        let weights = Rng::new(7, Stream::Test, 0).normals(8);
        let [exact_parameters, exact_x]: [Vec<f64>; 2] =
            [&parameters, &x].map(|values| values.iter().copied().map(f64::from).collect());
        let loss = |parameters: &[f64], x: &[f64]| -> f64 {
            perceptron(shape, parameters, x).iter().zip(&weights).map(|(y, w)| y * f64::from(*w)).sum()
        };
        let differences = |of: &[f64], loss: &dyn Fn(&[f64]) -> f64| -> Vec<f32> {
            let moved = |i: usize, by: f64| {
                let mut moved = of.to_vec();
                moved[i] += by;
                loss(&moved)
            };
            (0..of.len()).map(|i| ((moved(i, h) - moved(i, -h)) / (2.0 * h)) as f32).collect()
        };
        let net = Mlp::new(shape, &parameters, &Device::flex());
        let (jet, trace) = net.push(array(&x, 3), None, false);
        let value: Vec<f32> = perceptron(shape, &exact_parameters, &exact_x).iter().map(|y| *y as f32).collect();
        assert_close(&format!("{activation:?}: value"), &read(jet.value), &value, ROUNDING);
        let (gradient, slope) = net.gradients(trace, Jet::value(array(&weights, 2)));
        let expected = differences(&exact_parameters, &|parameters| loss(parameters, &exact_x));
        assert_close(&format!("{activation:?}: parameters"), &read(gradient.flat()), &expected, ROUNDING);
        let expected = differences(&exact_x, &|x| loss(&exact_parameters, x));
        assert_close(&format!("{activation:?}: inputs"), &read(slope), &expected, ROUNDING);
    }
}

#[test]
fn plain_numbers_and_tensors_give_the_same_derivatives_and_gradients() {
    // A device that records operations is worked on as a GPU is.
    let recording = Device::flex().autodiff();
    for activation in ALL {
        let (shape, parameters, x, along) = example(activation);
        let on = |device: &Device| -> Vec<Vec<f32>> {
            let array = |values: &[f32], columns| Array::new(values.to_vec(), columns, device);
            let net = Mlp::new(shape, &parameters, device);
            let mut all = vec![net.forward(array(&x, 3))];
            for (directions, second) in [(false, false), (true, false), (true, true)] {
                let along = directions.then(|| array(&along, 3));
                let (jet, trace) = net.push(array(&x, 3), along, second);
                all.extend([Some(jet.value.clone()), jet.first.clone(), jet.second.clone()].into_iter().flatten());
                let (gradient, slope) = net.gradients(trace, jet);
                all.extend([gradient.flat(), slope]);
            }
            all.into_iter().map(read).collect()
        };
        let (plain, tensors) = (on(&Device::flex()), on(&recording));
        assert_eq!((plain.len(), tensors.len()), (13, 13));
        for (i, (plain, tensors)) in plain.iter().zip(&tensors).enumerate() {
            // Burn's and our approximations of the normal distribution differ by some 1e-7, magnified by what follows.
            assert_close(&format!("{activation:?}, {i}"), plain, tensors, ROUNDING);
        }
    }
}

#[test]
fn arrays_that_share_their_numbers_are_changed_alone() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let array = |values: &[f32], columns| Array::new(values.to_vec(), columns, &device);
        let whole = array(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
        let (copy, part) = (whole.clone(), whole.part(1, 2));
        assert_eq!(read(copy * 10.0), [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(read(part.clone().square()), [9.0, 16.0, 25.0, 36.0]);
        assert_eq!(read(part.clone() + &part), [6.0, 8.0, 10.0, 12.0]);
        assert_eq!(read(whole.clone()), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        // The last that has them changes a part in place.
        drop(whole);
        let part = part * 2.0;
        assert_eq!((part.rows(), part.columns()), (2, 2));
        assert_eq!(read(part.clone().matmul(&part)), [116.0, 144.0, 180.0, 224.0]);
        // Rows repeated below each other, a row for all, a column for all.
        let four = || array(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2);
        assert_eq!(read(four() - &array(&[1.0, 2.0, 3.0, 4.0], 2)), [0.0, 0.0, 0.0, 0.0, 4.0, 4.0, 4.0, 4.0]);
        assert_eq!(read(four() * &array(&[1.0, 10.0], 2)), [1.0, 20.0, 3.0, 40.0, 5.0, 60.0, 7.0, 80.0]);
        assert_eq!(read(four() + &array(&[1.0, 0.0, 1.0, 0.0], 1)), [2.0, 3.0, 3.0, 4.0, 6.0, 7.0, 7.0, 8.0]);
        assert_eq!(read(four().sum_of_blocks(2)), [6.0, 8.0, 10.0, 12.0]);
        assert_eq!(read(four().column_sums()), [16.0, 20.0]);
        assert_eq!(read(four().sum()), [36.0]);
        assert_eq!(read(four().first_columns(1)), [1.0, 3.0, 5.0, 7.0]);
        assert_eq!(read(four().above(vec![array(&[9.0, 10.0], 2)])).len(), 10);
    }
}
