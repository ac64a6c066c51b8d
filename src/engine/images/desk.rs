//! What the worker does with images: loads weights, samples, tests and times.

use super::job::ImageSampling;
use super::load::{LoadError, load};
use super::{ImageError, benchmark as image_benchmark, self_test};
use crate::engine::actor::{Engine, drive, fail};
use crate::engine::inbox::{Inbox, Port};
use crate::engine::sample::Sampling;
use crate::lab::RunConfig;
use crate::protocol::images::{ImageCommand, ImageEvent, WeightsSource};
use crate::protocol::{Command, Event, RunId};

/// Samples images with the weights at hand, if they are those that the configuration names.
pub async fn sample_images<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, run: RunId, config: RunConfig) {
    let wanted = config.weights.as_str();
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    if let Some(held) = engine.models.images.as_mut().filter(|held| held.is(wanted)) {
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
    let mut pool = std::mem::take(&mut engine.models.pool);
    let job = match &engine.models.images {
        Some(held) if held.is(wanted) => {
            ImageSampling::new(config, &held.model, &engine.compute, engine.models.most_images, &mut pool)
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
    engine.models.pool = pool;
}

/// Does what a command on images asks for.
pub async fn handle_images<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, command: ImageCommand) {
    let start = inbox.port.now_ms();
    let (run, result) = match command {
        ImageCommand::Load { run, source } => return load_images(engine, inbox, run, source).await,
        ImageCommand::Limit { images } => return engine.models.most_images = Some(images),
        ImageCommand::Cores { most } => return engine.models.pool.cores = Some(most),
        ImageCommand::SelfTest { run } => {
            let report = self_test::self_test(&engine.compute, inbox).await;
            let told = report.map(|report| {
                report.map(|report| inbox.port.send(Event::Images(ImageEvent::SelfTest { run, report }))).is_some()
            });
            (run, told)
        }
        ImageCommand::Benchmark { run, batches, budget_ms } => {
            let Some(held) = &mut engine.models.images else {
                let (wanted, held) = (String::new(), String::new());
                return fail(inbox, Some(run), &ImageError::NoWeights { wanted, held }.into());
            };
            let (compute, pool) = (&engine.compute, &mut engine.models.pool);
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
    engine.models.pool.dismiss();
    match load(run, source, &engine.compute, inbox).await {
        Ok(held) => {
            let weights = held.model.summary.clone();
            engine.models.images = Some(held);
            inbox.port.send(Event::Images(ImageEvent::Loaded { run, weights }));
        }
        Err(LoadError::Refused(mut refusal)) => {
            refusal.kept =
                engine.models.images.as_ref().map_or_else(String::new, |held| held.model.summary.title.clone());
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
