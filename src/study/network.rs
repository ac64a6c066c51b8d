//! A network for the scores of all noise levels at once (equations 2-5 and 2-6), and Langevin dynamics with it.
//!
//! The network says `sigma * score`, which is of unit size at every level: the best linear guess for data of a known
//! size, plus what a perceptron adds to it: [`Preconditioning`].

use super::context::StudyContext;
use super::error::StudyError;
use super::settings::Lambda;
use crate::diffusion::langevin::unadjusted;
use crate::diffusion::{Schedule, Spacing};
use crate::nn::preconditioning::{Preconditioning, Scalings};
use crate::nn::score::{Form, Objective, ScoreNet};
use crate::rng::Rng;

/// Numbers at once: what lies between two turns stays short.
const AT_ONCE: usize = 4096;

/// What a network for all levels is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Numbers in a point.
    pub dimension: usize,
    /// Units of a hidden layer; there are two.
    pub width: usize,
    /// Root mean square of the data, number by number.
    pub data: f64,
}

/// A network for all levels.
pub struct LevelNet {
    net: ScoreNet,
    size: Size,
}

impl Size {
    fn scalings(self, sigma: f64) -> Scalings {
        Preconditioning { data: self.data }.at(sigma)
    }
}

impl LevelNet {
    /// The `index`-th network of the run.
    pub fn new(context: &StudyContext, size: Size, index: u32) -> Self {
        let Size { dimension, width, .. } = size;
        let form = Form { dimension, extra: Preconditioning::FEATURES, width, depth: 2, scale: 1.0, energy: false };
        Self { net: ScoreNet::new(form, &context.compute, context.seed(), index), size }
    }

    /// One step of denoising score matching: `noise` is what is added to each point of `data`, in units of its `sigma`.
    pub fn train(&mut self, data: &[f32], noise: &[f32], sigma: impl Fn(usize) -> f64, lambda: Lambda, rate: f64) {
        let d = self.size.dimension;
        let (mut inputs, mut target) = (Vec::with_capacity(data.len()), Vec::with_capacity(data.len()));
        let (mut extra, mut weight) = (Vec::new(), Vec::new());
        for (i, (x, z)) in data.chunks_exact(d).zip(noise.chunks_exact(d)).enumerate() {
            let sigma = sigma(i);
            let Scalings { input, skip, output, features } = self.size.scalings(sigma);
            extra.extend(features);
            for (x, z) in x.iter().zip(z) {
                let noisy = f64::from(*x) + sigma * f64::from(*z);
                inputs.push((input * noisy) as f32);
                target.push(((-f64::from(*z) - skip * noisy) / output) as f32);
            }
            // lambda l is lambda / sigma^2 times half the square distance of sigma * score to -z.
            let of_level = match lambda {
                Lambda::Squared => 1.0,
                Lambda::Linear => 1.0 / sigma,
                Lambda::One => 1.0 / (sigma * sigma),
            };
            weight.push((of_level * output * output) as f32);
        }
        let objective = Objective::Regression { target: &target, weight: &weight };
        self.net.train(&inputs, &extra, objective, rate);
    }

    /// Waits for the steps so far.
    pub async fn wait(&mut self) -> Result<(), StudyError> {
        self.net.take_losses().await?;
        Ok(())
    }

    /// `sigma * score` at points of one level, with the moving average of the weights or the last ones.
    pub async fn scaled(&self, x: &[f32], sigma: f64, averaged: bool) -> Result<Vec<f32>, StudyError> {
        let Scalings { input, skip, output, features } = self.size.scalings(sigma);
        let inputs: Vec<f32> = x.iter().map(|v| (input * f64::from(*v)) as f32).collect();
        let extra = features.repeat(x.len() / self.size.dimension);
        let raw = if averaged { self.net.scores(&inputs, &extra) } else { self.net.raw_scores(&inputs, &extra) };
        let added = raw.await?;
        Ok(x.iter().zip(added).map(|(x, v)| (skip * f64::from(*x) + output * f64::from(v)) as f32).collect())
    }

    /// A step of Langevin dynamics of every chain.
    pub async fn langevin(
        &self,
        context: &StudyContext,
        x: &mut [f32],
        sigma: f64,
        epsilon: f64,
        rng: &mut Rng,
        averaged: bool,
    ) -> Result<(), StudyError> {
        for chunk in x.chunks_mut(self.at_once()) {
            context.yield_now().await;
            let scaled = self.scaled(chunk, sigma, averaged).await?;
            for (x, scaled) in chunk.iter_mut().zip(scaled) {
                *x = unadjusted(f64::from(*x), f64::from(scaled) / sigma, epsilon, rng.normal()) as f32;
            }
        }
        Ok(())
    }

    /// Takes out the noise of a level (Tweedie's formula): `x + sigma^2 score`.
    pub async fn denoise(&self, x: &mut [f32], sigma: f64, averaged: bool) -> Result<(), StudyError> {
        for chunk in x.chunks_mut(self.at_once()) {
            let scaled = self.scaled(chunk, sigma, averaged).await?;
            for (x, scaled) in chunk.iter_mut().zip(scaled) {
                *x += sigma as f32 * scaled;
            }
        }
        Ok(())
    }

    fn at_once(&self) -> usize {
        (AT_ONCE / self.size.dimension).max(16) * self.size.dimension
    }
}

/// `count` levels from `first` to `last`, geometric.
pub fn geometric(first: f64, last: f64, count: usize) -> Vec<f64> {
    let schedule = Schedule::Exploding { sigma_min: last, sigma_max: first };
    schedule.levels_between(Spacing::Uniform, 1.0, 0.0, count).into_iter().map(|level| level.sigma).collect()
}
