//! Numbers of a network that are never trained.

use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;

use crate::nn::cpu;
use crate::nn::layers::modules::Initialiser;

/// Standard deviation of frequencies, as published.
const SPREAD: f32 = 16.0;

/// Numbers that are never trained: frequencies at which the noise level is told, or noise levels.
#[derive(Module, Debug)]
pub struct Table {
    pub(super) weight: Param<Tensor<1>>,
    /// The same numbers, for what is made of them beside the device.
    #[module(skip)]
    pub(super) numbers: Vec<f32>,
}

impl Table {
    /// Of these numbers.
    pub fn new(initialiser: &Initialiser, numbers: Vec<f32>) -> Self {
        let tensor = cpu::tensor(numbers.clone(), [numbers.len()], initialiser.device());
        Self { weight: Param::initialized(ParamId::new(), tensor), numbers }
    }

    /// Of so many frequencies, drawn once.
    pub fn frequencies(initialiser: &mut Initialiser, count: usize) -> Self {
        let numbers = initialiser.drawn(count, SPREAD);
        Self::new(initialiser, numbers)
    }
}
