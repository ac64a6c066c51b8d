//! The networks of Song and Ermon: NCSN (2019, arXiv 1907.05600), whose normalisations are told the noise level, and NCSNv2
//! (2020, arXiv 2006.09011), which is told nothing. Both are RefineNets (Lin et al. 2017, arXiv 1611.06612): a way down that
//! halves once and then dilates, and a block on the way up for each of its four stages.

use serde::{Deserialize, Serialize};

/// Multiples of the channels at the four stages.
pub const MULTIPLIERS: [usize; 4] = [1, 2, 2, 2];
/// Residual blocks of a stage.
pub const BLOCKS: usize = 2;
/// Largest noise level of NCSN, for pixels from 0 to 1.
const LARGEST: f64 = 1.0;
/// Its smallest.
const SMALLEST: f64 = 0.01;

/// Details of a network of Song and Ermon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refine {
    /// Noise levels, of each of which every normalisation has numbers (NCSN: 10); 0 where it is told nothing (NCSNv2).
    pub levels: usize,
}

impl Refine {
    /// NCSN.
    pub const NCSN: Self = Self { levels: 10 };
    /// NCSNv2.
    pub const NCSN_V2: Self = Self { levels: 0 };

    /// Its noise levels as published, for pixels from 0 to 1, largest first.
    #[must_use]
    pub fn sigmas(self) -> Vec<f32> {
        let share = |i: usize| i as f64 / (self.levels.max(2) - 1) as f64;
        (0..self.levels).map(|i| (LARGEST * libm::pow(SMALLEST / LARGEST, share(i))) as f32).collect()
    }
}
