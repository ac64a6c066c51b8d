//! Training the U-Net on images, a step at a time.
//!
//! A step's gradient is the sum over pieces of its batch. On the CPU the pieces are computed by as many threads as there
//! are, and added in their order: the result does not depend on how many threads there are.
//!
//! Several devices share a batch: each computes the gradient of its images at the same parameters, and the first, which
//! has the optimiser, adds them up. Tensors go from one to the other by [`Tensor::to_device`], and those of other machines
//! as `away.rs` says.

mod away;
mod batch;
mod finish;
mod mixed;
mod optimiser;
mod recipe;
mod replica;
mod state;
mod variance;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use thiserror::Error;

use crate::data::ImageSet;
use crate::nn::cpu::{self, numbers};
use crate::nn::device::ComputeDevice;
use crate::nn::moments::Update;
use crate::nn::tape::{Factors, Pool, Tape};
use crate::nn::unet::{ConditionError, ConfigError, Parameter, UNet};

use optimiser::{Slot, Turn};
use replica::Replica;

pub use batch::{ImageBatch, ImageBatches};
pub use finish::{Finish, FinishError};
pub use mixed::{LossScale, TrainingPrecision};
pub use optimiser::Optimiser;
pub use recipe::{FOREVER, NO_BOUND, NetworkChanges, Recipe, RecipeChanges, RecipeError};
pub use replica::Pace;
pub use state::StateError;
pub use variance::Chain;

/// A training run on images.
pub struct ImageTrainer {
    recipe: Recipe,
    batches: ImageBatches,
    chain: Option<Chain>,
    /// The devices that share a batch.
    replicas: Vec<Replica>,
    /// The one that has what follows, and its name: the first of them, unless they are other machines'.
    device: Device,
    home: String,
    threads: usize,
    /// The parameters, in the order of [`UNet::parameters`].
    slots: Vec<Slot>,
    finish: Option<Finish>,
    scale: Option<LossScale>,
    step: u32,
    losses: Vec<Tensor<1>>,
    /// What the tapes of the step before worked in.
    pool: Pool,
    /// Seconds that the run took so far, over all its parts: whoever drives it keeps the time.
    pub seconds: f64,
}

/// Why a step was not taken. The run is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StepError {
    /// A label has no class.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// A device stopped answering.
    #[error("{device} was lost: {why}")]
    Lost {
        /// Its name.
        device: String,
        /// What was found instead of an answer.
        why: String,
    },
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
    pub fn new(recipe: Recipe, compute: &ComputeDevice, threads: usize) -> Result<Self, ConfigError> {
        let first = Replica::new(&recipe, compute)?;
        let device = first.device.clone();
        let values = first.skeleton.values().into_iter().map(Tensor::inner);
        let matrices = first.skeleton.parameters().into_iter().map(|parameter| recipe.optimiser.matrix(&parameter));
        let slot = |(value, matrix)| Slot::new(value, recipe.averages.len(), matrix);
        let slots = values.zip(matrices).map(slot).collect();
        Ok(Self {
            batches: ImageBatches::new(&recipe),
            chain: recipe.network.learned_variance.then(|| recipe.objective.betas().map(|b| Chain::new(&b))).flatten(),
            threads: threads.max(1),
            scale: LossScale::new(recipe.precision, &device),
            recipe,
            replicas: vec![first],
            device,
            home: compute.info.name.clone(),
            slots,
            finish: None,
            step: 0,
            losses: Vec::new(),
            pool: Pool::default(),
            seconds: 0.0,
        })
    }

    /// Shares every batch from now on with these devices too, each of which gets as many images as the others. What
    /// differs from one device is the order of sums, and the noise of dropout.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such network.
    pub fn share(&mut self, others: &[ComputeDevice]) -> Result<(), ConfigError> {
        for compute in others {
            self.replicas.push(Replica::new(&self.recipe, compute)?);
        }
        Ok(())
    }

    /// Leaves every batch from now on to these devices alone; the one that the run was begun on still adds up and takes the
    /// steps.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such network.
    ///
    /// # Panics
    /// When there is no device among them.
    pub fn delegate(&mut self, devices: &[ComputeDevice]) -> Result<(), ConfigError> {
        assert!(!devices.is_empty(), "a device to compute on");
        self.replicas.clear();
        self.share(devices)
    }

    /// Names of the devices, and what each did since the last call.
    pub fn take_paces(&mut self) -> Vec<(String, Pace)> {
        self.replicas.iter_mut().map(|replica| (replica.name.clone(), replica.take_pace())).collect()
    }

    fn first(&self) -> &Replica {
        // There always is one.
        &self.replicas[0]
    }

    /// The recipe.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Begins from these parameters, in the order of [`Self::shapes`], their moving averages included.
    ///
    /// # Panics
    /// When one has another number of values.
    pub fn set_parameters(&mut self, values: Vec<Vec<f32>>) {
        for (slot, values) in self.slots.iter_mut().zip(values) {
            let count = slot.value.dims()[0];
            slot.value = Tensor::from_data(TensorData::new(values, [count]), &self.device);
            slot.averages.fill(slot.value.clone());
        }
    }

    /// Gives the run another number of steps in all.
    pub fn set_steps(&mut self, steps: u32) {
        self.recipe.steps = steps;
    }

    /// Computes convolutions and matrices in this precision from now on.
    pub fn set_precision(&mut self, precision: TrainingPrecision) {
        self.recipe.precision = precision;
        self.scale = LossScale::new(precision, &self.device);
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

    /// Begins the end of the run, so many steps long, when this share of it is done: from now on the learning rate falls
    /// to 0, and then the run is over.
    ///
    /// # Errors
    /// A [`FinishError`] when the end has begun before, or has passed.
    pub fn finish(&mut self, steps: u32, done: f64) -> Result<(), FinishError> {
        if self.done() >= 1.0 {
            return Err(FinishError::Finished(self.step));
        }
        if let Some(Finish { from, steps, .. }) = self.finish {
            return Err(FinishError::Finishing { done: self.step.saturating_sub(from), steps });
        }
        let share = self.recipe.share_at(self.step, done);
        let finish = Finish { from: self.step, steps, share };
        if steps == 0 || finish.end() > FOREVER {
            return Err(FinishError::Steps(steps));
        }
        self.finish = Some(finish);
        Ok(())
    }

    /// The end of the run, if it has begun.
    #[must_use]
    pub fn finishing(&self) -> Option<Finish> {
        self.finish
    }

    /// Adam's learning rate after this many steps, when this share of the run is done.
    #[must_use]
    pub fn rate_at(&self, step: u32, done: f64) -> f64 {
        self.recipe.rate * self.share_at(step, done)
    }

    fn share_at(&self, step: u32, done: f64) -> f64 {
        self.finish.map_or_else(|| self.recipe.share_at(step, done), |finish| finish.share_at(step))
    }

    /// Share of the run that is done, by steps: of its end, if that has begun.
    #[must_use]
    pub fn done(&self) -> f64 {
        if let Some(finish) = self.finish {
            return finish.done_at(self.step);
        }
        (f64::from(self.step) / f64::from(self.recipe.steps.max(1))).min(1.0)
    }

    /// Names and shapes of the parameters.
    #[must_use]
    pub fn shapes(&self) -> Vec<Parameter> {
        self.first().skeleton.parameters()
    }

    /// One step, with the learning rate of a run of which the share `done` is over. Its loss comes with
    /// [`Self::take_losses`].
    ///
    /// # Errors
    /// [`StepError`] when a device was lost, or a label has no class: never with images that [`Recipe::validate`] accepted.
    pub fn advance(&mut self, set: &ImageSet, done: f64) -> Result<(), StepError> {
        let batch = self.batches.batch(set, self.step);
        let Gradient { loss, parts } = self.gradient(&batch)?;
        let (before, share) = (self.step, self.share_at(self.step, done));
        self.step += 1;
        let turn = Turn {
            adam: Update::new(self.step, share * self.recipe.rate, 0.0),
            muon: share * self.recipe.muon_rate,
            keep: self.recipe.keep_at(self.images()),
            factors: self.recipe.precision.factors().unwrap_or_default(),
        };
        self.losses.push(loss);
        if cpu::is_cpu(&self.device) && self.scale.is_none() {
            self.update_on_cpu(parts, &turn);
            return Ok(());
        }
        let squares = parts.iter().map(|part| part.clone().square().sum()).reduce(|sum, part| sum + part);
        let parts = match (&mut self.scale, &squares) {
            (Some(scale), Some(squares)) => scale.only_finite(parts, squares, before),
            _ => parts,
        };
        let clip = squares.map(|squares| ((squares.sqrt() + 1e-6).recip() * self.recipe.clip).clamp_max(1.0));
        let slots = std::mem::take(&mut self.slots).into_iter().zip(parts);
        self.slots = slots.map(|(slot, part)| slot.after(part, &turn, clip.clone())).collect();
        Ok(())
    }

    /// The same on the numbers where they are, each parameter by one thread: whichever it is, the result is the same.
    fn update_on_cpu(&mut self, parts: Vec<Tensor<1>>, turn: &Turn) {
        let parts: Vec<Vec<f32>> = parts.into_iter().map(numbers).collect();
        let norm = parts.iter().map(|part| squares(part)).sum::<f64>().sqrt();
        let clip = (self.recipe.clip / (norm + 1e-6)).min(1.0) as f32;
        let work = std::mem::take(&mut self.slots).into_iter().zip(parts).collect();
        self.slots = in_threads(work, self.threads, |(slot, part): (Slot, _)| slot.after_on_cpu(part, turn, clip));
    }

    /// The loss of a batch and its gradient at the parameters of now.
    ///
    /// # Errors
    /// [`StepError`] when a label has no class, or a device was lost.
    pub fn gradient(&self, batch: &ImageBatch) -> Result<Gradient, StepError> {
        let (total, devices) = (batch.inputs.len(), self.replicas.len());
        // No device without images, if there are enough.
        let pieces = batch.pieces(self.recipe.piece.min((batch.count() / devices).max(1)));
        let share = |index: usize| &pieces[pieces.len() * index / devices..pieces.len() * (index + 1) / devices];
        let (away, near): (Vec<usize>, Vec<usize>) = (0..devices).partition(|index| self.replicas[*index].remote);
        let flat = if away.is_empty() { None } else { Some(self.flat()?) };
        let parts = std::thread::scope(|scope| {
            let told =
                |index| flat.as_ref().map(|flat| scope.spawn(move || self.sum_away(index, flat, share(index), total)));
            let told: Vec<_> = away.into_iter().filter_map(told).collect();
            let mut parts = self.sums_near(&near, share, total)?;
            for thread in told {
                parts.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok::<_, StepError>(parts)
        })?;
        let sum = parts.into_iter().reduce(Gradient::plus);
        Ok(sum.unwrap_or_else(|| Gradient { loss: Tensor::zeros([1], &self.device), parts: Vec::new() }))
    }

    /// The gradients of the shares of these devices of this machine, each on the device that adds them up.
    fn sums_near<'b>(
        &self,
        near: &[usize],
        share: impl Fn(usize) -> &'b [ImageBatch],
        total: usize,
    ) -> Result<Vec<Gradient>, ConditionError> {
        // Everything that has to be waited for comes before or after the work: a GPU is only told what to do, and works
        // while the next is told.
        let there = |index: &usize| {
            let device = &self.replicas[*index].device;
            self.slots.iter().map(|slot| slot.value.clone().to_device(device)).collect::<Vec<_>>()
        };
        let parameters: Vec<Vec<Tensor<1>>> = near.iter().map(there).collect();
        let mut parts = Vec::with_capacity(near.len());
        for (&index, parameters) in near.iter().zip(&parameters) {
            let (replica, begin) = (&self.replicas[index], Instant::now());
            self.seed(index);
            parts.extend(self.sum_of(replica, parameters, share(index), total)?);
            if !replica.gpu {
                replica.took(share(index), begin, 0.0);
            }
        }
        let here = |part: Gradient| Gradient {
            loss: part.loss.to_device(&self.device),
            parts: part.parts.into_iter().map(|part| part.to_device(&self.device)).collect(),
        };
        Ok(parts.into_iter().map(here).collect())
    }

    /// Begins the noise of dropout, which is the device's: told the step, it is the same after an interruption.
    fn seed(&self, index: usize) {
        if self.recipe.network.dropout > 0.0 {
            let seed = (u64::from(self.recipe.seed) << 32) | u64::from(self.step);
            self.replicas[index].device.seed(seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
    }

    /// The gradient of these pieces of a batch of `total` numbers, on one device; none of no pieces.
    fn sum_of(
        &self,
        replica: &Replica,
        parameters: &[Tensor<1>],
        pieces: &[ImageBatch],
        total: usize,
    ) -> Result<Option<Gradient>, ConditionError> {
        let alone = replica.gpu || self.recipe.network.dropout > 0.0;
        let threads = if alone { 1 } else { self.threads.min(pieces.len()) };
        let work = |piece: &ImageBatch| self.part_of_gradient(replica, parameters, piece, total);
        let mut sum: Option<Gradient> = None;
        let mut add = |part: Gradient| {
            sum = Some(match sum.take() {
                None => part,
                Some(sum) => sum.plus(part),
            });
        };
        if threads <= 1 {
            for piece in pieces {
                add(work(piece)?);
            }
        } else {
            for part in in_threads(pieces.iter().collect(), threads, work) {
                add(part?);
            }
        }
        Ok(sum)
    }

    /// What these images contribute to the loss of a batch of `total` numbers, and to its gradient.
    fn part_of_gradient(
        &self,
        replica: &Replica,
        parameters: &[Tensor<1>],
        piece: &ImageBatch,
        total: usize,
    ) -> Result<Gradient, ConditionError> {
        let precision = self.recipe.precision;
        if let (Some(factors), Some(plain)) = (precision.factors(), &replica.plain) {
            return self.traced_part(replica, plain, parameters, piece, total, factors);
        }
        // Leaves of its own: threads that shared them would wait for one another.
        let network = replica.skeleton.clone().with_values(parameters.to_vec());
        let network = if precision == TrainingPrecision::F32 { network } else { network.cast_to(precision.kind()) };
        let device = replica.device.clone().autodiff();
        let count = piece.count();
        let tensor = |values: &[f32]| self.shaped(values, count, &device);
        let condition = network.condition(&piece.times, &piece.labels)?;
        let output = network.forward(tensor(&piece.inputs), &condition);
        let target = tensor(&piece.targets);
        let loss = match &self.chain {
            None => (output - target).square().sum() / total as f64,
            Some(chain) => chain.hybrid(output, target, &tensor(&piece.images), &piece.levels) / total as f64,
        };
        let scale = self.scale.as_ref().map(|scale| scale.factor().clone().to_device(&replica.device));
        let scaled = match &scale {
            Some(scale) => loss.clone() * Tensor::from_inner(scale.clone()),
            None => loss.clone(),
        };
        let gradients = scaled.backward();
        let parts = network.gradients(&gradients).into_iter().zip(parameters);
        // A table row that no image asked for has no gradient, and neither has a table nobody looked at.
        let part = |(part, value): (Option<Tensor<1>>, &Tensor<1>)| match (part, &scale) {
            (Some(part), Some(scale)) => part.cast(FloatDType::F32) / scale.clone(),
            (Some(part), None) => part.cast(FloatDType::F32),
            (None, _) => value.zeros_like(),
        };
        Ok(Gradient { loss: loss.inner(), parts: parts.map(part).collect() })
    }

    /// The same with derivatives written out: on the CPU.
    fn traced_part(
        &self,
        replica: &Replica,
        plain: &UNet,
        parameters: &[Tensor<1>],
        piece: &ImageBatch,
        total: usize,
        factors: Factors,
    ) -> Result<Gradient, ConditionError> {
        let network = plain.clone().with_values(parameters.to_vec());
        let device = &replica.device;
        let (count, channels) = (piece.count(), self.recipe.network.image_channels);
        let side = (piece.inputs.len() / (count * channels).max(1)).isqrt();
        let mut tape = Tape::new(&self.pool).with(factors);
        let output = network.trace(&mut tape, &piece.inputs, side, &piece.times, &piece.labels)?;
        let (loss, error) = match &self.chain {
            None => {
                let pairs = output.numbers().iter().zip(&piece.targets);
                let error: Vec<f32> = pairs.map(|(output, target)| (output - target) * (2.0 / total as f32)).collect();
                let square: f64 = error.iter().map(|e| f64::from(*e) * f64::from(*e)).sum();
                (Tensor::from_floats([(square * total as f64 / 4.0) as f32], device), error)
            }
            Some(chain) => {
                let device = device.clone().autodiff();
                let tensor = |values: &[f32]| self.shaped(values, count, &device);
                let data = TensorData::new(output.numbers().to_vec(), output.shape);
                let said = Tensor::<4>::from_data(data, &device).require_grad();
                let (target, images) = (tensor(&piece.targets), tensor(&piece.images));
                let loss = chain.hybrid(said.clone(), target, &images, &piece.levels) / total as f64;
                let gradient = said.grad(&loss.backward());
                let gradient = gradient.map_or_else(|| vec![0.0; output.numbers().len()], numbers);
                (loss.inner(), gradient)
            }
        };
        let parts = network.traced_gradients(tape.backward(&output, error)).into_iter().zip(parameters);
        let part = |(part, value): (Option<Vec<f32>>, &Tensor<1>)| match part {
            Some(part) => {
                let shape = [part.len()];
                cpu::tensor(part, shape, device)
            }
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
        let device = &self.first().device;
        let network = self.network_on(device).map_err(|error| error.to_string())?;
        let work = |piece: &ImageBatch| -> Result<(), String> {
            let condition = network.condition(&piece.times, &piece.labels).map_err(|error| error.to_string())?;
            let output = network.forward(self.shaped(&piece.inputs, piece.count(), device), &condition);
            output.try_into_vec_as::<f32>().map(drop).map_err(|error| error.to_string())
        };
        let pieces = batch.pieces(self.recipe.piece);
        if self.first().gpu || self.threads == 1 {
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

    /// The averaged parameters, in the order of [`Self::shapes`]: the moving average in that place of the recipe's.
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn averaged(&self, place: usize) -> Result<Vec<Vec<f32>>, String> {
        self.slots.iter().map(|slot| read(&slot.averages[place])).collect()
    }

    /// The network with the averaged parameters that are the run's result, on the plain device.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such network.
    pub fn network(&self) -> Result<UNet, ConfigError> {
        self.network_on(&self.device)
    }

    fn network_on(&self, device: &Device) -> Result<UNet, ConfigError> {
        let place = self.recipe.main_average();
        let averaged = self.slots.iter().map(|slot| slot.averages[place].clone().to_device(device));
        Ok(self.recipe.network.init(0, device)?.with_values(averaged.collect()))
    }
}

impl Gradient {
    fn plus(self, other: Self) -> Self {
        let parts = self.parts.into_iter().zip(other.parts).map(|(a, b)| a + b).collect();
        Self { loss: self.loss + other.loss, parts }
    }
}

/// The work on every item, by so many threads, in the order of the items.
fn in_threads<I: Send, T: Send>(items: Vec<I>, threads: usize, work: impl Fn(I) -> T + Sync) -> Vec<T> {
    if threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    let found = Mutex::new(Vec::with_capacity(items.len()));
    let next = Mutex::new(items.into_iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let item = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, item)) = item else { break };
                    let part = work(item);
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((index, part));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, part)| part).collect()
}

/// The sum of the squares, in eight lanes.
fn squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    for chunk in values.chunks(8) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += f64::from(*x) * f64::from(*x));
    }
    lanes.iter().sum()
}

fn read(tensor: &Tensor<1>) -> Result<Vec<f32>, String> {
    tensor.clone().try_into_vec_as::<f32>().map_err(|error| error.to_string())
}
