//! A batch of images as the state that solvers move.

use burn::tensor::{Device, Tensor};

use crate::diffusion::State;
use crate::diffusion::constraint::Elementwise;
use crate::nn::cpu;
use crate::nn::device::{DeviceError, read};

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
        Self(cpu::tensor(values, shape, device))
    }

    /// The numbers, last dimension first.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn values(&self) -> Result<Vec<f32>, DeviceError> {
        read(self.0.clone()).await
    }
}

/// Waits until a tensor is computed, by its first number: what a device was given before is done then too.
pub(super) async fn finish(tensor: &Tensor<4>) -> Result<(), DeviceError> {
    if !cpu::is_cpu(&tensor.device()) {
        read(tensor.clone().slice([0..1, 0..1, 0..1, 0..1])).await?;
    }
    Ok(())
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

/// Numbers in `[-1, 1]` from bytes.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|byte| f32::from(*byte) / 127.5 - 1.0).collect()
}

/// Bytes with channels before pixels from `red, green, blue` of every pixel: of one channel, the mean of the three, or of three.
#[must_use]
pub fn planes(colours: &[u8], channels: usize) -> Vec<u8> {
    let pixels = colours.as_chunks::<3>().0;
    if channels == 1 {
        return pixels.iter().map(|pixel| ((pixel.map(u32::from).iter().sum::<u32>() + 1) / 3) as u8).collect();
    }
    (0..3).flat_map(|channel| pixels.iter().map(move |pixel| pixel[channel])).collect()
}

fn times(tensor: Tensor<4>, k: f64) -> Tensor<4> {
    // A pass over all images less.
    if k == 1.0 { tensor } else { tensor * k }
}

impl Pictures {
    fn on_cpu(&self) -> bool {
        cpu::is_cpu(&self.0.device())
    }

    /// Some of the images.
    #[must_use]
    pub fn part(&self, start: usize, end: usize) -> Self {
        if start == 0 && end == self.0.dims()[0] {
            return self.clone();
        }
        Self(if self.on_cpu() { cpu::part(&self.0, start, end) } else { self.0.clone().narrow(0, start, end - start) })
    }

    /// Images one after the other; `None` when there are none.
    #[must_use]
    pub fn join(mut parts: Vec<Self>) -> Option<Self> {
        if parts.len() == 1 {
            return parts.pop();
        }
        let device = parts.first()?.0.device();
        let parts: Vec<Tensor<4>> = parts.into_iter().map(|part| part.0).collect();
        Some(Self(if cpu::is_cpu(&device) { cpu::join(parts, &device) } else { Tensor::cat(parts, 0) }))
    }

    /// Some of the channels.
    #[must_use]
    pub fn channels(&self, start: usize, count: usize) -> Self {
        Self(if self.on_cpu() { cpu::channels(&self.0, start, count) } else { self.0.clone().narrow(1, start, count) })
    }

    /// Every number held within `[-1, 1]`.
    #[must_use]
    pub fn clamp(self) -> Self {
        if self.on_cpu() {
            return Self(cpu::edit(self.0, |x| x.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0))));
        }
        Self(self.0.clamp(-1.0, 1.0))
    }

    /// Every pixel with the same added to its channels, so that their mean is moved by this share of the way to that of
    /// `target`'s, of which a single image is that of all. It is the nearest such pixel: grey is the first vector of
    /// score_sde's orthonormal basis of colours (Song et al. 2021, appendix I.3).
    #[must_use]
    pub fn toward_grey(self, target: &Self, share: f64) -> Self {
        if !self.on_cpu() {
            let change = target.0.clone().mean_dim(1) - self.0.clone().mean_dim(1);
            return Self(self.0 + times(change, share));
        }
        let [_, channels, height, width] = self.0.dims();
        let pixels = height * width;
        let given = cpu::numbers(target.0.clone());
        let mean = |image: &[f32], pixel: usize| {
            (0..channels).map(|channel| image[channel * pixels + pixel]).sum::<f32>() / channels as f32
        };
        Self(cpu::edit(self.0, |values| {
            let given = given.chunks_exact(channels * pixels).cycle();
            for (image, given) in values.chunks_exact_mut(channels * pixels).zip(given) {
                for pixel in 0..pixels {
                    let change = share as f32 * (mean(given, pixel) - mean(image, pixel));
                    (0..channels).for_each(|channel| image[channel * pixels + pixel] += change);
                }
            }
        }))
    }
}

impl State for Pictures {
    fn scale(self, k: f64) -> Self {
        if self.on_cpu() {
            return Self(cpu::edit(self.0, |x| x.iter_mut().for_each(|x| *x *= k as f32)));
        }
        Self(times(self.0, k))
    }

    fn add(self, other: Self) -> Self {
        self.blend(1.0, other, 1.0)
    }

    /// Of `other` a single image is that of all.
    fn blend(self, a: f64, other: Self, b: f64) -> Self {
        if b == 0.0 {
            return self.scale(a);
        }
        if a == 0.0 {
            return other.scale(b);
        }
        if self.on_cpu() {
            let other = cpu::numbers(other.0);
            return Self(cpu::edit(self.0, |x| {
                for x in x.chunks_mut(other.len().max(1)) {
                    for (x, other) in x.iter_mut().zip(&other) {
                        *x = a as f32 * *x + b as f32 * other;
                    }
                }
            }));
        }
        Self(times(self.0, a) + times(other.0, b))
    }

    fn times_exp(self, exponent: &Self, slope: f64, shift: f64) -> Self {
        if self.on_cpu() {
            let exponent = cpu::numbers(exponent.0.clone());
            return Self(cpu::edit(self.0, |x| {
                for (x, exponent) in x.iter_mut().zip(exponent) {
                    *x *= libm::exp(slope * f64::from(exponent) + shift) as f32;
                }
            }));
        }
        Self(self.0 * (exponent.0.clone() * slope + shift).exp())
    }

    /// Not a number when the device no longer answers; whoever looks at the images next is told why.
    async fn mean_norm(&self) -> f64 {
        let images = self.0.dims()[0];
        let values = if self.on_cpu() {
            read(self.0.clone()).await.unwrap_or_default()
        } else {
            let squares = self.0.clone().reshape([images as i32, -1]).square().sum_dim(1).sqrt();
            let norms = read(squares).await.unwrap_or_default();
            return norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / norms.len() as f64;
        };
        let norm = |image: &[f32]| image.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        values.chunks_exact((values.len() / images.max(1)).max(1)).map(norm).sum::<f64>() / images as f64
    }
}

impl Elementwise for Pictures {
    fn times(self, other: &Self) -> Self {
        if self.on_cpu() {
            let other = cpu::numbers(other.0.clone());
            return Self(cpu::edit(self.0, |x| x.iter_mut().zip(other).for_each(|(x, other)| *x *= other)));
        }
        Self(self.0 * other.0.clone())
    }

    /// Exactly one or the other for masks of zeros and ones; a single image or mask is that of all.
    fn select(self, other: Self, mask: &Self) -> Self {
        if self.on_cpu() {
            let (given, mask) = (cpu::numbers(self.0), cpu::numbers(mask.0.clone()));
            return Self(cpu::edit(other.0, |x| {
                for ((x, given), mask) in x.iter_mut().zip(given.iter().cycle()).zip(mask.iter().cycle()) {
                    *x = given * mask + *x * (1.0 - mask);
                }
            }));
        }
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
        assert_eq!(to_bytes(&from_bytes(&planes(&colours, 3)), 3, colours.len() / 3), colours);
        let greys = planes(&[10, 20, 33, 255, 255, 255, 1, 1, 1, 0, 0, 1], 1);
        assert_eq!(greys, [21, 255, 1, 0]);
        assert_eq!(planes(&to_bytes(&from_bytes(&greys), 1, 4), 1), greys);
        assert_eq!(to_bytes(&[f32::NAN, -7.0, 7.0], 1, 3), [0, 0, 0, 0, 0, 0, 255, 255, 255]);
    }
}
