//! Curves, charts, colours and the plane as geometry.

use scorefield::plot::colour::{SERIES, density_image};
use scorefield::plot::curve::smoothed;
use scorefield::plot::plane::{dot_opacity, dot_radius};
use scorefield::plot::{Axis, Chart, Layer, Layout, Mark, Projection, Rgb, arrows, image, sequential};

#[test]
fn smoothing_keeps_constants_and_starts_unbiased() {
    let constant: Vec<[f64; 2]> = (0..50).map(|i| [f64::from(i), 3.0]).collect();
    assert!(smoothed(&constant, 20.0).iter().all(|p| (p[1] - 3.0).abs() < 1e-12));
    let step = smoothed(&[[0.0, 1.0], [1.0, f64::NAN], [2.0, 3.0]], 2.0);
    // Weights 1/4 and 1/2, normalised.
    assert_eq!(step.len(), 2);
    assert!((step[1][1] - (0.25 + 1.5) / 0.75).abs() < 1e-12);
}

/// A chart of one layer.
fn chart<'a>(x: &'a Axis, y: &'a Axis, layer: &'a Layer, data: &'a [f32]) -> Chart<'a> {
    Chart { x, y, square: false, layers: std::slice::from_ref(layer), data: vec![data], now: None }
}

#[test]
fn a_chart_stays_inside_its_frame() {
    let loss: Vec<f32> = (0..3000).flat_map(|i| [i as f32, 1.0 / (1.0 + i as f32)]).collect();
    let line = Layer::new("loss", Mark::Line, 0);
    for (x, y) in
        [(Axis::free("x"), Axis::free("y")), (Axis::free("x"), Axis::log("y")), (Axis::log("x"), Axis::log("y"))]
    {
        for width in [160.0, 300.0, 900.0] {
            let layout = Layout::new(&chart(&x, &y, &line, &loss), width);
            assert!(layout.left + layout.width < width && layout.top + layout.height < layout.canvas, "{layout:?}");
            for pair in loss.chunks_exact(2).filter(|pair| !x.log || pair[0] > 0.0) {
                let point = [f64::from(pair[0]), f64::from(pair[1])];
                let place = layout.place(point);
                assert!(place[0] >= layout.left - 0.01 && place[0] <= layout.left + layout.width + 0.01, "{place:?}");
                assert!(place[1] >= layout.top - 0.01 && place[1] <= layout.top + layout.height + 0.01, "{place:?}");
                let back = layout.point(place);
                assert!(
                    (0..2).all(|k| (back[k] - point[k]).abs() <= 1e-9 * point[k].abs().max(1.0)),
                    "{back:?} {point:?}"
                );
            }
            assert!(layout.x.ticks(4).len() > 2 && layout.y.ticks(4).len() > 2);
        }
    }
}

#[test]
fn what_is_larger_is_drawn_higher_and_a_square_is_one() {
    let (x, y, dots) = (Axis::fixed("x", 0.0, 1.0), Axis::fixed("y", 0.0, 10.0), Layer::new("", Mark::Dots, 0));
    let square = Chart { square: true, ..chart(&x, &y, &dots, &[]) };
    let layout = Layout::new(&square, 400.0);
    assert_eq!(layout.place([0.0, 0.0]), [layout.left, layout.top + layout.height]);
    assert_eq!(layout.place([1.0, 10.0]), [layout.left + layout.width, layout.top]);
    assert_eq!(layout.width, layout.height);
    // Pictures have neither titles nor numbers, and fill their canvas but for the bar of colours of a heat map.
    let (nothing, picture) = (Axis::free(""), Layer::new("", Mark::Picture, 0));
    let grid = [2.0, 3.0, -1.0, 1.0, 0.0, 6.0, 0.0, 1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
    let layout = Layout::new(&chart(&nothing, &nothing, &picture, &grid), 400.0);
    assert_eq!([layout.left, layout.top, layout.width], [0.0, 0.0, 400.0]);
    assert_eq!((layout.x.ends(), layout.y.ends()), ((-1.0, 1.0), (0.0, 6.0)));
}

#[test]
fn scales_hold_what_every_mark_draws() {
    let (x, y) = (Axis::free("x"), Axis::free("y"));
    let ends = |mark: Mark, data: &[f32]| {
        let layer = Layer::new("", mark, 0);
        let layout = Layout::new(&chart(&x, &y, &layer, data), 400.0);
        (layout.x.ends(), layout.y.ends())
    };
    assert_eq!(ends(Mark::Band, &[0.0, -4.0, 4.0, 1.0, 0.0, 6.0]), ((0.0, 1.0), (-4.0, 6.0)));
    assert_eq!(ends(Mark::Segments, &[0.0, 0.0, 10.0, 20.0]), ((0.0, 10.0), (0.0, 20.0)));
    // Bars stand on 0, however large they are.
    assert_eq!(ends(Mark::Bars, &[0.0, 90.0, 1.0, 1.0, 100.0, 1.0]).1, (0.0, 100.0));
    assert_eq!(ends(Mark::Dots, &[]), ((0.0, 1.0), (0.0, 1.0)));
}

/// A radar chart: equal angles between corners, the last side level, values in proportion along each ray, and as large as
/// the plot allows.
#[test]
fn corners_of_a_polygon_are_even_and_fill_the_plot() {
    let (x, y, layer) = (Axis::of("x", &["a", "b", "c"]), Axis::fixed("y", 0.0, 2.0), Layer::new("", Mark::Polygon, 0));
    for (width, corners) in [(300.0, 3), (900.0, 3), (420.0, 4), (420.0, 5), (420.0, 6)] {
        let layout = Layout::new(&chart(&x, &y, &layer, &[]), width);
        let at = |corner: usize, value: f64| layout.corner(corner as f64, corners, value);
        let middle = at(0, 0.0);
        let far = |[x, y]: [f64; 2]| (x - middle[0]).hypot(y - middle[1]);
        let side = |i: usize, value: f64| {
            let ([x0, y0], [x1, y1]) = (at(i, value), at((i + 1) % corners, value));
            (x1 - x0).hypot(y1 - y0)
        };
        for i in 0..corners {
            assert!((far(at(i, 2.0)) - far(at(0, 2.0))).abs() < 1e-9 && far(at(i, 0.0)) < 1e-9);
            assert!((far(at(i, 0.5)) - 0.25 * far(at(i, 2.0))).abs() < 1e-9);
            assert!((side(i, 2.0) - side(0, 2.0)).abs() < 1e-9);
        }
        let (first, last) = (at(0, 2.0), at(corners - 1, 2.0));
        assert!((first[1] - last[1]).abs() < 1e-9 && first[0] < last[0]);
        let span = |axis: usize| {
            let all = (0..corners).map(|i| at(i, 2.0)[axis]);
            (all.clone().fold(f64::INFINITY, f64::min), all.fold(f64::NEG_INFINITY, f64::max))
        };
        let ((left, right), (top, bottom)) = (span(0), span(1));
        let inside = [
            left - layout.left,
            layout.left + layout.width - right,
            top - layout.top,
            layout.top + layout.height - bottom,
        ];
        assert!(inside.iter().all(|room| *room > -1e-9), "{inside:?}");
        let filled = ((right - left) / layout.width).max((bottom - top) / layout.height);
        assert!((filled - 1.0).abs() < 1e-9, "{filled}");
    }
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
    let field = arrows(&places, &vectors, |p| projection.to_pixels(p), 18.0);
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
    assert!(arrows(&places, &vec![[0.0, 0.0]; 100], |p| projection.to_pixels(p), 18.0).is_empty());
    let one = arrows(&[[0.0, 0.0], [1.0, 1.0]], &[[f64::NAN, 1.0], [1e300, 1e300]], |p| projection.to_pixels(p), 18.0);
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
