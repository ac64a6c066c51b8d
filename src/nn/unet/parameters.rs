//! The parameters of a network by name.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::UNet;
use super::network::AROUND;
use crate::nn::cpu;

/// The parameters that are looked at beside the device: frequencies, noise levels.
const TABLES: [&str; 2] = ["time_proj.weight", "sigmas.weight"];

/// A parameter of a network.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name, as in diffusers' files: `mid_block.resnets.0.conv1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// How many numbers it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

impl UNet {
    /// Names and shapes of all parameters. None is initialised by asking.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut names = Names::default();
        self.visit(&mut names);
        names.found
    }

    /// The numbers of one parameter, in the order of [`UNet::parameters`] and last dimension first; `None` when there are
    /// not so many.
    #[must_use]
    pub fn parameter(&self, place: usize) -> Option<Vec<f32>> {
        let mut names = Names { wanted: Some(place), ..Names::default() };
        self.visit(&mut names);
        names.numbers
    }

    /// The values of all parameters, flat and on the device, in the order of [`UNet::parameters`].
    #[must_use]
    pub fn values(&self) -> Vec<Tensor<1>> {
        let mut values = Values(Vec::new());
        self.visit(&mut values);
        values.0
    }

    /// The values of all parameters, read back from the device, in the order of [`UNet::parameters`].
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    pub fn numbers(&self) -> Result<Vec<Vec<f32>>, String> {
        let read = |value: Tensor<1>| value.try_into_vec_as::<f32>().map_err(|error| error.to_string());
        self.values().into_iter().map(read).collect()
    }

    /// The network with every parameter replaced by what `source` says for its name and shape: as many numbers as the
    /// shape holds, last dimension first. Parameters that were not used yet are never initialised.
    ///
    /// # Errors
    /// The first error of `source`.
    ///
    /// # Panics
    /// When `source` gives another number of values.
    pub fn load<E>(self, mut source: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>) -> Result<Self, E> {
        let mut error = None;
        // One loader for all sources and errors: it is code for every kind of layer.
        let mut source = |name: &str, shape: &[usize]| {
            if error.is_some() {
                return None;
            }
            source(name, shape).map_err(|found| error = Some(found)).ok()
        };
        let mut table = None;
        let mut source = |name: &str, shape: &[usize]| {
            let found = source(name, shape);
            if TABLES.contains(&name) {
                table.clone_from(&found);
            }
            found
        };
        let mut loaded = self.map(&mut Loader { path: Vec::new(), source: &mut source });
        if let (Some(kept), Some(numbers)) = (loaded.table(), table) {
            kept.numbers = numbers;
        }
        match error {
            None => Ok(loaded),
            Some(error) => Err(error),
        }
    }
}

#[derive(Default)]
struct Names {
    path: Vec<String>,
    found: Vec<Parameter>,
    /// Whose numbers are read too.
    wanted: Option<usize>,
    numbers: Option<Vec<f32>>,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.wanted == Some(self.found.len()) {
            self.numbers = Some(cpu::numbers(param.val()));
        }
        self.found.push(Parameter { name: self.path[AROUND..].join("."), shape: param.lazy_shape().to_vec() });
    }
}

struct Values(Vec<Tensor<1>>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let count = param.lazy_shape().num_elements();
        self.0.push(param.val().reshape([count]));
    }
}

/// The values of a parameter, by its name and shape.
type Source<'s> = dyn FnMut(&str, &[usize]) -> Option<Vec<f32>> + 's;

struct Loader<'s> {
    path: Vec<String>,
    source: &'s mut Source<'s>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let shape: [usize; D] = std::array::from_fn(|index| shape[index]);
        match (self.source)(&self.path[AROUND..].join("."), &shape) {
            Some(values) => {
                let tensor = cpu::tensor(values, shape, &param.lazy_device());
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            None => param,
        }
    }
}
