//! Divergences of the samples' histogram from the exact cell probabilities.

/// Weight of the uniform distribution mixed into both sides: a cell without data then costs at most
/// `ln(cells / SMOOTHING)` nats a sample instead of infinitely many, and equal distributions stay equal.
pub const SMOOTHING: f64 = 0.01;

/// Cells along a side for so many samples: eight samples a cell if they were spread evenly, between 4 and 64.
///
/// The Kullback-Leibler divergence of a histogram of `n` perfect samples over `k` cells that hold any data is on average
/// about `(k - 1) / (2 n)` nats, here at most 1/16; smoothing lowers every divergence by a percent or so.
#[must_use]
pub fn histogram_side(samples: usize) -> usize {
    (libm::round((samples as f64 / 8.0).sqrt()) as usize).clamp(4, 64)
}

/// Kullback-Leibler divergence of the histogram from the probabilities, and the Jensen-Shannon divergence between them,
/// in nats, both after [`SMOOTHING`]. Zero counts in all give the divergences of the uniform distribution.
#[must_use]
pub fn divergences(counts: &[u32], probabilities: &[f64]) -> (f64, f64) {
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let uniform = 1.0 / counts.len().max(1) as f64;
    let smooth = |p: f64| (1.0 - SMOOTHING) * p + SMOOTHING * uniform;
    let (mut kl, mut js) = (0.0, 0.0);
    for (&count, &probability) in counts.iter().zip(probabilities) {
        let p = smooth(if total > 0.0 { f64::from(count) / total } else { uniform });
        let q = smooth(probability);
        let middle = 0.5 * (p + q);
        kl += p * libm::log(p / q);
        js += 0.5 * (p * libm::log(p / middle) + q * libm::log(q / middle));
    }
    // Rounding can take what is zero below it.
    (kl.max(0.0), js.max(0.0))
}
