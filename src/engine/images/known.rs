//! What is known of the images before they are made, as a constraint.

use super::model::ImageModel;
use super::pictures::{Pictures, from_bytes, planes};
use crate::diffusion::constraint::{Constraint, Masked, scaled};
use crate::engine::error::ImageError;
use crate::lab::{MethodId, PIXELS, RunConfig, SIDE, TaskId};
use crate::nn::device::ComputeDevice;

/// The known part of an image: one image for all of a run.
#[derive(Debug)]
pub enum Known {
    /// Some pixels: inpainting.
    Pixels(Box<Masked<Pictures>>),
    /// The grey of every pixel, its coordinate along the first vector of score_sde's orthonormal basis of colours:
    /// colourisation.
    Grey {
        /// The image, of which only the grey counts.
        image: Box<Pictures>,
        /// Standard deviation of the noise of its pixels.
        noise: f64,
    },
}

impl Known {
    /// What a run knows; `None` when it makes images from nothing.
    ///
    /// # Errors
    /// An [`ImageError`] when the task needs an image that is not there or one of another size, or is to colour where the
    /// network knows no colours.
    pub fn from_config(
        config: &RunConfig,
        model: &ImageModel,
        compute: &ComputeDevice,
    ) -> Result<Option<Self>, ImageError> {
        if config.task == TaskId::Generate {
            return Ok(None);
        }
        let given = picture(config, model)?;
        let (device, channels) = (&compute.device, model.config().image_channels);
        let noise = if config.method == MethodId::Observe { config.observe_noise } else { 0.0 };
        let image = Pictures::new(from_bytes(&given), [1, channels, SIDE, SIDE], device);
        if config.task == TaskId::Colourise {
            if channels == 1 {
                return Err(ImageError::Side { side: model.side, channels });
            }
            return Ok(Some(Self::Grey { image: Box::new(image), noise }));
        }
        let plane: Vec<f32> = config.picture.known().iter().map(|known| if *known { 1.0 } else { 0.0 }).collect();
        let mask = Pictures::new(plane.repeat(channels), [1, channels, SIDE, SIDE], device);
        Ok(Some(Self::Pixels(Box::new(Masked { known: image, mask, noise }))))
    }
}

/// The picture of a configuration as bytes of the network's channels: `[channels, SIDE, SIDE]`.
///
/// # Errors
/// An [`ImageError`] when there is none, or the network's images are of another size.
pub fn picture(config: &RunConfig, model: &ImageModel) -> Result<Vec<u8>, ImageError> {
    if config.picture.is_empty() {
        return Err(ImageError::NoPicture);
    }
    match (model.side, model.config().image_channels) {
        (SIDE, channels @ (1 | 3)) => Ok(planes(config.picture.colours(), channels)),
        (side, channels) => Err(ImageError::Side { side, channels }),
    }
}

/// How many numbers of an image with so many channels a run observes: the rank of its constraint.
pub fn observed_numbers(config: &RunConfig, channels: usize) -> usize {
    match config.task {
        TaskId::Generate => 0,
        TaskId::Inpaint => channels * config.picture.known().iter().filter(|known| **known).count(),
        TaskId::Colourise => PIXELS,
    }
}

impl Constraint<Pictures> for Known {
    fn noise(&self) -> f64 {
        match self {
            Self::Pixels(known) => known.noise,
            Self::Grey { noise, .. } => *noise,
        }
    }

    fn toward(&self, x: Pictures, scale: f64, fresh: Option<(Pictures, f64)>, share: f64) -> Pictures {
        match self {
            Self::Pixels(known) => known.toward(x, scale, fresh, share),
            Self::Grey { image, .. } => x.toward_grey(&scaled(&**image, scale, fresh), share),
        }
    }
}
