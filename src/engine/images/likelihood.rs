//! Likelihoods of images, by the probability flow with Hutchinson's estimate of its divergence.

use super::{BatchPolicy, ImageDenoiser, ImageModel, Pictures, ProgressListener};
use crate::diffusion::likelihood::{Batched, JacobianProduct, Probes, bits_per_dimension, dequantise, flow_likelihood};
use crate::diffusion::solver::Tolerance;
use crate::diffusion::{Denoiser as _, Estimate, Level, Schedule, State as _};
use crate::engine::error::{EngineError, Stopped};
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
    /// Which of several estimates with this seed: each has its own dequantisation, probe and noise.
    pub draw: u32,
}

/// Bits per dimension of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Bits {
    /// Those of every image.
    pub each: Vec<f64>,
    /// Levels at which the network was asked about each image.
    pub evaluations: u32,
}

/// Step of the differences that stand for a product with the Jacobian, in standard deviations of the level's noise. In
/// single precision both errors are then small beside that of a probe: 1e-4 of the product by rounding, and the square of
/// the step by the third derivative.
const STEP: f64 = 0.03;

impl Batched for Pictures {
    /// Not numbers when the device no longer answers: what is computed of them is none either.
    async fn dots(&self, other: &Self) -> Vec<f64> {
        let images = self.0.dims()[0];
        // Summed here: sums of tensors would be a tenth of the CPU worker.
        let (Ok(a), Ok(b)) = (self.values().await, other.values().await) else { return vec![f64::NAN; images] };
        let count = self.dimension().max(1);
        let dot = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        a.chunks_exact(count).zip(b.chunks_exact(count)).map(dot).collect()
    }

    fn dimension(&self) -> usize {
        self.0.dims()[1..].iter().product()
    }
}

impl Asked<'_> {
    /// `[images, channels, height, width]`, as the network wants it.
    pub(super) fn shape(&self, model: &ImageModel) -> [usize; 4] {
        [self.images, model.config().image_channels, model.side, model.side]
    }

    /// Grey values as numbers, uniformly dequantised, and a random sign for each.
    fn drawn(&self, count: usize) -> [Vec<f32>; 2] {
        let [mut values, mut signs] = [const { Vec::new() }; 2];
        for (image, pixels) in self.pixels.chunks_exact(count.max(1)).enumerate() {
            let seed = self.seed.wrapping_add(image as u32);
            let mut uniform = Rng::new(seed, Stream::Data, self.draw);
            let mut probe = Rng::new(seed, Stream::Directions, self.draw);
            // [0, 1) onto [-1, 1).
            values.extend(pixels.iter().map(|v| (2.0 * dequantise(*v, uniform.uniform()) - 1.0) as f32));
            signs.extend(pixels.iter().map(|_| probe.sign() as f32));
        }
        [values, signs]
    }

    /// `-ln p` by the probability flow (Song et al. 2021), in bits per dimension, of uniformly dequantised grey values;
    /// `None` when who watches ended it, for half a likelihood is none.
    ///
    /// # Errors
    /// When the device no longer answers, or memory is short.
    pub async fn flow<W: ProgressListener>(
        &self,
        model: &ImageModel,
        schedule: &Schedule,
        tolerance: f64,
        compute: &ComputeDevice,
        progress: &mut W,
    ) -> Result<Option<Bits>, EngineError> {
        let shape = self.shape(model);
        let count = shape[1..].iter().product::<usize>();
        let [x, signs] = self.drawn(count).map(|values| Pictures::new(values, shape, &compute.device));
        let mut policy = BatchPolicy::new(model, compute);
        let labels = self.labels.repeat(3);
        let (last, first) = schedule.time_range();
        let range = [first, last].map(|time| log_ratio(schedule.level(time)));
        let denoiser =
            ImageDenoiser { model, labels: &labels, guidance: 1.0, clip: false, policy: &mut policy, progress };
        let mut differenced = Differenced { denoiser, range };
        let mut traced = Probes { model: &mut differenced, probes: &[signs], weight: 1.0 };
        let tolerance = Tolerance { relative: tolerance, absolute: tolerance };
        let found = flow_likelihood(schedule, tolerance, &mut traced, x).await;
        Ok(Stopped::unless_interrupted(found)?.map(|found| {
            let each = found.log_density.iter().map(|nats| bits_per_dimension(*nats, count, 2.0)).collect();
            Bits { each, evaluations: found.evaluations }
        }))
    }
}

/// `ln(sigma / alpha)`, which grows along the flow.
fn log_ratio(level: Level) -> f64 {
    libm::log(level.sigma / level.alpha)
}

/// A denoiser whose Jacobian is multiplied with a vector by central differences: whatever evaluates the network will do.
struct Differenced<'a, W> {
    denoiser: ImageDenoiser<'a, W>,
    /// [`log_ratio`] where the flow begins and where it ends.
    range: [f64; 2],
}

impl<W: ProgressListener> JacobianProduct<Pictures> for Differenced<'_, W> {
    type Error = Stopped;

    async fn estimate_with_product(
        &mut self,
        x: &Pictures,
        level: Level,
        v: &Pictures,
    ) -> Result<(Estimate<Pictures>, Pictures), Stopped> {
        let [first, last] = self.range;
        self.denoiser.progress.done((log_ratio(level) - first) / (last - first));
        let (images, step) = (x.0.dims()[0], STEP * level.sigma);
        let [ahead, behind] = [step, -step].map(|step| x.clone().blend(1.0, v.clone(), step));
        let together = Pictures::join(vec![x.clone(), ahead, behind]).unwrap_or_else(|| x.clone());
        let Estimate { data, noise, .. } = self.denoiser.estimate(&together, level).await?;
        let [here, ahead, behind] = [0, 1, 2].map(|part| noise.part(part * images, (part + 1) * images));
        let product = ahead.blend(0.5 / step, behind, -0.5 / step);
        Ok((Estimate::new(data.part(0, images), here), product))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::diffusion::now;
    use crate::lab::DeviceChoice;
    use crate::nn::device::open;
    use crate::nn::objective::Objective;
    use crate::nn::unet::UNetConfig;

    /// The product by automatic differentiation instead.
    fn differentiated(
        model: &ImageModel,
        compute: &ComputeDevice,
        x: &Pictures,
        level: Level,
        v: &Pictures,
    ) -> Pictures {
        let mut policy = BatchPolicy::new(model, compute).with_batch(2);
        let mut denoiser =
            ImageDenoiser { model, labels: &[], guidance: 1.0, clip: false, policy: &mut policy, progress: &mut () };
        let x = Tensor::from_inner(x.0.clone()).require_grad();
        let Estimate { noise, .. } = now(denoiser.estimate(&Pictures(x.clone()), level)).unwrap();
        let gradients = (noise.0 * Tensor::from_inner(v.0.clone())).sum().backward();
        Pictures(x.grad(&gradients).unwrap())
    }

    #[test]
    fn the_product_with_the_jacobian_is_that_of_automatic_differentiation() {
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
        let network = |device: &Device| {
            let mut stream = 0;
            let network = config.init(0, device).unwrap().load(|_, shape| {
                stream += 1;
                let fan = shape[1..].iter().product::<usize>().max(1) as f32;
                let draws = Rng::new(3, Stream::Test, stream).normals(shape.iter().product());
                Ok::<_, ()>(draws.into_iter().map(|z| z / fan.sqrt()).collect())
            });
            ImageModel::new(network.unwrap(), Objective::Edm.convention(), 8)
        };
        let (plain, tracked) = (network(&compute.device), network(&compute.device.clone().autodiff()));
        let shape = [2, 3, 8, 8];
        let draw = |index, scale: f32| {
            let values = Rng::new(4, Stream::Test, index).normals(384).into_iter().map(|z| scale * z).collect();
            Pictures::new(values, shape, &compute.device)
        };
        for sigma in [0.002_f64, 0.05, 0.7, 20.0] {
            let level = Level { t: sigma, alpha: 1.0, sigma };
            let (x, v) = (draw(0, sigma.hypot(0.5) as f32), draw(1, 1.0));
            let mut policy = BatchPolicy::new(&plain, &compute);
            let denoiser = ImageDenoiser {
                model: &plain,
                labels: &[],
                guidance: 1.0,
                clip: false,
                policy: &mut policy,
                progress: &mut (),
            };
            let mut differenced = Differenced { denoiser, range: [0.0, 1.0] };
            let (estimate, product) = now(differenced.estimate_with_product(&x, level, &v)).unwrap();
            assert_eq!(estimate.noise.0.dims(), shape);
            let expected = differentiated(&tracked, &compute, &x, level, &v);
            let of_estimates = [&product, &expected].map(|product| now(v.dots(product)));
            for (found, expected) in of_estimates[0].iter().zip(&of_estimates[1]) {
                let off = (found - expected).abs() * sigma;
                assert!(off < 2e-3 * (expected.abs() * sigma).max(1.0), "{sigma}: {found} instead of {expected}");
            }
        }
    }
}
