//! Numbers as short labels, in ASCII digits: the page is shown in several scripts, its charts in one.

use crate::decimal::{fixed, scientific};

/// A number with at most `digits` significant digits: plain between 0.001 and 100000, like `1.5e-4` outside, without
/// trailing zeros. `digits` is taken between 1 and 15.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if value == 0.0 {
        return "0".into();
    }
    // Rounding can raise the exponent (0.9996 to 1.00), so read it off the rounded number.
    let scientific = scientific(value, digits.clamp(1, 15) - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..5).contains(&exponent) {
        let decimals = usize::try_from(digits.clamp(1, 15) as i32 - 1 - exponent).unwrap_or(0);
        return trimmed(&fixed(value, decimals)).into();
    }
    format!("{}e{exponent}", trimmed(mantissa))
}

/// Without the zeros a decimal fraction ends in.
pub(crate) fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}
