//! What is known of the images before they are made, as a constraint.

use super::model::ImageModel;
use super::pictures::{Pictures, from_bytes};
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
    /// An [`ImageError`] when the task needs an image that is not there, or one of another size.
    pub fn from_config(
        config: &RunConfig,
        model: &ImageModel,
        compute: &ComputeDevice,
    ) -> Result<Option<Self>, ImageError> {
        if config.task == TaskId::Generate {
            return Ok(None);
        }
        if config.picture.is_empty() {
            return Err(ImageError::NoPicture);
        }
        let channels = model.config().image_channels;
        if (model.side, channels) != (SIDE, 3) {
            return Err(ImageError::Side { side: model.side, channels });
        }
        let device = &compute.device;
        let noise = if config.method == MethodId::Observe { config.observe_noise } else { 0.0 };
        let image = Pictures::new(from_bytes(config.picture.colours()), [1, 3, SIDE, SIDE], device);
        if config.task == TaskId::Colourise {
            return Ok(Some(Self::Grey { image: Box::new(image), noise }));
        }
        let plane: Vec<f32> = config.picture.known().iter().map(|known| if *known { 1.0 } else { 0.0 }).collect();
        let mask = Pictures::new(plane.repeat(3), [1, 3, SIDE, SIDE], device);
        Ok(Some(Self::Pixels(Box::new(Masked { known: image, mask, noise }))))
    }
}

/// How many numbers of an image a run observes: the rank of its constraint.
pub fn observed_numbers(config: &RunConfig) -> usize {
    match config.task {
        TaskId::Generate => 0,
        TaskId::Inpaint => 3 * config.picture.known().iter().filter(|known| **known).count(),
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
