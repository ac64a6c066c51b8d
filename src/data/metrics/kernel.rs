//! Two-sample distances by pairs of points. Both cost the square of the number of points.

/// Largest number of points taken from either side; more would take seconds.
pub const MOST: usize = 4000;

fn capped(points: &[[f64; 2]]) -> &[[f64; 2]] {
    &points[..points.len().min(MOST)]
}

fn square_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [dx, dy] = [a[0] - b[0], a[1] - b[1]];
    dx * dx + dy * dy
}

/// Means of `f(squared distance)` over pairs within `left`, within `right` (never of a point with itself) and between.
fn pair_means(left: &[[f64; 2]], right: &[[f64; 2]], f: impl Fn(f64) -> f64) -> [f64; 3] {
    let within = |points: &[[f64; 2]]| {
        let total: f64 = points
            .iter()
            .enumerate()
            .map(|(i, &a)| points[..i].iter().map(|&b| f(square_distance(a, b))).sum::<f64>())
            .sum();
        total / (points.len() as f64 * (points.len() as f64 - 1.0) / 2.0)
    };
    let across: f64 = left.iter().map(|&a| right.iter().map(|&b| f(square_distance(a, b))).sum::<f64>()).sum();
    [within(left), within(right), across / (left.len() as f64 * right.len() as f64)]
}

/// Squared energy distance `2 E|x - y| - E|x - x'| - E|y - y'|` (Szekely and Rizzo 2013), unbiased: around zero, and as
/// often negative as not, for two draws of one distribution. In the points' units. Takes the first [`MOST`] points of
/// each; NaN for fewer than two.
#[must_use]
pub fn energy_distance(left: &[[f64; 2]], right: &[[f64; 2]]) -> f64 {
    let [left, right, across] = pair_means(capped(left), capped(right), f64::sqrt);
    2.0 * across - left - right
}

/// Squared maximum mean discrepancy with the kernel `exp(-|x - y|^2 / (2 bandwidth^2))` (Gretton et al. 2012, their
/// unbiased estimate). Takes the first [`MOST`] points of each; NaN for fewer than two.
#[must_use]
pub fn maximum_mean_discrepancy(left: &[[f64; 2]], right: &[[f64; 2]], bandwidth: f64) -> f64 {
    let rate = -0.5 / (bandwidth * bandwidth);
    let [left, right, across] = pair_means(capped(left), capped(right), |square| libm::exp(rate * square));
    left + right - 2.0 * across
}
