//! Rows of numbers on the CPU or on a device, with the arithmetic that perceptrons and their derivatives need.

#[cfg(feature = "cpu")]
mod cpu;
mod operations;
// A worker that knows only the CPU has no tensor operation but the matrix product: a third of its size.
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
mod tensor;

use std::ops::{Add, Mul, Sub};

use burn::tensor::{Device, Tensor};

#[cfg(feature = "cpu")]
use cpu::CpuArray;
use kernels::Activation;
use operations::Operations;

use super::device::DeviceError;
use super::moments::Update;

/// A matrix of `f32`, row by row. Clones share their numbers until one of them is changed.
#[derive(Clone, Debug)]
pub struct Array(Numbers);

#[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
impl From<Tensor<2>> for Array {
    fn from(tensor: Tensor<2>) -> Self {
        #[cfg(feature = "cpu")]
        if super::cpu::is_cpu(&tensor.device()) {
            return Self(Numbers::Cpu(CpuArray::of(tensor)));
        }
        Self(Numbers::Device(tensor))
    }
}

/// The forms that this program was built with.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "boxing would allocate for every operation on a device")]
enum Numbers {
    #[cfg(feature = "cpu")]
    Cpu(CpuArray),
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
    Device(Tensor<2>),
}

/// The same expression of whichever form the numbers have.
macro_rules! each {
    ($array:expr, $x:ident => $body:expr) => {
        match $array {
            #[cfg(feature = "cpu")]
            Numbers::Cpu($x) => $body,
            #[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
            Numbers::Device($x) => $body,
        }
    };
}

/// A form of numbers: from an array and back.
trait Form: Operations {
    /// The array of these.
    fn array(self) -> Array;

    /// The numbers of an array of this form.
    ///
    /// # Panics
    /// When it is of the other: two arrays of one computation are on one device.
    fn of(array: &Array) -> &Self;

    /// The same, to change.
    ///
    /// # Panics
    /// When it is of the other.
    fn of_mut(array: &mut Array) -> &mut Self;
}

#[cfg(feature = "cpu")]
impl Form for CpuArray {
    fn array(self) -> Array {
        Array(Numbers::Cpu(self))
    }

    fn of(array: &Array) -> &Self {
        match &array.0 {
            Numbers::Cpu(numbers) => numbers,
            #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
            Numbers::Device(_) => unreachable!("the arrays of a computation are on one device"),
        }
    }

    fn of_mut(array: &mut Array) -> &mut Self {
        match &mut array.0 {
            Numbers::Cpu(numbers) => numbers,
            #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
            Numbers::Device(_) => unreachable!("the arrays of a computation are on one device"),
        }
    }
}

#[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
impl Form for Tensor<2> {
    fn array(self) -> Array {
        Array(Numbers::Device(self))
    }

    fn of(array: &Array) -> &Self {
        match &array.0 {
            #[cfg(feature = "cpu")]
            Numbers::Cpu(_) => unreachable!("the arrays of a computation are on one device"),
            Numbers::Device(tensor) => tensor,
        }
    }

    fn of_mut(array: &mut Array) -> &mut Self {
        match &mut array.0 {
            #[cfg(feature = "cpu")]
            Numbers::Cpu(_) => unreachable!("the arrays of a computation are on one device"),
            Numbers::Device(tensor) => tensor,
        }
    }
}

impl Array {
    /// The matrix of these numbers, row by row.
    #[must_use]
    pub fn new(values: Vec<f32>, columns: usize, device: &Device) -> Self {
        #[cfg(feature = "cpu")]
        if super::cpu::is_cpu(device) {
            return Self(Numbers::Cpu(CpuArray::new(values, columns)));
        }
        #[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
        {
            let shape = [values.len() / columns.max(1), columns];
            Self(Numbers::Device(Tensor::from_data(burn::tensor::TensorData::new(values, shape), device)))
        }
        #[cfg(not(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu"))))]
        unreachable!("this program knows no device but the CPU")
    }

    /// A matrix of equal numbers.
    #[must_use]
    pub fn filled(value: f32, rows: usize, columns: usize, device: &Device) -> Self {
        Self::new(vec![value; rows * columns], columns, device)
    }

    /// The numbers as a tensor.
    #[must_use]
    pub fn into_tensor(self) -> Tensor<2> {
        match self.0 {
            #[cfg(feature = "cpu")]
            Numbers::Cpu(numbers) => numbers.into_tensor(),
            #[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
            Numbers::Device(tensor) => tensor,
        }
    }

    /// The numbers, row by row. On a device this waits for what was asked of it.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn read(self) -> Result<Vec<f32>, DeviceError> {
        match self.0 {
            #[cfg(feature = "cpu")]
            Numbers::Cpu(numbers) => Ok(numbers.into_numbers()),
            #[cfg(any(not(target_arch = "wasm32"), feature = "gpu", not(feature = "cpu")))]
            Numbers::Device(tensor) => super::device::read(tensor).await,
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        each!(&self.0, x => x.rows())
    }

    /// Numbers in a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        each!(&self.0, x => x.columns())
    }

    /// Some rows.
    #[must_use]
    pub fn part(&self, start: usize, rows: usize) -> Self {
        each!(&self.0, x => x.part(start, rows).array())
    }

    /// The same numbers in rows of this length.
    #[must_use]
    pub fn reshaped(self, columns: usize) -> Self {
        each!(self.0, x => x.reshaped(columns).array())
    }

    /// The first columns.
    #[must_use]
    pub fn first_columns(self, count: usize) -> Self {
        each!(self.0, x => x.first_columns(count).array())
    }

    /// Matrices of as many columns below each other; `self` is the uppermost.
    #[must_use]
    pub fn above(self, others: Vec<Self>) -> Self {
        each!(self.0, x => x.concatenated(others.iter().map(Form::of).collect()).array())
    }

    /// The matrix product.
    #[must_use]
    pub fn matmul(&self, other: &Self) -> Self {
        each!(&self.0, x => Operations::matmul(x, Form::of(other)).array())
    }

    /// The product of this matrix, transposed, with another.
    #[must_use]
    pub fn transposed_matmul(&self, other: &Self) -> Self {
        each!(&self.0, x => x.transposed_matmul(Form::of(other)).array())
    }

    /// The product with another matrix, transposed.
    #[must_use]
    pub fn matmul_transposed(&self, other: &Self) -> Self {
        each!(&self.0, x => x.matmul_transposed(Form::of(other)).array())
    }

    /// The square of every number.
    #[must_use]
    pub fn square(self) -> Self {
        each!(self.0, x => Operations::square(x).array())
    }

    /// The exponential of every number.
    #[must_use]
    pub fn exp(self) -> Self {
        each!(self.0, x => Operations::exp(x).array())
    }

    /// The softmax of every row of logits, `exp(x) / sum exp(x)`: probabilities.
    #[must_use]
    pub fn softmax(self) -> Self {
        each!(self.0, x => x.softmax().array())
    }

    /// The sums of the columns, one row.
    #[must_use]
    pub fn column_sums(&self) -> Self {
        each!(&self.0, x => x.column_sums().array())
    }

    /// The sum of all numbers, a matrix of one.
    #[must_use]
    pub fn sum(&self) -> Self {
        each!(&self.0, x => Operations::sum(x).array())
    }

    /// The sum of blocks of so many rows.
    #[must_use]
    pub fn sum_of_blocks(&self, rows: usize) -> Self {
        each!(&self.0, x => x.sum_of_blocks(rows).array())
    }

    /// The activation of every number after a bias, one row, was added, and its derivatives from the first to the
    /// `order`-th, 3 at most: one pass over memory on the CPU.
    #[must_use]
    pub fn activated(self, bias: &Self, activation: Activation, order: usize) -> (Self, Vec<Self>) {
        each!(self.0, x => {
            let (value, derivatives) = x.activated(Form::of(bias), activation, order);
            (value.array(), derivatives.into_iter().map(Form::array).collect())
        })
    }

    /// The weighted squared error `scale * sum_i weight_i |x_i - target_i|^2` of the rows, a matrix of one number, and
    /// its gradient with respect to them. `target` is of their shape, `weight` a column.
    #[must_use]
    pub fn squared_error(self, target: &Self, weight: &Self, scale: f32) -> (Self, Self) {
        each!(self.0, x => {
            let (loss, gradient) = x.squared_error(Form::of(target), Form::of(weight), scale);
            (loss.array(), gradient.array())
        })
    }

    /// The weighted cross-entropy `-scale * sum_i weight_i sum_c target_ic ln softmax(x_i)_c` of rows of logits, in nats, a
    /// matrix of one number, and its gradient with respect to them. `target` is of their shape, rows of probabilities,
    /// `weight` a column.
    #[must_use]
    pub fn cross_entropy(self, target: &Self, weight: &Self, scale: f32) -> (Self, Self) {
        each!(self.0, x => {
            let (loss, gradient) = x.cross_entropy(Form::of(target), Form::of(weight), scale);
            (loss.array(), gradient.array())
        })
    }

    /// Adam's update of a column of parameters and of the means of their gradients and of their squares, with a gradient
    /// in parts, whose numbers follow each other. In place on the CPU.
    ///
    /// # Panics
    /// When the gradient has more numbers than there are parameters, or on a device fewer.
    pub fn adam(&mut self, [mean, square]: [&mut Self; 2], gradient: &[Self], update: Update) {
        each!(&mut self.0, x => {
            let gradient = gradient.iter().map(Form::of).collect();
            x.adam([Form::of_mut(mean), Form::of_mut(square)], gradient, update)
        });
    }

    /// A moving average, of which the share `keep` stays, after one more value of its parameters. In place on the CPU.
    pub fn blend(&mut self, parameters: &Self, keep: f64) {
        each!(&mut self.0, x => x.blend(Form::of(parameters), keep));
    }
}

impl Add<&Array> for Array {
    type Output = Self;

    /// The sum. The right operand may have fewer rows, which are then repeated, or a single column.
    fn add(self, other: &Array) -> Self {
        each!(self.0, x => Operations::add(x, Form::of(other)).array())
    }
}

impl Sub<&Array> for Array {
    type Output = Self;

    /// The difference, as [`Self::add`].
    fn sub(self, other: &Array) -> Self {
        each!(self.0, x => x.subtract(Form::of(other)).array())
    }
}

impl Mul<&Array> for Array {
    type Output = Self;

    /// The product number by number, as [`Self::add`].
    fn mul(self, other: &Array) -> Self {
        each!(self.0, x => x.multiply(Form::of(other)).array())
    }
}

impl Mul<f64> for Array {
    type Output = Self;

    fn mul(self, k: f64) -> Self {
        each!(self.0, x => x.scaled(k).array())
    }
}
