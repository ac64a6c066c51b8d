//! What a link promises bit for bit on every device, as digests that can be compared by eye.

use super::batch::Batches;
use super::preview::prior;
use crate::data::toy::DataError;
use crate::digest::of_singles;
use crate::lab::RunConfig;
use crate::nn::Architecture;

/// Batches that a digest is of.
const BATCHES: u32 = 3;

/// Digests of a run in the plane (64-bit FNV-1a): whatever computes, they are the same for the same link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of the network's initial weights.
    pub weights: u64,
    /// Of its first three batches: inputs, targets and weights.
    pub batches: u64,
    /// Of the noise that samples start from.
    pub prior: u64,
}

impl Digests {
    /// The digests of a configuration.
    ///
    /// # Errors
    /// When the configuration has no data to train on.
    pub fn of(config: &RunConfig) -> Result<Self, DataError> {
        let batches = Batches::new(config)?;
        let parts = (0..BATCHES).map(|step| batches.batch(step));
        let noise = prior(config.seed, config.samples as usize);
        Ok(Self {
            weights: of_singles(Architecture::from(config).initial(config.seed)),
            batches: of_singles(parts.flat_map(|batch| [batch.inputs, batch.targets, batch.weights].concat())),
            prior: of_singles(noise.iter().flatten().map(|&value| value as f32)),
        })
    }
}

impl core::fmt::Display for Digests {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "weights {:016x}, batches {:016x}, prior {:016x}", self.weights, self.batches, self.prior)
    }
}
