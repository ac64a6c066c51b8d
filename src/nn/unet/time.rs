//! How a network is told the time.

/// Longest wavelength over shortest, as in Vaswani et al. 2017.
const SPREAD: f64 = 10_000.0;

/// `[sin, cos]` of every time at `width / 2` frequencies from 1 down to `1 / 10,000`, row by row of times: Ho et al.'s
/// features. They are computed here in double precision and not on the device: a shader's sine need not be accurate
/// beyond one period, and 999 is 159 periods.
#[must_use]
pub fn time_features(times: &[f64], width: usize) -> Vec<f32> {
    let half = width / 2;
    let step = -libm::log(SPREAD) / half.saturating_sub(1).max(1) as f64;
    let mut features = Vec::with_capacity(times.len() * 2 * half);
    for time in times {
        let angle = |k: usize| time * libm::exp(step * k as f64);
        features.extend((0..half).map(|k| libm::sin(angle(k)) as f32));
        features.extend((0..half).map(|k| libm::cos(angle(k)) as f32));
    }
    features
}
