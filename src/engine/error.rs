//! What can go wrong in the engine, and what the page is told of it.

mod images;

use thiserror::Error;

use crate::data::toy::DataError;
use crate::nn::WeightsError;
use crate::nn::device::DeviceError;
use crate::protocol::{Failure, FailureKind};
use crate::study::StudyError;

pub use images::ImageError;

/// Why a job ended without its result.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A file of weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// There is nothing to train on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss is no longer finite.
    #[error("the loss is not finite after step {step}; the weights of step {kept} are kept")]
    Diverged {
        /// Training steps done.
        step: u32,
        /// Training steps behind the weights that stay.
        kept: u32,
    },
    /// The samples are no longer finite.
    #[error("the samples are not finite after step {step}")]
    SamplesDiverged {
        /// Solver steps done.
        step: u32,
    },
    /// The configuration is not one of a study.
    #[error("this configuration is no study's")]
    NoStudy,
    /// Another program of the project does that.
    #[error("this program was built without what it was asked for")]
    NotBuilt,
    /// A study.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// Images.
    #[error(transparent)]
    Images(#[from] ImageError),
    /// There are no weights to sample with.
    #[error("no network has been trained or loaded yet")]
    Untrained,
}

/// Why an evaluation was not made, or not to its end: the error of the engine's denoisers.
#[derive(Debug)]
pub enum Stopped {
    /// A command or a listener ended it.
    Interrupted,
    /// It could not be made. Boxed, because every step of every solver hands it on.
    Failed(Box<EngineError>),
}

impl Stopped {
    /// The value of a computation, or `None` where it was interrupted.
    ///
    /// # Errors
    /// What made it fail.
    pub fn unless_interrupted<T>(result: Result<T, Self>) -> Result<Option<T>, EngineError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Self::Interrupted) => Ok(None),
            Err(Self::Failed(error)) => Err(*error),
        }
    }
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<DeviceError> for Stopped {
    fn from(error: DeviceError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<ImageError> for Stopped {
    fn from(error: ImageError) -> Self {
        EngineError::from(error).into()
    }
}

/// What a panic said, as the last words of an engine. A GPU out of memory tells Burn, and Burn gives up.
#[must_use]
pub fn last_words(detail: String) -> Failure {
    let words = detail.to_lowercase();
    let short = words.contains("out of memory") || words.contains("memory allocation");
    Failure { kind: if short { FailureKind::OutOfMemory } else { FailureKind::Internal }, detail }
}

impl From<&EngineError> for Failure {
    fn from(error: &EngineError) -> Self {
        let kind = match error {
            EngineError::Device(error) | EngineError::Study(StudyError::Device(error)) => Self::from(error).kind,
            EngineError::Weights(_) | EngineError::Study(StudyError::File(_)) => FailureKind::BadFile,
            EngineError::Study(StudyError::Unreachable(_)) => FailureKind::Unreachable,
            EngineError::Data(_) | EngineError::NoStudy | EngineError::NotBuilt => FailureKind::BadConfig,
            EngineError::Diverged { .. } | EngineError::SamplesDiverged { .. } => FailureKind::Diverged,
            EngineError::Images(error) => error.kind(),
            EngineError::Untrained => FailureKind::Untrained,
        };
        Failure { kind, detail: error.to_string() }
    }
}

impl From<&DeviceError> for Failure {
    fn from(error: &DeviceError) -> Self {
        let kind = match error {
            DeviceError::Lost(_) | DeviceError::Reported(_) => FailureKind::DeviceLost,
            _ => FailureKind::NoDevice,
        };
        Self { kind, detail: error.to_string() }
    }
}

/// What a panic said.
#[must_use]
pub fn panic_words(fault: &(dyn std::any::Any + Send)) -> String {
    let text = fault.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| fault.downcast_ref::<String>().cloned()).unwrap_or_default()
}
