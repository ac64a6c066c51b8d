//! Noise levels that lie beside weights or are published with them: geometric progressions.

use crate::diffusion::convention::{Convention, TimeConvention};

/// Their name: in ncsnv2's and score_sde's files and, where there are some, in this project's.
pub const SIGMAS: &str = "sigmas";
/// How far published levels are from a geometric progression: the roundings of single precision.
const SLACK: f64 = 1e-3;

/// Noise levels that fall geometrically, for pixels from -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseLevels {
    /// How many.
    pub count: u32,
    /// The largest, which comes first.
    pub largest: f64,
    /// The smallest.
    pub smallest: f64,
}

impl NoiseLevels {
    /// These numbers, for pixels from 0 to 1, when they fall geometrically.
    pub fn of(sigmas: &[f32]) -> Option<Self> {
        let (&[largest, .., smallest], Ok(count)) = (sigmas, u32::try_from(sigmas.len())) else { return None };
        let (largest, smallest) = (f64::from(largest), f64::from(smallest));
        let falls = smallest > 0.0 && largest > smallest && largest.is_finite();
        let ratio = libm::log(smallest / largest);
        let near = |(at, sigma): (usize, &f32)| {
            let wanted = libm::log(largest) + ratio * at as f64 / f64::from(count - 1);
            (libm::log(f64::from(*sigma)) - wanted).abs() < SLACK
        };
        let levels = Self { count, largest: 2.0 * largest, smallest: 2.0 * smallest };
        (falls && sigmas.iter().enumerate().all(near)).then_some(levels)
    }

    /// The convention of a network that says the score times sigma and is told the place of a level among these, the largest 0
    /// (Song et al. 2021).
    pub fn convention(self) -> Convention {
        let Self { count, largest, smallest } = self;
        Convention { time: TimeConvention::Levels { count, largest, smallest }, ..Convention::ve() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_obeyed_when_they_are_a_geometric_progression() {
        let wanted = NoiseLevels { count: 3, largest: 8.0, smallest: 2.0 };
        assert_eq!(NoiseLevels::of(&[4.0, 2.0, 1.0]), Some(wanted));
        for other in [&[4.0, 3.0, 1.0][..], &[1.0, 2.0, 4.0], &[1.0], &[], &[1.0, -1.0], &[1.0, f32::NAN, 0.1]] {
            assert_eq!(NoiseLevels::of(other), None);
        }
    }
}
