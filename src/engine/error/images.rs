//! What can go wrong with images.

use thiserror::Error;

use crate::lab::ClassError;
use crate::nn::checkpoint::{CheckpointError, ManifestError};
use crate::protocol::FailureKind;

/// Why there are no images.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ImageError {
    /// The weights that the configuration names are not at hand.
    #[error("the weights {wanted:?} are not at hand{held}")]
    NoWeights {
        /// What was asked for.
        wanted: String,
        /// What is there instead, with its own words before it.
        held: String,
    },
    /// The task needs an image that the configuration does not have.
    #[error("there is no image to complete or to colour")]
    NoPicture,
    /// The image does not fit the network.
    #[error(
        "the network makes images of {side} by {side} pixels and {channels} channels; what is completed has 32 by 32 and 1 or 3, what is coloured 3"
    )]
    Side {
        /// Height and width.
        side: usize,
        /// Channels.
        channels: usize,
    },
    /// Not even one image can be evaluated.
    #[error("an evaluation of one image needs about {megabytes} MB, and there is no room for it")]
    OutOfMemory {
        /// About how much.
        megabytes: u64,
    },
    /// The weights cannot draw the class.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// A file of weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A manifest of weights, or a file that is not what it says.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A fault of the program.
    #[error("{0}")]
    Internal(String),
}

impl ImageError {
    /// What the page is told.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NoWeights { .. } => FailureKind::Untrained,
            Self::NoPicture | Self::Side { .. } => FailureKind::BadConfig,
            Self::Class(_) => FailureKind::NoClass,
            Self::OutOfMemory { .. } => FailureKind::OutOfMemory,
            Self::Checkpoint(_) | Self::Manifest(_) => FailureKind::BadFile,
            Self::Internal(_) => FailureKind::Internal,
        }
    }
}
