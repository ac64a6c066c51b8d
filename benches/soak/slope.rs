//! The slope of a quantity over time, with an error that neighbouring values do not make too small.

/// Parts that a series is cut into: their means are taken for independent.
const PARTS: usize = 10;

/// Student's 99.5 % quantile of 8 degrees of freedom, so that the interval has 99 %.
const QUANTILE: f64 = 3.355;

/// A least-squares slope and half of its 99 % interval.
pub struct Slope {
    pub value: f64,
    pub error: f64,
}

impl Slope {
    /// Of points in the order of their times, through the means of ten parts; none with fewer than twenty.
    pub fn of(points: &[[f64; 2]]) -> Option<Self> {
        if points.len() < 2 * PARTS {
            return None;
        }
        let part = |i: usize| &points[i * points.len() / PARTS..(i + 1) * points.len() / PARTS];
        let mean = |of: &[[f64; 2]], k: usize| of.iter().map(|point| point[k]).sum::<f64>() / of.len() as f64;
        let means: Vec<[f64; 2]> = (0..PARTS).map(|i| [mean(part(i), 0), mean(part(i), 1)]).collect();
        let centre = [mean(&means, 0), mean(&means, 1)];
        let sum = |of: &dyn Fn([f64; 2]) -> f64| {
            means.iter().map(|point| of([point[0] - centre[0], point[1] - centre[1]])).sum::<f64>()
        };
        let spread = sum(&|[t, _]| t * t);
        let value = sum(&|[t, y]| t * y) / spread;
        let left = sum(&|[t, y]| (y - value * t).powi(2));
        Some(Self { value, error: QUANTILE * (left / (PARTS - 2) as f64 / spread).sqrt() })
    }
}
