//! Images by a U-Net: the network as a denoiser, sampling, and the jobs around them.
//!
//! ```text
//! load -> ImageModel (weights and the convention they were trained with)
//!   -> ImageDenoiser (every schedule, guidance, learned variance, memory)
//!   -> ImageRun (a sampler over Pictures under what is known) -> job (progress), or `sample` without a page
//! likelihood (the denoiser with products of its Jacobian) -> likelihood_job
//! pool (other workers) -> remote_model (the network that they evaluate)
//! ```

pub mod benchmark;
#[cfg(feature = "cli")]
mod bound;
mod denoiser;
#[cfg(feature = "models")]
pub mod desk;
mod estimate;
pub mod fetch;
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
pub mod half;
mod hub;
pub mod job;
mod known;
#[cfg(feature = "models")]
pub mod likelihood;
#[cfg(feature = "models")]
mod likelihood_job;
pub mod load;
mod model;
mod noise;
mod pictures;
pub mod pool;
mod refusal;
#[cfg(feature = "models")]
pub(in crate::engine) mod remote_model;
mod reporter;
mod run;
pub mod self_test;

pub use super::error::ImageError;
pub use super::sample::Outcome;
pub use denoiser::{BatchPolicy, ImageDenoiser, ProgressListener};
pub use model::ImageModel;
pub use noise::{starting_noise, step_noise};
pub use pictures::Pictures;
pub use pool::{EvaluationBatch, WorkerPool};
pub use run::{ImageRun, sample, sample_part};
