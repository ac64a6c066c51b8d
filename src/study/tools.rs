//! What several studies need: grids for pictures, standard errors, distances between distributions.

use crate::data::metrics::modes;
use crate::data::{Dataset, DatasetId, Drawing, Gaussians, Mixture};

/// The bound of a claim about something that is not negative.
pub const fn at_most(high: f64) -> [f64; 2] {
    [f64::NEG_INFINITY, high]
}

/// `count` numbers from `from` to `to`, both included.
pub fn span(from: f64, to: f64, count: usize) -> impl ExactSizeIterator<Item = f64> + Clone {
    let steps = count.max(2) - 1;
    (0..count).map(move |i| from + (to - from) * i as f64 / steps as f64)
}

/// `x, f(x)` along a line.
pub fn curve(xs: impl IntoIterator<Item = f64>, f: impl Fn(f64) -> f64) -> Vec<f64> {
    xs.into_iter().flat_map(|x| [x, f(x)]).collect()
}

/// The same for values by whole numbers, thinned to at most 400 of them; the last is always there.
pub fn series(values: &[f64]) -> Vec<f64> {
    let every = values.len().div_ceil(400).max(1);
    let last = values.len().saturating_sub(1);
    let kept = values.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    kept.flat_map(|(i, &v)| [i as f64, v]).collect()
}

/// The numbers of a heat map over the window `[left, right, bottom, top]`: `f` at the middles of cells, rows from the
/// bottom, colours from `low` to `high`.
pub fn heat(side: [usize; 2], window: [f64; 4], colours: [f64; 2], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let [columns, rows] = side;
    let [left, right, bottom, top] = window;
    let mut numbers = vec![columns as f64, rows as f64, left, right, bottom, top, colours[0], colours[1]];
    for row in 0..rows {
        let y = bottom + (top - bottom) * (row as f64 + 0.5) / rows as f64;
        numbers.extend((0..columns).map(|column| f(left + (right - left) * (column as f64 + 0.5) / columns as f64, y)));
    }
    numbers
}

/// The same with colours from 0 to the largest value.
pub fn heat_to_most(side: [usize; 2], window: [f64; 4], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut map = heat(side, window, [0.0, 0.0], f);
    map[7] = map[8..].iter().copied().fold(1e-9, f64::max);
    map
}

/// The numbers of the pieces of several ways, given by where all of them are, one time after the other.
pub fn pieces<'p>(times: impl IntoIterator<Item = &'p Vec<[f64; 2]>>) -> Vec<f64> {
    let times: Vec<&Vec<[f64; 2]>> = times.into_iter().collect();
    let pairs = times.windows(2).flat_map(|pair| pair[0].iter().zip(pair[1]));
    pairs.flat_map(|(a, b)| [a[0], a[1], b[0], b[1]]).collect()
}

/// The same over the square from minus to plus `half`, for values at its [`cells`].
pub fn heat_of(half: f64, colours: [f64; 2], values: impl ExactSizeIterator<Item = f64>) -> Vec<f64> {
    let side = values.len().isqrt();
    let mut map = heat([side; 2], [-half, half, -half, half], colours, |_, _| 0.0);
    for (cell, value) in map[8..].iter_mut().zip(values) {
        *cell = value;
    }
    map
}

/// The middles of the cells of a square from minus to plus `half`, row by row from the bottom.
pub fn cells(half: f64, side: usize) -> Vec<[f64; 2]> {
    let along = |i: usize| half * (2.0 * (i as f64 + 0.5) / side as f64 - 1.0);
    (0..side * side).map(|i| [along(i % side), along(i / side)]).collect()
}

/// Vectors at places, as the numbers of arrows.
pub fn arrows(places: &[[f64; 2]], vectors: &[[f64; 2]]) -> Vec<f64> {
    places.iter().zip(vectors).flat_map(|(p, v)| [p[0], p[1], v[0], v[1]]).collect()
}

/// The standard error of a share `p` among `count` independent trials. At 0 and 1, where the estimated variance is zero
/// but the truth need not be, that of one trial more on the other side.
pub fn share_error(p: f64, count: usize) -> f64 {
    let n = count.max(1) as f64;
    let p = p.clamp(1.0 / (n + 2.0), 1.0 - 1.0 / (n + 2.0));
    (p * (1.0 - p) / n).sqrt()
}

/// The share of samples within four standard deviations of a mode, and its standard error.
pub fn near(samples: &[[f64; 2]], mixture: &Mixture) -> (f64, f64) {
    let near = modes(samples, mixture).near;
    (near, share_error(near, samples.len()))
}

/// The difference of two independent numbers, and its standard error.
pub fn difference(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 - b.0, a.1.hypot(b.1))
}

/// Mean and its standard error.
pub fn mean_error(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

/// The slope of a straight line through points, by least squares, and its standard error by what they are off the line.
pub fn slope(points: &[[f64; 2]]) -> (f64, f64) {
    let n = points.len() as f64;
    let [x, y] = [0, 1].map(|axis| points.iter().map(|p| p[axis]).sum::<f64>() / n);
    let square: f64 = points.iter().map(|p| (p[0] - x).powi(2)).sum();
    let slope = points.iter().map(|p| (p[0] - x) * (p[1] - y)).sum::<f64>() / square;
    let off: f64 = points.iter().map(|p| (p[1] - y - slope * (p[0] - x)).powi(2)).sum();
    (slope, (off / (n - 2.0).max(1.0) / square).sqrt())
}

/// The median and its standard error, from the median deviation as of normal numbers: for times, whose large values are
/// somebody else's.
pub fn median_error(values: &[f64]) -> (f64, f64) {
    let median = |values: &mut Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let middle = median(&mut values.to_vec());
    let mut away: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    // 1.4826 from median deviation to standard deviation, 1.2533 from the mean's error to the median's.
    (middle, 1.4826 * 1.2533 * median(&mut away) / (values.len().max(1) as f64).sqrt())
}

/// The mean of the middle half of the values, and its standard error: what some few were slowed down by does not
/// count, and a coarse clock is right on average, which the median of its numbers is not.
pub fn middle_mean(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    mean_error(&sorted[quarter..sorted.len() - quarter])
}

/// The Kolmogorov-Smirnov distance of a sample from a distribution, and its standard deviation if it is one of that
/// distribution: `0.26 / sqrt(n)`, that of Kolmogorov's limit.
pub fn kolmogorov(sample: &[f64], cdf: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len().max(1) as f64;
    let distance = sorted.iter().enumerate().fold(0.0_f64, |most, (i, &x)| {
        let p = cdf(x);
        most.max((p - i as f64 / n).abs()).max(((i + 1) as f64 / n - p).abs())
    });
    (distance, 0.26 / n.sqrt())
}

/// A histogram as a density, the numbers of a band: steps from 0.
pub fn histogram(values: &[f64], [from, to]: [f64; 2], bins: usize) -> Vec<f64> {
    let width = (to - from) / bins as f64;
    let mut counts = vec![0.0; bins];
    for value in values {
        let bin = (value - from) / width;
        if bin >= 0.0 && bin < bins as f64 {
            counts[bin as usize] += 1.0;
        }
    }
    let one = 1.0 / (values.len().max(1) as f64 * width);
    let steps = counts.iter().enumerate().flat_map(|(i, count)| {
        let left = from + i as f64 * width;
        [left, 0.0, count * one, left + width, 0.0, count * one]
    });
    steps.collect()
}

/// Points as the numbers of a network's rows.
pub fn flat<const D: usize>(points: &[[f64; D]]) -> Vec<f32> {
    points.iter().flatten().map(|&v| v as f32).collect()
}

/// Rows of a network's numbers as points.
pub fn points<const D: usize>(numbers: &[f32]) -> Vec<[f64; D]> {
    numbers.chunks_exact(D).map(|row| core::array::from_fn(|axis| f64::from(row[axis]))).collect()
}

/// Data with noise of this size, and what denoising score matching says of them: `-noise / sigma` for every number, and
/// for every one of `count` points the variance, or small noise would drown the rate in large losses.
pub fn denoising(x: &[f32], noise: &[f32], sigma: f64, count: usize) -> [Vec<f32>; 3] {
    let noisy = x.iter().zip(noise).map(|(x, z)| x + sigma as f32 * z).collect();
    let target = noise.iter().map(|z| -z / sigma as f32).collect();
    [noisy, target, vec![(sigma * sigma) as f32; count]]
}

/// That many ones.
pub fn units(count: usize) -> Vec<f32> {
    vec![1.0; count]
}

/// The true scores at points.
pub fn truths(exact: &crate::data::Marginal<'_>, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    points.iter().map(|&x| exact.score(x)).collect()
}

/// The square distance of every pair.
pub fn squares<const D: usize>(a: &[[f64; D]], b: &[[f64; D]]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()).collect()
}

/// Whether training waits for its device after this step: every sixteenth, so that no queue of steps grows long.
pub const fn waits(step: usize) -> bool {
    step % 16 == 15
}

/// A learning rate's way from 1 down: a short rise, then half a cosine to a hundredth.
pub fn cosine(step: usize, steps: usize) -> f64 {
    let share = step as f64 / steps.max(1) as f64;
    let rise = ((step + 1) as f64 / (0.02 * steps as f64).max(1.0)).min(1.0);
    rise * (0.01 + 0.99 * 0.5 * (1.0 + (core::f64::consts::PI * share).cos()))
}

/// The report's mixture: two Gaussians of unit width, the first of this weight, with nothing between them.
pub fn two_modes(weight: f64) -> crate::data::Mixture {
    crate::data::Mixture::from_components([(weight, [5.0, 5.0], 1.0), (1.0 - weight, [-5.0, -5.0], 1.0)])
}

/// Three overlapping Gaussians in the plane, unequal in weight and width: data whose score is known and not simple.
pub fn three_modes() -> crate::data::Mixture {
    crate::data::Mixture::from_components([(0.5, [-1.5, -0.8], 0.6), (0.3, [1.4, -0.6], 0.5), (0.2, [0.2, 1.5], 0.7)])
}

/// The data set of this name in the plane; of drawings, one without a stroke.
pub fn dataset(id: DatasetId) -> Dataset {
    match Dataset::new(id, &Drawing::default(), &Gaussians::default()) {
        Ok(data) => data,
        Err(error) => unreachable!("studies have no drawing, and nothing else can be empty: {error}"),
    }
}
