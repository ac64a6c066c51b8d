//! Schedules, predictions, solvers, objectives, likelihood and control: the mathematics, in `f64`, proved by tests.

pub mod level;

pub use level::{Denoiser, Estimate, Level, State, now};
