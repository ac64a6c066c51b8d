//! Muon (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon>): the momentum of a matrix, moved towards the
//! orthogonal matrix nearest to it, so that a step is as long in every direction.
//!
//! A parameter is seen as a matrix of its first dimension and all others. The orthogonal matrix is never computed: five
//! rounds of an odd polynomial bring the singular values to between about 0.7 and 1.2, which is near enough.

use burn::tensor::Tensor;
use kernels::native::bf16::places::round;
use kernels::native::bf16::{Line, convolution as bf16};
use kernels::native::tiles::Epilogue;
use kernels::product::{Product, multiply};

use super::tape::Factors;

/// Decay of the mean of gradients.
pub const MOMENTUM: f64 = 0.95;
/// Coefficients of `x`, `x^3` and `x^5`: of the polynomials that end near 1 the one that is steepest at 0.
pub const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// How often the polynomial is applied.
pub const ROUNDS: usize = 5;
/// Keeps the division by the norm finite.
pub const EPSILON: f64 = 1e-7;

/// Rows and columns of a parameter that is seen as a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The first dimension.
    pub rows: usize,
    /// The product of the others.
    pub columns: usize,
}

impl Sizes {
    /// Of a parameter of this shape; `None` of a vector or a number, which are no matrices.
    #[must_use]
    pub fn of(shape: &[usize]) -> Option<Self> {
        let [rows, rest @ ..] = shape else { return None };
        (!rest.is_empty()).then(|| Self { rows: *rows, columns: rest.iter().product() })
    }

    /// The length of a step at this rate: a matrix with more rows than columns has a longer one, so that its outputs
    /// change as much as those of a square one.
    #[must_use]
    pub fn step(self, rate: f64) -> f64 {
        rate * (self.rows as f64 / self.columns.max(1) as f64).max(1.0).sqrt()
    }
}

/// Momentum of a matrix on slices.
#[derive(Clone, Debug)]
pub struct Momentum {
    sizes: Sizes,
    mean: Vec<f32>,
}

impl Momentum {
    /// Of an earlier run, or zeros: as many numbers as the matrix has, which is for the caller to know.
    #[must_use]
    pub fn of(sizes: Sizes, mean: Vec<f32>) -> Self {
        Self { sizes, mean }
    }

    /// The mean of the gradients for keeps.
    #[must_use]
    pub fn into_mean(self) -> Vec<f32> {
        self.mean
    }

    /// Updates the matrix with its gradient.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f64, factors: Factors) {
        let (keep, new) = (MOMENTUM as f32, (1.0 - MOMENTUM) as f32);
        // Nesterov's: the mean as it will be if the next gradient is this one.
        let ahead = self.mean.iter_mut().zip(gradient).map(|(m, g)| {
            *m += new * (g - *m);
            g + keep * (*m - g)
        });
        let ahead: Vec<f32> = ahead.collect();
        let length = self.sizes.step(rate) as f32;
        let step = orthogonal(ahead, self.sizes, factors);
        parameters.iter_mut().zip(&step).for_each(|(p, s)| *p -= length * s);
    }
}

/// Momentum of a matrix on a device.
#[derive(Clone, Debug)]
pub struct TensorMomentum {
    sizes: Sizes,
    mean: Tensor<1>,
}

impl TensorMomentum {
    /// Of an earlier run, or zeros.
    #[must_use]
    pub fn of(sizes: Sizes, mean: Tensor<1>) -> Self {
        Self { sizes, mean }
    }

    /// Rows and columns.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The mean of the gradients.
    #[must_use]
    pub fn mean(&self) -> &Tensor<1> {
        &self.mean
    }

    /// The mean of the gradients for keeps.
    #[must_use]
    pub fn into_mean(self) -> Tensor<1> {
        self.mean
    }

    /// The matrix after the update.
    #[must_use]
    pub fn step(&mut self, parameters: Tensor<1>, gradient: Tensor<1>, rate: f64) -> Tensor<1> {
        self.mean = self.mean.clone() * MOMENTUM + gradient.clone() * (1.0 - MOMENTUM);
        let ahead = gradient * (1.0 - MOMENTUM) + self.mean.clone() * MOMENTUM;
        let Sizes { rows, columns } = self.sizes;
        let step = orthogonal_tensor(ahead.reshape([rows, columns])).reshape([rows * columns]);
        parameters - step * self.sizes.step(rate)
    }
}

/// The orthogonal matrix nearest to this one, nearly: its singular vectors with singular values near 1. Rounding the
/// factors of its products moves those by less than the polynomial does: Jordan et al. compute all of it in bfloat16.
///
/// # Panics
/// When there are fewer numbers than the sizes say.
#[must_use]
pub fn orthogonal(matrix: Vec<f32>, sizes: Sizes, factors: Factors) -> Vec<f32> {
    let Sizes { rows, columns } = sizes;
    // The smaller of both products of a matrix with itself is that of the columns of a tall one.
    let wide = rows < columns;
    let (tall, width) = if wide { (columns, rows) } else { (rows, columns) };
    let mut x = if wide { turned(&matrix, rows, columns) } else { matrix };
    let norm = x.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
    let inverse = (1.0 / (norm + EPSILON)) as f32;
    x.iter_mut().for_each(|v| *v *= inverse);
    let [first, third, fifth] = COEFFICIENTS.map(|k| k as f32);
    let (mut gram, mut square) = (vec![0.0; width * width], vec![0.0; width * width]);
    let (mut next, mut half) = (vec![0.0; x.len()], Half::new(width));
    for _ in 0..ROUNDS {
        // X^T X, and X (k1 + k3 X^T X + k5 (X^T X)^2).
        match factors {
            Factors::Single => {
                symmetric(width, tall, &x, [1, width], &x, &mut gram);
                symmetric(width, width, &gram, [width, 1], &gram, &mut square);
            }
            Factors::Bfloat16 => {
                half.gram(&x, &mut gram);
                half.multiply(&gram, &gram, &mut square);
            }
        }
        square.iter_mut().zip(&gram).for_each(|(s, g)| *s = fifth * *s + third * g);
        square.iter_mut().step_by(width + 1).for_each(|s| *s += first);
        match factors {
            Factors::Single => multiply(Product {
                rows: tall,
                inner: width,
                columns: width,
                a: &x,
                a_steps: [width, 1],
                b: &square,
                b_step: width,
                c: &mut next,
                c_step: width,
                add: false,
            }),
            Factors::Bfloat16 => half.multiply(&x, &square, &mut next),
        }
        std::mem::swap(&mut x, &mut next);
    }
    if wide { turned(&x, columns, rows) } else { x }
}

/// Products with factors in bfloat16, as of pixels and kernels.
struct Half {
    width: usize,
    zeros: Vec<f32>,
    lines: Vec<Line>,
    room: bf16::Room,
}

impl Half {
    fn new(width: usize) -> Self {
        Self { width, zeros: vec![0.0; width], lines: Vec::new(), room: bf16::Room::default() }
    }

    /// The sizes of a product of a matrix of this width and a square one.
    fn round(&mut self, x: &[f32]) -> bf16::Sizes {
        let rows = x.len() / self.width;
        let sizes = bf16::Sizes::matrix(rows, self.width, self.width);
        self.lines.resize(sizes.grid().lines(self.width), Line::default());
        round(x, self.width, &sizes.grid(), [1, rows], 1, &mut self.lines);
        sizes
    }

    /// `found = x^T x`: the gradient of kernels for errors that are the pixels themselves.
    fn gram(&mut self, x: &[f32], found: &mut [f32]) {
        let sizes = self.round(x);
        bf16::convolve_back(&sizes, (&sizes.grid(), &self.lines), &[], x, &mut self.room, None, found);
    }

    /// `found = x square` of a symmetric matrix, which is its own kernels whichever way they lie.
    fn multiply(&mut self, x: &[f32], square: &[f32], found: &mut [f32]) {
        let (sizes, bias) = (self.round(x), &self.zeros[..]);
        let epilogue = Epilogue { bias, shifts: None, residual: None };
        bf16::convolve(&sizes, (&sizes.grid(), &self.lines), square, epilogue, &mut self.room, found);
    }
}

/// [`orthogonal`] on a device.
#[must_use]
pub fn orthogonal_tensor(matrix: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = matrix.dims();
    let wide = rows < columns;
    let x = if wide { matrix.transpose() } else { matrix };
    let norm = x.clone().square().sum().sqrt() + EPSILON;
    let mut x = x / norm.reshape([1, 1]);
    let [first, third, fifth] = COEFFICIENTS;
    for _ in 0..ROUNDS {
        let gram = x.clone().transpose().matmul(x.clone());
        let square = gram.clone().matmul(gram.clone()) * fifth + gram * third;
        x = x.clone() * first + x.matmul(square);
    }
    if wide { x.transpose() } else { x }
}

/// `c = a b` of which it is known that it is symmetric: what lies below its diagonal is the same as above.
fn symmetric(width: usize, inner: usize, a: &[f32], a_steps: [usize; 2], b: &[f32], c: &mut [f32]) {
    const ROWS: usize = 32;
    for row in (0..width).step_by(ROWS) {
        multiply(Product {
            rows: ROWS.min(width - row),
            inner,
            columns: width - row,
            a: &a[row * a_steps[0]..],
            a_steps,
            b: &b[row..],
            b_step: width,
            c: &mut c[row * width + row..],
            c_step: width,
            add: false,
        });
    }
    for row in 1..width {
        for column in 0..row / ROWS * ROWS {
            c[row * width + column] = c[column * width + row];
        }
    }
}

/// The transposed matrix, in squares that stay in the nearest cache.
fn turned(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const SIDE: usize = 16;
    let mut found = vec![0.0; rows * columns];
    for top in (0..rows).step_by(SIDE) {
        for left in (0..columns).step_by(SIDE) {
            for row in top..rows.min(top + SIDE) {
                for column in left..columns.min(left + SIDE) {
                    found[column * rows + row] = matrix[row * columns + column];
                }
            }
        }
    }
    found
}
