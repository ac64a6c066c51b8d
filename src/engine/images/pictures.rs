//! A batch of images as the state that solvers move.

use burn::tensor::{Device, Tensor, TensorData};

use crate::diffusion::State;
use crate::diffusion::control::Elementwise;
use crate::engine::device::DeviceError;

/// Images on the device, `[images, channels, height, width]`; pixels of data are in `[-1, 1]`.
#[derive(Clone, Debug)]
pub struct Pictures(pub Tensor<4>);

impl Pictures {
    /// The images with these numbers, last dimension first.
    ///
    /// # Panics
    /// When there are not as many as the shape holds.
    #[must_use]
    pub fn new(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Self {
        Self(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// The numbers, last dimension first.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn values(&self) -> Result<Vec<f32>, DeviceError> {
        read(self.0.clone()).await
    }
}

/// Numbers of a tensor.
pub(super) async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DeviceError> {
    let data = tensor.into_data_async().await.map_err(|error| DeviceError::Lost(error.to_string()))?;
    data.try_into_vec().map_err(|error| DeviceError::Lost(error.to_string()))
}

/// `red, green, blue` of every pixel as bytes, from images with channels before pixels. What is not a number is black.
#[must_use]
pub fn to_bytes(values: &[f32], channels: usize, pixels: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / channels.max(1) * 3);
    for image in values.chunks_exact((channels * pixels).max(1)) {
        for pixel in 0..pixels {
            for colour in 0..3 {
                // One channel is grey.
                let value = image[colour.min(channels - 1) * pixels + pixel];
                bytes.push((127.5 * (value + 1.0)).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    bytes
}

/// Numbers in `[-1, 1]`, channels before pixels, from `red, green, blue` of every pixel.
#[must_use]
pub fn from_bytes(colours: &[u8]) -> Vec<f32> {
    let pixels = colours.len() / 3;
    let mut values = vec![0.0; 3 * pixels];
    for (pixel, colour) in colours.chunks_exact(3).enumerate() {
        for (channel, byte) in colour.iter().enumerate() {
            values[channel * pixels + pixel] = f32::from(*byte) / 127.5 - 1.0;
        }
    }
    values
}

fn times(tensor: Tensor<4>, k: f64) -> Tensor<4> {
    // A pass over all images less.
    if k == 1.0 { tensor } else { tensor * k }
}

impl State for Pictures {
    fn scale(self, k: f64) -> Self {
        Self(times(self.0, k))
    }

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    fn blend(self, a: f64, other: Self, b: f64) -> Self {
        if b == 0.0 {
            return self.scale(a);
        }
        if a == 0.0 {
            return other.scale(b);
        }
        Self(times(self.0, a) + times(other.0, b))
    }

    /// Not a number when the device no longer answers; whoever looks at the images next is told why.
    async fn mean_norm(&self) -> f64 {
        let images = self.0.dims()[0];
        let norms = self.0.clone().reshape([images as i32, -1]).square().sum_dim(1).sqrt();
        let norms = read(norms).await.unwrap_or_default();
        norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / norms.len() as f64
    }
}

impl Elementwise for Pictures {
    fn times(self, other: &Self) -> Self {
        Self(self.0 * other.0.clone())
    }

    /// Exactly one or the other for masks of zeros and ones.
    fn select(self, other: Self, mask: &Self) -> Self {
        let rest = mask.0.clone().neg() + 1.0;
        Self(self.0 * mask.0.clone() + other.0 * rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_way_through_numbers() {
        let colours: Vec<u8> =
            (0..=255).chain((0..=255).rev()).chain((0..=255).map(|i: u8| i.wrapping_mul(7))).collect();
        assert_eq!(to_bytes(&from_bytes(&colours), 3, colours.len() / 3), colours);
        assert_eq!(to_bytes(&[f32::NAN, -7.0, 7.0], 1, 3), [0, 0, 0, 0, 0, 0, 255, 255, 255]);
    }
}
