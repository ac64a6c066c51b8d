//! Training the U-Net on images, a step at a time.
//!
//! A step's gradient is the sum over pieces of its batch. On the CPU the pieces are computed by as many threads as there
//! are, and added in their order: the result does not depend on how many threads there are.

mod batch;
mod recipe;
mod state;
mod variance;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor, TensorData};

use super::device::Opened;
use crate::data::ImageSet;
use crate::nn::adam::{BETA_1, BETA_2, TensorMoments, Update};
use crate::nn::host::numbers;
use crate::nn::tape::Tape;
use crate::nn::unet::{ConditionError, ConfigError, Parameter, UNet};

pub use batch::{ImageBatch, ImageBatches};
pub use recipe::{Recipe, RecipeError};
pub use state::StateError;
pub use variance::Chain;

/// A training run on images.
pub struct ImageTrainer {
    recipe: Recipe,
    batches: ImageBatches,
    chain: Option<Chain>,
    skeleton: UNet,
    /// The same without automatic differentiation.
    plain: UNet,
    device: Device,
    gpu: bool,
    threads: usize,
    parameters: Vec<Tensor<1>>,
    average: Vec<Tensor<1>>,
    moments: Vec<TensorMoments>,
    step: u32,
    losses: Vec<Tensor<1>>,
    /// Seconds that the run took so far, over all its parts: whoever drives it keeps the time.
    pub seconds: f64,
}

/// The loss of a batch and its gradient, in the order of [`UNet::parameters`].
pub struct Gradient {
    /// The loss, one number.
    pub loss: Tensor<1>,
    /// The gradient of every parameter, flat.
    pub parts: Vec<Tensor<1>>,
}

impl ImageTrainer {
    /// A run from new weights.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such network.
    pub fn new(recipe: Recipe, opened: &Opened, threads: usize) -> Result<Self, ConfigError> {
        let device = opened.device.clone();
        let skeleton = recipe.network.init(recipe.seed, &device.clone().autodiff())?;
        let plain = recipe.network.init(recipe.seed, &device)?;
        let parameters: Vec<Tensor<1>> = skeleton.values().into_iter().map(Tensor::inner).collect();
        let moments = parameters.iter().map(|p| TensorMoments::new(p.dims()[0], &device)).collect();
        let average = parameters.clone();
        Ok(Self {
            batches: ImageBatches::new(&recipe),
            chain: recipe.network.learned_variance.then(|| recipe.objective.betas().map(|b| Chain::new(&b))).flatten(),
            gpu: opened.info.gpu,
            threads: threads.max(1),
            recipe,
            skeleton,
            plain,
            device,
            parameters,
            average,
            moments,
            step: 0,
            losses: Vec::new(),
            seconds: 0.0,
        })
    }

    /// The recipe.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Begins from these parameters, in the order of [`Self::shapes`], their moving average included.
    ///
    /// # Panics
    /// When one has another number of values.
    pub fn set_parameters(&mut self, values: Vec<Vec<f32>>) {
        for (index, values) in values.into_iter().enumerate().take(self.parameters.len()) {
            let count = self.parameters[index].dims()[0];
            self.parameters[index] = Tensor::from_data(TensorData::new(values, [count]), &self.device);
            self.average[index] = self.parameters[index].clone();
        }
    }

    /// Gives the run another number of steps in all.
    pub fn set_steps(&mut self, steps: u32) {
        self.recipe.steps = steps;
    }

    /// Steps done.
    #[must_use]
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Images seen.
    #[must_use]
    pub fn images(&self) -> f64 {
        f64::from(self.step) * self.recipe.batch as f64
    }

    /// Share of the run that is done, by steps.
    #[must_use]
    pub fn done(&self) -> f64 {
        (f64::from(self.step) / f64::from(self.recipe.steps.max(1))).min(1.0)
    }

    /// Names and shapes of the parameters.
    #[must_use]
    pub fn shapes(&self) -> Vec<Parameter> {
        self.skeleton.parameters()
    }

    /// One step, with the learning rate of a run of which the share `done` is over. Its loss comes with
    /// [`Self::take_losses`].
    ///
    /// # Errors
    /// [`ConditionError`] when a label has no class: never with images that [`Recipe::validate`] accepted.
    pub fn advance(&mut self, set: &ImageSet, done: f64) -> Result<(), ConditionError> {
        let batch = self.batches.batch(set, self.step);
        let Gradient { loss, parts } = self.gradient(&batch)?;
        let squares = parts.iter().map(|part| part.clone().square().sum()).reduce(|sum, part| sum + part);
        let scale = squares.map(|squares| ((squares.sqrt() + 1e-6).recip() * self.recipe.clip).clamp_max(1.0));
        let rate = self.recipe.rate_at(self.step, done);
        self.step += 1;
        let step = f64::from(self.step);
        let update = Update {
            rate: rate / (1.0 - libm::pow(BETA_1, step)),
            square: 1.0 / libm::sqrt(1.0 - libm::pow(BETA_2, step)),
            keep: self.recipe.keep_at(self.images()),
        };
        for (index, mut part) in parts.into_iter().enumerate() {
            if let Some(scale) = &scale {
                part = part * scale.clone();
            }
            let (parameters, average) = (self.parameters[index].clone(), self.average[index].clone());
            (self.parameters[index], self.average[index]) =
                self.moments[index].update(parameters, average, part, update);
        }
        self.losses.push(loss);
        Ok(())
    }

    /// The loss of a batch and its gradient at the parameters of now.
    ///
    /// # Errors
    /// [`ConditionError`] when a label has no class.
    pub fn gradient(&self, batch: &ImageBatch) -> Result<Gradient, ConditionError> {
        let pieces = batch.pieces(self.recipe.piece);
        let dropout = self.recipe.network.dropout > 0.0;
        if dropout {
            // Its noise is the device's: told the step, it is the same after an interruption.
            self.device.seed((u64::from(self.recipe.seed) << 32) | u64::from(self.step));
        }
        let threads = if self.gpu || dropout { 1 } else { self.threads.min(pieces.len()) };
        let total = batch.inputs.len();
        let mut sum: Option<Gradient> = None;
        let mut add = |part: Gradient| {
            sum = Some(match sum.take() {
                None => part,
                Some(sum) => Gradient {
                    loss: sum.loss + part.loss,
                    parts: sum.parts.into_iter().zip(part.parts).map(|(a, b)| a + b).collect(),
                },
            });
        };
        if threads == 1 {
            for piece in &pieces {
                add(self.part_of_gradient(piece, total)?);
            }
        } else {
            for part in self.in_threads(&pieces, total, threads) {
                add(part?);
            }
        }
        Ok(sum.unwrap_or_else(|| Gradient { loss: Tensor::zeros([1], &self.device), parts: Vec::new() }))
    }

    fn in_threads(&self, pieces: &[ImageBatch], total: usize, threads: usize) -> Vec<Result<Gradient, ConditionError>> {
        let next = AtomicUsize::new(0);
        let found = Mutex::new(Vec::with_capacity(pieces.len()));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(piece) = pieces.get(index) else { break };
                        let part = self.part_of_gradient(piece, total);
                        found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, part));
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, part)| part).collect()
    }

    /// What these images contribute to the loss of a batch of `total` numbers, and to its gradient.
    fn part_of_gradient(&self, piece: &ImageBatch, total: usize) -> Result<Gradient, ConditionError> {
        if self.plain.is_traceable() {
            return self.traced_part(piece, total);
        }
        // Leaves of its own: threads that shared them would wait for one another.
        let network = self.skeleton.clone().with_values(self.parameters.clone());
        let device = self.device.clone().autodiff();
        let count = piece.count();
        let tensor = |values: &[f32]| self.shaped(values, count, &device);
        let condition = network.condition(&piece.times, &piece.labels)?;
        let output = network.forward(tensor(&piece.inputs), &condition);
        let target = tensor(&piece.targets);
        let loss = match &self.chain {
            None => (output - target).square().sum() / total as f64,
            Some(chain) => chain.hybrid(output, target, &tensor(&piece.images), &piece.levels) / total as f64,
        };
        let gradients = loss.backward();
        let parts = network.gradients(&gradients).into_iter().zip(&self.parameters);
        // A table row that no image asked for has no gradient, and neither has a table nobody looked at.
        let parts = parts.map(|(part, value)| part.unwrap_or_else(|| value.zeros_like())).collect();
        Ok(Gradient { loss: loss.inner(), parts })
    }

    /// The same with derivatives written out: on the CPU.
    fn traced_part(&self, piece: &ImageBatch, total: usize) -> Result<Gradient, ConditionError> {
        let network = self.plain.clone().with_values(self.parameters.clone());
        let (count, channels) = (piece.count(), self.recipe.network.image_channels);
        let side = (piece.inputs.len() / (count * channels).max(1)).isqrt();
        let mut tape = Tape::new(&self.device);
        let output = network.trace(&mut tape, piece.inputs.clone(), side, &piece.times, &piece.labels)?;
        let (loss, error) = match &self.chain {
            None => {
                let pairs = output.numbers.iter().zip(&piece.targets);
                let error: Vec<f32> = pairs.map(|(output, target)| (output - target) * (2.0 / total as f32)).collect();
                let square: f64 = error.iter().map(|e| f64::from(*e) * f64::from(*e)).sum();
                (Tensor::from_floats([(square * total as f64 / 4.0) as f32], &self.device), error)
            }
            Some(chain) => {
                let device = self.device.clone().autodiff();
                let tensor = |values: &[f32]| self.shaped(values, count, &device);
                let data = TensorData::new(output.numbers.to_vec(), output.shape);
                let said = Tensor::<4>::from_data(data, &device).require_grad();
                let (target, images) = (tensor(&piece.targets), tensor(&piece.images));
                let loss = chain.hybrid(said.clone(), target, &images, &piece.levels) / total as f64;
                let gradient = said.grad(&loss.backward());
                let gradient = gradient.map_or_else(|| vec![0.0; output.numbers.len()], numbers);
                (loss.inner(), gradient)
            }
        };
        let parts = network.traced_gradients(tape.backward(&output, error)).into_iter().zip(&self.parameters);
        let part = |(part, value): (Option<Vec<f32>>, &Tensor<1>)| match part {
            Some(part) => Tensor::from_floats(part.as_slice(), &self.device),
            None => value.zeros_like(),
        };
        Ok(Gradient { loss, parts: parts.map(part).collect() })
    }

    /// Evaluates the network for a batch, by as many threads as training uses, and waits for the result.
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    pub fn evaluate(&self, set: &ImageSet) -> Result<(), String> {
        let batch = self.batches.batch(set, self.step);
        let network = self.network().map_err(|error| error.to_string())?;
        let work = |piece: &ImageBatch| -> Result<(), String> {
            let condition = network.condition(&piece.times, &piece.labels).map_err(|error| error.to_string())?;
            let output = network.forward(self.shaped(&piece.inputs, piece.count(), &self.device), &condition);
            output.try_into_vec_as::<f32>().map(drop).map_err(|error| error.to_string())
        };
        let pieces = batch.pieces(self.recipe.piece);
        if self.gpu || self.threads == 1 {
            return pieces.iter().try_for_each(work);
        }
        let share = pieces.len().div_ceil(self.threads);
        std::thread::scope(|scope| {
            let parts = pieces.chunks(share).map(|pieces| scope.spawn(move || pieces.iter().try_for_each(work)));
            let handles: Vec<_> = parts.collect();
            let lost = || Err("a thread ended early: there may not be enough memory".to_owned());
            handles.into_iter().try_for_each(|handle| handle.join().unwrap_or_else(|_| lost()))
        })
    }

    /// Images of the recipe's channels as a tensor.
    fn shaped(&self, values: &[f32], count: usize, device: &Device) -> Tensor<4> {
        let channels = self.recipe.network.image_channels;
        let side = (values.len() / (count * channels).max(1)).isqrt();
        Tensor::from_data(TensorData::new(values.to_vec(), [count, channels, side, side]), device)
    }

    /// The losses since the last call, one a step.
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    pub fn take_losses(&mut self) -> Result<Vec<f32>, String> {
        let losses = std::mem::take(&mut self.losses);
        if losses.is_empty() {
            return Ok(Vec::new());
        }
        Tensor::cat(losses, 0).try_into_vec_as::<f32>().map_err(|error| error.to_string())
    }

    /// The averaged parameters, in the order of [`Self::shapes`].
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    pub fn averaged(&self) -> Result<Vec<Vec<f32>>, String> {
        self.average.iter().map(read).collect()
    }

    /// The network with the averaged parameters, on the plain device.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such network.
    pub fn network(&self) -> Result<UNet, ConfigError> {
        Ok(self.recipe.network.init(0, &self.device)?.with_values(self.average.clone()))
    }
}

fn read(tensor: &Tensor<1>) -> Result<Vec<f32>, String> {
    tensor.clone().try_into_vec_as::<f32>().map_err(|error| error.to_string())
}
