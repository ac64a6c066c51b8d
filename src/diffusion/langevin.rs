//! Langevin dynamics: sampling from a density whose score is known, at one level of noise.

use super::State;

/// One step of the unadjusted Langevin algorithm, `x + (epsilon / 2) score + sqrt(epsilon) z`. Exact only as `epsilon`
/// goes to 0.
#[must_use]
pub fn unadjusted<S: State>(x: S, score: S, epsilon: f64, z: S) -> S {
    x.blend(1.0, score, 0.5 * epsilon).blend(1.0, z, epsilon.max(0.0).sqrt())
}

/// A point of a Markov chain with what the Metropolis test needs to know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Place<S> {
    /// Where.
    pub x: S,
    /// Log-density there, up to a constant.
    pub log_density: f64,
    /// Score there.
    pub score: S,
}

/// What the Metropolis test decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// `min(0, ln ratio)` of the test; a probability after `exp`.
    pub log_acceptance: f64,
    /// Whether the chain moved.
    pub accepted: bool,
}

/// One step of the Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996) for one chain: the proposal of
/// [`unadjusted`], accepted with probability `min(1, p(x') q(x | x') / (p(x) q(x' | x)))`, which leaves the density
/// exactly as it is whatever `epsilon`. `look` gives log-density and score of a point; `uniform` is in `[0, 1)`.
///
/// A proposal whose density is not a number, or zero, is rejected.
pub fn adjusted<S: State>(
    place: &mut Place<S>,
    epsilon: f64,
    z: S,
    uniform: f64,
    square_norm: impl Fn(&S) -> f64,
    look: impl FnOnce(&S) -> (f64, S),
) -> Verdict {
    let x = unadjusted(place.x.clone(), place.score.clone(), epsilon, z.clone());
    let (log_density, score) = look(&x);
    // ln q(x' | x) is -|z|^2 / 2; backwards the distance is |x - x' - (epsilon / 2) score'|.
    let back = place.x.clone().blend(1.0, x.clone(), -1.0).blend(1.0, score.clone(), -0.5 * epsilon);
    let log_ratio = log_density - place.log_density - square_norm(&back) / (2.0 * epsilon) + 0.5 * square_norm(&z);
    let log_acceptance = if log_ratio.is_nan() { f64::NEG_INFINITY } else { log_ratio.min(0.0) };
    let accepted = uniform < libm::exp(log_acceptance);
    if accepted {
        *place = Place { x, log_density, score };
    }
    Verdict { log_acceptance, accepted }
}
