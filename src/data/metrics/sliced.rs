//! Sliced Wasserstein-1 distance (Bonneel et al. 2015): the mean over directions of the distance between projections.

use core::f64::consts::PI;

use crate::rng::{Rng, Stream};

/// Fixed directions and the sorted projections of a reference on them.
#[derive(Clone, Debug, PartialEq)]
pub struct Slices {
    directions: Vec<[f64; 2]>,
    reference: Vec<Vec<f64>>,
}

impl Slices {
    /// `count` directions of the seed, one at a random place in each of `count` equal parts of the half circle, and the
    /// reference projected on them.
    #[must_use]
    pub fn new(reference: &[[f64; 2]], count: usize, seed: u32) -> Self {
        let mut rng = Rng::new(seed, Stream::Directions, 0);
        let directions: Vec<[f64; 2]> = (0..count)
            .map(|part| PI * (part as f64 + rng.uniform()) / count as f64)
            .map(|angle| [libm::cos(angle), libm::sin(angle)])
            .collect();
        let reference = directions.iter().map(|&direction| projected(reference, direction)).collect();
        Self { directions, reference }
    }

    /// The directions, unit vectors.
    #[must_use]
    pub fn directions(&self) -> &[[f64; 2]] {
        &self.directions
    }

    /// Sliced Wasserstein-1 distance of the samples from the reference, in the points' units. NaN without points on
    /// either side.
    #[must_use]
    pub fn distance(&self, samples: &[[f64; 2]]) -> f64 {
        let total: f64 = self
            .directions
            .iter()
            .zip(&self.reference)
            .map(|(&direction, reference)| wasserstein(&projected(samples, direction), reference))
            .sum();
        total / self.directions.len() as f64
    }
}

/// The points' coordinates along a direction, sorted.
fn projected(points: &[[f64; 2]], direction: [f64; 2]) -> Vec<f64> {
    let mut along: Vec<f64> = points.iter().map(|p| p[0] * direction[0] + p[1] * direction[1]).collect();
    along.sort_unstable_by(f64::total_cmp);
    along
}

/// Wasserstein-1 distance between two sorted sets of numbers, each of equal weights: the area between their quantile
/// functions. NaN when one is empty.
#[must_use]
pub fn wasserstein(left: &[f64], right: &[f64]) -> f64 {
    if left.is_empty() || right.is_empty() {
        return f64::NAN;
    }
    if left.len() == right.len() {
        return left.iter().zip(right).map(|(a, b)| (a - b).abs()).sum::<f64>() / left.len() as f64;
    }
    // Shares of the whole are counted in parts of 1 / (left.len() * right.len()), which are whole numbers.
    let (mut i, mut j, mut done, mut area) = (0, 0, 0, 0.0);
    let whole = left.len() * right.len();
    while done < whole {
        let next = ((i + 1) * right.len()).min((j + 1) * left.len());
        area += (next - done) as f64 * (left[i] - right[j]).abs();
        done = next;
        i += usize::from(next == (i + 1) * right.len());
        j += usize::from(next == (j + 1) * left.len());
    }
    area / whole as f64
}
