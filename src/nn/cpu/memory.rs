//! The CPU device's own tensors: their numbers without the conversions between all kinds of numbers that tensors of any
//! device bring with them.

use std::ops::Deref;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};

/// Numbers that may belong to others too.
#[derive(Debug)]
pub enum Borrowed {
    /// Those of a tensor whose numbers follow each other.
    Tensor(FlexTensor),
    /// Others.
    Numbers(Vec<f32>),
}

impl Deref for Borrowed {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Tensor(tensor) => tensor.as_slice().unwrap_or_default(),
            Self::Numbers(numbers) => numbers,
        }
    }
}

/// The numbers of a tensor of this device; not copied unless they are shared.
pub fn take<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let Ok(tensor) = tensor.try_into_primitive::<Flex>() else { return Vec::new() };
    if !tensor.is_unique()
        && let Some(numbers) = tensor.as_slice()
    {
        return numbers.to_vec();
    }
    tensor.into_data().try_into_vec().unwrap_or_default()
}

/// The numbers of a tensor of this device, not copied.
pub fn lend<const D: usize>(tensor: Tensor<D>) -> Borrowed {
    match tensor.try_into_primitive::<Flex>() {
        Ok(tensor) if tensor.is_contiguous() => Borrowed::Tensor(tensor),
        Ok(tensor) => Borrowed::Numbers(tensor.into_data().try_into_vec().unwrap_or_default()),
        Err(_) => Borrowed::Numbers(Vec::new()),
    }
}

/// A tensor of this device.
pub fn tensor<const D: usize>(data: TensorData) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}
