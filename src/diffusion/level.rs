//! Levels of noise, the states solvers move, and what a denoiser says about one.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Anything a solver can move: a number, a point, a batch of points, a tensor on a device.
///
/// `mean_norm` is the only operation that reads a value back; on a GPU it has to wait, so it is asynchronous, and with
/// it everything above. On the CPU nothing ever waits: see [`now`].
#[allow(async_fn_in_trait)]
pub trait State: Clone {
    /// `k * self`
    #[must_use]
    fn scale(self, k: f64) -> Self;
    /// `self + other`
    #[must_use]
    fn add(self, other: Self) -> Self;
    /// The Euclidean norm of a sample, averaged over the batch.
    async fn mean_norm(&self) -> f64;
    /// `self * exp(slope * exponent + shift)`, element by element: what a variance of its own for each makes of noise.
    #[must_use]
    fn times_exp(self, exponent: &Self, slope: f64, shift: f64) -> Self;

    /// `a * self + b * other`
    #[must_use]
    fn blend(self, a: f64, other: Self, b: f64) -> Self {
        self.scale(a).add(other.scale(b))
    }
}

impl State for f64 {
    fn scale(self, k: f64) -> Self {
        k * self
    }
    fn add(self, other: Self) -> Self {
        self + other
    }
    async fn mean_norm(&self) -> f64 {
        self.abs()
    }
    fn times_exp(self, exponent: &Self, slope: f64, shift: f64) -> Self {
        self * libm::exp(slope * exponent + shift)
    }
}

impl State for [f64; 2] {
    fn scale(self, k: f64) -> Self {
        [k * self[0], k * self[1]]
    }
    fn add(self, other: Self) -> Self {
        [self[0] + other[0], self[1] + other[1]]
    }
    async fn mean_norm(&self) -> f64 {
        libm::hypot(self[0], self[1])
    }
    fn times_exp(self, exponent: &Self, slope: f64, shift: f64) -> Self {
        [0, 1].map(|i| self[i].times_exp(&exponent[i], slope, shift))
    }
}

/// A batch of points in the plane.
impl State for Vec<[f64; 2]> {
    fn scale(mut self, k: f64) -> Self {
        for point in &mut self {
            *point = point.scale(k);
        }
        self
    }
    fn add(mut self, other: Self) -> Self {
        for (point, other) in self.iter_mut().zip(other) {
            *point = point.add(other);
        }
        self
    }
    fn blend(mut self, a: f64, other: Self, b: f64) -> Self {
        for (point, other) in self.iter_mut().zip(other) {
            *point = [a * point[0] + b * other[0], a * point[1] + b * other[1]];
        }
        self
    }
    async fn mean_norm(&self) -> f64 {
        let total: f64 = self.iter().map(|p| libm::hypot(p[0], p[1])).sum();
        total / self.len().max(1) as f64
    }
    fn times_exp(mut self, exponent: &Self, slope: f64, shift: f64) -> Self {
        for (point, exponent) in self.iter_mut().zip(exponent) {
            *point = point.times_exp(exponent, slope, shift);
        }
        self
    }
}

/// A level of noise: `x = alpha * data + sigma * noise` at time `t`, with `t = 0` data and `t = 1` noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Time, 0 for data and 1 for noise.
    pub t: f64,
    /// Scale of the data.
    pub alpha: f64,
    /// Standard deviation of the noise.
    pub sigma: f64,
}

impl Level {
    /// `alpha^2 / sigma^2`; infinite without noise.
    #[must_use]
    pub fn snr(self) -> f64 {
        (self.alpha / self.sigma).powi(2)
    }

    /// `sigma / alpha`: the noise of data of scale 1, as a VE process would have it at this level.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.sigma / self.alpha
    }

    /// `ln(snr)`: infinite at `sigma = 0`, minus infinity at `alpha = 0`.
    #[must_use]
    pub fn log_snr(self) -> f64 {
        2.0 * (libm::log(self.alpha) - libm::log(self.sigma))
    }

    /// `alpha * data + sigma * noise`
    #[must_use]
    pub fn mix<S: State>(self, data: S, noise: S) -> S {
        data.blend(self.alpha, noise, self.sigma)
    }
}

/// The forward process from a cleaner level to a noisier one with fresh unit noise `z`: RePaint's way back up (Lugmayr et
/// al. 2022, arXiv 2201.09865).
#[must_use]
pub fn renoise<S: State>(x: S, from: Level, to: Level, z: S) -> S {
    let keep = to.alpha / from.alpha;
    x.blend(keep, z, (to.sigma.powi(2) - (keep * from.sigma).powi(2)).max(0.0).sqrt())
}

/// What a denoiser believes about `x`: `x = alpha * data + sigma * noise` holds exactly for the pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate<S> {
    /// The expected clean sample, `E[data | x]`.
    pub data: S,
    /// The expected noise, `E[noise | x]`; the score is `-noise / sigma`.
    pub noise: S,
    /// Variance of a DDPM step, if the model learned one: -1 for the posterior's, 1 for the forward step's, in between by
    /// the logarithm, element by element (Nichol and Dhariwal 2021).
    pub variance: Option<S>,
}

impl<S> Estimate<S> {
    /// The estimate of a model that learned no variance.
    pub fn new(data: S, noise: S) -> Self {
        Self { data, noise, variance: None }
    }
}

/// An evaluation behind a pointer: every place that waits for one that is not would have its code anew.
pub type Evaluation<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + 'a>>;

/// Anything that estimates data and noise at a level: a network, a closed form, or a constraint around another denoiser.
#[allow(async_fn_in_trait)]
pub trait Denoiser<S> {
    /// Why there is no estimate: a lost device, an interruption. [`Infallible`] for closed forms.
    type Error;

    /// The estimate for `x` at `level`. One call is one network evaluation.
    ///
    /// # Errors
    /// When the evaluation was not made, or not to its end.
    async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, Self::Error>;
}

impl<S, F: FnMut(&S, Level) -> Estimate<S>> Denoiser<S> for F {
    type Error = Infallible;

    async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, Infallible> {
        Ok(self(x, level))
    }
}

/// The value of a computation that cannot fail, as with every closed form.
pub fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// The value of a future that never waits, as all arithmetic on the CPU.
///
/// # Panics
/// When the future does wait: then it belongs into the engine's executor instead.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a computation on the CPU waited for something"),
    }
}
