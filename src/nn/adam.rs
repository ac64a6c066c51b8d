//! Adam (Kingma and Ba 2015) with a moving average of the weights, over one flat vector.

use burn::tensor::{Device, Tensor};

use super::cpu;
use super::matrix::Matrix;

/// Decay of the mean of gradients.
pub const BETA_1: f64 = 0.9;
/// Decay of the mean of their squares: shorter than the usual 0.999, for runs of a few thousand steps.
pub const BETA_2: f64 = 0.99;
/// Keeps the division finite.
pub const EPSILON: f64 = 1e-8;

/// The numbers of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Learning rate with the correction of the mean's bias, `rate / (1 - beta_1^step)`.
    pub rate: f64,
    /// Correction of the bias of the squares, `1 / sqrt(1 - beta_2^step)`.
    pub square: f64,
    /// Share of the old moving average that stays.
    pub keep: f64,
}

impl Update {
    /// The update of this step, counted from 1. The moving average forgets faster at first, so that it is not dominated
    /// by the initial weights: it keeps at most `step / (step + 9)`.
    #[must_use]
    pub fn new(step: u32, rate: f64, ema: f64) -> Self {
        let n = f64::from(step.max(1));
        Self {
            rate: rate / (1.0 - libm::pow(BETA_1, n)),
            square: 1.0 / libm::sqrt(1.0 - libm::pow(BETA_2, n)),
            keep: ema.min(n / (n + 9.0)),
        }
    }
}

/// Moments and moving average on slices: one pass over memory.
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

    /// Mean of the gradients and of their squares.
    #[must_use]
    pub fn parts(&self) -> [&[f32]; 2] {
        [&self.mean, &self.square]
    }

    /// The same for keeps.
    #[must_use]
    pub fn into_parts(self) -> [Vec<f32>; 2] {
        [self.mean, self.square]
    }

    /// Updates a run of parameters that starts at `start` in the flat vector, and their moving average, with their
    /// gradient.
    ///
    /// # Panics
    /// When the run does not lie within the vector.
    pub fn update(
        &mut self,
        start: usize,
        parameters: &mut [f32],
        average: &mut [f32],
        gradient: &[f32],
        update: Update,
    ) {
        let (one, share) = (One::new(update), (1.0 - update.keep) as f32);
        let end = start + parameters.len();
        let moments = self.mean[start..end].iter_mut().zip(&mut self.square[start..end]);
        for (((p, a), g), (m, v)) in parameters.iter_mut().zip(average).zip(gradient).zip(moments) {
            one.update(p, m, v, *g);
            *a += share * (*p - *a);
        }
    }

    /// The same of all parameters without a moving average.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], update: Update) {
        let one = One::new(update);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((p, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            one.update(p, m, v, *g);
        }
    }
}

/// Adam's update of one number.
#[derive(Clone, Copy)]
struct One {
    rate: f32,
    square: f32,
}

impl One {
    fn new(update: Update) -> Self {
        Self { rate: update.rate as f32, square: update.square as f32 }
    }

    #[inline(always)]
    fn update(self, parameter: &mut f32, mean: &mut f32, square: &mut f32, gradient: f32) {
        *mean += (1.0 - BETA_1) as f32 * (gradient - *mean);
        *square += (1.0 - BETA_2) as f32 * (gradient * gradient - *square);
        *parameter -= self.rate * *mean / (square.sqrt() * self.square + EPSILON as f32);
    }
}

/// A moving average, of which the share `keep` stays, after one more value of its parameters.
pub fn blend(average: &mut [f32], parameters: &[f32], keep: f64) {
    let share = (1.0 - keep) as f32;
    average.iter_mut().zip(parameters).for_each(|(a, p)| *a += share * (*p - *a));
}

/// [`blend`] on a device.
#[must_use]
pub fn blend_tensors(average: Tensor<1>, parameters: &Tensor<1>, keep: f64) -> Tensor<1> {
    average * keep + parameters.clone() * (1.0 - keep)
}

/// Moments on a device.
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

    /// The parameters and the moving average after the update.
    pub fn update(
        &mut self,
        parameters: Tensor<1>,
        average: Tensor<1>,
        gradient: Tensor<1>,
        update: Update,
    ) -> (Tensor<1>, Tensor<1>) {
        let parameters = self.step(parameters, gradient, update);
        let average = blend_tensors(average, &parameters, update.keep);
        (parameters, average)
    }

    /// The parameters after the update.
    #[must_use]
    pub fn step(&mut self, parameters: Tensor<1>, gradient: Tensor<1>, update: Update) -> Tensor<1> {
        self.mean = self.mean.clone() * BETA_1 + gradient.clone() * (1.0 - BETA_1);
        self.square = self.square.clone() * BETA_2 + gradient.square() * (1.0 - BETA_2);
        let divisor = self.square.clone().sqrt() * update.square + EPSILON;
        parameters - self.mean.clone() / divisor * update.rate
    }
}

/// Moments and moving average of a matrix of parameters, in the form that suits its device.
#[derive(Clone, Debug)]
pub struct Average {
    value: Matrix,
    moments: Both,
    device: Device,
}

#[derive(Clone, Debug)]
enum Both {
    Cpu(Moments),
    Device(Box<TensorMoments>),
}

impl Average {
    /// The average that starts from these parameters, one a row.
    #[must_use]
    pub fn new(parameters: &Matrix, device: &Device) -> Self {
        let count = parameters.rows();
        let moments = if cpu::is_cpu(device) {
            Both::Cpu(Moments::new(count))
        } else {
            Both::Device(Box::new(TensorMoments::new(count, device)))
        };
        Self { value: parameters.clone(), moments, device: device.clone() }
    }

    /// The moving average.
    #[must_use]
    pub fn value(&self) -> &Matrix {
        &self.value
    }

    /// The parameters after the update.
    #[must_use]
    pub fn update(&mut self, parameters: Matrix, gradient: Matrix, update: Update) -> Matrix {
        let average = std::mem::replace(&mut self.value, Matrix::new(Vec::new(), 1, &self.device));
        let parts = (parameters.into_numbers(), average.into_numbers(), gradient.into_numbers());
        match (&mut self.moments, parts) {
            (Both::Cpu(moments), (Ok(mut parameters), Ok(mut average), Ok(gradient))) => {
                moments.update(0, &mut parameters, &mut average, &gradient, update);
                self.value = Matrix::new(average, 1, &self.device);
                Matrix::new(parameters, 1, &self.device)
            }
            (Both::Device(moments), (Err(parameters), Err(average), Err(gradient))) if !cpu::ONLY => {
                let flat = |tensor: Box<Tensor<2>>| tensor.flatten::<1>(0, 1);
                let (parameters, average) = moments.update(flat(parameters), flat(average), flat(gradient), update);
                self.value = average.unsqueeze_dim::<2>(1).into();
                parameters.unsqueeze_dim::<2>(1).into()
            }
            // Parameters, average and gradient are on one device.
            _ => self.value.clone(),
        }
    }
}
