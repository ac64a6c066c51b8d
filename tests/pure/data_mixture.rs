//! The closed forms of mixtures against finite differences, quadrature and their own draws.

use scorefield::data::{Exact, Mixture, SquareGrid, mixture::normal_between};
use scorefield::diffusion::{Denoiser, Level, infallible, now};
use scorefield::rng::{Rng, Stream};

fn level(alpha: f64, sigma: f64) -> Level {
    Level { t: 0.5, alpha, sigma }
}

/// Three components of different weights and widths, none at the origin.
fn lopsided() -> Mixture {
    Mixture::from_components([(0.5, [1.0, -0.5], 0.6), (0.3, [-1.2, 0.4], 0.3), (0.2, [0.2, 1.5], 1.1)])
}

fn levels() -> [Level; 5] {
    [level(1.0, 0.0), level(0.9, 0.3), level(0.5, 0.8), level(0.05, 1.0), level(1.0, 20.0)]
}

fn places(level: Level) -> impl Iterator<Item = [f64; 2]> {
    let spread = level.alpha + level.sigma;
    [[0.0, 0.0], [0.7, -0.3], [-1.3, 1.1], [2.5, 2.0]].into_iter().map(move |p| [spread * p[0], spread * p[1]])
}

/// Central differences of the fourth order; the step balances truncation `h^4` and rounding `1e-16 / h`.
fn slope(f: impl Fn(f64) -> f64, scale: f64) -> f64 {
    let h = 1e-3 * scale;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

fn close(left: f64, right: f64, tolerance: f64) {
    assert!((left - right).abs() <= tolerance * (1.0 + right.abs()), "{left} against {right}");
}

#[test]
fn the_score_is_the_gradient_of_the_log_density() {
    let mixture = lopsided();
    for level in levels() {
        for x in places(level) {
            let scale = 0.3 * level.alpha + level.sigma;
            let score = mixture.score(x, level);
            close(score[0], slope(|h| mixture.log_density([x[0] + h, x[1]], level), scale), 1e-8);
            close(score[1], slope(|h| mixture.log_density([x[0], x[1] + h], level), scale), 1e-8);
        }
    }
}

#[test]
fn the_divergences_are_the_sums_of_slopes() {
    let mixture = lopsided();
    for level in levels() {
        let marginal = mixture.at(level);
        for x in places(level) {
            let scale = 0.3 * level.alpha + level.sigma;
            let along = |field: &dyn Fn([f64; 2]) -> [f64; 2]| {
                slope(|h| field([x[0] + h, x[1]])[0], scale) + slope(|h| field([x[0], x[1] + h])[1], scale)
            };
            let exact = marginal.divergence(x);
            close(exact.data, along(&|x| marginal.estimate(x).data), 1e-7);
            close(exact.noise, along(&|x| marginal.estimate(x).noise), 1e-7);
        }
    }
}

/// The centre of a cell.
fn centre(grid: &SquareGrid, cell: usize) -> [f64; 2] {
    [(0, cell % grid.side), (1, cell / grid.side)].map(|(axis, edge)| grid.edge(axis, edge) + 0.5 * grid.cell())
}

/// Sums `f(data) p(data) N(x; alpha data, sigma)` over a fine square: the posterior mean of `f` by brute force.
fn posterior_mean(mixture: &Mixture, x: [f64; 2], level: Level, f: impl Fn([f64; 2]) -> [f64; 2]) -> [f64; 2] {
    let (side, half) = (401, 7.0);
    let grid = SquareGrid { centre: [0.0, 0.0], half, side };
    let (mut sum, mut total) = ([0.0; 2], 0.0);
    for cell in 0..grid.cells() {
        let data = centre(&grid, cell);
        let [dx, dy] = [(x[0] - level.alpha * data[0]) / level.sigma, (x[1] - level.alpha * data[1]) / level.sigma];
        let weight = mixture.density(data) * (-0.5 * (dx * dx + dy * dy)).exp();
        let value = f(data);
        sum = [sum[0] + weight * value[0], sum[1] + weight * value[1]];
        total += weight;
    }
    sum.map(|v| v / total)
}

#[test]
fn the_estimate_is_the_posterior_mean_by_quadrature() {
    let mixture = lopsided();
    for level in [level(0.9, 0.3), level(0.5, 0.8), level(0.05, 1.0)] {
        for x in places(level) {
            let estimate = mixture.estimate(x, level);
            let data = posterior_mean(&mixture, x, level, |data| data);
            let noise = posterior_mean(&mixture, x, level, |data| {
                [(x[0] - level.alpha * data[0]) / level.sigma, (x[1] - level.alpha * data[1]) / level.sigma]
            });
            // The midpoint rule of smooth decaying functions is exact to rounding; mass outside the square is e^-13.
            for axis in 0..2 {
                close(estimate.data[axis], data[axis], 1e-5);
                close(estimate.noise[axis], noise[axis], 1e-5);
            }
        }
    }
}

#[test]
fn data_and_noise_add_up_to_the_point_and_noise_is_the_score() {
    let mixture = lopsided();
    for level in levels() {
        for x in places(level) {
            let estimate = mixture.estimate(x, level);
            let score = mixture.score(x, level);
            for axis in 0..2 {
                close(level.alpha * estimate.data[axis] + level.sigma * estimate.noise[axis], x[axis], 1e-13);
                close(-level.sigma * score[axis], estimate.noise[axis], 1e-12);
            }
        }
    }
}

#[test]
fn the_ends_of_time_are_finite_and_right() {
    let mixture = lopsided();
    let (mean, _) = mixture.mean_and_scale();
    let x = [0.4, -3.0];
    let noise_only = mixture.estimate(x, level(0.0, 1.0));
    for axis in 0..2 {
        close(noise_only.data[axis], mean[axis], 1e-14);
        close(noise_only.noise[axis], x[axis], 1e-14);
        close(mixture.estimate(x, level(1.0, 0.0)).data[axis], x[axis], 1e-14);
    }
    assert_eq!(mixture.estimate(x, level(1.0, 0.0)).noise, [0.0, 0.0]);
    let divergence = mixture.at(level(1.0, 0.0)).divergence(x);
    close(divergence.data, 2.0, 1e-12);
    close(divergence.noise, 0.0, 1e-12);
    let nothing = mixture.estimate(x, level(0.0, 0.0));
    assert!(nothing.data.iter().chain(&nothing.noise).all(|v| v.is_finite()));
    // A thousand standard deviations away every density underflows, and nothing else does.
    let far = mixture.estimate([1e3, -1e3], level(0.9, 0.3));
    assert!(far.data.iter().chain(&far.noise).all(|v| v.is_finite()));
    assert!(mixture.log_density([1e3, -1e3], level(0.9, 0.3)) < -1e5);
    assert!(mixture.score([f64::NAN, 0.0], level(0.9, 0.3))[0].is_nan());
}

#[test]
fn a_batch_is_its_points_and_the_denoiser_follows_the_level() {
    let mixture = lopsided();
    let points = Rng::new(1, Stream::Test, 0).normal_points(50);
    let mut exact = Exact::new(&mixture);
    for level in levels() {
        let batch = infallible(now(exact.estimate(&points, level)));
        for (i, &x) in points.iter().enumerate() {
            let single = mixture.estimate(x, level);
            assert_eq!((batch.data[i], batch.noise[i]), (single.data, single.noise));
            assert_eq!(infallible(now(exact.estimate(&x, level))), single);
        }
    }
}

#[test]
fn responsibilities_sum_to_one_and_name_the_component() {
    let mixture = lopsided();
    let marginal = mixture.at(level(0.9, 0.1));
    for (component, mean) in mixture.means.iter().enumerate() {
        let shares = marginal.responsibilities([0.9 * mean[0], 0.9 * mean[1]]);
        close(shares.iter().sum(), 1.0, 1e-14);
        assert_eq!(marginal.nearest([0.9 * mean[0], 0.9 * mean[1]]), component);
        assert!(shares[component] > 0.7);
    }
}

#[test]
fn cell_probabilities_sum_to_one_and_match_the_density() {
    let mixture = lopsided();
    let grid = SquareGrid { centre: [0.1, 0.2], half: 2.5, side: 200 };
    let probabilities = mixture.cell_probabilities(&grid);
    assert_eq!(probabilities.len(), grid.cells() + 1);
    close(probabilities.iter().sum(), 1.0, 1e-14);
    // The midpoint rule: error h^2 / 24 times the Laplacian, at most 2 / std^2 of the peak density.
    let area = grid.cell() * grid.cell();
    let peak = mixture.density(mixture.means[1]);
    for (cell, probability) in probabilities[..grid.cells()].iter().enumerate() {
        let middle = mixture.density(centre(&grid, cell)) * area;
        assert!((probability - middle).abs() < area * area / 24.0 * 2.0 / 0.09 * peak);
    }
}

#[test]
fn draws_fall_in_cells_as_often_as_the_probabilities_say() {
    let mixture = lopsided();
    let grid = SquareGrid { centre: [0.0, 0.0], half: 3.0, side: 6 };
    let probabilities = mixture.cell_probabilities(&grid);
    let count = 100_000;
    let histogram = grid.histogram(&mixture.draw(&mut Rng::new(5, Stream::Data, 0), count));
    let mut chi_square = 0.0;
    let mut cells = 0.0;
    for (seen, probability) in histogram.iter().zip(&probabilities) {
        let expected = probability * count as f64;
        if expected > 5.0 {
            chi_square += (f64::from(*seen) - expected).powi(2) / expected;
            cells += 1.0;
        }
    }
    // Mean `cells - 1`, standard deviation `sqrt(2 cells)`: five of them.
    assert!(cells > 20.0 && (chi_square - cells).abs() < 5.0 * (2.0 * cells).sqrt(), "{chi_square} of {cells}");
}

#[test]
fn tails_of_the_normal_distribution_keep_their_digits() {
    // 1 - Phi(10) = 7.619853024160526e-24 (scipy.special.ndtr(-10)).
    close(normal_between(10.0, 40.0) / 7.619853024160526e-24, 1.0, 1e-12);
    close(normal_between(-40.0, -10.0) / 7.619853024160526e-24, 1.0, 1e-12);
    close(normal_between(-1.0, 1.0), 0.682_689_492_137_085_9, 1e-15);
}

#[test]
fn moments_agree_with_draws_and_standardising_removes_them() {
    let mixture = lopsided();
    let (mean, scale) = mixture.mean_and_scale();
    let covariance = mixture.covariance();
    close(scale * scale, 0.5 * (covariance[0][0] + covariance[1][1]), 1e-14);
    let (standard_mean, standard_scale) = mixture.standardised(mean, scale).mean_and_scale();
    close(standard_mean[0].hypot(standard_mean[1]), 0.0, 1e-14);
    close(standard_scale, 1.0, 1e-14);
    let count = 100_000;
    let points = mixture.draw(&mut Rng::new(2, Stream::Data, 0), count);
    for axis in 0..2 {
        let average = points.iter().map(|p| p[axis]).sum::<f64>() / count as f64;
        assert!((average - mean[axis]).abs() < 5.0 * (covariance[axis][axis] / count as f64).sqrt());
    }
    let product = points.iter().map(|p| (p[0] - mean[0]) * (p[1] - mean[1])).sum::<f64>() / count as f64;
    // Products of normal numbers vary by about the product of the standard deviations.
    let spread = (covariance[0][0] * covariance[1][1] / count as f64).sqrt();
    assert!((product - covariance[0][1]).abs() < 8.0 * spread);
}

#[test]
fn points_outside_the_grid_are_counted_outside() {
    let grid = SquareGrid { centre: [1.0, 0.0], half: 1.0, side: 4 };
    assert_eq!(grid.index([0.0, -1.0]), Some(0));
    assert_eq!(grid.index([1.99, 0.99]), Some(15));
    assert_eq!(grid.index([0.6, -0.9]), Some(1));
    assert_eq!(grid.index([2.0, 0.0]), None);
    assert_eq!(grid.index([f64::NAN, 0.0]), None);
    let histogram = grid.histogram(&[[0.1, -0.9], [5.0, 5.0], [f64::INFINITY, 0.0]]);
    assert_eq!((histogram[0], histogram[16]), (1, 2));
}
