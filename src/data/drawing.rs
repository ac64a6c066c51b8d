//! The visitor's own data set: points on a coarse square grid, small enough to travel in a link.

use serde::{Deserialize, Serialize};

use crate::base64;

/// Cells along one side of the drawing square. 64 makes a cell 6 bits, one letter of a link.
pub const GRID: u8 = 64;
/// Points a drawing can hold: 1024 letters of a link.
pub const MAX_POINTS: usize = 512;

/// Points in drawing order, as grid cells `[column, row]`, row 0 at the bottom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Drawing {
    cells: Vec<[u8; 2]>,
}

impl Drawing {
    /// The grid cells, in drawing order.
    #[must_use]
    pub fn cells(&self) -> &[[u8; 2]] {
        &self.cells
    }

    /// Adds the point nearest to `(x, y)` in the square `[-1, 1]^2`, clamped into it. Says whether it was added:
    /// not when the drawing is full, or the point repeats the last one.
    pub fn push(&mut self, x: f64, y: f64) -> bool {
        let cell = |v: f64| (((v.clamp(-1.0, 1.0) + 1.0) / 2.0 * f64::from(GRID)) as u8).min(GRID - 1);
        if !x.is_finite() || !y.is_finite() || self.cells.len() >= MAX_POINTS {
            return false;
        }
        let point = [cell(x), cell(y)];
        if self.cells.last() == Some(&point) {
            return false;
        }
        self.cells.push(point);
        true
    }

    /// Keeps only the first `count` points: undo.
    pub fn truncate(&mut self, count: usize) {
        self.cells.truncate(count);
    }

    /// The points in `[-1, 1]^2`, at the centres of their cells.
    pub fn points(&self) -> impl ExactSizeIterator<Item = [f64; 2]> + '_ {
        let centre = |c: u8| (f64::from(c) + 0.5) / f64::from(GRID) * 2.0 - 1.0;
        self.cells.iter().map(move |&[x, y]| [centre(x), centre(y)])
    }

    /// Two letters a point, letters of base64url.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.cells.iter().flatten().map(|&c| base64::letter(c)).collect()
    }

    /// Reads [`Self::to_text`]. Unknown letters are left out with their partner, and what is over the limit is dropped.
    /// The flag says whether anything was.
    #[must_use]
    pub fn from_text(text: &str) -> (Self, bool) {
        let bytes = text.as_bytes();
        let mut cells: Vec<[u8; 2]> =
            bytes.chunks_exact(2).filter_map(|pair| Some([base64::value(pair[0])?, base64::value(pair[1])?])).collect();
        let damaged = cells.len() * 2 != bytes.len() || cells.len() > MAX_POINTS;
        cells.truncate(MAX_POINTS);
        (Self { cells }, damaged)
    }
}

impl From<Drawing> for String {
    fn from(drawing: Drawing) -> Self {
        drawing.to_text()
    }
}

impl From<String> for Drawing {
    fn from(text: String) -> Self {
        Self::from_text(&text).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_survives_its_text() {
        let mut drawing = Drawing::default();
        for i in 0..MAX_POINTS + 10 {
            drawing.push((i as f64 * 0.37).sin(), (i as f64 * 0.21).cos());
        }
        let (back, damaged) = Drawing::from_text(&drawing.to_text());
        assert_eq!(back, drawing);
        assert!(!damaged);
        assert!(drawing.cells().len() <= MAX_POINTS);
        assert!(drawing.points().all(|p| p.iter().all(|v| v.abs() <= 1.0)));
    }

    #[test]
    fn damaged_text_loses_only_what_is_damaged() {
        let (drawing, damaged) = Drawing::from_text("ABé!CD*EF");
        assert!(damaged);
        assert_eq!(drawing.cells()[0], [0, 1]);
        let (_, whole) = Drawing::from_text("ABCD");
        assert!(!whole);
        let (long, damaged) = Drawing::from_text(&"AB".repeat(MAX_POINTS + 1));
        assert!(damaged);
        assert_eq!(long.cells().len(), MAX_POINTS);
    }

    #[test]
    fn points_outside_the_square_move_to_its_edge() {
        let mut drawing = Drawing::default();
        assert!(drawing.push(9.0, -9.0));
        assert_eq!(drawing.cells(), [[GRID - 1, 0]]);
        assert!(!drawing.push(f64::NAN, 0.0));
    }
}
