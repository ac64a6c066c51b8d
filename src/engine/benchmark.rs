//! Timing a device.

use super::error::EngineError;
use super::inbox::{Inbox, Port};
use super::learned::Learned;
use super::preview::prior;
use super::reproduction::Digests;
use super::timing::{Timings, budget};
use super::trainer::Trainer;
use crate::diffusion::Sampler;
use crate::lab::RunConfig;
use crate::nn::Architecture;
use crate::nn::device::ComputeDevice;
use crate::protocol::Benchmark;

/// Steps handed to a GPU at once: in training nobody waits for each.
const GPU_STEPS: u32 = 8;
/// Shortest time that is taken for a measurement: browsers' clocks have steps of 0.1 ms and more.
const SHORTEST: f64 = 5.0;
/// Most that is done in one measurement.
const MOST_AT_ONCE: u32 = 256;

/// Times training steps and network evaluations of a configuration; `None` when given up for a command.
///
/// # Errors
/// When the configuration has no data, or the device no longer answers.
pub async fn benchmark<P: Port>(
    config: &RunConfig,
    budget_ms: f64,
    compute: &ComputeDevice,
    inbox: &mut Inbox<'_, P>,
) -> Result<Option<Benchmark>, EngineError> {
    let budget = budget(budget_ms) / 2.0;
    let mut trainer = Trainer::new(config.clone(), compute)?;
    let start = inbox.port.now_ms();
    trainer.advance();
    trainer.take_losses().await?;
    let warm_up_ms = inbox.port.now_ms() - start;

    let mut group = if compute.info.gpu { GPU_STEPS } else { 1 };
    let mut steps = Timings::new(budget, inbox.port.now_ms());
    while steps.wants_more(inbox.port.now_ms()) {
        inbox.breathe().await;
        if inbox.interrupted() {
            return Ok(None);
        }
        let begin = inbox.port.now_ms();
        for _ in 0..group {
            trainer.advance();
        }
        trainer.take_losses().await?;
        let elapsed = inbox.port.now_ms() - begin;
        if elapsed < SHORTEST && group < MOST_AT_ONCE {
            group *= 2;
        } else {
            steps.add(elapsed / f64::from(group));
        }
    }

    let learned = Learned::new(&trainer.weights().await?, compute);
    let sampler = Sampler::from_config(config, prior(config.seed, config.samples as usize));
    let level = sampler.level();
    // An adaptive solver's number is not known before; 100 is usual.
    let planned = f64::from(sampler.planned_evaluations().unwrap_or(100).max(1));
    let (mut evaluations, mut passes) = (Timings::new(budget, inbox.port.now_ms()), 1);
    while evaluations.wants_more(inbox.port.now_ms()) {
        let mut total = 0.0;
        for chunk in (0..passes).flat_map(|_| sampler.x().chunks(learned.chunk())) {
            inbox.breathe().await;
            if inbox.interrupted() {
                return Ok(None);
            }
            let begin = inbox.port.now_ms();
            learned.estimates(chunk, level).await?;
            total += inbox.port.now_ms() - begin;
        }
        if total < SHORTEST && passes < MOST_AT_ONCE {
            passes *= 2;
        } else {
            evaluations.add(total / f64::from(passes));
        }
    }
    // The first ones warm up.
    let (training_step_ms, evaluation_ms) = (steps.median(), evaluations.median());
    let rate = |each: f64| 1000.0 / each.max(1e-6);
    Ok(Some(Benchmark {
        device: compute.info.clone(),
        parameters: u32::try_from(Architecture::from(config).parameters()).unwrap_or(u32::MAX),
        warm_up_ms,
        training_step_ms,
        batch: config.batch,
        evaluation_ms,
        samples: config.samples,
        training_steps_per_second: rate(training_step_ms),
        samples_per_second: rate(evaluation_ms * planned) * f64::from(config.samples),
        digests: Digests::of(config)?.to_string(),
    }))
}
