//! Data: distributions in the plane with exact density and score, and the numbers that compare samples with them.

pub mod metrics;
pub mod mixture;
pub mod toy;

pub use mixture::Mixture;
pub use toy::Dataset;
