//! Autoencoders and adversarial networks of a study, trained a step at a time, and how their samples are judged.

use super::context::StudyContext;
use super::error::StudyError;
use super::settings::PlaneModes;
use super::tools::{cosine, dataset, points};
use crate::data::metrics::{bootstrap, modes};
use crate::data::{DatasetId, Mixture};
use crate::diffusion::schedule::Betas;
use crate::nn::adversarial::{AdversarialForm, Adversaries, Aim, View};
use crate::nn::autoencoder::{Autoencoder, AutoencoderForm};
use crate::rng::{Rng, Stream};

/// Draws points to learn from, flat.
pub type Draw<'a> = &'a dyn Fn(&mut Rng, usize) -> Vec<f32>;
/// Steps between two waits for the device.
const EVERY: usize = 16;
/// Rows of a network at once: what lies between two turns stays short.
const AT_ONCE: usize = 1000;
/// Rounds of a bootstrap.
const ROUNDS: u32 = 30;

impl PlaneModes {
    /// The distribution, of mean zero and of unit variance per axis.
    pub fn mixture(self) -> Mixture {
        let id = match self {
            Self::Eight => DatasetId::EightGaussians,
            Self::Grid => DatasetId::Grid,
        };
        dataset(id).standard
    }
}

/// The mass that must move between modes, and its standard error by the bootstrap.
pub fn total_variation(samples: &[[f64; 2]], mixture: &Mixture, seed: u32) -> (f64, f64) {
    let variation = |samples: &[[f64; 2]]| modes(samples, mixture).total_variation(mixture);
    (variation(samples), bootstrap(samples, ROUNDS, seed, variation))
}

/// How an autoencoder is trained.
#[derive(Clone, Copy)]
pub struct AutoencoderPlan {
    /// The two networks.
    pub form: AutoencoderForm,
    /// Steps.
    pub steps: usize,
    /// Points of a step.
    pub batch: usize,
    /// Learning rate, from which half a cosine falls.
    pub rate: f64,
    /// How often the divergence counts.
    pub divergence_weight: f64,
    /// Whether the decoder's noise is learned.
    pub noise_learned: bool,
}

/// An autoencoder with its plan.
pub struct AutoencoderFit {
    plan: AutoencoderPlan,
    /// The networks.
    pub net: Autoencoder,
    /// Mean reconstruction terms and divergences of every so many steps: step, and the two.
    pub losses: Vec<[f64; 3]>,
}

impl AutoencoderFit {
    /// The `index`-th autoencoder of the run.
    pub fn new(context: &StudyContext, plan: AutoencoderPlan, index: u32) -> Self {
        let net = Autoencoder::new(plan.form, &context.compute, context.seed(), index);
        Self { plan, net, losses: Vec::new() }
    }

    /// One step, in a turn of its own.
    pub async fn step(&mut self, context: &StudyContext, step: usize, draw: Draw<'_>) -> Result<(), StudyError> {
        context.yield_now().await;
        let AutoencoderPlan { form, steps, batch, rate, divergence_weight, noise_learned } = self.plan;
        let x = draw(&mut context.rng(Stream::Batch, step as u32), batch);
        let noise = context.rng(Stream::Noise, step as u32).normals(batch * form.latent);
        self.net.train(&x, &noise, divergence_weight, noise_learned, rate * cosine(step, steps));
        if step % EVERY == EVERY - 1 || step + 1 == steps {
            let [reconstruction, divergence] = self
                .net
                .take_losses()
                .await?
                .map(|losses| losses.iter().copied().map(f64::from).sum::<f64>() / losses.len().max(1) as f64);
            self.losses.push([step as f64, reconstruction, divergence]);
        }
        Ok(())
    }

    /// Samples of the prior, decoded: means of the points, flat, and unit noise for them.
    pub async fn decoded(&self, context: &StudyContext, count: usize) -> Result<[Vec<f32>; 2], StudyError> {
        let AutoencoderForm { dimension, latent, .. } = self.plan.form;
        let latents = context.rng(Stream::Prior, 0).normals(count * latent);
        let mut means = Vec::with_capacity(count * dimension);
        for chunk in latents.chunks(AT_ONCE * latent) {
            context.yield_now().await;
            means.extend(self.net.decode(chunk).await?);
        }
        let noise = context.rng(Stream::Solver, 0).normals(means.len());
        Ok([means, noise])
    }

    /// Samples: points in the plane, with the decoder's noise.
    pub async fn samples(&self, context: &StudyContext, count: usize) -> Result<Vec<[f64; 2]>, StudyError> {
        let [mut samples, noise] = self.decoded(context, count).await?;
        let std = self.net.noise().await? as f32;
        samples.iter_mut().zip(noise).for_each(|(mean, z)| *mean += std * z);
        Ok(points(&samples))
    }

    /// The two terms of the negative bound of every point, in nats.
    pub async fn terms(&self, context: &StudyContext, x: &[f32]) -> Result<Vec<[f64; 2]>, StudyError> {
        let AutoencoderForm { dimension, latent, .. } = self.plan.form;
        let mut rng = context.rng(Stream::Directions, 0);
        let mut terms = Vec::new();
        for chunk in x.chunks(AT_ONCE * dimension) {
            context.yield_now().await;
            terms.extend(self.net.terms(chunk, &rng.normals(chunk.len() / dimension * latent)).await?);
        }
        Ok(terms)
    }
}

/// Noise at the critic's input (Wang et al. 2023, arXiv 2206.02262): points on their way along a chain, which grows when the
/// critic is too sure of the data.
#[derive(Clone, Copy)]
pub struct CriticNoise {
    /// Standard deviation of the noise where no data are left.
    pub std: f64,
    /// The longest chain.
    pub longest: usize,
    /// Mean sign of the critic's logits of data above which the chain grows.
    pub target: f64,
}

impl CriticNoise {
    /// The shortest chain.
    const SHORTEST: usize = 5;
    /// What is added to the length's share of its range, or taken from it, at a time, and after how many steps.
    const SPEED: f64 = 0.01;
    const EVERY: usize = 4;

    fn length(self, share: f64) -> usize {
        Self::SHORTEST + (share * self.longest.saturating_sub(Self::SHORTEST) as f64).round() as usize
    }
}

/// How the two players of a game in the plane are trained.
#[derive(Clone, Copy)]
pub struct GamePlan {
    /// Numbers in a latent.
    pub latent: usize,
    /// Units of a hidden layer of either player.
    pub width: usize,
    /// Hidden layers of either.
    pub depth: usize,
    /// Points of a step.
    pub batch: usize,
    /// Learning rate of both.
    pub rate: f64,
    /// What the generator wants.
    pub aim: Aim,
    /// Noise at the critic's input.
    pub noise: Option<CriticNoise>,
}

impl GamePlan {
    /// The players: the critic sees where on its chain a point is, if there is one.
    pub fn form(self) -> AdversarialForm {
        AdversarialForm::even(self.latent, 2, usize::from(self.noise.is_some()), self.width, self.depth)
    }
}

/// The two players of a game in the plane.
pub struct Game {
    plan: GamePlan,
    net: Adversaries,
    /// The length of the chain as a share of its range.
    share: f64,
    /// Step, the shares of data and of samples that the critic tells right, and the length of its chain.
    pub seen: Vec<[f64; 4]>,
}

/// Places on the critic's chain for points of a batch: what they are multiplied with, and what is added, with what stands
/// beside.
struct Places {
    scale: Vec<f32>,
    added: Vec<f32>,
}

impl Places {
    fn view(&self) -> View<'_> {
        View { scale: &self.scale, added: &self.added }
    }
}

impl Game {
    /// The `index`-th players of the run.
    pub fn new(context: &StudyContext, plan: GamePlan, index: u32) -> Self {
        let net = Adversaries::new(plan.form(), &context.compute, context.seed(), index);
        Self { plan, net, share: 0.0, seen: Vec::new() }
    }

    /// Places for a batch: half of the points stay as they are, the others are the further along the more likely.
    fn places(&self, rng: &mut Rng) -> Places {
        let count = self.plan.batch;
        let Some(noise) = self.plan.noise else {
            return Places { scale: vec![1.0; count], added: vec![0.0; 2 * count] };
        };
        let length = noise.length(self.share);
        let betas = Betas::linear(length, 1e-4, 0.02);
        let mut places = Places { scale: Vec::with_capacity(count), added: Vec::with_capacity(3 * count) };
        for _ in 0..count {
            let (clean, u) = (rng.sign() > 0.0, rng.uniform());
            // The place t with probability t / (1 + ... + length), by the inverse of its distribution function.
            let sum = (length * (length + 1)) as f64;
            let place = (((1.0 + 4.0 * u * sum).sqrt() - 1.0) / 2.0).ceil().clamp(1.0, length as f64) as usize;
            let place = if clean { 0 } else { place };
            let power = if clean { 1.0 } else { betas.signal_power(place - 1) };
            let spread = noise.std * (1.0 - power).sqrt();
            places.scale.push(power.sqrt() as f32);
            places.added.extend([rng.normal(), rng.normal()].map(|z| (spread * z) as f32));
            places.added.push((place as f64 / noise.longest.max(1) as f64) as f32);
        }
        places
    }

    /// One step of both players, in a turn of its own.
    pub async fn step(&mut self, context: &StudyContext, step: usize, draw: Draw<'_>) -> Result<(), StudyError> {
        context.yield_now().await;
        let GamePlan { latent, batch, rate, aim, noise, .. } = self.plan;
        let data = draw(&mut context.rng(Stream::Batch, step as u32), batch);
        let mut rng = context.rng(Stream::Noise, step as u32);
        let Places { scale, added: mut real } = self.places(&mut rng);
        let columns = real.len() / batch.max(1);
        for ((row, x), scale) in real.chunks_exact_mut(columns.max(1)).zip(data.chunks_exact(2)).zip(&scale) {
            row.iter_mut().zip(x).for_each(|(seen, x)| *seen += scale * x);
        }
        let (latents, places) = (rng.normals(batch * latent), self.places(&mut rng));
        self.net.train_critic(&real, &latents, places.view(), rate);
        if step.is_multiple_of(CriticNoise::EVERY) {
            let logits = self.net.last_logits().await?;
            let (of_data, of_samples) = logits.split_at(logits.len() / 2);
            let share = |logits: &[f32], right: fn(&f32) -> bool| {
                logits.iter().filter(|logit| right(logit)).count() as f64 / logits.len().max(1) as f64
            };
            let (known, found) = (share(of_data, |logit| *logit > 0.0), share(of_samples, |logit| *logit < 0.0));
            let length = noise.map_or(0, |noise| noise.length(self.share));
            self.seen.push([step as f64, known, found, length as f64]);
            if let Some(noise) = noise {
                // The mean sign of logits of which this share is above 0.
                let step = CriticNoise::SPEED * (2.0 * known - 1.0 - noise.target).signum();
                self.share = (self.share + step).clamp(0.0, 1.0);
            }
        }
        let (latents, places) = (rng.normals(batch * latent), self.places(&mut rng));
        self.net.train_generator(&latents, places.view(), aim, rate);
        if step % EVERY == EVERY - 1 {
            self.net.take_losses().await?;
        }
        Ok(())
    }

    /// Samples of the generator, a few at a time, the same latents every time.
    pub async fn samples(&self, context: &StudyContext, count: usize) -> Result<Vec<[f64; 2]>, StudyError> {
        let latent = self.plan.latent;
        let latents = context.rng(Stream::Prior, 0).normals(count * latent);
        let mut samples = Vec::with_capacity(count);
        for chunk in latents.chunks(AT_ONCE * latent) {
            context.yield_now().await;
            samples.extend(self.outputs(chunk).await?);
        }
        Ok(samples)
    }

    /// What the generator makes of these latents, row by row.
    pub async fn outputs(&self, latents: &[f32]) -> Result<Vec<[f64; 2]>, StudyError> {
        Ok(points(&self.net.outputs(latents).await?))
    }

    /// The critic's probabilities that points are data, where there is no noise.
    pub async fn beliefs(&self, places: &[[f64; 2]]) -> Result<Vec<f64>, StudyError> {
        let beside = usize::from(self.plan.noise.is_some());
        let rows: Vec<f32> =
            places.iter().flat_map(|x| x.iter().map(|v| *v as f32).chain(std::iter::repeat_n(0.0, beside))).collect();
        let logits = self.net.logits(&rows).await?;
        Ok(logits.iter().map(|logit| 1.0 / (1.0 + (-f64::from(*logit)).exp())).collect())
    }
}
