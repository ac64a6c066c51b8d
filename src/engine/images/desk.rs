//! What the worker does with images: loads weights, samples, tests and times, and evaluates for other workers.

use super::job::ImageSampling;
use super::likelihood_job::PictureLikelihood;
use super::load::{Found, LoadedModel, load};
use super::pool::WorkerPool;
use super::refusal::LoadError;
use super::remote_model::{self, RemoteModel};
use super::{ImageError, ImageModel, benchmark as image_benchmark, self_test};
use crate::engine::EngineError;
use crate::engine::drive::{Aside, drive, fail};
use crate::engine::inbox::{Inbox, Port};
use crate::engine::sample::Sampling;
use crate::lab::RunConfig;
use crate::nn::device::ComputeDevice;
use crate::protocol::PoolRequest;
use crate::protocol::images::{ImageCommand, ImageEvent, WeightsSource};
use crate::protocol::{Command, Event, RunId};

/// The network at hand, if it is the one that a configuration names.
fn held<'m>(held: &'m Option<LoadedModel>, config: &RunConfig) -> Result<&'m ImageModel, ImageError> {
    let wanted = config.weights.as_str();
    match held {
        Some(held) if held.is(wanted) => Ok(&held.model),
        other => {
            let held = other.as_ref().map_or_else(String::new, |held| format!(", but {:?} are", held.model.summary.id));
            Err(ImageError::NoWeights { wanted: wanted.to_owned(), held })
        }
    }
}

/// Tells the page that what was begun at this time is given up.
fn given_up<P: Port>(inbox: &mut Inbox<'_, P>, run: RunId, start: f64) {
    let millis = inbox.port.now_ms() - start;
    inbox.port.send(Event::Done { run, began: true, stopped: true, millis });
}

/// Images: the device, the network at hand, and who helps to evaluate it.
pub struct ImageDesk {
    compute: ComputeDevice,
    model: Option<LoadedModel>,
    /// Most images evaluated at a time, if the page limits them.
    most: Option<u32>,
    /// Those who evaluate images for this worker.
    pool: WorkerPool,
    /// The network that this worker evaluates for another one.
    remote: Option<RemoteModel>,
}

impl ImageDesk {
    /// A desk without a network.
    #[must_use]
    pub fn new(compute: ComputeDevice) -> Self {
        Self { compute, model: None, most: None, pool: WorkerPool::default(), remote: None }
    }

    /// Lets go of those who evaluate images for this worker.
    pub fn dismiss(&mut self) {
        self.pool.dismiss();
    }

    /// Evaluates for another worker.
    pub async fn evaluate<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, order: PoolRequest) {
        match remote_model::handle(&mut self.remote, order, &self.compute).await {
            Ok(answer) => answer.into_iter().for_each(|answer| inbox.port.send(answer)),
            Err(error) => fail(inbox, None, &error),
        }
    }

    /// Samples images with the weights at hand, if they are those that the configuration names.
    pub async fn sample<P: Port>(
        &mut self,
        aside: &impl Aside,
        inbox: &mut Inbox<'_, P>,
        run: RunId,
        config: RunConfig,
    ) {
        #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
        if let Some(held) = self.model.as_mut().filter(|held| held.is(config.weights.as_str())) {
            match held.model.prepare(config.precision, &self.compute).await {
                Ok(None) => {}
                Ok(Some(notice)) => inbox.port.send(Event::Images(ImageEvent::Notice { run, notice })),
                Err(error) => return fail(inbox, Some(run), &error),
            }
        }
        // The CPU worker has single precision only.
        #[cfg(all(target_arch = "wasm32", not(feature = "gpu")))]
        if config.precision == crate::lab::PrecisionId::Half {
            let notice = crate::protocol::images::Notice::NoHalf;
            inbox.port.send(Event::Images(ImageEvent::Notice { run, notice }));
        }
        let mut pool = std::mem::take(&mut self.pool);
        let job = held(&self.model, &config)
            .map_err(EngineError::from)
            .and_then(|model| ImageSampling::new(config, model, &self.compute, self.most, &mut pool));
        match job {
            Ok(job) => drive(aside, inbox, &mut Sampling::new(run, job)).await,
            Err(error) => fail(inbox, Some(run), &error),
        }
        self.pool = pool;
    }

    /// Measures how likely the weights at hand, if they are those that the configuration names, find its picture.
    pub async fn likelihood<P: Port>(
        &mut self,
        aside: &impl Aside,
        inbox: &mut Inbox<'_, P>,
        run: RunId,
        config: RunConfig,
    ) {
        let (pool, now) = (&mut self.pool, inbox.port.now_ms());
        let job = held(&self.model, &config)
            .and_then(|model| PictureLikelihood::new(run, config, model, &self.compute, pool, now));
        match job {
            Ok(mut job) => drive(aside, inbox, &mut job).await,
            Err(error) => fail(inbox, Some(run), &error.into()),
        }
    }

    /// Does what a command on images asks for.
    pub async fn handle<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, command: ImageCommand) {
        let start = inbox.port.now_ms();
        let (run, result) = match command {
            ImageCommand::Load { run, source } => return self.load(inbox, run, source).await,
            ImageCommand::Limit { images } => return self.most = Some(images),
            ImageCommand::Cores { most } => return self.pool.cores = Some(most),
            ImageCommand::SelfTest { run } => {
                let report = self_test::self_test(&self.compute, inbox).await;
                let told = report.map(|report| {
                    report.map(|report| inbox.port.send(Event::Images(ImageEvent::SelfTest { run, report }))).is_some()
                });
                (run, told)
            }
            ImageCommand::Benchmark { run, batches, budget_ms } => {
                let Some(held) = &mut self.model else {
                    let (wanted, held) = (String::new(), String::new());
                    return fail(inbox, Some(run), &ImageError::NoWeights { wanted, held }.into());
                };
                let (compute, pool) = (&self.compute, &mut self.pool);
                (run, image_benchmark::benchmark(run, &batches, budget_ms, &mut held.model, compute, pool, inbox).await)
            }
        };
        match result {
            Ok(true) => {}
            // The command that ended it is the next.
            Ok(false) => given_up(inbox, run, start),
            Err(error) => fail(inbox, Some(run), &error),
        }
    }

    async fn load<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, run: RunId, source: WeightsSource) {
        let start = inbox.port.now_ms();
        // They know the weights that go.
        self.pool.dismiss();
        match load(run, source, &self.compute, inbox).await {
            Ok(Found::Model(held)) => {
                let weights = held.model.summary.clone();
                self.model = Some(*held);
                inbox.port.send(Event::Images(ImageEvent::Loaded { run, weights }));
            }
            Ok(Found::Offer(weights)) => {
                let weights = *weights;
                inbox.port.send(Event::Images(ImageEvent::Loaded { run, weights }));
            }
            Err(LoadError::Refused(mut refusal)) => {
                refusal.kept = self.model.as_ref().map_or_else(String::new, |held| held.model.summary.title.clone());
                inbox.port.send(Event::Images(ImageEvent::Refused { run, refusal }));
            }
            Err(LoadError::GivenUp) => {
                given_up(inbox, run, start);
                // A stop ends what waits for the weights too.
                let mut others = Vec::new();
                for command in inbox.take_until_stop() {
                    match command {
                        Command::Sample { run, .. }
                        | Command::Train { run, .. }
                        | Command::Continue { run, .. }
                        | Command::Study { run, .. }
                        | Command::Likelihood { run, .. }
                        | Command::Inspect { run, .. }
                        | Command::Images(
                            ImageCommand::Load { run, .. }
                            | ImageCommand::SelfTest { run }
                            | ImageCommand::Benchmark { run, .. },
                        ) => inbox.port.send(Event::Done { run, began: false, stopped: true, millis: 0.0 }),
                        // There is nothing to hold, and nothing more to end.
                        Command::Pause | Command::Resume | Command::Step | Command::Stop => {}
                        other => others.push(other),
                    }
                }
                // Files of weights, questions and limits are no runs: they hold as before.
                for command in others.into_iter().rev() {
                    inbox.put_back(command);
                }
            }
        }
    }
}
