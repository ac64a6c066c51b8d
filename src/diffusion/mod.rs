//! Schedules, predictions, solvers, objectives, likelihood and control: the mathematics, in `f64`, proved by tests.

pub mod blocks;
pub mod constraint;
pub mod convention;
pub mod grid_search;
pub mod langevin;
pub mod level;
pub mod likelihood;
pub mod linear;
pub mod objective;
pub mod prediction;
pub mod schedule;
pub mod solver;

pub use convention::Convention;
pub use level::{Denoiser, Estimate, Evaluation, Level, State, infallible, now};
pub use objective::Weighting;
pub use prediction::Prediction;
pub use schedule::{Schedule, Spacing};
pub use solver::{NoiseUse, Sampler, Solver, StepReport};
