//! Shapes of multilayer perceptrons, the order of their parameters in one flat vector, and their initial values.

pub use kernels::Activation;

use super::features;
use crate::lab::{self, RunConfig};
use crate::rng::{Rng, Stream};

/// Coordinates of a point, and of the plane's network's output.
pub const OUTPUTS: usize = 2;

impl From<lab::Activation> for Activation {
    fn from(activation: lab::Activation) -> Self {
        match activation {
            lab::Activation::Silu => Self::Silu,
            lab::Activation::Gelu => Self::Gelu,
            lab::Activation::Relu => Self::Relu,
            lab::Activation::Tanh => Self::Tanh,
        }
    }
}

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

/// The distribution of a perceptron's initial parameters: normal numbers around 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Initialisation {
    /// Variance of a layer's weights times the number of its inputs: 2 after rectifiers (He et al. 2015), 1 before `tanh`
    /// (Glorot and Bengio 2010).
    pub gain: f64,
    /// Standard deviation of the last layer's weights in units of what `gain` gives.
    pub last: f64,
    /// Standard deviation of the first hidden layer's biases, so that its units bend in different places; those of the
    /// other layers are 0.
    pub bias: f64,
}

impl Initialisation {
    /// For scores: a quiet last layer, so that training starts near 0, and units that bend in different places.
    pub const QUIET: Self = Self { gain: 1.0, last: 0.1, bias: 1.0 };
    /// He et al. 2015 in all layers, for generators and critics: a generator with a quiet last layer starts as a point.
    pub const HE: Self = Self { gain: 2.0, last: 1.0, bias: 0.0 };
}

/// The shape of a perceptron: `depth` hidden layers of `width` units, each followed by the activation, and a linear
/// layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Numbers in a row of the input.
    pub inputs: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Numbers in a row of the output.
    pub outputs: usize,
    /// What follows each hidden layer.
    pub activation: Activation,
}

impl Shape {
    /// The layers, first to last.
    #[must_use]
    pub fn layers(self) -> Vec<Layer> {
        Layer::stack(self.inputs, self.width, self.depth, self.outputs)
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(self) -> usize {
        self.layers().last().map_or(0, |layer| layer.end())
    }

    /// Initial parameters of the `index`-th network of the run with this seed.
    #[must_use]
    pub fn initial(self, how: Initialisation, seed: u32, index: u32) -> Vec<f32> {
        self.drawn(how, seed, 1000 * (index + 1))
    }

    /// Initial parameters, each layer's from a stream of its own, the first one's of this index.
    fn drawn(self, how: Initialisation, seed: u32, stream: u32) -> Vec<f32> {
        let mut parameters = Vec::with_capacity(self.parameters());
        for (place, layer) in self.layers().into_iter().enumerate() {
            let mut rng = Rng::new(seed, Stream::Weights, stream + place as u32);
            let last = place == self.depth;
            let std = (how.gain / layer.inputs as f64).sqrt() * if last { how.last } else { 1.0 };
            parameters.extend((0..layer.inputs * layer.outputs).map(|_| (std * rng.normal()) as f32));
            if place == 0 && !last && how.bias > 0.0 {
                parameters.extend((0..layer.outputs).map(|_| (how.bias * rng.normal()) as f32));
            } else {
                parameters.resize(layer.end(), 0.0);
            }
        }
        parameters
    }
}

/// The architecture of the plane's network: `depth` hidden layers of `width` units on [`features::COUNT`] inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// What follows each hidden layer.
    pub activation: lab::Activation,
}

impl From<&RunConfig> for Architecture {
    fn from(config: &RunConfig) -> Self {
        Self { width: config.width as usize, depth: config.depth as usize, activation: config.activation }
    }
}

impl Architecture {
    /// The shape of the network.
    #[must_use]
    pub fn shape(self) -> Shape {
        let Self { width, depth, activation } = self;
        Shape { inputs: features::COUNT, width, depth, outputs: OUTPUTS, activation: activation.into() }
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(self) -> Vec<Layer> {
        self.shape().layers()
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(self) -> usize {
        self.shape().parameters()
    }

    /// The initial parameters of the run with this seed: weights normal with variance `gain / inputs`, `gain` 2 after
    /// rectifiers and 1 before `tanh` (He et al. 2015, Glorot and Bengio 2010), biases 0. The last layer starts at a
    /// tenth of that, so that training starts from a quiet network.
    #[must_use]
    pub fn initial(self, seed: u32) -> Vec<f32> {
        let gain = if self.activation == lab::Activation::Tanh { 1.0 } else { 2.0 };
        self.shape().drawn(Initialisation { gain, last: 0.1, bias: 0.0 }, seed, 0)
    }
}
