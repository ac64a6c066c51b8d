//! The multilayer perceptron for points in the plane: its shape, its weights, and what it computes on any device.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::features;
use crate::lab::{Activation, RunConfig};
use crate::rng::{Rng, Stream};

/// Coordinates of a point, and of the network's output.
pub const OUTPUTS: usize = 2;

/// A linear layer within the flat vector of parameters: `inputs * outputs` weights, row by row of inputs, then
/// `outputs` biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Length of what comes in.
    pub inputs: usize,
    /// Length of what goes out.
    pub outputs: usize,
    /// Where its weights start.
    pub start: usize,
}

impl Layer {
    /// `depth` hidden layers of `width` units and the last one, each where the one before it ends.
    #[must_use]
    pub fn stack(inputs: usize, width: usize, depth: usize, outputs: usize) -> Vec<Self> {
        let mut start = 0;
        (0..=depth)
            .map(|index| {
                let inputs = if index == 0 { inputs } else { width };
                let outputs = if index == depth { outputs } else { width };
                let layer = Self { inputs, outputs, start };
                start = layer.end();
                layer
            })
            .collect()
    }

    /// Where its biases start.
    #[must_use]
    pub fn bias(self) -> usize {
        self.start + self.inputs * self.outputs
    }

    /// Where it ends.
    #[must_use]
    pub fn end(self) -> usize {
        self.bias() + self.outputs
    }
}

/// The shape of a network: `depth` hidden layers of `width` units on [`features::COUNT`] inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// What follows each hidden layer.
    pub activation: Activation,
}

impl From<&RunConfig> for Architecture {
    fn from(config: &RunConfig) -> Self {
        Self { width: config.width as usize, depth: config.depth as usize, activation: config.activation }
    }
}

impl Architecture {
    /// The layers, first to last.
    #[must_use]
    pub fn layers(self) -> Vec<Layer> {
        Layer::stack(features::COUNT, self.width, self.depth, OUTPUTS)
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(self) -> usize {
        self.layers().last().map_or(0, |layer| layer.end())
    }

    /// The initial parameters of the run with this seed: weights normal with variance `gain / inputs`, `gain` 2 after
    /// rectifiers and 1 before `tanh` (He et al. 2015, Glorot and Bengio 2010), biases 0. The last layer starts at a
    /// tenth of that, so that training starts from a quiet network.
    #[must_use]
    pub fn initial(self, seed: u32) -> Vec<f32> {
        let gain = if self.activation == Activation::Tanh { 1.0 } else { 2.0 };
        let mut parameters = Vec::with_capacity(self.parameters());
        for (index, layer) in self.layers().into_iter().enumerate() {
            let mut rng = Rng::new(seed, Stream::Weights, index as u32);
            let std = (gain / layer.inputs as f64).sqrt() * if index == self.depth { 0.1 } else { 1.0 };
            parameters.extend((0..layer.inputs * layer.outputs).map(|_| (std * rng.normal()) as f32));
            parameters.extend((0..layer.outputs).map(|_| 0.0_f32));
        }
        parameters
    }
}

/// A network of Burn tensors on a device: the plain form, for GPUs and as the reference of [`super::kernels`].
#[derive(Clone, Debug)]
pub struct Mlp {
    architecture: Architecture,
    layers: Vec<Layer>,
    parameters: Tensor<1>,
}

/// What a forward pass keeps for the way back.
struct Trace {
    inputs: Vec<Tensor<2>>,
    slopes: Vec<Tensor<2>>,
    output: Tensor<2>,
}

impl Mlp {
    /// The network with these parameters, in the order of [`Architecture::layers`].
    ///
    /// # Panics
    /// When there are not [`Architecture::parameters`] of them.
    #[must_use]
    pub fn new(architecture: Architecture, parameters: &[f32], device: &Device) -> Self {
        assert_eq!(parameters.len(), architecture.parameters());
        let data = TensorData::new(parameters.to_vec(), [parameters.len()]);
        Self::from_tensor(architecture, Tensor::from_data(data, device))
    }

    /// The network with these parameters, already on the device.
    #[must_use]
    pub fn from_tensor(architecture: Architecture, parameters: Tensor<1>) -> Self {
        Self { architecture, layers: architecture.layers(), parameters }
    }

    /// The shape.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// All parameters, flat.
    #[must_use]
    pub fn parameters(&self) -> &Tensor<1> {
        &self.parameters
    }

    fn weight(&self, layer: Layer) -> Tensor<2> {
        let count = layer.inputs * layer.outputs;
        self.parameters.clone().narrow(0, layer.start, count).reshape([layer.inputs, layer.outputs])
    }

    fn bias(&self, layer: Layer) -> Tensor<2> {
        self.parameters.clone().narrow(0, layer.bias(), layer.outputs).reshape([1, layer.outputs])
    }

    /// The output for rows of features: `[points, features]` to `[points, 2]`.
    #[must_use]
    pub fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (index, &layer) in self.layers.iter().enumerate() {
            x = x.matmul(self.weight(layer)) + self.bias(layer);
            if index < self.architecture.depth {
                x = activate(x, self.architecture.activation);
            }
        }
        x
    }

    /// The output, and how it changes when the features change by `tangent`: forward differentiation.
    #[must_use]
    pub fn forward_with_tangent(&self, mut x: Tensor<2>, mut tangent: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        for (index, &layer) in self.layers.iter().enumerate() {
            let weight = self.weight(layer);
            x = x.matmul(weight.clone()) + self.bias(layer);
            tangent = tangent.matmul(weight);
            if index < self.architecture.depth {
                let (value, slope) = activate_with_slope(x, self.architecture.activation);
                (x, tangent) = (value, tangent * slope);
            }
        }
        (x, tangent)
    }

    fn trace(&self, mut x: Tensor<2>) -> Trace {
        let (mut inputs, mut slopes) = (Vec::new(), Vec::new());
        for (index, &layer) in self.layers.iter().enumerate() {
            let z = x.clone().matmul(self.weight(layer)) + self.bias(layer);
            inputs.push(x);
            if index == self.architecture.depth {
                return Trace { inputs, slopes, output: z };
            }
            let (value, slope) = activate_with_slope(z, self.architecture.activation);
            slopes.push(slope);
            x = value;
        }
        Trace { inputs, slopes, output: x }
    }

    /// The loss `mean_i weight_i |output_i - target_i|^2 / 2`, of shape `[1]`, and its gradient with respect to the
    /// parameters: backpropagation written out, because the tape of an automatic one costs more than the arithmetic of
    /// a network this small. `target` is `[points, 2]`, `weight` is `[points, 1]`.
    #[must_use]
    pub fn gradient(&self, x: Tensor<2>, target: Tensor<2>, weight: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
        let count = (x.dims()[0] * OUTPUTS) as f32;
        let Trace { inputs, slopes, output } = self.trace(x);
        let error = output - target;
        let weighted = error.clone() * weight;
        let loss = (error * weighted.clone()).sum() / count;
        let mut delta = weighted * (2.0 / count);
        let mut parts = Vec::with_capacity(2 * self.layers.len());
        for (index, &layer) in self.layers.iter().enumerate().rev() {
            parts.push(delta.clone().sum_dim(0).reshape([layer.outputs]));
            let gradient = inputs[index].clone().transpose().matmul(delta.clone());
            parts.push(gradient.reshape([layer.inputs * layer.outputs]));
            if index > 0 {
                delta = delta.matmul(self.weight(layer).transpose()) * slopes[index - 1].clone();
            }
        }
        parts.reverse();
        (loss, Tensor::cat(parts, 0))
    }
}

fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::Silu => activation::silu(x),
        Activation::Gelu => activation::gelu(x),
        Activation::Relu => activation::relu(x),
        Activation::Tanh => activation::tanh(x),
    }
}

/// The activation and its derivative.
fn activate_with_slope(x: Tensor<2>, activation: Activation) -> (Tensor<2>, Tensor<2>) {
    match activation {
        Activation::Silu => {
            let gate = activation::sigmoid(x.clone());
            let value = x * gate.clone();
            let slope = gate.clone() + value.clone() * (1.0 - gate);
            (value, slope)
        }
        Activation::Gelu => {
            let below = (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5;
            let density = (x.clone().square() * -0.5).exp() * (1.0 / std::f64::consts::TAU.sqrt());
            (x.clone() * below.clone(), below + x * density)
        }
        Activation::Relu => {
            let slope = x.clone().greater_elem(0.0).float();
            (activation::relu(x), slope)
        }
        Activation::Tanh => {
            let value = activation::tanh(x);
            let slope = 1.0 - value.clone().square();
            (value, slope)
        }
    }
}
