//! The features of time that a network embeds.

use super::Details;

/// Longest wavelength over shortest, as in Vaswani et al. 2017.
const SPREAD: f64 = 10_000.0;

/// Sines and cosines of every time at `width / 2` frequencies, row by row of times: `[sin, cos]` with frequencies from 1
/// down to `1 / 10,000` for Ho et al., `[cos, sin]` with frequencies that stop one short of that for improved DDPM. They
/// are computed here in double precision and not on the device: a shader's sine need not be accurate beyond one period,
/// and 999 is 159 periods.
#[must_use]
pub fn time_features(times: &[f64], width: usize, details: Details) -> Vec<f32> {
    let half = width / 2;
    let span = half.saturating_sub(details.frequency_shift);
    let step = -libm::log(SPREAD) / span.max(1) as f64;
    let mut functions: [fn(f64) -> f64; 2] = [libm::sin, libm::cos];
    if details.cosines_first {
        functions.reverse();
    }
    let mut features = Vec::with_capacity(times.len() * 2 * half);
    for time in times {
        let angle = |k: usize| time * libm::exp(step * k as f64);
        for function in functions {
            features.extend((0..half).map(|k| function(angle(k)) as f32));
        }
    }
    features
}

/// Sines, then cosines, of `2 pi` times every time at these frequencies, row by row of times.
#[must_use]
pub fn fourier_features(times: &[f64], frequencies: &[f32]) -> Vec<f32> {
    let mut features = Vec::with_capacity(times.len() * 2 * frequencies.len());
    for time in times {
        for function in [libm::sin, libm::cos] {
            features.extend(frequencies.iter().map(|f| function(core::f64::consts::TAU * time * f64::from(*f)) as f32));
        }
    }
    features
}
