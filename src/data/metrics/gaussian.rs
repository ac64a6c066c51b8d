//! Gaussian fits of many dimensions and their Fréchet distance: what stands behind FID (Heusel et al. 2017).

/// Mean and covariance, gathered a few rows at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    dimension: usize,
    count: u64,
    sum: Vec<f64>,
    /// Sums of products, the upper half: row `i` from column `i` on.
    products: Vec<f64>,
}

impl Moments {
    /// Of nothing yet.
    #[must_use]
    pub fn new(dimension: usize) -> Self {
        Self { dimension, count: 0, sum: vec![0.0; dimension], products: vec![0.0; dimension * dimension] }
    }

    /// Adds rows of `dimension` numbers.
    pub fn add(&mut self, rows: &[f32]) {
        let dimension = self.dimension;
        // A few rows at a time stay in the cache while every row of the products is visited.
        for rows in rows.chunks(64 * dimension) {
            let rows: Vec<Vec<f64>> =
                rows.chunks_exact(dimension).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect();
            self.count += rows.len() as u64;
            for row in &rows {
                self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            for (i, products) in self.products.chunks_exact_mut(dimension).enumerate() {
                let products = &mut products[i..];
                for row in &rows {
                    let factor = row[i];
                    products.iter_mut().zip(&row[i..]).for_each(|(sum, value)| *sum += factor * value);
                }
            }
        }
    }

    /// The fit; `None` for fewer than two rows.
    #[must_use]
    pub fn fit(&self) -> Option<GaussianFit> {
        if self.count < 2 {
            return None;
        }
        let (count, dimension) = (self.count as f64, self.dimension);
        let mean: Vec<f64> = self.sum.iter().map(|sum| sum / count).collect();
        let mut covariance = vec![0.0; dimension * dimension];
        for i in 0..dimension {
            for j in i..dimension {
                let value = (self.products[i * dimension + j] - count * mean[i] * mean[j]) / (count - 1.0);
                covariance[i * dimension + j] = value;
                covariance[j * dimension + i] = value;
            }
        }
        Some(GaussianFit { count: self.count, mean, covariance })
    }
}

/// A Gaussian fitted to rows.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianFit {
    /// How many rows.
    pub count: u64,
    /// Their mean.
    pub mean: Vec<f64>,
    /// Their covariance, divisor `count - 1`, row by row.
    pub covariance: Vec<f64>,
}

impl GaussianFit {
    /// `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))` (Dowson and Landau 1982).
    ///
    /// With `S2 = L L^T` the eigenvalues of `S1 S2` are those of the symmetric `L^T S1 L`: no square root of a matrix is
    /// taken, and covariances of fewer rows than dimensions do no harm.
    ///
    /// # Panics
    /// When the dimensions differ.
    #[must_use]
    pub fn frechet(&self, other: &Self) -> f64 {
        let dimension = self.mean.len();
        assert_eq!(dimension, other.mean.len(), "two fits of the same features");
        let factor = transposed_factor(&other.covariance, dimension);
        let rank = factor.len() / dimension.max(1);
        // Rows of L^T times S1, then times L.
        let half = by_rows(&factor, &self.covariance, rank, dimension, dimension);
        let product = by_rows(&half, &factor, rank, rank, dimension);
        let cross: f64 = eigenvalues(product, rank).iter().map(|value| value.max(0.0).sqrt()).sum();
        let shift: f64 = self.mean.iter().zip(&other.mean).map(|(a, b)| (a - b) * (a - b)).sum();
        let trace = |matrix: &[f64]| matrix.iter().step_by(dimension + 1).sum::<f64>();
        (shift + trace(&self.covariance) + trace(&other.covariance) - 2.0 * cross).max(0.0)
    }
}

/// `L^T`, row by row, of a positive semidefinite matrix `L L^T`, by Cholesky's method with pivots; rows that would be
/// rounding errors are left out (Higham 2002, section 10.3).
fn transposed_factor(matrix: &[f64], dimension: usize) -> Vec<f64> {
    let mut diagonal: Vec<f64> = matrix.iter().step_by(dimension + 1).copied().collect();
    let largest = diagonal.iter().fold(0.0_f64, |m, v| m.max(*v));
    let mut factor: Vec<f64> = Vec::new();
    for _ in 0..dimension {
        let Some((pivot, &left)) = diagonal.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) else { break };
        if left <= 1e-14 * largest || left <= 0.0 {
            break;
        }
        let root = left.sqrt();
        let mut row = matrix[pivot * dimension..(pivot + 1) * dimension].to_vec();
        for earlier in factor.chunks_exact(dimension) {
            let share = earlier[pivot];
            row.iter_mut().zip(earlier).for_each(|(value, other)| *value -= share * other);
        }
        row.iter_mut().for_each(|value| *value /= root);
        diagonal.iter_mut().zip(&row).for_each(|(left, value)| *left -= value * value);
        // It never comes again, whatever rounding left of it.
        diagonal[pivot] = f64::NEG_INFINITY;
        factor.extend(row);
    }
    factor
}

/// `A B^T` of matrices given row by row, `rows` x `inner` and `columns` x `inner`.
fn by_rows(a: &[f64], b: &[f64], rows: usize, columns: usize, inner: usize) -> Vec<f64> {
    const TILE: usize = 32;
    let mut product = vec![0.0; rows * columns];
    for start in (0..columns).step_by(TILE) {
        let end = (start + TILE).min(columns);
        for (row, out) in a.chunks_exact(inner.max(1)).zip(product.chunks_exact_mut(columns.max(1))) {
            for (column, out) in (start..end).zip(&mut out[start..end]) {
                *out = dot(row, &b[column * inner..(column + 1) * inner]);
            }
        }
    }
    product
}

/// In eight sums, so that the compiler makes vector instructions of them.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for k in 0..8 {
            sums[k] += a[k] * b[k];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Eigenvalues of a symmetric matrix: Householder's tridiagonal form, then implicit QL (Golub and Van Loan 2013,
/// section 8.3).
#[must_use]
pub fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let (mut diagonal, mut off) = (vec![0.0; n], vec![0.0; n]);
    for k in 0..n {
        diagonal[k] = a[k * n + k];
        // The part of row k right of the diagonal becomes its first number alone.
        let mut v: Vec<f64> = a[k * n + k + 1..(k + 1) * n].to_vec();
        let norm = dot(&v, &v).sqrt();
        if v.len() < 2 || norm == 0.0 {
            if let Some(first) = v.first() {
                off[k] = *first;
            }
            continue;
        }
        let alpha = if v[0] > 0.0 { -norm } else { norm };
        off[k] = alpha;
        v[0] -= alpha;
        let square = dot(&v, &v);
        if square == 0.0 {
            continue;
        }
        // B - v w^T - w v^T with w = p - (v.p / v.v) v and p = 2 B v / v.v
        let rows = k + 1..n;
        let mut w: Vec<f64> = rows.clone().map(|i| 2.0 * dot(&a[i * n + k + 1..(i + 1) * n], &v) / square).collect();
        let share = dot(&v, &w) / square;
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= share * v);
        for i in rows {
            let (vi, wi) = (v[i - k - 1], w[i - k - 1]);
            let row = &mut a[i * n + k + 1..(i + 1) * n];
            for ((value, v), w) in row.iter_mut().zip(&v).zip(&w) {
                *value -= vi * w + wi * v;
            }
        }
    }
    tridiagonal(diagonal, off)
}

/// Eigenvalues of a symmetric tridiagonal matrix; `off[i]` couples `i` and `i + 1`.
fn tridiagonal(mut d: Vec<f64>, mut e: Vec<f64>) -> Vec<f64> {
    let n = d.len();
    for l in 0..n {
        // Some two rounds each are usual.
        for _ in 0..100 {
            let m = (l..n - 1).find(|&m| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs())).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut r = libm::hypot(g, 1.0);
            g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut early = false;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                r = libm::hypot(f, g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    early = true;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if !early {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    d
}

/// Improved precision and recall (Kynkäänniemi et al. 2019) of rows of features, with balls that reach to the `k`-th
/// neighbour: the share of `samples` in a ball around `data`, and the other way round. `None` for fewer than `k + 1`
/// rows on a side.
#[must_use]
pub fn precision_recall(samples: &[f32], data: &[f32], dimension: usize, k: usize) -> Option<(f64, f64)> {
    let rows = |values: &[f32]| values.len() / dimension.max(1);
    let (m, n) = (rows(samples), rows(data));
    if m <= k || n <= k || k == 0 {
        return None;
    }
    let (of_data, of_samples) = (radii(data, dimension, k), radii(samples, dimension, k));
    let (mut precise, mut covered) = (vec![false; m], vec![false; n]);
    for (i, sample) in samples.chunks_exact(dimension).enumerate() {
        for (j, datum) in data.chunks_exact(dimension).enumerate() {
            if precise[i] && covered[j] {
                continue;
            }
            let distance = square_distance(sample, datum);
            precise[i] |= distance <= of_data[j];
            covered[j] |= distance <= of_samples[i];
        }
    }
    let share = |inside: &[bool]| inside.iter().filter(|inside| **inside).count() as f64 / inside.len() as f64;
    Some((share(&precise), share(&covered)))
}

fn radii(points: &[f32], dimension: usize, k: usize) -> Vec<f32> {
    let count = points.len() / dimension;
    let mut least = vec![vec![f32::INFINITY; k]; count];
    let mut note = |i: usize, distance: f32| {
        let least = &mut least[i];
        if distance < least[k - 1] {
            let place = least.partition_point(|known| *known <= distance);
            least.insert(place, distance);
            least.truncate(k);
        }
    };
    for (i, a) in points.chunks_exact(dimension).enumerate() {
        for (j, b) in points.chunks_exact(dimension).enumerate().take(i) {
            let distance = square_distance(a, b);
            note(i, distance);
            note(j, distance);
        }
    }
    least.into_iter().map(|least| least[k - 1]).collect()
}

fn square_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (a, b) in a.zip(b) {
        for i in 0..16 {
            let difference = a[i] - b[i];
            sums[i] += difference * difference;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::metrics::{frechet, gaussian_fit};
    use crate::rng::{Rng, Stream};

    #[test]
    fn in_two_dimensions_the_distance_is_that_of_the_other_implementation() {
        let mut rng = Rng::new(4, Stream::Test, 0);
        let mut draw = |scale: f64, shift: f64| -> Vec<[f64; 2]> {
            let point = |[x, y]: [f64; 2]| [f64::from((scale * x + shift) as f32), f64::from((0.5 * x + y) as f32)];
            rng.normal_points(50).into_iter().map(point).collect()
        };
        let (left, right) = (draw(1.0, 0.0), draw(2.0, 0.7));
        let fit = |points: &[[f64; 2]]| {
            let mut moments = Moments::new(2);
            moments.add(&points.iter().flatten().map(|v| *v as f32).collect::<Vec<_>>());
            moments.fit().unwrap()
        };
        let expected = frechet(&gaussian_fit(&left), &gaussian_fit(&right));
        assert!((fit(&left).frechet(&fit(&right)) - expected).abs() < 1e-12 * expected.max(1.0));
    }

    #[test]
    fn eigenvalues_of_a_known_matrix_are_found() {
        // The second difference of n points has the eigenvalues 2 - 2 cos(pi k / (n + 1)); a rotation hides them.
        let n = 40;
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            matrix[i * n + i] = 2.0;
            if i + 1 < n {
                matrix[i * n + i + 1] = -1.0;
                matrix[(i + 1) * n + i] = -1.0;
            }
        }
        let mut rng = Rng::new(1, Stream::Test, 0);
        for _ in 0..3 {
            let v: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
            let square: f64 = v.iter().map(|v| v * v).sum();
            let reflect = |matrix: &[f64]| -> Vec<f64> {
                let mut out = vec![0.0; n * n];
                for i in 0..n {
                    let along: f64 = (0..n).map(|j| matrix[i * n + j] * v[j]).sum::<f64>() * 2.0 / square;
                    for j in 0..n {
                        // Transposed, so that twice is from both sides.
                        out[j * n + i] = matrix[i * n + j] - along * v[j];
                    }
                }
                out
            };
            matrix = reflect(&reflect(&matrix));
        }
        let mut found = eigenvalues(matrix, n);
        found.sort_by(f64::total_cmp);
        for (k, value) in found.iter().enumerate() {
            let expected = 2.0 - 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - expected).abs() < 1e-12, "{k}: {value} instead of {expected}");
        }
    }

    #[test]
    fn fewer_rows_than_dimensions_are_at_no_distance_from_themselves() {
        let rows = Rng::new(2, Stream::Test, 0).normals(10 * 30);
        let mut moments = Moments::new(30);
        moments.add(&rows);
        let fit = moments.fit().unwrap();
        // Square roots of rounding errors: 30 of them of 1e-14 each would make 3e-6.
        assert!(fit.frechet(&fit) < 3e-6, "{}", fit.frechet(&fit));
        let mut parts = Moments::new(30);
        parts.add(&rows[..90]);
        parts.add(&rows[90..]);
        assert!(parts.fit().unwrap().mean.iter().zip(&fit.mean).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn precision_and_recall_tell_a_narrow_sample_from_a_stray_one() {
        let data: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let narrow: Vec<f32> = (0..20).map(|i| i as f32 + 0.5).collect();
        let (precision, recall) = precision_recall(&narrow, &data, 1, 3).unwrap();
        assert_eq!(precision, 1.0);
        assert!((0.5..0.6).contains(&recall), "{recall}");
        let stray: Vec<f32> = (0..20).map(|i| i as f32 + 1000.5).collect();
        assert_eq!(precision_recall(&stray, &data, 1, 3), Some((0.0, 0.0)));
        assert_eq!(precision_recall(&stray[..3], &data, 1, 3), None);
    }
}
