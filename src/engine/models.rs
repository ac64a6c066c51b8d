//! What the worker does with models of the plane and of images.

use super::benchmark;
use super::drive::{Aside, drive, fail};
use super::error::EngineError;
use super::field;
use super::images::desk::ImageDesk;
use super::inbox::{Inbox, Port, ends_a_run};
use super::inspect::Inspecting;
use super::likelihood::Likelihood;
use super::plane::{PlaneRun, Sampled};
use super::sample::Sampling;
use super::train::Training;
use crate::lab::ExperimentId;
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Bytes, Command, Event, RunId};

/// The models at hand, between runs.
pub struct Models {
    plane: PlaneDesk,
    images: ImageDesk,
}

impl Models {
    /// None yet.
    #[must_use]
    pub fn new(compute: &ComputeDevice) -> Self {
        let plane = PlaneDesk { compute: compute.clone(), weights: None };
        Self { plane, images: ImageDesk::new(compute.clone()) }
    }

    /// Lets go of who evaluates images when the visitor has turned to something else: nobody waits for them meanwhile.
    pub fn make_room(&mut self, command: &Command) {
        let images = matches!(command, Command::Sample { config, .. } | Command::Likelihood { config, .. }
            if config.experiment == ExperimentId::Images);
        if ends_a_run(command) && !images && !matches!(command, Command::Images(_) | Command::Pool(_) | Command::Stop) {
            self.images.dismiss();
        }
    }

    /// Does what a command asks for, to the end of the run that it begins.
    pub async fn handle<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, command: Command) {
        match command {
            Command::Sample { run, config } if config.experiment == ExperimentId::Images => {
                self.images.sample(&self.plane, inbox, run, config).await;
            }
            Command::Likelihood { run, config } if config.experiment == ExperimentId::Images => {
                self.images.likelihood(&self.plane, inbox, run, config).await;
            }
            Command::Images(command) => self.images.handle(inbox, command).await,
            Command::Pool(order) => self.images.evaluate(inbox, order).await,
            other => self.plane.handle(inbox, other).await,
        }
    }
}

impl Aside for Models {
    async fn answer<P: Port>(&self, inbox: &mut Inbox<'_, P>, current: Option<&WeightsFile>, command: Command) {
        self.plane.answer(inbox, current, command).await;
    }
}

/// The plane: its device and the weights at hand.
struct PlaneDesk {
    compute: ComputeDevice,
    weights: Option<WeightsFile>,
}

impl PlaneDesk {
    async fn handle<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, command: Command) {
        match command {
            Command::Train { run, config } => {
                let job = Training::new(run, config, None, &self.compute, inbox.port.now_ms());
                self.train(inbox, run, job).await;
            }
            Command::Continue { run, config, checkpoint } => {
                let job = WeightsFile::from_bytes(&checkpoint.0)
                    .map_err(EngineError::from)
                    .and_then(|weights| Training::new(run, config, Some(&weights), &self.compute, inbox.port.now_ms()));
                self.train(inbox, run, job).await;
            }
            Command::Sample { run, config } => match Sampled::new(config, self.weights.as_ref()) {
                Ok(sampled) => {
                    drive(self, inbox, &mut Sampling::new(run, PlaneRun::new(&sampled, &self.compute))).await
                }
                Err(error) => fail(inbox, Some(run), &error),
            },
            Command::Likelihood { run, config } => match Sampled::new(config, self.weights.as_ref()) {
                Ok(sampled) => drive(self, inbox, &mut Likelihood::new(run, &sampled, &self.compute)).await,
                Err(error) => fail(inbox, Some(run), &error),
            },
            Command::Inspect { run, config, points } => match Inspecting::new(run, &config, &points) {
                Ok(mut job) => drive(self, inbox, &mut job).await,
                Err(error) => fail(inbox, Some(run), &error),
            },
            Command::Load { run, file } => match WeightsFile::from_bytes(&file.0) {
                Ok(weights) => {
                    let (config, step) = (weights.config.clone(), weights.step);
                    self.weights = Some(weights);
                    inbox.port.send(Event::Loaded { run, config, step });
                }
                Err(error) => fail(inbox, Some(run), &error.into()),
            },
            other => self.answer(inbox, None, other).await,
        }
    }

    async fn train<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, run: RunId, job: Result<Training, EngineError>) {
        let mut job = match job {
            Ok(job) => job,
            Err(error) => return fail(inbox, Some(run), &error),
        };
        drive(self, inbox, &mut job).await;
        match job.into_weights().await {
            Ok(weights) => self.weights = Some(weights),
            Err(error) => fail(inbox, Some(run), &error),
        }
    }
}

impl Aside for PlaneDesk {
    async fn answer<P: Port>(&self, inbox: &mut Inbox<'_, P>, current: Option<&WeightsFile>, command: Command) {
        let weights = current.or(self.weights.as_ref());
        match command {
            Command::Save { run } => {
                let file = weights.ok_or(EngineError::Untrained).and_then(|w| Ok((w.step, w.to_bytes()?)));
                match file {
                    Ok((step, file)) => inbox.port.send(Event::Weights { run, step, file: Bytes(file) }),
                    Err(error) => fail(inbox, Some(run), &error),
                }
            }
            Command::Field { request, config, t, side } => {
                match field::field(&config, t, side, weights, &self.compute, inbox).await {
                    Ok(Some(score)) => inbox.port.send(Event::Field { request, t, side, score }),
                    // Given up for a command that matters more.
                    Ok(None) => {}
                    Err(error) => fail(inbox, None, &error),
                }
            }
            Command::Benchmark { config, budget_ms } => {
                match benchmark::benchmark(&config, budget_ms, &self.compute, inbox).await {
                    Ok(Some(benchmark)) => inbox.port.send(Event::Benchmark { benchmark }),
                    Ok(None) => {}
                    Err(error) => fail(inbox, None, &error),
                }
            }
            // Without a run there is nothing to hold, step or end; the rest is handled before.
            _ => {}
        }
    }
}
