//! Half precision: the network in it, runs that ask for it, and what happens where there is none.
//!
//! On the CPU the network computes in half precision through Burn's tensor operations, which a device with automatic
//! differentiation makes it use. With the feature `gpu` the same on a software adapter (Mesa's llvmpipe), if there is
//! one.

#[cfg(feature = "gpu")]
use crate::skip;
use crate::unet_weights::{error, image, improved, network, plain};
use burn::tensor::Device;
use scorefield::diffusion::{Convention, now};
use scorefield::engine::images::half::TOLERANCE;
use scorefield::engine::images::{ImageModel, sample};
use scorefield::lab::{DeviceChoice, PrecisionId, RunConfig};
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::{UNet, UNetConfig};
use scorefield::protocol::images::Notice;

const SIDE: usize = 8;

fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).expect("this build has the CPU device")
}

fn config() -> RunConfig {
    RunConfig { images: 2, steps: 5, seed: 5, ..RunConfig::of_images() }
}

/// Networks with every kind of layer, in both styles.
fn networks() -> [UNetConfig; 2] {
    [plain(), improved()]
}

fn output(network: &UNet, device: &Device) -> Vec<f32> {
    let condition = network.condition(&[3.0, 737.0], &[]).unwrap();
    let x = image("input", [2, 3, SIDE, SIDE], device);
    network.forward(x, &condition).into_data().try_into_vec::<f32>().expect("single precision again")
}

/// Every number rounds to one of 11 bits, relative error at most 2^-11; a dozen layers one after the other, each with
/// errors of its weights, of its inputs and of its output, let grow what is independent by the root of their number.
const ROUNDING: f64 = 6.0 * 4.9e-4;

#[test]
fn the_network_in_half_precision_says_nearly_the_same() {
    let device = cpu().device.autodiff();
    for config in networks() {
        let full = network(&config, &device);
        let half = full.clone().in_half(true);
        assert!(half.is_half() && !full.is_half());
        let (wanted, found) = (output(&full, &device), output(&half, &device));
        let error = error(&found, &wanted);
        println!("{:?}: {error:.1e}", config.style);
        assert!(error < ROUNDING, "{error}");
        assert!(error > 1e-5, "no error at all is no half precision: {error}");
    }
}

#[test]
fn numbers_that_were_half_come_back_exactly_and_what_sums_stays_single() {
    let device = cpu().device.autodiff();
    let full = network(&networks()[1], &device);
    let once = full.clone().in_half(true).in_half(false);
    assert!(!once.is_half());
    let twice = once.clone().in_half(true).in_half(false);
    let names = full.parameters();
    let [full, once, twice] = [full, once, twice].map(|network| network.numbers().unwrap());
    assert_eq!(once, twice);
    let mut rounded = 0;
    for ((parameter, full), once) in names.iter().zip(&full).zip(&once) {
        let single = ["norm", "time_embedding", "class_embedding"].iter().any(|word| parameter.name.contains(word));
        if single {
            assert_eq!(full, once, "{}", parameter.name);
        } else if full != once {
            rounded += 1;
            // Half a unit in the last of 11 places, or of the smallest numbers there are.
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= (a.abs() / 2048.0).max(0.5_f32.powi(25));
            assert!(full.iter().zip(once).all(near), "{}", parameter.name);
        }
    }
    assert!(rounded > 20, "{rounded}");
}

#[test]
fn without_half_precision_a_run_goes_on_in_single_and_says_so() {
    let compute = cpu();
    let mut model = ImageModel::new(network(&networks()[0], &compute.device), Convention::ddpm(), SIDE);
    let drawn = |model: &ImageModel| {
        let pictures = now(sample(&config(), model, &compute, &mut ())).unwrap().expect("nobody ends it");
        now(pictures.values()).unwrap()
    };
    let before = drawn(&model);
    assert_eq!(now(model.prepare(PrecisionId::Half, &compute)).unwrap(), Some(Notice::NoHalf));
    assert!(!model.network.is_half());
    assert_eq!(drawn(&model), before);
    assert_eq!(now(model.prepare(PrecisionId::Full, &compute)).unwrap(), None);
    const { assert!(TOLERANCE > ROUNDING) };
}

/// Images in bytes from 0 to 255 by this precision.
#[cfg(feature = "gpu")]
fn drawn(precision: PrecisionId, model: &mut ImageModel, compute: &ComputeDevice) -> Vec<f32> {
    use crate::unet_weights::now_or_later;

    assert_eq!(now_or_later(model.prepare(precision, compute)).unwrap(), None);
    assert_eq!(model.network.is_half(), precision == PrecisionId::Half);
    let config = RunConfig { precision, ..config() };
    let pictures = now_or_later(sample(&config, model, compute, &mut ())).unwrap().expect("nobody ends it");
    now_or_later(pictures.values()).unwrap()
}

/// A GPU sums the products of a few channels in half precision too, some 72 at a time: each may cost half a unit in the last
/// place of the sum so far.
#[cfg(feature = "gpu")]
const SUMMING: f64 = 0.01;

/// One test, for a program can start WebGPU once.
#[cfg(feature = "gpu")]
#[test]
fn a_gpu_computes_in_half_precision_and_one_that_is_wrong_does_not() {
    use crate::unet_weights::{now_or_later, parameter};
    use scorefield::engine::images::half::has_half;
    use scorefield::nn::device::{Adapter, open_adapter};

    let compute = match now_or_later(open_adapter(Adapter::Software)) {
        Ok(compute) if has_half(&compute) => compute,
        Ok(compute) => return skip::left_out(&format!("{} has no half precision", compute.info.name)),
        Err(error) => return skip::left_out(&format!("no software adapter: {error}")),
    };
    for config in networks() {
        let full = network(&config, &compute.device);
        let half = full.clone().in_half(true);
        let (wanted, found) = (output(&full, &compute.device), output(&half, &compute.device));
        let error = error(&found, &wanted);
        println!("{}, {:?}: {error:.1e}", compute.info.name, config.style);
        assert!(error < SUMMING && error > 1e-5, "{error}");
    }

    let conventions = Convention::ddpm();
    let mut model = ImageModel::new(network(&networks()[0], &compute.device), conventions, SIDE);
    let full = drawn(PrecisionId::Full, &mut model, &compute);
    let half = drawn(PrecisionId::Half, &mut model, &compute);
    println!("final images: {:.1e}", error(&half, &full));
    assert!(half != full && error(&half, &full) < SUMMING);
    // Back again, and nothing of the rounding stays.
    assert_eq!(drawn(PrecisionId::Full, &mut model, &compute), full);

    // Weights beyond what half precision can tell.
    let large = networks()[0].init(0, &compute.device).unwrap();
    let large = large.load(|name, shape| {
        let k = if name == "conv_in.weight" { 1e6 } else { 1.0 };
        Ok::<_, std::convert::Infallible>(parameter(name, shape).into_iter().map(|value| value * k).collect())
    });
    let mut model = ImageModel::new(large.unwrap(), conventions, SIDE);
    for _ in 0..2 {
        assert_eq!(now_or_later(model.prepare(PrecisionId::Half, &compute)).unwrap(), Some(Notice::HalfRefused));
        assert!(!model.network.is_half());
    }
}
