//! The job that samples.

use super::error::{EngineError, Stopped};
use super::inbox::{Inbox, Port};
use super::job::Job;
use super::learned::{Interruptible, Learned, Points, Source};
use super::preview::{Draw, Quantities, in_data, noise, prior};
use crate::data::Dataset;
use crate::data::metrics::against_condition;
use crate::lab::{Controlled, DenoiserId, RunConfig};
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Event, Floats, Report, RunId, Subject};

/// Most frames of a run: what a slider can show.
const FRAMES: usize = 120;
/// Frames of an adaptive run between two doublings of the stride.
const FRAMES_A_STRIDE: u32 = 15;

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
        let dataset = Dataset::new(data.dataset, &data.drawing)?;
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

/// A sampling run with its reports.
pub struct Sampling<'s> {
    run: RunId,
    sampled: &'s Sampled,
    source: Source<'s>,
    sampling: Controlled,
    steps: u32,
    frames: u32,
    shown: Option<u32>,
}

impl<'s> Sampling<'s> {
    /// The run.
    #[must_use]
    pub fn new(run: RunId, sampled: &'s Sampled, compute: &ComputeDevice) -> Self {
        let config = &sampled.config;
        let start = prior(config.seed, config.samples as usize);
        let sampling = Controlled::new(config, sampled.dataset(), start);
        Self { run, sampled, source: sampled.source(compute), sampling, steps: 0, frames: 0, shown: None }
    }

    fn of(&self) -> u32 {
        self.sampling.planned_steps().and_then(|steps| u32::try_from(steps).ok()).unwrap_or(0)
    }

    fn is_due(&self) -> bool {
        let stride = match self.sampling.planned_steps() {
            Some(steps) => steps.div_ceil(FRAMES - 2).max(1) as u32,
            None if self.frames as usize >= FRAMES - 2 => return false,
            None => 1 << (self.frames / FRAMES_A_STRIDE),
        };
        self.steps.is_multiple_of(stride)
    }

    fn show<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) {
        if self.shown == Some(self.steps) {
            return;
        }
        self.shown = Some(self.steps);
        self.frames += 1;
        let dataset = &self.sampled.dataset;
        let points = |points: &Points| Floats::from_points(&in_data(points, dataset));
        inbox.port.send(Event::Frame {
            run: self.run,
            step: self.steps,
            of: self.of(),
            t: self.sampling.sampler().level().t,
            evaluations: self.sampling.sampler().evaluations(),
            points: points(self.sampling.sampler().x()),
            expected: self.sampling.sampler().estimate().map(|estimate| points(&estimate.data)).unwrap_or_default(),
        });
    }
}

impl Job for Sampling<'_> {
    fn run(&self) -> RunId {
        self.run
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        if self.frames == 0 {
            self.show(inbox);
        }
        let config = &self.sampled.config;
        let mut draw = |x: &Points, usage| noise(config.seed, x.len(), usage);
        let mut draw: Draw<'_> = &mut draw;
        let mut model = Interruptible::new(&mut self.source, inbox);
        let step = self.sampling.step(&mut model, &mut draw).await;
        let Some(report) = Stopped::unless_interrupted(step)? else { return Ok(false) };
        if let Some(report) = report {
            self.steps = u32::try_from(report.step).unwrap_or(u32::MAX);
        }
        if !self.sampling.sampler().x().iter().flatten().all(|v| v.is_finite()) {
            return Err(EngineError::SamplesDiverged { step: self.steps });
        }
        let finished = self.sampling.sampler().is_finished();
        if finished || self.is_due() {
            self.show(inbox);
        }
        if finished {
            let samples = in_data(self.sampling.sampler().x(), &self.sampled.dataset);
            if let Some(control) = self.sampling.control() {
                // Samples under control are no worse for being unlike the data: they are to be like some of them.
                let rows = against_condition(&control.condition, &self.sampled.dataset, &samples, config.seed);
                let report = Report { subject: Subject::Control, done: 1, of: 1, rows, ..Report::default() };
                inbox.port.send(Event::Report { run: self.run, report });
                return Ok(finished);
            }
            let quality = Quantities::default().of(&samples, &self.sampled.dataset, config.seed);
            let step = self.sampled.weights.as_ref().map_or(0, |weights| weights.step);
            inbox.port.send(Event::Quality { run: self.run, step, quality });
        }
        Ok(finished)
    }

    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        self.show(inbox);
        Ok(())
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        Ok(None)
    }
}
