//! Adam's update (Kingma and Ba 2015) and moving averages, of slices and of tensors.

use burn::tensor::{Device, Tensor};

/// Adam's constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of their squares.
    pub beta_2: f64,
    /// Keeps the division finite.
    pub epsilon: f64,
}

impl Default for AdamConfig {
    /// The usual constants but for `beta_2`, which is shorter than the usual 0.999, for runs of a few thousand steps.
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.99, epsilon: 1e-8 }
    }
}

impl AdamConfig {
    /// The update of this step, counted from 1. The moving average forgets faster at first, so that it is not dominated
    /// by the initial weights: it keeps at most `step / (step + 9)`.
    #[must_use]
    pub fn update(self, step: u32, rate: f64, ema: f64) -> Update {
        let n = f64::from(step.max(1));
        Update {
            config: self,
            rate: rate / (1.0 - libm::pow(self.beta_1, n)),
            square: 1.0 / (1.0 - libm::pow(self.beta_2, n)).sqrt(),
            keep: ema.min(n / (n + 9.0)),
        }
    }
}

/// The numbers of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Adam's constants.
    pub config: AdamConfig,
    /// Learning rate with the correction of the mean's bias, `rate / (1 - beta_1^step)`.
    pub rate: f64,
    /// Correction of the bias of the squares, `1 / sqrt(1 - beta_2^step)`.
    pub square: f64,
    /// Share of the old moving average that stays.
    pub keep: f64,
}

impl Update {
    /// [`AdamConfig::update`] with the default constants.
    #[must_use]
    pub fn new(step: u32, rate: f64, ema: f64) -> Self {
        AdamConfig::default().update(step, rate, ema)
    }
}

/// Means of the gradients and of their squares, on slices.
#[derive(Clone, Debug)]
pub struct Moments {
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Moments {
    /// For this many parameters.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { mean: vec![0.0; count], square: vec![0.0; count] }
    }

    /// Moments of an earlier run: of equally many numbers, which is for the caller to know.
    #[must_use]
    pub fn of(mean: Vec<f32>, square: Vec<f32>) -> Self {
        Self { mean, square }
    }

    /// Means of the gradients and of their squares.
    #[must_use]
    pub fn into_parts(self) -> [Vec<f32>; 2] {
        [self.mean, self.square]
    }

    /// Updates all parameters with their gradient.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], update: Update) {
        step(parameters, [&mut self.mean, &mut self.square], gradient, update);
    }
}

/// Adam's update of parameters, of the mean of their gradients and of the mean of its squares: one pass over memory.
pub fn step(parameters: &mut [f32], [mean, square]: [&mut [f32]; 2], gradient: &[f32], update: Update) {
    let one = One::new(update);
    for (((p, m), v), g) in parameters.iter_mut().zip(mean).zip(square).zip(gradient) {
        one.update(p, m, v, *g);
    }
}

/// [`step`] on a device: parameters, mean and mean of squares after it.
#[must_use]
pub fn step_tensors<const D: usize>(
    parameters: Tensor<D>,
    [mean, square]: [Tensor<D>; 2],
    gradient: Tensor<D>,
    update: Update,
) -> [Tensor<D>; 3] {
    let AdamConfig { beta_1, beta_2, epsilon } = update.config;
    let mean = mean * beta_1 + gradient.clone() * (1.0 - beta_1);
    let square = square * beta_2 + gradient.square() * (1.0 - beta_2);
    let divisor = square.clone().sqrt() * update.square + epsilon;
    [parameters - mean.clone() / divisor * update.rate, mean, square]
}

/// Adam's update of one number.
#[derive(Clone, Copy)]
struct One {
    mean: f32,
    variance: f32,
    epsilon: f32,
    rate: f32,
    square: f32,
}

impl One {
    fn new(Update { config, rate, square, .. }: Update) -> Self {
        Self {
            mean: (1.0 - config.beta_1) as f32,
            variance: (1.0 - config.beta_2) as f32,
            epsilon: config.epsilon as f32,
            rate: rate as f32,
            square: square as f32,
        }
    }

    #[inline(always)]
    fn update(self, parameter: &mut f32, mean: &mut f32, square: &mut f32, gradient: f32) {
        *mean += self.mean * (gradient - *mean);
        *square += self.variance * (gradient * gradient - *square);
        *parameter -= self.rate * *mean / (square.sqrt() * self.square + self.epsilon);
    }
}

/// A moving average, of which the share `keep` stays, after one more value of its parameters.
pub fn blend(average: &mut [f32], parameters: &[f32], keep: f64) {
    let share = (1.0 - keep) as f32;
    average.iter_mut().zip(parameters).for_each(|(a, p)| *a += share * (*p - *a));
}

/// [`blend`] on a device.
#[must_use]
pub fn blend_tensors<const D: usize>(average: Tensor<D>, parameters: &Tensor<D>, keep: f64) -> Tensor<D> {
    average * keep + parameters.clone() * (1.0 - keep)
}

/// Means of the gradients and of their squares, on a device.
#[derive(Clone, Debug)]
pub struct TensorMoments {
    mean: Tensor<1>,
    square: Tensor<1>,
}

impl TensorMoments {
    /// For this many parameters.
    #[must_use]
    pub fn new(count: usize, device: &Device) -> Self {
        Self { mean: Tensor::zeros([count], device), square: Tensor::zeros([count], device) }
    }

    /// Moments of an earlier run.
    #[must_use]
    pub fn of(mean: Tensor<1>, square: Tensor<1>) -> Self {
        Self { mean, square }
    }

    /// Mean of the gradients and of their squares.
    #[must_use]
    pub fn parts(&self) -> [&Tensor<1>; 2] {
        [&self.mean, &self.square]
    }

    /// The same for keeps.
    #[must_use]
    pub fn into_parts(self) -> [Tensor<1>; 2] {
        [self.mean, self.square]
    }

    /// The parameters after the update.
    #[must_use]
    pub fn step(&mut self, parameters: Tensor<1>, gradient: Tensor<1>, update: Update) -> Tensor<1> {
        let moments = [self.mean.clone(), self.square.clone()];
        let [parameters, mean, square] = step_tensors(parameters, moments, gradient, update);
        (self.mean, self.square) = (mean, square);
        parameters
    }
}
