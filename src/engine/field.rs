//! The score field.

use super::error::{EngineError, Stopped};
use super::inbox::{Inbox, Port};
use super::learned::{Interruptible, Points};
use super::plane::Sampled;
use crate::diffusion::{Denoiser as _, Estimate, Schedule};
use crate::lab::RunConfig;
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::Floats;

/// Most points along a side.
const LARGEST_SIDE: u32 = 128;

/// The score on a square grid over the data set's window, rows from the bottom, in the data's own coordinates; `None`
/// when given up for a command. Grid points are the corners and what lies evenly between them. A noisy sample `x` of the
/// model is shown where the data would be, so that the field is that of the frames of a sampling run.
///
/// # Errors
/// When there are no weights but the configuration asks for them, no data, or no device any more.
pub async fn field<P: Port>(
    config: &RunConfig,
    t: f64,
    side: u32,
    weights: Option<&WeightsFile>,
    compute: &ComputeDevice,
    inbox: &mut Inbox<'_, P>,
) -> Result<Option<Floats>, EngineError> {
    let sampled = Sampled::new(config.clone(), weights)?;
    let dataset = sampled.dataset();
    let schedule = Schedule::from_config(config);
    let (largest, smallest) = schedule.time_range();
    let t = if t.is_nan() { smallest } else { t.clamp(smallest, largest) };
    let level = schedule.level(t);
    let side = side.clamp(2, LARGEST_SIDE);
    let along = |i: u32| 2.0 * f64::from(i) / f64::from(side - 1) - 1.0;
    let points: Points = (0..side * side)
        .map(|index| {
            let [x, y] = dataset.window_centre;
            let (column, row) = (along(index % side), along(index / side));
            dataset.to_standard([x + dataset.window * column, y + dataset.window * row])
        })
        .collect();
    let mut source = sampled.source(compute);
    let estimate = Interruptible::new(&mut source, inbox).estimate(&points, level).await;
    let Some(Estimate { noise, .. }) = Stopped::unless_interrupted(estimate)? else { return Ok(None) };
    let factor = -1.0 / (level.sigma * dataset.scale);
    let score: Points = noise.iter().map(|n| [factor * n[0], factor * n[1]]).collect();
    Ok(Some(Floats::from_points(&score)))
}
