//! The learned variance of a chain: `L_hybrid` of Nichol and Dhariwal 2021 (arXiv 2102.09672).

use burn::tensor::{Tensor, TensorData};

use crate::diffusion::objective::hybrid;
use crate::diffusion::schedule::Betas;
use crate::nn::objective::TrainingLevel;

/// What the bound needs to know of every step.
#[derive(Clone, Debug)]
pub struct Chain {
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    /// `ln` of the variance of the true posterior; of the first step, which has none, that of the second.
    smallest: f64,
    /// `ln beta`
    largest: f64,
    /// Square of the mean's error for a unit square of the noise's.
    mean_error: f64,
    /// The mean is `x_share * x - noise_share * noise` of the image and noise at `alpha_bar = 1`.
    x_share: f64,
    noise_share: f64,
}

impl Chain {
    /// Of these betas.
    #[must_use]
    pub fn new(betas: &Betas) -> Self {
        let posterior = |i: usize| {
            let (before, after) = (if i == 0 { 1.0 } else { betas.signal_power(i - 1) }, betas.signal_power(i));
            betas.betas()[i] * (1.0 - before) / (1.0 - after)
        };
        let last = betas.len() - 1;
        let steps = (0..betas.len()).map(|i| {
            let beta = betas.betas()[i];
            let kept = betas.signal_power(i);
            let noise_share = beta / ((1.0 - kept) * (1.0 - beta)).sqrt();
            Step {
                smallest: posterior(i.max(1).min(last)).max(1e-20).ln(),
                largest: beta.ln(),
                mean_error: noise_share * noise_share,
                // x_t is the image plus sigma noise, times the root of alpha_bar.
                x_share: (kept / (1.0 - beta)).sqrt(),
                noise_share,
            }
        });
        Self { steps: steps.collect() }
    }

    /// The sum over all numbers of the squared error of the noise and 0.001 times the number of steps times the bound's
    /// term, in bits; the mean inside the term carries no gradient. `output` has the noise, then the variance between
    /// its bounds from -1 to 1.
    #[must_use]
    pub fn hybrid(
        &self,
        output: Tensor<4>,
        noise: Tensor<4>,
        images: &Tensor<4>,
        levels: &[TrainingLevel],
    ) -> Tensor<1> {
        let device = output.device();
        let count = levels.len();
        let [mean, raw]: [Tensor<4>; 2] = split(output);
        let simple = (mean.clone() - noise.clone()).square().sum();
        let at = |level: &TrainingLevel| self.steps[level.step.unwrap_or(0).min(self.steps.len() - 1)];
        let column = |of: &dyn Fn(&TrainingLevel) -> f64| {
            let values: Vec<f32> = levels.iter().map(|level| of(level) as f32).collect();
            Tensor::<4>::from_data(TensorData::new(values, [count, 1, 1, 1]), &device)
        };
        let smallest = column(&|level| at(level).smallest);
        let width = column(&|level| at(level).largest - at(level).smallest);
        let log_variance = smallest.clone() + (raw + 1.0) * 0.5 * width;
        let mean = mean.detach();
        let miss = (mean.clone() - noise.clone()).square() * column(&|level| at(level).mean_error);
        let share = smallest.clone() - log_variance.clone();
        let divergence = (share.clone().exp() - share - 1.0 + miss * (-log_variance.clone()).exp()) * 0.5;
        let first = |level: &TrainingLevel| level.step == Some(0);
        let term = if levels.iter().any(first) {
            let x = images.clone() + noise * column(&|level| level.sigma);
            let mean = x * column(&|level| at(level).x_share) - mean * column(&|level| at(level).noise_share);
            let chosen = column(&|level| f64::from(u8::from(first(level))));
            let decoded = surprise(images, mean, log_variance);
            divergence * (-chosen.clone() + 1.0) + decoded * chosen
        } else {
            divergence
        };
        // From nats to bits.
        hybrid(simple, term.sum() * std::f64::consts::LOG2_E, self.steps.len())
    }
}

/// The halves of the channels.
fn split(output: Tensor<4>) -> [Tensor<4>; 2] {
    let channels = output.dims()[1] / 2;
    [output.clone().narrow(1, 0, channels), output.narrow(1, channels, channels)]
}

/// Minus the log-probability, in nats, of grey values under a normal distribution cut into bins.
fn surprise(images: &Tensor<4>, mean: Tensor<4>, log_variance: Tensor<4>) -> Tensor<4> {
    let inverse = (log_variance * -0.5).exp();
    let centred = images.clone() - mean;
    let above = cdf((centred.clone() + 1.0 / 255.0) * inverse.clone());
    let below = cdf((centred - 1.0 / 255.0) * inverse);
    let (black, white) = (images.clone().lower_elem(-0.999), images.clone().greater_elem(0.999));
    let above = above.mask_fill(white, 1.0);
    let below = below.mask_fill(black, 0.0);
    -(above - below).clamp_min(1e-12).log()
}

/// The normal distribution function as DDPM's code approximates it, off by at most 2e-4.
fn cdf(x: Tensor<4>) -> Tensor<4> {
    let cube = x.clone() * x.clone() * x.clone();
    (((x + cube * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt()).tanh() + 1.0) * 0.5
}
