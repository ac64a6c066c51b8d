//! The layout of a line chart: everything the page prints into an SVG element.

use super::colour::{Rgb, SERIES};
use super::curve::{binned, path};
use super::scale::{Scale, Tick};

/// Most points drawn of a series.
pub const MOST_POINTS: usize = 500;

/// A curve of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points in the data's units, by ascending x.
    pub points: Vec<[f64; 2]>,
}

/// Lengths of a chart in the units of its view box, which are pixels when it is shown at its own size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Width of the view box.
    pub width: f64,
    /// Height of the view box.
    pub height: f64,
    /// Space left of the plot for the labels.
    pub left: f64,
    /// Space right of it.
    pub right: f64,
    /// Space above it.
    pub top: f64,
    /// Space below it.
    pub bottom: f64,
}

impl Default for Frame {
    fn default() -> Self {
        Self { width: 480.0, height: 260.0, left: 52.0, right: 14.0, top: 12.0, bottom: 34.0 }
    }
}

impl Frame {
    /// Horizontal coordinate of a position between 0 and 1.
    #[must_use]
    pub fn x(&self, position: f64) -> f64 {
        self.left + position * (self.width - self.left - self.right)
    }

    /// Vertical coordinate of a position between 0 (bottom) and 1 (top).
    #[must_use]
    pub fn y(&self, position: f64) -> f64 {
        self.height - self.bottom - position * (self.height - self.top - self.bottom)
    }
}

/// A tick of a chart's axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Place along the axis, in view box units.
    pub at: f64,
    /// The label; empty for a line without one.
    pub label: String,
}

/// A drawn curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// The `d` attribute; empty when there is nothing to draw.
    pub path: String,
    /// A colour legible on light and on dark.
    pub colour: Rgb,
    /// The `stroke-dasharray` attribute, so that colour is not the only difference; empty for a solid line.
    pub dashes: &'static str,
    /// The last value, for the legend.
    pub last: Option<f64>,
}

/// A chart laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    /// Its lengths.
    pub frame: Frame,
    /// Horizontal scale.
    pub x: Scale,
    /// Vertical scale.
    pub y: Scale,
    /// Ticks of the horizontal axis.
    pub x_marks: Vec<Mark>,
    /// Ticks of the vertical axis.
    pub y_marks: Vec<Mark>,
    /// The curves, in the order of the legend.
    pub lines: Vec<Line>,
}

impl LineChart {
    /// Lays out series with scales that hold them; `log_x` and `log_y` choose logarithmic axes, on which what is not
    /// positive is left out.
    #[must_use]
    pub fn new(frame: Frame, series: &[Series], log_x: bool, log_y: bool) -> Self {
        let all = |axis: usize| series.iter().flat_map(move |s| s.points.iter().map(move |p| p[axis]));
        let scale = |axis: usize, log: bool| if log { Scale::log(all(axis)) } else { Scale::linear(all(axis)) };
        Self::with_scales(frame, series, scale(0, log_x), scale(1, log_y))
    }

    /// Lays out series on given scales. What lies outside is drawn outside the plot: clip it.
    #[must_use]
    pub fn with_scales(frame: Frame, series: &[Series], x: Scale, y: Scale) -> Self {
        let marks = |ticks: Vec<Tick>, place: &dyn Fn(f64) -> f64| -> Vec<Mark> {
            ticks.into_iter().map(|tick| Mark { at: place(tick.position), label: tick.label }).collect()
        };
        let x_count = ((frame.width - frame.left - frame.right) / 70.0) as usize;
        let y_count = ((frame.height - frame.top - frame.bottom) / 40.0) as usize;
        let lines = series
            .iter()
            .enumerate()
            .map(|(index, series)| {
                let place = |p: &[f64; 2]| [frame.x(x.position(p[0])), frame.y(y.position(p[1]))];
                let placed: Vec<[f64; 2]> = series.points.iter().map(place).collect();
                Line {
                    name: series.name.clone(),
                    path: path(binned(&placed, MOST_POINTS)),
                    colour: SERIES[index % SERIES.len()],
                    dashes: DASHES[index % DASHES.len()],
                    last: series.points.last().map(|p| p[1]),
                }
            })
            .collect();
        Self {
            frame,
            x,
            y,
            x_marks: marks(x.ticks(x_count), &|position| frame.x(position)),
            y_marks: marks(y.ticks(y_count), &|position| frame.y(position)),
            lines,
        }
    }

    /// The `viewBox` attribute.
    #[must_use]
    pub fn view_box(&self) -> String {
        format!("0 0 {} {}", self.frame.width, self.frame.height)
    }
}

/// Dash patterns; five to the six colours, so that thirty series differ.
const DASHES: [&str; 5] = ["", "6 3", "2 3", "9 3 2 3", "12 4"];
