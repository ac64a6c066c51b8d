//! Plots as geometry: scales, ticks, bins, colours. The page only draws what this computes.

pub mod chart;
pub mod colour;
pub mod curve;
pub mod gif;
pub mod label;
pub mod mosaic;
pub mod plane;
pub mod scale;
pub mod theme;

pub use chart::{LineChart, Series};
pub use colour::{Rgb, image, sequential};
pub use curve::{binned, path};
pub use label::number;
pub use plane::{Arrow, Projection, arrows};
pub use scale::{Scale, Tick};
