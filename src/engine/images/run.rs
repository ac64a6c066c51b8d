//! A run of images: what the configuration asks for, a step at a time.

use super::denoiser::{BatchPolicy, ImageDenoiser, ProgressListener};
use super::known::{Known, observed_numbers};
use super::model::ImageModel;
use super::noise::{starting_noise, step_noise};
use super::pictures::{Pictures, to_bytes};
use crate::diffusion::constraint::{ConstrainedSampler, Constraint as _, Method};
use crate::diffusion::prediction::canonical;
use crate::diffusion::solver::Variance;
use crate::diffusion::{NoiseUse, Sampler, Schedule, Solver, State as _};
use crate::engine::error::{EngineError, ImageError, Stopped};
use crate::engine::sample::Outcome;
use crate::lab::{ClipId, RunConfig, SolverId, SpacingId};
use crate::nn::device::ComputeDevice;
use crate::protocol::Bytes;
use crate::protocol::images::ImageFrame;

/// A run of images.
pub struct ImageRun<'m> {
    model: &'m ImageModel,
    config: RunConfig,
    sampling: ConstrainedSampler<Pictures, Known>,
    labels: Vec<Option<usize>>,
    policy: BatchPolicy,
    steps: u32,
    without_grid: bool,
}

impl<'m> ImageRun<'m> {
    /// The run that the configuration asks for.
    ///
    /// # Errors
    /// An [`ImageError`] when the task needs an image that is not there, or one of another size, or the weights do not have
    /// the class.
    pub fn new(config: RunConfig, model: &'m ImageModel, compute: &ComputeDevice) -> Result<Self, ImageError> {
        Self::part(config, 0, model, compute)
    }

    /// The same as part of a larger run: its first image is number `first`, from which classes in turn go on.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn part(
        config: RunConfig,
        first: usize,
        model: &'m ImageModel,
        compute: &ComputeDevice,
    ) -> Result<Self, ImageError> {
        let images = config.images.max(1) as usize;
        let labels = model.classes().labels(&config.image_class, config.guidance, first, images)?;
        let schedule = Schedule::from_config(&config);
        let solver = match config.solver {
            // The posterior's variance where none was learned.
            SolverId::Ddpm => Solver::Ddpm(Variance::Learned),
            _ => Solver::from_config(&config),
        };
        let steps = config.steps as usize;
        // The adaptive solver has no use for a grid.
        let wanted = config.spacing == SpacingId::Searched && solver.evaluations(true).is_some();
        let searched = if wanted { model.searched_grid(&schedule, steps) } else { None };
        let without_grid = wanted && searched.is_none();
        let levels = searched.unwrap_or_else(|| solver.grid(&schedule, config.spacing.into(), steps));
        let shape = [images, model.config().image_channels, model.side, model.side];
        let start = starting_noise(&config, shape, &compute.device).scale(schedule.prior_std());
        let known = Known::from_config(&config, model, compute)?;
        let constraint = known.zip(Method::from_config(&config));
        Ok(Self {
            model,
            labels,
            policy: BatchPolicy::new(model, compute).at_most(images),
            sampling: ConstrainedSampler::new(Sampler::new(solver, schedule, levels, start), constraint),
            config,
            steps: 0,
            without_grid,
        })
    }

    /// Whether a searched grid was asked for that the weights do not have: the run then goes over Karras's.
    #[must_use]
    pub fn is_without_grid(&self) -> bool {
        self.without_grid
    }

    /// The run from this start instead of the seed's noise: unit noise of the right shape.
    #[must_use]
    pub fn from_noise(mut self, noise: Pictures) -> Self {
        let start = noise.scale(Schedule::from_config(&self.config).prior_std());
        self.sampling = self.sampling.from_start(start);
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
        if self.sampler().is_finished() {
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
        let step = self.sampling.step(&mut denoiser, &mut draw).await;
        let Some(report) = Stopped::unless_interrupted(step)? else { return Ok(Outcome::GivenUp) };
        if let Some(report) = report {
            self.steps = u32::try_from(report.step).unwrap_or(u32::MAX);
        }
        Ok(if self.sampler().is_finished() { Outcome::Finished } else { Outcome::Stepped })
    }

    /// Images evaluated so far, each evaluation counted, what was given up included.
    #[must_use]
    pub fn evaluated(&self) -> u64 {
        self.policy.evaluated
    }

    /// How many images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.sampler().x().0.dims()[0]
    }

    /// Steps done.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The run behind it: where it is, what is planned.
    #[must_use]
    pub fn sampler(&self) -> &Sampler<Pictures> {
        self.sampling.sampler()
    }

    /// Steps of the whole run, RePaint's up included; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_steps(&self) -> Option<usize> {
        self.sampling.planned_steps()
    }

    /// Network evaluations of the whole run for each image; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_evaluations(&self) -> Option<u32> {
        self.sampling.planned_evaluations()
    }

    /// The residual of the constraint, if there is one: the root mean square, over what is observed of an image and averaged
    /// over the images, of what they miss of it, and what the noise of the observation makes one expect; with pixels in
    /// `[-1, 1]`.
    pub async fn residual(&self) -> Option<[f64; 2]> {
        let constraint = self.sampling.constraint()?;
        let norm = constraint.residual(self.sampler().x().clone()).await;
        let observed = observed_numbers(&self.config, self.model.config().image_channels);
        Some([norm / (observed.max(1) as f64).sqrt(), constraint.noise()])
    }

    /// The state as bytes.
    ///
    /// # Errors
    /// When the device no longer answers, or the numbers are not finite.
    pub async fn frame(&self) -> Result<ImageFrame, EngineError> {
        let sampler = self.sampler();
        let level = sampler.level();
        let [images, channels, side, _] = sampler.x().0.dims();
        let noisy = sampler.x().clone().scale(canonical(level).1);
        // One way back from the device for both.
        let mut both = vec![noisy];
        both.extend(sampler.estimate().map(|estimate| estimate.data.clone()));
        let values = match Pictures::join(both) {
            Some(both) => both.values().await?,
            None => Vec::new(),
        };
        if !values.iter().all(|value| value.is_finite()) {
            return Err(EngineError::SamplesDiverged { step: self.steps });
        }
        let (noisy, expected) = values.split_at((images * channels * side * side).min(values.len()));
        let planned = self.planned_steps().and_then(|steps| u32::try_from(steps).ok());
        Ok(ImageFrame {
            step: self.steps,
            of: planned.unwrap_or(0),
            t: level.t,
            alpha: level.alpha,
            sigma: level.sigma,
            evaluations: sampler.evaluations(),
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
    sample_part(config, 0, model, compute, progress).await
}

/// The same of a part of a larger run, whose first image is number `first`.
///
/// # Errors
/// As [`sample`].
pub async fn sample_part<W: ProgressListener>(
    config: &RunConfig,
    first: usize,
    model: &ImageModel,
    compute: &ComputeDevice,
    progress: &mut W,
) -> Result<Option<Pictures>, EngineError> {
    let mut run = ImageRun::part(config.clone(), first, model, compute)?;
    loop {
        match run.step(progress).await? {
            Outcome::Stepped => {}
            Outcome::Finished => return Ok(Some(run.sampler().x().clone())),
            Outcome::GivenUp => return Ok(None),
        }
    }
}
