//! Preconditioning of networks that serve every noise level (Karras et al. 2022, table 1).

use burn::tensor::Device;

use super::array::Array;
use crate::diffusion::{Level, Prediction};

/// Root mean square of what the network sees of a point, number by number. EDM's is 1; the studies' published numbers are
/// of 2.
const INPUT_RMS: f64 = 2.0;

/// Scalings around a network that sees data with added noise, `x = data + sigma noise`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preconditioning {
    /// Root mean square of the data, number by number.
    pub data: f64,
}

/// The scalings at one noise level. The network's raw output `F` for `sigma * score`, the negative of the noise, means
/// `skip * x + output * F(input * x, features)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalings {
    /// What points are multiplied with before the network sees them.
    pub input: f64,
    /// Share of `x` in `sigma * score`: the best linear guess.
    pub skip: f64,
    /// Size of what the network adds to it.
    pub output: f64,
    /// What tells the network its noise level, a logarithm and waves of it.
    pub features: [f32; Preconditioning::FEATURES],
}

impl Preconditioning {
    /// Numbers that tell a network its noise level.
    pub const FEATURES: usize = 3;

    /// The scalings at this noise level, a standard deviation above 0 in units of the data's.
    #[must_use]
    pub fn at(self, sigma: f64) -> Scalings {
        let (prediction, level) = (Prediction::Karras { data_std: self.data }, Level { t: 0.0, alpha: 1.0, sigma });
        let (_, noise) = prediction.split(level);
        let log = sigma.ln();
        let features = [0.5 * log, (1.5 * log).sin(), (1.5 * log).cos()].map(|v| v as f32);
        // sigma * score is minus the noise.
        let (skip, output) = (-noise.x, -noise.output);
        Scalings { input: INPUT_RMS * prediction.input_scale(level), skip, output, features }
    }

    /// Rows of a network's input: every point of `dimension` numbers, scaled for its noise level, and the level's
    /// features. `x` has `points * dimension` numbers, `sigma` one a point.
    #[must_use]
    pub fn inputs(self, x: &[f32], dimension: usize, sigma: &[f64], device: &Device) -> Array {
        let mut rows = Vec::with_capacity(x.len() + Self::FEATURES * sigma.len());
        for (point, sigma) in x.chunks_exact(dimension.max(1)).zip(sigma) {
            let Scalings { input, features, .. } = self.at(*sigma);
            rows.extend(point.iter().map(|v| (input * f64::from(*v)) as f32));
            rows.extend(features);
        }
        Array::new(rows, dimension + Self::FEATURES, device)
    }
}
