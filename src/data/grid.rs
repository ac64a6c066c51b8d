//! A square grid of cells in the plane, for histograms and exact cell probabilities.

/// A square of `side * side` equal cells, rows from the bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareGrid {
    /// Centre of the square.
    pub centre: [f64; 2],
    /// Half the side of the square.
    pub half: f64,
    /// Cells along a side.
    pub side: usize,
}

impl SquareGrid {
    /// Number of cells.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.side * self.side
    }

    /// Length of a cell's side.
    #[must_use]
    pub fn cell(&self) -> f64 {
        2.0 * self.half / self.side as f64
    }

    /// Coordinate of the edge number `edge` along an axis (0 for x, 1 for y), from `0` to `side`.
    #[must_use]
    pub fn edge(&self, axis: usize, edge: usize) -> f64 {
        self.centre[axis] + self.half * (2.0 * edge as f64 / self.side as f64 - 1.0)
    }

    /// The cell a point falls in; `None` outside the square and for what is not a number.
    #[must_use]
    pub fn index(&self, point: [f64; 2]) -> Option<usize> {
        let along = |axis: usize| {
            let position = (point[axis] - self.centre[axis] + self.half) / (2.0 * self.half) * self.side as f64;
            (position >= 0.0 && position < self.side as f64).then_some(position as usize)
        };
        Some(along(1)? * self.side + along(0)?)
    }

    /// How many points fall in every cell, and last how many fall outside: `cells() + 1` numbers.
    #[must_use]
    pub fn histogram(&self, points: &[[f64; 2]]) -> Vec<u32> {
        let mut counts = vec![0; self.cells() + 1];
        for &point in points {
            counts[self.index(point).unwrap_or(self.cells())] += 1;
        }
        counts
    }
}
