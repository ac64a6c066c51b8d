//! The device of a run.

use serde::{Deserialize, Serialize};

/// What a worker computes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Whether it is a GPU.
    pub gpu: bool,
    /// What the adapter calls itself, or the CPU kernels in use.
    pub name: String,
    /// Whether the adapter is a software renderer.
    pub software: bool,
}
