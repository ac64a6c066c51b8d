//! Arrays of the CPU: matrix products, and everything between them in one pass over memory.
//!
//! Of a training step of a small network, half the time of the plain form in tensor operations goes into allocating,
//! writing and reading what lies between the matrix products. A worker that knows only the CPU has no tensor operation
//! at all.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor, TensorData};
use kernels::Activation;

use super::operations::Operations;
use crate::nn::moments::{self, Update};
use crate::nn::product::{product, product_transposed, transposed_product};

/// Numbers of the CPU, row by row. They may be part of a longer vector that others have too; what changes them copies
/// them first if they are.
#[derive(Clone, Debug)]
pub struct CpuArray(FlexTensor);

impl CpuArray {
    /// These numbers in rows of this length.
    pub fn new(values: Vec<f32>, columns: usize) -> Self {
        let rows = values.len() / columns.max(1);
        Self(FlexTensor::from_data(TensorData::new(values, [rows, columns])))
    }

    /// The numbers of a tensor of the CPU device. Where there is no other, nobody has tensors to begin with.
    ///
    /// # Panics
    /// When the tensor is of another device.
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    pub fn of(tensor: Tensor<2>) -> Self {
        match tensor.try_into_primitive::<Flex>() {
            Ok(tensor) if tensor.is_contiguous() => Self(tensor),
            Ok(tensor) => Self(tensor.to_contiguous()),
            Err(_) => unreachable!("callers ask is_cpu of the tensor's device before they come here"),
        }
    }

    /// The numbers as a tensor.
    pub fn into_tensor(self) -> Tensor<2> {
        Tensor::from_primitive::<Flex>(self.0)
    }

    fn range(&self) -> (usize, usize) {
        let start = self.0.layout().start_offset();
        (start, start + self.0.layout().num_elements())
    }

    /// The numbers.
    pub fn numbers(&self) -> &[f32] {
        let (start, end) = self.range();
        &self.0.storage::<f32>()[start..end]
    }

    /// The numbers, to change.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        if !self.0.is_unique() {
            *self = Self::new(self.numbers().to_vec(), self.columns());
        }
        let (start, end) = self.range();
        &mut self.0.storage_mut::<f32>()[start..end]
    }

    /// The numbers, not copied if nobody else has them.
    pub fn into_numbers(self) -> Vec<f32> {
        if !self.0.is_unique() {
            return self.numbers().to_vec();
        }
        match self.0.into_data().try_into_vec() {
            Ok(numbers) => numbers,
            Err(_) => unreachable!("arrays are of single precision"),
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut [f32])) -> Self {
        change(self.numbers_mut());
        self
    }

    /// `change` of every row and what stands beside it in `other`.
    fn beside(self, other: &Self, change: fn(&mut [f32], &[f32])) -> Self {
        let (columns, theirs) = (self.columns().max(1), other.numbers());
        let by_rows = other.columns() == self.columns();
        self.changed(|values| {
            if by_rows {
                values.chunks_exact_mut(theirs.len().max(1)).for_each(|rows| change(rows, theirs));
                return;
            }
            let mut repeated = vec![0.0; columns];
            for (row, value) in values.chunks_exact_mut(columns).zip(theirs) {
                repeated.fill(*value);
                change(row, &repeated);
            }
        })
    }
}

impl Operations for CpuArray {
    fn rows(&self) -> usize {
        self.0.layout().shape()[0]
    }

    fn columns(&self) -> usize {
        self.0.layout().shape()[1]
    }

    fn part(&self, start: usize, rows: usize) -> Self {
        let layout = self.0.layout().narrow(0, start, rows);
        Self(self.0.clone().with_layout(layout))
    }

    fn reshaped(self, columns: usize) -> Self {
        let (start, end) = self.range();
        let shape = Shape::new([(end - start) / columns.max(1), columns]);
        match self.0.layout().reshape(shape) {
            Some(layout) => Self(self.0.with_layout(layout)),
            None => unreachable!("the numbers of an array follow each other"),
        }
    }

    fn first_columns(self, count: usize) -> Self {
        let rows = self.numbers().chunks_exact(self.columns().max(1));
        Self::new(rows.flat_map(|row| &row[..count]).copied().collect(), count)
    }

    fn concatenated(&self, others: Vec<&Self>) -> Self {
        let parts = || std::iter::once(self).chain(others.iter().copied()).map(Self::numbers);
        let mut values = Vec::with_capacity(parts().map(<[f32]>::len).sum());
        parts().for_each(|part| values.extend_from_slice(part));
        Self::new(values, self.columns())
    }

    fn matmul(&self, other: &Self) -> Self {
        let sizes = [self.rows(), self.columns(), other.columns()];
        Self::new(product(self.numbers(), other.numbers(), sizes), sizes[2])
    }

    fn transposed_matmul(&self, other: &Self) -> Self {
        let sizes = [self.columns(), self.rows(), other.columns()];
        Self::new(transposed_product(self.numbers(), other.numbers(), sizes), sizes[2])
    }

    fn matmul_transposed(&self, other: &Self) -> Self {
        let sizes = [self.rows(), self.columns(), other.rows()];
        Self::new(product_transposed(self.numbers(), other.numbers(), sizes), sizes[2])
    }

    fn add(self, other: &Self) -> Self {
        if other.rows() == 1 && other.columns() == self.columns() {
            return self.changed(|values| kernels::add_bias(values, other.numbers()));
        }
        self.beside(other, kernels::add)
    }

    fn subtract(self, other: &Self) -> Self {
        self.beside(other, kernels::subtract)
    }

    fn multiply(self, other: &Self) -> Self {
        self.beside(other, kernels::multiply)
    }

    fn scaled(self, k: f64) -> Self {
        self.changed(|values| kernels::scale_and_shift(values, k as f32, 0.0))
    }

    fn square(self) -> Self {
        self.changed(kernels::square)
    }

    fn exp(self) -> Self {
        self.changed(kernels::exp_in_place)
    }

    fn softmax(self) -> Self {
        let columns = self.columns().max(1);
        self.changed(|values| {
            for row in values.chunks_exact_mut(columns) {
                kernels::softmax_in_place(row);
            }
        })
    }

    fn column_sums(&self) -> Self {
        let mut sums = vec![0.0; self.columns()];
        kernels::column_sums(self.numbers(), &mut sums);
        Self::new(sums, self.columns())
    }

    fn sum(&self) -> Self {
        let sum: f64 = self.numbers().iter().map(|value| f64::from(*value)).sum();
        Self::new(vec![sum as f32], 1)
    }

    fn sum_of_blocks(&self, rows: usize) -> Self {
        let mut blocks = self.numbers().chunks_exact((rows * self.columns()).max(1));
        let mut sum = blocks.next().unwrap_or_default().to_vec();
        blocks.for_each(|block| kernels::add(&mut sum, block));
        Self::new(sum, self.columns())
    }

    fn activated(mut self, bias: &Self, activation: Activation, order: usize) -> (Self, Vec<Self>) {
        let (columns, bias) = (self.columns(), bias.numbers());
        if order == 0 {
            kernels::activate(self.numbers_mut(), bias, activation);
            return (self, Vec::new());
        }
        let values = self.numbers_mut();
        if order == 1 {
            let mut slopes = vec![0.0; values.len()];
            kernels::activate_with_slope(values, &mut slopes, bias, activation);
            return (self, vec![Self::new(slopes, columns)]);
        }
        kernels::add_bias(values, bias);
        let mut orders = vec![vec![0.0; values.len()]; order + 1];
        let mut places: Vec<&mut [f32]> = orders.iter_mut().map(Vec::as_mut_slice).collect();
        kernels::derivatives(values, &mut places, activation);
        let mut orders = orders.into_iter().map(|values| Self::new(values, columns));
        match orders.next() {
            Some(value) => (value, orders.collect()),
            None => unreachable!("there is an order 0"),
        }
    }

    fn squared_error(mut self, target: &Self, weight: &Self, scale: f32) -> (Self, Self) {
        let columns = self.columns();
        let loss = kernels::squared_error(self.numbers_mut(), target.numbers(), weight.numbers(), columns, scale);
        (Self::new(vec![loss], 1), self)
    }

    fn cross_entropy(mut self, target: &Self, weight: &Self, scale: f32) -> (Self, Self) {
        let (mut loss, columns) = (0.0, self.columns().max(1));
        let rows = self.numbers_mut().chunks_exact_mut(columns);
        for ((row, target), weight) in rows.zip(target.numbers().chunks_exact(columns)).zip(weight.numbers()) {
            // -sum target ln softmax(x) = sum target (ln sum exp(x) - x).
            let product: f64 = row.iter().zip(target).map(|(x, t)| f64::from(*x) * f64::from(*t)).sum();
            let mass: f64 = target.iter().copied().map(f64::from).sum();
            let (largest, sum) = kernels::softmax_in_place(row);
            let log_sum = f64::from(largest) + libm::log(f64::from(sum));
            loss += f64::from(*weight) * (mass * log_sum - product);
            let (mass, factor) = (mass as f32, scale * weight);
            row.iter_mut().zip(target).for_each(|(x, t)| *x = factor * (mass * *x - t));
        }
        (Self::new(vec![(loss * f64::from(scale)) as f32], 1), self)
    }

    fn adam(&mut self, [mean, square]: [&mut Self; 2], gradient: Vec<&Self>, update: Update) {
        let (mut parameters, mut mean, mut square) = (self.numbers_mut(), mean.numbers_mut(), square.numbers_mut());
        for part in gradient.into_iter().map(Self::numbers) {
            let (now, later) = parameters.split_at_mut(part.len());
            let (mean_now, mean_later) = mean.split_at_mut(part.len());
            let (square_now, square_later) = square.split_at_mut(part.len());
            moments::step(now, [mean_now, square_now], part, update);
            (parameters, mean, square) = (later, mean_later, square_later);
        }
    }

    fn blend(&mut self, parameters: &Self, keep: f64) {
        moments::blend(self.numbers_mut(), parameters.numbers(), keep);
    }
}
