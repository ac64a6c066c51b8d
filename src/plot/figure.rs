//! Figures: axes, layers of marks, and where they lie on a canvas.

use serde::Serialize;

use super::colour::{Rgb, SERIES};
use super::scale::Scale;
use crate::lasting::Reader;

/// An axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Axis {
    /// Key of its title; without one there is neither title nor number, for pictures.
    pub key: &'static str,
    /// Its ends; without them as far as the numbers go.
    pub range: Option<[f64; 2]>,
    /// Whether it is logarithmic.
    pub log: bool,
    /// Keys of names instead of numbers at 0, 1, 2 and so on.
    pub names: &'static [&'static str],
}

impl Axis {
    /// An even axis as long as the numbers need it.
    #[must_use]
    pub const fn free(key: &'static str) -> Self {
        Self { key, range: None, log: false, names: &[] }
    }

    /// A logarithmic axis as long as the numbers need it.
    #[must_use]
    pub const fn log(key: &'static str) -> Self {
        Self { key, range: None, log: true, names: &[] }
    }

    /// An even axis between two ends.
    #[must_use]
    pub const fn fixed(key: &'static str, from: f64, to: f64) -> Self {
        Self { key, range: Some([from, to]), log: false, names: &[] }
    }

    /// A logarithmic axis between two ends.
    #[must_use]
    pub const fn log_fixed(key: &'static str, from: f64, to: f64) -> Self {
        Self { key, range: Some([from, to]), log: true, names: &[] }
    }

    /// An axis of names.
    #[must_use]
    pub const fn of(key: &'static str, names: &'static [&'static str]) -> Self {
        Self { key, range: Some([-0.5, names.len() as f64 - 0.5]), log: false, names }
    }

    /// The axis in a table, as serde writes it.
    #[must_use]
    pub fn from_table(from: &mut Reader) -> Self {
        let (key, range) = (from.text(), from.option(|from| [from.real(), from.real()]));
        Self { key, range, log: from.byte() == 1, names: from.slice(Reader::text) }
    }
}

/// One thing drawn in a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Key of its name in the legend.
    pub key: &'static str,
    /// How it is drawn, and what its numbers mean.
    pub mark: Mark,
    /// Its colour among [`SERIES`].
    pub colour: u8,
    /// Its place among [`DASHES`], for a line.
    pub dashes: u8,
}

/// Dash patterns of lines, solid first, in CSS pixels: so that colour is not the only difference.
pub const DASHES: [&[f64]; 5] = [&[], &[6.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0], &[12.0, 4.0]];

impl Layer {
    /// A layer.
    #[must_use]
    pub const fn new(key: &'static str, mark: Mark, colour: u8) -> Self {
        Self { key, mark, colour, dashes: if matches!(mark, Mark::Dashed) { 1 } else { 0 } }
    }

    /// The same with another dash pattern.
    #[must_use]
    pub const fn dashed(self, dashes: u8) -> Self {
        Self { dashes, ..self }
    }

    /// The layer in a table, as serde writes it.
    #[must_use]
    pub fn from_table(from: &mut Reader) -> Self {
        let (key, mark) = (from.text(), Mark::ALL.get(from.whole() as usize));
        if mark.is_none() {
            from.fail();
        }
        Self { key, mark: mark.copied().unwrap_or(Mark::Line), colour: from.byte(), dashes: from.byte() }
    }

    /// Its colour.
    #[must_use]
    pub fn rgb(&self) -> Rgb {
        SERIES[usize::from(self.colour) % SERIES.len()]
    }

    /// Its dash pattern.
    #[must_use]
    pub fn pattern(&self) -> &'static [f64] {
        DASHES[usize::from(self.dashes) % DASHES.len()]
    }
}

/// How a layer is drawn, and the order of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mark {
    /// A curve through `x, y`.
    Line,
    /// The same, dashed: for what is known and not measured.
    Dashed,
    /// The area between two curves: `x, low, high`.
    Band,
    /// Dots at `x, y`.
    Dots,
    /// Pieces of lines, such as contours: `x, y, x, y`.
    Segments,
    /// Arrows of a vector field, scaled to be seen: `x, y, u, v`.
    Arrows,
    /// Bars from 0 with their errors: `x, value, error`.
    Bars,
    /// Values on a grid, `columns, rows, left, right, bottom, top, low, high` and then the values, rows from the bottom;
    /// `low` and `high` are the ends of the colours. With a bar of colours.
    Heat,
    /// The same as a picture in greys, pixel by pixel, without a bar; where a value is below `low` there is no picture.
    Picture,
    /// The same in colours, each value `65536 red + 256 green + blue` in whole numbers up to 255; below 0 there is no picture.
    Colours,
    /// A radar chart's polygon, filled: `corner, value` for every name on the horizontal axis, in their order, the first at the
    /// lower left and on clockwise; the vertical axis runs from the middle to each corner. Alone with its like in a figure.
    Polygon,
    /// A table instead of a drawing, alone in its figure: `rows, columns`, and then `value, error` of every cell, row by
    /// row from the top; a cell whose value is NaN is blank, an error that is NaN or 0 is not said. The names of the rows
    /// are those of the vertical axis, the names of the columns those of the horizontal one.
    Table,
}

impl Mark {
    /// Every mark, in the order of the enumeration.
    const ALL: [Self; 12] = [
        Self::Line,
        Self::Dashed,
        Self::Band,
        Self::Dots,
        Self::Segments,
        Self::Arrows,
        Self::Bars,
        Self::Heat,
        Self::Picture,
        Self::Colours,
        Self::Polygon,
        Self::Table,
    ];

    /// Numbers to an item of the layer; 0 for a grid or a table, which say it themselves.
    #[must_use]
    pub const fn stride(self) -> usize {
        match self {
            Self::Line | Self::Dashed | Self::Dots | Self::Polygon => 2,
            Self::Band | Self::Bars => 3,
            Self::Segments | Self::Arrows => 4,
            Self::Heat | Self::Picture | Self::Colours | Self::Table => 0,
        }
    }

    /// Whether its numbers are values on a grid.
    #[must_use]
    pub const fn is_grid(self) -> bool {
        matches!(self, Self::Heat | Self::Picture | Self::Colours)
    }

    /// Places in an item of its numbers along an axis, 0 the horizontal one.
    const fn places(self, axis: usize) -> &'static [usize] {
        match (self, axis) {
            (Self::Segments, 0) => &[0, 2],
            (Self::Segments, _) => &[1, 3],
            (Self::Band, 1) => &[1, 2],
            (_, 0) => &[0],
            _ => &[1],
        }
    }
}

/// A figure with its numbers.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// Horizontal axis.
    pub x: &'a Axis,
    /// Vertical axis.
    pub y: &'a Axis,
    /// Whether both axes have the same scale, as for points in the plane.
    pub square: bool,
    /// What is drawn, from the back.
    pub layers: &'a [Layer],
    /// The numbers of every layer, in the order that its mark says.
    pub data: Vec<&'a [f32]>,
    /// A moment on the horizontal axis.
    pub now: Option<f64>,
}

impl<'a> Chart<'a> {
    /// The layers with their numbers.
    pub fn drawn(&self) -> impl Iterator<Item = (&'a Layer, &'a [f32])> {
        self.layers.iter().zip(self.data.iter().copied())
    }

    /// The scale of an axis, 0 the horizontal one: as the axis says, or as far as the numbers go.
    fn scale(&self, axis: &Axis, which: usize) -> Scale {
        if let Some([from, to]) = axis.range {
            return if axis.log { Scale::Log { from, to } } else { Scale::Linear { from, to } };
        }
        // On a logarithmic scale only what is positive has a place.
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut hold = |value: f64| {
            if value.is_finite() && (value > 0.0 || !axis.log) {
                (low, high) = (low.min(value), high.max(value));
            }
        };
        let mut grid = false;
        for (layer, data) in self.drawn() {
            let (mark, stride) = (layer.mark, layer.mark.stride());
            if mark.is_grid() {
                grid = true;
                for &end in data.get(2 + 2 * which..4 + 2 * which).unwrap_or_default() {
                    hold(f64::from(end));
                }
            } else if stride > 0 {
                for item in data.chunks_exact(stride) {
                    for &place in mark.places(which) {
                        hold(f64::from(item[place]));
                    }
                }
            }
            // Bars stand on 0.
            if mark == Mark::Bars && which == 1 {
                hold(0.0);
            }
        }
        match (low <= high, axis.log) {
            // A picture ends where its grid ends, not at the next round number.
            (true, true) if grid && low < high => Scale::Log { from: low, to: high },
            (true, false) if grid && low < high => Scale::Linear { from: low, to: high },
            (true, true) => Scale::log([low, high]),
            (true, false) => Scale::linear([low, high]),
            (false, true) => Scale::log([]),
            (false, false) => Scale::linear([]),
        }
    }
}

/// Space around the plot, in CSS pixels: left, right, top, bottom.
const MARGINS: [f64; 4] = [46.0, 18.0, 24.0, 36.0];
/// The same where the plot is small and its numbers are short.
const SMALL_MARGINS: [f64; 4] = [28.0, 4.0, 24.0, 34.0];
/// Room for names on the vertical axis of a square.
const NAMES: f64 = 72.0;
/// Width of a canvas below which a square is small.
const SMALL: f64 = 320.0;
/// Width of the bar of colours, with its labels.
const BAR: f64 = 46.0;

/// Where a figure lies on a canvas of some width, in CSS pixels, and its scales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layout {
    /// Horizontal scale.
    pub x: Scale,
    /// Vertical scale.
    pub y: Scale,
    /// Left end of the plot.
    pub left: f64,
    /// Upper end of the plot.
    pub top: f64,
    /// Width of the plot.
    pub width: f64,
    /// Height of the plot.
    pub height: f64,
    /// Height of the canvas.
    pub canvas: f64,
}

impl Layout {
    /// Lays out a chart on a canvas of this width. The height follows from it.
    #[must_use]
    pub fn new(chart: &Chart<'_>, width: f64) -> Self {
        let [left, right, top, bottom] = match (chart.x.key, chart.y.key) {
            ("", "") => [0.0; 4],
            _ if chart.square && width < SMALL => SMALL_MARGINS,
            _ => MARGINS,
        };
        let left = if chart.square && !chart.y.names.is_empty() { NAMES } else { left };
        let coloured = chart.layers.iter().any(|layer| layer.mark == Mark::Heat);
        let inner = width - left - right - if coloured { BAR } else { 0.0 };
        let canvas = if chart.square { inner + top + bottom } else { (0.6 * width).clamp(200.0, 330.0) };
        let (x, y) = (chart.scale(chart.x, 0), chart.scale(chart.y, 1));
        Self { x, y, left, top, width: inner, height: canvas - top - bottom, canvas }
    }

    /// Where a value of one of so many corners of a radar chart is, in CSS pixels. The values at its border are the
    /// vertical axis' end.
    #[must_use]
    pub fn corner(&self, corner: f64, corners: usize, value: f64) -> [f64; 2] {
        // The last side lies level.
        let turn =
            |corner: f64| std::f64::consts::TAU * (corner - 0.5 * (corners as f64 - 1.0)) / corners.max(1) as f64;
        let (mut side, mut low, mut high) = (f64::EPSILON, 0.0_f64, f64::EPSILON);
        for angle in (0..corners).map(|corner| turn(corner as f64)) {
            let (sine, cosine) = libm::sincos(angle);
            (side, low, high) = (side.max(sine), low.min(cosine), high.max(cosine));
        }
        let longest = (0.5 * self.width / side).min(self.height / (high - low));
        let (far, (sine, cosine)) = (self.y.position(value) * longest, libm::sincos(turn(corner)));
        [self.left + 0.5 * self.width + far * sine, self.top + high * longest - far * cosine]
    }

    /// Where a point is, in CSS pixels.
    #[must_use]
    pub fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.left + self.x.position(x) * self.width, self.top + (1.0 - self.y.position(y)) * self.height]
    }

    /// Which point is there.
    #[must_use]
    pub fn point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.x.value((x - self.left) / self.width), self.y.value(1.0 - (y - self.top) / self.height)]
    }
}
