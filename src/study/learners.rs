//! Networks that learn to tell the digits apart, by backpropagation or by predictive coding.

use super::context::StudyContext;
use super::error::StudyError;
use super::pictures::Split;
use super::tools::{cosine, mean_error};
use crate::data::digits::{Digits, PIXELS};
use crate::nn::architecture::Activation;
use crate::nn::array::Array;
use crate::nn::coding::{CodingForm, CodingNet, CodingTraining, Inference, Optimiser, OutputLoss, Skip};
use crate::nn::mlp::Gradient;
use crate::rng::{Rng, Stream};

/// Classes of digits.
pub const CLASSES: usize = 10;
/// Digits that the networks do not see.
pub const HELD_OUT: usize = 400;
/// The learning rate of momentum over Adam's.
const MOMENTUM: f64 = 20.0;
/// Learning rate and inference rate of muPC, whose weights are of unit size, over those of other networks.
const MU_PC: [f64; 2] = [30.0, 3.0];
/// Layers that move between two turns of others.
const AT_ONCE: usize = 100;

/// A form on digits.
pub fn form(layers: usize, width: usize) -> CodingForm {
    let (activation, skip, loss) = (Activation::Tanh, Skip::None, OutputLoss::Square);
    CodingForm { inputs: PIXELS, width, layers, outputs: CLASSES, activation, skip, loss, backward: 0.0 }
}

/// The digits in an order of the run's own: those that networks learn from, and the last ones, which they do not see.
pub struct Labelled {
    digits: Digits,
    order: Vec<usize>,
}

/// Images and their labels, one of ten, on the device.
pub struct Rows {
    images: Array,
    labels: Array,
    classes: Vec<usize>,
}

impl Labelled {
    /// The digits of the file beside the page.
    ///
    /// # Errors
    /// When the file cannot be had, or is not one.
    pub async fn read(context: &StudyContext) -> Result<Self, StudyError> {
        let digits = Split::read(context).await?.digits;
        let mut order: Vec<usize> = (0..digits.count()).collect();
        let mut rng = context.rng(Stream::Data, 0);
        for i in (1..order.len()).rev() {
            order.swap(i, rng.below(i as u32 + 1) as usize);
        }
        Ok(Self { digits, order })
    }

    fn rows(&self, context: &StudyContext, places: impl Iterator<Item = usize>) -> Rows {
        let device = &context.compute.device;
        let (mut images, mut labels, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for place in places {
            let class = usize::from(self.digits.labels[self.order[place]]);
            images.extend_from_slice(self.digits.digit(self.order[place]));
            labels.extend((0..CLASSES).map(|label| f32::from(u8::from(label == class))));
            classes.push(class);
        }
        Rows { images: Array::new(images, PIXELS, device), labels: Array::new(labels, CLASSES, device), classes }
    }

    /// How many the networks learn from: the first in the order.
    pub fn known(&self) -> usize {
        self.order.len() - HELD_OUT
    }

    /// The pixels of the digit at a place in the order, and its class.
    pub fn digit(&self, place: usize) -> (&[f32], usize) {
        let digit = self.order[place];
        (self.digits.digit(digit), usize::from(self.digits.labels[digit]))
    }

    /// The pixels of some digits to learn from, drawn evenly, and their classes.
    pub fn draw(&self, rng: &mut Rng, count: usize) -> (Vec<f32>, Vec<usize>) {
        let (mut pixels, mut classes) = (Vec::with_capacity(count * PIXELS), Vec::with_capacity(count));
        for _ in 0..count {
            let (digit, class) = self.digit(rng.below(self.known() as u32) as usize);
            pixels.extend_from_slice(digit);
            classes.push(class);
        }
        (pixels, classes)
    }

    /// The digits of a training step.
    pub fn batch(&self, context: &StudyContext, step: usize, count: usize) -> Rows {
        let known = self.known() as u32;
        let mut rng: Rng = context.rng(Stream::Batch, step as u32);
        self.rows(context, (0..count).map(move |_| rng.below(known) as usize))
    }

    /// The digits that the networks do not see.
    pub fn held_out(&self, context: &StudyContext) -> Rows {
        self.rows(context, self.known()..self.order.len())
    }
}

impl Rows {
    /// These rows in a network, at the forward pass.
    pub fn at<'n>(&self, net: &'n CodingNet) -> Inference<'n> {
        net.infer(self.images.clone(), self.labels.clone())
    }
}

/// Whether a network names these digits rightly, 1 or 0 for each.
///
/// # Errors
/// The device's.
pub async fn hits(net: &CodingNet, rows: &Rows) -> Result<Vec<f64>, StudyError> {
    let outputs = net.forward(rows.images.clone()).read().await?;
    let hit = |(outputs, class): (&[f32], &usize)| {
        let most = (0..CLASSES).max_by(|a, b| outputs[*a].total_cmp(&outputs[*b]));
        f64::from(u8::from(most == Some(*class) && outputs[*class].is_finite()))
    };
    Ok(outputs.chunks_exact(CLASSES).zip(&rows.classes).map(hit).collect())
}

/// The share of the first that is right less that of the second, and its standard error over the digits.
pub fn gain(first: &[f64], second: &[f64]) -> (f64, f64) {
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    mean_error(&differences)
}

/// Where the gradient comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Backpropagation.
    Backpropagation,
    /// Predictive coding: so many steps of inference at this rate.
    States(usize, f64),
    /// The same with the errors as variables.
    Errors(usize, f64),
    /// Predictive coding with predictions frozen at the forward pass.
    Frozen,
    /// Z-IL.
    ZeroDivergence,
}

/// A network that learns by a rule.
pub struct Learner {
    training: CodingTraining,
    rule: Rule,
    rate: f64,
}

impl Learner {
    /// The `index`-th network of the run: networks of one index and form start alike. Rates are those of Adam and of networks
    /// without muPC; other optimisers and muPC take their multiple.
    pub fn new(
        context: &StudyContext,
        form: CodingForm,
        gain: f64,
        index: u32,
        rule: Rule,
        (optimiser, rate): (Optimiser, f64),
    ) -> Self {
        let [mut learning, mut inferring] = [1.0; 2];
        if form.skip == Skip::MuPc {
            [learning, inferring] = MU_PC;
        }
        if optimiser == Optimiser::Momentum {
            learning *= MOMENTUM;
        }
        let rule = match rule {
            Rule::States(steps, rate) => Rule::States(steps, inferring * rate),
            Rule::Errors(steps, rate) => Rule::Errors(steps, inferring * rate),
            other => other,
        };
        let net = CodingNet::new(form, &form.initial(gain, context.seed(), index), &context.compute.device);
        Self { training: CodingTraining::new(net, optimiser), rule, rate: learning * rate }
    }

    /// The network as it is now.
    pub fn net(&self) -> &CodingNet {
        self.training.net()
    }

    /// The rows after inference by the rule, if it is one that infers.
    ///
    /// # Errors
    /// The device's.
    pub async fn infer(&self, context: &StudyContext, rows: &Rows) -> Result<Inference<'_>, StudyError> {
        infer(context, self.net(), self.rule, rows).await
    }

    /// The rule, with the rate that this network takes.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The gradient by the rule, from what [`Self::infer`] gave.
    pub fn gradient(&self, inference: Inference<'_>) -> Gradient {
        gradient(self.rule, inference)
    }

    /// One training step of so many.
    ///
    /// # Errors
    /// The device's.
    pub async fn learn(
        &mut self,
        context: &StudyContext,
        rows: &Rows,
        step: usize,
        steps: usize,
    ) -> Result<(), StudyError> {
        let inference = infer(context, self.training.net(), self.rule, rows).await?;
        let gradient = gradient(self.rule, inference);
        self.follow(gradient, step, steps).await
    }

    /// The weights' part of a training step.
    ///
    /// # Errors
    /// The device's.
    pub async fn follow(&mut self, gradient: Gradient, step: usize, steps: usize) -> Result<(), StudyError> {
        self.training.step(gradient, self.rate * cosine(step, steps)).await?;
        if step % 8 == 7 {
            // So that a GPU is not asked for more than it does.
            self.net().parameters().part(0, 1).read().await?;
        }
        Ok(())
    }
}

fn gradient(rule: Rule, inference: Inference<'_>) -> Gradient {
    match rule {
        Rule::Backpropagation => inference.backpropagation(),
        Rule::ZeroDivergence => inference.zero_divergence(),
        _ => inference.gradient(),
    }
}

/// How large the errors of a layer are.
#[derive(Clone, Copy, Debug)]
pub struct ErrorSize {
    /// Root mean square.
    pub rms: f64,
    /// Largest magnitude.
    pub most: f64,
}

/// How large the errors are, layer by layer from the first.
///
/// # Errors
/// The device's.
pub async fn error_sizes(inference: &Inference<'_>, form: CodingForm) -> Result<Vec<ErrorSize>, StudyError> {
    let values = inference.error_values().await?;
    let hidden = form.layers - 1;
    let rows = values.len() / (hidden * form.width + form.outputs).max(1);
    let size = |part: &[f32]| ErrorSize {
        rms: (part.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / part.len().max(1) as f64).sqrt(),
        most: part.iter().fold(0.0, |most, v| f64::from(v.abs()).max(most)),
    };
    let (below, output) = values.split_at(hidden * form.width * rows);
    Ok(below.chunks_exact((form.width * rows).max(1)).chain([output]).map(size).collect())
}

async fn infer<'n>(
    context: &StudyContext,
    net: &'n CodingNet,
    rule: Rule,
    rows: &Rows,
) -> Result<Inference<'n>, StudyError> {
    let mut inference = rows.at(net);
    if rule == Rule::Frozen {
        inference.sweep_frozen();
    }
    if let Rule::States(steps, rate) | Rule::Errors(steps, rate) = rule {
        let every = (AT_ONCE / net.form().layers.max(1)).max(1);
        for step in 0..steps {
            if step % every == 0 {
                context.yield_now().await;
            }
            match rule {
                Rule::States(..) => inference.step(rate),
                _ => inference.step_errors(rate),
            }
        }
    }
    context.yield_now().await;
    Ok(inference)
}
