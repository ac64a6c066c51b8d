//! Denoising adversarial networks (Xiao et al. 2022, arXiv 2112.07804) of points of any dimension: a generator and a critic
//! for a few large steps of a chain.

use super::context::StudyContext;
use super::error::StudyError;
use super::generative::Draw;
use super::tools::waits;
use crate::diffusion::level::renoise;
use crate::diffusion::schedule::clean;
use crate::diffusion::solver::Posterior;
use crate::diffusion::{Level, Schedule};
use crate::nn::adversarial::{AdversarialForm, Adversaries, Aim, View};
use crate::rng::{Rng, Stream};

/// Earliest time of the variance-preserving process that the levels are taken from.
const EARLIEST: f64 = 1e-3;
const PROCESS: Schedule = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
/// Rows of a network at once.
const AT_ONCE: usize = 1000;

/// The levels of a chain of so many large steps, the clean one first.
fn levels(steps: usize) -> Vec<Level> {
    let time = |step: usize| EARLIEST + (1.0 - EARLIEST) * step as f64 / steps as f64;
    std::iter::once(clean()).chain((1..=steps).map(|step| PROCESS.level(time(step)))).collect()
}

/// The two players of all steps of a chain: the generator guesses the clean point from a noisy one and a latent, and the
/// critic sees the point that the posterior makes of that beside the noisy one.
pub struct Chain {
    /// The clean level, and that after each step.
    pub levels: Vec<Level>,
    /// How it is trained.
    pub plan: ChainPlan,
    net: Adversaries,
}

/// How the two players of a chain are trained.
#[derive(Clone, Copy)]
pub struct ChainPlan {
    /// Numbers of a point.
    pub dimension: usize,
    /// Large steps.
    pub steps: usize,
    /// Numbers in a latent.
    pub latent: usize,
    /// Units of a hidden layer of either player.
    pub width: usize,
    /// Hidden layers of either.
    pub depth: usize,
    /// Points of a step of training.
    pub batch: usize,
    /// Learning rate of both.
    pub rate: f64,
}

impl ChainPlan {
    /// The players: the generator sees a point, a latent and the step, the critic two points and the step.
    pub fn form(self) -> AdversarialForm {
        AdversarialForm::even(
            self.dimension + self.latent + 1,
            self.dimension,
            self.dimension + 1,
            self.width,
            self.depth,
        )
    }
}

/// Noisy points of a batch with the numbers of their steps, and the points one step before.
struct Pairs {
    steps: Vec<usize>,
    before: Vec<f32>,
    noisy: Vec<f32>,
}

impl Chain {
    /// The `index`-th chain of the run.
    pub fn new(context: &StudyContext, plan: ChainPlan, index: u32) -> Self {
        let net = Adversaries::new(plan.form(), &context.compute, context.seed(), index);
        Self { levels: levels(plan.steps), plan, net }
    }

    /// The chain of a generator with these parameters, in the order of [`crate::nn::architecture::Shape::layers`]; its critic
    /// knows nothing.
    pub fn of_generator(context: &StudyContext, plan: ChainPlan, parameters: &[f32]) -> Self {
        let form = plan.form();
        let critic = vec![0.0; form.critic.parameters()];
        let net = Adversaries::from_parameters(form, &context.compute, [parameters, &critic]);
        Self { levels: levels(plan.steps), plan, net }
    }

    /// The same with a moving average of which every step of training keeps this share.
    #[cfg(feature = "cli")]
    pub fn with_average(self, keep: f64) -> Self {
        Self { net: self.net.with_average(keep), ..self }
    }

    /// The moving average of the generator's parameters.
    ///
    /// # Errors
    /// The device's.
    #[cfg(feature = "cli")]
    pub async fn generator(&self) -> Result<Vec<f32>, StudyError> {
        Ok(self.net.averaged_generator().await?)
    }

    /// Number of large steps.
    pub fn steps(&self) -> usize {
        self.plan.steps
    }

    /// How the players are told a step, counted from 0 at the data.
    fn feature(&self, step: usize) -> f32 {
        (2.0 * step as f64 / (self.steps().max(2) - 1) as f64 - 1.0) as f32
    }

    fn pairs(&self, draw: Draw<'_>, data: &mut Rng, rng: &mut Rng) -> Pairs {
        let mut pairs = Pairs { steps: Vec::new(), before: Vec::new(), noisy: Vec::new() };
        for x in draw(data, self.plan.batch).chunks_exact(self.plan.dimension) {
            let step = rng.below(self.steps() as u32) as usize;
            let (to, from) = (self.levels[step], self.levels[step + 1]);
            let before: Vec<f64> = x.iter().map(|v| to.mix(f64::from(*v), rng.normal())).collect();
            let noisy = before.iter().map(|v| renoise(*v, to, from, rng.normal()) as f32);
            pairs.noisy.extend(noisy);
            pairs.before.extend(before.iter().map(|v| *v as f32));
            pairs.steps.push(step);
        }
        pairs
    }

    /// Rows of the generator's inputs.
    fn inputs(&self, noisy: &[f32], step: impl Fn(usize) -> usize, rng: &mut Rng) -> Vec<f32> {
        let mut rows = Vec::new();
        for (row, x) in noisy.chunks_exact(self.plan.dimension).enumerate() {
            rows.extend(x);
            rows.extend(rng.normals(self.plan.latent));
            rows.push(self.feature(step(row)));
        }
        rows
    }

    /// What the posterior makes of the generator's guesses, with fresh noise, and what the critic sees beside.
    fn places(&self, pairs: &Pairs, rng: &mut Rng) -> [Vec<f32>; 2] {
        let [mut scale, mut added] = [const { Vec::new() }; 2];
        for (step, x) in pairs.steps.iter().zip(pairs.noisy.chunks_exact(self.plan.dimension)) {
            let posterior = Posterior::between(self.levels[step + 1], self.levels[*step]);
            let std = posterior.variance.sqrt();
            scale.push(posterior.data as f32);
            added.extend(x.iter().map(|v| (posterior.x * f64::from(*v) + std * rng.normal()) as f32));
            added.extend(x);
            added.push(self.feature(*step));
        }
        [scale, added]
    }

    /// One step of both players, in a turn of its own.
    pub async fn train(&mut self, context: &StudyContext, step: usize, draw: Draw<'_>) -> Result<(), StudyError> {
        context.yield_now().await;
        let mut data = context.rng(Stream::Batch, step as u32);
        let mut rng = context.rng(Stream::Noise, step as u32);
        for of_critic in [true, false] {
            let pairs = self.pairs(draw, &mut data, &mut rng);
            let inputs = self.inputs(&pairs.noisy, |row| pairs.steps[row], &mut rng);
            let [scale, added] = self.places(&pairs, &mut rng);
            let view = View { scale: &scale, added: &added };
            if of_critic {
                let rows = [&pairs.before, &pairs.noisy].map(|rows| rows.chunks_exact(self.plan.dimension));
                let [before, noisy] = rows;
                let mut real = Vec::new();
                for ((before, noisy), step) in before.zip(noisy).zip(&pairs.steps) {
                    real.extend(before.iter().chain(noisy));
                    real.push(self.feature(*step));
                }
                self.net.train_critic(&real, &inputs, view, self.plan.rate);
            } else {
                self.net.train_generator(&inputs, view, Aim::NonSaturating, self.plan.rate);
            }
        }
        if waits(step) {
            self.net.take_losses().await?;
        }
        Ok(())
    }

    /// Points one step before noisy ones of one level, flat.
    pub async fn back(
        &self,
        context: &StudyContext,
        x: &[f64],
        step: usize,
        rng: &mut Rng,
    ) -> Result<Vec<f64>, StudyError> {
        let posterior = Posterior::between(self.levels[step + 1], self.levels[step]);
        let (mut before, std) = (Vec::with_capacity(x.len()), posterior.variance.sqrt());
        for x in x.chunks(AT_ONCE * self.plan.dimension) {
            context.yield_now().await;
            let noisy: Vec<f32> = x.iter().map(|v| *v as f32).collect();
            let guesses = self.net.outputs(&self.inputs(&noisy, |_| step, rng)).await?;
            let both = x.iter().zip(guesses);
            before.extend(
                both.map(|(x, guess)| posterior.data * f64::from(guess) + posterior.x * x + std * rng.normal()),
            );
        }
        Ok(before)
    }

    /// The whole way back: where the samples are before it and after each of its steps, flat.
    pub async fn stages(&self, context: &StudyContext, count: usize) -> Result<Vec<Vec<f64>>, StudyError> {
        let mut rng = context.rng(Stream::Prior, 0);
        let prior = (0..count * self.plan.dimension).map(|_| rng.normal()).collect::<Vec<f64>>();
        let mut stages = vec![prior];
        let mut rng = context.rng(Stream::Solver, 0);
        for step in (0..self.steps()).rev() {
            let next = self.back(context, &stages[stages.len() - 1], step, &mut rng).await?;
            stages.push(next);
        }
        Ok(stages)
    }

    /// Samples of the chain, flat, the same noise every time.
    pub async fn samples(&self, context: &StudyContext, count: usize) -> Result<Vec<f64>, StudyError> {
        Ok(self.stages(context, count).await?.pop().unwrap_or_default())
    }
}
