//! The weights of a multilayer perceptron as one flat vector on a device, so that an optimiser is a dozen operations on
//! all of them and not a dozen on each.

use burn::tensor::{Device, Tensor, TensorData};

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

/// Layers and their parameters.
#[derive(Clone, Debug)]
pub struct Flat {
    layers: Vec<Layer>,
    parameters: Tensor<1>,
}

impl Flat {
    /// These layers with these parameters.
    ///
    /// # Panics
    /// When there are not as many of them as the layers have.
    #[must_use]
    pub fn new(layers: Vec<Layer>, parameters: &[f32], device: &Device) -> Self {
        assert_eq!(parameters.len(), layers.last().map_or(0, |layer| layer.end()));
        let data = TensorData::new(parameters.to_vec(), [parameters.len()]);
        Self::from_tensor(layers, Tensor::from_data(data, device))
    }

    /// The same with parameters that are on the device already.
    #[must_use]
    pub fn from_tensor(layers: Vec<Layer>, parameters: Tensor<1>) -> Self {
        Self { layers, parameters }
    }

    /// The layers, first to last.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// All parameters.
    #[must_use]
    pub fn parameters(&self) -> &Tensor<1> {
        &self.parameters
    }

    /// The weights of a layer, `[inputs, outputs]`.
    #[must_use]
    pub fn weight(&self, layer: Layer) -> Tensor<2> {
        let count = layer.inputs * layer.outputs;
        self.parameters.clone().narrow(0, layer.start, count).reshape([layer.inputs, layer.outputs])
    }

    /// The biases of a layer, `[1, outputs]`.
    #[must_use]
    pub fn bias(&self, layer: Layer) -> Tensor<2> {
        self.parameters.clone().narrow(0, layer.bias(), layer.outputs).reshape([1, layer.outputs])
    }
}
