//! The network as a denoiser: every schedule, classes with guidance, learned variance, and no more memory than there is.

use burn::tensor::Tensor;

use super::model::ImageModel;
use super::pictures::{Pictures, finish};
use super::pool::{EvaluationBatch, batch_on_cpu};
use crate::diffusion::constraint::classifier_free;
use crate::diffusion::prediction::canonical;
use crate::diffusion::{Denoiser, Estimate, Evaluation, Level, State as _};
use crate::engine::error::{ImageError, Stopped};
use crate::nn::cpu::{self, has_room};
use crate::nn::device::{ComputeDevice, DeviceError};
use crate::nn::unet::Cost;

/// Most images that a GPU evaluates at once.
const GPU_BATCH: usize = 64;
/// Most bytes that an evaluation may need on a GPU, whose memory nobody states.
const GPU_BYTES: u64 = 1 << 30;
/// A convolution may unfold its input into as many copies as the kernel has places.
const UNFOLDED: u64 = 9;
/// Milliseconds of work that are handed to a GPU before it is waited for.
const QUEUE_MS: f64 = 30.0;
/// Most evaluations handed to a GPU at once.
const MOST_QUEUED: f64 = 16.0;

/// Who watches a run of images: shows its progress, and can end it.
#[allow(async_fn_in_trait)]
pub trait ProgressListener {
    /// Called before every part of an evaluation with the images evaluated so far, each evaluation counted. Ends the
    /// run by `false`: at once, without an evaluation more.
    async fn go_on(&mut self, evaluated: u64) -> bool;
    /// Told before an evaluation which share of the whole is done, by who does not know how many there will be.
    fn done(&mut self, share: f64) {
        let _ = share;
    }
    /// Says that fewer images are evaluated at a time, for want of memory.
    fn smaller_batch(&mut self, images: usize);
    /// Milliseconds since some moment.
    fn now_ms(&self) -> f64;
    /// Whether there are others who make evaluations for this run; so many could be made at a time.
    fn has_others(&mut self, model: &ImageModel, evaluations: usize) -> bool {
        let _ = (model, evaluations);
        false
    }
    /// Has others make these evaluations: the answer to each, nothing where there is none. `evaluated` images were
    /// evaluated before. `None` ends the run, as in [`ProgressListener::go_on`].
    async fn elsewhere(
        &mut self,
        model: &ImageModel,
        asks: &EvaluationBatch,
        evaluated: u64,
    ) -> Option<Vec<Option<Vec<f32>>>> {
        let _ = (model, asks, evaluated);
        Some(Vec::new())
    }
}

/// Nobody watches: a run goes on to its end.
impl ProgressListener for () {
    async fn go_on(&mut self, _: u64) -> bool {
        true
    }
    fn smaller_batch(&mut self, _: usize) {}
    fn now_ms(&self) -> f64 {
        0.0
    }
}

/// How many images are evaluated at a time, and how far a GPU is behind.
#[derive(Clone, Debug)]
pub struct BatchPolicy {
    gpu: bool,
    batch: usize,
    working: u64,
    memory: u64,
    checked: bool,
    queued: u32,
    limit: u32,
    since: f64,
    /// Images evaluated so far, each evaluation counted.
    pub evaluated: u64,
}

impl BatchPolicy {
    /// For this network on this device.
    #[must_use]
    pub fn new(model: &ImageModel, compute: &ComputeDevice) -> Self {
        let cost = model.network.cost(model.side);
        let gpu = compute.info.gpu;
        let batch = if gpu { room_on_gpu(&cost, compute.most_bytes) } else { batch_on_cpu(&cost) };
        Self {
            gpu,
            batch,
            working: cost.bytes,
            memory: u64::MAX,
            checked: false,
            queued: 0,
            limit: 1,
            since: 0.0,
            evaluated: 0,
        }
    }

    /// Leaves an evaluation no more memory than this.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.memory = bytes;
    }

    /// With as many images at a time as this, whatever suits the device.
    #[must_use]
    pub fn with_batch(mut self, images: usize) -> Self {
        self.batch = images.max(1);
        self
    }

    /// With no more images at a time than this.
    #[must_use]
    pub fn at_most(mut self, images: usize) -> Self {
        self.batch = self.batch.min(images.max(1));
        self
    }

    /// Images evaluated at a time.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Halves the batch until there is room for it on a CPU, whose allocations cannot fail later without ending the
    /// program.
    fn make_room<W: ProgressListener>(&mut self, progress: &mut W) -> Result<(), ImageError> {
        if self.gpu || self.checked {
            return Ok(());
        }
        loop {
            let needs = self.working.saturating_mul(self.batch as u64);
            if needs <= self.memory && has_room(needs) {
                break;
            }
            if self.batch == 1 {
                return Err(ImageError::OutOfMemory { megabytes: self.working >> 20 });
            }
            self.batch /= 2;
            progress.smaller_batch(self.batch);
        }
        self.checked = true;
        Ok(())
    }

    /// Waits for a GPU when enough is queued: what is queued cannot be stopped.
    async fn wait<W: ProgressListener>(&mut self, output: &Tensor<4>, progress: &mut W) -> Result<(), DeviceError> {
        if !self.gpu {
            return Ok(());
        }
        if self.queued == 0 {
            self.since = progress.now_ms();
        }
        self.queued += 1;
        if self.queued >= self.limit {
            finish(output).await?;
            let each = (progress.now_ms() - self.since) / f64::from(self.queued);
            self.limit = (QUEUE_MS / each.max(1e-3)).clamp(1.0, MOST_QUEUED) as u32;
            self.queued = 0;
        }
        Ok(())
    }
}

/// How many images a GPU with buffers of at most `most_bytes` has room for, at least one.
fn room_on_gpu(cost: &Cost, most_bytes: u64) -> usize {
    let by_tensor = most_bytes / (UNFOLDED * cost.largest).max(1);
    let by_all = GPU_BYTES / (cost.bytes + UNFOLDED * cost.largest).max(1);
    usize::try_from(by_tensor.min(by_all)).unwrap_or(GPU_BATCH).clamp(1, GPU_BATCH)
}

/// How many images, at most `wanted`, there is room to evaluate at a time.
///
/// # Errors
/// [`ImageError::OutOfMemory`] when there is none for one.
pub fn room_for(wanted: usize, model: &ImageModel, compute: &ComputeDevice) -> Result<usize, ImageError> {
    let cost = model.network.cost(model.side);
    if compute.info.gpu {
        return Ok(wanted.min(room_on_gpu(&cost, compute.most_bytes)));
    }
    let halved = std::iter::successors(Some(wanted), |batch| (*batch > 1).then_some(batch / 2));
    let fits = |batch: &usize| has_room(cost.bytes.saturating_mul(*batch as u64));
    halved.into_iter().find(fits).ok_or(ImageError::OutOfMemory { megabytes: cost.bytes >> 20 })
}

/// The network, asked about one run.
pub struct ImageDenoiser<'a, W> {
    /// The network.
    pub model: &'a ImageModel,
    /// The class of each image; empty for none.
    pub labels: &'a [Option<usize>],
    /// Classifier-free guidance: 1 is the conditional network.
    pub guidance: f64,
    /// Whether the estimate of the data is held within the range of pixels.
    pub clip: bool,
    /// How much at a time.
    pub policy: &'a mut BatchPolicy,
    /// Who watches.
    pub progress: &'a mut W,
}

impl<W: ProgressListener> ImageDenoiser<'_, W> {
    /// The raw output for some of the images, guided.
    fn output(&self, x: Tensor<4>, time: f64, labels: &[Option<usize>]) -> Result<Tensor<4>, ImageError> {
        let network = &self.model.network;
        let ask = |x, labels: &[Option<usize>]| {
            let condition = network.condition(&[time], labels).map_err(|e| ImageError::Internal(e.to_string()))?;
            Ok::<_, ImageError>(network.forward(x, &condition))
        };
        let told = labels.iter().any(Option::is_some);
        if !told || self.guidance == 1.0 {
            return ask(x, labels);
        }
        let without = ask(x.clone(), &[None])?;
        if self.guidance == 0.0 {
            return Ok(without);
        }
        let with = ask(x, labels)?;
        Ok(classifier_free(Pictures(with), Pictures(without), self.guidance).0)
    }

    /// The class of an image.
    fn label(&self, image: usize, images: usize) -> Option<usize> {
        let place = if self.labels.len() == images { image } else { 0 };
        self.labels.get(place).copied().flatten()
    }

    /// The raw outputs for the first of the images after `done`, guided, as far as others evaluate them.
    async fn elsewhere(&mut self, x: &Pictures, done: usize, time: f64, scale: f64) -> Result<Vec<Pictures>, Stopped> {
        let images = x.0.dims()[0];
        // As `output` asks about each.
        let mut each = Vec::new();
        for image in done..images {
            let class = self.label(image, images);
            let guided = class.is_some() && self.guidance != 1.0;
            if guided {
                each.push((image - done, None));
            }
            if !guided || self.guidance != 0.0 {
                each.push((image - done, class));
            }
        }
        if self.policy.gpu || each.len() < 2 || !self.progress.has_others(self.model, each.len()) {
            return Ok(Vec::new());
        }
        let pixels = cpu::numbers(x.part(done, images).scale(scale).0);
        let asks = EvaluationBatch { count: images - done, images: pixels, time, each };
        let answers =
            self.progress.elsewhere(self.model, &asks, self.policy.evaluated).await.ok_or(Stopped::Interrupted)?;
        let shape = [1, self.model.config().output_channels(), self.model.side, self.model.side];
        let mut outputs: Vec<Pictures> = Vec::new();
        for (answer, (image, _)) in answers.into_iter().zip(&asks.each) {
            let Some(answer) = answer else {
                // Half of a pair is of no use.
                outputs.truncate(*image);
                break;
            };
            let answer = Pictures::new(answer, shape, &x.0.device());
            match outputs.get_mut(*image) {
                Some(without) => *without = classifier_free(answer, without.clone(), self.guidance),
                None => outputs.push(answer),
            }
        }
        Ok(outputs)
    }

    /// The raw outputs for all images, a few at a time.
    async fn outputs(&mut self, x: &Pictures, level: Level) -> Result<Pictures, Stopped> {
        let images = x.0.dims()[0];
        let scale = self.model.convention.input.scale(level);
        let time = self.model.convention.time_of(level);
        let mut parts = Vec::new();
        let mut done = 0;
        while done < images {
            self.policy.make_room(self.progress)?;
            if !self.progress.go_on(self.policy.evaluated).await {
                return Err(Stopped::Interrupted);
            }
            let theirs = self.elsewhere(x, done, time, scale).await?;
            if !theirs.is_empty() {
                self.policy.evaluated += theirs.len() as u64;
                done += theirs.len();
                parts.extend(theirs);
                continue;
            }
            let end = (done + self.policy.batch).min(images);
            let part = x.part(done, end).scale(scale);
            let labels = if self.labels.len() == images { &self.labels[done..end] } else { self.labels };
            let output = self.output(part.0, time, labels)?;
            match self.policy.wait(&output, self.progress).await {
                Ok(()) => {}
                Err(error) if self.policy.batch > 1 && is_want_of_memory(&error) => {
                    self.policy.batch /= 2;
                    self.progress.smaller_batch(self.policy.batch);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            parts.push(Pictures(output));
            self.policy.evaluated += (end - done) as u64;
            done = end;
        }
        // Without images there is nothing to say.
        Ok(Pictures::join(parts).unwrap_or_else(|| x.clone()))
    }
}

fn is_want_of_memory(error: &DeviceError) -> bool {
    error.to_string().to_lowercase().contains("memory")
}

impl<W: ProgressListener> Denoiser<Pictures> for ImageDenoiser<'_, W> {
    type Error = Stopped;

    async fn estimate(&mut self, x: &Pictures, level: Level) -> Result<Estimate<Pictures>, Stopped> {
        let outputs: Evaluation<'_, Pictures, Stopped> = Box::pin(self.outputs(x, level));
        let output = outputs.await?;
        let channels = x.0.dims()[1];
        let (output, variance) = if output.0.dims()[1] == 2 * channels {
            (output.channels(0, channels), Some(output.channels(channels, channels)))
        } else {
            (output, None)
        };
        let (view, scale) = canonical(level);
        let prediction = self.model.convention.prediction;
        let unit = prediction.output_scale(view);
        let (mut to_data, mut to_noise) = prediction.split(view);
        for map in [&mut to_data, &mut to_noise] {
            map.x *= scale;
            map.output *= unit;
        }
        let data = to_data.of(x.clone(), output.clone());
        if self.clip {
            return Ok(Estimate { variance, ..Estimate::from_data(x, data.clamp(), level) });
        }
        Ok(Estimate { data, noise: to_noise.of(x.clone(), output), variance })
    }
}
