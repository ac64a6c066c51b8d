//! Training of predictive coding networks: Adam, momentum, and rates by layer.

use super::net::CodingNet;
use crate::nn::array::Array;
use crate::nn::device::DeviceError;
use crate::nn::mlp::Gradient;
use crate::nn::moments::AdamConfig;
use crate::nn::training::Answer;

/// What momentum keeps.
const KEPT: f64 = 0.9;

/// How weights follow their gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimiser {
    /// Adam with the usual constants (Kingma and Ba 2015).
    Adam,
    /// Momentum 0.9 with one rate for all layers.
    Momentum,
    /// Momentum 0.9 with a rate of every layer's own, its trust ratio `rate abs(W_l) / abs(dW_l)` (as You et al. 2017, arXiv
    /// 1708.03888); of biases at most 1. A reconstruction: Chen et al. 2025 do not give their rule in the abstract.
    LayerAdaptive,
}

/// A predictive coding network in training.
#[derive(Clone, Debug)]
pub struct CodingTraining {
    net: CodingNet,
    optimiser: Optimiser,
    mean: Array,
    square: Array,
    steps: u32,
}

impl CodingTraining {
    /// The training of a network that has had no step yet.
    #[must_use]
    pub fn new(net: CodingNet, optimiser: Optimiser) -> Self {
        let none = net.parameters.clone() * 0.0;
        Self { net, optimiser, mean: none.clone(), square: none, steps: 0 }
    }

    /// The network as it is now.
    #[must_use]
    pub fn net(&self) -> &CodingNet {
        &self.net
    }

    /// A step against a gradient of all parameters at this rate. Only rates by layer wait for the device.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn step(&mut self, gradient: Gradient, rate: f64) -> Result<(), DeviceError> {
        self.steps += 1;
        if self.optimiser == Optimiser::Adam {
            let update = AdamConfig { beta_2: 0.999, ..AdamConfig::default() }.update(self.steps, rate, 0.0);
            self.net.parameters.adam([&mut self.mean, &mut self.square], gradient.parts(), update);
            return Ok(());
        }
        let rates = match self.optimiser {
            Optimiser::LayerAdaptive => Some(self.rates(&gradient, rate).await?),
            _ => None,
        };
        self.mean = self.mean.clone() * KEPT + &gradient.flat();
        let step = match rates {
            Some(rates) => self.mean.clone() * &rates,
            None => self.mean.clone() * rate,
        };
        self.net.parameters = self.net.parameters.clone() - &step;
        Ok(())
    }

    /// Norms of weights, and of their gradient, layer by layer.
    fn norms(&self, gradient: &Gradient) -> Answer<'static> {
        let weights = self.net.layers.iter().map(|layer| self.net.view(*layer)[0].clone());
        let mut sums = weights.chain(gradient.parts().iter().step_by(2).cloned()).map(|part| part.square().sum());
        let first = sums.next().unwrap_or_else(|| self.mean.sum());
        Box::pin(first.above(sums.collect()).read())
    }

    /// Trust ratios `rate abs(W_l) / abs(dW_l)` of the layers under a gradient.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn trust_ratios(&self, gradient: &Gradient, rate: f64) -> Result<Vec<f64>, DeviceError> {
        let squares = self.norms(gradient).await?;
        let (weights, gradients) = squares.split_at(squares.len() / 2);
        let ratio = |(weights, gradient): (&f32, &f32)| {
            rate * f64::from(*weights).sqrt() / (f64::from(*gradient).sqrt() + 1e-8)
        };
        Ok(weights.iter().zip(gradients).map(ratio).collect())
    }

    /// The rate of every parameter, one a row.
    async fn rates(&self, gradient: &Gradient, rate: f64) -> Result<Array, DeviceError> {
        let mut column: Vec<f32> = Vec::with_capacity(self.net.parameters.rows());
        for (layer, ratio) in self.net.layers.iter().zip(self.trust_ratios(gradient, rate).await?) {
            column.resize(layer.bias(), ratio as f32);
            column.resize(layer.end(), ratio.min(1.0) as f32);
        }
        Ok(Array::new(column, 1, &self.net.device))
    }
}
