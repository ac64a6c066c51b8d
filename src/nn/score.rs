//! Networks that learn a score, or an energy whose negative gradient is one, for the studies of score matching: small,
//! of any dimension, trained by any of the objectives, on any device.

use std::future::Future;
use std::pin::Pin;

use burn::tensor::Device;

use super::device::{ComputeDevice, DeviceError, read};
use crate::nn::adam::{Average, Update};
use crate::nn::cpu;
use crate::nn::tangent::{Jet, Matrix, Shape, Smooth, SmoothMlp};

/// Numbers to wait for. One type for all of them: every place that waits for a type of its own would have its code anew.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<f32>, DeviceError>> + 'a>>;

/// What a network is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// Numbers in a point.
    pub dimension: usize,
    /// Numbers that come with a point, such as features of its noise level.
    pub extra: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Points are divided by this before the network sees them.
    pub scale: f64,
    /// Whether the output is an energy, and the score its negative gradient.
    pub energy: bool,
}

impl Form {
    /// The shape of the network.
    #[must_use]
    pub fn shape(self) -> Shape {
        let Self { dimension, extra, width, depth, energy, .. } = self;
        let outputs = if energy { 1 } else { dimension };
        Shape { inputs: dimension + extra, width, depth, outputs, activation: Smooth::Silu }
    }
}

/// What a step makes small. Rows of points and of what belongs to them are flat, point by point.
#[derive(Clone, Copy, Debug)]
pub enum Objective<'a> {
    /// Half the weighted square distance of the score to a target: explicit score matching where the target is the true
    /// score, denoising score matching where it is `-noise / sigma`.
    Regression {
        /// `points * dimension` numbers.
        target: &'a [f32],
        /// One a point.
        weight: &'a [f32],
    },
    /// Implicit score matching (Hyvärinen 2005): the exact trace of the score's Jacobian plus half its square.
    Implicit,
    /// Sliced score matching (Song et al. 2019) along these directions, one or more a point, with the square of the
    /// whole score (reduced variance) for a score, and of its slice for an energy.
    Sliced {
        /// `slices * points * dimension` numbers, slice by slice.
        directions: &'a [f32],
    },
    /// Contrastive divergence (Hinton 2002): the energy of the points less that of these; only for energies.
    Contrast {
        /// Points made by the model. Their numbers in `extra` follow those of the others.
        negatives: &'a [f32],
        /// Weight of the square of the energies, which keeps them near 0.
        decay: f64,
    },
}

/// A network in training.
pub struct ScoreNet {
    form: Form,
    mlp: SmoothMlp,
    average: Average,
    step: u32,
    losses: Vec<Matrix>,
    device: Device,
}

impl ScoreNet {
    /// The `index`-th network of the run with this seed.
    #[must_use]
    pub fn new(form: Form, compute: &ComputeDevice, seed: u32, index: u32) -> Self {
        Self::from_parameters(form, compute, &form.shape().initial(seed, index))
    }

    /// The network with these parameters, in the order of [`Shape::layers`].
    ///
    /// # Panics
    /// When there are not as many of them as the form has.
    #[must_use]
    pub fn from_parameters(form: Form, compute: &ComputeDevice, parameters: &[f32]) -> Self {
        let shape = form.shape();
        let device = compute.device.clone();
        let mlp = SmoothMlp::new(shape, parameters, &device);
        let average = Average::new(mlp.parameters(), &device);
        Self { form, mlp, average, step: 0, losses: Vec::new(), device }
    }

    fn tensor(&self, numbers: Vec<f32>, columns: usize) -> Matrix {
        Matrix::new(numbers, columns, &self.device)
    }

    /// Rows of the network's input.
    fn inputs(&self, x: &[f32], extra: &[f32]) -> Matrix {
        let Form { dimension, extra: more, scale, .. } = self.form;
        let scale = (1.0 / scale) as f32;
        let mut rows = Vec::with_capacity(x.len() + extra.len());
        for (i, point) in x.chunks_exact(dimension).enumerate() {
            rows.extend(point.iter().map(|v| v * scale));
            rows.extend_from_slice(&extra[i * more..(i + 1) * more]);
        }
        self.tensor(rows, dimension + more)
    }

    /// Directions of the network's input.
    fn along(&self, directions: &[f32]) -> Matrix {
        let Form { dimension, extra, scale, .. } = self.form;
        let scale = (1.0 / scale) as f32;
        let mut rows = Vec::with_capacity(directions.len() / dimension * (dimension + extra));
        for direction in directions.chunks_exact(dimension) {
            rows.extend(direction.iter().map(|v| v * scale));
            rows.extend(std::iter::repeat_n(0.0, extra));
        }
        self.tensor(rows, dimension + extra)
    }

    /// Every unit direction for every point.
    fn units(&self, points: usize) -> Vec<f32> {
        let dimension = self.form.dimension;
        let mut units = vec![0.0; dimension * points * dimension];
        for (row, unit) in units.chunks_exact_mut(dimension).enumerate() {
            unit[row / points] = 1.0;
        }
        units
    }

    /// Numbers point by point as they lie in the rows of directions: coordinate by coordinate.
    fn by_coordinate(&self, numbers: &[f32]) -> Matrix {
        let dimension = self.form.dimension;
        let column = |axis: usize| numbers.iter().skip(axis).step_by(dimension).copied();
        self.tensor((0..dimension).flat_map(column).collect(), 1)
    }

    /// One step of Adam at this rate. `extra` are the numbers that come with the points.
    #[inline(never)]
    pub fn train(&mut self, x: &[f32], extra: &[f32], objective: Objective<'_>, rate: f64) {
        let (loss, gradient) = self.gradient(x, extra, objective);
        self.step += 1;
        let update = Update::new(self.step, rate, 0.99);
        let parameters = self.average.update(self.mlp.parameters().clone(), gradient, update);
        self.mlp = SmoothMlp::from_matrix(self.mlp.shape(), parameters);
        self.losses.push(loss);
    }

    /// The mean of an objective over points, a single number, and its gradient with respect to the parameters.
    #[must_use]
    pub fn gradient(&self, x: &[f32], extra: &[f32], objective: Objective<'_>) -> (Matrix, Matrix) {
        if self.form.energy { self.of_energy(x, extra, objective) } else { self.of_score(x, extra, objective) }
    }

    fn of_score(&self, x: &[f32], extra: &[f32], objective: Objective<'_>) -> (Matrix, Matrix) {
        let dimension = self.form.dimension;
        let points = x.len() / dimension;
        let each = 1.0 / points as f64;
        let (directions, slices) = match objective {
            Objective::Regression { target, weight } => {
                let (jet, trace) = self.mlp.push(self.inputs(x, extra), None, false);
                let error = jet.value - self.tensor(target.to_vec(), dimension);
                let weighted = error.clone() * self.tensor(weight.to_vec(), 1);
                let loss = (error * weighted.clone()).sum() * (0.5 * each);
                let of = Jet { value: weighted * each, first: None, second: None };
                return (loss, self.mlp.pull(trace, of).0);
            }
            Objective::Sliced { directions } => (directions.to_vec(), directions.len() / x.len().max(1)),
            // A score has no energy to contrast; what is left is the implicit objective.
            Objective::Implicit | Objective::Contrast { .. } => (self.units(points), 1),
        };
        let each_slice = each / slices.max(1) as f64;
        let (jet, trace) = self.mlp.push(self.inputs(x, extra), Some(self.along(&directions)), false);
        let mask = self.tensor(directions, dimension);
        let curvature = jet.first.map_or_else(|| mask.clone() * 0.0, |first| first * mask.clone());
        let loss = curvature.sum() * each_slice + jet.value.clone().square().sum() * (0.5 * each);
        let of = Jet { value: jet.value * each, first: Some(mask * each_slice), second: None };
        (loss, self.mlp.pull(trace, of).0)
    }

    fn of_energy(&self, x: &[f32], extra: &[f32], objective: Objective<'_>) -> (Matrix, Matrix) {
        let dimension = self.form.dimension;
        let points = x.len() / dimension;
        let each = 1.0 / points as f64;
        match objective {
            Objective::Contrast { negatives, decay } => {
                let others = (negatives.len() / dimension).max(1);
                let both: Vec<f32> = x.iter().chain(negatives).copied().collect();
                let signs = (0..points).map(|_| each as f32).chain((0..others).map(|_| -1.0 / others as f32));
                let signs = self.tensor(signs.collect(), 1);
                let sizes = signs.clone().abs() * decay;
                let (jet, trace) = self.mlp.push(self.inputs(&both, extra), None, false);
                let loss = (jet.value.clone() * signs.clone()).sum();
                let value = signs + jet.value * sizes * 2.0;
                (loss, self.mlp.pull(trace, Jet { value, first: None, second: None }).0)
            }
            Objective::Regression { target, weight } => {
                let along = self.along(&self.units(points));
                let (jet, trace) = self.mlp.push(self.inputs(x, extra), Some(along), false);
                let slope = jet.first.unwrap_or_else(|| jet.value.clone());
                let error = slope + self.by_coordinate(target);
                let weight: Vec<f32> = (0..dimension).flat_map(|_| weight.iter().copied()).collect();
                let weighted = error.clone() * self.tensor(weight, 1);
                let loss = (error * weighted.clone()).sum() * (0.5 * each);
                let of = Jet { value: jet.value * 0.0, first: Some(weighted * each), second: None };
                (loss, self.mlp.pull(trace, of).0)
            }
            Objective::Implicit | Objective::Sliced { .. } => {
                let directions = if let Objective::Sliced { directions } = objective {
                    directions.to_vec()
                } else {
                    self.units(points)
                };
                let slices = match objective {
                    Objective::Sliced { .. } => (directions.len() / x.len().max(1)).max(1) as f64,
                    _ => 1.0,
                };
                let each = each / slices;
                let (jet, trace) = self.mlp.push(self.inputs(x, extra), Some(self.along(&directions)), true);
                let slope = jet.first.unwrap_or_else(|| jet.value.clone());
                let bend = jet.second.unwrap_or_else(|| jet.value.clone());
                let loss = (slope.clone().square() * 0.5 - bend.clone()).sum() * each;
                let of =
                    Jet { value: jet.value * 0.0, first: Some(slope * each), second: Some(bend.scaled(0.0, -each)) };
                (loss, self.mlp.pull(trace, of).0)
            }
        }
    }

    /// The losses since the last call, one a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn take_losses(&mut self) -> Answer<'_> {
        Box::pin(async {
            let mut losses = std::mem::take(&mut self.losses).into_iter();
            let Some(first) = losses.next() else { return Ok(Vec::new()) };
            numbers(first.above(losses.collect())).await
        })
    }

    fn averaged(&self) -> SmoothMlp {
        SmoothMlp::from_matrix(self.mlp.shape(), self.average.value().clone())
    }

    /// The scores at points, with the moving average of the weights.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn scores<'a>(&'a self, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        self.scores_of(self.averaged(), x, extra)
    }

    /// The same with the last weights.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn raw_scores<'a>(&'a self, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        self.scores_of(self.mlp.clone(), x, extra)
    }

    fn scores_of<'a>(&'a self, net: SmoothMlp, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        let inputs = self.inputs(x, extra);
        Box::pin(async move {
            if !self.form.energy {
                return numbers(net.forward(inputs)).await;
            }
            let (jet, trace) = net.push(inputs, None, false);
            let ones = jet.value.scaled(0.0, -1.0 / self.form.scale);
            let (_, slope) = net.pull(trace, Jet { value: ones, first: None, second: None });
            numbers(slope.first_columns(self.form.dimension)).await
        })
    }

    /// The raw outputs at points, with the moving average of the weights: scores or energies.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub fn outputs<'a>(&'a self, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        let output = self.averaged().forward(self.inputs(x, extra));
        Box::pin(numbers(output))
    }
}

/// The numbers of a matrix.
async fn numbers(matrix: Matrix) -> Result<Vec<f32>, DeviceError> {
    match matrix.into_numbers() {
        Ok(numbers) => Ok(numbers),
        Err(_) if cpu::ONLY => Ok(Vec::new()),
        Err(tensor) => read(*tensor).await,
    }
}
