//! A run of images as the worker has it: with progress, and with those who evaluate for it.

use super::model::ImageModel;
use super::pool::WorkerPool;
use super::reporter::{Reporter, Teller};
use super::run::ImageRun;
use crate::data::metrics::Measure;
use crate::engine::error::EngineError;
use crate::engine::inbox::{Inbox, Port};
use crate::engine::sample::{Outcome, SamplingRun};
use crate::lab::{ClassChoice, RunConfig};
use crate::nn::device::ComputeDevice;
use crate::protocol::images::{ImageEvent, Notice};
use crate::protocol::{Event, Report, RunId};

/// A run of images with its progress and those who evaluate for it.
pub struct ImageSampling<'m> {
    run: ImageRun<'m>,
    teller: Teller,
    /// Steps that were asked for.
    steps: u32,
    no_classes: bool,
    limited: bool,
    pool: &'m mut WorkerPool,
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
        let teller = Teller::new(run.images());
        Ok(Self { run, teller, steps, no_classes, limited, pool })
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
        self.teller.begin(run, port.now_ms());
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

    async fn step<P: Port>(&mut self, _: RunId, inbox: &mut Inbox<'_, P>) -> Result<Outcome, EngineError> {
        let images = self.run.images();
        // What was evaluated for steps that were given up does not count.
        let done = u64::from(self.run.sampler().evaluations()) * images as u64;
        let before = self.run.evaluated().saturating_sub(done);
        let Self { run, teller, pool, .. } = self;
        teller.plan(run.planned_evaluations(), before);
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
