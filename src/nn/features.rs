//! What the network sees of a noisy point: the point itself at unit variance, waves of it, and the noise level.
//!
//! Computed on the CPU for every device: the numbers are few, and this way they are the same everywhere.

use crate::diffusion::Level;

/// Octaves of waves of the level.
const LEVEL_OCTAVES: usize = 4;
/// Octaves of waves of each coordinate.
const POINT_OCTAVES: usize = 4;
/// Longest wave of a coordinate is `2 pi / POINT_FREQUENCY`, for data of unit variance.
const POINT_FREQUENCY: f64 = 0.8;
/// Inputs of the network: two coordinates with their waves, and the level with its waves.
pub const COUNT: usize = 2 + 4 * POINT_OCTAVES + 2 + 2 * LEVEL_OCTAVES;

/// The part of a row that depends on the level only.
#[derive(Clone, Copy, Debug)]
pub struct LevelFeatures {
    scale: f64,
    values: [f32; 2 + 2 * LEVEL_OCTAVES],
}

impl LevelFeatures {
    /// The features of a level. Only its log-SNR matters, so that one network serves every schedule.
    #[must_use]
    pub fn new(level: Level) -> Self {
        let scale = 1.0 / libm::hypot(level.alpha, level.sigma).max(f64::MIN_POSITIVE);
        // The level's angle resolves where signal and noise are comparable, its logarithm where one is small.
        let share = libm::atan2(level.sigma, level.alpha) / core::f64::consts::FRAC_PI_2;
        let log = (libm::log(level.alpha.max(1e-4)) - libm::log(level.sigma.max(1e-4))).clamp(-7.0, 7.0) / 4.0;
        let mut values = [0.0; 2 + 2 * LEVEL_OCTAVES];
        values[0] = log as f32;
        values[1] = (2.0 * share - 1.0) as f32;
        octaves(log * 1.5, &mut values[2..]);
        Self { scale, values }
    }

    /// Writes the features of the noisy point `x` at this level.
    ///
    /// # Panics
    /// When `row` is shorter than [`COUNT`].
    pub fn write(&self, x: [f64; 2], row: &mut [f32]) {
        let point = [x[0] * self.scale, x[1] * self.scale];
        row[0] = point[0] as f32;
        row[1] = point[1] as f32;
        let (waves, rest) = row[2..COUNT].split_at_mut(4 * POINT_OCTAVES);
        let (first, second) = waves.split_at_mut(2 * POINT_OCTAVES);
        octaves(point[0] * POINT_FREQUENCY, first);
        octaves(point[1] * POINT_FREQUENCY, second);
        rest.copy_from_slice(&self.values);
    }
}

/// How the features of points at one level change when the points move by `v`: rows as of [`rows`].
#[must_use]
pub fn tangents(points: &[[f64; 2]], v: &[[f64; 2]], level: Level) -> Vec<f32> {
    let features = LevelFeatures::new(level);
    let mut rows = vec![0.0; points.len() * COUNT];
    for ((row, &x), v) in rows.chunks_exact_mut(COUNT).zip(points).zip(v) {
        // The waves at the point: the derivative of each is another of them.
        features.write(x, row);
        for axis in 0..2 {
            let speed = v[axis] * features.scale;
            row[axis] = speed as f32;
            let waves = &mut row[2 + 2 * POINT_OCTAVES * axis..][..2 * POINT_OCTAVES];
            let mut rate = (speed * POINT_FREQUENCY) as f32;
            for pair in waves.chunks_exact_mut(2) {
                (pair[0], pair[1]) = (rate * pair[1], -rate * pair[0]);
                rate *= 2.0;
            }
        }
        row[2 + 4 * POINT_OCTAVES..].fill(0.0);
    }
    rows
}

/// `sin` and `cos` of the angle and of its doublings, from one pair by the double-angle formulas.
fn octaves(angle: f64, out: &mut [f32]) {
    let (mut sine, mut cosine) = libm::sincos(angle);
    for pair in out.chunks_exact_mut(2) {
        pair[0] = sine as f32;
        pair[1] = cosine as f32;
        (sine, cosine) = (2.0 * sine * cosine, 1.0 - 2.0 * sine * sine);
    }
}

/// Rows of features for points at one level, `[points, COUNT]` row by row.
#[must_use]
pub fn rows(points: &[[f64; 2]], level: Level) -> Vec<f32> {
    let features = LevelFeatures::new(level);
    let mut rows = vec![0.0; points.len() * COUNT];
    for (row, &point) in rows.chunks_exact_mut(COUNT).zip(points) {
        features.write(point, row);
    }
    rows
}
