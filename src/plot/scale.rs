//! Linear and logarithmic scales and their ticks.

use super::label::{number, trimmed};
use crate::decimal::{fixed, real};

/// How values become positions between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Even.
    Linear {
        /// The value at 0.
        from: f64,
        /// The value at 1.
        to: f64,
    },
    /// Even in the logarithm; both ends are positive.
    Log {
        /// The value at 0.
        from: f64,
        /// The value at 1.
        to: f64,
    },
}

/// A tick of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The value.
    pub value: f64,
    /// Its position, between 0 and 1.
    pub position: f64,
    /// Its label; empty for a tick between labelled ones.
    pub label: String,
}

impl Scale {
    /// A linear scale that holds all finite values, with ends at ticks. No values give `0..1`; one value gives a range
    /// around it.
    #[must_use]
    pub fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values.into_iter().filter(|v| v.is_finite())).unwrap_or((0.0, 1.0));
        let (low, high) = if high > low { (low, high) } else { widened(low) };
        let step = nice_step((high - low) / 5.0);
        Self::Linear { from: (low / step).floor() * step, to: (high / step).ceil() * step }
    }

    /// A logarithmic scale that holds all positive finite values, with ends at 1, 2 or 5 times powers of ten, and at
    /// least a factor of two between them. No values give `0.1..1`.
    #[must_use]
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let positive = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = extent(positive).unwrap_or((0.1, 1.0));
        // Far enough inside f64 that powers of ten and quotients stay finite.
        let (low, high) = (low.clamp(1e-290, 1e290), high.clamp(1e-290, 1e290));
        let from = [5.0, 2.0, 1.0].map(|m| m * decade(low)).into_iter().find(|end| *end <= low).unwrap_or(low);
        let to = [1.0, 2.0, 5.0, 10.0].map(|m| m * decade(high)).into_iter().find(|end| *end >= high).unwrap_or(high);
        Self::Log { from, to: to.max(2.0 * from) }
    }

    /// The values at 0 and at 1.
    #[must_use]
    pub fn ends(self) -> (f64, f64) {
        match self {
            Self::Linear { from, to } | Self::Log { from, to } => (from, to),
        }
    }

    /// Position of a value, 0 at the start and 1 at the end. On a logarithmic scale what is not positive has none: NaN.
    #[must_use]
    pub fn position(self, value: f64) -> f64 {
        match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } if value > 0.0 => libm::log(value / from) / libm::log(to / from),
            Self::Log { .. } => f64::NAN,
        }
    }

    /// The value at a position.
    #[must_use]
    pub fn value(self, position: f64) -> f64 {
        match self {
            Self::Linear { from, to } => from + position * (to - from),
            Self::Log { from, to } => from * libm::exp(position * libm::log(to / from)),
        }
    }

    /// Ticks at round values, about `count` of them labelled.
    #[must_use]
    pub fn ticks(self, count: usize) -> Vec<Tick> {
        match self {
            Self::Linear { from, to } => linear_ticks(from, to, count.max(1)),
            Self::Log { from, to } => log_ticks(from, to, count.max(1)),
        }
        .into_iter()
        .map(|(value, label)| Tick { value, position: self.position(value), label })
        .collect()
    }
}

/// Smallest and largest.
fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, v| range.map_or(Some((v, v)), |(low, high): (f64, f64)| Some((low.min(v), high.max(v)))))
}

fn widened(value: f64) -> (f64, f64) {
    let margin = if value == 0.0 { 1.0 } else { 0.1 * value.abs() };
    (value - margin, value + margin)
}

/// The power of ten at or below a positive number, free of the rounding of logarithms.
fn decade(value: f64) -> f64 {
    let power = power_of_ten(libm::log10(value).floor() as i32);
    if power > value {
        power / 10.0
    } else if power * 10.0 <= value {
        power * 10.0
    } else {
        power
    }
}

/// Correctly rounded, unlike repeated multiplication: `1e-3` prints as `0.001`.
fn power_of_ten(exponent: i32) -> f64 {
    real(&format!("1e{exponent}")).unwrap_or(1.0)
}

/// The least of 1, 2 and 5 times powers of ten that is not below `step`.
#[must_use]
pub fn nice_step(step: f64) -> f64 {
    if !(step.is_finite() && step > 0.0) {
        return 1.0;
    }
    let unit = decade(step);
    // A rounding error above a nice step is still that step.
    [1.0, 2.0, 5.0, 10.0].map(|m| m * unit).into_iter().find(|nice| *nice >= step * (1.0 - 1e-9)).unwrap_or(step)
}

fn linear_ticks(from: f64, to: f64, count: usize) -> Vec<(f64, String)> {
    let (low, high) = (from.min(to), from.max(to));
    if !(low.is_finite() && high.is_finite()) || low == high {
        return Vec::new();
    }
    let step = nice_step((high - low) / count as f64);
    let first = (low / step - 1e-9).ceil();
    let ticks = (0..=10 * count).map(|i| (first + i as f64) * step).take_while(|&v| v <= high + 1e-9 * step);
    // As many decimals as the step has, so that 0.1 + 0.2 prints as 0.3.
    let decimals = (-(libm::log10(step) + 1e-9).floor()).max(0.0) as usize;
    let plain = decimals <= 4 && low.abs().max(high.abs()) < 1e5;
    ticks
        .map(|value| {
            let value = if value.abs() < 1e-9 * step { 0.0 } else { value };
            let label = if plain { trimmed(&fixed(value, decimals)).into() } else { number(value, 6) };
            (value, label)
        })
        .collect()
}

/// Decades when there are enough of them, thinned when there are too many; else 1, 2 and 5 times them.
fn log_ticks(from: f64, to: f64, count: usize) -> Vec<(f64, String)> {
    if !(from > 0.0 && to > from && to.is_finite()) {
        return Vec::new();
    }
    let first = (libm::log10(from) + 1e-9).floor() as i32;
    let last = (libm::log10(to) - 1e-9).ceil() as i32;
    let decades = usize::try_from(last - first).unwrap_or(1).max(1);
    let every = decades.div_ceil(count).max(1) as i32;
    let factors: &[f64] = if decades <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (first..=last)
        .flat_map(|exponent| factors.iter().map(move |factor| (exponent, factor * power_of_ten(exponent))))
        .filter(|&(_, value)| value >= from * (1.0 - 1e-9) && value <= to * (1.0 + 1e-9))
        .map(|(exponent, value)| {
            let label = if exponent.rem_euclid(every) == 0 { number(value, 1) } else { String::new() };
            (value, label)
        })
        .collect()
}
