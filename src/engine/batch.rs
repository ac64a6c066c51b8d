//! Training batches: data, noise and levels from the run's own random numbers, the same on every machine.

use crate::data::{Dataset, toy::DataError};
use crate::diffusion::objective::low_discrepancy_times;
use crate::diffusion::prediction::canonical;
use crate::diffusion::{Level, Prediction, Schedule, Weighting};
use crate::lab::RunConfig;
use crate::nn::features::{self, LevelFeatures};
use crate::rng::{Rng, Stream};

/// Largest weight of a level, relative to the middle one: likelihood weighting grows without bound towards the data.
const LARGEST_WEIGHT: f64 = 1e3;

/// What a training step sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Rows of features, one a sample.
    pub inputs: Vec<f32>,
    /// What the network should say, two numbers a sample.
    pub targets: Vec<f32>,
    /// Weight of each sample in the loss.
    pub weights: Vec<f32>,
}

/// Makes batches.
#[derive(Clone, Debug)]
pub struct Batches {
    dataset: Dataset,
    schedule: Schedule,
    prediction: Prediction,
    weighting: Weighting,
    weight_scale: f64,
    size: usize,
    seed: u32,
}

impl Batches {
    /// The batches of a run.
    ///
    /// # Errors
    /// When the run has no data.
    pub fn new(config: &RunConfig) -> Result<Self, DataError> {
        let mut batches = Self {
            dataset: config.data()?,
            schedule: Schedule::from_config(config),
            prediction: config.prediction.into(),
            weighting: config.weighting.into(),
            weight_scale: 1.0,
            size: config.batch.max(1) as usize,
            seed: config.seed,
        };
        let levels = low_discrepancy_times(256, 0.5).map(|u| batches.schedule.training_level(u));
        let weights = levels.map(|level| batches.raw_weight(level));
        // The middle weight, because the mean of likelihood weights is that of their largest.
        let mut sorted: Vec<f64> = weights.filter(|w| w.is_finite() && *w > 0.0).collect();
        sorted.sort_by(f64::total_cmp);
        batches.weight_scale = sorted.get(sorted.len() / 2).map_or(1.0, |w| 1.0 / w);
        Ok(batches)
    }

    /// The data.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The batch of this step. Levels are a shifted lattice: every batch covers all of them evenly, which makes the
    /// gradient less noisy than independent times do (Kingma et al. 2021).
    #[must_use]
    pub fn batch(&self, step: u32) -> Batch {
        let count = self.size;
        let data = self.dataset.standard.draw(&mut Rng::new(self.seed, Stream::Batch, step), count);
        let mut noise = Rng::new(self.seed, Stream::Noise, step);
        let shift = Rng::new(self.seed, Stream::Times, step).uniform();
        let mut batch = Batch {
            inputs: vec![0.0; count * features::COUNT],
            targets: Vec::with_capacity(2 * count),
            weights: Vec::with_capacity(count),
        };
        let times = low_discrepancy_times(count, shift);
        for ((row, data), time) in batch.inputs.chunks_exact_mut(features::COUNT).zip(data).zip(times) {
            let noise = [noise.normal(), noise.normal()];
            let level = self.schedule.training_level(time);
            LevelFeatures::new(level).write(level.mix(data, noise), row);
            let (view, _) = canonical(level);
            let (a, b) = self.prediction.target(view);
            let scale = 1.0 / self.prediction.output_scale(view);
            for axis in 0..2 {
                batch.targets.push((scale * (a * data[axis] + b * noise[axis])) as f32);
            }
            batch.weights.push(self.weight(level) as f32);
        }
        batch
    }

    /// Weight of the square error of the network's raw output at a level, relative to that at the middle level.
    #[must_use]
    pub fn weight(&self, level: Level) -> f64 {
        let weight = self.raw_weight(level) * self.weight_scale;
        if weight.is_nan() { 0.0 } else { weight.clamp(0.0, LARGEST_WEIGHT) }
    }

    fn raw_weight(&self, level: Level) -> f64 {
        self.weighting.of_raw_output(self.prediction, &self.schedule, level)
    }
}
