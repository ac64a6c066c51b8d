//! Images by a U-Net: the network as a denoiser, sampling, and the jobs around them.
//!
//! ```text
//! load -> ImageModel (weights and the conventions they were trained with)
//!   -> ImageDenoiser (every schedule, guidance, learned variance, memory)
//!   -> ImageRun (a sampler over Pictures) -> job (frames, progress), or `sample` without a page
//! Crew (other workers) -> lent (the network that they evaluate)
//! ```

pub mod benchmark;
pub mod crew;
mod denoiser;
mod error;
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
pub mod half;
pub mod job;
pub(in crate::engine) mod lent;
pub mod load;
mod model;
mod noise;
mod pictures;
mod run;
pub mod self_test;

pub use crew::{Asks, Crew};
pub use denoiser::{ImageDenoiser, Pace, Stopped, Watch};
pub use error::ImageError;
pub use model::{Conventions, ImageModel};
pub use noise::{starting_noise, step_noise};
pub use pictures::Pictures;
pub use run::{ImageRun, Outcome, sample};
