//! The numbers shown beside samples, with everything that does not depend on the samples computed once.

use crate::data::{Dataset, SquareGrid};
use crate::rng::{Rng, Stream};

use super::histogram::{divergences, histogram_side};
use super::measure::Quality;
use super::sliced::Slices;
use super::{Floor, REFERENCE};

/// Directions of the sliced distance.
const DIRECTIONS: usize = 32;
/// Fresh draws behind the floors.
const DRAWS: u32 = 16;

/// Judges samples of a data set by fixed reference data, directions and cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    centre: [f64; 2],
    scale: f64,
    grid: SquareGrid,
    probabilities: Vec<f64>,
    slices: Slices,
    kl: Floor,
    sliced: Floor,
}

impl Judge {
    /// A judge of `samples` samples at a time. Its floors are the means over 16 fresh draws of as many data, measured
    /// against the same reference draw as the samples will be.
    #[must_use]
    pub fn new(dataset: &Dataset, samples: usize, seed: u32) -> Self {
        let (centre, scale) = (dataset.centre, dataset.scale);
        let standard = |p: [f64; 2]| [(p[0] - centre[0]) / scale, (p[1] - centre[1]) / scale];
        let grid = SquareGrid {
            centre: standard(dataset.window_centre),
            half: dataset.window / scale,
            side: histogram_side(samples),
        };
        let draw = |index| dataset.standard.draw(&mut Rng::new(seed, Stream::Data, REFERENCE + index), samples);
        let mut judge = Self {
            centre,
            scale,
            grid,
            probabilities: dataset.standard.cell_probabilities(&grid),
            slices: Slices::new(&draw(0), DIRECTIONS, seed),
            kl: Floor::default(),
            sliced: Floor::default(),
        };
        let (kls, slices): (Vec<f64>, Vec<f64>) = (1..=DRAWS).map(|index| judge.measure(&draw(index))).unzip();
        judge.kl = Floor::of(&kls);
        judge.sliced = Floor::of(&slices);
        judge
    }

    /// Divergence and sliced distance of points in the model's coordinates.
    fn measure(&self, points: &[[f64; 2]]) -> (f64, f64) {
        let (kl, _) = divergences(&self.grid.histogram(points), &self.probabilities);
        (kl, self.slices.distance(points))
    }

    /// The quality of samples in the data's own coordinates. Floors hold for as many samples as the judge was made for.
    /// Samples that are not finite lie outside every cell and make the sliced distance NaN.
    #[must_use]
    pub fn quality(&self, samples: &[[f64; 2]]) -> Quality {
        let points: Vec<[f64; 2]> = samples
            .iter()
            .map(|p| [(p[0] - self.centre[0]) / self.scale, (p[1] - self.centre[1]) / self.scale])
            .collect();
        let (kl, sliced) = self.measure(&points);
        Quality {
            kl,
            kl_floor: self.kl.mean,
            kl_spread: self.kl.spread,
            sliced,
            sliced_floor: self.sliced.mean,
            sliced_spread: self.sliced.spread,
            samples: u32::try_from(samples.len()).unwrap_or(u32::MAX),
        }
    }
}

/// The quality of samples in the data's own coordinates, by a judge made for them alone. To judge often, keep a [`Judge`].
#[must_use]
pub fn quality(samples: &[[f64; 2]], dataset: &Dataset, seed: u32) -> Quality {
    Judge::new(dataset, samples.len(), seed).quality(samples)
}
