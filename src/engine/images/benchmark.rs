//! Timing the network of images.

use super::denoiser::room_for;
use super::model::ImageModel;
use super::pictures::{Pictures, finish};
use crate::engine::device::Opened;
use crate::engine::error::EngineError;
use crate::engine::images::ImageError;
use crate::engine::inbox::{Inbox, Port};
use crate::nn::unet::UNet;
use crate::protocol::images::{BenchmarkRow, ImageBenchmark, ImageEvent};
use crate::protocol::{Event, RunId};
use crate::rng::{Rng, Stream};

/// Longest that a batch is measured, in milliseconds.
const LONGEST: f64 = 60_000.0;
/// Fewest and most measurements behind a median.
const FEWEST: usize = 3;
const MOST: usize = 200;
/// Most images of an evaluation.
const LARGEST: u32 = 64;
/// Evaluations behind an image, in the rate that is reported.
const EVALUATIONS: f64 = 20.0;

/// Times evaluations, batch by batch, each told at once. `false` when a command ended it.
///
/// # Errors
/// When the device no longer answers.
pub async fn benchmark<P: Port>(
    run: RunId,
    batches: &[u32],
    budget_ms: f64,
    model: &mut ImageModel,
    opened: &Opened,
    inbox: &mut Inbox<'_, P>,
) -> Result<bool, EngineError> {
    let budget = if budget_ms.is_nan() { 0.0 } else { budget_ms.clamp(0.0, LONGEST) };
    let mut report = ImageBenchmark {
        device: opened.info.clone(),
        title: model.summary.title.clone(),
        parameters: model.summary.parameters,
        side: model.side as u32,
        gflop: 2e-9 * model.config().cost(model.side).products as f64,
        weight_bytes: model.summary.held_bytes,
        ..ImageBenchmark::default()
    };
    // No more at a time than there is room for, and nothing twice.
    let mut fitting = Vec::new();
    for &batch in batches {
        let batch = room_for(batch.clamp(1, LARGEST) as usize, model, opened)? as u32;
        if !fitting.contains(&batch) {
            fitting.push(batch);
        }
    }
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    let half = {
        model.prepare(crate::lab::PrecisionId::Full, opened).await?;
        model.half_network(opened).await?
    };
    for (index, &batch) in fitting.iter().enumerate() {
        let complete = index + 1 == fitting.len();
        let full = &model.network;
        #[allow(unused_mut, reason = "the CPU worker knows no half precision")]
        let Some(mut row) = row(batch, budget, full, model.side, opened, inbox).await? else { return Ok(false) };
        #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
        if let Some(half) = &half {
            let Some(other) = self::row(batch, budget, half, model.side, opened, inbox).await? else {
                return Ok(false);
            };
            row.half_ms = other.evaluation_ms;
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
    opened: &Opened,
    inbox: &mut Inbox<'_, P>,
) -> Result<Option<BenchmarkRow>, EngineError> {
    let shape = [batch as usize, network.config().image_channels, side, side];
    let noise = Rng::new(1, Stream::Test, 0).normals(shape.iter().product());
    let x = Pictures::new(noise, shape, &opened.device).0;
    let mut times = Vec::new();
    let start = inbox.port.now_ms();
    while times.len() <= FEWEST || (inbox.port.now_ms() - start < budget && times.len() <= MOST) {
        inbox.port.yield_now().await;
        inbox.breathe().await;
        if inbox.interrupted() {
            return Ok(None);
        }
        let begin = inbox.port.now_ms();
        // The network in its own units: 400 is in the middle for steps, and one more level for others.
        let condition = network.condition(&[400.0], &[]);
        let condition = condition.map_err(|error| ImageError::Internal(error.to_string()))?;
        let output = network.forward(x.clone(), &condition);
        finish(&output).await?;
        times.push(inbox.port.now_ms() - begin);
    }
    let warm_up_ms = times.remove(0);
    times.sort_by(f64::total_cmp);
    let evaluation_ms = times.get(times.len() / 2).copied().unwrap_or(0.0);
    let images_per_second = 1000.0 * f64::from(batch) / (EVALUATIONS * evaluation_ms.max(1e-6));
    let evaluations = times.len() as u32;
    Ok(Some(BenchmarkRow { batch, warm_up_ms, evaluation_ms, evaluations, images_per_second, half_ms: 0.0 }))
}

/// Bytes of the worker's memory; 0 where that cannot be known.
fn held_bytes() -> f64 {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0) as f64 * 65_536.0;
    #[cfg(not(target_arch = "wasm32"))]
    0.0
}
