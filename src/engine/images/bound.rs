//! Likelihoods of images, by the variational bound of a chain.

use super::likelihood::{Asked, Bits};
use super::{BatchPolicy, ImageDenoiser, ImageModel, Pictures, ProgressListener};
use crate::data::image_set::to_unit;
use crate::diffusion::likelihood::{Bound, decoder_std, variational_bound};
use crate::diffusion::objective::{BYTE_HALF_WIDTH, exact_discretised_log_probability};
use crate::diffusion::solver::{Posterior, Variance};
use crate::diffusion::{Level, Schedule, Solver, Spacing};
use crate::engine::error::{EngineError, Stopped};
use crate::nn::device::ComputeDevice;
use crate::rng::{Rng, Stream};

impl Asked<'_> {
    /// `-ln p` of the variational bound of a chain of `steps` steps of this schedule (Ho et al. 2020, with the variance
    /// of the posterior), in bits per dimension: the grey values themselves, nothing is dequantised.
    /// `None` when who watches ended it.
    ///
    /// # Errors
    /// When the device no longer answers, or memory is short.
    pub async fn bound<W: ProgressListener>(
        &self,
        model: &ImageModel,
        schedule: &Schedule,
        steps: usize,
        compute: &ComputeDevice,
        progress: &mut W,
    ) -> Result<Option<Bits>, EngineError> {
        let shape = self.shape(model);
        let count = shape[1..].iter().product::<usize>().max(1);
        let values: Vec<f32> = self.pixels.iter().map(|value| to_unit(*value)).collect();
        let data = Pictures::new(values.clone(), shape, &compute.device);
        let levels = Solver::Ddpm(Variance::Small).grid(schedule, Spacing::Uniform, steps);
        let mut noise = |number: usize| {
            let mut drawn = Vec::with_capacity(self.images * count);
            for image in 0..self.images as u32 {
                let seed = self.seed.wrapping_add(image);
                let index = self.draw * steps as u32 + number as u32;
                drawn.extend(Rng::new(seed, Stream::Noise, index).normals(count));
            }
            Pictures::new(drawn, shape, &compute.device)
        };
        let mut policy = BatchPolicy::new(model, compute);
        let mut denoiser =
            ImageDenoiser { model, labels: self.labels, guidance: 1.0, clip: true, policy: &mut policy, progress };
        let std = decoder_std(&levels);
        let decode = async |_: &Pictures, mean: &Pictures| {
            let means = mean.values().await?;
            let log = |(x, mean): (&f32, &f32)| {
                exact_discretised_log_probability(f64::from(*x), f64::from(*mean), std, BYTE_HALF_WIDTH)
            };
            let images = values.chunks(count).zip(means.chunks(count));
            Ok(images.map(|(values, means)| values.iter().zip(means).map(log).sum()).collect())
        };
        let variance = |posterior: Posterior, _: Level, _: Level| posterior.variance;
        let prior = schedule.prior_std();
        let bound = variational_bound(&levels, &mut denoiser, &data, &mut noise, prior, variance, decode).await;
        Ok(Stopped::unless_interrupted(bound)?.map(|bound| {
            let each = bound.samples.iter().map(|nats| Bound::bits_per_dimension(*nats, count)).collect();
            Bits { each, evaluations: u32::try_from(levels.len().saturating_sub(1)).unwrap_or(u32::MAX) }
        }))
    }
}
