//! Every comparison of samples with data that there is, each beside its floor and with its sampling error.
//!
//! Some of them take the square of the number of samples, so they are made in steps.

use super::measure::Measure;
use crate::data::{Dataset, Mixture, SquareGrid};
use crate::rng::{Rng, Stream};

use super::histogram::{divergences, histogram_side};
use super::sliced::Slices;
use super::{Floor, energy_distance, frechet, gaussian_fit, maximum_mean_discrepancy, modes, precision_recall};

/// Most samples that are compared; the rest would say little more.
const MOST: usize = 1500;
/// Index of the first stream of fresh data.
const FRESH: u32 = 1 << 19;
/// Fresh draws behind the floors, and resamplings behind the errors.
const ROUNDS: u32 = 8;
/// Directions of the sliced distance.
const DIRECTIONS: usize = 32;
/// Bandwidth of the kernel, in standard deviations of the data.
const BANDWIDTH: f64 = 0.5;
/// Most classes whose weights are listed.
const MOST_CLASSES: usize = 25;

/// What is measured of any set of points, in this order.
const IDS: [&str; 6] = ["kl", "js", "sliced", "energy", "mmd", "frechet"];

/// Compares samples with data, a step at a time.
#[derive(Clone, Debug)]
pub struct Inspection {
    mixture: Mixture,
    classes: Vec<usize>,
    grid: SquareGrid,
    probabilities: Vec<f64>,
    slices: Slices,
    reference: Vec<[f64; 2]>,
    samples: Vec<[f64; 2]>,
    seed: u32,
    done: u32,
    values: [f64; 6],
    fresh: Vec<[f64; 6]>,
    again: Vec<[f64; 6]>,
    floors: [Floor; 2],
    rest: Vec<Measure>,
}

impl Inspection {
    /// An inspection of samples in the data's own coordinates, of which the first 1500 are looked at.
    #[must_use]
    pub fn new(dataset: &Dataset, samples: &[[f64; 2]], seed: u32) -> Self {
        let samples: Vec<[f64; 2]> = samples.iter().take(MOST).map(|&p| dataset.to_standard(p)).collect();
        let grid = SquareGrid {
            centre: dataset.to_standard(dataset.window_centre),
            half: dataset.window / dataset.scale,
            side: histogram_side(samples.len()),
        };
        let reference = dataset.standard.draw(&mut Rng::new(seed, Stream::Data, FRESH), samples.len());
        Self {
            mixture: dataset.standard.clone(),
            classes: dataset.classes.clone(),
            probabilities: dataset.standard.cell_probabilities(&grid),
            grid,
            slices: Slices::new(&reference, DIRECTIONS, seed),
            reference,
            samples,
            seed,
            done: 0,
            values: [f64::NAN; 6],
            fresh: Vec::new(),
            again: Vec::new(),
            floors: [Floor::default(); 2],
            rest: Vec::new(),
        }
    }

    /// Steps done, and steps in all.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        (self.done, 1 + 2 * ROUNDS)
    }

    /// One step. Says whether it was the last.
    pub fn step(&mut self) -> bool {
        let count = self.samples.len();
        match self.done {
            0 => {
                self.values = self.measure(&self.samples);
                self.rest = self.counts();
            }
            draw if draw <= ROUNDS => {
                let fresh = self.mixture.draw(&mut Rng::new(self.seed, Stream::Data, FRESH + draw), count);
                self.fresh.push(self.measure(&fresh));
                if draw == 1 {
                    self.floors = self.neighbour_floors();
                }
            }
            round => {
                // The bootstrap (Efron 1979).
                let mut rng = Rng::new(self.seed, Stream::Accept, FRESH + round);
                let most = u32::try_from(count).unwrap_or(u32::MAX);
                let again: Vec<[f64; 2]> =
                    self.samples.iter().map(|_| self.samples[rng.below(most) as usize]).collect();
                self.again.push(self.measure(&again));
            }
        }
        self.done += 1;
        let (done, of) = self.progress();
        done >= of
    }

    fn measure(&self, points: &[[f64; 2]]) -> [f64; 6] {
        let (kl, js) = divergences(&self.grid.histogram(points), &self.probabilities);
        let ([mean_x, mean_y], _) = self.mixture.mean_and_scale();
        [
            kl,
            js,
            self.slices.distance(points),
            energy_distance(points, &self.reference),
            maximum_mean_discrepancy(points, &self.reference, BANDWIDTH),
            frechet(&gaussian_fit(points), &([mean_x, mean_y], self.mixture.covariance())),
        ]
    }

    /// Floors of precision and recall: their values for a few fresh draws.
    fn neighbour_floors(&self) -> [Floor; 2] {
        let count = self.samples.len();
        let (mut precisions, mut recalls) = (Vec::new(), Vec::new());
        for draw in 0..3 {
            let index = FRESH + ROUNDS + 1 + draw;
            let fresh = self.mixture.draw(&mut Rng::new(self.seed, Stream::Data, index), count);
            if let Some(found) = precision_recall(&fresh, &self.reference) {
                precisions.push(found.precision);
                recalls.push(found.recall);
            }
        }
        [Floor::of(&precisions), Floor::of(&recalls)]
    }

    /// What is counted of the samples once: their places among the modes.
    fn counts(&self) -> Vec<Measure> {
        let mut rows = Vec::new();
        let found = modes(&self.samples, &self.mixture);
        let count = self.samples.len().max(1) as f64;
        // A normal point in the plane is within four deviations with probability 1 - exp(-8).
        let expected = 1.0 - libm::exp(-8.0);
        let error = |p: f64| (p * (1.0 - p) / count).sqrt();
        rows.push(Measure::new("near", found.near).with_error(error(found.near)).against(expected, error(expected)));
        let modes = self.mixture.weights.len() as f64;
        rows.push(Measure::new("covered", found.covered as f64).against(modes, f64::NAN));
        let classes = self.classes.iter().copied().max().map_or(0, |last| last + 1);
        if classes <= MOST_CLASSES {
            rows.extend((0..classes).map(|class| self.weight_of(class, count)));
        }
        rows
    }

    /// The share of the samples in a class, by their responsibilities.
    fn weight_of(&self, class: usize, count: f64) -> Measure {
        let clean = self.mixture.at(crate::diffusion::schedule::clean());
        let within = |values: &[f64]| -> f64 {
            values.iter().zip(&self.classes).filter(|(_, c)| **c == class).map(|(value, _)| value).sum()
        };
        let finite = self.samples.iter().filter(|x| x.iter().all(|v| v.is_finite()));
        let shares: Vec<f64> = finite.map(|&x| within(&clean.responsibilities(x))).collect();
        let share = shares.iter().sum::<f64>() / count;
        let squares = shares.iter().map(|s| s * s).sum::<f64>() / count;
        let exact = within(&self.mixture.weights);
        Measure {
            number: u32::try_from(class + 1).unwrap_or(u32::MAX),
            ..Measure::new("class", share)
                .with_error(((squares - share * share).max(0.0) / count).sqrt())
                .against(exact, (exact * (1.0 - exact) / count).sqrt())
        }
    }

    /// The numbers so far. Before the first step there are none; floors and errors come with the later ones.
    #[must_use]
    pub fn rows(&self) -> Vec<Measure> {
        if self.done == 0 {
            return Vec::new();
        }
        let floor = |all: &[[f64; 6]], i: usize| {
            let values: Vec<f64> = all.iter().map(|values| values[i]).collect();
            if values.len() < 2 { Floor { mean: f64::NAN, spread: f64::NAN } } else { Floor::of(&values) }
        };
        let mut rows: Vec<Measure> = (0..IDS.len())
            .map(|i| {
                let (fresh, again) = (floor(&self.fresh, i), floor(&self.again, i));
                Measure::new(IDS[i], self.values[i]).with_error(again.spread).against(fresh.mean, fresh.spread)
            })
            .collect();
        // Two of a kind by neighbours: the floors are there after the second step.
        if let Some(found) = precision_recall(&self.samples, &self.reference).filter(|_| self.done > 1) {
            let pairs =
                [("precision", found.precision, found.precision_error), ("recall", found.recall, found.recall_error)];
            rows.extend(pairs.iter().zip(self.floors).map(|((id, value, error), floor)| {
                Measure::new(id, *value).with_error(*error).against(floor.mean, floor.spread)
            }));
        }
        rows.extend(self.rest.iter().cloned());
        rows
    }
}
