//! Rows of numbers on any device, with the arithmetic that networks with derivatives need: plain numbers on the CPU, one
//! pass over memory an operation, and tensors elsewhere.
//!
//! A worker that knows only the CPU has no tensor operation but the matrix product (see [`super::cpu`]).

use std::ops::{Add, Mul, Sub};

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::cpu::{self, is_cpu};

/// A smooth activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smooth {
    /// `x * sigmoid(x)`
    Silu,
    /// `ln(1 + e^x)`
    Softplus,
}

/// A matrix on a device. As the right operand a single row or column is repeated as often as the left one needs it.
#[derive(Clone, Debug)]
pub struct Matrix(Form);

#[allow(clippy::large_enum_variant, reason = "a handful live at a time, and a box would cost every operation")]
#[derive(Clone, Debug)]
enum Form {
    Cpu(CpuMatrix),
    Device(Tensor<2>),
}

#[derive(Clone, Debug)]
struct CpuMatrix {
    values: Vec<f32>,
    columns: usize,
    device: Device,
}

impl CpuMatrix {
    fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    fn with(&self, values: Vec<f32>) -> Self {
        Self { values, columns: self.columns, device: self.device.clone() }
    }

    fn tensor(self) -> Tensor<2> {
        let rows = self.rows();
        cpu::tensor(self.values, [rows, self.columns], &self.device)
    }

    fn of(tensor: Tensor<2>) -> Self {
        let (columns, device) = (tensor.dims()[1], tensor.device());
        Self { values: cpu::numbers(tensor), columns, device }
    }

    /// `change` for every row and what stands beside it in `other`.
    fn beside(mut self, other: &Self, change: fn(&mut [f32], &[f32])) -> Self {
        let columns = self.columns.max(1);
        if self.values.len() == other.values.len() {
            change(&mut self.values, &other.values);
        } else if other.columns == self.columns {
            self.values.chunks_exact_mut(columns).for_each(|row| change(row, &other.values));
        } else {
            let mut repeated = vec![0.0; columns];
            for (row, value) in self.values.chunks_exact_mut(columns).zip(&other.values) {
                repeated.fill(*value);
                change(row, &repeated);
            }
        }
        self
    }
}

impl From<Tensor<2>> for Matrix {
    fn from(tensor: Tensor<2>) -> Self {
        if is_cpu(&tensor.device()) { Self(Form::Cpu(CpuMatrix::of(tensor))) } else { Self(Form::Device(tensor)) }
    }
}

impl Matrix {
    /// These numbers, row by row.
    #[must_use]
    pub fn new(values: Vec<f32>, columns: usize, device: &Device) -> Self {
        if is_cpu(device) {
            return Self(Form::Cpu(CpuMatrix { values, columns, device: device.clone() }));
        }
        let rows = values.len() / columns.max(1);
        Self(Form::Device(Tensor::from_data(TensorData::new(values, [rows, columns]), device)))
    }

    /// Its numbers, or the tensor that has to be read for them.
    ///
    /// # Errors
    /// The tensor, on every device but the CPU.
    pub fn into_numbers(self) -> Result<Vec<f32>, Box<Tensor<2>>> {
        match self.0 {
            Form::Cpu(numbers) => Ok(numbers.values),
            Form::Device(tensor) => Err(Box::new(tensor)),
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        match &self.0 {
            Form::Cpu(numbers) => numbers.rows(),
            Form::Device(tensor) => tensor.dims()[0],
        }
    }

    /// One of two ways to the result. Where there is only the CPU the other is left out of the program.
    fn map(self, here: impl FnOnce(CpuMatrix) -> CpuMatrix, there: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        match self.0 {
            Form::Cpu(numbers) => Self(Form::Cpu(here(numbers))),
            Form::Device(tensor) if !cpu::ONLY => Self(Form::Device(there(tensor))),
            other => Self(other),
        }
    }

    fn with(
        self,
        other: Self,
        here: impl FnOnce(CpuMatrix, CpuMatrix) -> CpuMatrix,
        there: impl FnOnce(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Self {
        match (self.0, other.0) {
            (Form::Cpu(a), Form::Cpu(b)) => Self(Form::Cpu(here(a, b))),
            (a, b) if !cpu::ONLY => Self(Form::Device(there(a.tensor(), b.tensor()))),
            (other, _) => Self(other),
        }
    }

    /// The product of matrices.
    #[must_use]
    pub fn matmul(self, other: Self) -> Self {
        self.with(other, |a, b| CpuMatrix::of(a.tensor().matmul(b.tensor())), Tensor::matmul)
    }

    /// The product of this matrix, transposed, with another.
    #[must_use]
    pub fn transposed_matmul(self, other: Self) -> Self {
        let product = |a: Tensor<2>, b: Tensor<2>| a.transpose().matmul(b);
        self.with(other, |a, b| CpuMatrix::of(product(a.tensor(), b.tensor())), product)
    }

    /// The product with another matrix, transposed.
    #[must_use]
    pub fn matmul_transposed(self, other: Self) -> Self {
        let product = |a: Tensor<2>, b: Tensor<2>| a.matmul(b.transpose());
        self.with(other, |a, b| CpuMatrix::of(product(a.tensor(), b.tensor())), product)
    }

    /// Some rows.
    #[must_use]
    pub fn part(&self, start: usize, rows: usize) -> Self {
        match &self.0 {
            Form::Cpu(numbers) => {
                let (start, end) = (start * numbers.columns, (start + rows) * numbers.columns);
                Self(Form::Cpu(numbers.with(numbers.values[start..end].to_vec())))
            }
            Form::Device(tensor) if !cpu::ONLY => Self(Form::Device(tensor.clone().narrow(0, start, rows))),
            Form::Device(tensor) => Self(Form::Device(tensor.clone())),
        }
    }

    /// The same numbers in rows of this length.
    #[must_use]
    pub fn reshaped(self, columns: usize) -> Self {
        self.map(|numbers| CpuMatrix { columns, ..numbers }, |tensor| tensor.reshape([-1, columns as i32]))
    }

    /// The first columns.
    #[must_use]
    pub fn first_columns(self, count: usize) -> Self {
        let here = |numbers: CpuMatrix| {
            let rows = numbers.values.chunks_exact(numbers.columns.max(1));
            let values = rows.flat_map(|row| &row[..count]).copied().collect();
            CpuMatrix { values, columns: count, device: numbers.device }
        };
        self.map(here, |tensor| tensor.narrow(1, 0, count))
    }

    /// Matrices of as many columns below each other; `first` is the uppermost.
    #[must_use]
    pub fn above(self, others: Vec<Self>) -> Self {
        if others.is_empty() {
            return self;
        }
        match self.0 {
            Form::Cpu(mut numbers) => {
                for other in others {
                    numbers.values.extend(other.into_numbers().unwrap_or_default());
                }
                Self(Form::Cpu(numbers))
            }
            form if !cpu::ONLY => {
                let all = std::iter::once(form).chain(others.into_iter().map(|other| other.0)).map(Form::tensor);
                Self(Form::Device(Tensor::cat(all.collect(), 0)))
            }
            form => Self(form),
        }
    }

    /// All rows so many times, below each other.
    #[must_use]
    pub fn repeated(self, times: usize) -> Self {
        if times <= 1 {
            return self;
        }
        self.map(|numbers| numbers.with(numbers.values.repeat(times)), |tensor| tensor.repeat_dim(0, times))
    }

    /// The sums of the columns.
    #[must_use]
    pub fn column_sums(self) -> Self {
        let here = |numbers: CpuMatrix| {
            let mut sums = vec![0.0; numbers.columns];
            kernels::column_sums(&numbers.values, &mut sums);
            numbers.with(sums)
        };
        self.map(here, |tensor| tensor.sum_dim(0))
    }

    /// The sum of all numbers, as a matrix of one.
    #[must_use]
    pub fn sum(self) -> Self {
        let here = |numbers: CpuMatrix| {
            let sum: f64 = numbers.values.iter().map(|value| f64::from(*value)).sum();
            CpuMatrix { values: vec![sum as f32], columns: 1, device: numbers.device }
        };
        self.map(here, |tensor| tensor.sum().reshape([1, 1]))
    }

    /// The square of every number.
    #[must_use]
    pub fn square(self) -> Self {
        self.map(
            |mut numbers| {
                kernels::square(&mut numbers.values);
                numbers
            },
            |tensor| tensor.square(),
        )
    }

    /// The size of every number.
    #[must_use]
    pub fn abs(self) -> Self {
        self.map(
            |mut numbers| {
                numbers.values.iter_mut().for_each(|value| *value = value.abs());
                numbers
            },
            |tensor| tensor.abs(),
        )
    }

    /// `k x + shift` for every number `x`.
    #[must_use]
    pub fn scaled(self, k: f64, shift: f64) -> Self {
        self.map(
            |mut numbers| {
                kernels::scale_and_shift(&mut numbers.values, k as f32, shift as f32);
                numbers
            },
            |tensor| tensor * k + shift,
        )
    }

    /// An activation of every number, and its derivatives up to this order, 3 at most.
    #[must_use]
    pub fn derivatives(&self, activation: Smooth, order: usize) -> Vec<Self> {
        match &self.0 {
            Form::Cpu(z) => {
                let mut all = vec![vec![0.0; z.values.len()]; order.min(3) + 1];
                {
                    let mut places: Vec<&mut [f32]> = all.iter_mut().map(Vec::as_mut_slice).collect();
                    match activation {
                        Smooth::Silu => kernels::silu_derivatives(&z.values, &mut places),
                        // After the first, the derivatives are those of the sigmoid.
                        Smooth::Softplus => kernels::sigmoid_derivatives(&z.values, &mut places[1..]),
                    }
                }
                if activation == Smooth::Softplus {
                    let value = |z: &f32| z.max(0.0) + libm::log1pf(kernels::exp(-z.abs()));
                    all[0] = z.values.iter().map(value).collect();
                }
                all.into_iter().map(|values| Self(Form::Cpu(z.with(values)))).collect()
            }
            Form::Device(z) if !cpu::ONLY => {
                tensor_derivatives(z.clone(), activation, order).into_iter().map(|t| Self(Form::Device(t))).collect()
            }
            Form::Device(_) => Vec::new(),
        }
    }
}

impl Form {
    fn tensor(self) -> Tensor<2> {
        match self {
            Self::Cpu(numbers) => numbers.tensor(),
            Self::Device(tensor) => tensor,
        }
    }
}

impl Add for Matrix {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a.beside(&b, kernels::add), |a, b| a + b)
    }
}

impl Sub for Matrix {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a.beside(&b, kernels::subtract), |a, b| a - b)
    }
}

impl Mul for Matrix {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a.beside(&b, kernels::multiply), |a, b| a * b)
    }
}

impl Mul<f64> for Matrix {
    type Output = Self;

    fn mul(self, k: f64) -> Self {
        self.map(
            |mut numbers| {
                kernels::scale_and_shift(&mut numbers.values, k as f32, 0.0);
                numbers
            },
            |tensor| tensor * k,
        )
    }
}

/// The activation's derivatives of order 0 to `order`, in tensor operations.
fn tensor_derivatives(z: Tensor<2>, activation: Smooth, order: usize) -> Vec<Tensor<2>> {
    let gate = activation::sigmoid(z.clone());
    let mut all = Vec::with_capacity(order + 1);
    match activation {
        Smooth::Silu => {
            let value = z.clone() * gate.clone();
            all.push(value.clone());
            if order >= 1 {
                all.push(gate.clone() + value * (1.0 - gate.clone()));
            }
            if order >= 2 {
                // The gate's slope h and its slope's slope h (1 - 2 gate).
                let slope: Tensor<2> = gate.clone() * (1.0 - gate.clone());
                let bend: Tensor<2> = slope.clone() * (1.0 - gate * 2.0);
                all.push(slope.clone() * 2.0 + z.clone() * bend.clone());
                if order >= 3 {
                    all.push(bend.clone() * 3.0 + z * third_of_sigmoid(slope));
                }
            }
        }
        Smooth::Softplus => {
            all.push(activation::softplus(z, 1.0));
            if order >= 1 {
                all.push(gate.clone());
            }
            if order >= 2 {
                let slope: Tensor<2> = gate.clone() * (1.0 - gate.clone());
                all.push(slope.clone());
                if order >= 3 {
                    all.push(slope * (1.0 - gate * 2.0));
                }
            }
        }
    }
    all
}

/// The third derivative of the sigmoid from its first: `h (1 - 6 h)`.
fn third_of_sigmoid(slope: Tensor<2>) -> Tensor<2> {
    slope.clone() * (1.0 - slope * 6.0)
}
