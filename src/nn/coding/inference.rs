//! Inference in a predictive coding network, and the gradients that it leaves.

use super::form::OutputLoss;
use super::net::{CodingNet, scaled};
use crate::nn::array::Array;
use crate::nn::mlp::Gradient;
use crate::nn::training::Answer;

/// States, predictions and errors of rows in a network.
pub struct Inference<'n> {
    net: &'n CodingNet,
    /// Weights and biases, forwards and then backwards.
    views: Vec<[Array; 2]>,
    /// `x_0` to `x_L`.
    states: Vec<Array>,
    /// `f(x_0)` to `f(x_(L-1))`.
    active: Vec<Array>,
    /// `f'(x_1)` to `f'(x_(L-1))`.
    slopes: Vec<Array>,
    /// `e_1` to `e_L`.
    errors: Vec<Array>,
    /// `u_L`.
    output: Array,
    /// `d_0` to `d_(L-1)`, or none.
    mismatches: Vec<Array>,
    /// The lowest layer whose error may be other than 0: below it nothing can move yet.
    reached: usize,
}

impl<'n> Inference<'n> {
    /// The forward pass.
    pub(super) fn new(net: &'n CodingNet, x: Array, labels: Array) -> Self {
        let (views, last) = (net.views(), net.form.layers - 1);
        let [mut active, mut states] = [(); 2].map(|()| vec![x.clone()]);
        let (mut slopes, mut errors) = (Vec::new(), Vec::new());
        for l in 0..last {
            let state = net.predict(l, &views[l], &active[l], &states[l]);
            let (value, slope) = net.slope(&state);
            errors.push(state.clone() * 0.0);
            states.push(state);
            active.push(value);
            slopes.push(slope);
        }
        let output = net.predict(last, &views[last], &active[last], &states[last]);
        errors.push(net.output_error(&output, &labels));
        states.push(labels);
        let reached = if views.len() > net.form.layers { 1 } else { net.form.layers };
        let mut inference =
            Self { net, views, states, active, slopes, errors, output, mismatches: Vec::new(), reached };
        inference.predict_backwards();
        inference
    }

    /// The error of layer `l + 1`, or another of its shape, through the slope of its prediction to layer `l`.
    fn pull(&self, l: usize, error: &Array) -> Array {
        let [weight, _] = &self.views[l];
        let down = scaled(error.matmul_transposed(weight), self.net.form.scale(l)) * &self.slopes[l - 1];
        if self.net.form.skips(l) { down + error } else { down }
    }

    /// What layer `l`, above the image, shows to a backward prediction.
    fn shown(&self, l: usize) -> &Array {
        self.active.get(l).unwrap_or(&self.states[l])
    }

    /// Weights and biases of the backward prediction of layer `l`.
    fn backwards(&self, l: usize) -> &[Array; 2] {
        &self.views[2 * self.net.form.layers - 1 - l]
    }

    fn predict_backwards(&mut self) {
        if self.views.len() > self.net.form.layers {
            let mismatch = |l: usize| {
                let [weight, bias] = self.backwards(l);
                self.states[l].clone() - &(self.shown(l + 1).matmul(weight) + bias)
            };
            self.mismatches = (0..self.net.form.layers).map(mismatch).collect();
        }
    }

    /// The slope of the energy at `x_l`, summed over the rows.
    fn slope_at(&self, l: usize) -> Array {
        let slope = self.errors[l - 1].clone() - &self.pull(l, &self.errors[l]);
        let Some(here) = self.mismatches.get(l) else { return slope };
        let [weight, _] = self.backwards(l - 1);
        let down = self.mismatches[l - 1].matmul_transposed(weight) * &self.slopes[l - 1];
        slope + &((here.clone() - &down) * self.net.form.backward)
    }

    /// Predictions and errors from layer `low` on, after it and those above it have moved.
    fn predict_from(&mut self, low: usize) {
        let last = self.net.form.layers;
        for l in low..last {
            (self.active[l], self.slopes[l - 1]) = self.net.slope(&self.states[l]);
        }
        for l in low..=last {
            let prediction = self.prediction(l);
            if l < last {
                self.errors[l - 1] = self.states[l].clone() - &prediction;
            } else {
                self.errors[l - 1] = self.net.output_error(&prediction, &self.states[l]);
                self.output = prediction;
            }
        }
        self.predict_backwards();
    }

    fn prediction(&self, l: usize) -> Array {
        self.net.predict(l - 1, &self.views[l - 1], &self.active[l - 1], &self.states[l - 1])
    }

    /// A step of inference, `x_l <- x_l - rate dE/dx_l`, of all hidden layers at once.
    pub fn step(&mut self, rate: f64) {
        let last = self.net.form.layers;
        // Errors come down by a layer a step: below them the slopes are exactly 0.
        let low = self.reached.saturating_sub(1).max(1);
        let moved: Vec<Array> = (low..last).map(|l| self.states[l].clone() - &(self.slope_at(l) * rate)).collect();
        self.states.splice(low..last, moved);
        self.reached = low;
        self.predict_from(low);
    }

    /// A step with the errors as variables (Goemaere et al. 2025, arXiv 2505.20137): `x_l = u_l + e_l`,
    /// `e_l <- e_l - rate (e_l + dloss/dx_l)`, the slopes by reverse mode, without the backward predictions.
    pub fn step_errors(&mut self, rate: f64) {
        let last = self.net.form.layers;
        let mut down = self.errors[last - 1].clone();
        for l in (1..last).rev() {
            down = self.pull(l, &down);
            self.errors[l - 1] = self.errors[l - 1].clone() * (1.0 - rate) + &(down.clone() * rate);
        }
        for l in 1..last {
            self.states[l] = self.prediction(l) + &self.errors[l - 1];
            (self.active[l], self.slopes[l - 1]) = self.net.slope(&self.states[l]);
        }
        self.output = self.prediction(last);
        self.errors[last - 1] = self.net.output_error(&self.output, &self.states[last]);
        self.reached = 1;
        self.predict_backwards();
    }

    /// A sweep from the top with rate 1 and with predictions and slopes frozen at the forward pass: the errors, and so the
    /// gradient, are then those of backpropagation (Millidge et al. 2020, arXiv 2006.04182). For the forward pass.
    pub fn sweep_frozen(&mut self) {
        for l in (1..self.net.form.layers).rev() {
            let prediction = self.states[l].clone();
            let down = self.pull(l, &self.errors[l]);
            self.states[l] = prediction.clone() - &self.errors[l - 1] + &down;
            self.errors[l - 1] = self.states[l].clone() - &prediction;
        }
        self.reached = 1;
    }

    /// The gradient of Z-IL (Song et al. 2020): inference with rate 1, of which layer `L - t` learns after `t` steps, equal to
    /// that of backpropagation. For the forward pass of a network without backward predictions.
    #[must_use]
    pub fn zero_divergence(mut self) -> Gradient {
        let mut parts = Vec::new();
        for l in (0..self.net.form.layers).rev() {
            parts.push(self.of_layer(l, &self.errors[l]));
            if l > 0 {
                self.step(1.0);
            }
        }
        in_order(parts)
    }

    /// The gradient of the loss by backpropagation. For the forward pass of a network without backward predictions.
    #[must_use]
    pub fn backpropagation(&self) -> Gradient {
        let (mut parts, last) = (Vec::new(), self.net.form.layers - 1);
        let mut error = self.errors[last].clone();
        for l in (0..=last).rev() {
            parts.push(self.of_layer(l, &error));
            if l > 0 {
                error = self.pull(l, &error);
            }
        }
        in_order(parts)
    }

    /// The gradient of the energy with respect to the parameters as things are, mean over the rows: of a layer's weights
    /// `-s_l e_l f(x_(l-1))^T`, of what is beside them alone.
    #[must_use]
    pub fn gradient(&self) -> Gradient {
        let layers = self.net.form.layers;
        let mut parts: Vec<Array> = (0..layers).flat_map(|l| self.of_layer(l, &self.errors[l])).collect();
        let share = -self.net.form.backward / self.rows();
        for (l, mismatch) in self.mismatches.iter().enumerate().rev() {
            parts.extend([self.shown(l + 1).transposed_matmul(mismatch) * share, mismatch.column_sums() * share]);
        }
        Gradient::new(parts)
    }

    /// The gradient with respect to weights and biases from layer `l` to `l + 1`, whose error this is.
    fn of_layer(&self, l: usize, error: &Array) -> [Array; 2] {
        let share = -1.0 / self.rows();
        [self.active[l].transposed_matmul(error) * (share * self.net.form.scale(l)), error.column_sums() * share]
    }

    fn rows(&self) -> f64 {
        self.output.rows().max(1) as f64
    }

    /// The terms of the energy, summed over the rows, one a row: those of `e_1` to `e_(L-1)`, the loss, and with backward
    /// predictions those of `d_0` to `d_(L-1)`.
    #[must_use]
    pub fn energies(&self) -> Array {
        let half = |error: &Array, weight: f64| error.clone().square().sum() * (0.5 * weight);
        let last = self.net.form.layers - 1;
        let mut terms: Vec<Array> = self.errors.iter().map(|error| half(error, 1.0)).collect();
        if self.net.form.loss == OutputLoss::CrossEntropy {
            let ones = Array::filled(1.0, self.output.rows(), 1, &self.net.device);
            terms[last] = self.output.clone().cross_entropy(&self.states[last + 1], &ones, 1.0).0;
        }
        terms.extend(self.mismatches.iter().map(|d| half(d, self.net.form.backward)));
        let first = terms.remove(0);
        first.above(terms)
    }

    /// [`Self::energies`] of the same states in another network of this form.
    #[must_use]
    pub fn energies_with(&self, net: &CodingNet) -> Array {
        let mut other = Inference::new(net, self.states[0].clone(), self.states[net.form.layers].clone());
        other.states.clone_from(&self.states);
        other.predict_from(1);
        other.energies()
    }

    /// `x_0` to `x_L`.
    #[must_use]
    pub fn states(&self) -> &[Array] {
        &self.states
    }

    /// `e_1` to `e_L`.
    #[must_use]
    pub fn errors(&self) -> &[Array] {
        &self.errors
    }

    /// All numbers of the errors `e_1` to `e_L`, layer by layer, row by row. On a GPU this waits for them.
    ///
    /// # Errors
    /// [`crate::nn::device::DeviceError::Lost`] when the device no longer answers.
    #[must_use]
    pub fn error_values(&self) -> Answer<'static> {
        let mut errors = self.errors.iter().map(|error| error.clone().reshaped(1));
        let first = errors.next().unwrap_or_else(|| self.output.clone());
        Box::pin(first.above(errors.collect()).read())
    }
}

impl CodingNet {
    /// The rows `x` with their labels at the forward pass, where the hidden errors are 0.
    #[must_use]
    pub fn infer(&self, x: Array, labels: Array) -> Inference<'_> {
        Inference::new(self, x, labels)
    }

    /// A state as the next layer sees it, and its slope.
    fn slope(&self, state: &Array) -> (Array, Array) {
        let (value, mut slopes) = state.clone().activated(&self.zeros, self.form.activation, 1);
        (value, slopes.remove(0))
    }

    fn output_error(&self, output: &Array, labels: &Array) -> Array {
        match self.form.loss {
            OutputLoss::Square => labels.clone() - output,
            OutputLoss::CrossEntropy => labels.clone() - &output.clone().softmax(),
        }
    }
}

/// The gradient of all parameters in their order, from those of the layers from the last on.
fn in_order(layers: Vec<[Array; 2]>) -> Gradient {
    Gradient::new(layers.into_iter().rev().flatten().collect())
}
