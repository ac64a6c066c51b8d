//! A run of images as the worker has it: with progress, and with those who evaluate for it.

use super::denoiser::ProgressListener;
use super::model::ImageModel;
use super::pool::{EvaluationBatch, WorkerPool};
use super::run::ImageRun;
use crate::data::metrics::Measure;
use crate::engine::error::EngineError;
use crate::engine::inbox::{Inbox, Port};
use crate::engine::sample::{Outcome, SamplingRun};
use crate::lab::{ClassChoice, RunConfig};
use crate::nn::device::ComputeDevice;
use crate::protocol::images::{ImageEvent, ImageProgress, Notice};
use crate::protocol::{Event, Report, RunId};

/// Between reports of progress, in milliseconds.
const REPORT_MS: f64 = 200.0;

/// A run of images with its progress and those who evaluate for it.
pub struct ImageSampling<'m> {
    run: ImageRun<'m>,
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
        config: RunConfig,
        model: &'m ImageModel,
        compute: &ComputeDevice,
        most: Option<u32>,
        pool: &'m mut WorkerPool,
    ) -> Result<Self, EngineError> {
        let no_classes = config.image_class == ClassChoice::Each && model.config().classes == 0;
        let steps = config.steps;
        let mut run = ImageRun::new(config, model, compute)?;
        let usual = run.policy().batch();
        if let Some(most) = most {
            run = run.at_most(most as usize);
        }
        let limited = run.policy().batch() < usual;
        let clock = Clock::default();
        Ok(Self { run, clock, steps, no_classes, limited, pool, workers: 1 })
    }
}

impl SamplingRun for ImageSampling<'_> {
    const FRAMES: usize = 64;
    const FRAMES_A_STRIDE: u32 = 12;

    fn planned_steps(&self) -> Option<usize> {
        self.run.planned_steps()
    }

    fn steps(&self) -> u32 {
        self.run.steps()
    }

    fn begin<P: Port>(&mut self, run: RunId, port: &mut P) {
        self.clock.told = port.now_ms();
        let images = self.run.policy().batch() as u32;
        port.send(Event::Images(ImageEvent::Batch { run, images }));
        let notices = [
            self.limited.then_some(Notice::SmallerBatch { images }),
            self.run.is_without_grid().then_some(Notice::NoGrid { steps: self.steps }),
            self.no_classes.then_some(Notice::NoClasses),
        ];
        for notice in notices.into_iter().flatten() {
            port.send(Event::Images(ImageEvent::Notice { run, notice }));
        }
    }

    async fn step<P: Port>(&mut self, id: RunId, inbox: &mut Inbox<'_, P>) -> Result<Outcome, EngineError> {
        let images = self.run.images();
        let planned = self.run.planned_evaluations();
        // What was evaluated for steps that were given up does not count.
        let done = u64::from(self.run.sampler().evaluations()) * images as u64;
        let before = self.run.evaluated().saturating_sub(done);
        let Self { run, clock, pool, workers, .. } = self;
        let teller = Teller { id, clock, images, planned, before, workers };
        run.step(&mut Reporter { inbox, teller, pool }).await
    }

    async fn frame(&self, run: RunId) -> Result<Event, EngineError> {
        let frame = self.run.frame().await?;
        Ok(Event::Images(ImageEvent::Frame { run, frame }))
    }

    async fn report(&self, run: RunId) -> Option<Event> {
        let [residual, noise] = self.run.residual().await?;
        let rows = vec![Measure::new("residual", residual).against(noise, f64::NAN)];
        Some(Event::Report { run, report: Report::of_control(rows) })
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
