//! Progress of a job on images, and those who evaluate for it.

use super::denoiser::ProgressListener;
use super::model::ImageModel;
use super::pool::{EvaluationBatch, WorkerPool};
use crate::engine::inbox::{Inbox, Port};
use crate::protocol::images::{ImageEvent, ImageProgress, Notice};
use crate::protocol::{Event, RunId};

/// Between reports of progress, in milliseconds.
const REPORT_MS: f64 = 200.0;
/// Share of a job from which its length is judged.
const ENOUGH: f64 = 0.02;

/// Who watches a job on images: tells the page how far it is, and has others evaluate for it.
pub struct Reporter<'a, 'p, P: Port> {
    /// What else the page may have said.
    pub inbox: &'a mut Inbox<'p, P>,
    /// What is told.
    pub teller: &'a mut Teller,
    /// Who could help.
    pub pool: &'a mut WorkerPool,
}

/// What is said between results: how many evaluations are done and planned, how fast they are made, and who makes them.
#[derive(Clone, Debug, Default)]
pub struct Teller {
    run: RunId,
    images: usize,
    planned: Option<u32>,
    /// Images evaluated for steps that were given up.
    before: u64,
    /// Images evaluated in the parts of the job before this one, and in this one.
    earlier: u64,
    now: u64,
    /// The part of the job that is done, from 0, and all of them.
    part: [u32; 2],
    /// When it was told last, what was evaluated by then, and the images a second.
    told: f64,
    evaluated: u64,
    rate: f64,
    /// How many evaluate, as was said last.
    workers: usize,
    silent: bool,
}

impl Teller {
    /// For a job on so many images.
    #[must_use]
    pub fn new(images: usize) -> Self {
        Self { images, part: [0, 1], workers: 1, ..Self::default() }
    }

    /// Says nothing: for what is over in no time.
    #[must_use]
    pub fn silent() -> Self {
        Self { silent: true, ..Self::new(1) }
    }

    /// The job begins.
    pub fn begin(&mut self, run: RunId, now: f64) {
        (self.run, self.told) = (run, now);
    }

    /// So many evaluations of each image are planned, and so many images were evaluated for nothing.
    pub fn plan(&mut self, planned: Option<u32>, before: u64) {
        (self.planned, self.before) = (planned, before);
    }

    /// Part number `part` of `of`, from 0, begins. What is evaluated is counted from 0 again.
    #[cfg(feature = "models")]
    pub fn part(&mut self, part: u32, of: u32) {
        self.part = [part, of.max(1)];
        self.earlier += std::mem::take(&mut self.now);
    }

    /// A share of this part is done: the evaluations of the whole follow from it.
    fn done(&mut self, share: f64) {
        let [part, of] = self.part.map(f64::from);
        let whole = (part + share) / of;
        if whole > ENOUGH {
            self.planned = Some(((self.earlier + self.now) as f64 / (whole * self.images as f64)) as u32);
        }
    }

    fn progress<P: Port>(&mut self, port: &mut P, evaluated: u64) {
        self.now = evaluated;
        let now = port.now_ms();
        let elapsed = now - self.told;
        if elapsed >= REPORT_MS && !self.silent {
            let evaluated = self.earlier + evaluated;
            let rate = 1000.0 * evaluated.saturating_sub(self.evaluated) as f64 / elapsed;
            self.rate = if self.rate == 0.0 { rate } else { 0.7 * self.rate + 0.3 * rate };
            (self.told, self.evaluated) = (now, evaluated);
            let images = self.images as f64;
            let evaluations = evaluated.saturating_sub(self.before) as f64 / images;
            let planned = self.planned.unwrap_or(0);
            let left = images * (f64::from(planned) - evaluations).max(0.0) / self.rate;
            let left = if left.is_finite() && planned > 0 { left } else { 0.0 };
            let progress = ImageProgress { evaluations, planned, rate: self.rate, left };
            port.send(Event::Images(ImageEvent::Progress { run: self.run, progress }));
        }
    }

    fn workers<P: Port>(&mut self, port: &mut P, workers: usize) {
        // Where nobody else is, the one that samples does it.
        let workers = workers.max(1);
        if self.workers != workers {
            self.workers = workers;
            port.send(Event::Images(ImageEvent::Pool { run: self.run, workers: workers as u32 }));
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

    fn done(&mut self, share: f64) {
        self.teller.done(share);
    }

    fn smaller_batch(&mut self, images: usize) {
        let notice = Notice::SmallerBatch { images: images as u32 };
        self.inbox.port.send(Event::Images(ImageEvent::Notice { run: self.teller.run, notice }));
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
