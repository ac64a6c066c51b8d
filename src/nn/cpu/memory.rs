//! The CPU device's own tensors: their numbers without the conversions between all kinds of numbers that tensors of any
//! device bring with them.

use std::ops::Deref;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};

/// Borrowed or owned numbers.
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
            Self::Tensor(tensor) => tensor.as_slice().unwrap_or_else(|| not_single()),
            Self::Numbers(numbers) => numbers,
        }
    }
}

/// Half precision is computed in by Burn's tensor operations alone, which a device with automatic differentiation has.
fn not_single() -> ! {
    unreachable!("tensors of the CPU device are in single precision")
}

fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let tensor = tensor.try_into_primitive::<Flex>();
    tensor.unwrap_or_else(|_| unreachable!("callers ask is_cpu of the tensor's device before they come here"))
}

fn into_numbers(tensor: FlexTensor) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap_or_else(|_| not_single())
}

/// The numbers of a tensor of this device; not copied unless they are shared.
pub fn take<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let tensor = primitive(tensor);
    if !tensor.is_unique()
        && let Some(numbers) = tensor.as_slice()
    {
        return numbers.to_vec();
    }
    into_numbers(tensor)
}

/// The numbers of a tensor of this device, not copied.
pub fn lend<const D: usize>(tensor: Tensor<D>) -> Borrowed {
    let tensor = primitive(tensor);
    if tensor.is_contiguous() { Borrowed::Tensor(tensor) } else { Borrowed::Numbers(into_numbers(tensor)) }
}

/// A tensor of this device.
pub fn tensor<const D: usize>(data: TensorData) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}
