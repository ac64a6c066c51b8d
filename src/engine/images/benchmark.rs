//! Timing the network of images.

use super::denoiser::room_for;
use super::model::ImageModel;
use super::pictures::{Pictures, finish};
use super::pool::{EvaluationBatch, WorkerPool};
use crate::engine::error::{EngineError, ImageError};
use crate::engine::inbox::{Inbox, Port};
use crate::engine::timing::{Timings, budget};
use crate::nn::device::ComputeDevice;
use crate::nn::unet::UNet;
use crate::protocol::images::{BenchmarkRow, ImageBenchmark, ImageEvent};
use crate::protocol::{Event, RunId};
use crate::rng::{Rng, Stream};

/// Most images of an evaluation.
const LARGEST: u32 = 64;
/// Evaluations behind an image, in the rate that is reported.
const EVALUATIONS: f64 = 20.0;
/// The time that the network is told: in the middle for steps, and one more level for others.
const TIME: f64 = 400.0;

/// Times evaluations, batch by batch, each told at once. `false` when a command ended it.
///
/// # Errors
/// When the device no longer answers.
pub async fn benchmark<P: Port>(
    run: RunId,
    batches: &[u32],
    budget_ms: f64,
    model: &mut ImageModel,
    compute: &ComputeDevice,
    pool: &mut WorkerPool,
    inbox: &mut Inbox<'_, P>,
) -> Result<bool, EngineError> {
    let budget = budget(budget_ms);
    let mut report = ImageBenchmark {
        device: compute.info.clone(),
        title: model.summary.title.clone(),
        parameters: model.summary.parameters,
        side: model.side as u32,
        gflop: 2e-9 * model.network.cost(model.side).products as f64,
        weight_bytes: model.summary.held_bytes,
        ..ImageBenchmark::default()
    };
    // No more at a time than there is room for, and nothing twice.
    let mut fitting = Vec::new();
    for &batch in batches {
        let batch = room_for(batch.clamp(1, LARGEST) as usize, model, compute)? as u32;
        if !fitting.contains(&batch) {
            fitting.push(batch);
        }
    }
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    let half = {
        model.prepare(crate::lab::PrecisionId::Full, compute).await?;
        model.half_network(compute).await?
    };
    for (index, &batch) in fitting.iter().enumerate() {
        let complete = index + 1 == fitting.len();
        let full = &model.network;
        #[allow(unused_mut, reason = "the CPU worker knows no half precision")]
        let Some(mut row) = row(batch, budget, full, model.side, compute, inbox).await? else { return Ok(false) };
        #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
        if let Some(half) = &half {
            let Some(other) = self::row(batch, budget, half, model.side, compute, inbox).await? else {
                return Ok(false);
            };
            row.half_ms = other.evaluation_ms;
        }
        if !compute.info.gpu && batch > 1 && together(&mut row, budget, model, pool, inbox).await.is_none() {
            return Ok(false);
        }
        report.rows.push(row);
        report.held_bytes = held_bytes();
        inbox.port.send(Event::Images(ImageEvent::Benchmark { run, benchmark: report.clone(), complete }));
    }
    if batches.is_empty() {
        inbox.port.send(Event::Images(ImageEvent::Benchmark { run, benchmark: report, complete: true }));
    }
    Ok(true)
}

async fn row<P: Port>(
    batch: u32,
    budget: f64,
    network: &UNet,
    side: usize,
    compute: &ComputeDevice,
    inbox: &mut Inbox<'_, P>,
) -> Result<Option<BenchmarkRow>, EngineError> {
    let shape = [batch as usize, network.config().image_channels, side, side];
    let x = Pictures::new(noise(shape.iter().product()), shape, &compute.device).0;
    let mut times = Timings::new(budget, inbox.port.now_ms());
    while times.wants_more(inbox.port.now_ms()) {
        inbox.port.yield_now().await;
        inbox.breathe().await;
        if inbox.interrupted() {
            return Ok(None);
        }
        let begin = inbox.port.now_ms();
        let condition = network.condition(&[TIME], &[network.some_label()]);
        let condition = condition.map_err(|error| ImageError::Internal(error.to_string()))?;
        let output = network.forward(x.clone(), &condition);
        finish(&output).await?;
        times.add_after_warm_up(inbox.port.now_ms() - begin);
    }
    let (warm_up_ms, evaluations, evaluation_ms) = (times.warm_up.unwrap_or(0.0), times.count(), times.median());
    let images_per_second = 1000.0 * f64::from(batch) / (EVALUATIONS * evaluation_ms.max(1e-6));
    let row = BenchmarkRow { batch, warm_up_ms, evaluation_ms, evaluations, images_per_second, ..Default::default() };
    Ok(Some(row))
}

/// The same by those who evaluate for this worker, as a run has them evaluate. `None` when a command ended it.
async fn together<P: Port>(
    row: &mut BenchmarkRow,
    budget: f64,
    model: &ImageModel,
    pool: &mut WorkerPool,
    inbox: &mut Inbox<'_, P>,
) -> Option<()> {
    let count = row.batch as usize;
    pool.spawn(count, model, inbox.port);
    let mut asks = EvaluationBatch { count, images: Vec::new(), time: TIME, each: Vec::new() };
    pool.evaluate(model, &asks, inbox, &mut |_, _, _| {}).await?;
    if pool.workers() == 0 {
        return Some(());
    }
    asks.images = noise(count * model.config().image_channels * model.side * model.side);
    asks.each = (0..count).map(|image| (image, model.network.some_label())).collect();
    let mut times = Timings::new(budget, inbox.port.now_ms());
    while times.wants_more(inbox.port.now_ms()) {
        let begin = inbox.port.now_ms();
        let answers = pool.evaluate(model, &asks, inbox, &mut |_, _, _| {}).await?;
        if answers.iter().any(Option::is_none) {
            return Some(());
        }
        times.add_after_warm_up(inbox.port.now_ms() - begin);
    }
    (row.workers, row.together_ms) = (pool.workers().min(count) as u32, times.median());
    Some(())
}

fn noise(count: usize) -> Vec<f32> {
    Rng::new(1, Stream::Test, 0).normals(count)
}

/// Bytes of the worker's memory; 0 where that cannot be known.
fn held_bytes() -> f64 {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0) as f64 * 65_536.0;
    #[cfg(not(target_arch = "wasm32"))]
    0.0
}
