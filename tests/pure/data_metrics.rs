//! Metrics against NumPy and SciPy, and against what is known of perfect and of wrong samples.

use scorefield::data::metrics::Measure;
use scorefield::data::metrics::{
    Floor, Inspection, Judge, Slices, bootstrap, divergences, energy_distance, floor, frechet, gaussian_fit,
    histogram_side, maximum_mean_discrepancy, modes, precision_recall, quality, sliced::wasserstein,
};
use scorefield::data::{Dataset, Mixture, SquareGrid};
use scorefield::data::{DatasetId, Drawing, Gaussians};
use scorefield::diffusion::Level;
use scorefield::rng::{Rng, Stream};

#[derive(serde::Deserialize)]
struct Reference {
    left: Vec<[f64; 2]>,
    right: Vec<[f64; 2]>,
    angles: Vec<f64>,
    wasserstein: Vec<f64>,
    energy: f64,
    bandwidth: f64,
    mmd: f64,
    frechet: f64,
    left4: Vec<[f64; 4]>,
    right4: Vec<[f64; 4]>,
    frechet4: f64,
    precision: f64,
    recall: f64,
    cells: Vec<f64>,
    places: Vec<[f64; 2]>,
    log_density: Vec<f64>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../golden/data_reference.json")).unwrap()
}

fn close(left: f64, right: f64, tolerance: f64) {
    assert!((left - right).abs() <= tolerance * (1.0 + right.abs()), "{left} against {right}");
}

fn dataset(id: DatasetId) -> Dataset {
    let mut drawing = Drawing::default();
    for i in 0..40 {
        drawing.push(0.8 * libm::cos(f64::from(i) * 0.15), 0.6 * libm::sin(f64::from(i) * 0.15));
    }
    Dataset::new(id, &drawing, &Gaussians::default()).unwrap()
}

/// Data no judge has used as its reference or for its floor.
fn fresh(dataset: &Dataset, count: usize, index: u32) -> Vec<[f64; 2]> {
    dataset.mixture.draw(&mut Rng::new(99, Stream::Test, index), count)
}

#[test]
fn projected_distances_are_those_of_scipy() {
    let reference = reference();
    for (angle, expected) in reference.angles.iter().zip(&reference.wasserstein) {
        let project = |points: &[[f64; 2]]| {
            let mut along: Vec<f64> = points.iter().map(|p| p[0] * angle.cos() + p[1] * angle.sin()).collect();
            along.sort_by(f64::total_cmp);
            along
        };
        close(wasserstein(&project(&reference.left), &project(&reference.right)), *expected, 1e-13);
    }
}

#[test]
fn pair_distances_are_those_of_numpy() {
    let reference = reference();
    close(energy_distance(&reference.left, &reference.right), reference.energy, 1e-12);
    let mmd = maximum_mean_discrepancy(&reference.left, &reference.right, reference.bandwidth);
    close(mmd, reference.mmd, 1e-12);
}

#[test]
fn frechet_distances_are_those_of_scipy() {
    let reference = reference();
    close(frechet(&gaussian_fit(&reference.left), &gaussian_fit(&reference.right)), reference.frechet, 1e-12);
    close(frechet(&gaussian_fit(&reference.left4), &gaussian_fit(&reference.right4)), reference.frechet4, 1e-11);
}

#[test]
fn the_frechet_distance_of_axis_aligned_gaussians_is_the_closed_form() {
    let left = ([1.0, 0.0], [[4.0, 0.0], [0.0, 1.0]]);
    let right = ([0.0, 2.0], [[1.0, 0.0], [0.0, 9.0]]);
    // Shift 1 + 4, deviations (2 - 1)^2 + (1 - 3)^2.
    close(frechet(&left, &right), 10.0, 1e-14);
    assert!(frechet(&left, &left) < 1e-14);
}

#[test]
fn precision_and_recall_are_those_of_numpy() {
    let reference = reference();
    let seen = precision_recall(&reference.left, &reference.right).unwrap();
    assert_eq!((seen.precision, seen.recall), (reference.precision, reference.recall));
    assert!(precision_recall(&reference.left[..3], &reference.right).is_none());
}

#[test]
fn cells_and_densities_are_those_of_scipy() {
    let reference = reference();
    let mixture = Mixture::from_components([(0.5, [1.0, -0.5], 0.6), (0.3, [-1.2, 0.4], 0.3), (0.2, [0.2, 1.5], 1.1)]);
    let cells = mixture.cell_probabilities(&SquareGrid { centre: [0.0, 0.0], half: 2.0, side: 5 });
    for (seen, expected) in cells.iter().zip(&reference.cells) {
        close(*seen, *expected, 1e-15);
    }
    let level = Level { t: 0.5, alpha: 0.6, sigma: 0.8 };
    for (&place, expected) in reference.places.iter().zip(&reference.log_density) {
        close(mixture.log_density(place, level), *expected, 1e-14);
    }
}

#[test]
fn divergences_vanish_only_for_equal_distributions() {
    let (kl, js) = divergences(&[1, 2, 1], &[0.25, 0.5, 0.25]);
    assert!(kl < 1e-15 && js < 1e-15);
    let (kl, js) = divergences(&[4, 0, 0, 0], &[0.0, 0.0, 0.0, 1.0]);
    // Nearly ln(cells / smoothing) = ln 400 and ln 2: what smoothing leaves of infinity and of the largest value.
    assert!(kl > 5.5 && kl < 400_f64.ln());
    assert!(js > 0.6 && js < 2_f64.ln());
    assert!(divergences(&[0, 0], &[0.5, 0.5]).0 < 1e-15);
}

#[test]
fn the_floor_of_the_divergence_is_half_the_cells_over_the_count() {
    // One broad Gaussian: about all cells within the data hold several samples, where the asymptotic bias is exact.
    let mixture = Mixture::from_components([(1.0, [0.0, 0.0], 2.0)]);
    let count = 4000;
    let grid = SquareGrid { centre: [0.0, 0.0], half: 2.0, side: 6 };
    let probabilities = mixture.cell_probabilities(&grid);
    let measured = floor(&mixture, count, 64, 1, |points| divergences(&grid.histogram(points), &probabilities).0);
    let expected = grid.cells() as f64 / (2.0 * count as f64);
    // Smoothing takes two per cent off; four standard errors of the mean of 64.
    assert!((measured.mean - 0.98 * expected).abs() < 4.0 * measured.spread / 8.0 + 0.02 * expected);
    // A chi-square of 36 degrees over 2 n has the deviation sqrt(2 * 36) / (2 n); within half of it either way.
    let deviation = (2.0 * grid.cells() as f64).sqrt() / (2.0 * count as f64);
    assert!((0.5..1.5).contains(&(measured.spread / deviation)));
}

#[test]
fn perfect_samples_reach_the_floor_on_every_data_set() {
    for &id in DatasetId::ALL {
        let data = dataset(id);
        let judge = Judge::new(&data, 1000, 4);
        for index in 0..3 {
            let quality = judge.quality(&fresh(&data, 1000, index));
            // The spread is itself estimated from sixteen draws, hence six of them.
            assert!((quality.kl - quality.kl_floor).abs() < 6.0 * quality.kl_spread, "{id:?} {quality:?}");
            assert!((quality.sliced - quality.sliced_floor).abs() < 6.0 * quality.sliced_spread, "{id:?} {quality:?}");
            assert_eq!(quality.samples, 1000);
        }
    }
}

#[test]
fn wrong_samples_are_far_above_the_floor() {
    for &id in DatasetId::ALL {
        let data = dataset(id);
        let judge = Judge::new(&data, 1000, 4);
        let mut shifted = fresh(&data, 1000, 0);
        shifted.iter_mut().for_each(|p| p[0] += 0.5 * data.scale);
        let quality = judge.quality(&shifted);
        assert!(quality.kl > quality.kl_floor + 10.0 * quality.kl_spread, "{id:?} {quality:?}");
        // Shifted by half a deviation along x, whose mean absolute cosine is 2 / pi.
        close(quality.sliced, 0.5 * std::f64::consts::FRAC_2_PI, 0.15);
    }
}

#[test]
fn half_and_half_instead_of_eighty_twenty_is_seen() {
    let data = dataset(DatasetId::Mixture);
    let wrong = Mixture::from_components([(0.5, [5.0, 5.0], 1.0), (0.5, [-5.0, -5.0], 1.0)]);
    let samples = wrong.draw(&mut Rng::new(1, Stream::Test, 0), 2000);
    let quality = quality(&samples, &data, 0);
    // KL of (0.5, 0.5) from (0.8, 0.2), up to the floor.
    let expected = 0.5 * (0.5_f64 / 0.8).ln() + 0.5 * (0.5_f64 / 0.2).ln();
    assert!((quality.kl - quality.kl_floor - expected).abs() < 0.1 * expected + 4.0 * quality.kl_spread);
    let seen = modes(&samples, &data.mixture);
    assert!((seen.weights[0] - 0.5).abs() < 5.0 * seen.errors[0]);
    assert!((seen.weights[0] - 0.8).abs() > 20.0 * seen.errors[0]);
    close(seen.errors[0], (0.25_f64 / 2000.0).sqrt(), 1e-3);
}

#[test]
fn missing_modes_are_counted() {
    let data = dataset(DatasetId::Grid);
    let all = modes(&fresh(&data, 2000, 0), &data.mixture);
    assert_eq!(all.covered, 25);
    assert!(all.near > 0.995);
    let some: Vec<[f64; 2]> = fresh(&data, 2000, 0).into_iter().filter(|p| p[0] < 3.0 && p[1] < 3.0).collect();
    assert_eq!(modes(&some, &data.mixture).covered, 16);
    let nowhere = modes(&[[f64::NAN, 0.0], [1.0, 1.0]], &data.mixture);
    assert_eq!((nowhere.covered, nowhere.near), (0, 0.0));
}

type Distance = dyn Fn(&[[f64; 2]], &[[f64; 2]]) -> f64;

#[test]
fn unbiased_distances_are_zero_within_their_spread_for_equal_distributions() {
    let data = dataset(DatasetId::Moons);
    let other = fresh(&data, 300, 7);
    let measure = |f: &Distance| {
        let values: Vec<f64> =
            (0..40).map(|i| f(&fresh(&data, 300, 100 + 2 * i), &fresh(&data, 300, 101 + 2 * i))).collect();
        Floor::of(&values)
    };
    let energy = measure(&|a, b| energy_distance(a, b));
    let mmd = measure(&|a, b| maximum_mean_discrepancy(a, b, 0.5));
    // Four standard errors of the mean of forty independent pairs.
    assert!(energy.mean.abs() < 4.0 * energy.spread / 40_f64.sqrt());
    assert!(mmd.mean.abs() < 4.0 * mmd.spread / 40_f64.sqrt());
    let shifted: Vec<[f64; 2]> = other.iter().map(|p| [p[0] + 1.0, p[1]]).collect();
    assert!(energy_distance(&shifted, &other) > 10.0 * energy.spread);
    assert!(maximum_mean_discrepancy(&shifted, &other, 0.5) > 10.0 * mmd.spread);
}

#[test]
fn the_bootstrap_finds_the_standard_error_of_a_mean() {
    let points = Rng::new(3, Stream::Test, 0).normal_points(400);
    let error = bootstrap(&points, 400, 1, |points| points.iter().map(|p| p[0]).sum::<f64>() / points.len() as f64);
    // 1 / sqrt(400), known to a few per cent from 400 points and 400 rounds.
    close(error, 0.05, 0.01);
    assert_eq!(bootstrap::<[f64; 2]>(&[], 10, 1, |_| 1.0), 0.0);
}

#[test]
fn precision_falls_with_bad_samples_and_recall_with_missing_ones() {
    let data = dataset(DatasetId::EightGaussians);
    let (real, good) = (fresh(&data, 600, 0), fresh(&data, 600, 1));
    let perfect = precision_recall(&good, &real).unwrap();
    assert!(perfect.precision > 0.8 && perfect.recall > 0.8);
    let half: Vec<[f64; 2]> = fresh(&data, 1300, 1).into_iter().filter(|p| p[0] > 0.1).collect();
    let collapsed = precision_recall(&half, &real).unwrap();
    assert!(collapsed.precision > 0.8 && collapsed.recall < 0.65);
    let noisy: Vec<[f64; 2]> = good.iter().enumerate().map(|(i, p)| if i % 2 == 0 { *p } else { [0.0, 0.0] }).collect();
    assert!(precision_recall(&noisy, &real).unwrap().precision < 0.55);
}

#[test]
fn directions_are_fixed_unit_vectors_and_samples_are_free() {
    let data = dataset(DatasetId::Rings);
    let slices = Slices::new(&fresh(&data, 500, 0), 32, 1);
    assert!(slices.directions().iter().all(|d| (d[0].hypot(d[1]) - 1.0).abs() < 1e-14));
    assert_eq!(slices, Slices::new(&fresh(&data, 500, 0), 32, 1));
    assert!(slices.distance(&fresh(&data, 500, 0)) < 1e-15);
    assert!(slices.distance(&[]).is_nan());
    // A single point against all: the mean distance of projections, finite.
    assert!(slices.distance(&[[0.0, 0.0]]) > 0.5);
}

#[test]
fn samples_that_are_not_finite_are_outside_and_break_nothing() {
    let data = dataset(DatasetId::Moons);
    let quality = Judge::new(&data, 200, 1).quality(&vec![[f64::NAN, f64::INFINITY]; 200]);
    assert!(quality.kl.is_finite() && quality.kl > 1.0);
    assert!(quality.sliced.is_nan());
    assert_eq!(histogram_side(0), 4);
    assert_eq!(histogram_side(2000), 16);
}

#[test]
fn every_comparison_comes_with_a_floor_and_an_error_of_the_right_size() {
    let data = dataset(DatasetId::EightGaussians);
    let draw = |i| data.mixture.draw(&mut Rng::new(3, Stream::Test, i), 400);
    let inspect = |samples: &[[f64; 2]]| {
        let mut inspection = Inspection::new(&data, samples, 5);
        assert!(inspection.rows().is_empty());
        let (_, of) = inspection.progress();
        for step in 1..=of {
            assert_eq!(inspection.step(), step == of);
        }
        inspection.rows()
    };
    let runs: Vec<Vec<Measure>> = (0..6).map(|i| inspect(&draw(i))).collect();
    for (index, row) in runs[0].iter().enumerate() {
        let values: Vec<f64> = runs.iter().map(|rows| rows[index].value).collect();
        let found = Floor::of(&values);
        if row.id == "covered" {
            assert_eq!((found.mean, row.reference), (8.0, 8.0));
            continue;
        }
        // The mean of six draws is within six of its standard errors of the reference.
        let spread = row.spread.max(found.spread);
        assert!((found.mean - row.reference).abs() < 6.0 * spread / 6.0_f64.sqrt() + 1e-9, "{row:?} {values:?}");
        // Standard deviations of six and of eight values agree within a factor of five, and the shares near a mode differ
        // by single points.
        if row.id != "near" {
            assert!(row.error < 5.0 * spread && spread < 5.0 * row.error.max(row.spread), "{row:?} {found:?}");
        }
    }
    // What is wrong is far outside.
    let shifted: Vec<[f64; 2]> = draw(9).iter().map(|p| [p[0] + 1.0, p[1]]).collect();
    for row in inspect(&shifted) {
        if ["kl", "js", "sliced", "energy", "mmd", "frechet", "precision"].contains(&row.id.as_str()) {
            assert!((row.value - row.reference).abs() > 6.0 * row.spread, "{row:?}");
        }
    }
}

#[test]
fn an_inspection_of_nothing_or_of_nonsense_ends() {
    let data = dataset(DatasetId::Moons);
    for samples in [vec![], vec![[1.0, 0.0]], vec![[f64::NAN; 2]; 5]] {
        let mut inspection = Inspection::new(&data, &samples, 5);
        while !inspection.step() {}
        assert!(!inspection.rows().is_empty());
    }
}

#[test]
fn the_total_variation_of_mode_shares_is_the_mass_that_must_move() {
    let data = dataset(DatasetId::EightGaussians).mixture;
    let variation = |samples: &[[f64; 2]]| modes(samples, &data).total_variation(&data);
    // All samples at one of eight modes: seven eighths must move. Half of them at each of two: three quarters.
    close(variation(&[data.means[3]; 40]), 0.875, 1e-12);
    close(variation(&[data.means[1], data.means[6]]), 0.75, 1e-12);
    close(variation(&data.means), 0.0, 1e-12);
    // What is nowhere is missing.
    close(variation(&[[f64::NAN; 2]; 3]), 1.0, 1e-12);
    // Of as many data as the studies judge, by the normal approximation of a binomial share:
    // 8 sqrt(p (1 - p) / (2 pi n)), some 0.024.
    let floor = floor(&data, 2000, 40, 1, variation);
    let expected = 8.0 * (0.125_f64 * 0.875 / (core::f64::consts::TAU * 2000.0)).sqrt();
    assert!((floor.mean - expected).abs() < 3.0 * floor.spread / 40_f64.sqrt() + 1e-3, "{floor:?} {expected}");
}
