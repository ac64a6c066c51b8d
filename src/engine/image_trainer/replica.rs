//! One of the devices that share a batch.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::Device;

use super::{ImageBatch, Recipe};
use crate::nn::device::ComputeDevice;
use crate::nn::unet::{ConfigError, UNet};

/// What a device did of a run, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Images; none of a device that is only told what to do, and whose time is therefore not known.
    pub images: f64,
    /// Seconds for them.
    pub seconds: f64,
    /// How many of these it was only waited for.
    pub waited: f64,
}

impl Pace {
    /// Images a second, if they are known.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.images / self.seconds)
    }
}

/// A device with the shape of the network.
pub struct Replica {
    /// On the device with automatic differentiation.
    pub skeleton: UNet,
    /// The same without, where derivatives are written out: never on another machine's.
    pub plain: Option<UNet>,
    /// Burn's handle.
    pub device: Device,
    /// Its name.
    pub name: String,
    /// Whether it is only told what to do.
    pub gpu: bool,
    /// Another machine's.
    pub remote: bool,
    /// Since this was last asked.
    pace: Mutex<Pace>,
}

impl Replica {
    /// Of this device, for the network of a recipe.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such network.
    pub fn new(recipe: &Recipe, compute: &ComputeDevice) -> Result<Self, ConfigError> {
        let device = compute.device.clone();
        let plain = if compute.remote { None } else { Some(recipe.network.init(recipe.seed, &device)?) };
        Ok(Self {
            skeleton: recipe.network.init(recipe.seed, &device.clone().autodiff())?,
            plain: plain.filter(UNet::is_traceable),
            name: compute.info.name.clone(),
            gpu: compute.info.gpu,
            remote: compute.remote,
            pace: Mutex::default(),
            device,
        })
    }

    /// Remembers that these pieces were begun then and are done, after so many seconds of waiting.
    pub fn took(&self, pieces: &[ImageBatch], begin: Instant, waited: f64) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.images += pieces.iter().map(ImageBatch::count).sum::<usize>() as f64;
        pace.seconds += begin.elapsed().as_secs_f64();
        pace.waited += waited;
    }

    /// What was remembered since the last call.
    pub fn take_pace(&mut self) -> Pace {
        std::mem::take(self.pace.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}
