//! The derivatives of a convolutional network on the CPU, written out: each operation does what [`super::cpu`] does and
//! leaves on a tape how gradients go back through it. A chain of five tensor operations, each with its own pass over
//! memory and its own entry in a graph, is one here, in the widest instructions of the processor ([`kernels::native`]).

mod attention;
mod convolution;
mod normalisation;
mod pool;
mod refine;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;
use kernels::native::bf16::Line;
use kernels::native::bf16::places::{Grid, restore, round};
use kernels::native::channels::add;
use kernels::{silu_in_place, times_silu_slope};

use super::cpu::{Borrowed, lend, numbers};
use super::product::transpose_into;
use super::resampling::{Resampling, resample, resample_back};
pub use convolution::Epilogue;
pub use pool::{Buffer, Pool};

/// Numbers of shape `[images, channels, height, width]` that are on a tape. They lie pixel by pixel, the channels of one
/// together, unless they come from [`Tape::planes`].
#[derive(Clone, Debug)]
pub struct Value {
    /// The numbers, and the same rounded and in order for convolutions: either may be there only once it is asked for.
    numbers: Rc<OnceCell<Buffer>>,
    lines: Rc<OnceCell<Lines>>,
    /// Their shape.
    pub shape: [usize; 4],
    /// Where its gradient is summed up, if anyone wants it.
    id: Option<usize>,
}

/// Numbers in bfloat16, at the places of a grid.
#[derive(Debug)]
struct Lines {
    grid: Grid,
    lines: Buffer<Line>,
}

impl Lines {
    /// Of numbers `[images, height, width, channels]`.
    fn of(pool: &Pool, numbers: &[f32], channels: usize, grid: Grid) -> Self {
        let mut lines = pool.lines(grid.lines(channels));
        round(numbers, channels, &grid, [grid.height, grid.width], 1, &mut lines);
        Self { grid, lines }
    }

    /// As a convolution takes them.
    fn given(&self) -> (&Grid, &[Line]) {
        (&self.grid, &self.lines)
    }
}

impl Value {
    /// That nobody wants the gradient of.
    fn new(numbers: Buffer, shape: [usize; 4]) -> Self {
        Self { numbers: Rc::new(numbers.into()), lines: Rc::default(), shape, id: None }
    }

    fn of_lines(lines: Lines, shape: [usize; 4]) -> Self {
        Self { numbers: Rc::default(), lines: Rc::new(lines.into()), shape, id: None }
    }

    /// How many numbers.
    fn count(&self) -> usize {
        self.shape.into_iter().product()
    }

    /// The numbers.
    #[must_use]
    pub fn numbers(&self) -> &[f32] {
        self.numbers.get_or_init(|| {
            let mut numbers = vec![0.0; self.count()];
            if let Some(Lines { grid, lines }) = self.lines.get() {
                restore(lines, self.shape[1], grid, &mut numbers);
            }
            numbers.into()
        })
    }

    /// The numbers in bfloat16, at the usual places.
    fn lines(&self, pool: &Pool) -> &Lines {
        let [images, channels, height, width] = self.shape;
        self.lines.get_or_init(|| Lines::of(pool, self.numbers(), channels, Grid::usual(images, height, width)))
    }
}

/// Gradients on their way back.
#[derive(Debug, Default)]
pub struct Gradients {
    pool: Pool,
    values: Vec<Option<Buffer>>,
    parameters: HashMap<ParamId, Vec<f32>>,
}

impl Gradients {
    fn add(&mut self, value: &Value, gradient: Buffer) {
        let Some(id) = value.id else { return };
        match &mut self.values[id] {
            Some(sum) => add(sum, &gradient),
            empty => *empty = Some(gradient),
        }
    }

    /// The same for a gradient that goes elsewhere too.
    fn add_shared(&mut self, value: &Value, gradient: &[f32]) {
        let Some(id) = value.id else { return };
        match &mut self.values[id] {
            Some(sum) => add(sum, gradient),
            empty => *empty = Some(self.pool.copy(gradient)),
        }
    }

    /// The sum so far, if anyone wants it.
    fn sum(&mut self, value: &Value) -> Option<&mut [f32]> {
        let sum = &mut self.values[value.id?];
        Some(sum.get_or_insert_with(|| self.pool.zeros(value.count())))
    }

    /// The same, and true; or, if there is none yet, numbers to overwrite, and false.
    fn place(&mut self, value: &Value) -> Option<(&mut [f32], bool)> {
        let sum = &mut self.values[value.id?];
        let there = sum.is_some();
        Some((sum.get_or_insert_with(|| self.pool.any(value.count())), there))
    }

    fn learn(&mut self, parameter: ParamId, gradient: Vec<f32>) {
        match self.parameters.entry(parameter) {
            Entry::Occupied(mut sum) => add(sum.get_mut(), &gradient),
            Entry::Vacant(empty) => drop(empty.insert(gradient)),
        }
    }

    /// The gradient of a parameter, `None` where nothing depended on it.
    pub fn take(&mut self, parameter: ParamId) -> Option<Vec<f32>> {
        self.parameters.remove(&parameter)
    }
}

type Step = Box<dyn FnOnce(&mut Gradients, Buffer)>;

/// A convolution's or a matrix's parameters.
#[derive(Debug)]
pub struct Affine {
    /// `[outputs, inputs, kernel, kernel]`
    weight: Borrowed,
    /// One number for each output.
    bias: Vec<f32>,
    /// Height and width of the kernel.
    kernel: usize,
    /// Who weight and bias are.
    ids: (ParamId, Option<ParamId>),
}

impl Affine {
    /// Of a weight whose first dimension are the outputs.
    #[must_use]
    pub fn new<const D: usize>(weight: &Param<Tensor<D>>, bias: Option<&Param<Tensor<1>>>) -> Self {
        let (kernel, outputs) = (if D == 4 { weight.lazy_shape()[2] } else { 1 }, weight.lazy_shape()[0]);
        let numbers = bias.map_or_else(|| vec![0.0; outputs], |bias| numbers(bias.val()));
        Self { weight: lend(weight.val()), bias: numbers, kernel, ids: (weight.id, bias.map(|bias| bias.id)) }
    }
}

/// What the factors of convolutions and matrices are rounded to; their sums are in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factors {
    /// Single precision: not at all.
    #[default]
    Single,
    /// bfloat16 ([`kernels::native::bf16`]).
    Bfloat16,
}

/// What was done, in order.
#[derive(Default)]
pub struct Tape {
    pool: Pool,
    factors: Factors,
    steps: Vec<(usize, Step)>,
    count: usize,
}

impl Tape {
    /// An empty one, with memory of others before it.
    #[must_use]
    pub fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone(), ..Self::default() }
    }

    /// The same with factors rounded like this from now on.
    #[must_use]
    pub fn with(self, factors: Factors) -> Self {
        Self { factors, ..self }
    }

    /// Numbers that come from outside, pixel by pixel.
    #[must_use]
    pub fn value(&self, numbers: impl Into<Buffer>, shape: [usize; 4]) -> Value {
        Value::new(numbers.into(), shape)
    }

    /// Images that come from outside, channel by channel.
    #[must_use]
    pub fn images(&self, planes: &[f32], shape: [usize; 4]) -> Value {
        let [_, channels, height, width] = shape;
        self.value(transpose(&self.pool, planes, channels, height * width), shape)
    }

    /// What an operation found, and how a gradient goes back through it.
    fn record(
        &mut self,
        numbers: Buffer,
        shape: [usize; 4],
        step: impl FnOnce(&mut Gradients, Buffer) + 'static,
    ) -> Value {
        self.record_value(Value::new(numbers, shape), step)
    }

    fn record_value(&mut self, found: Value, step: impl FnOnce(&mut Gradients, Buffer) + 'static) -> Value {
        let id = self.count;
        self.count += 1;
        self.steps.push((id, Box::new(step)));
        Value { id: Some(id), ..found }
    }

    /// The gradients of all parameters, for this gradient of a value.
    #[must_use]
    pub fn backward(self, value: &Value, gradient: Vec<f32>) -> Gradients {
        let values = (0..self.count).map(|_| None).collect();
        let mut gradients = Gradients { pool: self.pool, values, parameters: HashMap::new() };
        gradients.add(value, gradient.into());
        for (result, step) in self.steps.into_iter().rev() {
            if let Some(gradient) = gradients.values[result].take() {
                step(&mut gradients, gradient);
            }
        }
        gradients
    }

    /// The same numbers channel by channel, as images are given to others.
    pub fn planes(&mut self, x: &Value) -> Value {
        let [_, channels, height, width] = x.shape;
        let pixels = height * width;
        let x = x.clone();
        self.record(transpose(&self.pool, x.numbers(), pixels, channels), x.shape, move |gradients, gradient| {
            gradients.add(&x, transpose(&gradients.pool, &gradient, channels, pixels));
        })
    }

    /// SiLU.
    pub fn silu(&mut self, x: &Value) -> Value {
        let mut found = self.pool.copy(x.numbers());
        silu_in_place(&mut found);
        let x = x.clone();
        self.record(found, x.shape, move |gradients, mut gradient| {
            times_silu_slope(&mut gradient, x.numbers());
            gradients.add(&x, gradient);
        })
    }

    /// The sum.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        let mut found = self.pool.copy(a.numbers());
        add(&mut found, b.numbers());
        let (a, b) = (a.clone(), b.clone());
        self.record(found, a.shape, move |gradients, gradient| {
            gradients.add_shared(&a, &gradient);
            gradients.add(&b, gradient);
        })
    }

    /// The channels of one, then those of the other.
    pub fn stack(&mut self, a: &Value, b: &Value) -> Value {
        let ([images, left, height, width], right) = (a.shape, b.shape[1]);
        let mut found = self.pool.any(a.numbers().len() + b.numbers().len());
        let pairs = a.numbers().chunks_exact(left).zip(b.numbers().chunks_exact(right));
        for (pixel, (a, b)) in found.chunks_exact_mut(left + right).zip(pairs) {
            pixel[..left].copy_from_slice(a);
            pixel[left..].copy_from_slice(b);
        }
        let (a, b) = (a.clone(), b.clone());
        self.record(found, [images, left + right, height, width], move |gradients, gradient| {
            let [mut of_a, mut of_b] = [&a, &b].map(|x| gradients.pool.any(x.numbers().len()));
            let pairs = of_a.chunks_exact_mut(left).zip(of_b.chunks_exact_mut(right));
            for (pixel, (a, b)) in gradient.chunks_exact(left + right).zip(pairs) {
                a.copy_from_slice(&pixel[..left]);
                b.copy_from_slice(&pixel[left..]);
            }
            gradients.add(&a, of_a);
            gradients.add(&b, of_b);
        })
    }

    /// Every pixel twice in both directions.
    pub fn double(&mut self, x: &Value) -> Value {
        let [images, channels, height, width] = x.shape;
        let (length, mut found) = (2 * width * channels, self.pool.any(4 * x.numbers().len()));
        for (row, rows) in x.numbers().chunks_exact(width * channels).zip(found.chunks_exact_mut(2 * length)) {
            let (above, below) = rows.split_at_mut(length);
            for (pixel, pair) in row.chunks_exact(channels).zip(above.chunks_exact_mut(2 * channels)) {
                pair[..channels].copy_from_slice(pixel);
                pair[channels..].copy_from_slice(pixel);
            }
            below.copy_from_slice(above);
        }
        let x = x.clone();
        self.record(found, [images, channels, 2 * height, 2 * width], move |gradients, mut gradient| {
            // Sums over two rows, then over two columns, in place.
            let mut sums = gradients.pool.any(x.numbers().len());
            for (rows, sums) in gradient.chunks_exact_mut(2 * length).zip(sums.chunks_exact_mut(width * channels)) {
                let (above, below) = rows.split_at_mut(length);
                add(above, below);
                for (pair, sums) in above.chunks_exact(2 * channels).zip(sums.chunks_exact_mut(channels)) {
                    let (left, right) = pair.split_at(channels);
                    sums.iter_mut().zip(left.iter().zip(right)).for_each(|(sum, (a, b))| *sum = a + b);
                }
            }
            gradients.add(&x, sums);
        })
    }

    /// Another height and width, each channel by itself.
    pub fn resample(&mut self, x: &Value, how: Resampling) -> Value {
        let [images, channels, height, width] = x.shape;
        let found = resample(x.numbers(), [height, width], channels, how);
        let x = x.clone();
        let shape = [images, channels, how.length(height), how.length(width)];
        self.record(found.into(), shape, move |gradients, gradient| {
            gradients.add(&x, resample_back(&gradient, [height, width], channels, how).into());
        })
    }

    /// `k x`, with one number for all images or one for each.
    pub fn scale(&mut self, x: &Value, k: &[f32]) -> Value {
        let (k, share) = (k.to_vec(), (x.numbers().len() / k.len().max(1)).max(1));
        let scale = move |numbers: &mut [f32]| {
            for (image, k) in numbers.chunks_exact_mut(share).zip(&k) {
                image.iter_mut().for_each(|x| *x *= k);
            }
        };
        let mut found = self.pool.copy(x.numbers());
        scale(&mut found);
        let x = x.clone();
        self.record(found, x.shape, move |gradients, mut gradient| {
            scale(&mut gradient);
            gradients.add(&x, gradient);
        })
    }

    /// Rows of a table.
    pub fn rows(&mut self, table: &Param<Tensor<2>>, rows: &[usize]) -> Value {
        let [count, width] = [0, 1].map(|dimension| table.lazy_shape()[dimension]);
        let (values, id) = (lend(table.val()), table.id);
        let found: Vec<f32> = rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect();
        let rows = rows.to_vec();
        self.record(found.into(), [rows.len(), width, 1, 1], move |gradients, gradient| {
            let mut of_table = vec![0.0; count * width];
            for (row, gradient) in rows.iter().zip(gradient.chunks_exact(width)) {
                add(&mut of_table[row * width..(row + 1) * width], gradient);
            }
            gradients.learn(id, of_table);
        })
    }
}

/// Of each image `[rows, columns]` the numbers column by column.
fn transpose(pool: &Pool, values: &[f32], rows: usize, columns: usize) -> Buffer {
    let mut found = pool.any(values.len());
    let size = (rows * columns).max(1);
    for (image, found) in values.chunks_exact(size).zip(found.chunks_exact_mut(size)) {
        transpose_into(image, [rows, columns], columns, found);
    }
    found
}
