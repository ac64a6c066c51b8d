//! Samples under control beside exact draws under the same condition.

use super::measure::Measure;
use crate::data::{Condition, Dataset};
use crate::rng::{Rng, Stream};

use super::Floor;
use super::sliced::Slices;

/// Most samples that are compared.
const MOST: usize = 4000;
/// Index of the first stream of exact draws.
const EXACT: u32 = 1 << 18;
/// Fresh draws behind the floor.
const DRAWS: u32 = 8;
/// Directions of the sliced distance.
const DIRECTIONS: usize = 32;

/// How samples, in the data's own coordinates, stand to the exact conditional distribution: their sliced Wasserstein
/// distance to it beside that of as many exact draws, that of plain data for comparison, and how well they obey.
#[must_use]
pub fn against_condition(condition: &Condition, dataset: &Dataset, samples: &[[f64; 2]], seed: u32) -> Vec<Measure> {
    let samples: Vec<[f64; 2]> = samples.iter().take(MOST).map(|&p| dataset.to_standard(p)).collect();
    let mixture = &dataset.standard;
    let draw = |i| condition.draw(mixture, &mut Rng::new(seed, Stream::Data, EXACT + i), samples.len());
    let reference = draw(0);
    if samples.is_empty() || reference.is_empty() {
        return Vec::new();
    }
    let slices = Slices::new(&reference, DIRECTIONS, seed);
    let floors: Vec<f64> = (1..=DRAWS).map(|i| slices.distance(&draw(i))).collect();
    let floor = Floor::of(&floors);
    let plain = mixture.draw(&mut Rng::new(seed, Stream::Data, EXACT + DRAWS + 1), samples.len());
    let mut rows = vec![
        Measure::new("conditional", slices.distance(&samples)).against(floor.mean, floor.spread),
        Measure::new("unconditional", slices.distance(&plain)),
    ];
    let count = samples.len() as f64;
    let mean_and_error = |values: Vec<f64>| {
        let found = Floor::of(&values);
        (found.mean, found.spread / count.sqrt())
    };
    rows.push(match condition {
        Condition::Observation { direction, value, noise } => {
            // The root mean square of what is missed, in the data's own units.
            let squares = samples.iter().map(|x| (value - direction[0] * x[0] - direction[1] * x[1]).powi(2)).collect();
            let (mean, error) = mean_and_error(squares);
            let root = mean.sqrt();
            let expected = reference
                .iter()
                .fold(0.0_f64, |sum, x| sum + (value - direction[0] * x[0] - direction[1] * x[1]).powi(2) / count)
                .sqrt();
            let error = if root > 0.0 { 0.5 * error / root } else { 0.0 };
            let expected = if *noise > 0.0 { dataset.scale * expected } else { 0.0 };
            Measure::new("residual", dataset.scale * root).with_error(dataset.scale * error).against(expected, f64::NAN)
        }
        Condition::Class(marked) => {
            let clean = mixture.at(crate::diffusion::schedule::clean());
            let share = |x: &[f64; 2]| {
                clean.responsibilities(*x).iter().zip(marked).filter(|(_, marked)| **marked).map(|(r, _)| r).sum()
            };
            let (mean, error) = mean_and_error(samples.iter().map(share).collect());
            let (exact, spread) = mean_and_error(reference.iter().map(share).collect());
            Measure::new("within", mean).with_error(error).against(exact, spread)
        }
    });
    rows
}
