//! Batches of points of any dimension, as the core's solvers and likelihoods move them.

use std::future::Future;
use std::pin::Pin;

use crate::data::{Exact, ExactConstraint};
use crate::diffusion::constraint::{Constraint, Elementwise};
use crate::diffusion::likelihood::{Batched, JacobianProduct};
use crate::diffusion::{Denoiser, Estimate, Level, State, infallible};
use crate::study::context::StudyContext;
use crate::study::error::StudyError;

/// Rows of `dimension` numbers, one row a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Numbers in a row; not 0.
    pub dimension: usize,
    /// The numbers, row by row.
    pub values: Vec<f64>,
}

impl Rows {
    /// Rows of single-precision numbers.
    pub fn from_f32(dimension: usize, values: &[f32]) -> Self {
        Self { dimension, values: values.iter().map(|v| f64::from(*v)).collect() }
    }

    /// Points in the plane.
    pub fn from_points(points: &[[f64; 2]]) -> Self {
        Self { dimension: 2, values: points.as_flattened().to_vec() }
    }

    /// The rows in single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|v| *v as f32).collect()
    }

    /// The rows, of two numbers each, as points in the plane.
    pub fn points(&self) -> Vec<[f64; 2]> {
        self.values.as_chunks().0.to_vec()
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.values.len() / self.dimension
    }

    fn with(mut self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        self.values.iter_mut().zip(&other.values).for_each(|(a, b)| *a = f(*a, *b));
        self
    }
}

impl State for Rows {
    fn scale(mut self, k: f64) -> Self {
        self.values.iter_mut().for_each(|v| *v *= k);
        self
    }
    fn add(self, other: Self) -> Self {
        self.with(&other, |a, b| a + b)
    }
    fn blend(self, a: f64, other: Self, b: f64) -> Self {
        self.with(&other, |x, y| a * x + b * y)
    }
    async fn mean_norm(&self) -> f64 {
        let norms = self.values.chunks_exact(self.dimension).map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt());
        norms.sum::<f64>() / self.count().max(1) as f64
    }
    fn times_exp(self, exponent: &Self, slope: f64, shift: f64) -> Self {
        self.with(exponent, |v, e| v.times_exp(&e, slope, shift))
    }
}

impl Elementwise for Rows {
    fn times(self, other: &Self) -> Self {
        self.with(other, |a, b| a * b)
    }
}

impl Batched for Rows {
    async fn dots(&self, other: &Self) -> Vec<f64> {
        let pairs = self.values.chunks_exact(self.dimension).zip(other.values.chunks_exact(self.dimension));
        pairs.map(|(a, b)| a.iter().zip(b).map(|(x, y)| x * y).sum()).collect()
    }
    fn dimension(&self) -> usize {
        self.dimension
    }
}

/// A mixture's posterior means as a denoiser of rows of two numbers.
pub struct ExactRows<'a>(pub Exact<'a>);

impl Denoiser<Rows> for ExactRows<'_> {
    type Error = StudyError;

    async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
        let of: Estimate<Vec<[f64; 2]>> = infallible(self.0.estimate(&x.points(), level).await);
        Ok(Estimate::new(Rows::from_points(&of.data), Rows::from_points(&of.noise)))
    }
}

impl JacobianProduct<Rows> for ExactRows<'_> {
    type Error = StudyError;

    async fn estimate_with_product(
        &mut self,
        x: &Rows,
        level: Level,
        v: &Rows,
    ) -> Result<(Estimate<Rows>, Rows), StudyError> {
        let (of, product) = infallible(self.0.estimate_with_product(&x.points(), level, &v.points()).await);
        Ok((Estimate::new(Rows::from_points(&of.data), Rows::from_points(&of.noise)), Rows::from_points(&product)))
    }
}

/// The condition on points as one on rows of two numbers.
impl Constraint<Rows> for ExactConstraint {
    fn noise(&self) -> f64 {
        Constraint::<Vec<[f64; 2]>>::noise(self)
    }

    fn toward(&self, x: Rows, scale: f64, fresh: Option<(Rows, f64)>, share: f64) -> Rows {
        let fresh = fresh.map(|(z, std)| (z.points(), std));
        Rows::from_points(&Constraint::toward(self, x.points(), scale, fresh, share))
    }

    fn guide(&self, x: &Rows, estimate: Estimate<Rows>, level: Level) -> Estimate<Rows> {
        let Estimate { data, noise, variance } = estimate;
        let points = Estimate::new(data.points(), noise.points());
        let of = Constraint::guide(self, &x.points(), points, level);
        Estimate { variance, ..Estimate::new(Rows::from_points(&of.data), Rows::from_points(&of.noise)) }
    }
}

/// An estimate to wait for.
type Believed<'a> = Pin<Box<dyn Future<Output = Result<Estimate<Rows>, StudyError>> + 'a>>;

/// A denoiser of rows that can stand behind a pointer.
pub trait RowDenoiser {
    /// [`Denoiser::estimate`].
    fn believe<'a>(&'a mut self, x: &'a Rows, level: Level) -> Believed<'a>;
}

impl<M: Denoiser<Rows, Error = StudyError>> RowDenoiser for M {
    fn believe<'a>(&'a mut self, x: &'a Rows, level: Level) -> Believed<'a> {
        Box::pin(self.estimate(x, level))
    }
}

/// Any denoiser of rows as one type: every solver is compiled once for all studies, or each would pay for them in the worker's size.
pub struct AnyDenoiser<'a>(pub &'a mut dyn RowDenoiser);

impl Denoiser<Rows> for AnyDenoiser<'_> {
    type Error = StudyError;

    async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
        self.0.believe(x, level).await
    }
}

/// An estimate with a product to wait for.
type Multiplied<'a> = Pin<Box<dyn Future<Output = Result<(Estimate<Rows>, Rows), StudyError>> + 'a>>;

/// A denoiser of rows with products of its Jacobian that can stand behind a pointer.
pub trait RowProducts {
    /// [`JacobianProduct::estimate_with_product`].
    fn multiply<'a>(&'a mut self, x: &'a Rows, level: Level, v: &'a Rows) -> Multiplied<'a>;
}

impl<M: JacobianProduct<Rows, Error = StudyError>> RowProducts for M {
    fn multiply<'a>(&'a mut self, x: &'a Rows, level: Level, v: &'a Rows) -> Multiplied<'a> {
        Box::pin(self.estimate_with_product(x, level, v))
    }
}

/// Any of them as one type, for the same reason as [`AnyDenoiser`], with others' turns before every estimate.
pub struct AnyProducts<'a> {
    /// Where others have their turn.
    pub context: &'a StudyContext,
    /// The model.
    pub model: &'a mut dyn RowProducts,
}

impl JacobianProduct<Rows> for AnyProducts<'_> {
    type Error = StudyError;

    async fn estimate_with_product(
        &mut self,
        x: &Rows,
        level: Level,
        v: &Rows,
    ) -> Result<(Estimate<Rows>, Rows), StudyError> {
        self.context.yield_now().await;
        self.model.multiply(x, level, v).await
    }
}
