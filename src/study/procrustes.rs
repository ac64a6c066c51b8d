//! The orthogonal Procrustes problem in the plane (Schönemann 1966): the rotation or reflection that takes one cloud of
//! points nearest to another, point by point.

/// The points turned, or mirrored and turned, and moved, so that they are as near to their partners as they can be.
pub fn turned(points: &[[f64; 2]], partners: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let count = points.len().min(partners.len()).max(1) as f64;
    let mean =
        |of: &[[f64; 2]]| -> [f64; 2] { core::array::from_fn(|axis| of.iter().map(|x| x[axis]).sum::<f64>() / count) };
    let (from, to) = (mean(points), mean(partners));
    // The products of the centred coordinates of points and partners.
    let mut of = [[0.0; 2]; 2];
    for (a, b) in points.iter().zip(partners) {
        for (i, row) in of.iter_mut().enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                *sum += (a[i] - from[i]) * (b[j] - to[j]);
            }
        }
    }
    // Of all rotations the best has this sine and cosine, up to their size, which is what it achieves; and so has the best
    // of the reflections.
    let rotation = [of[0][0] + of[1][1], of[0][1] - of[1][0]];
    let reflection = [of[0][0] - of[1][1], of[0][1] + of[1][0]];
    let mirrored = reflection[0].hypot(reflection[1]) > rotation[0].hypot(rotation[1]);
    let [cos, sin] = if mirrored { reflection } else { rotation };
    let size = cos.hypot(sin).max(f64::MIN_POSITIVE);
    let (cos, sin) = (cos / size, sin / size);
    let turn = |x: &[f64; 2]| {
        let (x, y) = (x[0] - from[0], x[1] - from[1]);
        if mirrored {
            [to[0] + cos * x + sin * y, to[1] + sin * x - cos * y]
        } else {
            [to[0] + cos * x - sin * y, to[1] + sin * x + cos * y]
        }
    };
    points.iter().map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::turned;

    fn square_distance(a: &[[f64; 2]], b: &[[f64; 2]]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sum()
    }

    #[test]
    fn a_turned_or_mirrored_cloud_is_found_again() {
        let cloud = [[1.0, 0.2], [-0.5, 2.0], [0.3, -1.1], [-2.0, -0.4], [0.9, 1.3]];
        for mirrored in [1.0, -1.0] {
            for angle in [0.0_f64, 1.0, 2.5, -2.0] {
                let (sin, cos) = angle.sin_cos();
                let turn =
                    |x: &[f64; 2]| [3.0 + cos * x[0] - sin * mirrored * x[1], sin * x[0] + cos * mirrored * x[1]];
                let other: Vec<[f64; 2]> = cloud.iter().map(turn).collect();
                assert!(square_distance(&turned(&cloud, &other), &other) < 1e-24, "{mirrored} {angle}");
            }
        }
    }

    #[test]
    fn nothing_is_nearer_than_the_solution() {
        // Not a turned copy: `scipy.linalg.orthogonal_procrustes` leaves as much.
        let cloud = [[1.0, 0.2], [-0.5, 2.0], [0.3, -1.1], [-2.0, -0.4], [0.9, 1.3]];
        let other = [[0.4, 1.0], [1.9, -0.7], [-1.3, 0.1], [-0.2, -1.8], [1.0, 0.6]];
        let left = square_distance(&turned(&cloud, &other), &other);
        assert!((left - 0.3718458316677122).abs() < 1e-12, "{left}");
    }
}
