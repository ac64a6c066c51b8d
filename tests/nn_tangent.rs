//! Derivatives carried forward and gradients through them: against finite differences and PyTorch's double backward.
#![cfg(feature = "cpu")]

use burn::tensor::Device;
use scorefield::diffusion::now;
use scorefield::lab::DeviceChoice;
use scorefield::nn::device::open;
use scorefield::nn::score::{Form, Objective, ScoreNet};
use scorefield::nn::tangent::{Jet, Matrix, Shape, Smooth, SmoothMlp};
use scorefield::rng::{Rng, Stream};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

fn matrix(values: &[f32], columns: usize) -> Matrix {
    Matrix::new(values.to_vec(), columns, &Device::flex())
}

fn read(matrix: Matrix) -> Vec<f32> {
    matrix.into_numbers().expect("numbers of the CPU")
}

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
    let golden: Value = serde_json::from_str(include_str!("golden/tangent.json")).expect("the golden file is JSON");
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
            assert_close(&what, &read(gradient), &numbers(&case[name]["gradient"]), ROUNDING);
        }
    }
}

/// A small network with its numbers, and points and directions to look at it.
fn example(activation: Smooth) -> (Shape, Vec<f32>, Vec<f32>, Vec<f32>) {
    let shape = Shape { inputs: 3, width: 6, depth: 2, outputs: 2, activation };
    let mut rng = Rng::new(5, Stream::Test, 0);
    let parameters = rng.normals(shape.parameters()).iter().map(|v| 0.7 * v).collect();
    (shape, parameters, rng.normals(4 * 3), rng.normals(2 * 4 * 3))
}

#[test]
fn derivatives_carried_forward_are_finite_differences() {
    for activation in [Smooth::Silu, Smooth::Softplus] {
        let (shape, parameters, x, along) = example(activation);
        let net = SmoothMlp::new(shape, &parameters, &Device::flex());
        let (jet, _) = net.push(matrix(&x, 3), Some(matrix(&along, 3)), true);
        assert_close("value", &read(jet.value), &read(net.forward(matrix(&x, 3))), 1e-6);
        let (first, second) = (read(jet.first.expect("first")), read(jet.second.expect("second")));
        for direction in 0..2 {
            let at = |h: f32| {
                let moved: Vec<f32> = x.iter().enumerate().map(|(i, v)| v + h * along[12 * direction + i]).collect();
                read(net.forward(matrix(&moved, 3)))
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
    for activation in [Smooth::Silu, Smooth::Softplus] {
        let (shape, parameters, x, along) = example(activation);
        // A loss that sees values, slopes and bends, each with weights of its own.
        let mut rng = Rng::new(6, Stream::Test, 0);
        let weights = [rng.normals(8), rng.normals(16), rng.normals(16)];
        let loss = |parameters: &[f32]| -> f64 {
            let net = SmoothMlp::new(shape, parameters, &Device::flex());
            let (jet, _) = net.push(matrix(&x, 3), Some(matrix(&along, 3)), true);
            let parts = [read(jet.value), read(jet.first.expect("first")), read(jet.second.expect("second"))];
            parts.iter().flatten().zip(weights.iter().flatten()).map(|(v, w)| f64::from(*v) * f64::from(*w)).sum()
        };
        let net = SmoothMlp::new(shape, &parameters, &Device::flex());
        let (_, trace) = net.push(matrix(&x, 3), Some(matrix(&along, 3)), true);
        let [value, first, second] = weights.clone().map(|w| matrix(&w, 2));
        let (gradient, _) = net.pull(trace, Jet { value, first: Some(first), second: Some(second) });
        let gradient = read(gradient);
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
fn plain_numbers_and_tensors_give_the_same_derivatives_and_gradients() {
    // A device that records operations is worked on as a GPU is.
    let recording = Device::flex().autodiff();
    for activation in [Smooth::Silu, Smooth::Softplus] {
        let (shape, parameters, x, along) = example(activation);
        let on = |device: &Device| -> Vec<Vec<f32>> {
            let matrix = |values: &[f32], columns| Matrix::new(values.to_vec(), columns, device);
            let net = SmoothMlp::new(shape, &parameters, device);
            let (jet, trace) = net.push(matrix(&x, 3), Some(matrix(&along, 3)), true);
            let seen = [Some(jet.value.clone()), jet.first.clone(), jet.second.clone()];
            let (gradient, slope) = net.pull(trace, jet);
            let all = seen.into_iter().flatten().chain([gradient, slope, net.forward(matrix(&x, 3))]);
            all.map(|m| m.into_numbers().unwrap_or_else(|t| t.into_data().try_into_vec().expect("numbers"))).collect()
        };
        let (plain, tensors) = (on(&Device::flex()), on(&recording));
        assert!(Matrix::new(vec![0.0], 1, &recording).into_numbers().is_err());
        assert_eq!(plain.len(), 6);
        for (i, (plain, tensors)) in plain.iter().zip(&tensors).enumerate() {
            assert_close(&format!("{activation:?}, {i}"), plain, tensors, ROUNDING);
        }
    }
}
