//! Variational autoencoders (Kingma and Welling 2014, arXiv 1312.6114): an encoder and a decoder trained with each other on
//! the evidence lower bound, `ln p(x) >= E[ln p(x | z)] - KL(q(z | x) || N(0, I))`.
//!
//! Both networks are perceptrons; `q(z | x)` is normal with a mean and a log-variance for every latent number, `p(x | z)`
//! normal around the decoder's output with one standard deviation for all numbers, which is learned too or held fixed.

use burn::tensor::Device;

use super::adam::{Adam, AdamConfig};
use super::architecture::{Activation, Initialisation, Shape};
use super::array::Array;
use super::device::{ComputeDevice, DeviceError};
use super::mlp::{Gradient, Jet, Mlp};
use super::training::{Answer, Training};
use crate::diffusion::objective::normal_divergence;

/// Share of the moving average of the parameters that a step keeps.
const KEEP: f64 = 0.99;
const ADAM: AdamConfig = AdamConfig { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
/// Weights of the last layers start at this share: latents near 0, and outputs that are not yet sure of anything.
const INITIAL: Initialisation = Initialisation { last: 0.3, ..Initialisation::QUIET };
/// Standard deviation of `p(x | z)` at the start.
const NOISE: f32 = 0.3;

/// The form of an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoencoderForm {
    /// Numbers in a point.
    pub dimension: usize,
    /// Numbers in a latent.
    pub latent: usize,
    /// Units of a hidden layer of either network.
    pub width: usize,
    /// Hidden layers of either; with none both are linear.
    pub depth: usize,
}

impl AutoencoderForm {
    /// The shapes of encoder and decoder.
    #[must_use]
    pub fn shapes(self) -> [Shape; 2] {
        let Self { dimension, latent, width, depth } = self;
        let shape = |inputs, outputs| Shape { inputs, width, depth, outputs, activation: Activation::Silu };
        [shape(dimension, 2 * latent), shape(latent, dimension)]
    }

    /// Number of parameters of both networks.
    #[must_use]
    pub fn parameters(self) -> usize {
        self.shapes().map(Shape::parameters).iter().sum()
    }
}

/// An autoencoder in training. Points and latents are flat, row by row.
pub struct Autoencoder {
    form: AutoencoderForm,
    encoder: Training,
    decoder: Training,
    /// Logarithm of the standard deviation of `p(x | z)`, a single number, and its moments.
    log_noise: Array,
    adam: Adam,
    /// Matrices that take the means and the log-variances out of the encoder's outputs.
    halves: [Array; 2],
    device: Device,
}

/// The negative bound of a batch and its gradients.
pub struct BoundGradients {
    /// Mean of `-ln p(x | z)`, in nats, a single number.
    pub reconstruction: Array,
    /// Mean of `KL(q(z | x) || N(0, I))`, in nats, a single number.
    pub divergence: Array,
    /// Gradient with respect to the encoder's parameters.
    pub encoder: Gradient,
    /// With respect to the decoder's.
    pub decoder: Gradient,
    /// With respect to the logarithm of the standard deviation of `p(x | z)`, a single number.
    pub log_noise: Array,
}

impl Autoencoder {
    /// The `index`-th autoencoder of the run with this seed.
    #[must_use]
    pub fn new(form: AutoencoderForm, compute: &ComputeDevice, seed: u32, index: u32) -> Self {
        let [encoder, decoder] = form.shapes();
        let parameters = [encoder.initial(INITIAL, seed, 2 * index), decoder.initial(INITIAL, seed, 2 * index + 1)];
        Self::from_parameters(form, compute, [&parameters[0], &parameters[1]], NOISE)
    }

    /// The autoencoder with these parameters of encoder and decoder, in the order of [`Shape::layers`], and this standard
    /// deviation of `p(x | z)`.
    ///
    /// # Panics
    /// When there are not as many of them as the form has.
    #[must_use]
    pub fn from_parameters(
        form: AutoencoderForm,
        compute: &ComputeDevice,
        parameters: [&[f32]; 2],
        noise: f32,
    ) -> Self {
        let (device, latent) = (compute.device.clone(), form.latent);
        let [encoder, decoder] = form.shapes();
        let training = |shape, parameters| Training::new(Mlp::new(shape, parameters, &device));
        let log_noise = Array::filled(noise.ln(), 1, 1, &device);
        let halves = [0, latent].map(|start| {
            let mut half = vec![0.0; 2 * latent * latent];
            (0..latent).for_each(|i| half[(start + i) * latent + i] = 1.0);
            Array::new(half, latent, &device)
        });
        Self {
            form,
            encoder: training(encoder, parameters[0]),
            decoder: training(decoder, parameters[1]),
            adam: Adam::new(&log_noise),
            log_noise,
            halves,
            device,
        }
    }

    fn array(&self, rows: &[f32], columns: usize) -> Array {
        Array::new(rows.to_vec(), columns, &self.device)
    }

    fn filled(&self, value: f64, rows: usize, columns: usize) -> Array {
        Array::filled(value as f32, rows, columns, &self.device)
    }

    /// The negative bound of points, with the divergence taken `divergence_weight` times (1 for the bound itself, Higgins
    /// et al. 2017 otherwise), and its gradients. `noise` is unit noise, one latent a point.
    #[must_use]
    pub fn gradients(&self, x: &[f32], noise: &[f32], divergence_weight: f64) -> BoundGradients {
        let AutoencoderForm { dimension, latent, .. } = self.form;
        let count = x.len() / dimension;
        let (each, numbers) = (1.0 / count.max(1) as f64, dimension as f64);
        let data = self.array(x, dimension);
        let (encoded, encoder_trace) = self.encoder.mlp().push(data.clone(), None, false);
        let [mean, log_variance] = [0, 1].map(|half| encoded.value.matmul(&self.halves[half]));
        let std = (log_variance.clone() * 0.5).exp();
        let spread = std.clone() * &self.array(noise, latent);
        let (decoded, trace) = self.decoder.mlp().push(mean.clone() + &spread, None, false);

        let precision = (self.filled(1.0, count, 1).matmul(&self.log_noise) * -2.0).exp();
        let (square, error) = decoded.value.squared_error(&data, &precision, (0.5 * each) as f32);
        let fixed = self.filled(0.5 * numbers * std::f64::consts::TAU.ln(), 1, 1);
        let reconstruction = square.clone() + &(self.log_noise.clone() * numbers) + &fixed;
        let log_noise = square * -2.0 + &self.filled(numbers, 1, 1);
        let (decoder, of_latent) = self.decoder.mlp().gradients(trace, Jet::value(error));

        let excess = std.square() - &self.filled(1.0, count, latent);
        let divergence = (mean.clone().square() + &excess - &log_variance).sum() * (0.5 * each);
        let weight = divergence_weight * each;
        let of_log_variance = of_latent.clone() * &spread * 0.5 + &(excess * (0.5 * weight));
        let of_mean = of_latent + &(mean * weight);
        let of_encoded =
            of_mean.matmul_transposed(&self.halves[0]) + &of_log_variance.matmul_transposed(&self.halves[1]);
        let encoder = self.encoder.mlp().gradient(encoder_trace, Jet::value(of_encoded));
        BoundGradients { reconstruction, divergence, encoder, decoder, log_noise }
    }

    /// One step of Adam at this rate on [`Self::gradients`]. `noise_learned` says whether the standard deviation of
    /// `p(x | z)` is learned too.
    pub fn train(&mut self, x: &[f32], noise: &[f32], divergence_weight: f64, noise_learned: bool, rate: f64) {
        let of = self.gradients(x, noise, divergence_weight);
        let update = ADAM.update(self.encoder.next_step(), rate, KEEP);
        self.encoder.step(of.divergence, &of.encoder, update);
        self.decoder.step(of.reconstruction, &of.decoder, update);
        if noise_learned {
            self.adam.update(&mut self.log_noise, &Gradient::new(vec![of.log_noise]), update);
        }
    }

    /// Mean reconstruction terms and divergences since the last call, in nats, one of each a step. On a GPU this waits for
    /// the steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn take_losses(&mut self) -> Result<[Vec<f32>; 2], DeviceError> {
        Ok([self.decoder.take_losses().await?, self.encoder.take_losses().await?])
    }

    /// Means and log-variances of `q(z | x)` with the moving average of the weights, `2 * latent` numbers a point.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn encode<'a>(&'a self, x: &[f32]) -> Answer<'a> {
        Box::pin(self.encoder.averaged().forward(self.array(x, self.form.dimension)).read())
    }

    /// Latents drawn from `q(z | x)` with unit noise, from what [`Self::encode`] gave; without noise the means.
    #[must_use]
    pub fn latents(&self, encoded: &[f32], noise: Option<&[f32]>) -> Vec<f32> {
        let latent = self.form.latent;
        let mut latents = Vec::with_capacity(encoded.len() / 2);
        for (row, point) in encoded.chunks_exact(2 * latent).enumerate() {
            let (mean, log_variance) = point.split_at(latent);
            latents.extend(mean.iter().zip(log_variance).enumerate().map(|(i, (mean, log_variance))| {
                mean + noise.map_or(0.0, |noise| (0.5 * log_variance).exp() * noise[row * latent + i])
            }));
        }
        latents
    }

    /// Means of `p(x | z)` with the moving average of the weights, `dimension` numbers a latent.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn decode<'a>(&'a self, latents: &[f32]) -> Answer<'a> {
        Box::pin(self.decoder.averaged().forward(self.array(latents, self.form.latent)).read())
    }

    /// The standard deviation of `p(x | z)`: the moving average of its logarithm.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn noise(&self) -> Result<f64, DeviceError> {
        let log = self.adam.average().clone().read().await?;
        Ok(f64::from(log.first().copied().unwrap_or(f32::NAN)).exp())
    }

    /// The two terms of the negative bound for every point, `-ln p(x | z)` for one latent of unit noise and
    /// `KL(q(z | x) || N(0, I))`, in nats, with the moving average of the weights.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn terms(&self, x: &[f32], noise: &[f32]) -> Result<Vec<[f64; 2]>, DeviceError> {
        let AutoencoderForm { dimension, latent, .. } = self.form;
        let (encoded, std) = (self.encode(x).await?, self.noise().await?);
        let decoded = self.decode(&self.latents(&encoded, Some(noise))).await?;
        let points = x.chunks_exact(dimension).zip(decoded.chunks_exact(dimension));
        let terms = points.zip(encoded.chunks_exact(2 * latent)).map(|((x, mean), encoded)| {
            let log_density = |(x, mean): (&f32, &f32)| {
                0.5 * (f64::from(x - mean) / std).powi(2) + (std * std::f64::consts::TAU.sqrt()).ln()
            };
            let (means, log_variances) = encoded.split_at(latent);
            let divergence = |(mean, log_variance): (&f32, &f32)| {
                normal_divergence(f64::from(*mean), f64::from(*log_variance).exp(), 0.0, 1.0)
            };
            [x.iter().zip(mean).map(log_density).sum(), means.iter().zip(log_variances).map(divergence).sum()]
        });
        Ok(terms.collect())
    }
}
