//! The shaders of convolutional networks against the CPU's layers and against Burn's tensor operations on the same
//! adapter, which a device with automatic differentiation uses. On a software adapter (Mesa's llvmpipe), if there is one; in
//! the browser the same shaders are compared with diffusers' numbers by the self-test (`tests/e2e/images.rs`).

use crate::skip;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::unet_weights::{error, image, improved, network, now_or_later, plain};
use burn::module::Module;
use burn::tensor::Device;
use cubecl::launched::LaunchedKernels;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use scorefield::engine::images::half::has_half;
use scorefield::nn::device::{Adapter, open_adapter};
use scorefield::nn::unet::{Decoder, Encoder, REFINE_SHAPES, Refine, Song, Style, UNet, UNetConfig};

/// A network, images at a time, and their side.
type Case = (&'static str, UNetConfig, usize, usize);

/// Everything that a shader is written for in another way.
fn cases() -> Vec<Case> {
    let shipped = UNetConfig {
        channels: 32,
        multipliers: vec![1, 2, 2],
        layers: 1,
        attention_levels: vec![1],
        groups: 16,
        classes: 10,
        ..plain()
    };
    let uneven = UNetConfig { channels: 18, groups: 6, multipliers: vec![1, 2, 1], ..plain() };
    let few = UNetConfig { channels: 4, groups: 2, multipliers: vec![1], attention_levels: vec![], ..plain() };
    let wide = UNetConfig { channels: 64, multipliers: vec![1, 1, 1, 1], attention_levels: vec![1, 2], ..plain() };
    let song = |song: Song| UNetConfig { style: Style::Song(song), groups: 32, ..plain() };
    let skips = Song { encoder: Encoder::Skip, decoder: Decoder::Skip, ..Song::NCSN_PP };
    let deeper = UNetConfig {
        image_channels: 1,
        multipliers: REFINE_SHAPES[1].to_vec(),
        ..UNetConfig::refine(Refine::NCSN_V2, 8)
    };
    vec![
        ("DDPM++", song(Song::DDPM_PP), 2, 16),
        ("NCSN++", song(Song::NCSN_PP), 2, 16),
        ("NCSN++ with skips", song(skips), 2, 16),
        ("NCSN", UNetConfig::refine(Refine::NCSN, 16), 2, 16),
        ("NCSN, a size that does not divide by its dilations", UNetConfig::refine(Refine::NCSN, 8), 1, 12),
        ("NCSNv2", UNetConfig::refine(Refine::NCSN_V2, 16), 2, 16),
        ("NCSNv2 that halves twice, in grey", deeper, 2, 20),
        ("plain", plain(), 2, 8),
        ("the shipped one's kind", shipped, 3, 32),
        ("improved, several heads", improved(), 3, 16),
        ("channels no multiple of 4, widths 12, 6 and 3", uneven, 2, 12),
        ("very few channels", few, 1, 16),
        ("wide, down to 4 pixels", wide, 2, 32),
        ("more pixels than attention has room for", UNetConfig { attention_levels: vec![0], ..plain() }, 1, 32),
    ]
}

/// For so many images of this side.
fn output(network: &UNet, [images, side]: [usize; 2], device: &Device) -> Vec<f32> {
    // Logarithms of noise levels, for networks that are told those.
    let told = network.config().style.refine().is_some();
    let time = |i: usize| if told { -1.0 - 2.0 * i as f64 } else { 3.0 + 300.0 * i as f64 };
    let times: Vec<f64> = (0..images).map(time).collect();
    let classes = network.config().classes;
    let labels: Vec<Option<usize>> =
        if classes == 0 { Vec::new() } else { (0..images).map(|i| (i > 0).then_some(i % classes)).collect() };
    let condition = network.condition(&times, &labels).unwrap();
    let x = image("input", [images, network.config().image_channels, side, side], device);
    network.forward(x, &condition).into_data().try_into_vec::<f32>().expect("single precision")
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl LaunchObserver for Counter {
    fn launched(&self, _: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The output, how many shaders ran for it, how many of them differ, and the seconds of the second time.
fn observed(network: &UNet, images: [usize; 2], device: &Device) -> (Vec<f32>, [usize; 2], f64) {
    let kinds = LaunchedKernels::new();
    output(network, images, device);
    let kinds = kinds.finish().len();
    let counter = Arc::new(Counter::default());
    let observation = LaunchObservation::new(counter.clone());
    let start = Instant::now();
    let output = output(network, images, device);
    let seconds = start.elapsed().as_secs_f64();
    drop(observation);
    (output, [counter.0.load(Ordering::Relaxed), kinds], seconds)
}

/// One test, for a program can start WebGPU once.
#[test]
fn shaders_compute_what_tensor_operations_do_in_a_fifth_of_the_passes() {
    let compute = match now_or_later(open_adapter(Adapter::Software)) {
        Ok(compute) => compute,
        Err(error) => return skip::left_out(&format!("no software adapter: {error}")),
    };
    let (cpu, gpu) = (Device::flex(), compute.device.clone());
    for (name, config, images, side) in cases() {
        let images = [images, side];
        let network = network(&config, &cpu);
        let wanted = output(&network, images, &cpu);

        let shaders = network.clone().to_device(&gpu);
        let (found, [passes, kinds], seconds) = observed(&shaders, images, &gpu);
        let plain = network.to_device(&gpu.clone().autodiff());
        let (other, [many, more], slow) = observed(&plain, images, &gpu.clone().autodiff());
        println!(
            "{name}: error {:.1e} ({:.1e} without shaders), {passes} passes ({many}) of {kinds} kinds ({more}), {seconds:.3} s ({slow:.3})",
            error(&found, &wanted),
            error(&other, &wanted),
        );
        assert!(error(&found, &wanted) < 1e-4, "{name}");
        assert!(5 * passes < many, "{name}: {passes} of {many}");
        assert!(kinds < more, "{name}: {kinds} of {more}");

        if has_half(&compute) {
            let half = shaders.in_half(true);
            let (found, [passes, kinds], seconds) = observed(&half, images, &gpu);
            let error = error(&found, &wanted);
            println!("    in half precision: error {error:.1e}, {passes} passes of {kinds} kinds, {seconds:.3} s");
            // Eleven bits, some dozen layers.
            assert!(error > 1e-5 && error < 0.01, "{name}");
        }
    }
}
