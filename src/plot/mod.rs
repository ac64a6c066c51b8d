//! Plots as geometry: figures, scales, ticks, colours, and their numbers as tables. The page only draws what this
//! computes.

pub mod colour;
pub mod curve;
pub mod figure;
pub mod gif;
pub mod label;
pub mod mosaic;
pub mod plane;
pub mod scale;
pub mod svg;
pub mod theme;
pub mod values;

pub use colour::{Rgb, image, sequential};
pub use figure::{Axis, Chart, Layer, Layout, Mark};
pub use label::number;
pub use plane::{Arrow, Projection, arrows};
pub use scale::{Scale, Tick};
