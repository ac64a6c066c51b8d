//! Frechet distance between Gaussian fits (Dowson and Landau 1982): FID's formula, on raw coordinates.

/// Rotations of the Jacobi method over the whole matrix; a handful suffices, more never harm.
const SWEEPS: usize = 50;

/// Mean and covariance (divisor `n - 1`) of points with `D` coordinates. NaN for fewer than two.
#[must_use]
pub fn gaussian_fit<const D: usize>(points: &[[f64; D]]) -> ([f64; D], [[f64; D]; D]) {
    let count = points.len() as f64;
    let mut mean = [0.0; D];
    for point in points {
        for (sum, value) in mean.iter_mut().zip(point) {
            *sum += value / count;
        }
    }
    let mut covariance = [[0.0; D]; D];
    for point in points {
        for i in 0..D {
            for j in 0..D {
                covariance[i][j] += (point[i] - mean[i]) * (point[j] - mean[j]) / (count - 1.0);
            }
        }
    }
    (mean, covariance)
}

/// Squared Frechet distance `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))` between two Gaussians given as mean and
/// covariance: their squared Wasserstein-2 distance. For few dimensions.
#[must_use]
pub fn frechet<const D: usize>(left: &([f64; D], [[f64; D]; D]), right: &([f64; D], [[f64; D]; D])) -> f64 {
    let root = symmetric_root(&left.1);
    // (S1 S2)^(1/2) has the trace of (S1^(1/2) S2 S1^(1/2))^(1/2), whose argument is symmetric.
    let (values, _) = eigen(product(&product(&root, &right.1), &root));
    let cross: f64 = values.iter().map(|value| value.max(0.0).sqrt()).sum();
    let mut total = -2.0 * cross;
    for i in 0..D {
        let shift = left.0[i] - right.0[i];
        total += shift * shift + left.1[i][i] + right.1[i][i];
    }
    total.max(0.0)
}

fn product<const D: usize>(a: &[[f64; D]; D], b: &[[f64; D]; D]) -> [[f64; D]; D] {
    core::array::from_fn(|i| core::array::from_fn(|j| (0..D).map(|k| a[i][k] * b[k][j]).sum()))
}

fn symmetric_root<const D: usize>(matrix: &[[f64; D]; D]) -> [[f64; D]; D] {
    let (values, vectors) = eigen(*matrix);
    core::array::from_fn(|i| {
        core::array::from_fn(|j| (0..D).map(|k| vectors[i][k] * values[k].max(0.0).sqrt() * vectors[j][k]).sum())
    })
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix, by Jacobi's rotations.
fn eigen<const D: usize>(mut a: [[f64; D]; D]) -> ([f64; D], [[f64; D]; D]) {
    let mut vectors: [[f64; D]; D] = core::array::from_fn(|i| core::array::from_fn(|j| f64::from(u8::from(i == j))));
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..D {
            for q in p + 1..D {
                // Below this the entry no longer changes the diagonal.
                if a[p][q].abs() <= 1e-17 * (a[p][p].abs() + a[q][q].abs()) {
                    continue;
                }
                rotated = true;
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for row in &mut a {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
                let (upper, lower) = (a[p], a[q]);
                a[p] = core::array::from_fn(|k| cosine * upper[k] - sine * lower[k]);
                a[q] = core::array::from_fn(|k| sine * upper[k] + cosine * lower[k]);
                for row in &mut vectors {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    (core::array::from_fn(|i| a[i][i]), vectors)
}
