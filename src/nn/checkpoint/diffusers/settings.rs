//! What settings beside weights say, and why they cannot be obeyed.

use thiserror::Error;

use crate::nn::unet::{ConfigError, UNetConfig};

/// Name of the file of a network's settings.
pub const NETWORK_FILE: &str = "config.json";
/// Name of the file of a scheduler's settings.
pub const SCHEDULER_FILE: &str = "scheduler_config.json";

/// Why settings beside weights cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SettingsError {
    /// Not a JSON object.
    #[error("{file}: {why}")]
    Json {
        /// The file.
        file: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Another class than can be run.
    #[error("{file} describes a {found}; a {wanted} can be run here")]
    Class {
        /// The file.
        file: &'static str,
        /// The class.
        found: String,
        /// The classes that can be run.
        wanted: &'static str,
    },
    /// A setting that asks for what there is not.
    #[error("{file}: {field} is {found}, and can be {wanted} here")]
    Field {
        /// The file.
        file: &'static str,
        /// The setting.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it can be.
        wanted: String,
    },
    /// There is no network of this shape.
    #[error("config.json: {0}")]
    Config(#[from] ConfigError),
}

/// What settings say beyond the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Described<T> {
    /// The settings.
    pub of: T,
    /// Settings of the file that are not known here and were not obeyed.
    pub unread: Vec<String>,
}

/// A network, as `config.json` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its shape with its details.
    pub config: UNetConfig,
    /// Height and width of its images, if that is said.
    pub image_size: Option<u32>,
}
