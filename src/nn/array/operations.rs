//! The operations of an array, which every form of its numbers has.

use kernels::Activation;

use crate::nn::moments::Update;

/// Arithmetic on rows of numbers. In `add`, `subtract` and `multiply` the right operand may have fewer rows, and is then
/// repeated from the first on, or a single column, which is repeated.
pub trait Operations: Sized {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// Numbers in a row.
    fn columns(&self) -> usize;

    /// Some rows.
    fn part(&self, start: usize, rows: usize) -> Self;

    /// The same numbers in rows of this length.
    fn reshaped(self, columns: usize) -> Self;

    /// The first columns.
    fn first_columns(self, count: usize) -> Self;

    /// These rows, and those of others below them.
    fn concatenated(&self, others: Vec<&Self>) -> Self;

    /// The matrix product.
    fn matmul(&self, other: &Self) -> Self;

    /// The product of this matrix, transposed, with another.
    fn transposed_matmul(&self, other: &Self) -> Self;

    /// The product with another matrix, transposed.
    fn matmul_transposed(&self, other: &Self) -> Self;

    /// The sum.
    fn add(self, other: &Self) -> Self;

    /// The difference.
    fn subtract(self, other: &Self) -> Self;

    /// The product, number by number.
    fn multiply(self, other: &Self) -> Self;

    /// The multiple.
    fn scaled(self, k: f64) -> Self;

    /// The square of every number.
    fn square(self) -> Self;

    /// The exponential of every number.
    fn exp(self) -> Self;

    /// `exp(x) / sum exp(x)` of every row.
    fn softmax(self) -> Self;

    /// The sums of the columns, one row.
    fn column_sums(&self) -> Self;

    /// The sum of all numbers, a single one.
    fn sum(&self) -> Self;

    /// The sum of blocks of so many rows.
    fn sum_of_blocks(&self, rows: usize) -> Self;

    /// The activation of every number after a bias was added, and its derivatives from the first to the `order`-th, 3 at
    /// most.
    fn activated(self, bias: &Self, activation: Activation, order: usize) -> (Self, Vec<Self>);

    /// `scale * sum_i weight_i |x_i - target_i|^2` over the rows, a single number, and its gradient with respect to them.
    fn squared_error(self, target: &Self, weight: &Self, scale: f32) -> (Self, Self);

    /// `scale * sum_i weight_i H(target_i, softmax(x_i))` over the rows, a single number, and its gradient with respect to
    /// them; `H` is the cross-entropy, `-sum target ln softmax(x)`.
    fn cross_entropy(self, target: &Self, weight: &Self, scale: f32) -> (Self, Self);

    /// Adam's update of parameters and of the means of their gradients and of their squares, with a gradient in parts,
    /// whose numbers follow each other.
    fn adam(&mut self, moments: [&mut Self; 2], gradient: Vec<&Self>, update: Update);

    /// A moving average, of which the share `keep` stays, after one more value of its parameters.
    fn blend(&mut self, parameters: &Self, keep: f64);
}
