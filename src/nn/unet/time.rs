//! The features of time that a network embeds.

use super::Style;

/// Longest wavelength over shortest, as in Vaswani et al. 2017.
const SPREAD: f64 = 10_000.0;

/// Sines and cosines of every time at `width / 2` frequencies, row by row of times. In Ho et al.'s style `[sin, cos]`
/// with frequencies from 1 down to `1 / 10,000`, in improved DDPM's `[cos, sin]` with frequencies that stop one short of
/// that. They are computed here in double precision and not on the device: a shader's sine need not be accurate beyond
/// one period, and 999 is 159 periods.
#[must_use]
pub fn time_features(times: &[f64], width: usize, style: Style) -> Vec<f32> {
    let half = width / 2;
    let span = match style {
        Style::Ddpm => half.saturating_sub(1),
        Style::Improved => half,
    };
    let step = -libm::log(SPREAD) / span.max(1) as f64;
    let functions: [fn(f64) -> f64; 2] = match style {
        Style::Ddpm => [libm::sin, libm::cos],
        Style::Improved => [libm::cos, libm::sin],
    };
    let mut features = Vec::with_capacity(times.len() * 2 * half);
    for time in times {
        let angle = |k: usize| time * libm::exp(step * k as f64);
        for function in functions {
            features.extend((0..half).map(|k| function(angle(k)) as f32));
        }
    }
    features
}
