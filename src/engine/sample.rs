//! The job that samples, whatever is sampled: its frames, its interruption and the report at its end.

use super::error::EngineError;
use super::inbox::{Inbox, Port};
use super::job::Job;
use crate::nn::WeightsFile;
use crate::protocol::{Event, RunId};

/// What a step of a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The samples moved, or the solver tried in vain and will try again.
    Stepped,
    /// The run is over.
    Finished,
    /// A command or a listener ended it; the samples are as they were before the step.
    GivenUp,
}

/// A sampling run over some state, in steps, with what the page is told of it.
#[allow(async_fn_in_trait)]
pub trait SamplingRun {
    /// Most frames: what the page can show.
    const FRAMES: usize;
    /// Frames of an adaptive run between two doublings of the stride.
    const FRAMES_A_STRIDE: u32;

    /// Steps of the whole run; `None` when the solver decides as it goes.
    fn planned_steps(&self) -> Option<usize>;

    /// Steps done.
    fn steps(&self) -> u32;

    /// Says what there is to know before the first evaluation.
    fn begin<P: Port>(&mut self, run: RunId, port: &mut P) {
        let _ = (run, port);
    }

    /// One step, given up when a command arrives that ends the run.
    ///
    /// # Errors
    /// When the device no longer answers, or the samples are no longer finite.
    async fn step<P: Port>(&mut self, run: RunId, inbox: &mut Inbox<'_, P>) -> Result<Outcome, EngineError>;

    /// The state as the page shows it.
    ///
    /// # Errors
    /// When the device no longer answers, or the samples are no longer finite.
    async fn frame(&self, run: RunId) -> Result<Event, EngineError>;

    /// What there is to say of the samples at the end.
    async fn report(&self, run: RunId) -> Option<Event>;
}

/// A sampling run with its frames.
pub struct Sampling<R> {
    id: RunId,
    run: R,
    frames: u32,
    shown: Option<u32>,
}

impl<R: SamplingRun> Sampling<R> {
    /// The job of a run.
    #[must_use]
    pub fn new(id: RunId, run: R) -> Self {
        Self { id, run, frames: 0, shown: None }
    }

    /// Whether a frame is due after so many steps: at even strides that make at most [`SamplingRun::FRAMES`], first and
    /// last included.
    fn is_due(&self) -> bool {
        let stride = match self.run.planned_steps() {
            Some(steps) => steps.div_ceil(R::FRAMES - 2).max(1) as u32,
            None if self.frames as usize >= R::FRAMES - 2 => return false,
            None => 1 << (self.frames / R::FRAMES_A_STRIDE),
        };
        self.run.steps().is_multiple_of(stride)
    }

    async fn show<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        let steps = self.run.steps();
        if self.shown != Some(steps) {
            self.shown = Some(steps);
            self.frames += 1;
            let frame = self.run.frame(self.id).await?;
            inbox.port.send(frame);
        }
        Ok(())
    }
}

impl<R: SamplingRun> Job for Sampling<R> {
    fn run(&self) -> RunId {
        self.id
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        if self.frames == 0 {
            self.run.begin(self.id, inbox.port);
            self.show(inbox).await?;
        }
        let outcome = self.run.step(self.id, inbox).await?;
        if outcome == Outcome::Finished || (outcome == Outcome::Stepped && self.is_due()) {
            self.show(inbox).await?;
        }
        if outcome == Outcome::Finished
            && let Some(report) = self.run.report(self.id).await
        {
            inbox.port.send(report);
        }
        Ok(outcome == Outcome::Finished)
    }

    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        self.show(inbox).await
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        Ok(None)
    }
}
