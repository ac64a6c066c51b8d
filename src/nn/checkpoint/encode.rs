//! Writing weights: f32, f16, or int8 with one scale for each output channel.

use burn::tensor::f16;
use safetensors::tensor::{Dtype, TensorView};

use super::error::CheckpointError;
use super::limits::SCALE_SUFFIX;
use crate::nn::unet::Parameter;

/// How exactly weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    Full,
    /// 16 bits, 11 of them significant.
    Half,
    /// Matrices and kernels as integers from -127 to 127 times a 16-bit scale for each output channel; all else with 16
    /// bits. The error of a weight is at most half a scale, 1/254 of the largest of its channel, and the rounding of
    /// the scale.
    Int8,
}

/// A safetensors file of these parameters with these values, in the same order.
///
/// # Errors
/// [`CheckpointError::Extent`] when there are too few values, [`CheckpointError::NotFinite`] when one cannot be written,
/// [`CheckpointError::Container`] when the writer refuses.
pub fn encode(parameters: &[Parameter], values: &[Vec<f32>], precision: Precision) -> Result<Vec<u8>, CheckpointError> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (index, Parameter { name, shape }) in parameters.iter().enumerate() {
        let values = values.get(index).map_or(&[][..], Vec::as_slice);
        let needs = shape.iter().product::<usize>();
        if values.len() != needs {
            return Err(CheckpointError::Extent { tensor: name.clone(), needs, has: values.len() });
        }
        let largest = if precision == Precision::Full { f32::MAX } else { f16::MAX.to_f32() };
        if values.iter().any(|value| value.is_nan() || value.abs() > largest) {
            return Err(CheckpointError::NotFinite { tensor: name.clone() });
        }
        match precision {
            Precision::Full => {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((name.clone(), Dtype::F32, shape.clone(), bytes));
            }
            Precision::Int8 if shape.len() > 1 && needs > 0 => {
                let rows = shape[0];
                let (mut scales, mut integers) = (Vec::with_capacity(2 * rows), Vec::with_capacity(needs));
                for row in values.chunks_exact(needs / rows) {
                    let largest = row.iter().fold(0.0_f32, |m, value| m.max(value.abs()));
                    let scale = f16::from_f32(largest / 127.0);
                    scales.extend_from_slice(&scale.to_le_bytes());
                    let inverse = if scale.to_f32() > 0.0 { 1.0 / scale.to_f32() } else { 0.0 };
                    let round = |value: &f32| (value * inverse).round().clamp(-127.0, 127.0) as i8;
                    integers.extend(row.iter().flat_map(|value| round(value).to_le_bytes()));
                }
                tensors.push((name.clone(), Dtype::I8, shape.clone(), integers));
                tensors.push((format!("{name}{SCALE_SUFFIX}"), Dtype::F16, vec![rows], scales));
            }
            Precision::Half | Precision::Int8 => {
                let bytes = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
                tensors.push((name.clone(), Dtype::F16, shape.clone(), bytes));
            }
        }
    }
    let refuse = |detail: String| CheckpointError::Container { what: "safetensors file", detail };
    let mut views = Vec::with_capacity(tensors.len());
    for (name, dtype, shape, bytes) in &tensors {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| refuse(error.to_string()))?;
        views.push((name.as_str(), view));
    }
    safetensors::tensor::serialize(views, None).map_err(|error| refuse(error.to_string()))
}
