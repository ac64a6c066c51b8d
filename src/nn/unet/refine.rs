//! The networks of Song and Ermon: NCSN (2019, arXiv 1907.05600), whose normalisations are told the noise level, and NCSNv2
//! (2020, arXiv 2006.09011), which is told nothing. Both are RefineNets (Lin et al. 2017, arXiv 1611.06612): a way down that
//! halves, once for small images, and then dilates, and a block on the way up for each of its stages.

use serde::{Deserialize, Serialize};

/// Multiples of the channels at the stages of the networks for 32 and 64, for 128, and for 256 pixels. Each has one stage more
/// that halves than the one before it.
pub const SHAPES: [&[usize]; 3] = [&[1, 2, 2, 2], &[1, 2, 2, 4, 4], &[1, 2, 2, 2, 4, 4]];
/// Residual blocks of a stage.
pub const BLOCKS: usize = 2;
/// Pixels between the numbers of the last stages' kernels. Those before them, but for the first, halve instead.
const DILATIONS: [usize; 2] = [2, 4];
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

/// How many of so many stages halve.
#[must_use]
pub fn halvings(stages: usize) -> usize {
    stages.saturating_sub(1 + DILATIONS.len())
}

/// Pixels between the numbers of the kernels of a stage among so many.
#[must_use]
pub fn dilation(stage: usize, stages: usize) -> usize {
    let undilated = 1 + halvings(stages);
    stage.checked_sub(undilated).and_then(|late| DILATIONS.get(late)).copied().unwrap_or(1)
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
