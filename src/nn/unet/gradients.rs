//! The parameters of a network in training, which is native: automatic differentiation is no part of the workers.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

use super::UNet;
use crate::nn::cpu;

impl UNet {
    /// The gradients of all parameters, flat, in the order of [`UNet::parameters`]; none where nothing depends on one.
    #[must_use]
    pub fn gradients(&self, gradients: &Gradients) -> Vec<Option<Tensor<1>>> {
        let mut found = Found { gradients, found: Vec::new() };
        self.visit(&mut found);
        found.found
    }

    /// The network with these values, plain, flat and in the order of [`UNet::parameters`]; on a device with automatic
    /// differentiation as leaves of a new graph. Nothing is copied.
    ///
    /// # Panics
    /// When there are too few of them, or one has another number of values.
    #[must_use]
    pub fn with_values(self, values: Vec<Tensor<1>>) -> Self {
        let mut network = self.map(&mut Assigner(values.into_iter()));
        if let Some(table) = network.table() {
            table.numbers = cpu::numbers(table.weight.val());
        }
        network
    }
}

struct Found<'a> {
    gradients: &'a Gradients,
    found: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for Found<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let count = param.lazy_shape().num_elements();
        self.found.push(param.val().grad(self.gradients).map(|gradient| gradient.reshape([count])));
    }
}

struct Assigner(std::vec::IntoIter<Tensor<1>>);

impl ModuleMapper for Assigner {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.0.next() else { return param };
        let id = param.id;
        let tensor = values.reshape(param.lazy_shape());
        // Shaped first: a leaf of the graph cannot be the shape of another.
        let tensor = if param.lazy_device().is_autodiff() { Tensor::from_inner(tensor) } else { tensor };
        param.transform_for_load(tensor, id)
    }
}
