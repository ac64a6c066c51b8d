//! Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991), in the plane's own coordinates.

/// Largest number of points taken from either side.
pub const MOST: usize = 4000;

/// Which neighbour's distance is a ball's radius.
const NEIGHBOUR: usize = 3;

/// Precision and recall, each with its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PrecisionRecall {
    /// Share of the samples that lie in a ball around a datum: quality.
    pub precision: f64,
    /// Binomial standard error of the precision, for fixed balls.
    pub precision_error: f64,
    /// Share of the data that lie in a ball around a sample: coverage.
    pub recall: f64,
    /// Binomial standard error of the recall.
    pub recall_error: f64,
}

fn square_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [dx, dy] = [a[0] - b[0], a[1] - b[1]];
    dx * dx + dy * dy
}

/// Squared distance of every point to its third neighbour, itself excluded.
fn radii(points: &[[f64; 2]]) -> Vec<f64> {
    points
        .iter()
        .enumerate()
        .map(|(i, &point)| {
            let mut least = [f64::INFINITY; NEIGHBOUR];
            for (j, &other) in points.iter().enumerate() {
                let distance = square_distance(point, other);
                if j != i && distance < least[NEIGHBOUR - 1] {
                    least[NEIGHBOUR - 1] = distance;
                    least.sort_unstable_by(f64::total_cmp);
                }
            }
            least[NEIGHBOUR - 1]
        })
        .collect()
}

/// Share of `points` inside a ball around any of `centres`, and its standard error.
fn share_inside(points: &[[f64; 2]], centres: &[[f64; 2]], radii: &[f64]) -> (f64, f64) {
    let inside = |&&point: &&[f64; 2]| {
        centres.iter().zip(radii).any(|(&centre, &radius)| square_distance(point, centre) <= radius)
    };
    let count = points.len() as f64;
    let share = points.iter().filter(inside).count() as f64 / count;
    (share, (share * (1.0 - share) / count).sqrt())
}

/// Precision and recall of samples against data, with balls that reach to the third neighbour. Sets are cut to equal
/// sizes of at most [`MOST`]; `None` when that leaves fewer than four points. Perfect samples do not reach 1: compare
/// with the [`super::floor`].
#[must_use]
pub fn precision_recall(samples: &[[f64; 2]], data: &[[f64; 2]]) -> Option<PrecisionRecall> {
    let count = samples.len().min(data.len()).min(MOST);
    if count <= NEIGHBOUR {
        return None;
    }
    let (samples, data) = (&samples[..count], &data[..count]);
    let (precision, precision_error) = share_inside(samples, data, &radii(data));
    let (recall, recall_error) = share_inside(data, samples, &radii(samples));
    Some(PrecisionRecall { precision, precision_error, recall, recall_error })
}
