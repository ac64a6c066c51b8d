//! Denoisers over batches of points: the trained network, the closed form, and either of them interruptible.

use super::error::Stopped;
use super::inbox::{Inbox, Port};
use super::network::Evaluator;
use crate::data::Dataset;
use crate::data::marginal::Exact;
use crate::diffusion::likelihood::JacobianProduct;
use crate::diffusion::prediction::canonical;
use crate::diffusion::{Denoiser, Estimate, Level, Prediction};
use crate::nn::device::{ComputeDevice, DeviceError};
use crate::nn::{Architecture, WeightsFile, features};

/// Points of the closed form evaluated at once.
const EXACT_CHUNK: usize = 128;

/// Points in the model's coordinates.
pub type Points = Vec<[f64; 2]>;

/// The denoiser that a network has learned. It sees every level in its canonical view, so that it serves schedules
/// other than the one it was trained with.
pub struct Learned {
    evaluator: Evaluator,
    prediction: Prediction,
}

impl Learned {
    /// The denoiser with these weights.
    #[must_use]
    pub fn new(weights: &WeightsFile, compute: &ComputeDevice) -> Self {
        let evaluator = Evaluator::new(Architecture::from(&weights.config), &weights.parameters, compute);
        Self { evaluator, prediction: weights.config.prediction.into() }
    }

    /// How many points to ask about at once.
    #[must_use]
    pub fn chunk(&self) -> usize {
        self.evaluator.chunk()
    }

    /// The estimates for a few points.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn estimates(&self, x: &[[f64; 2]], level: Level) -> Result<Estimate<Points>, DeviceError> {
        let outputs = self.evaluator.evaluate(features::rows(x, level)).await?;
        Ok(self.read(x, &outputs, level))
    }
}

impl Learned {
    /// The estimates, and the Jacobian of the noise estimate times `v`, for a few points.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn products(
        &self,
        x: &[[f64; 2]],
        level: Level,
        v: &[[f64; 2]],
    ) -> Result<(Estimate<Points>, Points), DeviceError> {
        let (rows, tangents) = (features::rows(x, level), features::tangents(x, v, level));
        let (outputs, changes) = self.evaluator.evaluate_with_tangent(rows, tangents).await?;
        let (view, scale) = canonical(level);
        let unit = self.prediction.output_scale(view);
        let (_, to_noise) = self.prediction.split(view);
        let change = |(v, change): (&[f64; 2], &[f32])| {
            to_noise.of([scale * v[0], scale * v[1]], [unit * f64::from(change[0]), unit * f64::from(change[1])])
        };
        let products = v.iter().zip(changes.chunks_exact(2)).map(change).collect();
        Ok((self.read(x, &outputs, level), products))
    }

    /// What the network's outputs say about data and noise.
    fn read(&self, x: &[[f64; 2]], outputs: &[f32], level: Level) -> Estimate<Points> {
        let (view, scale) = canonical(level);
        let (to_data, to_noise) = self.prediction.split(view);
        let unit = self.prediction.output_scale(view);
        let (mut data, mut noise) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len()));
        for (x, output) in x.iter().zip(outputs.chunks_exact(2)) {
            let x = [scale * x[0], scale * x[1]];
            let output = [unit * f64::from(output[0]), unit * f64::from(output[1])];
            data.push(to_data.of(x, output));
            noise.push(to_noise.of(x, output));
        }
        Estimate::new(data, noise)
    }
}

/// Source of estimates: the model that a run asks.
pub enum Source<'a> {
    /// A network.
    Learned(Box<Learned>),
    /// The closed form.
    Exact(Exact<'a>),
}

impl<'a> Source<'a> {
    /// The closed form of a data set.
    #[must_use]
    pub fn exact(dataset: &'a Dataset) -> Self {
        Self::Exact(Exact::new(&dataset.standard))
    }

    fn chunk(&self) -> usize {
        match self {
            Self::Learned(learned) => learned.chunk(),
            Self::Exact(_) => EXACT_CHUNK,
        }
    }

    async fn products(
        &mut self,
        x: &[[f64; 2]],
        level: Level,
        v: &[[f64; 2]],
    ) -> Result<(Estimate<Points>, Points), DeviceError> {
        match self {
            Self::Learned(learned) => learned.products(x, level, v).await,
            Self::Exact(exact) => {
                let marginal = exact.at(level);
                let products = x.iter().zip(v).map(|(&x, &v)| marginal.noise_product(x, v)).collect();
                Ok((marginal.estimates(x), products))
            }
        }
    }

    async fn estimates(&mut self, x: &[[f64; 2]], level: Level) -> Result<Estimate<Points>, DeviceError> {
        match self {
            Self::Learned(learned) => learned.estimates(x, level).await,
            Self::Exact(exact) => Ok(exact.at(level).estimates(x)),
        }
    }
}

/// A denoiser that looks at the port between chunks of points, so that a step of any size can be interrupted.
pub struct Interruptible<'a, 's, 'p, P: Port> {
    source: &'a mut Source<'s>,
    inbox: &'a mut Inbox<'p, P>,
}

impl<'a, 's, 'p, P: Port> Interruptible<'a, 's, 'p, P> {
    /// `source`, which answers until a command that ends the run arrives.
    pub fn new(source: &'a mut Source<'s>, inbox: &'a mut Inbox<'p, P>) -> Self {
        Self { source, inbox }
    }

    /// Lets the outside run between two chunks.
    async fn look_up(&mut self) -> Result<(), Stopped> {
        self.inbox.breathe().await;
        if self.inbox.interrupted() { Err(Stopped::Interrupted) } else { Ok(()) }
    }
}

impl<P: Port> Denoiser<Points> for Interruptible<'_, '_, '_, P> {
    type Error = Stopped;

    async fn estimate(&mut self, x: &Points, level: Level) -> Result<Estimate<Points>, Stopped> {
        let (mut data, mut noise) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len()));
        for chunk in x.chunks(self.source.chunk()) {
            self.look_up().await?;
            let estimate = self.source.estimates(chunk, level).await?;
            data.extend(estimate.data);
            noise.extend(estimate.noise);
        }
        Ok(Estimate::new(data, noise))
    }
}

impl<P: Port> JacobianProduct<Points> for Interruptible<'_, '_, '_, P> {
    type Error = Stopped;

    async fn estimate_with_product(
        &mut self,
        x: &Points,
        level: Level,
        v: &Points,
    ) -> Result<(Estimate<Points>, Points), Stopped> {
        let (mut data, mut noise) = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len()));
        let mut product = Vec::with_capacity(x.len());
        let chunk = self.source.chunk();
        for (x, v) in x.chunks(chunk).zip(v.chunks(chunk)) {
            self.look_up().await?;
            let (estimate, products) = self.source.products(x, level, v).await?;
            data.extend(estimate.data);
            noise.extend(estimate.noise);
            product.extend(products);
        }
        Ok((Estimate::new(data, noise), product))
    }
}
