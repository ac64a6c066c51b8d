//! Networks that learn a score, or an energy whose negative gradient is one, for the studies of score matching: small,
//! of any dimension, trained by any of the objectives, on any device.

use burn::tensor::Device;

use super::adam::Update;
use super::architecture::{Activation, Initialisation, Shape};
use super::array::Array;
use super::device::{ComputeDevice, DeviceError};
use super::mlp::{Gradient, Jet, Mlp};
pub use super::training::Answer;
use super::training::Training;

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
        Shape { inputs: dimension + extra, width, depth, outputs, activation: Activation::Silu }
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
    training: Training,
    device: Device,
}

impl ScoreNet {
    /// The `index`-th network of the run with this seed.
    #[must_use]
    pub fn new(form: Form, compute: &ComputeDevice, seed: u32, index: u32) -> Self {
        Self::from_parameters(form, compute, &form.shape().initial(Initialisation::QUIET, seed, index))
    }

    /// The network with these parameters, in the order of [`Shape::layers`].
    ///
    /// # Panics
    /// When there are not as many of them as the form has.
    #[must_use]
    pub fn from_parameters(form: Form, compute: &ComputeDevice, parameters: &[f32]) -> Self {
        let device = compute.device.clone();
        Self { form, training: Training::new(Mlp::new(form.shape(), parameters, &device)), device }
    }

    fn array(&self, numbers: Vec<f32>, columns: usize) -> Array {
        Array::new(numbers, columns, &self.device)
    }

    /// Rows of the network's input.
    fn inputs(&self, x: &[f32], extra: &[f32]) -> Array {
        let Form { dimension, extra: more, scale, .. } = self.form;
        let scale = (1.0 / scale) as f32;
        let mut rows = Vec::with_capacity(x.len() + extra.len());
        for (i, point) in x.chunks_exact(dimension).enumerate() {
            rows.extend(point.iter().map(|v| v * scale));
            rows.extend_from_slice(&extra[i * more..(i + 1) * more]);
        }
        self.array(rows, dimension + more)
    }

    /// Directions of the network's input.
    fn along(&self, directions: &[f32]) -> Array {
        let Form { dimension, extra, scale, .. } = self.form;
        let scale = (1.0 / scale) as f32;
        let mut rows = Vec::with_capacity(directions.len() / dimension * (dimension + extra));
        for direction in directions.chunks_exact(dimension) {
            rows.extend(direction.iter().map(|v| v * scale));
            rows.extend(std::iter::repeat_n(0.0, extra));
        }
        self.array(rows, dimension + extra)
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

    /// The negative of numbers point by point, as they lie in the rows of directions: coordinate by coordinate.
    fn negative_by_coordinate(&self, numbers: &[f32]) -> Array {
        let dimension = self.form.dimension;
        let column = |axis: usize| numbers.iter().skip(axis).step_by(dimension).map(|v| -v);
        self.array((0..dimension).flat_map(column).collect(), 1)
    }

    /// The same number for every row of a column.
    fn constant(&self, value: f64, rows: usize) -> Array {
        Array::filled(value as f32, rows, 1, &self.device)
    }

    /// One step of Adam at this rate. `extra` are the numbers that come with the points.
    ///
    /// # Panics
    /// When scores, not energies, are to be contrasted.
    #[inline(never)]
    pub fn train(&mut self, x: &[f32], extra: &[f32], objective: Objective<'_>, rate: f64) {
        let (loss, gradient) = self.gradient(x, extra, objective);
        let update = Update::new(self.training.next_step(), rate, 0.99);
        self.training.step(loss, &gradient, update);
    }

    /// The mean of an objective over points, a single number, and its gradient with respect to the parameters.
    ///
    /// # Panics
    /// When scores, not energies, are to be contrasted.
    #[must_use]
    pub fn gradient(&self, x: &[f32], extra: &[f32], objective: Objective<'_>) -> (Array, Gradient) {
        if self.form.energy { self.of_energy(x, extra, objective) } else { self.of_score(x, extra, objective) }
    }

    fn of_score(&self, x: &[f32], extra: &[f32], objective: Objective<'_>) -> (Array, Gradient) {
        let dimension = self.form.dimension;
        let points = x.len() / dimension;
        let each = 1.0 / points as f64;
        let (directions, slices) = match objective {
            Objective::Regression { target, weight } => {
                let (target, weight) = (self.array(target.to_vec(), dimension), self.array(weight.to_vec(), 1));
                return self.training.mlp().squared_error(self.inputs(x, extra), &target, &weight, (0.5 * each) as f32);
            }
            Objective::Sliced { directions } => (directions.to_vec(), directions.len() / x.len().max(1)),
            Objective::Implicit => (self.units(points), 1),
            Objective::Contrast { .. } => unreachable!("a score has no energy to contrast"),
        };
        let each_slice = each / slices.max(1) as f64;
        let (jet, trace) = self.training.mlp().push(self.inputs(x, extra), Some(self.along(&directions)), false);
        let mask = self.array(directions, dimension);
        let Some(first) = jet.first else { unreachable!("there were directions") };
        let curvature = (first * &mask).sum() * each_slice;
        let loss = curvature + &(jet.value.clone().square().sum() * (0.5 * each));
        let of = Jet { value: jet.value * each, first: Some(mask * each_slice), second: None };
        (loss, self.training.mlp().gradient(trace, of))
    }

    fn of_energy(&self, x: &[f32], extra: &[f32], objective: Objective<'_>) -> (Array, Gradient) {
        let dimension = self.form.dimension;
        let points = x.len() / dimension;
        let each = 1.0 / points as f64;
        match objective {
            Objective::Contrast { negatives, decay } => {
                let others = (negatives.len() / dimension).max(1);
                let both: Vec<f32> = x.iter().chain(negatives).copied().collect();
                let signs = (0..points).map(|_| each as f32).chain((0..others).map(|_| -1.0 / others as f32));
                let signs: Vec<f32> = signs.collect();
                let sizes = self.array(signs.iter().map(|sign| decay as f32 * sign.abs()).collect(), 1);
                let signs = self.array(signs, 1);
                let (jet, trace) = self.training.mlp().push(self.inputs(&both, extra), None, false);
                let loss = (jet.value.clone() * &signs).sum();
                let value = jet.value * &sizes * 2.0 + &signs;
                (loss, self.training.mlp().gradient(trace, Jet::value(value)))
            }
            Objective::Regression { target, weight } => {
                let along = self.along(&self.units(points));
                let (jet, trace) = self.training.mlp().push(self.inputs(x, extra), Some(along), false);
                let Some(slope) = jet.first else { unreachable!("there were directions") };
                // The score is the negative of the energy's slope.
                let target = self.negative_by_coordinate(target);
                let weight = self.array(weight.repeat(dimension), 1);
                let (loss, error) = slope.squared_error(&target, &weight, (0.5 * each) as f32);
                let of = Jet { value: self.constant(0.0, points), first: Some(error), second: None };
                (loss, self.training.mlp().gradient(trace, of))
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
                let (jet, trace) = self.training.mlp().push(self.inputs(x, extra), Some(self.along(&directions)), true);
                let (Some(slope), Some(bend)) = (jet.first, jet.second) else {
                    unreachable!("there were directions, and second derivatives were asked for")
                };
                let rows = bend.rows();
                let loss = (slope.clone().square() * 0.5 - &bend).sum() * each;
                let of = Jet {
                    value: self.constant(0.0, points),
                    first: Some(slope * each),
                    second: Some(self.constant(-each, rows)),
                };
                (loss, self.training.mlp().gradient(trace, of))
            }
        }
    }

    /// The losses since the last call, one a step. On a GPU this waits for the steps.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn take_losses(&mut self) -> Answer<'_> {
        self.training.take_losses()
    }

    /// The scores at points, with the moving average of the weights.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn scores<'a>(&'a self, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        self.scores_of(self.training.averaged(), x, extra)
    }

    /// The same with the last weights.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn raw_scores<'a>(&'a self, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        self.scores_of(self.training.mlp().clone(), x, extra)
    }

    fn scores_of<'a>(&'a self, net: Mlp, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        let inputs = self.inputs(x, extra);
        Box::pin(async move {
            if !self.form.energy {
                return net.forward(inputs).read().await;
            }
            let (jet, trace) = net.push(inputs, None, false);
            let down = self.constant(-1.0 / self.form.scale, jet.value.rows());
            net.input_gradient(trace, Jet::value(down)).first_columns(self.form.dimension).read().await
        })
    }

    /// The scores at points and how they change along directions, of a network whose outputs are scores, with the moving
    /// average of the weights.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub async fn scores_with_tangents(
        &self,
        x: &[f32],
        extra: &[f32],
        directions: &[f32],
    ) -> Result<[Vec<f32>; 2], DeviceError> {
        let (scores, tangents) =
            self.training.averaged().forward_with_tangent(self.inputs(x, extra), self.along(directions));
        Ok([scores.read().await?, tangents.read().await?])
    }

    /// The raw outputs at points, with the moving average of the weights: scores or energies.
    ///
    /// # Errors
    /// [`super::device::DeviceError::Lost`] when the device no longer answers.
    pub fn outputs<'a>(&'a self, x: &'a [f32], extra: &'a [f32]) -> Answer<'a> {
        let output = self.training.averaged().forward(self.inputs(x, extra));
        Box::pin(output.read())
    }
}
