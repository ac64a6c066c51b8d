//! Which modes of a mixture samples reach, and how often.

use crate::data::Mixture;

/// How samples are spread over the components of a mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct Modes {
    /// Share of the samples in each component: means of the responsibilities.
    pub weights: Vec<f64>,
    /// Standard error of each share.
    pub errors: Vec<f64>,
    /// How many components have at least a tenth of the samples they should have within four of their deviations.
    pub covered: usize,
    /// Share of the samples within four standard deviations of some centre; 0.9997 of the data are.
    pub near: f64,
}

/// Mode weights and coverage of samples in the mixture's coordinates. Samples that are not finite count as nowhere.
#[must_use]
pub fn modes(samples: &[[f64; 2]], mixture: &Mixture) -> Modes {
    let clean = mixture.at(crate::diffusion::Level { t: 0.0, alpha: 1.0, sigma: 0.0 });
    let components = mixture.weights.len();
    let (mut sums, mut squares) = (vec![0.0; components], vec![0.0; components]);
    let (mut within, mut near) = (vec![0.0; components], 0.0);
    for &sample in samples.iter().filter(|sample| sample.iter().all(|v| v.is_finite())) {
        for (component, share) in clean.responsibilities(sample).into_iter().enumerate() {
            sums[component] += share;
            squares[component] += share * share;
        }
        let nearest = clean.nearest(sample);
        let [dx, dy] = [sample[0] - mixture.means[nearest][0], sample[1] - mixture.means[nearest][1]];
        let reach = 4.0 * mixture.stds[nearest];
        if dx * dx + dy * dy <= reach * reach {
            near += 1.0;
            within[nearest] += 1.0;
        }
    }
    let count = samples.len().max(1) as f64;
    let weights: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
    let errors = squares
        .iter()
        .zip(&weights)
        .map(|(square, mean)| ((square / count - mean * mean).max(0.0) / count).sqrt())
        .collect();
    let reached = |(&seen, &weight): (&f64, &f64)| seen > 0.0 && seen >= 0.1 * weight * count;
    let covered = within.iter().zip(&mixture.weights).filter(|&pair| reached(pair)).count();
    Modes { weights, errors, covered, near: near / count }
}

impl Modes {
    /// Total variation distance of the mode shares from the weights of a mixture, `sum max(0, weight - share)`: the mass that
    /// must move between modes. Between 0 and 1; samples that are nowhere are missing everywhere.
    #[must_use]
    pub fn total_variation(&self, mixture: &Mixture) -> f64 {
        self.weights.iter().zip(&mixture.weights).map(|(share, weight)| (weight - share).max(0.0)).sum()
    }
}
