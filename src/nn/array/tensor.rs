//! Arrays of any device, in tensor operations.

use burn::tensor::{Tensor, activation};
use kernels::Activation;

use super::operations::Operations;
use crate::nn::moments::{Update, blend_tensors, step_tensors};

/// `other` with as many rows as `of`, unless it has one, which the device repeats itself.
fn like(of: &Tensor<2>, other: &Tensor<2>) -> Tensor<2> {
    let ([rows, _], [theirs, _]) = (of.dims(), other.dims());
    if theirs <= 1 || theirs == rows { other.clone() } else { other.clone().repeat_dim(0, rows / theirs) }
}

impl Operations for Tensor<2> {
    fn rows(&self) -> usize {
        self.dims()[0]
    }

    fn columns(&self) -> usize {
        self.dims()[1]
    }

    fn part(&self, start: usize, rows: usize) -> Self {
        self.clone().narrow(0, start, rows)
    }

    fn reshaped(self, columns: usize) -> Self {
        self.reshape([-1, columns as i32])
    }

    fn first_columns(self, count: usize) -> Self {
        self.narrow(1, 0, count)
    }

    fn concatenated(&self, others: Vec<&Self>) -> Self {
        Self::cat(std::iter::once(self).chain(others).cloned().collect(), 0)
    }

    fn matmul(&self, other: &Self) -> Self {
        Self::matmul(self.clone(), other.clone())
    }

    fn transposed_matmul(&self, other: &Self) -> Self {
        Self::matmul(self.clone().transpose(), other.clone())
    }

    fn matmul_transposed(&self, other: &Self) -> Self {
        Self::matmul(self.clone(), other.clone().transpose())
    }

    fn add(self, other: &Self) -> Self {
        let other = like(&self, other);
        self + other
    }

    fn subtract(self, other: &Self) -> Self {
        let other = like(&self, other);
        self - other
    }

    fn multiply(self, other: &Self) -> Self {
        let other = like(&self, other);
        self * other
    }

    fn scaled(self, k: f64) -> Self {
        self * k
    }

    fn square(self) -> Self {
        Self::square(self)
    }

    fn exp(self) -> Self {
        Self::exp(self)
    }

    fn softmax(self) -> Self {
        activation::softmax(self, 1)
    }

    fn column_sums(&self) -> Self {
        self.clone().sum_dim(0)
    }

    fn sum(&self) -> Self {
        Self::sum(self.clone()).reshape([1, 1])
    }

    fn sum_of_blocks(&self, rows: usize) -> Self {
        let block = |index: usize| self.part(index * rows, rows);
        (1..self.rows() / rows.max(1)).fold(block(0), |sum, index| sum + block(index))
    }

    fn activated(self, bias: &Self, activation: Activation, order: usize) -> (Self, Vec<Self>) {
        let z = self + bias.clone();
        if order == 0 { (activate(z, activation), Vec::new()) } else { with_derivatives(z, activation, order) }
    }

    fn squared_error(self, target: &Self, weight: &Self, scale: f32) -> (Self, Self) {
        let error = self - target.clone();
        let weighted = error.clone() * weight.clone();
        let loss = Self::sum(error * weighted.clone()).reshape([1, 1]) * scale;
        (loss, weighted * (2.0 * scale))
    }

    fn cross_entropy(self, target: &Self, weight: &Self, scale: f32) -> (Self, Self) {
        let log = activation::log_softmax(self, 1);
        let loss = Self::sum(log.clone() * target.clone() * weight.clone()).reshape([1, 1]) * -scale;
        let mass = target.clone().sum_dim(1);
        (loss, (log.exp() * mass - target.clone()) * weight.clone() * scale)
    }

    fn adam(&mut self, [mean, square]: [&mut Self; 2], gradient: Vec<&Self>, update: Update) {
        let moments = [mean.clone(), square.clone()];
        // In one piece, so that the update is a dozen operations and not a dozen for every layer.
        let gradient = Self::cat(gradient.into_iter().map(|part| part.clone().reshape([-1, 1])).collect(), 0);
        [*self, *mean, *square] = step_tensors(self.clone(), moments, gradient, update);
    }

    fn blend(&mut self, parameters: &Self, keep: f64) {
        *self = blend_tensors(self.clone(), parameters, keep);
    }
}

fn activate(z: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::Silu => activation::silu(z),
        Activation::Gelu => activation::gelu(z),
        Activation::Relu => activation::relu(z),
        Activation::LeakyRelu(slope) => activation::relu(z.clone()) - activation::relu(-z) * slope,
        Activation::Tanh => activation::tanh(z),
        Activation::Softplus => activation::softplus(z, 1.0),
    }
}

/// The activation and its derivatives from the first to the `order`-th, which is at least 1.
fn with_derivatives(z: Tensor<2>, activation: Activation, order: usize) -> (Tensor<2>, Vec<Tensor<2>>) {
    match activation {
        Activation::Silu => {
            let gate = activation::sigmoid(z.clone());
            let value = z.clone() * gate.clone();
            let mut found = vec![gate.clone() + value.clone() * (1.0 - gate.clone())];
            if order >= 2 {
                let [slope, bend, twist] = of_sigmoid(gate);
                found.push(slope * 2.0 + z.clone() * bend.clone());
                if order >= 3 {
                    found.push(bend * 3.0 + z * twist);
                }
            }
            (value, found)
        }
        Activation::Softplus => {
            let gate = activation::sigmoid(z.clone());
            let [slope, bend, _] = of_sigmoid(gate.clone());
            (activation::softplus(z, 1.0), first([gate, slope, bend], order))
        }
        Activation::Gelu => {
            let below = (z.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() * 0.5 + 0.5;
            let square = z.clone().square();
            let density = (square.clone() * -0.5).exp() * (1.0 / std::f64::consts::TAU.sqrt());
            let mut found = vec![below.clone() + z.clone() * density.clone()];
            if order >= 2 {
                found.push((square.clone() - 2.0) * density.clone() * -1.0);
            }
            if order >= 3 {
                found.push((square - 4.0) * density * z.clone());
            }
            (z * below, found)
        }
        Activation::Relu => (activate(z.clone(), activation), of_rectifier(z, 0.0, order)),
        Activation::LeakyRelu(slope) => (activate(z.clone(), activation), of_rectifier(z, slope, order)),
        Activation::Tanh => {
            let value = activation::tanh(z);
            let square = value.clone().square();
            let slope: Tensor<2> = 1.0 - square.clone();
            let bend = value.clone() * slope.clone() * -2.0;
            let twist = slope.clone() * (square * 6.0 - 2.0);
            (value, first([slope, bend, twist], order))
        }
    }
}

/// The sigmoid's first three derivatives, from its value.
fn of_sigmoid(gate: Tensor<2>) -> [Tensor<2>; 3] {
    let slope: Tensor<2> = gate.clone() * (1.0 - gate.clone());
    let bend: Tensor<2> = slope.clone() * (1.0 - gate * 2.0);
    let twist: Tensor<2> = slope.clone() * (1.0 - slope.clone() * 6.0);
    [slope, bend, twist]
}

/// The derivatives of a rectifier, those beyond the first 0.
fn of_rectifier(z: Tensor<2>, slope: f32, order: usize) -> Vec<Tensor<2>> {
    let rise = z.greater_elem(0.0).float() * (1.0 - slope) + slope;
    let none = rise.clone() * 0.0;
    first([rise, none.clone(), none], order)
}

/// The first `order` of them.
fn first(all: [Tensor<2>; 3], order: usize) -> Vec<Tensor<2>> {
    all.into_iter().take(order).collect()
}
