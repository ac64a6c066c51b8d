//! The plane's network in training, and one that only answers.

use burn::tensor::Device;

use super::batch::Batch;
use crate::nn::adam::{Adam, Update};
use crate::nn::architecture::OUTPUTS;
use crate::nn::array::Array;
use crate::nn::device::{ComputeDevice, DeviceError};
use crate::nn::mlp::{Gradient, Mlp};
use crate::nn::training::Training;
use crate::nn::{Architecture, features};

/// Points that a GPU evaluates at once.
const GPU_CHUNK: usize = 1 << 15;

/// Rows that the CPU works on at once: as many as fit into the caches, and so few that a network of any size can still be
/// interrupted between two such pieces of work, which take about 10 ms at most.
#[must_use]
pub fn rows_at_once(architecture: Architecture) -> usize {
    (30_000_000 / architecture.parameters().max(1)).clamp(16, 512)
}

/// All numbers of a network in training, each list of as many as there are parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerState {
    /// The parameters.
    pub parameters: Vec<f32>,
    /// Their moving average.
    pub average: Vec<f32>,
    /// Adam's mean of the gradients.
    pub mean: Vec<f32>,
    /// Adam's mean of their squares.
    pub square: Vec<f32>,
}

/// A network in training.
pub struct Network {
    training: Training,
    /// Rows of the batch that a part of a step is.
    rows: usize,
    /// Rows of the batch done.
    done: usize,
    /// Their loss and gradient.
    sum: Option<(Array, Gradient)>,
    device: Device,
}

impl Network {
    /// A network that starts from these parameters.
    #[must_use]
    pub fn new(architecture: Architecture, parameters: &[f32], compute: &ComputeDevice) -> Self {
        let nothing = vec![0.0; parameters.len()];
        let parameters = parameters.to_vec();
        let numbers = TrainerState { average: parameters.clone(), parameters, mean: nothing.clone(), square: nothing };
        Self::of(architecture, numbers, compute)
    }

    /// A network that goes on from these numbers.
    #[must_use]
    pub fn of(architecture: Architecture, numbers: TrainerState, compute: &ComputeDevice) -> Self {
        let device = compute.device.clone();
        let TrainerState { parameters, average, mean, square } = numbers;
        let array = |values| Array::new(values, 1, &device);
        Self {
            training: Training::of(
                Mlp::of(architecture.shape(), array(parameters)),
                Adam::of([array(mean), array(square)], array(average)),
            ),
            rows: if compute.info.gpu { usize::MAX } else { rows_at_once(architecture) },
            done: 0,
            sum: None,
            device,
        }
    }

    /// A part of a training step; says whether the step is complete. On the CPU a large step has several parts; on a
    /// GPU the work is handed over and this returns at once.
    pub fn part(&mut self, batch: &mut Batch, update: Update) -> bool {
        let count = batch.weights.len();
        let (start, end) = (self.done, self.done.saturating_add(self.rows).min(count));
        let part = |values: &mut Vec<f32>, columns: usize| {
            let values = if end - start == count {
                std::mem::take(values)
            } else {
                values[start * columns..end * columns].to_vec()
            };
            Array::new(values, columns, &self.device)
        };
        let (inputs, targets) = (part(&mut batch.inputs, features::COUNT), part(&mut batch.targets, OUTPUTS));
        let weights = part(&mut batch.weights, 1);
        let mlp = self.training.mlp();
        let (loss, gradient) = mlp.squared_error(inputs, &targets, &weights, 1.0 / (count * OUTPUTS) as f32);
        let (loss, gradient) = match self.sum.take() {
            Some((losses, gradients)) => (losses + &loss, gradients + &gradient),
            None => (loss, gradient),
        };
        if end < count {
            (self.done, self.sum) = (end, Some((loss, gradient)));
            return false;
        }
        self.training.step(loss, &gradient, update);
        self.done = 0;
        true
    }

    /// The losses since the last call, one a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn take_losses(&mut self) -> Result<Vec<f32>, DeviceError> {
        self.training.take_losses().await
    }

    /// The moving average of the parameters.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn average(&self) -> Result<Vec<f32>, DeviceError> {
        self.training.adam().average().clone().read().await
    }

    /// Everything that training goes on from, between two steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn numbers(&self) -> Result<TrainerState, DeviceError> {
        let [mean, square] = self.training.adam().moments().map(Array::clone);
        Ok(TrainerState {
            parameters: self.training.mlp().parameters().clone().read().await?,
            average: self.average().await?,
            mean: mean.read().await?,
            square: square.read().await?,
        })
    }
}

/// A network that only answers.
pub struct Evaluator {
    mlp: Mlp,
    chunk: usize,
    device: Device,
}

impl Evaluator {
    /// The network with these parameters.
    #[must_use]
    pub fn new(architecture: Architecture, parameters: &[f32], compute: &ComputeDevice) -> Self {
        let chunk = if compute.info.gpu { GPU_CHUNK } else { rows_at_once(architecture) };
        let mlp = Mlp::new(architecture.shape(), parameters, &compute.device);
        Self { mlp, chunk, device: compute.device.clone() }
    }

    /// How many points to ask about at once.
    #[must_use]
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    fn array(&self, rows: Vec<f32>) -> Array {
        Array::new(rows, features::COUNT, &self.device)
    }

    /// The outputs for rows of features, `points * 2` numbers.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn evaluate(&self, rows: Vec<f32>) -> Result<Vec<f32>, DeviceError> {
        self.mlp.forward(self.array(rows)).read().await
    }

    /// The outputs, and how they change when the features change by these tangents.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn evaluate_with_tangent(
        &self,
        rows: Vec<f32>,
        tangents: Vec<f32>,
    ) -> Result<(Vec<f32>, Vec<f32>), DeviceError> {
        let (output, tangent) = self.mlp.forward_with_tangent(self.array(rows), self.array(tangents));
        Ok((output.read().await?, tangent.read().await?))
    }
}
