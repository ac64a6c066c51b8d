//! Errors of a study.

use thiserror::Error;

use crate::nn::device::DeviceError;

/// Why a study ended without its result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StudyError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A file that it needs cannot be had.
    #[error("{0}")]
    Unreachable(String),
    /// A file that it needs is not what it should be.
    #[error("{0} is not what it should be")]
    File(&'static str),
}
