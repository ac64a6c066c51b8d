//! Adam (Kingma and Ba 2015) with a moving average of the parameters, over arrays on any device.

use super::array::Array;
use super::mlp::Gradient;
pub use super::moments::{AdamConfig, Update};

/// What Adam keeps of parameters: means of their gradients and of the squares of these, and the parameters' moving
/// average.
#[derive(Clone, Debug)]
pub struct Adam {
    mean: Array,
    square: Array,
    average: Array,
}

impl Adam {
    /// Of parameters that have had no update yet.
    #[must_use]
    pub fn new(parameters: &Array) -> Self {
        let none = parameters.clone() * 0.0;
        Self { mean: none.clone(), square: none, average: parameters.clone() }
    }

    /// Of an earlier run: means of the gradients and of their squares, and the moving average, each of the parameters'
    /// shape.
    #[must_use]
    pub fn of([mean, square]: [Array; 2], average: Array) -> Self {
        Self { mean, square, average }
    }

    /// The parameters' moving average.
    #[must_use]
    pub fn average(&self) -> &Array {
        &self.average
    }

    /// Means of the gradients and of their squares.
    #[must_use]
    pub fn moments(&self) -> [&Array; 2] {
        [&self.mean, &self.square]
    }

    /// Updates the parameters with their gradient, and then their moving average.
    pub fn update(&mut self, parameters: &mut Array, gradient: &Gradient, update: Update) {
        parameters.adam([&mut self.mean, &mut self.square], gradient.parts(), update);
        self.average.blend(parameters, update.keep);
    }
}
