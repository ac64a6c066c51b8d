//! The learned variance of a chain's steps (Nichol and Dhariwal 2021, section 3.1) as a network of its own, beside one of
//! the mean that is held fixed: without a shared trunk and with the stopped gradient, `L_hybrid` is these two problems.

use burn::tensor::Device;

use super::adam::Update;
use super::architecture::{Activation, Initialisation, Shape};
use super::array::Array;
use super::device::ComputeDevice;
use super::mlp::{Gradient, Jet, Mlp};
use super::preconditioning::Preconditioning;
use super::training::{Answer, Training};

/// Share of the moving average of the parameters that a step keeps.
const KEEP: f64 = 0.99;

/// The form of a variance network: a perceptron on a point and its noise level, with an output for every number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VarianceForm {
    /// Numbers in a point.
    pub dimension: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Input scaling by noise level.
    pub preconditioning: Preconditioning,
}

impl VarianceForm {
    /// The shape of the perceptron.
    #[must_use]
    pub fn shape(self) -> Shape {
        let Self { dimension, width, depth, .. } = self;
        let inputs = dimension + Preconditioning::FEATURES;
        Shape { inputs, width, depth, outputs: dimension, activation: Activation::Silu }
    }
}

/// A network whose output `v` is the share of a step's log-variance between that of the true posterior, at -1, and that
/// of the chain, at 1: [`crate::diffusion::prediction::learned_log_variance`]. Points are flat, `points * dimension`
/// numbers; noise levels, standard deviations above 0, are one a point.
pub struct VarianceNet {
    form: VarianceForm,
    training: Training,
    device: Device,
}

/// What the bound's terms need of a batch besides the points.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// `1 + d^2 / smallest` for every number: `d` is the error of the mean, `smallest` the true posterior's variance.
    pub moments: &'a [f32],
    /// `ln (largest / smallest)` for every point: `largest` is the chain's variance, beta.
    pub widths: &'a [f32],
}

impl VarianceNet {
    /// The `index`-th network of the run with this seed.
    #[must_use]
    pub fn new(form: VarianceForm, compute: &ComputeDevice, seed: u32, index: u32) -> Self {
        Self::from_parameters(form, compute, &form.shape().initial(Initialisation::QUIET, seed, index))
    }

    /// The network with these parameters, in the order of [`Shape::layers`].
    ///
    /// # Panics
    /// When there are not as many of them as the form has.
    #[must_use]
    pub fn from_parameters(form: VarianceForm, compute: &ComputeDevice, parameters: &[f32]) -> Self {
        let device = compute.device.clone();
        Self { form, training: Training::new(Mlp::new(form.shape(), parameters, &device)), device }
    }

    fn inputs(&self, x: &[f32], sigma: &[f64]) -> Array {
        let VarianceForm { dimension, preconditioning, .. } = self.form;
        preconditioning.inputs(x, dimension, sigma, &self.device)
    }

    /// The mean over points of the bound's terms, in nats, a single number, and its gradient with respect to the
    /// parameters. A term is the divergence of the true posterior from the step,
    /// `sum (ln r - 1 + (1 + d^2 / smallest) / r) / 2` over the point's numbers, where `r` is the step's variance over
    /// `smallest`.
    #[must_use]
    pub fn gradient(&self, x: &[f32], sigma: &[f64], Terms { moments, widths }: Terms<'_>) -> (Array, Gradient) {
        let (dimension, points) = (self.form.dimension, widths.len());
        let half: Vec<f32> = widths.iter().map(|width| 0.5 * width).collect();
        let half = Array::new(half, 1, &self.device);
        let ones = Array::filled(1.0, points, dimension, &self.device);
        let each = 0.5 / points.max(1) as f64;
        let (jet, trace) = self.training.mlp().push(self.inputs(x, sigma), None, false);
        let log_ratio = jet.value * &half + &half;
        let quotient = (log_ratio.clone() * -1.0).exp() * &Array::new(moments.to_vec(), dimension, &self.device);
        let loss = (log_ratio - &ones + &quotient).sum() * each;
        let slope = (ones - &quotient) * &half * each;
        (loss, self.training.mlp().gradient(trace, Jet::value(slope)))
    }

    /// One step of Adam at this rate on the bound's terms at these points.
    pub fn train(&mut self, x: &[f32], sigma: &[f64], terms: Terms<'_>, rate: f64) {
        let (loss, gradient) = self.gradient(x, sigma, terms);
        let update = Update::new(self.training.next_step(), rate, KEEP);
        self.training.step(loss, &gradient, update);
    }

    /// The mean terms since the last call, in nats, one a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn take_losses(&mut self) -> Answer<'_> {
        self.training.take_losses()
    }

    /// The outputs `v` with the moving average of the weights, `points * dimension` numbers: the
    /// [`crate::diffusion::Estimate::variance`] of a denoiser.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn outputs<'a>(&'a self, x: &[f32], sigma: &[f64]) -> Answer<'a> {
        let outputs = self.training.averaged().forward(self.inputs(x, sigma));
        Box::pin(outputs.read())
    }
}
