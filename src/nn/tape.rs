//! The derivatives of a convolutional network on the CPU, written out: each operation does what [`super::host`] does and
//! leaves on a tape how gradients go back through it. A chain of five tensor operations, each with its own pass over
//! memory and its own entry in a graph, is one here.

use std::collections::HashMap;
use std::rc::Rc;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor};

use super::elementwise;
use super::host::{add_scaled, numbers, tensor};
use super::unfold::Geometry;

/// Numbers of shape `[images, channels, height, width]` that are on a tape.
#[derive(Clone, Debug)]
pub struct Value {
    /// The numbers.
    pub numbers: Rc<Vec<f32>>,
    /// Their shape.
    pub shape: [usize; 4],
    id: usize,
}

/// Gradients on their way back.
#[derive(Debug, Default)]
pub struct Flow {
    values: Vec<Option<Vec<f32>>>,
    parameters: HashMap<ParamId, Vec<f32>>,
}

impl Flow {
    fn add(&mut self, value: &Value, gradient: Vec<f32>) {
        match &mut self.values[value.id] {
            Some(sum) => add_scaled(sum, &gradient, 1.0),
            empty => *empty = Some(gradient),
        }
    }

    fn learn(&mut self, parameter: ParamId, gradient: Vec<f32>) {
        match self.parameters.entry(parameter) {
            std::collections::hash_map::Entry::Occupied(mut sum) => add_scaled(sum.get_mut(), &gradient, 1.0),
            std::collections::hash_map::Entry::Vacant(empty) => drop(empty.insert(gradient)),
        }
    }

    /// The gradient of a parameter, `None` where nothing depended on it.
    pub fn take(&mut self, parameter: ParamId) -> Option<Vec<f32>> {
        self.parameters.remove(&parameter)
    }
}

type Step = Box<dyn FnOnce(&mut Flow, Vec<f32>)>;

/// A convolution's or a matrix's parameters.
pub struct Affine {
    /// `[outputs, inputs * kernel * kernel]`
    pub matrix: Tensor<2>,
    /// One number for each output.
    pub bias: Vec<f32>,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Who matrix and bias are.
    pub ids: [ParamId; 2],
}

impl Affine {
    /// Of a weight whose first dimension are the outputs.
    #[must_use]
    pub fn new<const D: usize>(weight: &Param<Tensor<D>>, bias: &Param<Tensor<1>>) -> Self {
        let (values, outputs) = (weight.val(), bias.lazy_shape()[0]);
        let kernel = if D == 4 { weight.lazy_shape()[2] } else { 1 };
        let taps = weight.lazy_shape().num_elements() / outputs.max(1);
        Self { matrix: values.reshape([outputs, taps]), bias: numbers(bias.val()), kernel, ids: [weight.id, bias.id] }
    }
}

/// What was done, in order.
pub struct Tape {
    device: Device,
    steps: Vec<(usize, Step)>,
    count: usize,
}

impl Tape {
    /// An empty one.
    #[must_use]
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), steps: Vec::new(), count: 0 }
    }

    /// Numbers that come from outside.
    pub fn value(&mut self, numbers: Vec<f32>, shape: [usize; 4]) -> Value {
        self.count += 1;
        Value { numbers: Rc::new(numbers), shape, id: self.count - 1 }
    }

    fn record(&mut self, result: &Value, step: impl FnOnce(&mut Flow, Vec<f32>) + 'static) {
        self.steps.push((result.id, Box::new(step)));
    }

    /// The gradients of all parameters, for this gradient of a value.
    #[must_use]
    pub fn backward(self, value: &Value, gradient: Vec<f32>) -> Flow {
        let mut flow = Flow { values: vec![None; self.count], parameters: HashMap::new() };
        flow.add(value, gradient);
        for (result, step) in self.steps.into_iter().rev() {
            if let Some(gradient) = flow.values[result].take() {
                step(&mut flow, gradient);
            }
        }
        flow
    }

    /// A convolution; with a kernel of size 1 a product at every pixel.
    pub fn convolve(&mut self, x: &Value, layer: Affine, stride: usize, pad: (usize, usize)) -> Value {
        let [images, inputs, height, width] = x.shape;
        let Affine { matrix, bias, kernel, ids } = layer;
        let geometry = Geometry::new([inputs, height, width], kernel, stride, pad);
        let (outputs, taps, device) = (bias.len(), geometry.taps(), self.device.clone());
        let mut found = vec![0.0; images * outputs * geometry.rows * geometry.columns];
        for piece in geometry.pieces(images) {
            let unfolded = geometry.unfold(&x.numbers, &piece);
            let columns = geometry.columns_of(&piece);
            let product = numbers(matrix.clone().matmul(tensor(unfolded, [taps, columns], &device)));
            geometry.scatter(&product, &bias, &piece, &mut found);
        }
        let result = self.value(found, [images, outputs, geometry.rows, geometry.columns]);
        let x = x.clone();
        self.record(&result, move |flow, gradient| {
            let mut of_matrix = vec![0.0; outputs * taps];
            let mut of_x = vec![0.0; x.numbers.len()];
            let turned = matrix.transpose();
            for piece in geometry.pieces(images) {
                let columns = geometry.columns_of(&piece);
                let error: Tensor<2> = tensor(geometry.gather(&gradient, outputs, &piece), [outputs, columns], &device);
                let unfolded: Tensor<2> = tensor(geometry.unfold(&x.numbers, &piece), [taps, columns], &device);
                add_scaled(&mut of_matrix, &numbers(error.clone().matmul(unfolded.transpose())), 1.0);
                geometry.fold(&numbers(turned.clone().matmul(error)), &piece, &mut of_x);
            }
            flow.learn(ids[1], channel_sums(&gradient, outputs, geometry.rows * geometry.columns));
            flow.learn(ids[0], of_matrix);
            flow.add(&x, of_x);
        });
        result
    }

    /// `x W^T + b` for rows `[rows, inputs, 1, 1]`.
    pub fn linear(&mut self, x: &Value, layer: Affine) -> Value {
        let [rows, inputs, ..] = x.shape;
        let Affine { matrix, bias, ids, .. } = layer;
        let (outputs, device) = (bias.len(), self.device.clone());
        let of = |values: &[f32], width: usize| -> Tensor<2> { tensor(values.to_vec(), [rows, width], &device) };
        let mut found = numbers(of(&x.numbers, inputs).matmul(matrix.clone().transpose()));
        elementwise::add_bias(&mut found, &bias);
        let result = self.value(found, [rows, outputs, 1, 1]);
        let (x, device) = (x.clone(), self.device.clone());
        self.record(&result, move |flow, gradient| {
            let mut sums = vec![0.0; outputs];
            elementwise::column_sums(&gradient, &mut sums);
            let error: Tensor<2> = tensor(gradient, [rows, outputs], &device);
            let input: Tensor<2> = tensor(x.numbers.to_vec(), [rows, inputs], &device);
            flow.learn(ids[0], numbers(error.clone().transpose().matmul(input)));
            flow.learn(ids[1], sums);
            flow.add(&x, numbers(error.matmul(matrix)));
        });
        result
    }

    /// Group normalisation with a scale and a shift of each channel, and SiLU after it if `silu`.
    pub fn group_norm(
        &mut self,
        x: &Value,
        [weight, bias]: [&Param<Tensor<1>>; 2],
        groups: usize,
        epsilon: f64,
        silu: bool,
    ) -> Value {
        let [_, channels, height, width] = x.shape;
        let (pixels, share) = (height * width, channels / groups.max(1));
        let ids = [weight.id, bias.id];
        let (weight, bias) = (numbers(weight.val()), numbers(bias.val()));
        let mut found = x.numbers.to_vec();
        let mut told = Vec::with_capacity(found.len() / (share * pixels).max(1));
        for (index, values) in found.chunks_exact_mut(share * pixels).enumerate() {
            let count = values.len() as f32;
            let mean = sum(values, |v| v) / count;
            let inverse = 1.0 / (sum(values, |v| (v - mean) * (v - mean)) / count + epsilon as f32).sqrt();
            told.push((mean, inverse));
            for (channel, plane) in values.chunks_exact_mut(pixels).enumerate() {
                let channel = index % groups * share + channel;
                let (scale, shift) = (weight[channel] * inverse, bias[channel]);
                plane.iter_mut().for_each(|value| *value = (*value - mean) * scale + shift);
                if silu {
                    elementwise::silu_in_place(plane);
                }
            }
        }
        let result = self.value(found, x.shape);
        let x = x.clone();
        self.record(&result, move |flow, mut gradient| {
            let (mut of_weight, mut of_bias) = (vec![0.0; channels], vec![0.0; channels]);
            // Normalised and, in turn, what went into SiLU.
            let (mut unit, mut before) = (vec![0.0; share * pixels], vec![0.0; pixels]);
            let parts = gradient.chunks_exact_mut(share * pixels).zip(x.numbers.chunks_exact(share * pixels));
            for (index, ((gradient, x), (mean, inverse))) in parts.zip(&told).enumerate() {
                unit.iter_mut().zip(x).for_each(|(u, x)| *u = (x - mean) * inverse);
                let (mut plain, mut along) = (0.0, 0.0);
                let planes = gradient.chunks_exact_mut(pixels).zip(unit.chunks_exact(pixels)).enumerate();
                for (channel, (gradient, unit)) in planes {
                    let channel = index % groups * share + channel;
                    let (scale, shift) = (weight[channel], bias[channel]);
                    if silu {
                        before.iter_mut().zip(unit).for_each(|(b, u)| *b = u * scale + shift);
                        elementwise::times_silu_slope(gradient, &before);
                    }
                    let (total, aligned) = (sum(gradient, |g| g), dot(gradient, unit));
                    of_bias[channel] += total;
                    of_weight[channel] += aligned;
                    plain += scale * total;
                    along += scale * aligned;
                }
                let count = x.len() as f32;
                let (plain, along) = (plain / count, along / count);
                let planes = gradient.chunks_exact_mut(pixels).zip(unit.chunks_exact(pixels)).enumerate();
                for (channel, (gradient, unit)) in planes {
                    let scale = weight[index % groups * share + channel];
                    for (g, u) in gradient.iter_mut().zip(unit) {
                        *g = (*g * scale - plain - u * along) * inverse;
                    }
                }
            }
            flow.learn(ids[0], of_weight);
            flow.learn(ids[1], of_bias);
            flow.add(&x, gradient);
        });
        result
    }

    /// SiLU.
    pub fn silu(&mut self, x: &Value) -> Value {
        let mut found = x.numbers.to_vec();
        elementwise::silu_in_place(&mut found);
        let result = self.value(found, x.shape);
        let x = x.clone();
        self.record(&result, move |flow, mut gradient| {
            elementwise::times_silu_slope(&mut gradient, &x.numbers);
            flow.add(&x, gradient);
        });
        result
    }

    /// The sum.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        let found = a.numbers.iter().zip(b.numbers.iter()).map(|(a, b)| a + b).collect();
        let result = self.value(found, a.shape);
        let (a, b) = (a.clone(), b.clone());
        self.record(&result, move |flow, gradient| {
            flow.add(&a, gradient.clone());
            flow.add(&b, gradient);
        });
        result
    }

    /// A number of `[images, channels, 1, 1]` added to each channel.
    pub fn add_to_channels(&mut self, x: &Value, shifts: &Value) -> Value {
        let pixels = x.shape[2] * x.shape[3];
        let mut found = x.numbers.to_vec();
        for (plane, shift) in found.chunks_exact_mut(pixels).zip(shifts.numbers.iter()) {
            plane.iter_mut().for_each(|value| *value += shift);
        }
        let result = self.value(found, x.shape);
        let (x, shifts) = (x.clone(), shifts.clone());
        self.record(&result, move |flow, gradient| {
            flow.add(&shifts, gradient.chunks_exact(pixels).map(|plane| sum(plane, |g| g)).collect());
            flow.add(&x, gradient);
        });
        result
    }

    /// The channels of one, then those of the other.
    pub fn stack(&mut self, a: &Value, b: &Value) -> Value {
        let [images, first, height, width] = a.shape;
        let (left, right) = (first * height * width, b.shape[1] * height * width);
        let mut found = Vec::with_capacity(images * (left + right));
        for (a, b) in a.numbers.chunks_exact(left).zip(b.numbers.chunks_exact(right)) {
            found.extend_from_slice(a);
            found.extend_from_slice(b);
        }
        let result = self.value(found, [images, first + b.shape[1], height, width]);
        let (a, b) = (a.clone(), b.clone());
        self.record(&result, move |flow, gradient| {
            let images = gradient.chunks_exact(left + right);
            flow.add(&a, images.clone().flat_map(|image| &image[..left]).copied().collect());
            flow.add(&b, images.flat_map(|image| &image[left..]).copied().collect());
        });
        result
    }

    /// Every pixel twice in both directions.
    pub fn double(&mut self, x: &Value) -> Value {
        let [images, channels, height, width] = x.shape;
        let mut found = Vec::with_capacity(4 * x.numbers.len());
        for row in x.numbers.chunks_exact(width) {
            let start = found.len();
            found.extend(row.iter().flat_map(|value| [*value, *value]));
            found.extend_from_within(start..);
        }
        let result = self.value(found, [images, channels, 2 * height, 2 * width]);
        let x = x.clone();
        self.record(&result, move |flow, gradient| {
            let mut sums = Vec::with_capacity(gradient.len() / 4);
            for rows in gradient.chunks_exact(4 * width) {
                let (above, below) = rows.split_at(2 * width);
                let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
                sums.extend(pairs.map(|(a, b)| a[0] + a[1] + b[0] + b[1]));
            }
            flow.add(&x, sums);
        });
        result
    }

    /// Rows of a table.
    pub fn rows(&mut self, table: &Param<Tensor<2>>, rows: &[usize]) -> Value {
        let [count, width] = [0, 1].map(|dimension| table.lazy_shape()[dimension]);
        let (values, id) = (numbers(table.val()), table.id);
        let found = rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect();
        let result = self.value(found, [rows.len(), width, 1, 1]);
        let rows = rows.to_vec();
        self.record(&result, move |flow, gradient| {
            let mut of_table = vec![0.0; count * width];
            for (row, gradient) in rows.iter().zip(gradient.chunks_exact(width)) {
                add_scaled(&mut of_table[row * width..(row + 1) * width], gradient, 1.0);
            }
            flow.learn(id, of_table);
        });
        result
    }

    /// Attention of queries, keys and values with channels divided among the heads.
    pub fn attend(&mut self, [query, key, value]: [&Value; 3], heads: usize) -> Value {
        let [images, channels, height, width] = query.shape;
        let (share, pixels, device) = (channels / heads.max(1), height * width, self.device.clone());
        let (each, scale) = (share * pixels, (share as f32).powf(-0.5));
        let part = move |values: &[f32], head: usize| -> Tensor<2> {
            tensor(values[head * each..(head + 1) * each].to_vec(), [share, pixels], &device)
        };
        let mut found = Vec::with_capacity(images * channels * pixels);
        let mut looks = Vec::with_capacity(images * heads);
        for head in 0..images * heads {
            let mut scores = numbers(part(&query.numbers, head).transpose().matmul(part(&key.numbers, head)));
            for row in scores.chunks_exact_mut(pixels) {
                row.iter_mut().for_each(|score| *score *= scale);
                elementwise::softmax_in_place(row);
            }
            // [looking pixel, pixel looked at]
            let weights: Tensor<2> = tensor(scores, [pixels, pixels], &self.device);
            found.extend(numbers(part(&value.numbers, head).matmul(weights.clone().transpose())));
            looks.push(weights);
        }
        let result = self.value(found, query.shape);
        let [query, key, value] = [query, key, value].map(Value::clone);
        let device = self.device.clone();
        self.record(&result, move |flow, gradient| {
            let [mut of_query, mut of_key, mut of_value] = [(); 3].map(|()| Vec::with_capacity(gradient.len()));
            for (head, weights) in looks.into_iter().enumerate() {
                let error = part(&gradient, head);
                of_value.extend(numbers(error.clone().matmul(weights.clone())));
                let mut scores = numbers(error.transpose().matmul(part(&value.numbers, head)));
                let weights = numbers(weights);
                for (scores, weights) in scores.chunks_exact_mut(pixels).zip(weights.chunks_exact(pixels)) {
                    let mean = dot(scores, weights);
                    for (score, weight) in scores.iter_mut().zip(weights) {
                        *score = scale * weight * (*score - mean);
                    }
                }
                let scores: Tensor<2> = tensor(scores, [pixels, pixels], &device);
                of_query.extend(numbers(part(&key.numbers, head).matmul(scores.clone().transpose())));
                of_key.extend(numbers(part(&query.numbers, head).matmul(scores)));
            }
            flow.add(&query, of_query);
            flow.add(&key, of_key);
            flow.add(&value, of_value);
        });
        result
    }
}

/// The sums over images and pixels.
fn channel_sums(values: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
    let mut sums = vec![0.0; channels];
    for image in values.chunks_exact(channels * pixels) {
        for (total, plane) in sums.iter_mut().zip(image.chunks_exact(pixels)) {
            *total += sum(plane, |v| v);
        }
    }
    sums
}

/// The sum over numbers, in sixteen lanes, so that it is accurate and quick.
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|v| f(*v)).sum::<f32>()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, last_a), (b, last_b)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0.0_f32; 16];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + last_a.iter().zip(last_b).map(|(a, b)| a * b).sum::<f32>()
}
