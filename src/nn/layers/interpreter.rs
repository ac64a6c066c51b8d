//! The interpreters of this program, and which of them computes on which device.

use burn::tensor::{Device, Tensor};

/// An interpreter of this program that computes with Burn's tensors.
#[derive(Clone, Copy, Debug)]
pub enum Interpreter {
    /// [`super::cpu::Cpu`].
    #[cfg(feature = "cpu")]
    Cpu,
    /// [`super::wgsl::Wgsl`].
    #[cfg(feature = "gpu")]
    Wgsl,
    /// [`super::operations::Operations`].
    #[cfg(not(target_arch = "wasm32"))]
    Operations,
}

impl Interpreter {
    /// The one for tensors and parameters on these devices: the quickest, which has no derivatives.
    pub fn of<const N: usize>(devices: [&Device; N]) -> Self {
        #[cfg(feature = "cpu")]
        if devices.iter().all(|device| crate::nn::cpu::is_cpu(device)) {
            return Self::Cpu;
        }
        #[cfg(feature = "gpu")]
        if devices.iter().all(|device| crate::nn::shader::runs_on(device)) {
            return Self::Wgsl;
        }
        #[cfg(not(target_arch = "wasm32"))]
        return Self::Operations;
        #[cfg(target_arch = "wasm32")]
        unreachable!("a worker has the device of its one interpreter and no other")
    }

    /// A result in single precision, whatever the network's is.
    pub fn in_single_precision<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            // Nothing else is computed in there.
            #[cfg(feature = "cpu")]
            Self::Cpu => x,
            #[cfg(feature = "gpu")]
            Self::Wgsl => super::operations::full(x),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Operations => super::operations::full(x),
        }
    }
}

/// The value of an expression with this interpreter as `$layers`.
macro_rules! interpret {
    ($interpreter:expr, $layers:ident => $value:expr) => {
        match $interpreter {
            #[cfg(feature = "cpu")]
            $crate::nn::layers::interpreter::Interpreter::Cpu => {
                let $layers = &mut $crate::nn::layers::cpu::Cpu;
                $value
            }
            #[cfg(feature = "gpu")]
            $crate::nn::layers::interpreter::Interpreter::Wgsl => {
                let $layers = &mut $crate::nn::layers::wgsl::Wgsl;
                $value
            }
            #[cfg(not(target_arch = "wasm32"))]
            $crate::nn::layers::interpreter::Interpreter::Operations => {
                let $layers = &mut $crate::nn::layers::operations::Operations;
                $value
            }
        }
    };
}
pub(crate) use interpret;
