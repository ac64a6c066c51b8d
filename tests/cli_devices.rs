//! Training on several devices that share every batch: the same as on one, but for the order of sums. Two CPU devices
//! stand for any two: what goes from one to the other goes through Burn's own `to_device`.
#![cfg(feature = "cli")]

#[path = "support/program.rs"]
mod program;
#[cfg(feature = "gpu")]
#[path = "support/skip.rs"]
mod skip;
#[path = "support/unet_weights.rs"]
mod unet_weights;

use std::fs;

use program::{Folder, failure, images, scorefield, success};
use scorefield::data::ImageSet;
use scorefield::diffusion::now;
use scorefield::engine::image_trainer::{Gradient, ImageBatches, ImageTrainer, Recipe, TrainingPrecision};
use scorefield::lab::DeviceChoice;
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::objective::Objective;
use scorefield::nn::unet::{Style, UNetConfig};
use unet_weights::{error, hashed, parameter};

/// Sums of a batch in another order, through some 20 layers and back in single precision: what `cli_training.rs` allows
/// between this program and PyTorch, which sums in another order too, is ten times as much.
const TOLERANCE: f32 = 1e-5;
/// Of losses and parameters (root mean square, relative) after six steps. Adam divides a gradient by its own size, so that
/// where it is nothing but rounding, as before a normalisation that takes it out again, its sign is a step.
const STEPS_TOLERANCE: f64 = 2e-4;

fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).unwrap()
}

fn recipe(network: UNetConfig, batch: usize) -> Recipe {
    Recipe { network, steps: 8, batch, piece: 4, rate: 2e-3, warm_up: 3, ..Recipe::default() }
}

fn tiny() -> UNetConfig {
    UNetConfig {
        channels: 8,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![1],
        classes: 10,
        groups: 4,
        dropout: 0.0,
        ..UNetConfig::cifar10()
    }
}

fn set() -> ImageSet {
    let colours = hashed("pixels", 60).flat_map(|u| [(127.5 + 127.0 * u) as u8; 64]);
    let classes = (0..10).map(|i| i.to_string()).collect();
    ImageSet::new(8, 3, colours.collect(), (0..20).map(|i| i % 10).collect(), classes).unwrap()
}

/// A trainer with weights of unit gain, so that every parameter has a gradient, on so many devices.
fn trainer(recipe: &Recipe, devices: usize) -> ImageTrainer {
    let mut trainer = ImageTrainer::new(recipe.clone(), &cpu(), 2).unwrap();
    let shapes = trainer.shapes();
    trainer.set_parameters(shapes.iter().map(|p| parameter(&p.name, &p.shape)).collect());
    trainer.share(&vec![cpu(); devices - 1]).unwrap();
    trainer
}

fn numbers(gradient: Gradient) -> (f32, Vec<Vec<f32>>) {
    let read = |tensor: burn::tensor::Tensor<1>| tensor.into_data().try_into_vec::<f32>().unwrap();
    (read(gradient.loss)[0], gradient.parts.into_iter().map(read).collect())
}

/// Largest difference of any numbers, relative to the largest of the same parameter or to a thousandth of all.
fn difference(found: &[Vec<f32>], wanted: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let all = wanted.iter().map(|part| largest(part)).fold(0.0, f32::max);
    let parts = found.iter().zip(wanted).map(|(found, wanted)| {
        assert_eq!(found.len(), wanted.len());
        let furthest = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        furthest / largest(wanted).max(1e-3 * all)
    });
    parts.fold(0.0, f32::max)
}

#[test]
fn several_devices_find_the_loss_and_the_gradient_of_one_with_the_whole_batch() {
    let hybrid = Recipe { objective: Objective::Ddpm, ..recipe(UNetConfig { learned_variance: true, ..tiny() }, 7) };
    // What has no derivatives written out goes through automatic differentiation.
    let automatic = recipe(UNetConfig { style: Style::Improved, ..tiny() }, 6);
    for recipe in [recipe(tiny(), 6), hybrid, automatic] {
        let batch = ImageBatches::new(&recipe).batch(&set(), 0);
        let (loss, parts) = numbers(trainer(&recipe, 1).gradient(&batch).unwrap());
        // More devices than images, too.
        for devices in [2, 3, 8] {
            let (shared_loss, shared) = numbers(trainer(&recipe, devices).gradient(&batch).unwrap());
            let error = difference(&shared, &parts);
            println!("{devices} devices: loss {shared_loss} of {loss}, gradients differ by {error:.1e}");
            assert!((shared_loss - loss).abs() <= TOLERANCE * loss, "{devices}: {shared_loss} instead of {loss}");
            assert!(error <= TOLERANCE, "{devices}: {error:e}");
        }
    }
}

#[test]
fn a_run_on_two_devices_goes_on_on_one_and_arrives_where_one_alone_does() {
    let (recipe, set) = (recipe(tiny(), 6), set());
    let advance = |trainer: &mut ImageTrainer, steps: u32| {
        for _ in 0..steps {
            let done = trainer.done();
            trainer.advance(&set, done).unwrap();
        }
    };
    let mut alone = trainer(&recipe, 1);
    advance(&mut alone, 6);
    let wanted_losses = alone.take_losses().unwrap();
    let mut first = trainer(&recipe, 2);
    advance(&mut first, 3);
    let state = first.to_bytes().unwrap();
    for devices in [1, 2] {
        let mut second = ImageTrainer::from_bytes(&state, &cpu(), 2).unwrap();
        second.share(&vec![cpu(); devices - 1]).unwrap();
        advance(&mut second, 3);
        let losses = second.take_losses().unwrap();
        let [found, wanted] = [&second, &alone].map(|trainer| trainer.averaged(0).unwrap().concat());
        let parameters = error(&found, &wanted);
        let losses = error(&losses, &wanted_losses[3..]);
        println!("three steps on two devices, three on {devices}: parameters {parameters:.1e}, losses {losses:.1e}");
        assert!(parameters <= STEPS_TOLERANCE && losses <= STEPS_TOLERANCE, "{parameters:e} {losses:e}");
    }
}

/// How far the gradient in a mixed precision is from that in single precision, for a device that has the precision:
/// root mean square, relative, in units of the precision's rounding.
fn mixed_error(precision: TrainingPrecision, device: &ComputeDevice) -> f64 {
    let full = recipe(tiny(), 6);
    let batch = ImageBatches::new(&full).batch(&set(), 0);
    let (loss, parts) = numbers(trainer(&full, 1).gradient(&batch).unwrap());
    let mut mixed = ImageTrainer::new(Recipe { precision, ..full }, device, 1).unwrap();
    let shapes = mixed.shapes();
    mixed.set_parameters(shapes.iter().map(|p| parameter(&p.name, &p.shape)).collect());
    let (mixed_loss, found) = numbers(mixed.gradient(&batch).unwrap());
    let unit = if precision == TrainingPrecision::F16 { 0.5_f64.powi(11) } else { 0.5_f64.powi(8) };
    let error = error(&found.concat(), &parts.concat()) / unit;
    println!("{precision:?} on {}: loss {mixed_loss} of {loss}, {error:.2} units", device.info.name);
    assert!((f64::from(mixed_loss - loss)).abs() <= 4.0 * unit * f64::from(loss), "{mixed_loss} instead of {loss}");
    error
}

/// A random walk over some 40 layers, there and back, each of which rounds what it is given, its weights and its result:
/// the root of 120 steps of about a third of a unit each is 4 units.
const MIXED_UNITS: f64 = 8.0;

#[test]
fn mixed_precision_finds_the_gradient_of_single_precision_but_for_its_rounding() {
    for precision in [TrainingPrecision::F16, TrainingPrecision::Bf16] {
        let error = mixed_error(precision, &cpu());
        // Less than a part of one unit would be single precision.
        assert!((0.1..MIXED_UNITS).contains(&error), "{precision:?}: {error} units");
    }
}

#[test]
fn a_run_in_half_precision_stops_goes_on_and_arrives_near_one_in_single_precision() {
    let (full, set) = (recipe(tiny(), 6), set());
    let half = Recipe { precision: TrainingPrecision::F16, ..full.clone() };
    let advance = |trainer: &mut ImageTrainer, steps: u32| {
        for _ in 0..steps {
            let done = trainer.done();
            trainer.advance(&set, done).unwrap();
        }
        trainer.take_losses().unwrap()
    };
    let wanted = advance(&mut trainer(&full, 1), 6);
    let mut whole = trainer(&half, 1);
    let found = advance(&mut whole, 6);
    let losses = error(&found, &wanted);
    println!("losses {found:?} for {wanted:?}");
    assert!(losses > 0.0 && losses < 0.01, "{losses}");
    let mut first = trainer(&half, 1);
    advance(&mut first, 3);
    let mut second = ImageTrainer::from_bytes(&first.to_bytes().unwrap(), &cpu(), 2).unwrap();
    advance(&mut second, 3);
    assert!(second.averaged(0).unwrap() == whole.averaged(0).unwrap(), "bit for bit, the scale of the loss included");
}

#[test]
fn the_program_trains_on_several_devices_stops_and_goes_on() {
    let folder = Folder::new("train-devices");
    images(&folder, "images", 6, 8);
    let (data, out) = (folder.path("images"), folder.path("out"));
    let network =
        ["--channels", "8", "--multipliers", "1,2", "--layers", "1", "--groups", "4", "--batch", "5", "--piece", "2"];
    let train = |out: &str, more: &[&str]| {
        scorefield(["train", "--data", &data, "--out", out, "--json"].iter().chain(&network).chain(more))
    };
    // With dropout, whose noise is told the step and the device: the same again after an interruption.
    let both = ["--device", "cpu,cpu", "--steps", "4", "--dropout", "0.1"];
    let whole = folder.path("whole");
    let output = train(&whole, &both);
    success(&output);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["device"].as_str().unwrap().matches("Burn Flex").count(), 2, "{summary}");
    success(&train(&out, &[&both[..], &["--stop-after", "2"]].concat()));
    success(&train(&out, &["--device", "cpu,cpu", "--resume"]));
    let weights = |out: &str| fs::read(format!("{out}/weights.00.safetensors")).unwrap();
    assert!(weights(&out) == weights(&whole), "bit for bit on the same devices");
}

#[test]
fn what_a_device_cannot_do_is_said() {
    let folder = Folder::new("one-device");
    let out = folder.path("out");
    failure(&scorefield(["train", "--data", "moons", "--out", &out, "--device", "cpu,cpu"]), 2, "several devices");
    failure(&scorefield(["bench", "--device", "cpu,auto"]), 2, "several devices");
    failure(&scorefield(["bench", "--device", "cpu", "--compute", "f16"]), 2, "does not train in f16");
    failure(&scorefield(["train", "--data", &out, "--out", &out, "--device", "cpu,quantum"]), 2, "gpu:software");
}

/// The software adapter and the fastest one, if there are any. A program opens each once.
#[cfg(feature = "gpu")]
fn gpus() -> Option<[ComputeDevice; 2]> {
    use scorefield::cli::device::wait;
    use scorefield::nn::device::{Adapter, open_adapter};
    use std::sync::OnceLock;

    static GPUS: OnceLock<Option<[ComputeDevice; 2]>> = OnceLock::new();
    let open = || {
        let [first, second] = [Adapter::Software, Adapter::Best].map(|adapter| wait(open_adapter(adapter)).ok());
        Some([first?, second?])
    };
    GPUS.get_or_init(open).clone()
}

/// Where a software adapter has half precision.
#[cfg(feature = "gpu")]
#[test]
fn a_gpu_trains_in_half_precision() {
    use burn::tensor::FloatDType;

    let Some([compute, _]) = gpus() else { return skip::left_out("no software adapter") };
    if !compute.device.supports_dtype(FloatDType::F16) {
        return skip::left_out(&format!("{} has no half precision", compute.info.name));
    }
    // Products may be summed in half precision there.
    let error = mixed_error(TrainingPrecision::F16, &compute);
    assert!((0.1..4.0 * MIXED_UNITS).contains(&error), "{error} units");
}

/// Two devices of WebGPU, where an adapter can be opened as the fastest and as a software one: numbers go from one to
/// the other through Burn.
#[cfg(feature = "gpu")]
#[test]
fn two_gpus_find_the_gradient_of_the_processor() {
    let Some([first, second]) = gpus() else { return skip::left_out("no software adapter") };
    let recipe = recipe(tiny(), 6);
    let batch = ImageBatches::new(&recipe).batch(&set(), 0);
    let (loss, parts) = numbers(trainer(&recipe, 1).gradient(&batch).unwrap());
    let mut shared = ImageTrainer::new(recipe, &first, 1).unwrap();
    let shapes = shared.shapes();
    shared.set_parameters(shapes.iter().map(|p| parameter(&p.name, &p.shape)).collect());
    shared.share(&[second.clone(), cpu()]).unwrap();
    let (shared_loss, shared) = numbers(shared.gradient(&batch).unwrap());
    let error = difference(&shared, &parts);
    let names = [first, second].map(|compute| format!("{} {:?}", compute.info.name, compute.device));
    println!("{}: loss {shared_loss} of {loss}, gradients differ by {error:.1e}", names.join(" and "));
    // A GPU may compute roots, exponentials and quotients to a few units in the last place.
    assert!((shared_loss - loss).abs() <= 10.0 * TOLERANCE * loss && error <= 10.0 * TOLERANCE, "{error:e}");
}
