//! A run of images: what the configuration asks for, a step at a time.

use super::denoiser::{BatchPolicy, ImageDenoiser, ProgressListener};
use super::model::ImageModel;
use super::noise::{starting_noise, step_noise};
use super::pictures::{Pictures, from_bytes, to_bytes};
use crate::diffusion::control::{Elementwise as _, Observed};
use crate::diffusion::prediction::canonical;
use crate::diffusion::solver::Variance;
use crate::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, State as _};
use crate::engine::error::{EngineError, ImageError, Stopped};
use crate::lab::SIDE;
use crate::lab::{ClassId, ClipId, RunConfig, SolverId, TaskId};
use crate::nn::device::ComputeDevice;
use crate::protocol::Bytes;
use crate::protocol::images::ImageFrame;

/// What is known of the images before they are made.
enum Known {
    Nothing,
    /// Some pixels: the image, and a mask of ones where it is given.
    Pixels(Box<(Pictures, Pictures)>),
    /// The mean of the channels of every pixel, which this image has.
    Grey(Box<Pictures>),
}

impl Known {
    fn new(config: &RunConfig, model: &ImageModel, compute: &ComputeDevice) -> Result<Self, ImageError> {
        if config.task == TaskId::Generate {
            return Ok(Self::Nothing);
        }
        if config.picture.is_empty() {
            return Err(ImageError::NoPicture);
        }
        let channels = model.config().image_channels;
        if (model.side, channels) != (SIDE, 3) {
            return Err(ImageError::Side { side: model.side, channels });
        }
        let device = &compute.device;
        let image = Pictures::new(from_bytes(config.picture.colours()), [1, 3, SIDE, SIDE], device);
        if config.task == TaskId::Colourise {
            return Ok(Self::Grey(Box::new(image)));
        }
        let plane = config.picture.known().iter().map(|known| if *known { 1.0 } else { 0.0 });
        let plane: Vec<f32> = plane.collect();
        let mask = Pictures::new(plane.repeat(3), [1, 3, SIDE, SIDE], device);
        Ok(Self::Pixels(Box::new((image, mask))))
    }

    /// Data moved onto those that agree with what is known.
    fn project(&self, data: Pictures) -> Pictures {
        match self {
            Self::Nothing => data,
            Self::Pixels(known) => known.0.clone().select(data, &known.1),
            // The nearest pixel of this grey: every channel moves by the same.
            Self::Grey(image) => data.with_grey_of(image),
        }
    }
}

/// The network, whose estimates agree with what is known. One type for all tasks, so that the solvers are there once.
struct Agreeing<'a, 'd, W> {
    denoiser: &'a mut ImageDenoiser<'d, W>,
    known: &'a Known,
}

impl<W: ProgressListener> Denoiser<Pictures> for Agreeing<'_, '_, W> {
    type Error = Stopped;

    async fn estimate(&mut self, x: &Pictures, level: Level) -> Result<Estimate<Pictures>, Stopped> {
        let known = self.known;
        if let Known::Nothing = known {
            return self.denoiser.estimate(x, level).await;
        }
        Observed { model: &mut *self.denoiser, project: |data, _| known.project(data) }.estimate(x, level).await
    }
}

/// What a step of a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The images moved, or the solver tried in vain and will try again.
    Stepped,
    /// The run is over.
    Finished,
    /// Who watches ended it; the images are as they were before the step.
    GivenUp,
}

/// A run of images.
pub struct ImageRun<'m> {
    model: &'m ImageModel,
    config: RunConfig,
    sampler: Sampler<Pictures>,
    labels: Vec<Option<usize>>,
    known: Known,
    policy: BatchPolicy,
    steps: u32,
}

impl<'m> ImageRun<'m> {
    /// The run that the configuration asks for.
    ///
    /// # Errors
    /// An [`ImageError`] when the task needs an image that is not there, or one of another size.
    pub fn new(config: RunConfig, model: &'m ImageModel, compute: &ComputeDevice) -> Result<Self, ImageError> {
        let images = config.images.max(1) as usize;
        let schedule = Schedule::from_config(&config);
        let solver = match config.solver {
            // The posterior's variance where none was learned.
            SolverId::Ddpm => Solver::Ddpm(Variance::Learned),
            _ => Solver::from_config(&config),
        };
        let levels = solver.grid(&schedule, config.spacing.into(), config.steps as usize);
        let shape = [images, model.config().image_channels, model.side, model.side];
        let start = starting_noise(&config, shape, &compute.device).scale(schedule.prior_std());
        let classes = model.config().classes;
        let labels = match config.image_class {
            ClassId::Any => Vec::new(),
            class => (0..images).map(|image| class.label(image, classes)).collect(),
        };
        Ok(Self {
            model,
            labels,
            known: Known::new(&config, model, compute)?,
            policy: BatchPolicy::new(model, compute).at_most(images),
            sampler: Sampler::new(solver, schedule, levels, start),
            config,
            steps: 0,
        })
    }

    /// The run from this start instead of the seed's noise: unit noise of the right shape.
    #[must_use]
    pub fn from_noise(mut self, noise: Pictures) -> Self {
        let start = noise.scale(Schedule::from_config(&self.config).prior_std());
        self.sampler.change(|_, _| start);
        self
    }

    /// With so many images evaluated at a time.
    #[must_use]
    pub fn with_batch(mut self, images: usize) -> Self {
        self.policy = self.policy.with_batch(images);
        self
    }

    /// With at most so many images evaluated at a time.
    #[must_use]
    pub fn at_most(mut self, images: usize) -> Self {
        self.policy = self.policy.at_most(images);
        self
    }

    /// How much is evaluated at a time.
    #[must_use]
    pub fn policy(&self) -> &BatchPolicy {
        &self.policy
    }

    /// The same, to be changed.
    pub fn pace_mut(&mut self) -> &mut BatchPolicy {
        &mut self.policy
    }

    /// One step.
    ///
    /// # Errors
    /// When the device no longer answers, or there is not enough memory for one image.
    pub async fn step<W: ProgressListener>(&mut self, progress: &mut W) -> Result<Outcome, EngineError> {
        if self.sampler.is_finished() {
            return Ok(Outcome::Finished);
        }
        let mut denoiser = ImageDenoiser {
            model: self.model,
            labels: &self.labels,
            guidance: self.config.guidance,
            clip: self.config.clip == ClipId::Always,
            policy: &mut self.policy,
            progress,
        };
        let config = &self.config;
        let mut draw = |like: &Pictures, usage: NoiseUse| step_noise(config, like, usage);
        let mut agreeing = Agreeing { denoiser: &mut denoiser, known: &self.known };
        let step = self.sampler.step(&mut agreeing, &mut draw).await;
        let Some(report) = Stopped::unless_interrupted(step)? else { return Ok(Outcome::GivenUp) };
        if let Some(report) = report {
            self.steps = u32::try_from(report.step).unwrap_or(u32::MAX);
        }
        Ok(if self.sampler.is_finished() { Outcome::Finished } else { Outcome::Stepped })
    }

    /// Images evaluated so far, each evaluation counted, what was given up included.
    #[must_use]
    pub fn evaluated(&self) -> u64 {
        self.policy.evaluated
    }

    /// How many images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.sampler.x().0.dims()[0]
    }

    /// Steps done.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The run behind it: where it is, what is planned.
    #[must_use]
    pub fn sampler(&self) -> &Sampler<Pictures> {
        &self.sampler
    }

    /// The state as bytes.
    ///
    /// # Errors
    /// When the device no longer answers, or the numbers are not finite.
    pub async fn frame(&self) -> Result<ImageFrame, EngineError> {
        let level = self.sampler.level();
        let [images, channels, side, _] = self.sampler.x().0.dims();
        let noisy = self.sampler.x().clone().scale(canonical(level).1);
        // One way back from the device for both.
        let mut both = vec![noisy];
        both.extend(self.sampler.estimate().map(|estimate| self.known.project(estimate.data.clone())));
        let values = match Pictures::join(both) {
            Some(both) => both.values().await?,
            None => Vec::new(),
        };
        if !values.iter().all(|value| value.is_finite()) {
            return Err(EngineError::SamplesDiverged { step: self.steps });
        }
        let (noisy, expected) = values.split_at((images * channels * side * side).min(values.len()));
        let planned = self.sampler.planned_steps().and_then(|steps| u32::try_from(steps).ok());
        Ok(ImageFrame {
            step: self.steps,
            of: planned.unwrap_or(0),
            t: level.t,
            alpha: level.alpha,
            sigma: level.sigma,
            evaluations: self.sampler.evaluations(),
            images: images as u32,
            side: side as u32,
            noisy: Bytes(to_bytes(noisy, channels, side * side)),
            expected: Bytes(to_bytes(expected, channels, side * side)),
        })
    }
}

/// All images of a run, `[images, channels, height, width]` in `[-1, 1]` or nearly so; `None` when who watches ended
/// it. For callers without a page.
///
/// # Errors
/// When the configuration cannot be run, the device no longer answers, or memory is short.
pub async fn sample<W: ProgressListener>(
    config: &RunConfig,
    model: &ImageModel,
    compute: &ComputeDevice,
    progress: &mut W,
) -> Result<Option<Pictures>, EngineError> {
    let mut run = ImageRun::new(config.clone(), model, compute)?;
    loop {
        match run.step(progress).await? {
            Outcome::Stepped => {}
            Outcome::Finished => return Ok(Some(run.sampler.x().clone())),
            Outcome::GivenUp => return Ok(None),
        }
    }
}
