//! Mixtures of round Gaussians in the plane: everything about them is known in closed form, at every level of noise.

use crate::diffusion::{Denoiser, Estimate, Level};
use crate::rng::Rng;

/// A mixture of round Gaussians in the plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Weights, positive, summing to 1.
    pub weights: Vec<f64>,
    /// Centres.
    pub means: Vec<[f64; 2]>,
    /// Standard deviations.
    pub stds: Vec<f64>,
}
