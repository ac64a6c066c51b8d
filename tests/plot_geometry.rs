//! Curves, charts, colours and the plane as geometry.

use scorefield::plot::chart::{Frame, MOST_POINTS};
use scorefield::plot::colour::{SERIES, density_image};
use scorefield::plot::curve::smoothed;
use scorefield::plot::plane::{dot_opacity, dot_radius};
use scorefield::plot::{LineChart, Projection, Rgb, Series, arrows, binned, image, path, sequential};

#[test]
fn bins_keep_every_spike_and_the_order() {
    let mut points: Vec<[f64; 2]> = (0..20_000).map(|i| [f64::from(i), (f64::from(i) * 0.01).sin()]).collect();
    points[7_777][1] = 50.0;
    points[3_333][1] = -50.0;
    points[5_000][1] = f64::NAN;
    let short = binned(&points, 500);
    assert!(short.len() <= 500 && short.len() > 400);
    assert!(short.contains(&[7_777.0, 50.0]) && short.contains(&[3_333.0, -50.0]));
    assert!(short.windows(2).all(|pair| pair[0][0] < pair[1][0]));
    assert_eq!(binned(&points[..400], 500), points[..400]);
    assert!(binned(&[], 500).is_empty());
}

#[test]
fn smoothing_keeps_constants_and_starts_unbiased() {
    let constant: Vec<[f64; 2]> = (0..50).map(|i| [f64::from(i), 3.0]).collect();
    assert!(smoothed(&constant, 20.0).iter().all(|p| (p[1] - 3.0).abs() < 1e-12));
    let step = smoothed(&[[0.0, 1.0], [1.0, f64::NAN], [2.0, 3.0]], 2.0);
    // Weights 1/4 and 1/2, normalised.
    assert_eq!(step.len(), 2);
    assert!((step[1][1] - (0.25 + 1.5) / 0.75).abs() < 1e-12);
}

#[test]
fn paths_are_svg_and_break_where_numbers_do() {
    assert_eq!(path([[0.0, 1.0], [2.5, -0.001], [1e-9, 100.123]]), "M0 1L2.5 0L0 100.12");
    assert_eq!(path([[0.0, 0.0], [1.0, f64::NAN], [2.0, 0.0], [3.0, 1.0]]), "M0 0h0M2 0L3 1");
    assert_eq!(path([]), "");
}

#[test]
fn a_chart_stays_inside_its_frame() {
    let series = [
        Series { name: "loss".into(), points: (0..3000).map(|i| [f64::from(i), 1.0 / (1.0 + f64::from(i))]).collect() },
        Series { name: "floor".into(), points: vec![[0.0, 0.01], [2999.0, 0.01]] },
        Series { name: "nothing yet".into(), points: vec![] },
    ];
    for (log_x, log_y) in [(false, false), (false, true), (true, true)] {
        let chart = LineChart::new(Frame::default(), &series, log_x, log_y);
        let frame = chart.frame;
        for mark in &chart.x_marks {
            assert!(mark.at >= frame.left - 1e-9 && mark.at <= frame.width - frame.right + 1e-9);
        }
        for mark in &chart.y_marks {
            assert!(mark.at >= frame.top - 1e-9 && mark.at <= frame.height - frame.bottom + 1e-9);
        }
        assert!(chart.x_marks.len() > 2 && chart.y_marks.len() > 2);
        let line = &chart.lines[0];
        assert!(line.path.matches(['M', 'L']).count() <= MOST_POINTS);
        for pair in line.path.split(['M', 'L']).filter(|part| !part.is_empty()) {
            let (x, y) = pair.split_once(' ').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(x >= frame.left - 0.01 && x <= frame.width - frame.right + 0.01);
            assert!(y >= frame.top - 0.01 && y <= frame.height - frame.bottom + 0.01);
        }
        assert_eq!(chart.lines[1].last, Some(0.01));
        assert_eq!((chart.lines[2].path.as_str(), chart.lines[2].last), ("", None));
        assert_ne!(chart.lines[0].colour, chart.lines[1].colour);
        assert_ne!(chart.lines[0].dashes, chart.lines[1].dashes);
    }
    assert_eq!(LineChart::new(Frame::default(), &[], false, true).view_box(), "0 0 480 260");
}

#[test]
fn what_is_larger_is_drawn_higher() {
    let series = [Series { name: String::new(), points: vec![[0.0, 0.0], [1.0, 10.0]] }];
    let chart = LineChart::new(Frame::default(), &series, false, false);
    let frame = chart.frame;
    let expected =
        format!("M{} {}L{} {}", frame.left, frame.height - frame.bottom, frame.width - frame.right, frame.top);
    assert_eq!(chart.lines[0].path, expected);
}

#[test]
fn series_are_legible_on_light_and_dark_pages() {
    for colour in SERIES {
        assert!(colour.contrast(Rgb([255, 255, 255])) >= 3.0, "{}", colour.css());
        assert!(colour.contrast(Rgb([0x16, 0x18, 0x1d])) >= 3.0, "{}", colour.css());
    }
    // WCAG's own extremes.
    assert!((Rgb([0, 0, 0]).contrast(Rgb([255, 255, 255])) - 21.0).abs() < 1e-9);
    assert_eq!(Rgb([1, 171, 255]).css(), "#01abff");
}

#[test]
fn the_sequential_map_only_grows_brighter() {
    let luminances: Vec<f64> = (0..=100).map(|i| sequential(f64::from(i) / 100.0).luminance()).collect();
    assert!(luminances.windows(2).all(|pair| pair[1] > pair[0]), "{luminances:?}");
    assert!(luminances[0] < 0.03 && luminances[100] > 0.7);
    assert_eq!(sequential(7.0), sequential(1.0));
    assert_eq!(sequential(f64::NAN), sequential(0.0));
}

#[test]
fn images_have_their_first_row_on_top() {
    let bytes = image(2, 2, |column, row| (Rgb([column as u8, row as u8, 9]), if column == 0 { 1.0 } else { 0.5 }));
    assert_eq!(bytes, [0, 1, 9, 255, 1, 1, 9, 128, 0, 0, 9, 255, 1, 0, 9, 128]);
    let density = density_image(&[0.0, 1.0, f64::NAN, 0.25], 2);
    assert_eq!(density.len(), 16);
    // The largest is the lower right pixel: the map's end, opaque. No density is transparent.
    assert_eq!(density[12..15], sequential(1.0).0);
    assert_eq!((density[15], density[11], density[3]), (255, 0, 0));
    assert_eq!(density[4..7], sequential(0.5).0);
    assert_eq!(density_image(&[], 1).len(), 4);
}

#[test]
fn pixels_and_points_are_each_others_inverse() {
    let projection = Projection { centre: [1.0, -2.0], half: 4.0, pixels: 320.0 };
    assert_eq!(projection.to_pixels([-3.0, 2.0]), [0.0, 0.0]);
    assert_eq!(projection.to_pixels([5.0, -6.0]), [320.0, 320.0]);
    assert_eq!(projection.zoom(), 40.0);
    for point in [[0.3, 0.7], [9.0, -9.0]] {
        let back = projection.to_data(projection.to_pixels(point));
        assert!((back[0] - point[0]).abs() < 1e-12 && (back[1] - point[1]).abs() < 1e-12);
    }
    assert!(projection.shows([5.0, 2.0]) && !projection.shows([5.1, 0.0]) && !projection.shows([f64::NAN, 0.0]));
    assert_eq!(projection.middles(2), [[-1.0, -4.0], [3.0, -4.0], [-1.0, 0.0], [3.0, 0.0]]);
}

#[test]
fn arrows_point_along_the_field_and_are_never_too_long() {
    let projection = Projection { centre: [0.0, 0.0], half: 2.0, pixels: 200.0 };
    let places = projection.middles(10);
    let vectors: Vec<[f64; 2]> = places.iter().map(|p| [-p[0] * p[0] * p[0], -p[1]]).collect();
    let field = arrows(&places, &vectors, &projection, 18.0);
    assert_eq!(field.len(), 100);
    for (arrow, (place, vector)) in field.iter().zip(places.iter().zip(&vectors)) {
        let along = [arrow.head[0] - arrow.tail[0], arrow.head[1] - arrow.tail[1]];
        let norm = along[0].hypot(along[1]);
        assert!(norm <= 18.0 + 1e-9 && (norm - 18.0 * arrow.strength).abs() < 1e-9);
        // Parallel, with the screen's y turned round, and centred.
        let length = vector[0].hypot(vector[1]);
        assert!((along[0] * vector[0] - along[1] * vector[1] - norm * length).abs() < 1e-9);
        let pixel = projection.to_pixels(*place);
        assert!(((arrow.head[0] + arrow.tail[0]) / 2.0 - pixel[0]).abs() < 1e-9);
        for barb in arrow.barbs {
            let back = [barb[0] - arrow.head[0], barb[1] - arrow.head[1]];
            assert!((back[0].hypot(back[1]) - 0.25 * norm).abs() < 1e-9);
            // Thirty degrees: the cosine with the shaft is -sqrt(3) / 2.
            let cosine = (back[0] * along[0] + back[1] * along[1]) / (0.25 * norm * norm);
            assert!((cosine + 0.75_f64.sqrt()).abs() < 1e-9);
        }
    }
    assert!(field.iter().any(|arrow| arrow.strength == 1.0));
    assert!(arrows(&places, &vec![[0.0, 0.0]; 100], &projection, 18.0).is_empty());
    let one = arrows(&[[0.0, 0.0], [1.0, 1.0]], &[[f64::NAN, 1.0], [1e300, 1e300]], &projection, 18.0);
    assert_eq!(one.len(), 1);
    assert!(one[0].head.iter().all(|v| v.is_finite()));
}

#[test]
fn dots_shrink_and_fade_as_they_crowd() {
    assert!(dot_radius(10, 400.0) > dot_radius(5000, 400.0));
    assert!(dot_opacity(100) > dot_opacity(5000));
    for count in [0, 1, 1_000_000] {
        assert!((0.8..=4.0).contains(&dot_radius(count, 400.0)) && (0.25..=0.9).contains(&dot_opacity(count)));
    }
}
