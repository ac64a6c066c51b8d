//! The network in half precision (IEEE 754 binary16), on devices that compute in it.
//!
//! Weights of convolutions and matrices are half, and with them what those layers are given and say. Statistics of
//! normalisations, the softmax of attention and the embedding of times and classes stay single: they sum over many numbers,
//! or tell levels apart that differ by little. So do the sums over many channels of a convolution; those over few are half
//! (docs/images.md).

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, FloatDType, Tensor};

use super::UNet;

impl UNet {
    /// Whether convolutions and matrices are in half precision.
    #[must_use]
    pub fn is_half(&self) -> bool {
        self.first().precision() == DType::F16
    }

    /// The network with convolutions and matrices in half precision, or all of it in single precision again. One
    /// parameter after the other: those that nobody else holds are given back on the way.
    #[must_use]
    pub fn in_half(self, half: bool) -> Self {
        self.cast_to(if half { FloatDType::F16 } else { FloatDType::F32 })
    }

    /// The network with convolutions and matrices in this precision, on a device with automatic differentiation as
    /// leaves of a new graph.
    #[must_use]
    pub fn cast_to(self, precision: FloatDType) -> Self {
        self.map(&mut Caster { path: Vec::new(), precision })
    }
}

struct Caster {
    path: Vec<String>,
    precision: FloatDType,
}

impl Caster {
    /// Whether the parameter at hand stays in single precision.
    fn stays(&self) -> bool {
        self.path.iter().any(|name| {
            name.contains("norm")
                || matches!(name.as_str(), "time_embedding" | "class_embedding" | "time_proj" | "sigmas")
        })
    }
}

impl ModuleMapper for Caster {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.stays() {
            return param;
        }
        let (id, tensor) = (param.id, param.val().cast(self.precision).detach());
        param.transform_for_load(tensor, id)
    }
}
