//! Multilayer perceptrons with the derivatives of their output along directions of the input, and backpropagation through
//! both, to the parameters and to the inputs.
//!
//! What score matching needs of second derivatives (the trace of a score's Jacobian, its slices, the Laplacian of an
//! energy) is here a forward pass: with every layer's value its first and second derivative along each direction are
//! carried on as rows below each other (Griewank and Walther 2008, chapter 13). One ordinary pass backwards through these
//! rows then gives the gradient of any loss made of them, although Burn's automatic differentiation is of first order.
//! Backpropagation is written out, because the tape of an automatic one costs more than the arithmetic of a network this
//! small.

use std::ops::Add;

use burn::tensor::Device;

use super::architecture::{Layer, Shape};
use super::array::Array;

/// Rows of values with their derivatives along directions.
#[derive(Clone, Debug)]
pub struct Jet {
    /// `[points, numbers]`
    pub value: Array,
    /// First derivatives, `[directions * points, numbers]`, direction by direction; none without directions.
    pub first: Option<Array>,
    /// Second derivatives along the same directions; none where they were not asked for.
    pub second: Option<Array>,
}

impl Jet {
    /// Values without derivatives.
    #[must_use]
    pub fn value(value: Array) -> Self {
        Self { value, first: None, second: None }
    }

    /// The same linear map of values and derivatives.
    fn map(&self, map: impl Fn(&Array) -> Array) -> Self {
        Self { value: map(&self.value), first: self.first.as_ref().map(&map), second: self.second.as_ref().map(&map) }
    }
}

/// The gradient of a loss with respect to all parameters, layer by layer: large networks would pay for a copy in one piece
/// with a fifth of a training step.
#[derive(Clone, Debug)]
pub struct Gradient(Vec<Array>);

impl Gradient {
    /// The gradient of these parts, whose numbers follow each other as the parameters do.
    #[must_use]
    pub fn new(parts: Vec<Array>) -> Self {
        Self(parts)
    }

    /// Weights and biases of every layer, in the order of the parameters.
    #[must_use]
    pub fn parts(&self) -> &[Array] {
        &self.0
    }

    /// The gradient in one piece, one number a row.
    ///
    /// # Panics
    /// When it has no parts, which a perceptron's always has.
    #[must_use]
    pub fn flat(self) -> Array {
        let mut parts = self.0.into_iter().map(|part| part.reshaped(1));
        match parts.next() {
            Some(first) => first.above(parts.collect()),
            None => unreachable!("a perceptron has a layer"),
        }
    }
}

impl Add<&Gradient> for Gradient {
    type Output = Self;

    /// The gradient of a sum of losses of one network.
    fn add(self, other: &Self) -> Self {
        Self(self.0.into_iter().zip(&other.0).map(|(sum, part)| sum + part).collect())
    }
}

/// What a forward pass keeps for the way back.
#[derive(Debug)]
pub struct Trace {
    layers: Vec<LayerTrace>,
}

/// What a layer keeps: what came in, and what its activation did; none after the last layer.
#[derive(Debug)]
struct LayerTrace {
    input: Jet,
    activation: Option<ActivationTrace>,
}

/// What an activation keeps: its derivatives from the first on, and the derivatives along directions that it was given.
#[derive(Debug)]
struct ActivationTrace {
    derivatives: Vec<Array>,
    first: Option<Array>,
    second: Option<Array>,
}

/// A perceptron with its parameters, on a device.
#[derive(Clone, Debug)]
pub struct Mlp {
    shape: Shape,
    layers: Vec<Layer>,
    parameters: Array,
}

impl Mlp {
    /// The network with these parameters, in the order of [`Shape::layers`].
    ///
    /// # Panics
    /// When there are not [`Shape::parameters`] of them.
    #[must_use]
    pub fn new(shape: Shape, parameters: &[f32], device: &Device) -> Self {
        Self::of(shape, Array::new(parameters.to_vec(), 1, device))
    }

    /// The network with these parameters, one a row.
    ///
    /// # Panics
    /// When there are not [`Shape::parameters`] of them.
    #[must_use]
    pub fn of(shape: Shape, parameters: Array) -> Self {
        assert_eq!(parameters.rows(), shape.parameters());
        Self { shape, layers: shape.layers(), parameters }
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All parameters, one a row.
    #[must_use]
    pub fn parameters(&self) -> &Array {
        &self.parameters
    }

    /// All parameters, to change.
    pub fn parameters_mut(&mut self) -> &mut Array {
        &mut self.parameters
    }

    fn weight(&self, layer: Layer) -> Array {
        self.parameters.part(layer.start, layer.inputs * layer.outputs).reshaped(layer.outputs)
    }

    fn bias(&self, layer: Layer) -> Array {
        self.parameters.part(layer.bias(), layer.outputs).reshaped(layer.outputs)
    }

    /// The outputs for rows of inputs.
    #[must_use]
    pub fn forward(&self, x: Array) -> Array {
        self.pass(Jet::value(x), None).value
    }

    /// The outputs, and how they change when the inputs change by `along`, `[directions * points, inputs]`: forward
    /// differentiation.
    #[must_use]
    pub fn forward_with_tangent(&self, x: Array, along: Array) -> (Array, Array) {
        let jet = self.pass(Jet { value: x, first: Some(along), second: None }, None);
        match jet.first {
            Some(tangent) => (jet.value, tangent),
            None => unreachable!("a pass keeps the derivatives that it was given"),
        }
    }

    /// The outputs with their derivatives along the directions, `[directions * points, inputs]`, one direction's rows
    /// below the other's; second derivatives too when `second`. Keeps what [`Self::gradient`] needs.
    #[must_use]
    pub fn push(&self, x: Array, along: Option<Array>, second: bool) -> (Jet, Trace) {
        let second = along.as_ref().filter(|_| second).map(|along| along.clone() * 0.0);
        let mut trace = Trace { layers: Vec::with_capacity(self.layers.len()) };
        (self.pass(Jet { value: x, first: along, second }, Some(&mut trace)), trace)
    }

    /// Values and derivatives through all layers.
    fn pass(&self, mut jet: Jet, mut trace: Option<&mut Trace>) -> Jet {
        let carried = if jet.second.is_some() { 2 } else { usize::from(jet.first.is_some()) };
        // The way back needs one derivative more than the way there.
        let order = carried + usize::from(trace.is_some());
        for (index, &layer) in self.layers.iter().enumerate() {
            let (weight, bias) = (self.weight(layer), self.bias(layer));
            let z = jet.map(|x| x.matmul(&weight));
            let input = std::mem::replace(&mut jet, z);
            let mut activation = None;
            if index == self.shape.depth {
                jet.value = jet.value + &bias;
            } else {
                (jet, activation) = self.activated(jet, &bias, order, trace.is_some());
            }
            if let Some(trace) = &mut trace {
                trace.layers.push(LayerTrace { input, activation });
            }
        }
        jet
    }

    /// Through an activation: the chain rule of first and second order.
    fn activated(&self, z: Jet, bias: &Array, order: usize, keep: bool) -> (Jet, Option<ActivationTrace>) {
        let Jet { value, first, second } = z;
        let kept = keep.then(|| (first.clone(), second.clone()));
        let (value, derivatives) = value.activated(bias, self.shape.activation, order);
        let second = second.zip(first.clone()).map(|(s, t)| t.square() * &derivatives[1] + &(s * &derivatives[0]));
        let first = first.map(|t| t * &derivatives[0]);
        let kept = kept.map(|(first, second)| ActivationTrace { derivatives, first, second });
        (Jet { value, first, second }, kept)
    }

    /// The gradient of a loss with respect to the parameters, from its derivatives with respect to everything
    /// that [`Self::push`] gave.
    #[must_use]
    pub fn gradient(&self, trace: Trace, of: Jet) -> Gradient {
        let mut parts = Vec::with_capacity(2 * self.layers.len());
        self.back(trace, of, Some(&mut parts), false);
        in_order(parts)
    }

    /// The gradient with respect to the inputs' values alone.
    #[must_use]
    pub fn input_gradient(&self, trace: Trace, of: Jet) -> Array {
        self.back(trace, of, None, true)
    }

    /// The gradients with respect to the parameters and to the inputs' values.
    #[must_use]
    pub fn gradients(&self, trace: Trace, of: Jet) -> (Gradient, Array) {
        let mut parts = Vec::with_capacity(2 * self.layers.len());
        let inputs = self.back(trace, of, Some(&mut parts), true);
        (in_order(parts), inputs)
    }

    /// The weighted squared error `scale * sum_i weight_i |output_i - target_i|^2`, a matrix of one number, and its
    /// gradient with respect to the parameters. `target` is of the outputs' shape, `weight` a column.
    #[must_use]
    pub fn squared_error(&self, x: Array, target: &Array, weight: &Array, scale: f32) -> (Array, Gradient) {
        let (output, trace) = self.push(x, None, false);
        let (loss, error) = output.value.squared_error(target, weight, scale);
        (loss, self.gradient(trace, Jet::value(error)))
    }

    /// The way back. Puts the parameters' gradients into `parts`, last layer first, biases before weights, and gives the
    /// gradient with respect to the values before the first layer, or after its product when `inputs` are not wanted.
    fn back(&self, trace: Trace, mut of: Jet, mut parts: Option<&mut Vec<Array>>, inputs: bool) -> Array {
        for (index, (&layer, kept)) in self.layers.iter().zip(trace.layers).enumerate().rev() {
            let LayerTrace { input, activation } = kept;
            if let Some(activation) = activation {
                of = activation.back(of);
            }
            if let Some(parts) = &mut parts {
                parts.push(of.value.column_sums());
                parts.push(of_weights(&input, &of));
            }
            if index > 0 || inputs {
                let weight = self.weight(layer);
                of = of.map(|delta| delta.matmul_transposed(&weight));
            }
        }
        of.value
    }
}

/// The gradient with respect to a layer's weights.
fn of_weights(input: &Jet, of: &Jet) -> Array {
    let product = |x: &Option<Array>, delta: &Option<Array>| Some(x.as_ref()?.transposed_matmul(delta.as_ref()?));
    let value = input.value.transposed_matmul(&of.value);
    let derivatives = [product(&input.first, &of.first), product(&input.second, &of.second)];
    derivatives.iter().flatten().fold(value, |sum, part| sum + part)
}

/// The gradient of all parameters in their order, from those of the parts in the opposite order.
fn in_order(mut parts: Vec<Array>) -> Gradient {
    parts.reverse();
    Gradient(parts)
}

impl ActivationTrace {
    /// From derivatives with respect to what follows the activation to those before it.
    fn back(self, of: Jet) -> Jet {
        let points = of.value.rows();
        let d = &self.derivatives;
        let mut value = of.value * &d[0];
        let (Some(t), Some(of_first)) = (self.first, of.first) else { return Jet::value(value) };
        value = value + &(t.clone() * &d[1] * &of_first).sum_of_blocks(points);
        let mut first = of_first * &d[0];
        let (Some(s), Some(of_second)) = (self.second, of.second) else {
            return Jet { value, first: Some(first), second: None };
        };
        first = first + &(t.clone() * &d[1] * &of_second * 2.0);
        let bend = t.square() * &d[2] + &(s * &d[1]);
        value = value + &(bend * &of_second).sum_of_blocks(points);
        Jet { value, first: Some(first), second: Some(of_second * &d[0]) }
    }
}
