//! A network in training, and one that only answers, each in the form that suits its device.

use burn::tensor::{Device, Tensor, TensorData};

use super::batch::Batch;
use crate::nn::adam::{Moments, TensorMoments, Update};
use crate::nn::cpu::ONLY as CPU_ONLY;
use crate::nn::device::{ComputeDevice, DeviceError, read};
use crate::nn::kernels::{CpuMlp, Gradient, rows_at_once};
use crate::nn::mlp::OUTPUTS;
use crate::nn::{Architecture, Mlp, features};

/// Points that a GPU evaluates at once.
const GPU_CHUNK: usize = 1 << 15;

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
    form: Form,
}

enum Form {
    Cpu(Box<CpuForm>),
    Device(Box<DeviceForm>),
}

struct CpuForm {
    mlp: CpuMlp,
    moments: Moments,
    average: Vec<f32>,
    losses: Vec<f32>,
    /// Rows of the batch done, with their loss and gradient.
    done: usize,
    loss: f32,
    gradient: Option<Gradient>,
    rows: usize,
}

struct DeviceForm {
    mlp: Mlp,
    moments: TensorMoments,
    average: Tensor<1>,
    losses: Vec<Tensor<1>>,
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
        let TrainerState { parameters, average, mean, square } = numbers;
        let form = if compute.info.gpu && !CPU_ONLY {
            let device = compute.device.clone();
            let mlp = Mlp::new(architecture, &parameters, &device);
            let tensor = |values: Vec<f32>| Tensor::<1>::from_floats(values.as_slice(), &device);
            let moments = TensorMoments::of(tensor(mean), tensor(square));
            let average = tensor(average);
            Form::Device(Box::new(DeviceForm { mlp, moments, average, losses: Vec::new(), device }))
        } else {
            Form::Cpu(Box::new(CpuForm {
                mlp: CpuMlp::new(architecture, &parameters, &compute.device),
                moments: Moments::of(mean, square),
                average,
                losses: Vec::new(),
                done: 0,
                loss: 0.0,
                gradient: None,
                rows: rows_at_once(architecture),
            }))
        };
        Self { form }
    }

    /// A part of a training step; says whether the step is complete. On the CPU a large step has several parts; on a
    /// GPU the work is handed over and this returns at once.
    pub fn part(&mut self, batch: &mut Batch, update: Update, architecture: Architecture) -> bool {
        match &mut self.form {
            Form::Cpu(form) => form.part(batch, update),
            Form::Device(_) if CPU_ONLY => true,
            Form::Device(form) => {
                let DeviceForm { mlp, moments, average, losses, device } = form.as_mut();
                let rows = batch.weights.len();
                let tensor = |values: Vec<f32>, columns: usize| -> Tensor<2> {
                    Tensor::from_data(TensorData::new(values, [rows, columns]), &*device)
                };
                let batch = std::mem::take(batch);
                let (inputs, targets) = (tensor(batch.inputs, features::COUNT), tensor(batch.targets, OUTPUTS));
                let (loss, gradient) = mlp.gradient(inputs, targets, tensor(batch.weights, 1));
                let (parameters, next) = moments.update(mlp.parameters().clone(), average.clone(), gradient, update);
                *mlp = Mlp::from_tensor(architecture, parameters);
                *average = next;
                losses.push(loss);
                true
            }
        }
    }

    /// The losses since the last call, one a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn take_losses(&mut self) -> Result<Vec<f32>, DeviceError> {
        match &mut self.form {
            Form::Cpu(form) => Ok(std::mem::take(&mut form.losses)),
            Form::Device(form) if CPU_ONLY || form.losses.is_empty() => Ok(Vec::new()),
            Form::Device(form) => read(Tensor::cat(std::mem::take(&mut form.losses), 0)).await,
        }
    }

    /// The moving average of the parameters.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn average(&self) -> Result<Vec<f32>, DeviceError> {
        match &self.form {
            Form::Cpu(form) => Ok(form.average.clone()),
            Form::Device(_) if CPU_ONLY => Ok(Vec::new()),
            Form::Device(form) => read(form.average.clone()).await,
        }
    }

    /// Everything that training goes on from, between two steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn numbers(&self) -> Result<TrainerState, DeviceError> {
        match &self.form {
            Form::Cpu(form) => {
                let [mean, square] = form.moments.parts().map(<[f32]>::to_vec);
                Ok(TrainerState { parameters: form.mlp.parameters(), average: form.average.clone(), mean, square })
            }
            Form::Device(form) => {
                let [mean, square] = form.moments.parts().map(Tensor::clone);
                Ok(TrainerState {
                    parameters: read(form.mlp.parameters().clone()).await?,
                    average: read(form.average.clone()).await?,
                    mean: read(mean).await?,
                    square: read(square).await?,
                })
            }
        }
    }
}

impl CpuForm {
    fn part(&mut self, batch: &mut Batch, update: Update) -> bool {
        let count = batch.weights.len();
        let (start, end) = (self.done, (self.done + self.rows).min(count));
        let inputs = if end - start == count {
            std::mem::take(&mut batch.inputs)
        } else {
            batch.inputs[start * features::COUNT..end * features::COUNT].to_vec()
        };
        let targets = &batch.targets[start * OUTPUTS..end * OUTPUTS];
        let (loss, gradient) = self.mlp.part_of_gradient(inputs, targets, &batch.weights[start..end], count);
        let gradient = match self.gradient.take() {
            Some(sum) => sum.plus(gradient),
            None => gradient,
        };
        self.loss += loss;
        self.done = end;
        if end < count {
            self.gradient = Some(gradient);
            return false;
        }
        self.mlp.update(gradient, &mut self.moments, &mut self.average, update);
        self.losses.push(std::mem::take(&mut self.loss));
        self.done = 0;
        true
    }
}

/// A network that only answers.
pub struct Evaluator {
    form: Still,
    chunk: usize,
}

enum Still {
    Cpu(CpuMlp),
    Device(Box<(Mlp, Device)>),
}

impl Evaluator {
    /// The network with these parameters.
    #[must_use]
    pub fn new(architecture: Architecture, parameters: &[f32], compute: &ComputeDevice) -> Self {
        let chunk = if compute.info.gpu { GPU_CHUNK } else { rows_at_once(architecture) };
        let form = if compute.info.gpu && !CPU_ONLY {
            let mlp = Mlp::new(architecture, parameters, &compute.device);
            Still::Device(Box::new((mlp, compute.device.clone())))
        } else {
            Still::Cpu(CpuMlp::new(architecture, parameters, &compute.device))
        };
        Self { form, chunk }
    }

    /// How many points to ask about at once.
    #[must_use]
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// The outputs for rows of features, `points * 2` numbers.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn evaluate(&self, rows: Vec<f32>, points: usize) -> Result<Vec<f32>, DeviceError> {
        match &self.form {
            Still::Cpu(mlp) => Ok(mlp.forward(rows, points)),
            Still::Device(_) if CPU_ONLY => Ok(Default::default()),
            Still::Device(form) => {
                let (mlp, device) = form.as_ref();
                let x = Tensor::<2>::from_data(TensorData::new(rows, [points, features::COUNT]), device);
                read(mlp.forward(x)).await
            }
        }
    }
}

impl Evaluator {
    /// The outputs, and how they change when the features change by these tangents.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn evaluate_with_tangent(
        &self,
        rows: Vec<f32>,
        tangents: Vec<f32>,
        points: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), DeviceError> {
        match &self.form {
            Still::Cpu(mlp) => Ok(mlp.forward_with_tangent(rows, tangents, points)),
            Still::Device(_) if CPU_ONLY => Ok(Default::default()),
            Still::Device(form) => {
                let (mlp, device) = form.as_ref();
                let tensor = |rows| Tensor::<2>::from_data(TensorData::new(rows, [points, features::COUNT]), device);
                let (output, tangent) = mlp.forward_with_tangent(tensor(rows), tensor(tangents));
                Ok((read(output).await?, read(tangent).await?))
            }
        }
    }
}
