//! The training step of a perceptron, whatever its loss.

use std::future::Future;
use std::pin::Pin;

use super::adam::{Adam, Update};
use super::array::Array;
use super::device::DeviceError;
use super::mlp::{Gradient, Mlp};

/// Numbers to wait for. One type for all of them: every place that waits for a type of its own would have its code anew.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<f32>, DeviceError>> + 'a>>;

/// A perceptron in training: its parameters, Adam's moments with the moving average, and losses that nobody has read yet.
#[derive(Clone, Debug)]
pub struct Training {
    mlp: Mlp,
    adam: Adam,
    steps: u32,
    losses: Vec<Array>,
}

impl Training {
    /// The training of a network that has had no step yet.
    #[must_use]
    pub fn new(mlp: Mlp) -> Self {
        let adam = Adam::new(mlp.parameters());
        Self::of(mlp, adam)
    }

    /// The training of a network that goes on from these moments. Steps are counted from here.
    #[must_use]
    pub fn of(mlp: Mlp, adam: Adam) -> Self {
        Self { mlp, adam, steps: 0, losses: Vec::new() }
    }

    /// The network with its last parameters.
    #[must_use]
    pub fn mlp(&self) -> &Mlp {
        &self.mlp
    }

    /// The network with the moving average of its parameters.
    #[must_use]
    pub fn averaged(&self) -> Mlp {
        Mlp::of(self.mlp.shape(), self.adam.average().clone())
    }

    /// Adam's moments, and the moving average.
    #[must_use]
    pub fn adam(&self) -> &Adam {
        &self.adam
    }

    /// The number of the next step, from 1: [`super::adam::AdamConfig::update`] asks for it.
    #[must_use]
    pub fn next_step(&self) -> u32 {
        self.steps + 1
    }

    /// A training step: Adam's update with the gradient of a loss, and the loss, a single number, put
    /// aside for [`Self::take_losses`].
    pub fn step(&mut self, loss: Array, gradient: &Gradient, update: Update) {
        self.adam.update(self.mlp.parameters_mut(), gradient, update);
        self.losses.push(loss);
        self.steps += 1;
    }

    /// The losses since the last call, one a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn take_losses(&mut self) -> Answer<'_> {
        Box::pin(async {
            let mut losses = std::mem::take(&mut self.losses).into_iter();
            match losses.next() {
                Some(first) => first.above(losses.collect()).read().await,
                None => Ok(Vec::new()),
            }
        })
    }
}
