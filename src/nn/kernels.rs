//! The multilayer perceptron on the CPU: Burn's matrix products, and everything between them in one pass over memory.
//!
//! Of a training step of a network this small, half the time of the plain form in [`super::mlp`] goes into allocating,
//! writing and reading what lies between the matrix products. Here each layer has one pass forward (bias, activation,
//! slope) and one backward (product with the slope), and Adam is one pass over the parameters.

use burn::tensor::{Device, Tensor};

use super::adam::{Moments, Update};
use super::cpu::{self, numbers};
use super::elementwise;
use super::mlp::{Architecture, Layer, OUTPUTS};

/// Rows that are worked on at once: as many as fit into the caches, and so few that a network of any size can still be
/// interrupted between two such pieces of work, which take about 10 ms at most.
#[must_use]
pub fn rows_at_once(architecture: Architecture) -> usize {
    (30_000_000 / architecture.parameters().max(1)).clamp(16, 512)
}

/// Changes a tensor of the CPU device in place: it is not copied unless it is shared.
fn edit<const D: usize>(tensor: Tensor<D>, device: &Device, change: impl FnOnce(&mut [f32])) -> Tensor<D> {
    let shape = tensor.dims();
    let mut values = numbers(tensor);
    change(&mut values);
    cpu::tensor(values, shape, device)
}

fn matrix(values: Vec<f32>, rows: usize, columns: usize, device: &Device) -> Tensor<2> {
    cpu::tensor(values, [rows, columns], device)
}

/// A network on the CPU device.
#[derive(Clone, Debug)]
pub struct CpuMlp {
    architecture: Architecture,
    layers: Vec<Layer>,
    weights: Vec<Tensor<2>>,
    biases: Vec<Vec<f32>>,
    device: Device,
}

/// The gradient, layer by layer.
#[derive(Clone, Debug)]
pub struct Gradient {
    weights: Vec<Tensor<2>>,
    biases: Vec<Vec<f32>>,
}

impl CpuMlp {
    /// The network with these parameters, in the order of [`Architecture::layers`].
    ///
    /// # Panics
    /// When there are not [`Architecture::parameters`] of them.
    #[must_use]
    pub fn new(architecture: Architecture, parameters: &[f32], device: &Device) -> Self {
        assert_eq!(parameters.len(), architecture.parameters());
        let layers = architecture.layers();
        let weights = layers
            .iter()
            .map(|l| matrix(parameters[l.start..l.bias()].to_vec(), l.inputs, l.outputs, device))
            .collect();
        let biases = layers.iter().map(|l| parameters[l.bias()..l.end()].to_vec()).collect();
        Self { architecture, layers, weights, biases, device: device.clone() }
    }

    /// All parameters, flat.
    #[must_use]
    pub fn parameters(&self) -> Vec<f32> {
        flatten(&self.weights, &self.biases)
    }

    /// The output for rows of features: `[points, features]` to `points * 2` numbers.
    #[must_use]
    pub fn forward(&self, x: Vec<f32>, points: usize) -> Vec<f32> {
        let mut x = matrix(x, points, self.layers[0].inputs, &self.device);
        for (index, bias) in self.biases.iter().enumerate() {
            x = edit(x.matmul(self.weights[index].clone()), &self.device, |rows| {
                if index < self.architecture.depth {
                    elementwise::activate(rows, bias, self.architecture.activation);
                } else {
                    elementwise::add_bias(rows, bias);
                }
            });
        }
        numbers(x)
    }

    /// The output, and how it changes when the features change by `tangent`: forward differentiation.
    #[must_use]
    pub fn forward_with_tangent(&self, x: Vec<f32>, tangent: Vec<f32>, points: usize) -> (Vec<f32>, Vec<f32>) {
        let inputs = self.layers[0].inputs;
        let mut x = matrix(x, points, inputs, &self.device);
        let mut tangent = matrix(tangent, points, inputs, &self.device);
        for (index, bias) in self.biases.iter().enumerate() {
            let (z, moved) = (x.matmul(self.weights[index].clone()), tangent.matmul(self.weights[index].clone()));
            if index == self.architecture.depth {
                return (numbers(edit(z, &self.device, |rows| elementwise::add_bias(rows, bias))), numbers(moved));
            }
            let mut slope = vec![0.0; points * bias.len()];
            x = edit(z, &self.device, |rows| {
                elementwise::activate_with_slope(rows, &mut slope, bias, self.architecture.activation);
            });
            tangent = edit(moved, &self.device, |rows| rows.iter_mut().zip(&slope).for_each(|(d, s)| *d *= s));
        }
        (numbers(x), numbers(tangent))
    }

    /// The loss and its gradient, as [`super::Mlp::gradient`].
    #[must_use]
    pub fn gradient(&self, x: Vec<f32>, target: &[f32], weight: &[f32]) -> (f32, Gradient) {
        self.part_of_gradient(x, target, weight, weight.len())
    }

    /// What these rows of a batch of `count` contribute to its loss and its gradient.
    #[must_use]
    pub fn part_of_gradient(&self, x: Vec<f32>, target: &[f32], weight: &[f32], count: usize) -> (f32, Gradient) {
        let (points, depth) = (weight.len(), self.architecture.depth);
        let mut x = matrix(x, points, self.layers[0].inputs, &self.device);
        let (mut inputs, mut slopes) = (Vec::with_capacity(depth + 1), Vec::with_capacity(depth));
        for index in 0..depth {
            let z = x.clone().matmul(self.weights[index].clone());
            inputs.push(x);
            let mut slope = vec![0.0; points * self.layers[index].outputs];
            x = edit(z, &self.device, |rows| {
                let activation = self.architecture.activation;
                elementwise::activate_with_slope(rows, &mut slope, &self.biases[index], activation);
            });
            slopes.push(slope);
        }
        let output = x.clone().matmul(self.weights[depth].clone());
        inputs.push(x);

        let mut loss = 0.0;
        let mut biases: Vec<Vec<f32>> = self.layers.iter().map(|l| vec![0.0; l.outputs]).collect();
        let mut delta = edit(output, &self.device, |rows| {
            loss = output_error(rows, &self.biases[depth], target, weight, count);
            elementwise::column_sums(rows, &mut biases[depth]);
        });
        let mut weights = Vec::with_capacity(depth + 1);
        for index in (0..=depth).rev() {
            let input = inputs.pop().unwrap_or_else(|| delta.clone());
            weights.push(input.transpose().matmul(delta.clone()));
            if index > 0 {
                let back = delta.matmul(self.weights[index].clone().transpose());
                delta = edit(back, &self.device, |rows| {
                    for (d, slope) in rows.iter_mut().zip(&slopes[index - 1]) {
                        *d *= slope;
                    }
                    elementwise::column_sums(rows, &mut biases[index - 1]);
                });
            }
        }
        weights.reverse();
        (loss, Gradient { weights, biases })
    }

    /// One step of Adam; `average` is the moving average of [`Self::parameters`].
    pub fn update(&mut self, gradient: Gradient, moments: &mut Moments, average: &mut [f32], update: Update) {
        let gradients = gradient.weights.into_iter().zip(gradient.biases);
        for ((index, layer), (weight, bias)) in self.layers.iter().copied().enumerate().zip(gradients) {
            let weight = cpu::lend(weight);
            let taken = std::mem::replace(&mut self.weights[index], Tensor::empty([0, 0], &self.device));
            self.weights[index] = edit(taken, &self.device, |values| {
                moments.update(layer.start, values, &mut average[layer.start..layer.bias()], &weight, update);
            });
            let average = &mut average[layer.bias()..layer.end()];
            moments.update(layer.bias(), &mut self.biases[index], average, &bias, update);
        }
    }
}

impl Gradient {
    /// Adds what other rows contribute.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        let weights = self.weights.into_iter().zip(other.weights);
        self.weights = weights.map(|(a, b)| cpu::add(a, b)).collect();
        for (sum, other) in self.biases.iter_mut().flatten().zip(other.biases.iter().flatten()) {
            *sum += other;
        }
        self
    }

    /// The gradient, flat, in the order of [`Architecture::layers`].
    #[must_use]
    pub fn flat(&self) -> Vec<f32> {
        flatten(&self.weights, &self.biases)
    }
}

/// Turns outputs without bias into the derivative of the loss with respect to them. Gives the loss.
fn output_error(rows: &mut [f32], bias: &[f32], target: &[f32], weight: &[f32], count: usize) -> f32 {
    let scale = 1.0 / (count * OUTPUTS) as f32;
    let mut loss = 0.0_f64;
    for ((row, target), weight) in rows.chunks_exact_mut(OUTPUTS).zip(target.chunks_exact(OUTPUTS)).zip(weight) {
        for ((y, b), target) in row.iter_mut().zip(bias).zip(target) {
            let error = *y + b - target;
            loss += f64::from(weight * error * error);
            *y = 2.0 * scale * weight * error;
        }
    }
    (loss * f64::from(scale)) as f32
}

fn flatten(weights: &[Tensor<2>], biases: &[Vec<f32>]) -> Vec<f32> {
    let mut flat = Vec::new();
    for (weight, bias) in weights.iter().zip(biases) {
        flat.extend_from_slice(&cpu::lend(weight.clone()));
        flat.extend_from_slice(bias);
    }
    flat
}
