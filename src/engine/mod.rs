//! Placeholder until the engine is there.

pub mod actor;
pub mod device;

pub use actor::{Port, serve};
pub use device::open;
