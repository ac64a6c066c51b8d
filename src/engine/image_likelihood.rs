//! Likelihoods of images: by the variational bound of a chain, and by the probability flow with Hutchinson's estimate of
//! its divergence, for which the network is differentiated with respect to the image.

use burn::tensor::Tensor;

use super::error::{EngineError, Stopped};
use super::images::{BatchPolicy, ImageDenoiser, ImageError, ImageModel, Pictures, ProgressListener};
use crate::diffusion::likelihood::{
    Batched, Bound, JacobianProduct, Probes, bits_per_dimension, decoder_std, dequantise, flow_likelihood,
    variational_bound,
};
use crate::diffusion::objective::{BYTE_HALF_WIDTH, exact_discretised_log_probability};
use crate::diffusion::solver::{Posterior, Tolerance, Variance};
use crate::diffusion::{Denoiser as _, Estimate, Level, Schedule, Solver, Spacing};
use crate::nn::device::ComputeDevice;
use crate::rng::{Rng, Stream};

/// Images with their grey values as numbers in `[-1, 1]`, and how the likelihood's noise is drawn.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// `[images, channels, height, width]`, image after image.
    pub pixels: &'a [u8],
    /// How many images.
    pub images: usize,
    /// The class that the network is told of each; none where it is told nothing.
    pub labels: &'a [Option<usize>],
    /// Seed of dequantisation, probes and noise.
    pub seed: u32,
}

/// Bits per dimension of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Bits {
    /// The mean over the images.
    pub mean: f64,
    /// Network evaluations of each image.
    pub evaluations: u32,
}

impl Batched for Pictures {
    /// Not numbers when the device no longer answers: what is computed of them is none either.
    async fn dots(&self, other: &Self) -> Vec<f64> {
        let images = self.0.dims()[0];
        let products = (self.0.clone() * other.0.clone()).reshape([images as i32, -1]).sum_dim(1);
        let dots = Pictures(products.reshape([images, 1, 1, 1])).values().await;
        dots.map_or_else(|_| vec![f64::NAN; images], |dots| dots.into_iter().map(f64::from).collect())
    }

    fn dimension(&self) -> usize {
        self.0.dims()[1..].iter().product()
    }
}

impl Asked<'_> {
    fn shape(&self, model: &ImageModel) -> [usize; 4] {
        [self.images, model.config().image_channels, model.side, model.side]
    }

    /// `-ln p` of the variational bound of a chain of `steps` steps of this schedule (Ho et al. 2020, with the variance
    /// of the posterior), in bits per dimension: the grey values themselves, nothing is dequantised.
    ///
    /// # Errors
    /// When the device no longer answers, memory is short, or who watches ended it.
    pub async fn bound<W: ProgressListener>(
        &self,
        model: &ImageModel,
        schedule: &Schedule,
        steps: usize,
        compute: &ComputeDevice,
        progress: &mut W,
    ) -> Result<Bits, EngineError> {
        let shape = self.shape(model);
        let count = shape[1..].iter().product::<usize>().max(1);
        let values: Vec<f32> = self.pixels.iter().map(|value| crate::data::image_set::to_unit(*value)).collect();
        let data = Pictures::new(values.clone(), shape, &compute.device);
        let levels = Solver::Ddpm(Variance::Small).grid(schedule, Spacing::Uniform, steps);
        let mut noise = |number: usize| {
            let mut drawn = Vec::with_capacity(self.images * count);
            for image in 0..self.images as u32 {
                let seed = self.seed.wrapping_add(image);
                drawn.extend(Rng::new(seed, Stream::Noise, number as u32).normals(count));
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
        let bound = ended(bound)?;
        let evaluations = u32::try_from(levels.len().saturating_sub(1)).unwrap_or(u32::MAX);
        Ok(Bits { mean: Bound::bits_per_dimension(bound.total(), count), evaluations })
    }

    /// `-ln p` by the probability flow (Song et al. 2021), in bits per dimension, of uniformly dequantised grey values.
    /// `model` has to be on the device with automatic differentiation.
    ///
    /// # Errors
    /// When the device no longer answers, memory is short, or who watches ended it.
    pub async fn flow<W: ProgressListener>(
        &self,
        model: &ImageModel,
        schedule: &Schedule,
        tolerance: f64,
        compute: &ComputeDevice,
        progress: &mut W,
    ) -> Result<Bits, EngineError> {
        let shape = self.shape(model);
        let count = shape[1..].iter().product::<usize>();
        let (mut values, mut signs) = (Vec::with_capacity(self.pixels.len()), Vec::with_capacity(self.pixels.len()));
        for (image, pixels) in self.pixels.chunks_exact(count.max(1)).enumerate() {
            let seed = self.seed.wrapping_add(image as u32);
            let mut uniform = Rng::new(seed, Stream::Data, 0);
            let mut probe = Rng::new(seed, Stream::Directions, 0);
            // [0, 1) onto [-1, 1).
            values.extend(pixels.iter().map(|v| (2.0 * dequantise(*v, uniform.uniform()) - 1.0) as f32));
            signs.extend(pixels.iter().map(|_| probe.sign() as f32));
        }
        let x = Pictures::new(values, shape, &compute.device);
        let mut policy = BatchPolicy::new(model, compute).with_batch(self.images);
        let labels = self.labels;
        let mut tracked =
            Tracked(ImageDenoiser { model, labels, guidance: 1.0, clip: false, policy: &mut policy, progress });
        let probes = [Pictures::new(signs, shape, &compute.device)];
        let mut traced = Probes { model: &mut tracked, probes: &probes, weight: 1.0 };
        let tolerance = Tolerance { relative: tolerance, absolute: tolerance };
        let found = ended(flow_likelihood(schedule, tolerance, &mut traced, x).await)?;
        let mean = found.log_density.iter().sum::<f64>() / self.images.max(1) as f64;
        Ok(Bits { mean: bits_per_dimension(mean, count, 2.0), evaluations: found.evaluations })
    }
}

/// What was computed to its end: half a likelihood is none.
fn ended<T>(result: Result<T, Stopped>) -> Result<T, EngineError> {
    let value = Stopped::unless_interrupted(result)?;
    value.ok_or_else(|| ImageError::Internal("ended before its time".to_owned()).into())
}

/// A denoiser whose network is differentiated with respect to what it sees.
struct Tracked<'a, W>(ImageDenoiser<'a, W>);

impl<W: ProgressListener> JacobianProduct<Pictures> for Tracked<'_, W> {
    type Error = Stopped;

    async fn estimate_with_product(
        &mut self,
        x: &Pictures,
        level: Level,
        v: &Pictures,
    ) -> Result<(Estimate<Pictures>, Pictures), Stopped> {
        let x = Tensor::from_inner(x.0.clone()).require_grad();
        let Estimate { data, noise, .. } = self.0.estimate(&Pictures(x.clone()), level).await?;
        let gradients = (noise.0.clone() * Tensor::from_inner(v.0.clone())).sum().backward();
        let product = x.grad(&gradients).unwrap_or_else(|| v.0.zeros_like());
        Ok((Estimate::new(Pictures(data.0.inner()), Pictures(noise.0.inner())), Pictures(product)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{State as _, now};
    use crate::lab::DeviceChoice;
    use crate::nn::device::open;
    use crate::nn::objective::Objective;
    use crate::nn::unet::UNetConfig;

    #[test]
    fn the_product_with_the_jacobian_is_that_of_differences() {
        let compute = now(open(DeviceChoice::Cpu)).unwrap();
        let config = UNetConfig {
            channels: 8,
            multipliers: vec![1, 2],
            layers: 1,
            attention_levels: vec![1],
            groups: 4,
            dropout: 0.0,
            ..UNetConfig::cifar10()
        };
        let mut stream = 0;
        let network = config.init(0, &compute.device.clone().autodiff()).unwrap();
        let network = network.load(|_, shape| {
            stream += 1;
            let fan = shape[1..].iter().product::<usize>().max(1) as f32;
            let draws = Rng::new(3, Stream::Test, stream).normals(shape.iter().product());
            Ok::<_, ()>(draws.into_iter().map(|z| z / fan.sqrt()).collect())
        });
        let model = ImageModel::new(network.unwrap(), Objective::Edm.convention(), 8);
        let shape = [2, 3, 8, 8];
        let draw = |index| Pictures::new(Rng::new(4, Stream::Test, index).normals(384), shape, &compute.device);
        let (x, v, u) = (draw(0), draw(1), draw(2));
        let level = Level { t: 0.5, alpha: 1.0, sigma: 0.7 };
        let mut policy = BatchPolicy::new(&model, &compute).with_batch(2);
        let mut progress = ();
        let mut tracked = Tracked(ImageDenoiser {
            model: &model,
            labels: &[],
            guidance: 1.0,
            clip: false,
            policy: &mut policy,
            progress: &mut progress,
        });
        let mut ask = |x: &Pictures| now(tracked.estimate_with_product(x, level, &v)).unwrap();
        let (_, product) = ask(&x);
        let h = 1e-2;
        let ahead = ask(&x.clone().blend(1.0, u.clone(), h)).0.noise;
        let behind = ask(&x.blend(1.0, u.clone(), -h)).0.noise;
        let differences = now(v.dots(&ahead.blend(0.5 / h, behind, -0.5 / h)));
        for (found, expected) in now(product.dots(&u)).into_iter().zip(differences) {
            // Central differences of single precision: 1e-7 / h relative to outputs, and h^2 of the third derivative.
            assert!((found - expected).abs() < 1e-2 * expected.abs().max(1.0), "{found} instead of {expected}");
        }
    }
}
