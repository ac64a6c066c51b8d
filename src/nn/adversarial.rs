//! Generative adversarial networks (Goodfellow et al. 2014, arXiv 1406.2661): a generator and a critic trained against each
//! other on the logistic loss, by Adam with a short memory (Radford et al. 2016, arXiv 1511.06434).
//!
//! The critic does not see the generator's output itself but an affine function of it, with other numbers beside it. So the
//! same two players are a plain game, one whose critic sees noisy points (Wang et al. 2023, arXiv 2206.02262), and one in
//! which a step of a chain is generated (Xiao et al. 2022, arXiv 2112.07804).

use burn::tensor::Device;

use super::adam::AdamConfig;
use super::architecture::{Activation, Initialisation, Shape};
use super::array::Array;
use super::device::{ComputeDevice, DeviceError};
use super::mlp::{Gradient, Jet, Mlp};
use super::training::{Answer, Training};

/// Share of the moving average of the players' parameters that a step keeps, if nobody says another.
const KEEP: f64 = 0.99;
const ADAM: AdamConfig = AdamConfig { beta_1: 0.5, beta_2: 0.999, epsilon: 1e-8 };
/// Slope of the players' rectifiers on the left.
const LEAK: f32 = 0.2;

/// The form of the two players.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdversarialForm {
    /// The generator; it puts out a point.
    pub generator: Shape,
    /// The critic, of a point and the numbers beside it; it puts out a logit.
    pub critic: Shape,
}

impl AdversarialForm {
    /// Players of the same width and depth: a generator of points of `dimension` numbers from rows of `inputs` numbers, and a
    /// critic that sees a point and `beside` numbers beside it.
    #[must_use]
    pub fn even(inputs: usize, dimension: usize, beside: usize, width: usize, depth: usize) -> Self {
        let activation = Activation::LeakyRelu(LEAK);
        let shape = |inputs, outputs| Shape { inputs, width, depth, outputs, activation };
        Self { generator: shape(inputs, dimension), critic: shape(dimension + beside, 1) }
    }

    /// Number of parameters of both players.
    #[must_use]
    pub fn parameters(self) -> usize {
        self.generator.parameters() + self.critic.parameters()
    }
}

/// What the critic sees of the generator's outputs, row by row.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What an output is multiplied with, one number a row.
    pub scale: &'a [f32],
    /// What is added then, and beside that what else the critic sees: rows as long as the critic's.
    pub added: &'a [f32],
}

/// The generator's aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// `-ln D(x)`, which has a slope where the critic is sure.
    NonSaturating,
    /// `ln (1 - D(x))`, the minimax game's own, which has none there.
    Saturating,
}

/// A generator and a critic in training.
pub struct Adversaries {
    form: AdversarialForm,
    generator: Training,
    critic: Training,
    /// Puts zeros beside a point.
    widening: Array,
    /// Logits of the critic's last step, data above samples.
    logits: Option<Array>,
    keep: f64,
    device: Device,
}

impl Adversaries {
    /// The `index`-th players of the run with this seed.
    #[must_use]
    pub fn new(form: AdversarialForm, compute: &ComputeDevice, seed: u32, index: u32) -> Self {
        let generator = form.generator.initial(Initialisation::HE, seed, 2 * index);
        let critic = form.critic.initial(Initialisation::HE, seed, 2 * index + 1);
        Self::from_parameters(form, compute, [&generator, &critic])
    }

    /// The players with these parameters of generator and critic, in the order of [`Shape::layers`].
    ///
    /// # Panics
    /// When there are not as many of them as the form has.
    #[must_use]
    pub fn from_parameters(form: AdversarialForm, compute: &ComputeDevice, parameters: [&[f32]; 2]) -> Self {
        let device = compute.device.clone();
        let training = |shape, parameters| Training::new(Mlp::new(shape, parameters, &device));
        let (rows, columns) = (form.generator.outputs, form.critic.inputs);
        let mut widening = vec![0.0; rows * columns];
        (0..rows).for_each(|i| widening[i * columns + i] = 1.0);
        let widening = Array::new(widening, columns, &device);
        let (generator, critic) = (training(form.generator, parameters[0]), training(form.critic, parameters[1]));
        Self { form, generator, critic, widening, logits: None, keep: KEEP, device }
    }

    /// The players with a moving average of which every step keeps this share.
    #[must_use]
    pub fn with_average(mut self, keep: f64) -> Self {
        self.keep = keep;
        self
    }

    fn array(&self, rows: &[f32], columns: usize) -> Array {
        Array::new(rows.to_vec(), columns, &self.device)
    }

    /// The generator's outputs as the critic sees them.
    fn seen(&self, output: Array, scale: &Array, view: View<'_>) -> Array {
        (output * scale).matmul(&self.widening) + &self.array(view.added, self.form.critic.inputs)
    }

    /// The logistic loss of logits, `scale` times the sum of `ln (1 + e^-D)` for the first `data` rows and of
    /// `ln (1 + e^D)` for the others, a single number, and its gradient with respect to them: the cross-entropy of the two
    /// logits `D, 0`.
    fn logistic(&self, logits: &Array, data: usize, scale: f64) -> (Array, Array) {
        let rows = logits.rows();
        let both = logits.matmul(&self.array(&[1.0, 0.0], 2));
        let targets: Vec<f32> = (0..rows).flat_map(|row| if row < data { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        let ones = Array::filled(1.0, rows, 1, &self.device);
        let (loss, slope) = both.cross_entropy(&self.array(&targets, 2), &ones, scale as f32);
        (loss, slope.first_columns(1))
    }

    /// The critic's loss, `E ln (1 + e^-D(data)) + E ln (1 + e^D(sample))`, a single number, its gradient with respect to the
    /// critic's parameters, and the logits, data above samples. `real` are rows of what the critic sees of data, as many as
    /// the generator's rows of inputs.
    #[must_use]
    pub fn critic_gradient(&self, real: &[f32], inputs: &[f32], view: View<'_>) -> (Array, Gradient, Array) {
        let scale = self.array(view.scale, 1);
        let output = self.generator.mlp().forward(self.array(inputs, self.form.generator.inputs));
        let (fake, real) = (self.seen(output, &scale, view), self.array(real, self.form.critic.inputs));
        let count = real.rows();
        let (jet, trace) = self.critic.mlp().push(real.above(vec![fake]), None, false);
        let (loss, slope) = self.logistic(&jet.value, count, 1.0 / count.max(1) as f64);
        (loss, self.critic.mlp().gradient(trace, Jet::value(slope)), jet.value)
    }

    /// The generator's loss, a single number, and its gradient with respect to the generator's parameters, through the critic.
    #[must_use]
    pub fn generator_gradient(&self, inputs: &[f32], view: View<'_>, aim: Aim) -> (Array, Gradient) {
        let scale = self.array(view.scale, 1);
        let (output, generator_trace) =
            self.generator.mlp().push(self.array(inputs, self.form.generator.inputs), None, false);
        let (jet, trace) = self.critic.mlp().push(self.seen(output.value, &scale, view), None, false);
        let (rows, each) = (jet.value.rows(), 1.0 / jet.value.rows().max(1) as f64);
        let (loss, slope) = match aim {
            Aim::NonSaturating => self.logistic(&jet.value, rows, each),
            Aim::Saturating => self.logistic(&jet.value, 0, -each),
        };
        let of_seen = self.critic.mlp().input_gradient(trace, Jet::value(slope));
        let of_output = of_seen.first_columns(self.form.generator.outputs) * &scale;
        (loss, self.generator.mlp().gradient(generator_trace, Jet::value(of_output)))
    }

    /// One step of Adam at this rate for the critic.
    pub fn train_critic(&mut self, real: &[f32], inputs: &[f32], view: View<'_>, rate: f64) {
        let (loss, gradient, logits) = self.critic_gradient(real, inputs, view);
        let update = ADAM.update(self.critic.next_step(), rate, self.keep);
        self.critic.step(loss, &gradient, update);
        self.logits = Some(logits);
    }

    /// One step of Adam at this rate for the generator.
    pub fn train_generator(&mut self, inputs: &[f32], view: View<'_>, aim: Aim, rate: f64) {
        let (loss, gradient) = self.generator_gradient(inputs, view, aim);
        let update = ADAM.update(self.generator.next_step(), rate, self.keep);
        self.generator.step(loss, &gradient, update);
    }

    /// The critic's and the generator's losses since the last call, one of each a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn take_losses(&mut self) -> Result<[Vec<f32>; 2], DeviceError> {
        Ok([self.critic.take_losses().await?, self.generator.take_losses().await?])
    }

    /// The logits of the critic's last step, of data and then of samples; none before the first.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn last_logits(&self) -> Answer<'_> {
        let logits = self.logits.clone();
        Box::pin(async {
            match logits {
                Some(logits) => logits.read().await,
                None => Ok(Vec::new()),
            }
        })
    }

    /// The critic's logits, with its last weights, of rows of what it sees.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn logits<'a>(&'a self, seen: &[f32]) -> Answer<'a> {
        Box::pin(self.critic.mlp().forward(self.array(seen, self.form.critic.inputs)).read())
    }

    /// The moving average of the generator's parameters, in the order of [`Shape::layers`].
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn averaged_generator(&self) -> Answer<'_> {
        Box::pin(self.generator.averaged().parameters().clone().read())
    }

    /// The generator's outputs, with the moving average of its weights, for rows of inputs.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn outputs<'a>(&'a self, inputs: &[f32]) -> Answer<'a> {
        Box::pin(self.generator.averaged().forward(self.array(inputs, self.form.generator.inputs)).read())
    }
}
