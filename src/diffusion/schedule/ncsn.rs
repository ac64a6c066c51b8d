//! The rules by which NCSNv2 chooses its noise levels (Song and Ermon 2020, arXiv 2006.09011).

/// How much of one level's noise, in `dimension` dimensions, the next level has seen, when the noise falls by the
/// factor `ratio` from level to level: `Phi(sqrt(2D)(g - 1) + 3g) - Phi(sqrt(2D)(g - 1) - 3g)`.
#[must_use]
pub fn overlap(ratio: f64, dimension: usize) -> f64 {
    let shift = (2.0 * dimension as f64).sqrt() * (ratio - 1.0);
    normal_cdf(shift + 3.0 * ratio) - normal_cdf(shift - 3.0 * ratio)
}

/// Technique 2: the ratio of neighbouring levels whose [`overlap`] is `wanted` (0.5 in the paper). The published
/// settings have overlaps near 0.567.
#[must_use]
pub fn ratio_for_overlap(wanted: f64, dimension: usize) -> f64 {
    // The overlap first rises with the ratio (the window widens), then falls: the root wanted is on the falling side.
    let (mut low, mut high) = (1.0, 2.0);
    while overlap(high, dimension) > wanted && high < 1e6 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if overlap(middle, dimension) > wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The number of geometric levels from `sigma_max` to `sigma_min` whose ratio is nearest to `ratio`.
#[must_use]
pub fn level_count(sigma_max: f64, sigma_min: f64, ratio: f64) -> usize {
    (libm::log(sigma_max / sigma_min) / libm::log(ratio)).round().max(1.0) as usize + 1
}

/// Technique 4: the ratio of the samples' variance to the level's after `steps` Langevin steps of size
/// `epsilon * (sigma / sigma_min)^2`, coming from a level `ratio` times as noisy; 1 is best.
#[must_use]
pub fn variance_ratio(epsilon: f64, steps: u32, ratio: f64, sigma_min: f64) -> f64 {
    let shrink = 1.0 - epsilon / sigma_min.powi(2);
    // 2 e / (s^2 - s^2 (1 - e / s^2)^2), with the difference of squares written out.
    let fixed = 2.0 / (1.0 + shrink);
    shrink.powi(2 * steps.min(1 << 20) as i32) * (ratio.powi(2) - fixed) + fixed
}

/// Technique 4: the step `epsilon` whose [`variance_ratio`] is closest to 1.
#[must_use]
pub fn best_step(steps: u32, ratio: f64, sigma_min: f64) -> f64 {
    let square = sigma_min.powi(2);
    let miss = |share: f64| (variance_ratio(share * square, steps, ratio, sigma_min) - 1.0).abs();
    // A scan brackets the smallest of possibly several minima, golden-section search refines it.
    let grid: Vec<f64> = (1..1000).map(|i| f64::from(i) / 1000.0).collect();
    let best = grid.iter().copied().min_by(|a, b| miss(*a).total_cmp(&miss(*b))).unwrap_or(0.5);
    let (mut low, mut high) = (best - 0.001, best + 0.001);
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    for _ in 0..80 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if miss(a) < miss(b) {
            high = b;
        } else {
            low = a;
        }
    }
    0.5 * (low + high) * square
}

/// The standard normal distribution function.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// The inverse of [`normal_cdf`], by Newton's method from a logistic start. Arguments are moved into
/// `[1e-300, 1 - 1e-16]`.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    let p = p.clamp(1e-300, 1.0 - 1e-16);
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    // ln Phi is concave and rising, so Newton's steps on it cannot leave the line once below the root.
    let mut x = -(-2.0 * libm::log(p)).sqrt();
    for _ in 0..60 {
        let cdf = normal_cdf(x);
        let density = libm::exp(-0.5 * x * x) / std::f64::consts::TAU.sqrt();
        let step = libm::log(cdf / p) * cdf / density;
        x -= step;
        if step.abs() < 1e-15 * x.abs().max(1.0) {
            break;
        }
    }
    x
}
