//! The U-Net against diffusers' `UNet2DModel`: `tests/golden/unet_reference.py` made the numbers.

use crate::golden::Golden;
use crate::unet_weights::{image, network};
use burn::tensor::Device;
use safetensors::SafeTensors;
use scorefield::nn::unet::{ConditionError, ConfigError, Style, UNet, UNetConfig, time_features};

const REFERENCE: Golden = Golden(include_bytes!("../golden/unet_reference.safetensors"));
/// Both sides compute in single precision, with sums of up to 2304 terms in different orders, through 30 layers.
const TOLERANCE: f64 = 1e-4;

/// The largest difference relative to the largest number.
#[track_caller]
fn assert_close(name: &str, found: &[f32]) {
    let expected = REFERENCE.numbers(name);
    assert_eq!(found.len(), expected.len(), "{name}");
    let scale = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let error = found.iter().zip(&expected).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
    let relative = f64::from(error) / f64::from(scale);
    println!("{name}: {relative:.1e}");
    assert!(scale > 0.0 && relative < TOLERANCE, "{name}: {relative:e}");
}

fn small() -> UNetConfig {
    UNetConfig {
        channels: 32,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![1],
        dropout: 0.0,
        ..UNetConfig::cifar10()
    }
}

fn classes() -> UNetConfig {
    UNetConfig {
        channels: 16,
        multipliers: vec![1, 1, 2],
        attention_levels: vec![0, 2],
        groups: 8,
        classes: 10,
        learned_variance: true,
        dropout: 0.0,
        ..UNetConfig::cifar10()
    }
}

/// Output and gradients, the latter of every parameter that the script chose.
fn compare(case: &str, config: &UNetConfig, shape: [usize; 4], times: &[f64], labels: &[Option<usize>]) {
    let device = Device::flex().autodiff();
    let net = network(config, &device);
    let x = image("input", shape, &device).require_grad();
    let output = net.forward(x.clone(), &net.condition(times, labels).unwrap());
    let probe = image("probe", output.dims(), &device);
    assert_close(&format!("{case}/output"), &output.to_data().try_into_vec::<f32>().unwrap());

    let gradients = (output * probe).sum().backward();
    let input = x.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
    assert_close(&format!("{case}/gradient/input"), &input);
    let all = net.gradients(&gradients);
    let mut compared = 0;
    let prefix = format!("{case}/gradient/");
    for name in SafeTensors::deserialize(REFERENCE.0).unwrap().names() {
        let Some(parameter) = name.strip_prefix(&prefix).filter(|n| *n != "input") else { continue };
        let index = net.parameters().iter().position(|p| p.name == parameter).expect(parameter);
        let gradient = all[index].clone().unwrap().into_data().try_into_vec::<f32>().unwrap();
        assert_close(name, &gradient[..gradient.len().min(1000)]);
        compared += 1;
    }
    assert!(compared >= 3);
    assert!(all.iter().all(Option::is_some), "every parameter has a gradient");
}

#[test]
fn a_small_network_and_its_gradients_equal_diffusers() {
    compare("small", &small(), [2, 3, 8, 8], &[3.0, 737.0], &[]);
}

#[test]
fn classes_learned_variance_and_attention_at_any_level_equal_diffusers() {
    compare("classes", &classes(), [3, 3, 8, 8], &[-120.5, 0.0, 250.25], &[Some(7), None, Some(0)]);
}

#[test]
fn the_cifar10_network_equals_diffusers() {
    let device = Device::flex();
    let net = network(&UNetConfig::cifar10(), &device);
    let started = std::time::Instant::now();
    let output = net.forward(image("input", [1, 3, 16, 16], &device), &net.condition(&[437.0], &[]).unwrap());
    println!("one forward pass at 16x16: {:?}", started.elapsed());
    assert_close("full/output", &output.into_data().try_into_vec::<f32>().unwrap());
}

#[test]
fn the_cifar10_network_has_35746307_parameters_in_328_tensors() {
    let parameters = UNetConfig::cifar10().init(0, &Device::flex()).unwrap().parameters();
    assert_eq!(parameters.len(), 328);
    assert_eq!(parameters.iter().map(|p| p.count()).sum::<usize>(), 35_746_307);
    let with_classes = UNetConfig { classes: 10, ..UNetConfig::cifar10() };
    let count: usize = with_classes.init(0, &Device::flex()).unwrap().parameters().iter().map(|p| p.count()).sum();
    assert_eq!(count, 35_746_307 + 11 * 512);
}

#[test]
fn the_cost_of_an_evaluation_is_that_of_every_layer() {
    let net = UNetConfig { classes: 10, ..small() }.init(0, &Device::flex()).unwrap();
    // Every parameter but biases and normalisations multiplies at every pixel of its result, or once for an embedding;
    // beside them attention compares every pixel with every other, and mixes them. Times and classes are embedded apart.
    let side = 8;
    let pixels = |name: &str| -> usize {
        let doubles = name.contains("upsamplers") || name.contains("up_blocks.1");
        let full = doubles || (name.contains("down_blocks.0") && !name.contains("downsamplers"));
        match name {
            name if name.contains("time_emb_proj") => 1,
            name if full || name.starts_with("conv_") => side * side,
            _ => side * side / 4,
        }
    };
    let embeds = |name: &str| name.starts_with("time_embedding") || name.starts_with("class_embedding");
    let parameters = net.parameters();
    let matrices = parameters.iter().filter(|p| p.shape.len() > 1 && !embeds(&p.name));
    let products: usize = matrices.map(|p| p.count() * pixels(&p.name)).sum();
    let attentions = parameters.iter().filter(|p| p.name.ends_with("to_q.weight"));
    let mixed: usize = attentions.map(|p| 2 * p.shape[0] * pixels(&p.name).pow(2)).sum();
    let cost = net.cost(side);
    assert_eq!(cost.products, (products + mixed) as u64);
    // The way up begins at full resolution with what both ways leave: 32 and 64 channels.
    assert_eq!(cost.largest, 4 * (32 + 64) * (side * side) as u64);
}

#[test]
fn a_fresh_network_says_zero_and_is_the_same_for_the_same_seed() {
    let device = Device::flex();
    let config = classes();
    let values = |seed| -> Vec<Vec<f32>> {
        let net = config.init(seed, &device).unwrap();
        net.values().into_iter().map(|v| v.into_data().try_into_vec().unwrap()).collect()
    };
    assert_eq!(values(3), values(3));
    assert_ne!(values(3), values(4));
    let net = config.init(3, &device).unwrap();
    let output = net.forward(image("input", [1, 3, 8, 8], &device), &net.condition(&[5.0], &[Some(1)]).unwrap());
    assert_eq!(output.dims(), [1, 6, 8, 8]);
    assert!(output.into_data().try_into_vec::<f32>().unwrap().iter().all(|v| *v == 0.0));
}

#[test]
fn one_time_for_all_images_is_that_time_for_each() {
    let device = Device::flex();
    let net = network(&classes(), &device);
    let x = image("input", [2, 3, 8, 8], &device);
    let output = |times: &[f64], labels: &[Option<usize>]| {
        let output = net.forward(x.clone(), &net.condition(times, labels).unwrap());
        output.into_data().try_into_vec::<f32>().unwrap()
    };
    let both = output(&[40.0, 40.0], &[Some(2), Some(2)]);
    assert_eq!(output(&[40.0], &[Some(2)]), both);
    assert_eq!(output(&[40.0], &[Some(2), Some(2)]), both);
    assert_eq!(output(&[40.0, 40.0], &[]), output(&[40.0], &[None]));
    assert_ne!(output(&[40.0], &[None]), both);
    assert_ne!(output(&[41.0], &[Some(2)]), both);
}

#[test]
fn gradient_steps_lower_the_loss() {
    let device = Device::flex().autodiff();
    let mut net = UNetConfig { dropout: 0.1, ..classes() }.init(1, &device).unwrap();
    let x = image("input", [2, 3, 8, 8], &device);
    let target = image("probe", [2, 6, 8, 8], &device);
    let loss = |net: &UNet| {
        let output = net.forward(x.clone(), &net.condition(&[10.0, 900.0], &[Some(3), None]).unwrap());
        (output - target.clone()).square().mean()
    };
    let before = loss(&net).into_scalar::<f32>();
    for _ in 0..10 {
        let gradients = net.gradients(&loss(&net).backward());
        let moved: Vec<Vec<f32>> = net
            .values()
            .into_iter()
            .zip(gradients)
            .map(|(value, gradient)| (value.inner() - gradient.unwrap() * 0.1).into_data().try_into_vec().unwrap())
            .collect();
        let mut moved = moved.into_iter();
        net = net.load(|_, _| Ok::<_, std::convert::Infallible>(moved.next().unwrap())).unwrap();
    }
    let after = loss(&net).into_scalar::<f32>();
    assert!(after < 0.9 * before, "{before} to {after}");
}

#[test]
fn time_features_are_sines_then_cosines_from_period_1_to_10000() {
    let features = time_features(&[0.0, 2.0], 8, Style::Ddpm.details());
    assert_eq!(features[..8], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    for k in 0..4 {
        let angle = 2.0 / 10_000_f64.powf(k as f64 / 3.0);
        assert!((f64::from(features[8 + k]) - angle.sin()).abs() < 1e-7);
        assert!((f64::from(features[12 + k]) - angle.cos()).abs() < 1e-7);
    }
}

#[test]
fn impossible_shapes_and_conditions_are_refused() {
    let device = Device::flex();
    let refused = |change: &dyn Fn(&mut UNetConfig)| {
        let mut config = small();
        change(&mut config);
        config.init(0, &device).expect_err("refused")
    };
    assert_eq!(refused(&|c| c.channels = 48), ConfigError::Groups { channels: 48, groups: 32 });
    assert_eq!(refused(&|c| c.attention_levels = vec![2]), ConfigError::Attention { level: 2, levels: 2 });
    assert!(matches!(refused(&|c| c.groups = 0), ConfigError::Range { field: "groups", .. }));
    assert!(matches!(refused(&|c| c.multipliers.clear()), ConfigError::Range { field: "levels", .. }));
    assert!(matches!(refused(&|c| c.multipliers[1] = usize::MAX), ConfigError::Range { .. }));
    assert!(matches!(refused(&|c| c.layers = 1 << 40), ConfigError::Range { field: "layers", .. }));
    assert_eq!(refused(&|c| c.dropout = 1.0), ConfigError::Dropout(1.0));
    assert!(matches!(refused(&|c| c.dropout = f64::NAN), ConfigError::Dropout(_)));

    let net = classes().init(0, &device).unwrap();
    let condition = |times: &[f64], labels: &[Option<usize>]| net.condition(times, labels).expect_err("refused");
    assert_eq!(condition(&[1.0], &[Some(10)]), ConditionError::Class { found: 10, classes: 10 });
    assert_eq!(condition(&[], &[]), ConditionError::Count { times: 0, labels: 0 });
    assert_eq!(condition(&[1.0; 2], &[None; 3]), ConditionError::Count { times: 2, labels: 3 });
    let unlabelled = small().init(0, &device).unwrap();
    let error = unlabelled.condition(&[1.0], &[Some(0)]).expect_err("refused");
    assert_eq!(error, ConditionError::Class { found: 0, classes: 0 });
}
