//! Mixtures of round Gaussians in the plane: everything about them is known in closed form, at every level of noise.

use crate::rng::Rng;

use super::grid::SquareGrid;

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

impl Mixture {
    /// A mixture of components `(weight, mean, standard deviation)`; the weights need not sum to 1.
    #[must_use]
    pub fn from_components(components: impl IntoIterator<Item = (f64, [f64; 2], f64)>) -> Self {
        let mut mixture = Self { weights: Vec::new(), means: Vec::new(), stds: Vec::new() };
        for (weight, mean, std) in components {
            mixture.weights.push(weight);
            mixture.means.push(mean);
            mixture.stds.push(std);
        }
        let total: f64 = mixture.weights.iter().sum();
        mixture.weights.iter_mut().for_each(|weight| *weight /= total);
        mixture
    }

    /// Components of equal weight and standard deviation.
    #[must_use]
    pub fn even(means: impl IntoIterator<Item = [f64; 2]>, std: f64) -> Self {
        Self::from_components(means.into_iter().map(|mean| (1.0, mean, std)))
    }

    /// `count` independent points; the first points of a large draw are those of a small one. Only the four operations
    /// and `libm` are used, so the points are the same bits on every machine.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng, count: usize) -> Vec<[f64; 2]> {
        self.draw_labelled(rng, count).into_iter().map(|(_, point)| point).collect()
    }

    /// The same points, each with the component it came from.
    ///
    /// # Panics
    /// When points are asked of a mixture without components.
    #[must_use]
    pub fn draw_labelled(&self, rng: &mut Rng, count: usize) -> Vec<(usize, [f64; 2])> {
        let mut total = 0.0;
        let cumulative: Vec<f64> = self
            .weights
            .iter()
            .map(|weight| {
                total += weight;
                total
            })
            .collect();
        let last = self.weights.len().saturating_sub(1);
        (0..count)
            .map(|_| {
                let u = rng.uniform() * total;
                let component = cumulative.partition_point(|&edge| edge <= u).min(last);
                let ([x, y], std) = (self.means[component], self.stds[component]);
                (component, [x + std * rng.normal(), y + std * rng.normal()])
            })
            .collect()
    }

    /// The mean, and the root mean square deviation from it per axis.
    #[must_use]
    pub fn mean_and_scale(&self) -> ([f64; 2], f64) {
        let mut mean = [0.0; 2];
        for (weight, m) in self.weights.iter().zip(&self.means) {
            mean = [mean[0] + weight * m[0], mean[1] + weight * m[1]];
        }
        let mut variance = 0.0;
        for ((weight, m), std) in self.weights.iter().zip(&self.means).zip(&self.stds) {
            let [dx, dy] = [m[0] - mean[0], m[1] - mean[1]];
            variance += weight * (0.5 * (dx * dx + dy * dy) + std * std);
        }
        (mean, variance.sqrt())
    }

    /// The covariance matrix.
    #[must_use]
    pub fn covariance(&self) -> [[f64; 2]; 2] {
        let (mean, _) = self.mean_and_scale();
        let mut covariance = [[0.0; 2]; 2];
        for ((weight, m), std) in self.weights.iter().zip(&self.means).zip(&self.stds) {
            for (i, row) in covariance.iter_mut().enumerate() {
                for (j, entry) in row.iter_mut().enumerate() {
                    let own = if i == j { std * std } else { 0.0 };
                    *entry += weight * ((m[i] - mean[i]) * (m[j] - mean[j]) + own);
                }
            }
        }
        covariance
    }

    /// The mixture of `(point - centre) / scale`.
    #[must_use]
    pub fn standardised(&self, centre: [f64; 2], scale: f64) -> Self {
        Self {
            weights: self.weights.clone(),
            means: self.means.iter().map(|m| [(m[0] - centre[0]) / scale, (m[1] - centre[1]) / scale]).collect(),
            stds: self.stds.iter().map(|std| std / scale).collect(),
        }
    }

    /// Exact probabilities of the cells of a grid, rows from the bottom, and last the probability of being outside:
    /// `grid.cells() + 1` numbers that sum to 1.
    #[must_use]
    pub fn cell_probabilities(&self, grid: &SquareGrid) -> Vec<f64> {
        let side = grid.side;
        let mut probabilities = vec![0.0; side * side];
        for ((weight, mean), &std) in self.weights.iter().zip(&self.means).zip(&self.stds) {
            let [columns, rows] = [0, 1].map(|axis| {
                let edges: Vec<f64> = (0..=side).map(|edge| (grid.edge(axis, edge) - mean[axis]) / std).collect();
                edges.windows(2).map(|pair| normal_between(pair[0], pair[1])).collect::<Vec<f64>>()
            });
            for (cells, row) in probabilities.chunks_exact_mut(side).zip(rows) {
                let row = weight * row;
                if row > 0.0 {
                    cells.iter_mut().zip(&columns).for_each(|(cell, column)| *cell += row * column);
                }
            }
        }
        let inside: f64 = probabilities.iter().sum();
        probabilities.push((1.0 - inside).max(0.0));
        probabilities
    }
}

/// Probability of a standard normal number between `a` and `b >= a`, accurate in both tails.
#[must_use]
pub fn normal_between(a: f64, b: f64) -> f64 {
    let [a, b] = [a, b].map(|v| v * core::f64::consts::FRAC_1_SQRT_2);
    // Differences of erf lose every digit in the tails, where those of erfc keep them.
    let twice = if a > 0.0 {
        libm::erfc(a) - libm::erfc(b)
    } else if b < 0.0 {
        libm::erfc(-b) - libm::erfc(-a)
    } else {
        libm::erf(b) - libm::erf(a)
    };
    (0.5 * twice).max(0.0)
}
