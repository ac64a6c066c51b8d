//! Weights that `tests/golden/unet_reference.py` and the tests both compute from names alone.

#![allow(dead_code)]

use burn::tensor::{Device, Tensor, TensorData};
use scorefield::nn::unet::{UNet, UNetConfig};

/// The numbers of `hashed` in the script.
pub fn hashed(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(2_166_136_261_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    (0..count as u32).map(move |i| {
        let mut x = i.wrapping_mul(0x9E37_79B9).wrapping_add(seed);
        x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
        x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        f64::from(x >> 8) / f64::from(1 << 23) - 1.0
    })
}

/// The numbers of `parameter` in the script.
pub fn parameter(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    if shape.len() > 1 {
        let scale = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        hashed(name, count).map(|u| (u * scale) as f32).collect()
    } else {
        let shift = if name.ends_with("weight") { 1.0 } else { 0.0 };
        hashed(name, count).map(|u| (0.1 * u + shift) as f32).collect()
    }
}

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
