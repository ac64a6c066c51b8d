//! Networks on Burn tensors, their weights and files of weights.

pub mod adam;
pub mod adversarial;
pub mod architecture;
pub mod array;
pub mod autoencoder;
pub mod checkpoint;
pub mod classifier;
pub mod coding;
pub mod cpu;
pub mod device;
pub mod elementwise;
pub mod features;
#[cfg(feature = "cli")]
pub mod inception;
pub mod layers;
pub mod mlp;
pub mod moments;
#[cfg(feature = "cli")]
pub mod muon;
pub mod objective;
pub mod preconditioning;
mod product;
#[cfg(feature = "cli")]
pub mod remote;
pub mod resampling;
pub mod score;
#[cfg(feature = "gpu")]
pub mod shader;
#[cfg(feature = "cli")]
pub mod tape;
pub mod training;
pub mod unet;
pub mod variance;
pub mod weights;

pub use architecture::Architecture;
pub use objective::Objective;
pub use weights::{WeightsError, WeightsFile};
