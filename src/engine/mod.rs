//! Placeholder until the engine is there.

pub mod actor;
pub mod device;
