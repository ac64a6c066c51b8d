//! What a step of training on images sees: drawn from the run's own random numbers, the same on every machine.

use crate::data::ImageSet;
use crate::data::image_set::to_unit;
use crate::diffusion::{Convention, Level};
use crate::nn::objective::{NoiseDistribution, TrainingLevel};
use crate::rng::{Rng, Stream};

use super::Recipe;

/// Noisy images with what a network is told and asked about them.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch {
    /// `[images, channels, height, width]`, scaled as the network sees them.
    pub inputs: Vec<f32>,
    /// What it should say, the same shape.
    pub targets: Vec<f32>,
    /// The images themselves, the same shape; only kept where the loss needs them.
    pub images: Vec<f32>,
    /// The levels, in the network's units.
    pub times: Vec<f64>,
    /// The classes, `None` where the network is not told.
    pub labels: Vec<Option<usize>>,
    /// The levels.
    pub levels: Vec<TrainingLevel>,
}

impl ImageBatch {
    /// The batch of these images in `[-1, 1]`, unit noise and levels.
    #[must_use]
    pub fn new(
        convention: Convention,
        images: Vec<f32>,
        noise: &[f32],
        levels: Vec<TrainingLevel>,
        labels: Vec<Option<usize>>,
    ) -> Self {
        let Convention { prediction, input, time } = convention;
        let at: Vec<Level> = levels.iter().map(|level| Level { t: 0.0, alpha: 1.0, sigma: level.sigma }).collect();
        let each = images.len() / levels.len().max(1);
        let (mut inputs, mut targets) = (Vec::with_capacity(images.len()), Vec::with_capacity(images.len()));
        let pairs = images.chunks_exact(each.max(1)).zip(noise.chunks_exact(each.max(1)));
        for ((image, noise), level) in pairs.zip(&at) {
            let scale = input.scale(*level);
            let (of_image, of_noise) = prediction.target(*level);
            // What the network says is of unit size; the score is that divided by sigma.
            let unit = 1.0 / prediction.output_scale(*level);
            let [of_image, of_noise] = [of_image * unit, of_noise * unit];
            for (&image, &noise) in image.iter().zip(noise) {
                let (image, noise) = (f64::from(image), f64::from(noise));
                inputs.push((scale * (image + level.sigma * noise)) as f32);
                targets.push((of_image * image + of_noise * noise) as f32);
            }
        }
        let times = time.times(&at);
        Self { inputs, targets, images, times, labels, levels }
    }

    /// How many images.
    #[must_use]
    pub fn count(&self) -> usize {
        self.levels.len()
    }

    /// The batch in pieces of at most `size` images, in order.
    #[must_use]
    pub fn pieces(&self, size: usize) -> Vec<Self> {
        let each = self.inputs.len() / self.count().max(1);
        let numbers = size.max(1) * each;
        let pieces = self.levels.chunks(size.max(1)).enumerate().map(|(index, levels)| {
            let (start, end) = (index * numbers, (index * numbers + levels.len() * each).min(self.inputs.len()));
            let (first, last) = (index * size.max(1), index * size.max(1) + levels.len());
            Self {
                inputs: self.inputs[start..end].to_vec(),
                targets: self.targets[start..end].to_vec(),
                images: self.images.get(start..end).unwrap_or_default().to_vec(),
                times: self.times[first..last].to_vec(),
                labels: self.labels[first..last].to_vec(),
                levels: levels.to_vec(),
            }
        });
        pieces.collect()
    }
}

/// Makes batches.
#[derive(Clone, Debug)]
pub struct ImageBatches {
    distribution: NoiseDistribution,
    convention: Convention,
    recipe: Recipe,
}

impl ImageBatches {
    /// The batches of a recipe.
    #[must_use]
    pub fn new(recipe: &Recipe) -> Self {
        let convention = recipe.objective.convention();
        Self { distribution: NoiseDistribution::new(recipe.objective), convention, recipe: recipe.clone() }
    }

    /// The batch of this step.
    #[must_use]
    pub fn batch(&self, set: &ImageSet, step: u32) -> ImageBatch {
        let Recipe { batch: count, seed, flip, label_drop, .. } = self.recipe;
        let mut choice = Rng::new(seed, Stream::Batch, step);
        let mut times = Rng::new(seed, Stream::Times, step);
        let (size, classes) = (set.size(), self.recipe.network.classes);
        let mut images = Vec::with_capacity(count * set.numbers());
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            let index = choice.below(u32::try_from(set.len()).unwrap_or(u32::MAX)) as usize;
            let mirrored = choice.uniform() < 0.5 && flip;
            let told = choice.uniform() >= label_drop;
            labels.push(set.label(index).filter(|label| told && *label < classes));
            for row in set.image(index).chunks_exact(size) {
                if mirrored {
                    images.extend(row.iter().rev().map(|value| to_unit(*value)));
                } else {
                    images.extend(row.iter().map(|value| to_unit(*value)));
                }
            }
        }
        let levels = (0..count).map(|_| self.distribution.draw(&mut times)).collect();
        let mut rng = Rng::new(seed, Stream::Noise, step);
        let mut noise = rng.normals(images.len());
        // The first draw is the only one without matching.
        for _ in 1..self.recipe.match_noise {
            keep_nearer(&images, &mut noise, &rng.normals(images.len()), set.numbers());
        }
        ImageBatch::new(self.convention, images, &noise, levels, labels)
    }
}

/// Replaces the noise of every image of so many numbers by another that lies nearer to it (Li et al. 2025, arXiv
/// 2505.18521: the nearest of several draws).
fn keep_nearer(images: &[f32], noise: &mut [f32], other: &[f32], numbers: usize) {
    let distance = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum() };
    let pairs = noise.chunks_exact_mut(numbers).zip(other.chunks_exact(numbers));
    for (image, (noise, other)) in images.chunks_exact(numbers).zip(pairs) {
        if distance(image, other) < distance(image, noise) {
            noise.copy_from_slice(other);
        }
    }
}
