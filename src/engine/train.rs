//! The job that trains.

use super::error::EngineError;
use super::inbox::{Inbox, Port};
use super::job::Job;
use super::learned::{Learned, Source};
use super::preview::{Quantities, preview};
use super::trainer::Trainer;
use crate::lab::RunConfig;
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Bytes, Event, Floats, RunId};

/// Between reports of progress, in milliseconds: 30 a second.
const REPORT_MS: f64 = 1000.0 / 30.0;
/// Between looks at samples, at least.
const PREVIEW_MS: f64 = 1000.0;
/// A look at samples may take this share of the time.
const PREVIEW_SHARE: f64 = 0.15;
/// Between checkpoints.
const CHECKPOINT_MS: f64 = 5000.0;
/// Work handed to a GPU between two waits for it.
const QUEUE_MS: f64 = 25.0;

/// When something was done last.
struct Since {
    report: f64,
    preview: f64,
    checkpoint: f64,
    /// Start of the time over which the rate is measured.
    window: f64,
}

/// A training run with its reports.
pub struct Training {
    run: RunId,
    trainer: Trainer,
    compute: ComputeDevice,
    /// The newest weights that are known to be finite.
    good: WeightsFile,
    diverged: bool,
    losses: Vec<f32>,
    since: Since,
    steps_in_window: u32,
    rate: f64,
    preview_ms: f64,
    quantities: Quantities,
    unread: u32,
    unread_limit: u32,
}

impl Training {
    /// A run from new weights, or from these.
    ///
    /// # Errors
    /// When the configuration has no data to train on.
    pub fn new(
        run: RunId,
        config: RunConfig,
        from: Option<&WeightsFile>,
        compute: &ComputeDevice,
        now: f64,
    ) -> Result<Self, EngineError> {
        let trainer = match from {
            Some(weights) => Trainer::resume(config, weights, compute)?,
            None => Trainer::new(config, compute)?,
        };
        let architecture = crate::nn::Architecture::from(trainer.config());
        let parameters =
            from.map_or_else(|| architecture.initial(trainer.config().seed), |weights| weights.parameters.clone());
        let good = WeightsFile { config: trainer.config().clone(), step: trainer.step(), parameters };
        // The first look comes early: it is what a visitor waits for.
        let since = Since { report: now, preview: now - 0.6 * PREVIEW_MS, checkpoint: now, window: now };
        Ok(Self {
            run,
            trainer,
            compute: compute.clone(),
            good,
            diverged: false,
            losses: Vec::new(),
            since,
            steps_in_window: 0,
            rate: 0.0,
            preview_ms: 0.0,
            quantities: Quantities::default(),
            unread: 0,
            unread_limit: 1,
        })
    }

    /// The weights that stay after the run.
    ///
    /// # Errors
    /// When the device no longer answers.
    pub async fn into_weights(mut self) -> Result<WeightsFile, EngineError> {
        // A run that was lost to infinities, or a device that went away, leaves what was good last.
        if !self.diverged && self.read().await.is_ok() {
            let _ = self.snapshot().await;
        }
        Ok(self.good)
    }

    /// Takes in the losses of the steps handed over.
    async fn read(&mut self) -> Result<(), EngineError> {
        let losses = self.trainer.take_losses().await?;
        self.unread = 0;
        if losses.iter().any(|loss| !loss.is_finite()) {
            return Err(self.lose());
        }
        self.losses.extend(losses);
        Ok(())
    }

    fn lose(&mut self) -> EngineError {
        self.diverged = true;
        EngineError::Diverged { step: self.trainer.step(), kept: self.good.step }
    }

    /// Keeps the weights of now as good ones. Call it after [`Self::read`].
    async fn snapshot(&mut self) -> Result<(), EngineError> {
        let weights = self.trainer.weights().await?;
        if weights.parameters.iter().any(|p| !p.is_finite()) {
            return Err(self.lose());
        }
        self.good = weights;
        Ok(())
    }

    fn tell<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, now: f64) {
        let elapsed = now - self.since.window;
        if self.steps_in_window > 0 && elapsed > 0.0 {
            let rate = 1000.0 * f64::from(self.steps_in_window) / elapsed;
            self.rate = if self.rate == 0.0 { rate } else { 0.8 * self.rate + 0.2 * rate };
        }
        self.steps_in_window = 0;
        self.since.window = now;
        self.since.report = now;
        inbox.port.send(Event::Training {
            run: self.run,
            step: self.trainer.step(),
            of: self.trainer.config().training_steps,
            losses: Floats(std::mem::take(&mut self.losses)),
            rate: self.rate,
        });
    }

    async fn look<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        let start = inbox.port.now_ms();
        self.snapshot().await?;
        let (config, dataset) = (self.trainer.config(), self.trainer.dataset());
        let mut source = Source::Learned(Box::new(Learned::new(&self.good, &self.compute)));
        if let Some(points) = preview(config, dataset, &mut source, inbox).await? {
            let quality = self.quantities.of(&points, dataset, config.seed);
            let (run, step) = (self.run, self.trainer.step());
            inbox.port.send(Event::Preview { run, step, points: Floats::from_points(&points) });
            inbox.port.send(Event::Quality { run, step, quality });
        }
        let now = inbox.port.now_ms();
        self.preview_ms = now - start;
        self.since.preview = now;
        // The time of looking is not the training's.
        self.since.window += now - start;
        Ok(())
    }

    fn save<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        let file = Bytes(self.good.to_bytes()?);
        inbox.port.send(Event::Checkpoint { run: self.run, step: self.good.step, file });
        self.since.checkpoint = inbox.port.now_ms();
        Ok(())
    }
}

impl Job for Training {
    fn run(&self) -> RunId {
        self.run
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        let start = inbox.port.now_ms();
        if !self.trainer.is_finished() {
            while !self.trainer.advance_a_part() {
                inbox.breathe().await;
                if inbox.interrupted() {
                    return Ok(false);
                }
            }
            self.unread += 1;
            self.steps_in_window += 1;
        }
        let finished = self.trainer.is_finished();
        let mut now = inbox.port.now_ms();
        let due = now - self.since.report >= REPORT_MS;
        if due || finished || (self.compute.info.gpu && self.unread >= self.unread_limit) {
            let steps = f64::from(self.unread.max(1));
            self.read().await?;
            now = inbox.port.now_ms();
            // Only so much is handed to a GPU at a time that it can still be stopped.
            let each = ((now - start) / steps).max(1e-3);
            self.unread_limit = (QUEUE_MS / each).clamp(1.0, 64.0) as u32;
        }
        if due || finished {
            self.tell(inbox, now);
        }
        let wait = PREVIEW_MS.max(self.preview_ms / PREVIEW_SHARE);
        if finished || (due && now - self.since.preview >= wait) {
            self.look(inbox).await?;
        }
        if finished || (due && now - self.since.checkpoint >= CHECKPOINT_MS) {
            self.snapshot().await?;
            self.save(inbox)?;
        }
        Ok(finished)
    }

    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        self.read().await?;
        let now = inbox.port.now_ms();
        self.tell(inbox, now);
        Ok(())
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        self.read().await?;
        self.snapshot().await?;
        Ok(Some(self.good.clone()))
    }
}
