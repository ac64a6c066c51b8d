//! The plane on a canvas: projection, arrows, dots.

/// Maps a square window of the plane to a square of pixels, y upwards to y downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// Centre of the window, in the data's coordinates.
    pub centre: [f64; 2],
    /// Half the window's side.
    pub half: f64,
    /// Side of the square on the canvas, in pixels.
    pub pixels: f64,
}

impl Projection {
    /// Pixels to a unit of the data.
    #[must_use]
    pub fn zoom(&self) -> f64 {
        self.pixels / (2.0 * self.half)
    }

    /// A point in pixels from the upper left corner.
    #[must_use]
    pub fn to_pixels(&self, point: [f64; 2]) -> [f64; 2] {
        let zoom = self.zoom();
        [(point[0] - self.centre[0] + self.half) * zoom, (self.centre[1] + self.half - point[1]) * zoom]
    }

    /// The point under a pixel.
    #[must_use]
    pub fn to_data(&self, pixel: [f64; 2]) -> [f64; 2] {
        let zoom = self.zoom();
        [self.centre[0] - self.half + pixel[0] / zoom, self.centre[1] + self.half - pixel[1] / zoom]
    }

    /// Whether a point is inside the window, and a number.
    #[must_use]
    pub fn shows(&self, point: [f64; 2]) -> bool {
        (0..2).all(|axis| (point[axis] - self.centre[axis]).abs() <= self.half)
    }

    /// The middles of `side * side` equal cells of the window, rows from the bottom.
    #[must_use]
    pub fn middles(&self, side: usize) -> Vec<[f64; 2]> {
        let along =
            |axis: usize, i: usize| self.centre[axis] + self.half * ((2 * i + 1) as f64 / side.max(1) as f64 - 1.0);
        (0..side * side).map(|i| [along(0, i % side), along(1, i / side)]).collect()
    }
}

/// Radius of a dot, in pixels, for so many on a square: they cover about a third of it together, between 0.8 and 4.
#[must_use]
pub fn dot_radius(count: usize, pixels: f64) -> f64 {
    (pixels * (0.33 / (core::f64::consts::PI * count.max(1) as f64)).sqrt()).clamp(0.8, 4.0)
}

/// Opacity of a dot for so many on a square: solid while few, fainter when they overlap.
#[must_use]
pub fn dot_opacity(count: usize) -> f64 {
    (600.0 / count.max(1) as f64).sqrt().clamp(0.25, 0.9)
}

/// An arrow, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrow {
    /// Where it starts.
    pub tail: [f64; 2],
    /// Where it points.
    pub head: [f64; 2],
    /// The two ends of its barbs.
    pub barbs: [[f64; 2]; 2],
    /// Its length as a share of the longest, for colour: between 0 and 1.
    pub strength: f64,
}

/// Arrows of a vector field, centred where `to_pixels` has their places and never longer than `longest` pixels. Lengths grow with the
/// root of the vector's length and saturate at the 95th percentile, because fields such as scores range over orders of
/// magnitude. Vectors that are zero or not finite have no arrow.
#[must_use]
pub fn arrows(
    places: &[[f64; 2]],
    vectors: &[[f64; 2]],
    to_pixels: impl Fn([f64; 2]) -> [f64; 2],
    longest: f64,
) -> Vec<Arrow> {
    let length = |v: &[f64; 2]| libm::hypot(v[0], v[1]);
    let mut lengths: Vec<f64> = vectors.iter().map(length).filter(|l| l.is_finite() && *l > 0.0).collect();
    // The largest of what is left when those above are taken away: a twentieth, so that a sort would be no quicker, and is code.
    let above = lengths.len().saturating_sub(1).saturating_sub(lengths.len() * 95 / 100);
    let mut reference = None;
    for _ in 0..=above {
        let largest = (0..lengths.len()).max_by(|a, b| lengths[*a].total_cmp(&lengths[*b]));
        reference = largest.map(|place| lengths.swap_remove(place));
    }
    let Some(reference) = reference else { return Vec::new() };
    places
        .iter()
        .zip(vectors)
        .filter(|(_, vector)| length(vector).is_finite() && length(vector) > 0.0)
        .map(|(&place, vector)| {
            let norm = length(vector);
            let strength = (norm / reference).min(1.0).sqrt();
            // Up in the plane is up on the screen, where y falls.
            let along = [vector[0] / norm, -vector[1] / norm];
            let [x, y] = to_pixels(place);
            let reach = 0.5 * strength * longest;
            let head = [x + reach * along[0], y + reach * along[1]];
            let barb = 0.5 * reach;
            // Thirty degrees back from the head, on both sides.
            let ends = [0.5, -0.5].map(|sine| {
                let cosine = 0.75_f64.sqrt();
                [
                    head[0] - barb * (cosine * along[0] - sine * along[1]),
                    head[1] - barb * (sine * along[0] + cosine * along[1]),
                ]
            });
            Arrow { tail: [x - reach * along[0], y - reach * along[1]], head, barbs: ends, strength }
        })
        .collect()
}
