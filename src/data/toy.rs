//! The data sets of the plane, each defined as a mixture of Gaussians, so that its density and score are exact.
//!
//! Curves and areas are rows and lattices of Gaussians. Of a row with spacing `h` and standard deviation `s` the density
//! ripples by `2 exp(-2 pi^2 s^2 / h^2)`: 1 in 10^4 at `h = 1.4 s`, so that a few hundred components make a smooth curve.

use core::f64::consts::{PI, TAU};

use thiserror::Error;

use super::drawing::Drawing;
use super::gaussians::{Gaussians, REACH};
use super::mixture::Mixture;
use crate::choice::choices;

choices! {
    /// A distribution of points in the plane.
    DatasetId {
        /// The report's mixture: weight 0.8 at (5, 5), 0.2 at (-5, -5), standard deviation 1.
        Mixture = "mixture",
        /// Eight Gaussians on a circle.
        EightGaussians = "eight-gaussians",
        /// Twenty-five Gaussians on a square grid.
        Grid = "grid",
        /// Two interleaved half circles.
        Moons = "moons",
        /// A spiral.
        SwissRoll = "swiss-roll",
        /// Concentric rings.
        Rings = "rings",
        /// The dark squares of a checkerboard.
        Checkerboard = "checkerboard",
        /// Five curved blades.
        Pinwheel = "pinwheel",
        /// What the visitor drew.
        Drawing = "drawing",
        /// Gaussians that the visitor placed and stretched.
        Gaussians = "gaussians",
    }
}

/// Standard deviation of the Gaussian around a drawn point, in the drawing's coordinates: a little more than a cell.
pub const DRAWN_STD: f64 = 0.04;

/// Why there is no data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DataError {
    /// The visitor's drawing has no points.
    #[error("the drawing is empty")]
    EmptyDrawing,
}

/// A data set of the plane and the frame its model works in.
///
/// Models see data of mean zero and unit variance, `(point - centre) / scale`; plots show the data's own coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The distribution in the data's own coordinates.
    pub mixture: Mixture,
    /// The mixture in the model's coordinates.
    pub standard: Mixture,
    /// Mean of the data.
    pub centre: [f64; 2],
    /// Root mean square deviation per axis.
    pub scale: f64,
    /// Half the side of the square window, centred at `window_centre`, in which the data are shown.
    pub window: f64,
    /// Centre of the window, in the data's own coordinates.
    pub window_centre: [f64; 2],
    /// The class of every component, counted from 0: a Gaussian, a moon, a ring, a square, a blade, a stretch of the
    /// spiral, the left or the right half of a drawing, one of the visitor's Gaussians.
    pub classes: Vec<usize>,
}

impl Dataset {
    /// The data set with this id; `drawing` matters only to [`DatasetId::Drawing`], `gaussians` only to
    /// [`DatasetId::Gaussians`].
    ///
    /// # Errors
    /// [`DataError::EmptyDrawing`] when a drawing without points is asked for.
    pub fn new(id: DatasetId, drawing: &Drawing, gaussians: &Gaussians) -> Result<Self, DataError> {
        let mut owners = Vec::new();
        let (mixture, window_centre, window) = match id {
            DatasetId::Mixture => (report_mixture(), [0.0, 0.0], 10.0),
            DatasetId::EightGaussians => (eight_gaussians(), [0.0, 0.0], 5.5),
            DatasetId::Grid => (grid(), [0.0, 0.0], 5.0),
            DatasetId::Moons => (moons(), [0.5, 0.25], 1.9),
            DatasetId::SwissRoll => (swiss_roll(), [0.0, 0.0], 5.0),
            DatasetId::Rings => (rings(), [0.0, 0.0], 4.0),
            DatasetId::Checkerboard => (checkerboard(), [0.0, 0.0], 5.0),
            DatasetId::Pinwheel => (pinwheel(), [0.0, 0.0], 5.5),
            DatasetId::Drawing => (drawn(drawing)?, [0.0, 0.0], 1.2),
            DatasetId::Gaussians => {
                let (mixture, of_each) = gaussians.mixture();
                owners = of_each;
                (mixture, [0.0, 0.0], 1.2 * REACH)
            }
        };
        let (centre, scale) = mixture.mean_and_scale();
        let standard = mixture.standardised(centre, scale);
        let class = |(i, mean): (usize, &[f64; 2])| match id {
            DatasetId::Mixture | DatasetId::EightGaussians | DatasetId::Grid => i,
            DatasetId::Moons => i / 48,
            DatasetId::SwissRoll => i / 52,
            DatasetId::Rings => usize::from(i >= 48) + usize::from(i >= 144),
            DatasetId::Checkerboard | DatasetId::Pinwheel => i / 64,
            DatasetId::Drawing => usize::from(mean[0] > centre[0]),
            DatasetId::Gaussians => owners[i],
        };
        let classes = mixture.means.iter().enumerate().map(class).collect();
        Ok(Self { mixture, standard, centre, scale, window, window_centre, classes })
    }

    /// A point of the data's own coordinates in the model's.
    #[must_use]
    pub fn to_standard(&self, point: [f64; 2]) -> [f64; 2] {
        [(point[0] - self.centre[0]) / self.scale, (point[1] - self.centre[1]) / self.scale]
    }

    /// A point of the model's coordinates in the data's own.
    #[must_use]
    pub fn from_standard(&self, point: [f64; 2]) -> [f64; 2] {
        [self.centre[0] + self.scale * point[0], self.centre[1] + self.scale * point[1]]
    }
}

fn polar(radius: f64, angle: f64) -> [f64; 2] {
    [radius * libm::cos(angle), radius * libm::sin(angle)]
}

/// `count` numbers in `(0, 1)`, at the middles of equal intervals.
fn middles(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |i| (i as f64 + 0.5) / count as f64)
}

/// The report's example: weight 0.8 at (5, 5), 0.2 at (-5, -5), standard deviation 1.
fn report_mixture() -> Mixture {
    Mixture::from_components([(0.8, [5.0, 5.0], 1.0), (0.2, [-5.0, -5.0], 1.0)])
}

fn eight_gaussians() -> Mixture {
    Mixture::even((0..8).map(|i| polar(4.0, f64::from(i) * TAU / 8.0)), 0.3)
}

/// Spacing 2, standard deviation 0.05: modes forty standard deviations apart.
fn grid() -> Mixture {
    let along = |i: u32| 2.0 * (f64::from(i) - 2.0);
    Mixture::even((0..25).map(|i| [along(i % 5), along(i / 5)]), 0.05)
}

fn moons() -> Mixture {
    let upper = middles(48).map(|u| polar(1.0, PI * u));
    let lower = middles(48).map(|u| {
        let [x, y] = polar(1.0, PI * u);
        [1.0 - x, 0.5 - y]
    });
    Mixture::even(upper.chain(lower), 0.08)
}

/// An Archimedean spiral from angle 1.5 pi to 4.5 pi. Angles are spread evenly in their squares, which is nearly evenly
/// along the curve.
fn swiss_roll() -> Mixture {
    let (first, last) = (1.5 * PI, 4.5 * PI);
    Mixture::even(
        middles(208).map(|u| {
            let angle = (first * first + (last * last - first * first) * u).sqrt();
            polar(4.0 * angle / last, angle)
        }),
        0.15,
    )
}

/// Three rings, each with a weight proportional to its length.
fn rings() -> Mixture {
    Mixture::even((1..=3).flat_map(|ring| middles(ring * 48).map(move |u| polar(ring as f64, TAU * u))), 0.1)
}

/// Eight dark squares of side 2, each a lattice of 8 by 8 Gaussians: flat to half a percent, edges as wide as 0.14.
fn checkerboard() -> Mixture {
    let dark = (0..16).map(|i| [i % 4, i / 4]).filter(|[column, row]| (column + row) % 2 == 0);
    Mixture::even(
        dark.flat_map(|[column, row]| {
            (0..64).map(move |i| {
                let along = |square: u32, cell: u32| 2.0 * f64::from(square) - 4.0 + (f64::from(cell) + 0.5) / 4.0;
                [along(column, i % 8), along(row, i / 8)]
            })
        }),
        0.14,
    )
}

/// Five blades, radii normal around 2.5, turning further the farther out they are.
fn pinwheel() -> Mixture {
    Mixture::from_components((0..5).flat_map(|blade| {
        middles(64).map(move |u| {
            let radius = 0.15 + 1.7 * u;
            let deviation = (radius - 1.0) / 0.3;
            let angle = f64::from(blade) * TAU / 5.0 + 0.25 * libm::exp(radius);
            (libm::exp(-0.5 * deviation * deviation), polar(2.5 * radius, angle), 0.13)
        })
    }))
}

fn drawn(drawing: &Drawing) -> Result<Mixture, DataError> {
    if drawing.cells().is_empty() {
        return Err(DataError::EmptyDrawing);
    }
    Ok(Mixture::even(drawing.points(), DRAWN_STD))
}
