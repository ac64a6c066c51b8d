//! The optimisers: each parameter of a network with its moving averages and what its optimiser remembers of it.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::nn::cpu::{self, numbers};
use crate::nn::moments::{Moments, TensorMoments, Update, blend, blend_tensors};
use crate::nn::muon::{Momentum, Sizes, TensorMomentum};
use crate::nn::tape::Factors;
use crate::nn::unet::Parameter;

/// What turns a gradient into a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    /// Adam, of every parameter.
    #[default]
    Adam,
    /// Muon of the matrices and kernels within the network, Adam of the rest.
    Muon,
}

/// Where the network begins and ends, and what it is told: no maps of hidden numbers to hidden numbers, which is what
/// Muon's length of a step is for.
const ADAMS: [&str; 6] = ["conv_in.", "conv_out.", "time_embedding.", "class_embedding.", "begin_conv.", "end_conv."];

impl Optimiser {
    /// Its name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Adam => "adam",
            Self::Muon => "muon",
        }
    }

    /// The matrix as which a parameter is Muon's; `None` where it is Adam's.
    #[must_use]
    pub fn matrix(self, parameter: &Parameter) -> Option<Sizes> {
        let adams = self == Self::Adam || ADAMS.iter().any(|start| parameter.name.starts_with(start))
            // Tables of scales and shifts.
            || parameter.name.ends_with(".embed.weight");
        Sizes::of(&parameter.shape).filter(|_| !adams)
    }
}

/// The numbers of one update of all parameters.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Adam's.
    pub adam: Update,
    /// Muon's learning rate.
    pub muon: f64,
    /// Shares of the moving averages that stay.
    pub keep: Vec<f64>,
    /// What Muon's products are computed of, on the CPU.
    pub factors: Factors,
}

/// A parameter in training.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its numbers.
    pub value: Tensor<1>,
    /// Its moving averages.
    pub averages: Vec<Tensor<1>>,
    /// What its optimiser remembers.
    pub memory: Memory,
}

/// What an optimiser remembers of a parameter.
#[derive(Clone, Debug)]
// One for each parameter; a tensor is larger where devices of other machines are built in.
#[allow(clippy::large_enum_variant)]
pub enum Memory {
    /// Means of the gradient and of its squares.
    Adam(TensorMoments),
    /// The mean of the gradient alone.
    Muon(TensorMomentum),
}

impl Memory {
    /// Nothing yet.
    #[must_use]
    pub fn new(matrix: Option<Sizes>, count: usize, device: &Device) -> Self {
        match matrix {
            Some(sizes) => Self::Muon(TensorMomentum::of(sizes, Tensor::zeros([count], device))),
            None => Self::Adam(TensorMoments::new(count, device)),
        }
    }

    /// Names and numbers of what is remembered.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, &Tensor<1>)> {
        match self {
            Self::Adam(moments) => {
                let [mean, square] = moments.parts();
                vec![("mean", mean), ("square", square)]
            }
            Self::Muon(momentum) => vec![("momentum", momentum.mean())],
        }
    }

    /// The same of an earlier run, from what `read` says for the names.
    ///
    /// # Errors
    /// The first of `read`.
    pub fn read<E>(matrix: Option<Sizes>, mut read: impl FnMut(&str) -> Result<Tensor<1>, E>) -> Result<Self, E> {
        Ok(match matrix {
            Some(sizes) => Self::Muon(TensorMomentum::of(sizes, read("momentum")?)),
            None => Self::Adam(TensorMoments::of(read("mean")?, read("square")?)),
        })
    }
}

impl Slot {
    /// With so many moving averages, which begin where the parameter does.
    #[must_use]
    pub fn new(value: Tensor<1>, averages: usize, matrix: Option<Sizes>) -> Self {
        let memory = Memory::new(matrix, value.dims()[0], &value.device());
        Self { averages: vec![value.clone(); averages], value, memory }
    }

    /// The parameter after a step. Adam's gradient is multiplied with `clip`, Muon's steps are as long whatever its
    /// gradient's length.
    #[must_use]
    pub fn after(mut self, gradient: Tensor<1>, turn: &Turn, clip: Option<Tensor<1>>) -> Self {
        self.value = match &mut self.memory {
            Memory::Adam(moments) => {
                let gradient = match clip {
                    Some(clip) => gradient * clip,
                    None => gradient,
                };
                moments.step(self.value, gradient, turn.adam)
            }
            Memory::Muon(momentum) => momentum.step(self.value, gradient, turn.muon),
        };
        let averages = self.averages.into_iter().zip(&turn.keep);
        self.averages = averages.map(|(average, keep)| blend_tensors(average, &self.value, *keep)).collect();
        self
    }

    /// [`Self::after`] on the CPU, on the numbers where they are.
    #[must_use]
    pub fn after_on_cpu(self, mut gradient: Vec<f32>, turn: &Turn, clip: f32) -> Self {
        let (shape, device) = (self.value.dims(), self.value.device());
        let tensor = |values| cpu::tensor(values, shape, &device);
        let mut value = numbers(self.value);
        let memory = match self.memory {
            Memory::Adam(moments) => {
                gradient.iter_mut().for_each(|g| *g *= clip);
                let [mean, square] = moments.into_parts().map(numbers);
                let mut moments = Moments::of(mean, square);
                moments.step(&mut value, &gradient, turn.adam);
                let [mean, square] = moments.into_parts().map(tensor);
                Memory::Adam(TensorMoments::of(mean, square))
            }
            Memory::Muon(momentum) => {
                let sizes = momentum.sizes();
                let mut momentum = Momentum::of(sizes, numbers(momentum.into_mean()));
                momentum.step(&mut value, &gradient, turn.muon, turn.factors);
                Memory::Muon(TensorMomentum::of(sizes, tensor(momentum.into_mean())))
            }
        };
        let average = |(average, keep): (Tensor<1>, &f64)| {
            let mut average = numbers(average);
            blend(&mut average, &value, *keep);
            tensor(average)
        };
        let averages = self.averages.into_iter().zip(&turn.keep).map(average).collect();
        Self { value: tensor(value), averages, memory }
    }
}
