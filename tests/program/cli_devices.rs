//! Training on several devices that share every batch: the same as on one, but for the order of sums. Two CPU devices
//! stand for any two: what goes from one to the other goes through Burn's own `to_device`.

#[cfg(feature = "gpu")]
use crate::skip;
use std::fs;

use crate::program::{Folder, failure, images, scorefield, success};
use crate::sharing::{STEPS_TOLERANCE, advance, agree, alone, numbers, recipe, recipes, set, tiny};
#[cfg(feature = "gpu")]
use crate::sharing::{TOLERANCE, difference};
use crate::training::cpu;
use crate::unet_weights::{error, parameter};
use scorefield::engine::image_trainer::{ImageBatches, ImageTrainer, Recipe, TrainingPrecision};
use scorefield::nn::device::ComputeDevice;

/// A trainer with weights of unit gain, so that every parameter has a gradient, on so many devices.
fn trainer(recipe: &Recipe, devices: usize) -> ImageTrainer {
    let mut trainer = alone(recipe);
    trainer.share(&vec![cpu(); devices - 1]).unwrap();
    trainer
}

#[test]
fn several_devices_find_the_loss_and_the_gradient_of_one_with_the_whole_batch() {
    for recipe in recipes() {
        // More devices than images, too.
        agree(&recipe, [1, 2, 3, 8].map(|devices| (format!("{devices} devices"), trainer(&recipe, devices))));
    }
}

#[test]
fn a_run_on_two_devices_goes_on_on_one_and_arrives_where_one_alone_does() {
    let recipe = recipe(tiny(), 6);
    let mut one = trainer(&recipe, 1);
    advance(&mut one, 6);
    let wanted_losses = one.take_losses().unwrap();
    let mut first = trainer(&recipe, 2);
    advance(&mut first, 3);
    let state = first.to_bytes().unwrap();
    for devices in [1, 2] {
        let mut second = ImageTrainer::from_bytes(&state, &cpu(), 2).unwrap();
        second.share(&vec![cpu(); devices - 1]).unwrap();
        advance(&mut second, 3);
        let losses = second.take_losses().unwrap();
        let [found, wanted] = [&second, &one].map(|trainer| trainer.averaged(0).unwrap().concat());
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
    let full = recipe(tiny(), 6);
    let half = Recipe { precision: TrainingPrecision::F16, ..full.clone() };
    let advance = |trainer: &mut ImageTrainer, steps: u32| {
        advance(trainer, steps);
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
