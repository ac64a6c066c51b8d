//! The job that samples images.

use super::denoiser::ProgressListener;
use super::model::ImageModel;
use super::pool::{EvaluationBatch, WorkerPool};
use super::run::{ImageRun, Outcome};
use crate::engine::error::EngineError;
use crate::engine::inbox::{Inbox, Port};
use crate::engine::job::Job;
use crate::lab::{ClassId, RunConfig};
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::images::{ImageEvent, ImageProgress, Notice};
use crate::protocol::{Event, RunId};

/// Most frames of a run: what a strip can show.
const FRAMES: usize = 64;
/// Frames of an adaptive run between two doublings of the stride.
const FRAMES_A_STRIDE: u32 = 12;
/// Between reports of progress, in milliseconds.
const REPORT_MS: f64 = 200.0;

/// A run of images with its reports.
pub struct ImageSampling<'m> {
    id: RunId,
    run: ImageRun<'m>,
    frames: u32,
    shown: Option<u32>,
    clock: Clock,
    /// Steps that were asked for.
    steps: u32,
    no_classes: bool,
    limited: bool,
    pool: &'m mut WorkerPool,
    workers: usize,
}

/// How fast a run is.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    told: f64,
    evaluated: u64,
    rate: f64,
}

impl<'m> ImageSampling<'m> {
    /// The run, with at most so many images evaluated at a time, and with those who evaluate for it.
    ///
    /// # Errors
    /// When the configuration cannot be run.
    pub fn new(
        id: RunId,
        config: RunConfig,
        model: &'m ImageModel,
        compute: &ComputeDevice,
        most: Option<u32>,
        pool: &'m mut WorkerPool,
    ) -> Result<Self, EngineError> {
        let no_classes = config.image_class != ClassId::Any && model.config().classes == 0;
        let steps = config.steps;
        let mut run = ImageRun::new(config, model, compute)?;
        let usual = run.policy().batch();
        if let Some(most) = most {
            run = run.at_most(most as usize);
        }
        let limited = run.policy().batch() < usual;
        let clock = Clock::default();
        Ok(Self { id, run, frames: 0, shown: None, clock, steps, no_classes, limited, pool, workers: 1 })
    }

    fn is_due(&self) -> bool {
        let stride = match self.run.sampler().planned_steps() {
            Some(steps) => steps.div_ceil(FRAMES - 2).max(1) as u32,
            None if self.frames as usize >= FRAMES - 2 => return false,
            None => 1 << (self.frames / FRAMES_A_STRIDE),
        };
        self.run.steps().is_multiple_of(stride)
    }

    async fn show<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        if self.shown != Some(self.run.steps()) {
            self.shown = Some(self.run.steps());
            self.frames += 1;
            let frame = self.run.frame().await?;
            inbox.port.send(Event::Images(ImageEvent::Frame { run: self.id, frame }));
        }
        Ok(())
    }
}

impl Job for ImageSampling<'_> {
    fn run(&self) -> RunId {
        self.id
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        if self.frames == 0 {
            self.clock.told = inbox.port.now_ms();
            let (run, images) = (self.id, self.run.policy().batch() as u32);
            inbox.port.send(Event::Images(ImageEvent::Batch { run, images }));
            if self.limited {
                inbox.port.send(Event::Images(ImageEvent::Notice { run, notice: Notice::SmallerBatch { images } }));
            }
            if self.run.is_without_grid() {
                let steps = self.steps;
                inbox.port.send(Event::Images(ImageEvent::Notice { run, notice: Notice::NoGrid { steps } }));
            }
            if self.no_classes {
                inbox.port.send(Event::Images(ImageEvent::Notice { run: self.id, notice: Notice::NoClasses }));
            }
            self.show(inbox).await?;
        }
        let images = self.run.images();
        let planned = self.run.sampler().planned_evaluations();
        // What was evaluated for steps that were given up does not count.
        let done = u64::from(self.run.sampler().evaluations()) * images as u64;
        let before = self.run.evaluated().saturating_sub(done);
        let Self { id, run, clock, pool, workers, .. } = self;
        let teller = Teller { id: *id, clock, images, planned, before, workers };
        let outcome = run.step(&mut Reporter { inbox, teller, pool }).await?;
        match outcome {
            Outcome::GivenUp => Ok(false),
            Outcome::Stepped => {
                if self.is_due() {
                    self.show(inbox).await?;
                }
                Ok(false)
            }
            Outcome::Finished => {
                self.show(inbox).await?;
                Ok(true)
            }
        }
    }

    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        self.show(inbox).await
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        Ok(None)
    }
}

struct Reporter<'a, 'p, P: Port> {
    inbox: &'a mut Inbox<'p, P>,
    teller: Teller<'a>,
    pool: &'a mut WorkerPool,
}

/// What is said between frames.
struct Teller<'a> {
    id: RunId,
    clock: &'a mut Clock,
    images: usize,
    planned: Option<u32>,
    before: u64,
    /// How many evaluate, as was said last.
    workers: &'a mut usize,
}

impl Teller<'_> {
    fn progress<P: Port>(&mut self, port: &mut P, evaluated: u64) {
        let now = port.now_ms();
        let elapsed = now - self.clock.told;
        if elapsed >= REPORT_MS {
            let rate = 1000.0 * evaluated.saturating_sub(self.clock.evaluated) as f64 / elapsed;
            let rate = if self.clock.rate == 0.0 { rate } else { 0.7 * self.clock.rate + 0.3 * rate };
            *self.clock = Clock { told: now, evaluated, rate };
            let images = self.images as f64;
            let evaluations = evaluated.saturating_sub(self.before) as f64 / images;
            let planned = self.planned.unwrap_or(0);
            let left = images * (f64::from(planned) - evaluations).max(0.0) / rate;
            let left = if left.is_finite() && planned > 0 { left } else { 0.0 };
            let progress = ImageProgress { evaluations, planned, rate, left };
            port.send(Event::Images(ImageEvent::Progress { run: self.id, progress }));
        }
    }

    fn workers<P: Port>(&mut self, port: &mut P, workers: usize) {
        // Where nobody else is, the one that samples does it.
        let workers = workers.max(1);
        if *self.workers != workers {
            *self.workers = workers;
            port.send(Event::Images(ImageEvent::Pool { run: self.id, workers: workers as u32 }));
        }
    }
}

impl<P: Port> ProgressListener for Reporter<'_, '_, P> {
    async fn go_on(&mut self, evaluated: u64) -> bool {
        self.inbox.breathe().await;
        let stays = !self.inbox.is_called_away();
        if stays {
            self.teller.progress(self.inbox.port, evaluated);
        }
        stays
    }

    fn smaller_batch(&mut self, images: usize) {
        let notice = Notice::SmallerBatch { images: images as u32 };
        self.inbox.port.send(Event::Images(ImageEvent::Notice { run: self.teller.id, notice }));
    }

    fn now_ms(&self) -> f64 {
        self.inbox.port.now_ms()
    }

    fn has_others(&mut self, model: &ImageModel, evaluations: usize) -> bool {
        self.pool.spawn(evaluations, model, self.inbox.port);
        self.pool.is_there()
    }

    async fn elsewhere(
        &mut self,
        model: &ImageModel,
        asks: &EvaluationBatch,
        evaluated: u64,
    ) -> Option<Vec<Option<Vec<f32>>>> {
        let images = asks.count;
        let (teller, count) = (&mut self.teller, asks.each.len());
        let mut tell = |port: &mut P, answered: usize, workers: usize| {
            teller.workers(port, workers);
            teller.progress(port, evaluated + (answered * images / count) as u64);
        };
        self.pool.evaluate(model, asks, self.inbox, &mut tell).await
    }
}
