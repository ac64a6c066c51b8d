//! Networks with weights that `tests/golden/unet_reference.py` and the tests both compute from names alone, and what
//! tests say of their outputs.

#![allow(dead_code)]

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
pub use scorefield::engine::images::self_test::{hashed, parameter, plain};
use scorefield::nn::unet::{Refine, Style, UNet, UNetConfig};

/// A small network in Nichol and Dhariwal's style, with all that it has beside Ho et al.'s.
pub fn improved() -> UNetConfig {
    UNetConfig { classes: 10, learned_variance: true, heads: 4, style: Style::Improved, ..plain() }
}

/// The network with these numbers.
pub fn network(config: &UNetConfig, device: &Device) -> UNet {
    // Noise levels are no weights.
    let levels = config.style.refine().map(Refine::sigmas);
    let fill = |name: &str, shape: &[usize]| {
        Ok::<_, std::convert::Infallible>(match &levels {
            Some(levels) if name.starts_with("sigmas.") => levels.clone(),
            _ => parameter(name, shape),
        })
    };
    config.init(0, device).unwrap().load(fill).unwrap()
}

/// A file with these tensors.
pub fn file(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(.., v)| v.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::tensor::serialize(views, None).unwrap()
}

/// Images of these numbers.
pub fn image(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> = hashed(name, shape.iter().product()).map(|u| u as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Root mean square of the difference over that of what is wanted.
pub fn error(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let difference = square(&mut found.iter().zip(wanted).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (difference / square(&mut wanted.iter().map(|v| f64::from(*v)))).sqrt()
}

/// The value of a future that a GPU keeps waiting.
pub fn now_or_later<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}
