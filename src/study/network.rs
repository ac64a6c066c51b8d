//! A network for the scores of all noise levels at once (equations 2-5 and 2-6), and Langevin dynamics with it.
//!
//! The network says `sigma * score`, which is of unit size at every level: the best linear guess for data of a known
//! size, plus what a perceptron adds to it: [`Preconditioning`].

use super::context::StudyContext;
use super::error::StudyError;
use super::rows::Rows;
use super::tools::cosine;
use crate::diffusion::langevin::unadjusted;
use crate::diffusion::objective::low_discrepancy_times;
use crate::diffusion::{Denoiser, Estimate, Level, Prediction, Schedule, Spacing, State as _};
use crate::nn::preconditioning::{Preconditioning, Scalings};
use crate::nn::score::{Form, Objective, ScoreNet};
use crate::rng::{Rng, Stream};

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
    /// Least and largest noise it was trained at, of data of scale 1.
    trained: [f64; 2],
}

impl Size {
    fn prediction(self) -> Prediction {
        Prediction::Karras { data_std: self.data }
    }

    fn scalings(self, sigma: f64) -> Scalings {
        Preconditioning { data: self.data }.at(sigma)
    }

    /// The weight of the squared error of the noise under which that of the perceptron itself counts alike at every
    /// level: EDM's.
    pub fn even_weight(self, sigma: f64) -> f64 {
        self.scalings(sigma).output.powi(-2)
    }
}

/// Data of scale 1 with this noise.
fn at(sigma: f64) -> Level {
    Level { t: 0.0, alpha: 1.0, sigma }
}

impl LevelNet {
    /// The `index`-th network of the run.
    pub fn new(context: &StudyContext, size: Size, index: u32) -> Self {
        let Size { dimension, width, .. } = size;
        let form = Form { dimension, extra: Preconditioning::FEATURES, width, depth: 2, scale: 1.0, energy: false };
        Self { net: ScoreNet::new(form, &context.compute, context.seed(), index), size, trained: [0.0, f64::INFINITY] }
    }

    /// One step of denoising score matching: `noise` is what is added to each point of `data`, in units of its `sigma`;
    /// `of_noise` is the weight of the squared error of the noise of each.
    pub fn train(
        &mut self,
        data: &[f32],
        noise: &[f32],
        sigma: impl Fn(usize) -> f64,
        of_noise: impl Fn(usize) -> f64,
        rate: f64,
    ) {
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
            weight.push((of_noise(i) * output * output) as f32);
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

    /// What the network believes about rows at a level of any schedule: it sees `x / alpha`, whose noise is
    /// `sigma / alpha`, and data and noise are the same in both views.
    pub async fn estimate(&self, x: &Rows, level: Level, averaged: bool) -> Result<Estimate<Rows>, StudyError> {
        let sigma = level.sigma / level.alpha;
        let seen = x.clone().scale(1.0 / level.alpha);
        let Scalings { input, .. } = self.size.scalings(sigma);
        // What it never saw it takes for the nearest that it did.
        let extra = self.size.scalings(sigma.clamp(self.trained[0], self.trained[1])).features;
        let inputs: Vec<f32> = seen.values.iter().map(|v| (input * v) as f32).collect();
        let extra = extra.repeat(x.count());
        let raw = if averaged { self.net.scores(&inputs, &extra) } else { self.net.raw_scores(&inputs, &extra) };
        let output = Rows::from_f32(x.dimension, &raw.await?);
        let Estimate { data, noise, .. } = self.size.prediction().estimate(seen, output, at(sigma));
        Ok(Estimate::new(data, noise))
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

/// Training of a network for all levels on levels whose noise is even in its logarithm.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// Steps.
    pub steps: usize,
    /// Points of a step.
    pub batch: usize,
    /// Learning rate, from which half a cosine falls.
    pub rate: f64,
    /// Least and largest noise, of data of scale 1.
    pub sigmas: [f64; 2],
}

impl Fit {
    /// Noise of the points of a step, one in each of as many equal parts of the logarithm.
    fn sigmas(self, rng: &mut Rng) -> Vec<f64> {
        let [least, most] = self.sigmas.map(f64::ln);
        low_discrepancy_times(self.batch, rng.uniform()).map(|u| (least + (most - least) * u).exp()).collect()
    }

    /// Trains a network on what `draw` draws, points of the network's dimension, with EDM's weighting. `after` is called
    /// with the number of every step that is done; there it may draw, and tell how far the work is.
    ///
    /// # Errors
    /// The device's.
    pub async fn train(
        self,
        context: &StudyContext,
        net: &mut LevelNet,
        mut draw: impl FnMut(&mut Rng, usize) -> Vec<f32>,
        mut after: impl FnMut(usize),
    ) -> Result<(), StudyError> {
        net.trained = self.sigmas;
        for step in 0..self.steps {
            context.yield_now().await;
            let mut rng = context.rng(Stream::Batch, step as u32);
            let data = draw(&mut rng, self.batch);
            let noise = rng.normals(data.len());
            let (sigmas, size) = (self.sigmas(&mut rng), net.size);
            let rate = self.rate * cosine(step, self.steps);
            net.train(&data, &noise, |i| sigmas[i], |i| size.even_weight(sigmas[i]), rate);
            if step % 16 == 15 {
                net.wait().await?;
            }
            after(step + 1);
        }
        net.wait().await
    }
}

/// A network for all levels as the core's denoiser, a few rows at a time, with others' turns in between.
pub struct Learned<'a> {
    context: &'a StudyContext,
    net: &'a LevelNet,
    clip: Option<f64>,
}

impl<'a> Learned<'a> {
    /// The network with the moving average of its weights.
    pub fn new(context: &'a StudyContext, net: &'a LevelNet) -> Self {
        Self { context, net, clip: None }
    }

    /// The same with its data estimates moved into the interval from minus to plus `most`, as those of grey values are.
    pub fn clipped(self, most: f64) -> Self {
        Self { clip: Some(most), ..self }
    }
}

impl Denoiser<Rows> for Learned<'_> {
    type Error = StudyError;

    async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
        let dimension = x.dimension;
        let [mut data, mut noise] = [(); 2].map(|()| Rows { dimension, values: Vec::with_capacity(x.values.len()) });
        for chunk in x.values.chunks(self.net.at_once()) {
            self.context.yield_now().await;
            let x = Rows { dimension, values: chunk.to_vec() };
            let mut of = self.net.estimate(&x, level, true).await?;
            if let Some(most) = self.clip {
                of.data.values.iter_mut().for_each(|v| *v = v.clamp(-most, most));
                of = Estimate::from_data(&x, of.data, level);
            }
            data.values.extend(of.data.values);
            noise.values.extend(of.noise.values);
        }
        Ok(Estimate::new(data, noise))
    }
}

/// `count` levels from `first` to `last`, geometric.
pub fn geometric(first: f64, last: f64, count: usize) -> Vec<f64> {
    let schedule = Schedule::Exploding { sigma_min: last, sigma_max: first };
    schedule.levels_between(Spacing::Uniform, 1.0, 0.0, count).into_iter().map(|level| level.sigma).collect()
}
