//! Training in mixed precision (Micikevicius et al. 2018, arXiv 1710.03740): convolutions and matrices in half precision or
//! in bfloat16, parameters, moments, normalisations and sums of gradients in single.

use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::nn::tape::Factors;

/// What convolutions and matrices of a network in training are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TrainingPrecision {
    /// Single precision, like all the rest.
    #[default]
    F32,
    /// Half precision (IEEE 754 binary16): 11 bits and few exponents, so that small gradients need a scaled loss.
    F16,
    /// bfloat16: 8 bits and the exponents of single precision.
    Bf16,
}

impl TrainingPrecision {
    /// Its name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// As written-out derivatives have it, if they do.
    #[must_use]
    pub const fn factors(self) -> Option<Factors> {
        match self {
            Self::F32 => Some(Factors::Single),
            Self::Bf16 => Some(Factors::Bfloat16),
            Self::F16 => None,
        }
    }

    /// As Burn has it.
    #[must_use]
    pub const fn kind(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::F16 => FloatDType::F16,
            Self::Bf16 => FloatDType::BF16,
        }
    }
}

/// Where it starts, as PyTorch's does.
const START: f32 = 65536.0;
/// Where it may go.
const RANGE: [f32; 2] = [1.0, 16_777_216.0];
/// Steps between attempts at a larger one.
const PATIENCE: u32 = 1000;

/// What a loss is multiplied with before its gradients are computed in half precision, and they are divided by after. It
/// is halved whenever a gradient came out infinite, and doubled every thousandth step. The number is the device's, so
/// that nothing waits for it.
pub struct LossScale(Tensor<1>);

impl LossScale {
    /// The one that a precision needs, as it starts.
    #[must_use]
    pub fn new(precision: TrainingPrecision, device: &Device) -> Option<Self> {
        (precision == TrainingPrecision::F16).then(|| Self::of(START, device))
    }

    /// This one.
    #[must_use]
    pub fn of(scale: f32, device: &Device) -> Self {
        Self(Tensor::from_floats([scale.clamp(RANGE[0], RANGE[1])], device))
    }

    /// The factor, one number.
    #[must_use]
    pub fn factor(&self) -> &Tensor<1> {
        &self.0
    }

    /// The gradients without those of a step in which any was not finite, told by the sum of their squares: in their
    /// place there are zeros.
    #[must_use]
    pub fn only_finite(&mut self, parts: Vec<Tensor<1>>, squares: &Tensor<1>, step: u32) -> Vec<Tensor<1>> {
        let overflow = squares.clone().is_finite().bool_not();
        let next = if step > 0 && step.is_multiple_of(PATIENCE) { self.0.clone() * 2.0 } else { self.0.clone() };
        let less = self.0.clone() * 0.5;
        self.0 = next.mask_where(overflow.clone(), less).clamp(RANGE[0], RANGE[1]);
        let kept = |part: Tensor<1>| {
            let mask = overflow.clone().expand([part.dims()[0]]);
            part.mask_fill(mask, 0.0)
        };
        parts.into_iter().map(kept).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(tensor: &Tensor<1>) -> f32 {
        tensor.clone().try_into_vec_as::<f32>().unwrap()[0]
    }

    #[test]
    fn an_overflow_halves_the_scale_and_takes_the_step_out() {
        let device = Device::flex();
        assert!(LossScale::new(TrainingPrecision::Bf16, &device).is_none());
        let mut scale = LossScale::new(TrainingPrecision::F16, &device).unwrap();
        let parts = || vec![Tensor::from_floats([1.0, f32::INFINITY], &device), Tensor::from_floats([3.0], &device)];
        let values = |parts: Vec<Tensor<1>>| -> Vec<Vec<f32>> {
            parts.into_iter().map(|part| part.try_into_vec_as::<f32>().unwrap()).collect()
        };
        for bad in [f32::INFINITY, f32::NAN] {
            let before = number(scale.factor());
            let kept = scale.only_finite(parts(), &Tensor::from_floats([bad], &device), PATIENCE);
            assert_eq!(values(kept), [vec![0.0, 0.0], vec![0.0]]);
            assert_eq!(number(scale.factor()), before / 2.0);
        }
        let good = vec![Tensor::from_floats([1.0, 2.0], &device)];
        let before = number(scale.factor());
        let kept = scale.only_finite(good.clone(), &Tensor::from_floats([5.0], &device), 7);
        assert_eq!((values(kept), number(scale.factor())), (vec![vec![1.0, 2.0]], before));
        let kept = scale.only_finite(good, &Tensor::from_floats([5.0], &device), 2 * PATIENCE);
        assert_eq!((values(kept), number(scale.factor())), (vec![vec![1.0, 2.0]], 2.0 * before));
    }
}
