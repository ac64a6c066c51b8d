//! Predictive coding networks (Rao and Ballard 1999; Whittington and Bogacz 2017): every layer predicts the activity of
//! the next, states move until the errors of the predictions are small, and weights learn from what is beside them.
//!
//! | symbol | meaning |
//! |---|---|
//! | `x_0`, `x_L` | image and label, clamped; `x_1` to `x_(L-1)` are the states |
//! | `u_l` | prediction of layer l, `s_l W_l f(x_(l-1)) + b_l`, with `x_(l-1)` added where there is a skip; `f` is the identity on the image |
//! | `e_l` | error `x_l - u_l`; of the output, with cross-entropy, `x_L - softmax(u_L)` |
//! | `E` | energy, `sum_(l<L) abs(e_l)^2 / 2 + loss(u_L, x_L)`, summed over the rows |
//! | `d_l` | error of the backward prediction, `x_l - (V_(l+1) f(x_(l+1)) + c)`; `f` is the identity on the label (Oliviers et al. 2025, arXiv 2505.23415) |
//!
//! With predictions backwards `E` gains `a_b sum_(l<L) abs(d_l)^2 / 2`.

mod inference;
mod training;

use burn::tensor::Device;

pub use inference::Inference;
pub use training::{CodingTraining, Optimiser};

use super::architecture::{Activation, Layer};
use super::array::Array;
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
    fn skips(self, l: usize) -> bool {
        self.skip != Skip::None && 0 < l && l + 1 < self.layers
    }

    /// The scale of the weights from layer `l` to layer `l + 1`.
    fn scale(self, l: usize) -> f64 {
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

/// A predictive coding network with its parameters, on a device. Its answer to an image is the forward pass.
#[derive(Clone, Debug)]
pub struct CodingNet {
    form: CodingForm,
    layers: Vec<Layer>,
    parameters: Array,
    /// A row of zeros: states have no bias of their own.
    zeros: Array,
    device: Device,
}

impl CodingNet {
    /// The network with these parameters, in the order of [`CodingForm::layers`].
    ///
    /// # Panics
    /// When there are not [`CodingForm::parameters`] of them.
    #[must_use]
    pub fn new(form: CodingForm, parameters: &[f32], device: &Device) -> Self {
        assert_eq!(parameters.len(), form.parameters());
        let zeros = Array::filled(0.0, 1, form.width, device);
        let parameters = Array::new(parameters.to_vec(), 1, device);
        Self { form, layers: form.layers(), parameters, zeros, device: device.clone() }
    }

    /// The form.
    #[must_use]
    pub fn form(&self) -> CodingForm {
        self.form
    }

    /// All parameters, one a row.
    #[must_use]
    pub fn parameters(&self) -> &Array {
        &self.parameters
    }

    /// The same network with other parameters, one a row.
    ///
    /// # Panics
    /// When there are not as many.
    #[must_use]
    pub fn with(&self, parameters: Array) -> Self {
        assert_eq!(parameters.rows(), self.parameters.rows());
        Self { parameters, ..self.clone() }
    }

    /// Weights and biases of a layer.
    fn view(&self, layer: Layer) -> [Array; 2] {
        let part = |start, rows| self.parameters.part(start, rows).reshaped(layer.outputs);
        [part(layer.start, layer.inputs * layer.outputs), part(layer.bias(), layer.outputs)]
    }

    fn views(&self) -> Vec<[Array; 2]> {
        self.layers.iter().map(|layer| self.view(*layer)).collect()
    }

    /// The prediction of layer `l + 1` from what layer `l` is and what of it is seen.
    fn predict(&self, l: usize, [weight, bias]: &[Array; 2], active: &Array, state: &Array) -> Array {
        let prediction = scaled(active.matmul(weight), self.form.scale(l)) + bias;
        if self.form.skips(l) { prediction + state } else { prediction }
    }

    /// A state as the next layer sees it.
    fn activate(&self, state: Array) -> Array {
        state.activated(&self.zeros, self.form.activation, 0).0
    }

    /// The outputs `u_L` of the forward pass, logits with cross-entropy.
    #[must_use]
    pub fn forward(&self, x: Array) -> Array {
        let mut state = x;
        for (l, view) in self.views().iter().take(self.form.layers).enumerate() {
            let active = if l == 0 { state.clone() } else { self.activate(state.clone()) };
            state = self.predict(l, view, &active, &state);
        }
        state
    }

    /// The images that the backward predictions give to labels, layer by layer from the top; the labels themselves where
    /// there are none.
    #[must_use]
    pub fn imagine(&self, labels: Array) -> Array {
        let mut state = labels;
        for (k, [weight, bias]) in self.views()[self.form.layers..].iter().enumerate() {
            let active = if k == 0 { state } else { self.activate(state) };
            state = active.matmul(weight) + bias;
        }
        state
    }

    /// The rows `x` with their labels at the forward pass, where the hidden errors are 0.
    #[must_use]
    pub fn infer(&self, x: Array, labels: Array) -> Inference<'_> {
        Inference::new(self, x, labels)
    }
}

/// The multiple, without work where it is the same.
fn scaled(array: Array, scale: f64) -> Array {
    if scale == 1.0 { array } else { array * scale }
}
