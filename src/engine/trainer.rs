//! Training, a step at a time.

use super::batch::{Batch, Batches};
use super::network::{Network, TrainerState};
use crate::data::{Dataset, toy::DataError};
use crate::lab::RunConfig;
use crate::nn::adam::Update;
use crate::nn::device::{ComputeDevice, DeviceError};
use crate::nn::{Architecture, WeightsFile};

/// Steps over which the learning rate rises, as a share of all.
const WARM_UP: f64 = 0.02;
/// Learning rate at the end, as a share of the configured one.
const LAST_RATE: f64 = 0.01;

/// A training run.
pub struct Trainer {
    config: RunConfig,
    batches: Batches,
    network: Network,
    /// The batch of the step in progress.
    batch: Option<Batch>,
    first: u32,
    step: u32,
}

impl Trainer {
    /// A run from new weights.
    ///
    /// # Errors
    /// When the configuration has no data to train on.
    pub fn new(config: RunConfig, compute: &ComputeDevice) -> Result<Self, DataError> {
        let parameters = Architecture::from(&config).initial(config.seed);
        Self::start(config, &parameters, 0, compute)
    }

    /// A run that goes on from weights of the same architecture; Adam's moments start anew.
    ///
    /// # Errors
    /// When the configuration has no data to train on.
    pub fn resume(mut config: RunConfig, weights: &WeightsFile, compute: &ComputeDevice) -> Result<Self, DataError> {
        // The network is what the file says it is; the rest of the run may differ.
        config.width = weights.config.width;
        config.depth = weights.config.depth;
        config.activation = weights.config.activation;
        config.prediction = weights.config.prediction;
        Self::start(config, &weights.parameters, weights.step, compute)
    }

    fn start(config: RunConfig, parameters: &[f32], step: u32, compute: &ComputeDevice) -> Result<Self, DataError> {
        let batches = Batches::new(&config)?;
        let network = Network::new(Architecture::from(&config), parameters, compute);
        Ok(Self { config, batches, network, batch: None, first: step, step })
    }

    /// A run that goes on where another was when it gave these numbers, after `step` steps, `first` of which it began
    /// from: Adam's moments and all.
    ///
    /// # Errors
    /// When the configuration has no data to train on.
    pub fn restore(
        config: RunConfig,
        numbers: TrainerState,
        [first, step]: [u32; 2],
        compute: &ComputeDevice,
    ) -> Result<Self, DataError> {
        let batches = Batches::new(&config)?;
        let network = Network::of(Architecture::from(&config), numbers, compute);
        Ok(Self { config, batches, network, batch: None, first, step })
    }

    /// What [`Self::restore`] goes on from: all numbers, the step that the run began from, and the steps done. Only
    /// between two steps.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn state(&self) -> Result<(TrainerState, [u32; 2]), DeviceError> {
        Ok((self.network.numbers().await?, [self.first, self.step]))
    }

    /// Gives the run another number of steps in all.
    pub fn set_steps(&mut self, steps: u32) {
        self.config.training_steps = steps;
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The data.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        self.batches.dataset()
    }

    /// Steps done.
    #[must_use]
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Whether all steps are done.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.step >= self.config.training_steps
    }

    /// One step. Its loss comes with [`Self::take_losses`].
    pub fn advance(&mut self) {
        while !self.advance_a_part() {}
    }

    /// A part of a step, short enough to be reachable between two of them; says whether the step is complete.
    pub fn advance_a_part(&mut self) -> bool {
        let batch = self.batch.get_or_insert_with(|| self.batches.batch(self.step));
        let update = Update::new(self.step + 1 - self.first, rate(&self.config, self.step), self.config.ema);
        let complete = self.network.part(batch, update);
        if complete {
            self.batch = None;
            self.step += 1;
        }
        complete
    }

    /// The losses since the last call, one a step.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn take_losses(&mut self) -> Result<Vec<f32>, DeviceError> {
        self.network.take_losses().await
    }

    /// The weights so far, averaged.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] when the device no longer answers.
    pub async fn weights(&self) -> Result<WeightsFile, DeviceError> {
        let parameters = self.network.average().await?;
        Ok(WeightsFile { config: self.config.clone(), step: self.step, parameters })
    }
}

/// The learning rate of a step: a short rise, then half a cosine down.
fn rate(config: &RunConfig, step: u32) -> f64 {
    let all = f64::from(config.training_steps.max(1));
    let done = f64::from(step);
    let rise = ((done + 1.0) / (WARM_UP * all).max(1.0)).min(1.0);
    let fall = 0.5 * (1.0 + libm::cos(core::f64::consts::PI * (done / all).min(1.0)));
    config.rate * rise * (LAST_RATE + (1.0 - LAST_RATE) * fall)
}
