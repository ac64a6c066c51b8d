//! Colours of the picture, on a light and on a dark page. `tests/pure/contrast.rs` checks that what has to be seen can be.

/// Colours of the picture, as CSS writes them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Palette {
    /// The background.
    pub ground: &'static str,
    /// Points of the data.
    pub data: &'static str,
    /// Samples.
    pub sample: &'static str,
    /// Ways that samples took: thin lines, many over each other.
    pub way: &'static str,
    /// Arrows of the score.
    pub arrow: &'static str,
    /// Where the density is zero: the background.
    pub low: [f64; 3],
    /// Where the density is largest.
    pub high: [f64; 3],
}

/// On a light page.
pub const LIGHT: Palette = Palette {
    ground: "#fbfaf7",
    data: "rgba(46, 72, 120, 0.62)",
    sample: "rgba(206, 74, 34, 0.80)",
    way: "rgba(206, 74, 34, 0.28)",
    arrow: "rgba(24, 44, 82, 0.72)",
    low: [251.0, 250.0, 247.0],
    high: [164.0, 194.0, 230.0],
};

/// On a dark page.
pub const DARK: Palette = Palette {
    ground: "#12151c",
    data: "rgba(150, 180, 230, 0.58)",
    sample: "rgba(255, 158, 92, 0.82)",
    way: "rgba(255, 158, 92, 0.26)",
    arrow: "rgba(216, 228, 250, 0.72)",
    low: [18.0, 21.0, 28.0],
    high: [44.0, 80.0, 132.0],
};
