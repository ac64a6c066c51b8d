//! The plane's network against PyTorch, against itself in tensor operations and in Burn's automatic form, and against
//! finite differences.

use burn::tensor::{Device, Tensor, TensorData};
use scorefield::diffusion::objective::low_discrepancy_times;
use scorefield::diffusion::{Schedule, Weighting, now};
use scorefield::engine::batch::{Batch, Batches};
use scorefield::lab::{Activation, PredictionId, RunConfig, WeightingId};
use scorefield::nn::adam::{Adam, AdamConfig, Update};
use scorefield::nn::architecture::Initialisation;
use scorefield::nn::array::Array;
use scorefield::nn::mlp::{Gradient, Mlp};
use scorefield::nn::{Architecture, features};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().expect("an array").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

fn array(values: &[f32], columns: usize, device: &Device) -> Array {
    Array::new(values.to_vec(), columns, device)
}

fn read(array: &Array) -> Vec<f32> {
    now(array.clone().read()).expect("numbers")
}

/// The CPU, and a device on which every operation is the tensor's own: one that records them is not worked on in place.
fn devices() -> [Device; 2] {
    [Device::flex(), Device::flex().autodiff()]
}

/// The outputs for rows of features.
fn outputs(mlp: &Mlp, x: &[f32], device: &Device) -> Vec<f32> {
    read(&mlp.forward(array(x, features::COUNT, device)))
}

/// The mean weighted squared error of the outputs, and its gradient.
fn gradient(mlp: &Mlp, [x, target, weight]: [&[f32]; 3], device: &Device) -> (f32, Gradient) {
    let scale = 1.0 / target.len() as f32;
    let (loss, gradient) = mlp.squared_error(
        array(x, features::COUNT, device),
        &array(target, 2, device),
        &array(weight, 1, device),
        scale,
    );
    (read(&loss)[0], gradient)
}

/// The same on the CPU from parameters.
fn gradient_of(architecture: Architecture, parameters: &[f32], batch: &Batch) -> (f32, Vec<f32>) {
    let mlp = Mlp::new(architecture.shape(), parameters, &Device::flex());
    let (loss, gradient) = gradient(&mlp, [&batch.inputs, &batch.targets, &batch.weights], &Device::flex());
    (loss, read(&gradient.flat()))
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
    let golden: Value =
        serde_json::from_str(include_str!("../golden/engine_mlp.json")).expect("the golden file is JSON");
    assert_eq!(golden["features"], features::COUNT);
    for case in golden["cases"].as_array().expect("cases") {
        let id = case["activation"].as_str().expect("an id");
        let activation = Activation::from_id(id).expect("a known activation");
        let architecture = Architecture { width: 8, depth: 2, activation };
        let [x, target, weight, parameters] = ["x", "target", "weight", "parameters"].map(|name| numbers(&case[name]));
        let [output, expected, after] = ["output", "gradient", "after_two_steps"].map(|name| numbers(&case[name]));
        let loss = case["loss"].as_f64().expect("a number") as f32;

        let trained = devices().map(|device| {
            let mut mlp = Mlp::new(architecture.shape(), &parameters, &device);
            assert_eq!(read(mlp.parameters()), parameters);
            assert!(distance(&outputs(&mlp, &x, &device), &output) < ROUNDING, "{id} forward");
            let (found, slope) = gradient(&mlp, [&x, &target, &weight], &device);
            assert!((found - loss).abs() < ROUNDING * loss, "{id} loss");
            assert!(distance(&read(&slope.flat()), &expected) < ROUNDING, "{id} gradient");
            let mut adam = Adam::new(mlp.parameters());
            for step in 1..=2 {
                let (_, slope) = gradient(&mlp, [&x, &target, &weight], &device);
                adam.update(mlp.parameters_mut(), &slope, Update::new(step, 1e-3, 0.5));
            }
            let [mean, square] = adam.moments().map(read);
            [read(mlp.parameters()), read(adam.average()), mean, square]
        });
        // Adam divides the gradient by its own size, which magnifies the rounding of small gradients.
        let moved = |p: &[f32]| -> Vec<f32> { p.iter().zip(&parameters).map(|(a, b)| (a - b) * 1e3).collect() };
        let [cpu, tensors] = &trained;
        assert!(distance(&moved(&cpu[0]), &moved(&after)) < 2e-3, "{id} Adam");
        assert!(distance(&moved(&tensors[0]), &moved(&after)) < 2e-3, "{id} Adam in tensor operations");
        for (of, (cpu, tensors)) in ["average", "mean", "square"].iter().zip(cpu.iter().zip(tensors).skip(1)) {
            assert!(distance(tensors, cpu) < ROUNDING, "{id} {of}");
        }
    }
}

/// A gradient whose every number is a part of its own.
fn in_parts(values: &[f32], device: &Device) -> Gradient {
    Gradient::new(values.iter().map(|value| array(&[*value], 1, device)).collect())
}

#[test]
fn adams_constants_are_those_that_it_is_given() {
    let config = AdamConfig { beta_1: 0.5, beta_2: 0.75, epsilon: 0.125 };
    let (first, second) = ([0.5_f32, -2.0], [1.5_f32, 1.0]);
    for device in devices() {
        let mut parameters = array(&[1.0, -1.0], 1, &device);
        let mut adam = Adam::new(&parameters);
        adam.update(&mut parameters, &in_parts(&first, &device), config.update(1, 0.25, 0.0));
        adam.update(&mut parameters, &in_parts(&second, &device), config.update(2, 0.25, 0.0));
        // Algorithm 1 of the paper in double precision.
        for (i, found) in read(&parameters).iter().enumerate() {
            let (mut expected, mut m, mut v) = ([1.0, -1.0][i], 0.0, 0.0);
            for (step, g) in [first[i], second[i]].into_iter().map(f64::from).enumerate() {
                m = 0.5 * m + 0.5 * g;
                v = 0.75 * v + 0.25 * g * g;
                let n = step as i32 + 1;
                let (mean, square) = (m / (1.0 - 0.5_f64.powi(n)), v / (1.0 - 0.75_f64.powi(n)));
                expected -= 0.25 * mean / (square.sqrt() + 0.125);
            }
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} and {expected}");
        }
        // An average that keeps nothing is the parameters.
        assert_eq!(read(adam.average()), read(&parameters));
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
        let flat = Tensor::<2>::from_data(TensorData::new(parameters.clone(), [parameters.len(), 1]), &device);
        let flat = flat.require_grad();
        let mlp = Mlp::of(architecture.shape(), flat.clone().into());
        let output = mlp.forward(array(&batch.inputs, features::COUNT, &device));
        let error = (output - &array(&batch.targets, 2, &device)).square() * &array(&batch.weights, 1, &device);
        let loss = error.into_tensor().mean();
        let slope = flat.grad(&loss.backward()).expect("a gradient");
        let automatic: Vec<f32> = slope.into_data().try_into_vec().expect("numbers of type f32");
        let (_, gradient) = gradient_of(architecture, &parameters, &batch);
        assert!(distance(&gradient, &automatic) < ROUNDING, "{activation:?}");
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    for activation in [Activation::Silu, Activation::Gelu, Activation::Tanh] {
        let (architecture, batch) = small(activation);
        let parameters = architecture.initial(3);
        let loss = |parameters: &[f32]| gradient_of(architecture, parameters, &batch).0;
        let (_, gradient) = gradient_of(architecture, &parameters, &batch);
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
    // The last layer is a tenth of that, unless it is asked for in full; a quiet start has biases in the first layer.
    let shape = architecture.shape();
    for (parameters, weights, bias) in [
        (parameters.clone(), 0.02, 0.0),
        (shape.initial(Initialisation::HE, 5, 0), 2.0, 0.0),
        (shape.initial(Initialisation::QUIET, 5, 0), 0.01, 1.0),
    ] {
        let layers = shape.layers();
        let (first, last) = (layers[0], layers[layers.len() - 1]);
        let spread = |part: &[f32]| part.iter().map(|v| f64::from(v * v)).sum::<f64>() / part.len() as f64;
        let found = spread(&parameters[last.start..last.bias()]) * last.inputs as f64;
        assert!((found / weights - 1.0).abs() < 5.0 * (2.0 / (last.bias() - last.start) as f64).sqrt(), "{found}");
        let found = spread(&parameters[first.bias()..first.end()]);
        assert!((found - bias).abs() <= bias * 5.0 * (2.0 / first.outputs as f64).sqrt(), "{found}");
    }
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
    let (points, v) = ([[0.3, -0.7], [1.4, 0.2], [-2.0, 1.0]], [[0.6, -0.2], [-0.4, 1.0], [0.3, 0.3]]);
    let level = Schedule::Cosine.level(0.35);
    let moved =
        |k: f64| -> Vec<[f64; 2]> { points.iter().zip(&v).map(|(x, v)| [x[0] + k * v[0], x[1] + k * v[1]]).collect() };
    for activation in [Activation::Silu, Activation::Gelu, Activation::Tanh] {
        let architecture = Architecture { width: 12, depth: 3, activation };
        let parameters: Vec<f32> = architecture.initial(4).iter().map(|p| 1.5 * p).collect();
        let [cpu, tensors] = devices().map(|device| {
            let mlp = Mlp::new(architecture.shape(), &parameters, &device);
            let rows = features::rows(&points, level);
            let tangents = array(&features::tangents(&points, &v, level), features::COUNT, &device);
            let (output, tangent) = mlp.forward_with_tangent(array(&rows, features::COUNT, &device), tangents);
            let (output, tangent) = (read(&output), read(&tangent));
            assert!(distance(&output, &outputs(&mlp, &rows, &device)) < ROUNDING);
            let step = 2e-3;
            let [above, below] = [step, -step].map(|k| outputs(&mlp, &features::rows(&moved(k), level), &device));
            let quotient: Vec<f32> = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * step as f32)).collect();
            // The waves turn up to 6.4 times as fast as the point moves: (6.4 * 2e-3)^2 / 6 of the truth, and rounding
            // / step.
            assert!(distance(&tangent, &quotient) < 2e-3, "{activation:?}: {tangent:?} {quotient:?}");
            [output, tangent]
        });
        assert!(distance(&tensors[0], &cpu[0]) < ROUNDING && distance(&tensors[1], &cpu[1]) < ROUNDING);
    }
}
