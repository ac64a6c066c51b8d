//! Curves.

/// Moving average with the weight `1 / span` for every new value, corrected for its start: Adam's way, so that the first
/// values are not pulled to zero. Values that are not finite are passed by.
#[must_use]
pub fn smoothed(points: &[[f64; 2]], span: f64) -> Vec<[f64; 2]> {
    let keep = (1.0 - 1.0 / span.max(1.0)).clamp(0.0, 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    points
        .iter()
        .filter(|p| p[0].is_finite() && p[1].is_finite())
        .map(|&[x, y]| {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
            [x, sum / weight]
        })
        .collect()
}
