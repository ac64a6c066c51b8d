//! Numbers from their decimal text, correctly rounded, and back.
//!
//! The standard library reads the same numbers faster, with tables that are a twentieth of what a visitor downloads. Few
//! numbers are read here, so they are found by long division; and in the page the browser writes them, which knows how
//! without another download.

/// Parts of a whole number of 32 bits that are kept exactly, 240 digits. Of longer ones it is only known whether the rest
/// is zero.
const MOST: usize = 25;

/// A whole number that is not negative, in parts of 32 bits, the lowest first and the highest not zero.
#[derive(Clone, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl Natural {
    fn multiply_and_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for part in &mut self.0 {
            carry += u64::from(*part) * u64::from(factor);
            *part = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn bits(&self) -> i32 {
        self.0.last().map_or(0, |last| 32 * self.0.len() as i32 - last.leading_zeros() as i32)
    }

    fn double(&mut self, times: i32) {
        for _ in 0..times {
            self.multiply_and_add(2, 0);
        }
    }

    /// Takes the other one away if it is not larger, and says whether it did.
    fn take(&mut self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.len(), other.0.len());
        if ours < theirs || (ours == theirs && self.0.iter().rev().lt(other.0.iter().rev())) {
            return false;
        }
        let mut borrowed = false;
        for (place, part) in self.0.iter_mut().enumerate() {
            let (less, first) = part.overflowing_sub(other.0.get(place).copied().unwrap_or(0));
            let (less, second) = less.overflowing_sub(u32::from(borrowed));
            (*part, borrowed) = (less, first || second);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        true
    }
}

/// The shortest text that [`real`] reads as this number.
#[must_use]
pub fn shortest(value: f64) -> String {
    write::shortest(value)
}

/// The shortest text that reads as this number of single precision.
#[must_use]
pub fn shortest_single(value: f32) -> String {
    // Nine digits tell any two of them apart.
    let text = |digits: usize| write::scientific(f64::from(value), digits - 1);
    let same = |text: &String| real(text).is_some_and(|read| read as f32 == value);
    (1..9).map(text).find(same).and_then(|text| real(&text)).map_or_else(|| shortest(f64::from(value)), shortest)
}

/// A number with so many decimals.
#[must_use]
pub fn fixed(value: f64, decimals: usize) -> String {
    write::fixed(value, decimals)
}

/// A number as `1.25e-3`, with so many decimals before the `e`.
#[must_use]
pub fn scientific(value: f64, decimals: usize) -> String {
    write::scientific(value, decimals)
}

#[cfg(not(all(target_arch = "wasm32", feature = "ui")))]
mod write {
    pub fn shortest(value: f64) -> String {
        value.to_string()
    }

    pub fn fixed(value: f64, decimals: usize) -> String {
        format!("{value:.decimals$}")
    }

    pub fn scientific(value: f64, decimals: usize) -> String {
        format!("{value:.decimals$e}")
    }
}

/// The same by the browser, which writes very small and very large numbers as `1e-7`.
#[cfg(all(target_arch = "wasm32", feature = "ui"))]
mod write {
    use js_sys::{JsString, Number};
    use wasm_bindgen::JsValue;

    /// Most digits that the browser writes.
    const MOST: usize = 100;

    /// As the standard library has it: `1e7` for `1e+7`, `inf` for `Infinity`.
    fn ours(text: Result<JsString, JsValue>) -> String {
        let text: String = text.map(String::from).unwrap_or_default();
        text.replace("e+", "e").replace("Infinity", "inf")
    }

    pub fn shortest(value: f64) -> String {
        ours(Number::from(value).to_string_with_radix(10))
    }

    pub fn fixed(value: f64, decimals: usize) -> String {
        ours(Number::from(value).to_fixed(decimals.min(MOST) as u8))
    }

    pub fn scientific(value: f64, decimals: usize) -> String {
        ours(Number::from(value).to_exponential(decimals.min(MOST) as u8))
    }
}

/// The number that is nearest to what `text` says, as the standard library reads it: `-2.5e-3`, `.5`, `inf`. Nothing when
/// it says no number.
#[must_use]
pub fn real(text: &str) -> Option<f64> {
    match text.as_bytes() {
        [b'-', rest @ ..] => magnitude(rest).map(|value| -value),
        [b'+', rest @ ..] | rest => magnitude(rest),
    }
}

fn magnitude(text: &[u8]) -> Option<f64> {
    match text.to_ascii_lowercase().as_slice() {
        b"inf" | b"infinity" => return Some(f64::INFINITY),
        b"nan" => return Some(f64::NAN),
        _ => {}
    }
    let (mut whole, mut exponent) = (Natural(Vec::new()), 0i32);
    let (mut digits, mut beyond, mut point) = (false, false, false);
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'0'..=b'9' => {
                digits = true;
                if whole.0.len() < MOST {
                    whole.multiply_and_add(10, u32::from(byte - b'0'));
                    exponent -= i32::from(point);
                } else {
                    beyond |= *byte != b'0';
                    exponent += i32::from(!point);
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' if digits => {
                exponent = exponent.saturating_add(power(rest)?);
                rest = &[];
            }
            _ => return None,
        }
    }
    if beyond {
        whole.multiply_and_add(10, 1);
        exponent -= 1;
    }
    digits.then(|| scaled(whole, exponent))
}

/// The whole number behind an `e`. Beyond a million it makes no difference.
fn power(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] | rest => (1, rest),
    };
    let value = digits.iter().try_fold(0, |value: i32, byte| {
        byte.is_ascii_digit().then(|| (10 * value + i32::from(byte - b'0')).min(1_000_000))
    });
    value.filter(|_| !digits.is_empty()).map(|value| sign * value)
}

/// `whole * 10^exponent`, rounded to the nearest, halves to the even one.
fn scaled(whole: Natural, exponent: i32) -> f64 {
    // 240 digits at most before the exponent.
    if whole.0.is_empty() || exponent < -600 {
        return 0.0;
    }
    if exponent > 310 {
        return f64::INFINITY;
    }
    let (mut above, mut below) = (whole, Natural(vec![1]));
    let grows = if exponent < 0 { &mut below } else { &mut above };
    for _ in 0..exponent.unsigned_abs() {
        grows.multiply_and_add(10, 0);
    }
    // The quotient is 2^binary times a number from 1 to below 2, of which 64 digits are found.
    let mut binary = above.bits() - below.bits();
    below.double(binary);
    above.double(-binary);
    if !above.take(&below) {
        binary -= 1;
        above.double(1);
        above.take(&below);
    }
    let mut quotient = 1u64;
    for _ in 1..64 {
        above.double(1);
        quotient = 2 * quotient + u64::from(above.take(&below));
    }
    if binary > 1023 {
        return f64::INFINITY;
    }
    // Less than half the least number.
    if binary < -1075 {
        return 0.0;
    }
    // Bits that a double has room for: 53, fewer below the normal numbers.
    let dropped = 64 - (binary + 1075).clamp(0, 53);
    let (kept, lost) = (u128::from(quotient) >> dropped, u128::from(quotient) & ((1 << dropped) - 1));
    let half = 1 << (dropped - 1);
    let up = lost > half || (lost == half && (!above.0.is_empty() || kept & 1 == 1));
    // A carry makes the next power of two, in the exponent where it belongs.
    f64::from_bits((((binary + 1022).max(0) as u64) << 52) + kept as u64 + u64::from(up))
}

#[cfg(test)]
mod tests {
    use super::real;
    use crate::rng::{Rng, Stream};

    fn same(text: &str) {
        let (ours, theirs) = (real(text), text.parse::<f64>().ok());
        assert_eq!(ours.map(f64::to_bits), theirs.map(f64::to_bits), "{text}: {ours:?}, {theirs:?}");
    }

    #[test]
    fn texts_are_read_as_the_standard_library_reads_them() {
        let numbers = "0 -0 1 -1 +2.5 .5 5. 0.1 0.30000000000000004 1e3 1E+3 2.5e-3 007 1e22 1e23 9007199254740993 \
                       9007199254740993.00000000000000000001 2.2250738585072011e-308 2.2250738585072014e-308 5e-324 \
                       2.4703282292062327e-324 2.4703282292062328e-324 2e-324 1e-400 1e400 1.7976931348623157e308 \
                       1.7976931348623159e308 1e999999999999 1e-999999999999 0e999999999999 inf -Infinity NaN";
        let others = ["", ".", "-", "e5", "1e", "1e+", "1.2.3", "1,5", "1 ", "0x10", "--1", "infin", "٣"];
        numbers.split_whitespace().chain(others).for_each(same);
    }

    #[test]
    fn every_double_is_read_from_its_own_text() {
        let mut random = Rng::new(5, Stream::Data, 0);
        for _ in 0..20_000 {
            let bits = u64::from(random.bits()) << 32 | u64::from(random.bits());
            let value = f64::from_bits(bits);
            if value.is_finite() {
                same(&value.to_string());
                same(&format!("{value:e}"));
                same(&format!("{value:.3e}"));
            }
        }
    }

    #[test]
    fn what_lies_between_two_doubles_goes_to_the_nearer_one_and_the_middle_to_the_even_one() {
        let mut random = Rng::new(6, Stream::Data, 0);
        for _ in 0..1_000 {
            // Odd numbers from 2^53 to 2^54 are in the middle of two doubles, and so are they over powers of two.
            let middle = ((1u128 << 53) + (u128::from(random.bits()) << 21) + u128::from(random.bits() >> 11)) | 1;
            for halvings in [0, 20, 31] {
                let digits = middle * 5u128.pow(halvings);
                same(&format!("{digits}e-{halvings}"));
                same(&format!("{digits}.{}1e-{halvings}", "0".repeat(300)));
                same(&format!("{}.{}e-{halvings}", digits - 1, "9".repeat(300)));
            }
        }
    }
}
