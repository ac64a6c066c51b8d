//! Weights that `tests/golden/unet_reference.py` and the tests both compute from names alone.

#![allow(dead_code)]

use burn::tensor::{Device, Tensor, TensorData};
pub use scorefield::engine::images::self_test::{hashed, parameter};
use scorefield::nn::unet::{UNet, UNetConfig};

/// The network with these numbers.
#[allow(dead_code)]
pub fn network(config: &UNetConfig, device: &Device) -> UNet {
    let fill = |name: &str, shape: &[usize]| Ok::<_, std::convert::Infallible>(parameter(name, shape));
    config.init(0, device).unwrap().load(fill).unwrap()
}

/// Images of these numbers.
#[allow(dead_code)]
pub fn image(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> = hashed(name, shape.iter().product()).map(|u| u as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}
