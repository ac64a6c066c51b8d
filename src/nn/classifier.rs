//! Noise-conditional classifiers (Song et al. 2021, section 5; Dhariwal and Nichol 2021, section 4): `p(class | x, sigma)`
//! for data with added noise, and the gradient that guides a sampler towards a class.

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

/// The form of a classifier: a perceptron on a point and its noise level, with a logit for every class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassifierForm {
    /// Numbers in a point.
    pub dimension: usize,
    /// Number of classes.
    pub classes: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// What follows each hidden layer.
    pub activation: Activation,
    /// Input scaling by noise level.
    pub preconditioning: Preconditioning,
}

impl ClassifierForm {
    /// The shape of the perceptron.
    #[must_use]
    pub fn shape(self) -> Shape {
        let Self { dimension, classes, width, depth, activation, .. } = self;
        Shape { inputs: dimension + Preconditioning::FEATURES, width, depth, outputs: classes, activation }
    }
}

/// A classifier of points `x = data + sigma noise`, in training. Points are flat, `points * dimension` numbers; their
/// noise levels, standard deviations above 0, are one a point, and so are their classes, counted from 0.
pub struct Classifier {
    form: ClassifierForm,
    training: Training,
    device: Device,
}

impl Classifier {
    /// The `index`-th network of the run with this seed.
    #[must_use]
    pub fn new(form: ClassifierForm, compute: &ComputeDevice, seed: u32, index: u32) -> Self {
        Self::from_parameters(form, compute, &form.shape().initial(Initialisation::QUIET, seed, index))
    }

    /// The network with these parameters, in the order of [`Shape::layers`].
    ///
    /// # Panics
    /// When there are not as many of them as the form has.
    #[must_use]
    pub fn from_parameters(form: ClassifierForm, compute: &ComputeDevice, parameters: &[f32]) -> Self {
        let device = compute.device.clone();
        Self { form, training: Training::new(Mlp::new(form.shape(), parameters, &device)), device }
    }

    fn inputs(&self, x: &[f32], sigma: &[f64]) -> Array {
        let ClassifierForm { dimension, preconditioning, .. } = self.form;
        preconditioning.inputs(x, dimension, sigma, &self.device)
    }

    /// Rows of probabilities that are sure of these classes; nothing of one that there is not.
    fn certain(&self, class: &[usize]) -> Array {
        let classes = self.form.classes;
        let mut rows = vec![0.0; class.len() * classes];
        for (row, class) in rows.chunks_exact_mut(classes.max(1)).zip(class) {
            if let Some(probability) = row.get_mut(*class) {
                *probability = 1.0;
            }
        }
        Array::new(rows, classes, &self.device)
    }

    fn ones(&self, rows: usize) -> Array {
        Array::filled(1.0, rows, 1, &self.device)
    }

    /// The mean cross-entropy, in nats, a single number, and its gradient with respect to the parameters.
    #[must_use]
    pub fn gradient(&self, x: &[f32], sigma: &[f64], class: &[usize]) -> (Array, Gradient) {
        let points = class.len();
        let (logits, trace) = self.training.mlp().push(self.inputs(x, sigma), None, false);
        let scale = 1.0 / points.max(1) as f32;
        let (loss, slope) = logits.value.cross_entropy(&self.certain(class), &self.ones(points), scale);
        (loss, self.training.mlp().gradient(trace, Jet::value(slope)))
    }

    /// One step of Adam at this rate towards the classes of these points.
    pub fn train(&mut self, x: &[f32], sigma: &[f64], class: &[usize], rate: f64) {
        let (loss, gradient) = self.gradient(x, sigma, class);
        let update = Update::new(self.training.next_step(), rate, KEEP);
        self.training.step(loss, &gradient, update);
    }

    /// The mean cross-entropies since the last call, in nats, one a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn take_losses(&mut self) -> Answer<'_> {
        self.training.take_losses()
    }

    /// The probabilities `p(class | x, sigma)` with the moving average of the weights, `points * classes` numbers.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn probabilities<'a>(&'a self, x: &[f32], sigma: &[f64]) -> Answer<'a> {
        let logits = self.training.averaged().forward(self.inputs(x, sigma));
        Box::pin(logits.softmax().read())
    }

    /// The gradients `grad_x ln p(class | x, sigma)` with the moving average of the weights, `points * dimension`
    /// numbers: what [`crate::diffusion::Estimate::guided`] adds to a score.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn log_probability_gradients<'a>(&'a self, x: &[f32], sigma: &[f64], class: &[usize]) -> Answer<'a> {
        let ClassifierForm { dimension, preconditioning, .. } = self.form;
        let mlp = self.training.averaged();
        let (logits, trace) = mlp.push(self.inputs(x, sigma), None, false);
        // The log-probability is the negative of the cross-entropy with a certain class.
        let (_, slope) = logits.value.cross_entropy(&self.certain(class), &self.ones(class.len()), -1.0);
        let scales = sigma.iter().map(|sigma| preconditioning.at(*sigma).input as f32).collect();
        let slope = mlp.input_gradient(trace, Jet::value(slope)).first_columns(dimension);
        Box::pin((slope * &Array::new(scales, 1, &self.device)).read())
    }
}
