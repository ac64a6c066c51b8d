//! Data: distributions in the plane with exact density and score, and the numbers that compare samples with them.

pub mod condition;
pub mod digits;
pub mod drawing;
pub mod gaussians;
pub mod grid;
pub mod image_set;
pub mod marginal;
pub mod metrics;
pub mod mixture;
pub mod toy;

pub use condition::{Condition, ExactConstraint};
pub use drawing::Drawing;
pub use gaussians::{Gaussian, Gaussians};
pub use grid::SquareGrid;
pub use image_set::{ImageSet, ImageSetError};
pub use marginal::{Exact, Marginal};
pub use mixture::Mixture;
pub use toy::{DataError, Dataset, DatasetId};
