//! Schedules, predictions, solvers, objectives, likelihood and control: the mathematics, in `f64`, proved by tests.

pub mod langevin;
pub mod level;
pub mod prediction;
pub mod schedule;
pub mod solver;

pub use level::{Denoiser, Estimate, Level, State, now};
pub use prediction::Prediction;
pub use schedule::{Schedule, Spacing};
pub use solver::{NoiseUse, Sampler, Solver, StepReport};
