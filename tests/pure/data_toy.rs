//! The data sets of the plane: frames, smoothness, and that their points are the same everywhere.

use scorefield::data::{DataError, Dataset, SquareGrid};
use scorefield::data::{DatasetId, Drawing, Gaussians};
use scorefield::digest::fnv1a_64;
use scorefield::rng::{Rng, Stream};

fn scribble() -> Drawing {
    let mut drawing = Drawing::default();
    for i in 0..60 {
        let angle = f64::from(i) * 0.1;
        drawing.push(0.7 * libm::cos(angle), 0.5 * libm::sin(angle));
    }
    drawing
}

fn all() -> impl Iterator<Item = (DatasetId, Dataset)> {
    let drawing = scribble();
    DatasetId::ALL.iter().map(move |&id| (id, Dataset::new(id, &drawing, &Gaussians::default()).unwrap()))
}

#[test]
fn an_empty_drawing_is_an_error_and_a_single_point_is_not() {
    assert_eq!(
        Dataset::new(DatasetId::Drawing, &Drawing::default(), &Gaussians::default()),
        Err(DataError::EmptyDrawing)
    );
    let mut drawing = Drawing::default();
    drawing.push(0.25, 0.25);
    let dataset = Dataset::new(DatasetId::Drawing, &drawing, &Gaussians::default()).unwrap();
    assert!((dataset.standard.stds[0] - 1.0).abs() < 1e-12);
}

#[test]
fn models_see_mean_zero_and_unit_variance() {
    for (id, dataset) in all() {
        let (mean, scale) = dataset.standard.mean_and_scale();
        assert!(mean[0].hypot(mean[1]) < 1e-12 && (scale - 1.0).abs() < 1e-12, "{id:?}");
        let point = [0.3, -1.7];
        let back = dataset.from_standard(dataset.to_standard(point));
        assert!((back[0] - point[0]).hypot(back[1] - point[1]) < 1e-14, "{id:?}");
    }
}

#[test]
fn the_window_holds_nearly_all_data_and_little_else() {
    for (id, dataset) in all() {
        let side = 40;
        let window = SquareGrid { centre: dataset.window_centre, half: dataset.window, side };
        let probabilities = dataset.mixture.cell_probabilities(&window);
        assert!(probabilities[side * side] < 1e-3, "{id:?}: {} outside", probabilities[side * side]);
        let smaller = SquareGrid { half: 0.75 * dataset.window, ..window };
        assert!(id == DatasetId::Drawing || dataset.mixture.cell_probabilities(&smaller)[side * side] > 1e-3, "{id:?}");
    }
}

#[test]
fn weights_are_positive_and_components_few() {
    for (id, dataset) in all() {
        let mixture = &dataset.mixture;
        assert!(mixture.weights.len() <= 512, "{id:?}");
        assert_eq!(mixture.weights.len(), mixture.means.len());
        assert_eq!(mixture.weights.len(), mixture.stds.len());
        assert!(mixture.weights.iter().chain(&mixture.stds).all(|&v| v > 0.0), "{id:?}");
        assert!((mixture.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{id:?}");
    }
}

/// Largest over smallest density along a path.
fn ripple(dataset: &Dataset, path: impl Iterator<Item = [f64; 2]>) -> f64 {
    let densities: Vec<f64> = path.map(|point| dataset.mixture.density(point)).collect();
    let largest = densities.iter().copied().fold(0.0, f64::max);
    largest / densities.iter().copied().fold(f64::INFINITY, f64::min)
}

#[test]
fn curves_and_squares_show_no_beads() {
    let drawing = Drawing::default();
    let fine = |from: f64, to: f64| (0..2000).map(move |i| from + (to - from) * f64::from(i) / 2000.0);
    let rings = Dataset::new(DatasetId::Rings, &drawing, &Gaussians::default()).unwrap();
    for radius in [1.0, 2.0, 3.0] {
        // 2 exp(-2 pi^2 s^2 / h^2) with h = 0.131 and s = 0.1 is 2e-5, both ways.
        assert!(
            ripple(&rings, fine(0.0, std::f64::consts::TAU).map(|a| [radius * a.cos(), radius * a.sin()])) < 1.0001
        );
    }
    let moons = Dataset::new(DatasetId::Moons, &drawing, &Gaussians::default()).unwrap();
    // The crests of the two moons come near the tips of each other; between them the density is flat.
    assert!(ripple(&moons, fine(1.2, 1.9).map(|a| [a.cos(), a.sin()])) < 1.001);
    let board = Dataset::new(DatasetId::Checkerboard, &drawing, &Gaussians::default()).unwrap();
    // h = 0.25, s = 0.14: 4e-3 per axis, both ways.
    assert!(ripple(&board, fine(-3.5, -2.5).map(|x| [x, -3.0])) < 1.01);
    let roll = Dataset::new(DatasetId::SwissRoll, &drawing, &Gaussians::default()).unwrap();
    let last = 4.5 * std::f64::consts::PI;
    // Evenly spread squares of angles leave the slow change sqrt(1 + 1 / angle^2), under half a percent out here.
    assert!(ripple(&roll, fine(10.5, 13.0).map(|a| [4.0 * a / last * a.cos(), 4.0 * a / last * a.sin()])) < 1.01);
}

#[test]
fn the_checkerboard_is_dark_and_light() {
    let board = Dataset::new(DatasetId::Checkerboard, &Drawing::default(), &Gaussians::default()).unwrap();
    for column in 0..4 {
        for row in 0..4 {
            let density = board.mixture.density([2.0 * f64::from(column) - 3.0, 2.0 * f64::from(row) - 3.0]);
            // Eight squares of area 4.
            let expected = if (column + row) % 2 == 0 { 1.0 / 32.0 } else { 0.0 };
            assert!((density - expected).abs() < 0.01 / 32.0);
        }
    }
}

#[test]
fn the_same_points_are_drawn_on_every_machine() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/data_draws.json")).unwrap();
    let mut seen = serde_json::Map::new();
    for (id, dataset) in all() {
        let points = dataset.mixture.draw(&mut Rng::new(7, Stream::Data, 0), 500);
        // FNV-1a over the bits of all coordinates, and the first point's bits for whoever has to find a difference.
        let hash = fnv1a_64(points.iter().flatten().flat_map(|v| v.to_bits().to_le_bytes()));
        let first = points[0].map(|v| format!("{:016x}", v.to_bits()));
        seen.insert(id.id().into(), serde_json::json!({ "hash": format!("{hash:016x}"), "first": first }));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/data_draws.json");
        std::fs::write(path, serde_json::to_string_pretty(&seen).unwrap() + "\n").unwrap();
    }
    assert_eq!(serde_json::Value::Object(seen), golden);
}

#[test]
fn a_large_draw_begins_with_the_small_one() {
    for (_, dataset) in all() {
        let draw = |count| dataset.mixture.draw(&mut Rng::new(3, Stream::Data, 1), count);
        assert_eq!(draw(10)[..], draw(100)[..10]);
    }
}
