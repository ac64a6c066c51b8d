//! Multilayer perceptrons with the derivatives of their output along directions of the input, and backpropagation
//! through both.
//!
//! What score matching needs of second derivatives (the trace of a score's Jacobian, its slices, the Laplacian of an
//! energy) is here a forward pass: with every layer's value its first and second derivative along each direction are
//! carried on as rows below it (Griewank and Walther 2008, chapter 13). One ordinary pass backwards through these rows
//! then gives the gradient of any loss made of them, although Burn's automatic differentiation is of first order.

use burn::tensor::Device;

pub use super::matrix::{Matrix, Smooth};
use super::mlp::Layer;
use crate::rng::{Rng, Stream};

/// The shape of a network: `depth` hidden layers of `width` units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Numbers in a row of the input.
    pub inputs: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Numbers in a row of the output.
    pub outputs: usize,
    /// What follows each hidden layer.
    pub activation: Smooth,
}

impl Shape {
    /// The layers, first to last.
    #[must_use]
    pub fn layers(self) -> Vec<Layer> {
        Layer::stack(self.inputs, self.width, self.depth, self.outputs)
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(self) -> usize {
        self.layers().last().map_or(0, |layer| layer.end())
    }

    /// Initial parameters of the `index`-th network of the run with this seed: weights normal with variance
    /// `1 / inputs`, of the last layer a tenth of that; biases normal with variance 1 in the first layer, so that its
    /// units bend in different places, and 0 in the others.
    #[must_use]
    pub fn initial(self, seed: u32, index: u32) -> Vec<f32> {
        let mut parameters = Vec::with_capacity(self.parameters());
        for (place, layer) in self.layers().into_iter().enumerate() {
            let mut rng = Rng::new(seed, Stream::Weights, 1000 * (index + 1) + place as u32);
            let last = place == self.depth;
            let std = (1.0 / layer.inputs as f64).sqrt() * if last { 0.1 } else { 1.0 };
            parameters.extend((0..layer.inputs * layer.outputs).map(|_| (std * rng.normal()) as f32));
            let bend = if place == 0 && !last { 1.0 } else { 0.0 };
            parameters.extend((0..layer.outputs).map(|_| (bend * rng.normal()) as f32));
        }
        parameters
    }
}

/// Rows of values, and below each other, direction by direction, rows of derivatives along it.
#[derive(Clone, Debug)]
pub struct Jet {
    /// `[points, numbers]`
    pub value: Matrix,
    /// First derivatives, `[directions * points, numbers]`; none without directions.
    pub first: Option<Matrix>,
    /// Second derivatives along the same directions; none where they were not asked for.
    pub second: Option<Matrix>,
}

/// What a pass keeps for the way back.
#[derive(Debug)]
pub struct Trace {
    inputs: Vec<Jet>,
    before: Vec<Jet>,
    directions: usize,
}

/// A network on a device.
#[derive(Clone, Debug)]
pub struct SmoothMlp {
    shape: Shape,
    layers: Vec<Layer>,
    parameters: Matrix,
}

/// The sum over directions of what lies below each other.
fn fold(matrix: &Matrix, points: usize) -> Matrix {
    let directions = matrix.rows() / points.max(1);
    (1..directions).fold(matrix.part(0, points), |sum, i| sum + matrix.part(i * points, points))
}

impl Jet {
    fn stacked(&self) -> Matrix {
        let below = [self.first.as_ref(), self.second.as_ref()].into_iter().flatten().cloned().collect();
        self.value.clone().above(below)
    }

    fn unstacked(&self, stacked: &Matrix) -> Self {
        let points = self.value.rows();
        let below = self.first.as_ref().map_or(0, Matrix::rows);
        Self {
            value: stacked.part(0, points),
            first: self.first.as_ref().map(|_| stacked.part(points, below)),
            second: self.second.as_ref().map(|_| stacked.part(points + below, below)),
        }
    }
}

impl SmoothMlp {
    /// The network with these parameters, in the order of [`Shape::layers`].
    ///
    /// # Panics
    /// When there are not [`Shape::parameters`] of them.
    #[must_use]
    pub fn new(shape: Shape, parameters: &[f32], device: &Device) -> Self {
        assert_eq!(parameters.len(), shape.parameters());
        Self::from_matrix(shape, Matrix::new(parameters.to_vec(), 1, device))
    }

    /// The network with these parameters, one a row, already on the device.
    #[must_use]
    pub fn from_matrix(shape: Shape, parameters: Matrix) -> Self {
        Self { shape, layers: shape.layers(), parameters }
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All parameters, one a row.
    #[must_use]
    pub fn parameters(&self) -> &Matrix {
        &self.parameters
    }

    fn weight(&self, layer: Layer) -> Matrix {
        self.parameters.part(layer.start, layer.inputs * layer.outputs).reshaped(layer.outputs)
    }

    fn bias(&self, layer: Layer) -> Matrix {
        self.parameters.part(layer.bias(), layer.outputs).reshaped(layer.outputs)
    }

    /// The outputs for rows of inputs.
    #[must_use]
    pub fn forward(&self, mut x: Matrix) -> Matrix {
        for (index, &layer) in self.layers.iter().enumerate() {
            x = x.matmul(self.weight(layer)) + self.bias(layer);
            if index < self.shape.depth {
                x = x.derivatives(self.shape.activation, 0).pop().unwrap_or(x);
            }
        }
        x
    }

    /// The outputs with their derivatives along the directions, `[directions * points, inputs]`, one direction's rows
    /// below the other's; second derivatives too when `second`. Keeps what [`Self::pull`] needs.
    #[must_use]
    pub fn push(&self, x: Matrix, along: Option<Matrix>, second: bool) -> (Jet, Trace) {
        let points = x.rows();
        let directions = along.as_ref().map_or(0, |v| v.rows() / points.max(1));
        let zeros = along.clone().filter(|_| second).map(|along| along * 0.0);
        let mut jet = Jet { value: x, first: along, second: zeros };
        let (mut inputs, mut before) = (Vec::new(), Vec::new());
        for (index, &layer) in self.layers.iter().enumerate() {
            let product = jet.unstacked(&jet.stacked().matmul(self.weight(layer)));
            let z = Jet { value: product.value + self.bias(layer), ..product };
            inputs.push(jet);
            if index == self.shape.depth {
                return (z, Trace { inputs, before, directions });
            }
            let order = if z.second.is_some() { 2 } else { usize::from(z.first.is_some()) };
            let mut known = z.value.derivatives(self.shape.activation, order).into_iter();
            let value = known.next().unwrap_or_else(|| z.value.clone());
            let wide = |t: Matrix| t.repeated(directions);
            let (slope, bend) = (known.next().map(wide), known.next().map(wide));
            let first = z.first.clone().zip(slope.clone()).map(|(t, slope)| t * slope);
            let second = match (z.first.clone(), z.second.clone(), slope, bend) {
                (Some(t), Some(s), Some(slope), Some(bend)) => Some(bend * t.square() + slope * s),
                _ => None,
            };
            before.push(z);
            jet = Jet { value, first, second };
        }
        (jet.clone(), Trace { inputs, before, directions })
    }

    /// The gradient of a loss with respect to the parameters and to the inputs' values, from its derivatives with
    /// respect to everything that [`Self::push`] gave: backpropagation written out.
    #[must_use]
    pub fn pull(&self, trace: Trace, of: Jet) -> (Matrix, Matrix) {
        let Trace { mut inputs, mut before, directions } = trace;
        let mut of = of;
        let mut parts = Vec::with_capacity(2 * self.layers.len());
        for (index, &layer) in self.layers.iter().enumerate().rev() {
            if index < self.shape.depth
                && let Some(z) = before.pop()
            {
                of = self.through(z, of, directions);
            }
            let Some(input) = inputs.pop() else { break };
            parts.push(of.value.clone().column_sums().reshaped(1));
            let stacked = of.stacked();
            parts.push(input.stacked().transposed_matmul(stacked.clone()).reshaped(1));
            of = of.unstacked(&stacked.matmul_transposed(self.weight(layer)));
        }
        let first = parts.pop().unwrap_or_else(|| of.value.clone());
        parts.reverse();
        (first.above(parts), of.value)
    }

    /// Back through an activation: from derivatives with respect to what follows it to those before it.
    fn through(&self, z: Jet, of: Jet, directions: usize) -> Jet {
        let points = z.value.rows();
        let order = 1 + if z.second.is_some() { 2 } else { usize::from(z.first.is_some()) };
        let known = z.value.derivatives(self.shape.activation, order);
        let wide = |t: &Matrix| t.clone().repeated(directions);
        let mut value = of.value * known[1].clone();
        let (mut first, mut second) = (None, None);
        if let (Some(t), Some(of_first)) = (z.first, of.first) {
            let (slope, bend) = (wide(&known[1]), wide(&known[2]));
            value = value + fold(&(bend.clone() * t.clone() * of_first.clone()), points);
            let mut to_first = slope.clone() * of_first;
            if let (Some(s), Some(of_second)) = (z.second, of.second) {
                let twist = wide(&known[3]);
                to_first = to_first + bend.clone() * t.clone() * of_second.clone() * 2.0;
                value = value + fold(&((twist * t.square() + bend * s) * of_second.clone()), points);
                second = Some(slope * of_second);
            }
            first = Some(to_first);
        }
        Jet { value, first, second }
    }
}
