//! The numbers of charts as tables and as comma-separated values.

use scorefield::plot::figure::{Axis, Chart, Layer, Mark};
use scorefield::plot::values::{CSV_HEAD, MOST_ROWS, Table, Words, csv, tables};

fn chart<'a>(x: &'a Axis, y: &'a Axis, layers: &'a [Layer], data: &[&'a [f32]]) -> Chart<'a> {
    Chart { x, y, square: false, layers, data: data.to_vec(), now: None }
}

fn tables_of(chart: &Chart<'_>) -> Vec<Table> {
    let word = |key: &str| key.to_uppercase();
    tables(chart, &Words { of: &word, parts: ["low", "high", "end"].map(str::to_owned) })
}

/// A line of comma-separated values as cells.
fn cells(line: &str) -> Vec<&str> {
    line.split(',').collect()
}

const LINES: [Layer; 3] =
    [Layer::new("band", Mark::Band, 0), Layer::new("line", Mark::Line, 1), Layer::new("known", Mark::Dashed, 2)];

#[test]
fn curves_with_the_same_places_are_columns_of_one_table() {
    let (x, y) = (Axis::free("t"), Axis::free("nats"));
    let band = [0.0, -1.0, 1.0, 0.5, -2.0, 2.0];
    let (line, known) = ([0.0, 0.25, 0.5, 0.75], [0.0, 7.0]);
    let made = tables_of(&chart(&x, &y, &LINES, &[&band, &line, &known]));
    assert_eq!(made.len(), 2, "{made:?}");
    assert_eq!((made[0].corner.as_str(), made[0].columns.join("; ")), ("T", "BAND, low; BAND, high; LINE".into()));
    let values = |table: &Table| -> Vec<(String, Vec<f64>)> {
        table.rows.iter().map(|(head, cells)| (head.clone(), cells.iter().map(|cell| cell[0]).collect())).collect()
    };
    assert_eq!(values(&made[0]), [("0".into(), vec![-1.0, 1.0, 0.25]), ("0.5".into(), vec![-2.0, 2.0, 0.75])]);
    assert_eq!(
        (made[1].columns.as_slice(), values(&made[1])),
        (["KNOWN".to_owned()].as_slice(), vec![("0".into(), vec![7.0])])
    );
}

#[test]
fn long_curves_are_thinned_and_keep_their_ends() {
    let (x, y) = (Axis::free("step"), Axis::log("loss"));
    let long: Vec<f32> = (0..1000).flat_map(|i| [i as f32, 1.0 / (1.0 + i as f32)]).collect();
    let made = tables_of(&chart(&x, &y, &LINES[1..2], &[&long]));
    let rows = &made[0].rows;
    assert_eq!(rows.len(), MOST_ROWS);
    assert_eq!((rows[0].0.as_str(), rows[MOST_ROWS - 1].0.as_str()), ("0", "999"));
    assert!((rows[MOST_ROWS - 1].1[0][0] - 1e-3).abs() < 1e-9);
    // What has not been drawn yet, and a picture, have no table.
    assert!(tables_of(&chart(&x, &y, &LINES[1..2], &[&[]])).is_empty());
    let picture = [Layer::new("digit", Mark::Picture, 0)];
    assert!(tables_of(&chart(&x, &y, &picture, &[&[1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.5]])).is_empty());
}

#[test]
fn bars_have_their_names_and_errors_and_a_grid_its_places() {
    let (x, y) = (Axis::of("kind", &["a", "b"]), Axis::free("share"));
    let bars = [Layer::new("share", Mark::Bars, 0)];
    let made = tables_of(&chart(&x, &y, &bars, &[&[0.0, 0.25, 0.5, 1.0, 0.75, 0.0]]));
    assert_eq!(made[0].rows, [("A".to_owned(), vec![[0.25, 0.5]]), ("B".to_owned(), vec![[0.75, 0.0]])]);
    let (x, y, heat) = (Axis::free("x"), Axis::free("y"), [Layer::new("density", Mark::Heat, 0)]);
    let made = tables_of(&chart(&x, &y, &heat, &[&[2.0, 2.0, 0.0, 4.0, 0.0, 8.0, 0.0, 1.0, 0.125, 0.25, 0.5, 1.0]]));
    let rows: Vec<(&str, f64, f64)> =
        made[0].rows.iter().map(|(head, cells)| (head.as_str(), cells[0][0], cells[1][0])).collect();
    assert_eq!((made[0].corner.as_str(), made[0].columns.join("; ")), ("X", "Y; DENSITY".into()));
    assert_eq!(rows, [("1", 2.0, 0.125), ("3", 2.0, 0.25), ("1", 6.0, 0.5), ("3", 6.0, 1.0)]);
    let arrows = [Layer::new("score", Mark::Arrows, 0)];
    let made = tables_of(&chart(&x, &y, &arrows, &[&[1.0, 2.0, 0.5, -0.5]]));
    assert_eq!(made[0].columns, ["Y", "X, end", "Y, end"]);
    assert_eq!(made[0].rows[0].1.iter().map(|cell| cell[0]).collect::<Vec<_>>(), [2.0, 1.5, 1.5]);
}

/// Two models judged by three measures; one was not.
const RESULTS: [f32; 14] = [2.0, 3.0, 0.5, 0.125, 2.0, 0.0, f32::NAN, f32::NAN, 1.5, 0.25, 3.0, f32::NAN, 4.0, 1.0];

#[test]
fn a_table_of_results_is_named_by_both_axes_and_blank_where_nothing_was_measured() {
    let (measures, models) = (Axis::of("measure", &["fid", "bits", "time"]), Axis::of("model", &["gan", "vae"]));
    let results = [Layer::new("results", Mark::Table, 0)];
    let whole = chart(&measures, &models, &results, &[&RESULTS]);
    let made = tables_of(&whole);
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].corner.as_str(), made[0].columns.join(" ")), ("MODEL", "FID BITS TIME".into()));
    let (gan, vae) = (&made[0].rows[0], &made[0].rows[1]);
    assert_eq!((gan.0.as_str(), vae.0.as_str()), ("GAN", "VAE"));
    assert_eq!(gan.1[..2], [[0.5, 0.125], [2.0, 0.0]]);
    assert!(gan.1[2][0].is_nan() && gan.1[2][1].is_nan());
    assert_eq!((vae.1[0], vae.1[1][0], vae.1[2]), ([1.5, 0.25], 3.0, [4.0, 1.0]));
    let lines = csv("table", &whole);
    let lines: Vec<Vec<&str>> = lines.lines().map(cells).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0], ["table", "results", "fid", "gan", "0.5", "0.125", "", "", "", ""]);
    assert_eq!(lines[2], ["table", "results", "time", "gan", "", "", "", "", "", ""]);
    assert_eq!(lines[4], ["table", "results", "bits", "vae", "3", "", "", "", "", ""]);
    // Whatever a worker sends, there is a table, or none.
    for data in [&RESULTS[..7], &[1e9, 1e9, 1.0], &[f32::NAN, -1.0], &[2.0]] {
        for table in tables_of(&chart(&measures, &models, &results, &[data])) {
            assert!(table.rows.len() <= 2 && table.rows.iter().all(|(_, cells)| cells.len() <= 3), "{table:?}");
        }
    }
}

#[test]
fn every_mark_has_its_lines_of_comma_separated_values() {
    let head = cells(CSV_HEAD.trim_end());
    let (x, y) = (Axis::free("x"), Axis::free("y"));
    type Case<'a> = (Mark, &'a [f32], &'a [(&'a str, &'a str)]);
    let marks: [Case; 8] = [
        (Mark::Line, &[1.0, 2.0], &[("x", "1"), ("y", "2")]),
        (Mark::Dots, &[1.0, 2.0], &[("x", "1"), ("y", "2")]),
        (Mark::Band, &[1.0, -2.0, 2.0], &[("x", "1"), ("low", "-2"), ("high", "2")]),
        (Mark::Segments, &[1.0, 2.0, 3.0, 4.0], &[("x", "1"), ("y", "2"), ("x_end", "3"), ("y_end", "4")]),
        (Mark::Arrows, &[1.0, 2.0, 3.0, 4.0], &[("x", "1"), ("y", "2"), ("x_end", "4"), ("y_end", "6")]),
        (Mark::Bars, &[1.0, 2.0, 0.5], &[("x", "1"), ("value", "2"), ("error", "0.5")]),
        (Mark::Polygon, &[1.0, 0.5], &[("x", "1"), ("value", "0.5")]),
        (Mark::Heat, &[1.0, 1.0, 0.0, 2.0, 0.0, 4.0, 0.0, 1.0, 0.5], &[("x", "1"), ("y", "2"), ("value", "0.5")]),
    ];
    for (mark, data, expected) in marks {
        let layer = [Layer::new("l", mark, 0)];
        let text = csv("f", &chart(&x, &y, &layer, &[data]));
        let line = cells(text.trim_end());
        assert_eq!(line.len(), head.len(), "{mark:?}");
        for (name, cell) in head.iter().zip(&line).skip(2) {
            // A bar's height is its value and not a place.
            let there = expected.iter().find(|(known, _)| known == name).map_or("", |(_, text)| text);
            assert_eq!(*cell, there, "{mark:?}: {name}");
        }
    }
}
