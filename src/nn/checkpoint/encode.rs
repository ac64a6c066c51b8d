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

/// Least number whose 16 bits have all 11 significant ones.
const LEAST_HALF: f32 = 6.103_515_6e-5;

/// Whether 16 bits hold numbers of this size to within 1/2048 of it; 32 bits are taken for others.
fn fits_half(largest: f32) -> bool {
    largest == 0.0 || (LEAST_HALF..=f16::MAX.to_f32()).contains(&largest)
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0_f32, |most, value| most.max(value.abs()))
}

/// Scales of the rows of a matrix or a kernel, one for each output channel.
fn scales(values: &[f32], rows: usize) -> Vec<f32> {
    values.chunks_exact((values.len() / rows.max(1)).max(1)).map(|row| largest(row) / 127.0).collect()
}

/// Whether a tensor is written as integers.
fn as_integers(precision: Precision, parameter: &Parameter) -> bool {
    precision == Precision::Int8 && parameter.shape.len() > 1 && parameter.count() > 0
}

/// Bytes of a tensor with its scales.
pub(super) fn bytes(precision: Precision, parameter: &Parameter, values: &[f32]) -> usize {
    let width = |fits: bool| if fits { 2 } else { 4 };
    if as_integers(precision, parameter) {
        let scales = scales(values, parameter.shape[0]);
        return values.len() + width(scales.iter().all(|scale| fits_half(*scale))) * scales.len();
    }
    values.len() * if precision == Precision::Full { 4 } else { width(fits_half(largest(values))) }
}

/// Numbers with 16 bits, or with 32.
fn numbers(values: &[f32], half: bool) -> (Dtype, Vec<u8>) {
    if half {
        (Dtype::F16, values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect())
    } else {
        (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
}

/// A safetensors file of these parameters with these values, in the same order.
///
/// # Errors
/// [`CheckpointError::Extent`] when there are too few values, [`CheckpointError::NotFinite`] when one cannot be written,
/// [`CheckpointError::Container`] when the writer refuses.
pub fn encode(parameters: &[Parameter], values: &[Vec<f32>], precision: Precision) -> Result<Vec<u8>, CheckpointError> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let Parameter { name, shape } = parameter;
        let values = values.get(index).map_or(&[][..], Vec::as_slice);
        let needs = shape.iter().product::<usize>();
        if values.len() != needs {
            return Err(CheckpointError::Extent { tensor: name.clone(), needs, has: values.len() });
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(CheckpointError::NotFinite { tensor: name.clone() });
        }
        if as_integers(precision, parameter) {
            let rows = shape[0];
            let mut scales = scales(values, rows);
            let half = scales.iter().all(|scale| fits_half(*scale));
            if half {
                scales.iter_mut().for_each(|scale| *scale = f16::from_f32(*scale).to_f32());
            }
            let mut integers = Vec::with_capacity(needs);
            for (row, scale) in values.chunks_exact(needs / rows).zip(&scales) {
                let inverse = if *scale > 0.0 { 1.0 / scale } else { 0.0 };
                let round = |value: &f32| (value * inverse).round().clamp(-127.0, 127.0) as i8;
                integers.extend(row.iter().flat_map(|value| round(value).to_le_bytes()));
            }
            tensors.push((name.clone(), Dtype::I8, shape.clone(), integers));
            let (kind, scales) = numbers(&scales, half);
            tensors.push((format!("{name}{SCALE_SUFFIX}"), kind, vec![rows], scales));
        } else {
            let half = precision != Precision::Full && fits_half(largest(values));
            let (kind, bytes) = numbers(values, half);
            tensors.push((name.clone(), kind, shape.clone(), bytes));
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
