//! Half precision, where the device has it and its numbers are right.

use burn::tensor::FloatDType;

use super::model::ImageModel;
use super::pictures::Pictures;
use crate::engine::error::{EngineError, ImageError};
use crate::lab::PrecisionId;
use crate::nn::cpu;
use crate::nn::device::{ComputeDevice, DeviceError};
use crate::nn::unet::UNet;
use crate::protocol::images::Notice;
use crate::rng::{Rng, Stream};

/// Largest root mean square of what half precision changes in one output, relative to that of the output: more is
/// another network, or a device that cannot do it (docs/images.md has what was measured).
pub const TOLERANCE: f64 = 0.05;

/// Whether the device computes in half precision; the CPU could only convert.
#[must_use]
pub fn has_half(compute: &ComputeDevice) -> bool {
    compute.info.gpu && !cpu::is_cpu(&compute.device) && compute.device.supports_dtype(FloatDType::F16)
}

impl ImageModel {
    /// Gets ready for runs in this precision, and says why they will be in single precision if they will. Half precision
    /// is tried out first, once: one image is evaluated in both.
    ///
    /// # Errors
    /// When the device no longer answers.
    pub async fn prepare(
        &mut self,
        precision: PrecisionId,
        compute: &ComputeDevice,
    ) -> Result<Option<Notice>, EngineError> {
        if precision == PrecisionId::Full {
            self.single();
            return Ok(None);
        }
        if !has_half(compute) {
            return Ok(Some(Notice::NoHalf));
        }
        if self.network.is_half() {
            return Ok(None);
        }
        let Some(half) = self.half_network(compute).await? else { return Ok(Some(Notice::HalfRefused)) };
        let full = std::mem::replace(&mut self.network, half);
        self.half.full = (!self.half.exact).then_some(full);
        Ok(None)
    }

    /// The network in single precision again.
    fn single(&mut self) {
        if let Some(full) = self.half.full.take() {
            self.network = full;
        } else if self.network.is_half() {
            self.network = self.network.clone().in_half(false);
        }
    }

    /// The network in half precision; `None` where the device has none, or a wrong one.
    ///
    /// # Errors
    /// When the device no longer answers.
    pub(super) async fn half_network(&mut self, compute: &ComputeDevice) -> Result<Option<UNet>, EngineError> {
        if !has_half(compute) || self.half.works == Some(false) {
            return Ok(None);
        }
        self.single();
        let half = self.network.clone().in_half(true);
        let works = match self.half.works {
            Some(works) => works,
            None => self.difference(&half, compute).await? <= TOLERANCE,
        };
        self.half.works = Some(works);
        Ok(works.then_some(half))
    }

    /// Root mean square of what another network says of one noisy image less what this one says, relative to the latter;
    /// infinite when a number is not finite or the other cannot be asked.
    ///
    /// # Errors
    /// When the device no longer answers.
    pub async fn difference(&self, other: &UNet, compute: &ComputeDevice) -> Result<f64, EngineError> {
        let shape = [1, self.config().image_channels, self.side, self.side];
        let noise = Pictures::new(Rng::new(1, Stream::Test, 0).normals(shape.iter().product()), shape, &compute.device);
        let ask = |network: &UNet| -> Result<Pictures, EngineError> {
            // The network in its own units, as for timings.
            let condition = network.condition(&[400.0], &[network.some_label()]);
            let condition = condition.map_err(|error| ImageError::Internal(error.to_string()))?;
            Ok(Pictures(network.forward(noise.0.clone(), &condition)))
        };
        let wanted = ask(&self.network)?.values().await?;
        let found: Result<_, DeviceError> = ask(other)?.values().await;
        Ok(found.map_or(f64::INFINITY, |found| relative(&found, &wanted)))
    }
}

/// Root mean square of the difference over that of what is wanted.
fn relative(found: &[f32], wanted: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = square(&mut found.iter().zip(wanted).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let error = (difference / square(&mut wanted.iter().map(|value| f64::from(*value)))).sqrt();
    if error.is_finite() && found.len() == wanted.len() { error } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_or_cut_short_is_infinitely_far() {
        assert_eq!(relative(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert!((relative(&[3.0, 4.1], &[3.0, 4.0]) - 0.02).abs() < 1e-6);
        for wrong in [&[f32::NAN, 1.0][..], &[f32::INFINITY, 1.0], &[1.0]] {
            assert_eq!(relative(wrong, &[1.0, 1.0]), f64::INFINITY);
        }
        assert_eq!(relative(&[1.0], &[0.0]), f64::INFINITY, "no scale to compare with");
    }
}
