//! Forms of predictive coding networks.

use crate::nn::architecture::{Activation, Layer};
use crate::rng::{Rng, Stream};

/// Residual connections of the hidden layers, and the scales of their branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// No connections.
    None,
    /// Identities beside branches of scale 1.
    Plain,
    /// Identities beside branches of scale `1 / sqrt(L)`.
    Scaled,
    /// Identities, weights of unit variance, and the scales of Innocenti et al. 2025 (arXiv 2505.13124): `1 / sqrt(D)`,
    /// `1 / sqrt(N L)`, `1 / N` for D inputs, N units and L layers.
    MuPc,
}

/// Loss of the output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputLoss {
    /// Half the squared error.
    Square,
    /// Cross-entropy of the softmax, in nats.
    CrossEntropy,
}

/// The form of a predictive coding network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodingForm {
    /// Numbers of an image.
    pub inputs: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Layers of weights, L.
    pub layers: usize,
    /// Numbers of a label.
    pub outputs: usize,
    /// What is applied to a state before the next layer sees it.
    pub activation: Activation,
    /// Connections past a layer.
    pub skip: Skip,
    /// Loss of the output.
    pub loss: OutputLoss,
    /// Weight `a_b` of the backward predictions in the energy; without any there are no parameters for them.
    pub backward: f64,
}

impl CodingForm {
    /// All layers in the order of the parameters: those forwards from the image, then, where there are any, those backwards
    /// from the label.
    #[must_use]
    pub fn layers(self) -> Vec<Layer> {
        let hidden = self.layers.saturating_sub(1);
        let mut layers = Layer::stack(self.inputs, self.width, hidden, self.outputs);
        if self.backward > 0.0 {
            let end = layers.last().map_or(0, |layer| layer.end());
            let back = Layer::stack(self.outputs, self.width, hidden, self.inputs);
            layers.extend(back.into_iter().map(|layer| Layer { start: layer.start + end, ..layer }));
        }
        layers
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(self) -> usize {
        self.layers().last().map_or(0, |layer| layer.end())
    }

    /// Whether the prediction of layer `l + 1` has that of layer `l` added.
    pub(super) fn skips(self, l: usize) -> bool {
        self.skip != Skip::None && 0 < l && l + 1 < self.layers
    }

    /// The scale of the weights from layer `l` to layer `l + 1`.
    pub(super) fn scale(self, l: usize) -> f64 {
        let (width, layers) = (self.width as f64, self.layers as f64);
        match self.skip {
            Skip::MuPc if l == 0 => 1.0 / (self.inputs as f64).sqrt(),
            Skip::MuPc if l + 1 == self.layers => 1.0 / width,
            Skip::MuPc => 1.0 / (width * layers).sqrt(),
            Skip::Scaled if self.skips(l) => 1.0 / layers.sqrt(),
            _ => 1.0,
        }
    }

    /// Initial parameters of the `index`-th network of the run with this seed: weights normal with variance `g / inputs`,
    /// `g` 2 after rectifiers and 1 else (of unit variance for [`Skip::MuPc`]), times `gain` after the first layer;
    /// biases 0.
    #[must_use]
    pub fn initial(self, gain: f64, seed: u32, index: u32) -> Vec<f32> {
        let rectifier = matches!(self.activation, Activation::Relu | Activation::LeakyRelu(_));
        let mut parameters = Vec::with_capacity(self.parameters());
        for (place, layer) in self.layers().into_iter().enumerate() {
            let mut rng = Rng::new(seed, Stream::Weights, 1000 * (index + 1) + place as u32);
            let forwards = place < self.layers;
            let gain = if forwards && place > 0 { gain } else { 1.0 };
            let variance = match self.skip {
                Skip::MuPc if forwards => 1.0,
                _ if forwards && place > 0 && rectifier => 2.0 / layer.inputs as f64,
                _ => 1.0 / layer.inputs as f64,
            };
            let std = gain * variance.sqrt();
            parameters.extend((0..layer.inputs * layer.outputs).map(|_| (std * rng.normal()) as f32));
            parameters.resize(layer.end(), 0.0);
        }
        parameters
    }
}
