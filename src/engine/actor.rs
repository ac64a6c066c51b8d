//! The worker: takes commands, runs one job at a time, and stays reachable while it does.

use super::benchmark;
use super::error::EngineError;
use super::field;
use super::images::job::ImageSampling;
use super::images::load::{LoadError, LoadedModel, load};
use super::images::pool::WorkerPool;
use super::images::remote_model::{self, RemoteModel};
use super::images::{ImageError, benchmark as image_benchmark, self_test};
use super::inbox::{Inbox, Port, ends_a_run};
use super::inspect::Inspecting;
use super::job::Job;
use super::likelihood::Likelihood;
use super::plane::{PlaneRun, Sampled};
use super::sample::Sampling;
use super::study::Studying;
use super::train::Training;
use crate::lab::{ExperimentId, RunConfig};
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::images::{ImageCommand, ImageEvent, WeightsSource};
use crate::protocol::{Bytes, Command, Event, Failure, RunId};
use crate::study;

/// What stays between runs.
pub struct Engine {
    /// The device.
    pub compute: ComputeDevice,
    /// The weights at hand.
    pub weights: Option<WeightsFile>,
    /// The network of images at hand.
    pub images: Option<LoadedModel>,
    /// Most images evaluated at a time, if the page limits them.
    pub most_images: Option<u32>,
    /// Those who evaluate images for this worker.
    pub pool: WorkerPool,
    /// The network that this worker evaluates for another one.
    pub remote_model: Option<RemoteModel>,
}

/// Serves a port for ever: the whole worker. Announces itself with [`Event::Ready`].
pub async fn serve(port: &mut impl Port, compute: ComputeDevice) {
    port.send(Event::Ready { device: compute.info.clone() });
    let pool = WorkerPool::default();
    let mut engine = Engine { compute, weights: None, images: None, most_images: None, pool, remote_model: None };
    let mut inbox = Inbox::new(port);
    loop {
        let command = inbox.wait().await;
        handle(&mut engine, &mut inbox, command).await;
    }
}

async fn handle<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, command: Command) {
    let images = matches!(&command, Command::Sample { config, .. } if config.experiment == ExperimentId::Images);
    if ends_a_run(&command) && !images && !matches!(command, Command::Images(_) | Command::Pool(_) | Command::Stop) {
        // The visitor has turned to something else: nobody waits for images in memory meanwhile.
        engine.pool.dismiss();
    }
    match command {
        Command::Train { run, config } => {
            let job = Training::new(run, config, None, &engine.compute, inbox.port.now_ms());
            train(engine, inbox, run, job).await;
        }
        Command::Continue { run, config, checkpoint } => {
            let job = WeightsFile::from_bytes(&checkpoint.0)
                .map_err(EngineError::from)
                .and_then(|weights| Training::new(run, config, Some(&weights), &engine.compute, inbox.port.now_ms()));
            train(engine, inbox, run, job).await;
        }
        Command::Sample { run, config } if config.experiment == ExperimentId::Images => {
            sample_images(engine, inbox, run, config).await;
        }
        Command::Images(command) => handle_images(engine, inbox, command).await,
        Command::Pool(order) => match remote_model::handle(&mut engine.remote_model, order, &engine.compute).await {
            Ok(answer) => answer.into_iter().for_each(|answer| inbox.port.send(answer)),
            Err(error) => fail(inbox, None, &error),
        },
        Command::Sample { run, config } => match Sampled::new(config, engine.weights.as_ref()) {
            Ok(sampled) => {
                drive(engine, inbox, &mut Sampling::new(run, PlaneRun::new(&sampled, &engine.compute))).await
            }
            Err(error) => fail(inbox, Some(run), &error),
        },
        Command::Study { run, config } => match study::begin(&config, &engine.compute) {
            Some(running) => drive(engine, inbox, &mut Studying::new(run, running)).await,
            None => fail(inbox, Some(run), &EngineError::NoStudy),
        },
        Command::Likelihood { run, config } => match Sampled::new(config, engine.weights.as_ref()) {
            Ok(sampled) => drive(engine, inbox, &mut Likelihood::new(run, &sampled, &engine.compute)).await,
            Err(error) => fail(inbox, Some(run), &error),
        },
        Command::Inspect { run, config, points } => match Inspecting::new(run, &config, &points) {
            Ok(mut job) => drive(engine, inbox, &mut job).await,
            Err(error) => fail(inbox, Some(run), &error),
        },
        Command::Load { run, file } => match WeightsFile::from_bytes(&file.0) {
            Ok(weights) => {
                let (config, step) = (weights.config.clone(), weights.step);
                engine.weights = Some(weights);
                inbox.port.send(Event::Loaded { run, config, step });
            }
            Err(error) => fail(inbox, Some(run), &error.into()),
        },
        other => handle_during_run(engine, inbox, None, other).await,
    }
}

async fn sample_images<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, run: RunId, config: RunConfig) {
    let wanted = config.weights.as_str();
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    if let Some(held) = engine.images.as_mut().filter(|held| held.is(wanted)) {
        match held.model.prepare(config.precision, &engine.compute).await {
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
    let mut pool = std::mem::take(&mut engine.pool);
    let job = match &engine.images {
        Some(held) if held.is(wanted) => {
            ImageSampling::new(config, &held.model, &engine.compute, engine.most_images, &mut pool)
        }
        other => {
            let held = other.as_ref().map_or_else(String::new, |held| format!(", but {:?} are", held.model.summary.id));
            Err(ImageError::NoWeights { wanted: wanted.to_owned(), held }.into())
        }
    };
    match job {
        Ok(job) => drive(engine, inbox, &mut Sampling::new(run, job)).await,
        Err(error) => fail(inbox, Some(run), &error),
    }
    engine.pool = pool;
}

async fn handle_images<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, command: ImageCommand) {
    let start = inbox.port.now_ms();
    let (run, result) = match command {
        ImageCommand::Load { run, source } => return load_images(engine, inbox, run, source).await,
        ImageCommand::Limit { images } => return engine.most_images = Some(images),
        ImageCommand::Cores { most } => return engine.pool.cores = Some(most),
        ImageCommand::SelfTest { run } => {
            let report = self_test::self_test(&engine.compute, inbox).await;
            let told = report.map(|report| {
                report.map(|report| inbox.port.send(Event::Images(ImageEvent::SelfTest { run, report }))).is_some()
            });
            (run, told)
        }
        ImageCommand::Benchmark { run, batches, budget_ms } => {
            let Some(held) = &mut engine.images else {
                let (wanted, held) = (String::new(), String::new());
                return fail(inbox, Some(run), &ImageError::NoWeights { wanted, held }.into());
            };
            let (compute, pool) = (&engine.compute, &mut engine.pool);
            (run, image_benchmark::benchmark(run, &batches, budget_ms, &mut held.model, compute, pool, inbox).await)
        }
    };
    match result {
        Ok(true) => {}
        // The command that ended it is the next.
        Ok(false) => inbox.port.send(Event::Done { run, stopped: true, millis: inbox.port.now_ms() - start }),
        Err(error) => fail(inbox, Some(run), &error),
    }
}

async fn load_images<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, run: RunId, source: WeightsSource) {
    let start = inbox.port.now_ms();
    // They know the weights that go.
    engine.pool.dismiss();
    match load(run, source, &engine.compute, inbox).await {
        Ok(held) => {
            let weights = held.model.summary.clone();
            engine.images = Some(held);
            inbox.port.send(Event::Images(ImageEvent::Loaded { run, weights }));
        }
        Err(LoadError::Refused(mut refusal)) => {
            refusal.kept = engine.images.as_ref().map_or_else(String::new, |held| held.model.summary.title.clone());
            inbox.port.send(Event::Images(ImageEvent::Refused { run, refusal }));
        }
        Err(LoadError::GivenUp) => {
            inbox.port.send(Event::Done { run, stopped: true, millis: inbox.port.now_ms() - start });
            // A stop ends what waits for the weights too.
            for command in inbox.take_until_stop() {
                if let Command::Sample { run, .. }
                | Command::Train { run, .. }
                | Command::Continue { run, .. }
                | Command::Likelihood { run, .. }
                | Command::Images(ImageCommand::SelfTest { run } | ImageCommand::Benchmark { run, .. }) = command
                {
                    inbox.port.send(Event::Done { run, stopped: true, millis: 0.0 });
                }
            }
        }
    }
}

async fn train<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, run: RunId, job: Result<Training, EngineError>) {
    let mut job = match job {
        Ok(job) => job,
        Err(error) => return fail(inbox, Some(run), &error),
    };
    drive(engine, inbox, &mut job).await;
    match job.into_weights().await {
        Ok(weights) => engine.weights = Some(weights),
        Err(error) => fail(inbox, Some(run), &error),
    }
}

/// Commands that leave the current run alone.
async fn handle_during_run<P: Port>(
    engine: &Engine,
    inbox: &mut Inbox<'_, P>,
    current: Option<&WeightsFile>,
    command: Command,
) {
    let weights = current.or(engine.weights.as_ref());
    match command {
        Command::Save => {
            let file = weights.ok_or(EngineError::Untrained).and_then(|w| Ok((w.step, w.to_bytes()?)));
            match file {
                Ok((step, file)) => inbox.port.send(Event::Weights { step, file: Bytes(file) }),
                Err(error) => fail(inbox, None, &error),
            }
        }
        Command::Field { request, config, t, side } => {
            match field::field(&config, t, side, weights, &engine.compute, inbox).await {
                Ok(Some(score)) => inbox.port.send(Event::Field { request, t, side, score }),
                // Given up for a command that matters more.
                Ok(None) => {}
                Err(error) => fail(inbox, None, &error),
            }
        }
        Command::Benchmark { config, budget_ms } => {
            match benchmark::benchmark(&config, budget_ms, &engine.compute, inbox).await {
                Ok(Some(benchmark)) => inbox.port.send(Event::Benchmark { benchmark }),
                Ok(None) => {}
                Err(error) => fail(inbox, None, &error),
            }
        }
        // Without a run there is nothing to hold, step or end; the rest is handled before.
        _ => {}
    }
}

/// Runs a job to its end, or to the command that ends it.
async fn drive<P: Port, J: Job>(engine: &Engine, inbox: &mut Inbox<'_, P>, job: &mut J) {
    let run = job.run();
    let mut since = inbox.port.now_ms();
    let mut millis = 0.0;
    let mut paused = false;
    let stopped = loop {
        inbox.breathe().await;
        let mut single = false;
        let command = if paused { Some(inbox.wait().await) } else { inbox.take() };
        match command {
            None => {}
            Some(Command::Pause) if !paused => {
                paused = true;
                millis += inbox.port.now_ms() - since;
                if let Err(error) = job.report(inbox).await {
                    return fail(inbox, Some(run), &error);
                }
                inbox.port.send(Event::Paused { run });
                continue;
            }
            Some(Command::Resume) if paused => {
                paused = false;
                since = inbox.port.now_ms();
                inbox.port.send(Event::Resumed { run });
                continue;
            }
            Some(Command::Step) if paused => {
                single = true;
                since = inbox.port.now_ms();
            }
            Some(command) if ends_a_run(&command) => {
                if command != Command::Stop {
                    inbox.put_back(command);
                }
                break true;
            }
            Some(command @ (Command::Save | Command::Field { .. } | Command::Benchmark { .. })) => {
                match job.weights().await {
                    Ok(weights) => handle_during_run(engine, inbox, weights.as_ref(), command).await,
                    Err(error) => fail(inbox, None, &error),
                }
                continue;
            }
            // A second pause, or a step or resumption of a run that is not held.
            Some(_) => continue,
        }
        inbox.held = single;
        let finished = match job.advance(inbox).await {
            Ok(finished) => finished,
            Err(error) => return fail(inbox, Some(run), &error),
        };
        if single {
            millis += inbox.port.now_ms() - since;
            if let Err(error) = job.report(inbox).await {
                return fail(inbox, Some(run), &error);
            }
        }
        if finished {
            break false;
        }
    };
    if !paused {
        millis += inbox.port.now_ms() - since;
    }
    inbox.port.send(Event::Done { run, stopped, millis });
}

fn fail<P: Port>(inbox: &mut Inbox<'_, P>, run: Option<RunId>, error: &EngineError) {
    inbox.port.send(Event::Failed { run, failure: Failure::from(error) });
}
