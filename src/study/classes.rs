//! Classifiers of digits at any noise: one that guides a sampler, and one that judges its samples.

use super::context::StudyContext;
use super::error::StudyError;
use super::learners::{CLASSES, Labelled};
use super::network::held_within;
use super::pictures::DATA;
use super::rows::{RowDenoiser, Rows};
use super::tools::{cosine, waits};
use crate::data::digits::PIXELS;
use crate::diffusion::{Denoiser, Estimate, Level, State as _};
use crate::nn::architecture::Activation;
use crate::nn::classifier::{Classifier, ClassifierForm};
use crate::nn::preconditioning::Preconditioning;
use crate::rng::Stream;

/// Digits at once: what lies between two turns stays short.
const AT_ONCE: usize = 100;

/// How a classifier is trained.
#[derive(Clone, Copy)]
pub struct ClassPlan {
    /// Its number among the networks of the run.
    pub index: u32,
    /// Steps.
    pub steps: usize,
    /// Digits of a step.
    pub batch: usize,
    /// Learning rate, from which half a cosine falls.
    pub rate: f64,
    /// Least and largest noise, even in its logarithm.
    pub sigmas: [f64; 2],
}

impl ClassPlan {
    /// Trains the classifier. `after` is called with the number of every step that is done.
    ///
    /// # Errors
    /// The device's.
    pub async fn train(
        self,
        context: &StudyContext,
        digits: &Labelled,
        mut after: impl FnMut(usize),
    ) -> Result<Classifier, StudyError> {
        let form = ClassifierForm {
            dimension: PIXELS,
            classes: CLASSES,
            width: 64,
            depth: 2,
            activation: Activation::Silu,
            preconditioning: Preconditioning { data: DATA },
        };
        let mut net = Classifier::new(form, &context.compute, context.seed(), self.index);
        let [least, most] = self.sigmas.map(f64::ln);
        for step in 0..self.steps {
            context.yield_now().await;
            let mut rng = context.rng(Stream::Noise, step as u32);
            let (mut x, classes) = digits.draw(&mut rng, self.batch);
            let sigmas: Vec<f64> = (0..self.batch).map(|_| (least + (most - least) * rng.uniform()).exp()).collect();
            for (digit, sigma) in x.chunks_exact_mut(PIXELS).zip(&sigmas) {
                digit.iter_mut().for_each(|v| *v += (sigma * rng.normal()) as f32);
            }
            net.train(&x, &sigmas, &classes, self.rate * cosine(step, self.steps));
            if waits(step) {
                net.take_losses().await?;
            }
            after(step + 1);
        }
        net.take_losses().await?;
        Ok(net)
    }
}

/// The classes that a classifier names digits with this little noise.
///
/// # Errors
/// The device's.
pub async fn named(
    context: &StudyContext,
    judge: &Classifier,
    digits: &[f32],
    sigma: f64,
) -> Result<Vec<usize>, StudyError> {
    let mut classes = Vec::with_capacity(digits.len() / PIXELS);
    for chunk in digits.chunks(AT_ONCE * PIXELS) {
        context.yield_now().await;
        let shares = judge.probabilities(chunk, &vec![sigma; chunk.len() / PIXELS]).await?;
        let likeliest = |shares: &[f32]| (0..CLASSES).max_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap_or(0);
        classes.extend(shares.chunks_exact(CLASSES).map(likeliest));
    }
    Ok(classes)
}

/// A denoiser that a classifier guides towards classes (Song et al. 2021, section 5): the gradient of the logarithm of
/// their probability, so many times, is added to the score.
pub struct Guided<'a> {
    /// Where others have their turn.
    pub context: &'a StudyContext,
    /// The denoiser.
    pub model: &'a mut dyn RowDenoiser,
    /// The classifier.
    pub guide: &'a Classifier,
    /// The class of every row.
    pub classes: &'a [usize],
    /// How many times.
    pub scale: f64,
    /// Data estimates are moved into the interval from minus to plus this.
    pub most: f64,
}

impl Denoiser<Rows> for Guided<'_> {
    type Error = StudyError;

    async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
        let estimate = self.model.believe(x, level).await?;
        if self.scale == 0.0 {
            return Ok(held_within(x, estimate, self.most, level));
        }
        // The classifier sees data with noise: x / alpha.
        let seen = x.clone().scale(1.0 / level.alpha).to_f32();
        let mut slope = Vec::with_capacity(seen.len());
        for (chunk, classes) in seen.chunks(AT_ONCE * PIXELS).zip(self.classes.chunks(AT_ONCE)) {
            self.context.yield_now().await;
            let sigmas = vec![level.ratio(); classes.len()];
            slope.extend(self.guide.log_probability_gradients(chunk, &sigmas, classes).await?);
        }
        let gradient = Rows::from_f32(x.dimension, &slope).scale(self.scale / level.alpha);
        Ok(held_within(x, estimate.guided(x, gradient, level), self.most, level))
    }
}
