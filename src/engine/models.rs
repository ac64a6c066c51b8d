//! What the worker does with models of the plane and of images.

use super::actor::{Engine, drive, fail};
use super::benchmark;
use super::error::EngineError;
use super::field;
use super::images::desk::{handle_images, sample_images};
use super::images::load::LoadedModel;
use super::images::pool::WorkerPool;
use super::images::remote_model::{self, RemoteModel};
use super::inbox::{Inbox, Port, ends_a_run};
use super::inspect::Inspecting;
use super::likelihood::Likelihood;
use super::plane::{PlaneRun, Sampled};
use super::sample::Sampling;
use super::train::Training;
use crate::lab::ExperimentId;
use crate::nn::WeightsFile;
use crate::protocol::{Bytes, Command, Event, RunId};

/// The models at hand, between runs.
#[derive(Default)]
pub struct Models {
    /// The weights of the plane.
    pub weights: Option<WeightsFile>,
    /// The network of images.
    pub images: Option<LoadedModel>,
    /// Most images evaluated at a time, if the page limits them.
    pub most_images: Option<u32>,
    /// Those who evaluate images for this worker.
    pub pool: WorkerPool,
    /// The network that this worker evaluates for another one.
    pub remote_model: Option<RemoteModel>,
}

/// Lets go of who evaluates images when the visitor has turned to something else: nobody waits for them meanwhile.
pub fn make_room(engine: &mut Engine, command: &Command) {
    let images = matches!(command, Command::Sample { config, .. } if config.experiment == ExperimentId::Images);
    if ends_a_run(command) && !images && !matches!(command, Command::Images(_) | Command::Pool(_) | Command::Stop) {
        engine.models.pool.dismiss();
    }
}

/// Does what a command asks for, to the end of the run that it begins.
pub async fn handle<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, command: Command) {
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
        Command::Pool(order) => {
            match remote_model::handle(&mut engine.models.remote_model, order, &engine.compute).await {
                Ok(answer) => answer.into_iter().for_each(|answer| inbox.port.send(answer)),
                Err(error) => fail(inbox, None, &error),
            }
        }
        Command::Sample { run, config } => match Sampled::new(config, engine.models.weights.as_ref()) {
            Ok(sampled) => {
                drive(engine, inbox, &mut Sampling::new(run, PlaneRun::new(&sampled, &engine.compute))).await
            }
            Err(error) => fail(inbox, Some(run), &error),
        },
        Command::Likelihood { run, config } => match Sampled::new(config, engine.models.weights.as_ref()) {
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
                engine.models.weights = Some(weights);
                inbox.port.send(Event::Loaded { run, config, step });
            }
            Err(error) => fail(inbox, Some(run), &error.into()),
        },
        other => answer(engine, inbox, None, other).await,
    }
}

async fn train<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, run: RunId, job: Result<Training, EngineError>) {
    let mut job = match job {
        Ok(job) => job,
        Err(error) => return fail(inbox, Some(run), &error),
    };
    drive(engine, inbox, &mut job).await;
    match job.into_weights().await {
        Ok(weights) => engine.models.weights = Some(weights),
        Err(error) => fail(inbox, Some(run), &error),
    }
}

/// Answers a command that leaves the current run alone.
pub async fn answer<P: Port>(
    engine: &Engine,
    inbox: &mut Inbox<'_, P>,
    current: Option<&WeightsFile>,
    command: Command,
) {
    let weights = current.or(engine.models.weights.as_ref());
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
