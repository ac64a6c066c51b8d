//! How close samples are to data.
//!
//! A distance estimated from finitely many samples is never zero, even for perfect ones. So every number here is read
//! beside its [`Floor`]: what fresh data of the same count would give, and how much that varies.

pub mod conditional;
pub mod frechet;
pub mod gaussian;
pub mod histogram;
pub mod inspection;
pub mod judge;
pub mod kernel;
pub mod measure;
pub mod modes;
pub mod neighbours;
pub mod sliced;
pub mod spectrum;

pub use conditional::against_condition;
pub use frechet::{frechet, gaussian_fit};
pub use histogram::{divergences, histogram_side};
pub use inspection::Inspection;
pub use judge::{Judge, quality};
pub use kernel::{energy_distance, maximum_mean_discrepancy};
pub use measure::{MEASURES, Measure, Quality};
pub use modes::{Modes, modes};
pub use neighbours::{PrecisionRecall, precision_recall};
pub use sliced::Slices;

use crate::rng::{Rng, Stream};

use super::mixture::Mixture;

/// Index of the stream of reference data; floors count on from there.
const REFERENCE: u32 = 1 << 16;

/// What a distance is for fresh data in place of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Floor {
    /// Mean over repeated draws.
    pub mean: f64,
    /// Standard deviation over repeated draws.
    pub spread: f64,
}

impl Floor {
    /// Mean and standard deviation of some values; zero spread for fewer than two.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        Self { mean, spread: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}

/// The floor of any measure of samples: its value on `draws` independent draws of `count` data. The same for a seed.
#[must_use]
pub fn floor(mixture: &Mixture, count: usize, draws: u32, seed: u32, measure: impl Fn(&[[f64; 2]]) -> f64) -> Floor {
    let values: Vec<f64> = (0..draws)
        .map(|draw| measure(&mixture.draw(&mut Rng::new(seed, Stream::Data, REFERENCE + 1 + draw), count)))
        .collect();
    Floor::of(&values)
}

/// Standard error of a measure by the bootstrap (Efron 1979): its standard deviation over `rounds` resamplings of the
/// samples with replacement. Not for measures that compare neighbours: resampling makes exact repetitions.
#[must_use]
pub fn bootstrap<T: Copy>(samples: &[T], rounds: u32, seed: u32, measure: impl Fn(&[T]) -> f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let values: Vec<f64> = (0..rounds)
        .map(|round| {
            let mut rng = Rng::new(seed, Stream::Accept, round);
            let again: Vec<T> = samples.iter().map(|_| samples[rng.below(count) as usize]).collect();
            measure(&again)
        })
        .collect();
    Floor::of(&values).spread
}
