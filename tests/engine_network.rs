//! The network against PyTorch, against itself in Burn's plain and automatic form, and against finite differences.
#![cfg(feature = "cpu")]

use burn::tensor::{Device, Tensor, TensorData};
use scorefield::diffusion::objective::low_discrepancy_times;
use scorefield::diffusion::{Schedule, Weighting};
use scorefield::engine::batch::{Batch, Batches};
use scorefield::lab::{Activation, PredictionId, RunConfig, WeightingId};
use scorefield::nn::adam::{Moments, TensorMoments, Update};
use scorefield::nn::kernels::CpuMlp;
use scorefield::nn::{Architecture, Mlp, features};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("an array").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

fn matrix(values: &[f32], columns: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / columns, columns]), device)
}

fn vector<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("numbers of type f32")
}

/// Largest difference, relative to the largest number or to 1.
fn distance(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let largest = right.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
    left.iter().zip(right).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

/// Sums of at most a few hundred products in f32: a few hundred roundings at worst, tens in practice.
const ROUNDING: f32 = 64.0 * f32::EPSILON;

#[test]
fn outputs_gradients_and_adam_match_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("golden/engine_mlp.json")).expect("the golden file is JSON");
    assert_eq!(golden["features"], features::COUNT);
    let device = Device::flex();
    for case in golden["cases"].as_array().expect("cases") {
        let id = case["activation"].as_str().expect("an id");
        let activation = Activation::from_id(id).expect("a known activation");
        let architecture = Architecture { width: 8, depth: 2, activation };
        let [x, target, weight, parameters] = ["x", "target", "weight", "parameters"].map(|name| numbers(&case[name]));
        let [output, expected, after] = ["output", "gradient", "after_two_steps"].map(|name| numbers(&case[name]));
        let loss = case["loss"].as_f64().expect("a number") as f32;

        let mut cpu = CpuMlp::new(architecture, &parameters, &device);
        assert_eq!(cpu.parameters(), parameters);
        assert!(distance(&cpu.forward(x.clone(), weight.len()), &output) < ROUNDING, "{id} forward");
        let (found, gradient) = cpu.gradient(x.clone(), &target, &weight);
        assert!((found - loss).abs() < ROUNDING * loss, "{id} loss");
        assert!(distance(&gradient.flat(), &expected) < ROUNDING, "{id} gradient");

        let mlp = Mlp::new(architecture, &parameters, &device);
        let rows = matrix(&x, features::COUNT, &device);
        assert!(distance(&vector(mlp.forward(rows.clone())), &output) < ROUNDING, "{id} plain forward");
        let (found, plain) = mlp.gradient(rows, matrix(&target, 2, &device), matrix(&weight, 1, &device));
        assert!((vector(found)[0] - loss).abs() < ROUNDING * loss, "{id} plain loss");
        assert!(distance(&vector(plain.clone()), &expected) < ROUNDING, "{id} plain gradient");

        let (mut moments, mut average) = (Moments::new(parameters.len()), parameters.clone());
        let mut on_device = TensorMoments::new(parameters.len(), &device);
        let (mut flat, mut flat_average) = (mlp.parameters().clone(), mlp.parameters().clone());
        for step in 1..=2 {
            let update = Update::new(step, 1e-3, 0.5);
            let (_, gradient) = cpu.gradient(x.clone(), &target, &weight);
            (flat, flat_average) =
                on_device.update(flat, flat_average, matrix(&gradient.flat(), 1, &device).flatten(0, 1), update);
            cpu.update(gradient, &mut moments, &mut average, update);
        }
        // Adam divides the gradient by its own size, which magnifies the rounding of small gradients.
        let moved = |p: &[f32]| -> Vec<f32> { p.iter().zip(&parameters).map(|(a, b)| (a - b) * 1e3).collect() };
        assert!(distance(&moved(&cpu.parameters()), &moved(&after)) < 2e-3, "{id} Adam");
        assert!(distance(&vector(flat), &cpu.parameters()) < ROUNDING, "{id} Adam on tensors");
        assert!(distance(&vector(flat_average), &average) < ROUNDING, "{id} average on tensors");
    }
}

fn small(activation: Activation) -> (Architecture, Batch) {
    let config = RunConfig { width: 24, depth: 3, batch: 40, activation, ..RunConfig::default() };
    let batch = Batches::new(&config).expect("the default run has data").batch(0);
    (Architecture::from(&config), batch)
}

#[test]
fn the_written_out_gradient_is_that_of_burns_autodiff() {
    let device = Device::flex().autodiff();
    for &activation in Activation::ALL {
        let (architecture, batch) = small(activation);
        let parameters = architecture.initial(3);
        let flat = Tensor::<1>::from_data(TensorData::new(parameters.clone(), [parameters.len()]), &device);
        let flat = flat.require_grad();
        let mlp = Mlp::from_tensor(architecture, flat.clone());
        let error = mlp.forward(matrix(&batch.inputs, features::COUNT, &device)) - matrix(&batch.targets, 2, &device);
        let loss = (error.square() * matrix(&batch.weights, 1, &device)).mean();
        let automatic = vector(flat.grad(&loss.backward()).expect("a gradient"));

        let cpu = CpuMlp::new(architecture, &parameters, &Device::flex());
        let (_, gradient) = cpu.gradient(batch.inputs, &batch.targets, &batch.weights);
        assert!(distance(&gradient.flat(), &automatic) < ROUNDING, "{activation:?}");
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    for activation in [Activation::Silu, Activation::Gelu, Activation::Tanh] {
        let (architecture, batch) = small(activation);
        let parameters = architecture.initial(3);
        let loss = |parameters: &[f32]| {
            CpuMlp::new(architecture, parameters, &Device::flex())
                .gradient(batch.inputs.clone(), &batch.targets, &batch.weights)
                .0
        };
        let cpu = CpuMlp::new(architecture, &parameters, &Device::flex());
        let gradient = cpu.gradient(batch.inputs.clone(), &batch.targets, &batch.weights).1.flat();
        // Along the gradient itself, where the difference is largest beside the rounding of the loss.
        let norm = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        let h = 1e-2 / norm;
        let moved = |sign: f64| -> Vec<f32> {
            parameters.iter().zip(&gradient).map(|(p, g)| p + (sign * h * f64::from(*g)) as f32).collect()
        };
        let difference = f64::from(loss(&moved(1.0)) - loss(&moved(-1.0))) / (2.0 * h);
        let expected = norm * norm;
        // Central differences: an error of order (h norm)^2 = 1e-4 beside rounding of 1e-7 / 1e-2.
        assert!((difference / expected - 1.0).abs() < 2e-3, "{activation:?}: {difference} {expected}");
        // And one parameter of each layer.
        for layer in architecture.layers() {
            for index in [layer.start + 1, layer.bias()] {
                let h = 1e-2;
                let at = |sign: f32| {
                    let mut moved = parameters.clone();
                    moved[index] += sign * h;
                    loss(&moved)
                };
                let difference = (at(1.0) - at(-1.0)) / (2.0 * h);
                assert!((difference - gradient[index]).abs() < 2e-4, "{activation:?} {index}");
            }
        }
    }
}

#[test]
fn initial_weights_are_those_of_the_seed_and_of_the_right_size() {
    let architecture = Architecture::from(&RunConfig::default());
    assert_eq!(architecture.initial(5), architecture.initial(5));
    assert_ne!(architecture.initial(5), architecture.initial(6));
    let parameters = architecture.initial(5);
    let hidden = architecture.layers()[1];
    let weights = &parameters[hidden.start..hidden.bias()];
    let variance = weights.iter().map(|w| f64::from(w * w)).sum::<f64>() / weights.len() as f64;
    let expected = 2.0 / hidden.inputs as f64;
    // Five standard errors of the variance of a normal sample.
    assert!((variance / expected - 1.0).abs() < 5.0 * (2.0 / weights.len() as f64).sqrt());
    assert!(parameters[hidden.bias()..hidden.end()].iter().all(|b| *b == 0.0));
}

#[test]
fn batches_repeat_bit_for_bit_and_differ_from_step_to_step() {
    let batches = Batches::new(&RunConfig::default()).expect("the default run has data");
    assert_eq!(batches.batch(7), batches.batch(7));
    assert_ne!(batches.batch(7).inputs, batches.batch(8).inputs);
}

#[test]
fn targets_are_of_unit_size_and_weights_finite_for_every_choice() {
    for &prediction in PredictionId::ALL {
        for &weighting in WeightingId::ALL {
            for &schedule in scorefield::lab::ScheduleId::ALL {
                let config = RunConfig { prediction, weighting, schedule, batch: 256, ..RunConfig::default() };
                let batch = Batches::new(&config).expect("the default run has data").batch(0);
                let largest = batch.targets.iter().fold(0.0_f32, |m, t| m.max(t.abs()));
                // Flow's noise - data, both of unit variance, is the largest: 5 standard deviations of sqrt(2).
                assert!(largest < 8.0 && largest > 1.0, "{config:?}: {largest}");
                assert!(batch.weights.iter().all(|w| w.is_finite() && *w >= 0.0), "{config:?}");
                assert!(batch.weights.iter().any(|w| *w > 0.0), "{config:?}");
                assert!(batch.inputs.iter().all(|v| v.is_finite() && v.abs() < 10.0), "{config:?}");
            }
        }
    }
}

#[test]
fn the_weights_of_batches_are_the_weightings_own_in_units_of_the_middle_one() {
    for &prediction in PredictionId::ALL {
        for &weighting in WeightingId::ALL {
            for &schedule in scorefield::lab::ScheduleId::ALL {
                let config = RunConfig { prediction, weighting, schedule, ..RunConfig::default() };
                let batches = Batches::new(&config).expect("the default run has data");
                let schedule = Schedule::from_config(&config);
                let levels = low_discrepancy_times(256, 0.5).map(|u| schedule.training_level(u));
                let pairs = levels.map(|level| {
                    let raw = Weighting::from(weighting).of_raw_output(prediction.into(), &schedule, level);
                    (raw, batches.weight(level))
                });
                let mut pairs: Vec<(f64, f64)> = pairs.collect();
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
                let middle = pairs[128].0;
                for (raw, found) in pairs {
                    let expected = (raw / middle).min(1e3);
                    assert!((found / expected - 1.0).abs() < 1e-12, "{config:?}: {found} instead of {expected}");
                }
            }
        }
    }
}

#[test]
fn the_tangent_of_a_network_is_its_difference_quotient() {
    let device = Device::flex();
    let (points, v) = ([[0.3, -0.7], [1.4, 0.2], [-2.0, 1.0]], [[0.6, -0.2], [-0.4, 1.0], [0.3, 0.3]]);
    let level = Schedule::Cosine.level(0.35);
    let moved =
        |k: f64| -> Vec<[f64; 2]> { points.iter().zip(&v).map(|(x, v)| [x[0] + k * v[0], x[1] + k * v[1]]).collect() };
    for activation in [Activation::Silu, Activation::Gelu, Activation::Tanh] {
        let architecture = Architecture { width: 12, depth: 3, activation };
        let parameters: Vec<f32> = architecture.initial(4).iter().map(|p| 1.5 * p).collect();
        let cpu = CpuMlp::new(architecture, &parameters, &device);
        let tangents = features::tangents(&points, &v, level);
        let (output, tangent) = cpu.forward_with_tangent(features::rows(&points, level), tangents.clone(), 3);
        assert!(distance(&output, &cpu.forward(features::rows(&points, level), 3)) < ROUNDING);
        let step = 2e-3;
        let (above, below) = (moved(step), moved(-step));
        let [above, below] = [above, below].map(|points| cpu.forward(features::rows(&points, level), 3));
        let quotient: Vec<f32> = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * step as f32)).collect();
        // The waves turn up to 6.4 times as fast as the point moves: (6.4 * 2e-3)^2 / 6 of the truth, and rounding / step.
        assert!(distance(&tangent, &quotient) < 2e-3, "{activation:?}: {tangent:?} {quotient:?}");
        let plain = Mlp::new(architecture, &parameters, &device);
        let (rows, moves) = (
            matrix(&features::rows(&points, level), features::COUNT, &device),
            matrix(&tangents, features::COUNT, &device),
        );
        let (value, change) = plain.forward_with_tangent(rows, moves);
        assert!(distance(&vector(value), &output) < ROUNDING && distance(&vector(change), &tangent) < ROUNDING);
    }
}
