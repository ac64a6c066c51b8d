//! Networks on Burn tensors, their weights and files of weights.

pub mod adam;
pub mod checkpoint;
pub mod cpu;
pub mod device;
pub mod elementwise;
pub mod features;
#[cfg(feature = "cli")]
pub mod inception;
pub mod kernels;
pub mod matrix;
pub mod mlp;
#[cfg(feature = "cli")]
pub mod muon;
pub mod objective;
pub mod score;
#[cfg(feature = "gpu")]
pub mod shader;
pub mod tangent;
#[cfg(feature = "cli")]
pub mod tape;
pub mod unet;
pub mod weights;

pub use mlp::{Architecture, Mlp};
pub use objective::{Convention, Objective};
pub use weights::{WeightsError, WeightsFile};
