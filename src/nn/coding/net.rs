//! A predictive coding network, its forward pass and its pass backwards.

use burn::tensor::Device;

use super::form::CodingForm;
use crate::nn::architecture::Layer;
use crate::nn::array::Array;

/// A predictive coding network with its parameters, on a device. Its answer to an image is the forward pass.
#[derive(Clone, Debug)]
pub struct CodingNet {
    pub(super) form: CodingForm,
    pub(super) layers: Vec<Layer>,
    pub(super) parameters: Array,
    /// A row of zeros: states have no bias of their own.
    pub(super) zeros: Array,
    pub(super) device: Device,
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
    pub(super) fn view(&self, layer: Layer) -> [Array; 2] {
        let part = |start, rows| self.parameters.part(start, rows).reshaped(layer.outputs);
        [part(layer.start, layer.inputs * layer.outputs), part(layer.bias(), layer.outputs)]
    }

    pub(super) fn views(&self) -> Vec<[Array; 2]> {
        self.layers.iter().map(|layer| self.view(*layer)).collect()
    }

    /// The prediction of layer `l + 1` from what layer `l` is and what of it is seen.
    pub(super) fn predict(&self, l: usize, [weight, bias]: &[Array; 2], active: &Array, state: &Array) -> Array {
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
}

/// The multiple, without work where it is the same.
pub(super) fn scaled(array: Array, scale: f64) -> Array {
    if scale == 1.0 { array } else { array * scale }
}
