//! Sampling runs of points in the plane: by the trained network or by the closed form.

use super::error::{EngineError, Stopped};
use super::inbox::{Inbox, Port};
use super::learned::{Interruptible, Learned, Points, Source};
use super::preview::{Draw, Quantities, in_data, noise, prior};
use super::sample::{Outcome, SamplingRun};
use crate::data::metrics::against_condition;
use crate::data::{Dataset, ExactConstraint};
use crate::diffusion::constraint::ConstrainedSampler;
use crate::lab::{DenoiserId, RunConfig};
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Event, Floats, Report, RunId};

/// What is to be sampled.
pub struct Sampled {
    config: RunConfig,
    dataset: Dataset,
    weights: Option<WeightsFile>,
}

impl Sampled {
    /// What the configuration asks for. A network is sampled in the coordinates of the data it was trained on, whatever
    /// the configuration says of the data.
    ///
    /// # Errors
    /// When there are no weights but the configuration asks for them, or no data.
    pub fn new(config: RunConfig, weights: Option<&WeightsFile>) -> Result<Self, EngineError> {
        let weights = match config.denoiser {
            DenoiserId::Exact => None,
            DenoiserId::Trained => Some(weights.ok_or(EngineError::Untrained)?.clone()),
        };
        let data = weights.as_ref().map_or(&config, |weights| &weights.config);
        let dataset = data.data()?;
        Ok(Self { config, dataset, weights })
    }

    /// The data, and the frame of the model's coordinates.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Who answers.
    #[must_use]
    pub fn source(&self, compute: &ComputeDevice) -> Source<'_> {
        match &self.weights {
            Some(weights) => Source::Learned(Box::new(Learned::new(weights, compute))),
            None => Source::exact(&self.dataset),
        }
    }
}

/// A sampling run of points.
pub struct PlaneRun<'s> {
    sampled: &'s Sampled,
    source: Source<'s>,
    sampling: ConstrainedSampler<Points, ExactConstraint>,
    steps: u32,
}

impl<'s> PlaneRun<'s> {
    /// The run.
    #[must_use]
    pub fn new(sampled: &'s Sampled, compute: &ComputeDevice) -> Self {
        let config = &sampled.config;
        let start = prior(config.seed, config.samples as usize);
        let sampling = ConstrainedSampler::from_config(config, sampled.dataset(), start);
        Self { sampled, source: sampled.source(compute), sampling, steps: 0 }
    }
}

impl SamplingRun for PlaneRun<'_> {
    const FRAMES: usize = 120;
    const FRAMES_A_STRIDE: u32 = 15;

    fn planned_steps(&self) -> Option<usize> {
        self.sampling.planned_steps()
    }

    fn steps(&self) -> u32 {
        self.steps
    }

    async fn step<P: Port>(&mut self, _: RunId, inbox: &mut Inbox<'_, P>) -> Result<Outcome, EngineError> {
        let seed = self.sampled.config.seed;
        let mut draw = |x: &Points, usage| noise(seed, x.len(), usage);
        let mut draw: Draw<'_> = &mut draw;
        let mut model = Interruptible::new(&mut self.source, inbox);
        let step = self.sampling.step(&mut model, &mut draw).await;
        let Some(report) = Stopped::unless_interrupted(step)? else { return Ok(Outcome::GivenUp) };
        if let Some(report) = report {
            self.steps = u32::try_from(report.step).unwrap_or(u32::MAX);
        }
        let sampler = self.sampling.sampler();
        if !sampler.x().iter().flatten().all(|v| v.is_finite()) {
            return Err(EngineError::SamplesDiverged { step: self.steps });
        }
        Ok(if sampler.is_finished() { Outcome::Finished } else { Outcome::Stepped })
    }

    async fn frame(&self, run: RunId) -> Result<Event, EngineError> {
        let (sampler, dataset) = (self.sampling.sampler(), &self.sampled.dataset);
        let points = |points: &Points| Floats::from_points(&in_data(points, dataset));
        Ok(Event::Frame {
            run,
            step: self.steps,
            of: self.planned_steps().and_then(|steps| u32::try_from(steps).ok()).unwrap_or(0),
            t: sampler.level().t,
            evaluations: sampler.evaluations(),
            points: points(sampler.x()),
            expected: sampler.estimate().map(|estimate| points(&estimate.data)).unwrap_or_default(),
        })
    }

    async fn report(&self, run: RunId) -> Option<Event> {
        let Sampled { config, dataset, weights } = self.sampled;
        let samples = in_data(self.sampling.sampler().x(), dataset);
        Some(match self.sampling.constraint() {
            // Samples under control are no worse for being unlike the data: they are to be like some of them.
            Some(constraint) => {
                let rows = against_condition(&constraint.condition, dataset, &samples, config.seed);
                Event::Report { run, report: Report::of_control(rows) }
            }
            None => {
                let quality = Quantities::default().of(&samples, dataset, config.seed);
                Event::Quality { run, step: weights.as_ref().map_or(0, |weights| weights.step), quality }
            }
        })
    }
}
