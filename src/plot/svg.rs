//! Figures as small drawings in SVG, for a table of contents: no words, and colours that are seen on a light and on a dark
//! page alike.
//!
//! What is written is meant to be light: whole coordinates, curves without the points that nobody sees, clouds of few dots,
//! grids as GIF.

use std::collections::HashMap;

use super::colour::{Rgb, sequential};
use super::figure::{Chart, Layer, Layout, Mark};
use super::gif::Gif;
use super::plane::arrows;
use crate::base64::letter;

/// Width and height of the drawing, in its own units: two for a pixel of the place that it is made for.
const SIZE: [f64; 2] = [640.0, 400.0];
/// Space around the plot.
const MARGIN: f64 = 10.0;
/// Frame and rules: in the middle between paper and ink of both themes.
const FRAME: &str = "#868c98";
/// How far a curve may be from where it was, in units.
const TOLERANCE: f64 = 1.0;
/// Points of all curves together, dots of all clouds together, and arrows.
const MOST_POINTS: usize = 1100;
const MOST_DOTS: usize = 480;
const MOST_ARROWS: usize = 150;
/// Columns of a grid that is blurred between its values, and values of one that is not.
const MOST_COLUMNS: usize = 56;
const MOST_VALUES: usize = 12_000;

/// The chart as a drawing.
#[must_use]
pub fn svg(chart: &Chart<'_>) -> String {
    let layout = layout(chart);
    let drawn: Vec<String> = chart.drawn().map(|(layer, data)| self::layer(chart, &layout, layer, data)).collect();
    let [left, top, width, height] = [layout.left, layout.top, layout.width, layout.height].map(whole);
    let clip = format!("<clipPath id=\"c\"><path d=\"M{left} {top}h{width}v{height}h-{width}z\"/></clipPath>");
    let rules = if has(chart, Mark::Polygon) {
        ring(chart, &layout)
    } else if chart.layers.iter().any(|layer| is_pixels(layer.mark)) {
        String::new()
    } else {
        format!("M{left} {top}h{width}v{height}h-{width}z{}", ticks(&layout))
    };
    let rules = if rules.is_empty() { rules } else { stroked(&rules, FRAME, "1.5") };
    // Over a grid the frame, under everything else.
    let (behind, before) = if has(chart, Mark::Heat) { ("", rules.as_str()) } else { (rules.as_str(), "") };
    whole_drawing(&format!("{clip}{behind}<g clip-path=\"url(#c)\">{}</g>{before}", drawn.concat()))
}

/// Pictures that are there as red, green and blue of every pixel, line by line, as a drawing; `None` when there are none.
#[must_use]
pub fn of_pixels(width: usize, height: usize, pixels: &[u8]) -> Option<String> {
    let [room_width, room_height] = SIZE.map(|side| side - 2.0 * MARGIN);
    let zoom = (room_width / width as f64).min(room_height / height as f64);
    let size = [zoom * width as f64, zoom * height as f64];
    let corner = [0, 1].map(|axis: usize| 0.5 * (SIZE[axis] - size[axis]));
    Some(whole_drawing(&image(width, height, pixels, corner, size, true)?))
}

fn whole_drawing(inside: &str) -> String {
    let [width, height] = SIZE.map(whole);
    format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\">{inside}</svg>\n")
}

fn has(chart: &Chart<'_>, mark: Mark) -> bool {
    chart.layers.iter().any(|layer| layer.mark == mark)
}

/// Whether the values of a grid are pixels, each of which is seen.
fn is_pixels(mark: Mark) -> bool {
    matches!(mark, Mark::Picture | Mark::Colours)
}

/// Where the plot lies: as large as there is place, in its own proportions.
fn layout(chart: &Chart<'_>) -> Layout {
    let free = Layout::new(chart, SIZE[0]);
    let [most_width, most_height] = SIZE.map(|side| side - 2.0 * MARGIN);
    let pixels = chart.drawn().find(|(layer, data)| is_pixels(layer.mark) && data.len() > 2);
    let proportion = match pixels {
        Some((_, data)) => f64::from(data[0].max(1.0)) / f64::from(data[1].max(1.0)),
        None if chart.square => 1.0,
        None => most_width / most_height,
    };
    let width = most_width.min(most_height * proportion);
    let height = width / proportion;
    let (left, top) = (0.5 * (SIZE[0] - width), 0.5 * (SIZE[1] - height));
    Layout { left, top, width, height, canvas: SIZE[1], ..free }
}

/// Lines across the plot at the numbers of its vertical axis, as a path.
fn ticks(layout: &Layout) -> String {
    let inside = layout.y.ticks(4).into_iter().filter(|tick| (0.02..0.98).contains(&tick.position));
    let line = |position: f64| {
        let y = layout.top + (1.0 - position) * layout.height;
        format!("M{} {}h14", whole(layout.left), whole(y))
    };
    inside.map(|tick| line(tick.position)).collect()
}

/// The border of a radar chart and its rays, as a path.
fn ring(chart: &Chart<'_>, layout: &Layout) -> String {
    let (corners, (_, far)) = (chart.x.names.len(), layout.y.ends());
    let mut pen = Pen::default();
    for i in 0..=corners {
        pen.go(layout.corner(i as f64, corners, far), i > 0);
    }
    for i in 0..corners {
        pen.go(layout.corner(i as f64, corners, layout.y.ends().0), false);
        pen.go(layout.corner(i as f64, corners, far), true);
    }
    pen.path
}

fn stroked(path: &str, colour: &str, width: &str) -> String {
    format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"/>")
}

fn filled(path: &str, colour: &str, opacity: &str) -> String {
    format!("<path d=\"{path}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>")
}

/// A whole number of units.
fn whole(value: f64) -> i32 {
    libm::round(value) as i32
}

/// A path in whole relative steps.
#[derive(Default)]
struct Pen {
    path: String,
    at: [i32; 2],
}

impl Pen {
    /// To a point, with a line or without.
    fn go(&mut self, to: [f64; 2], draw: bool) {
        // Far outside is outside, however far.
        let to = [0, 1].map(|axis: usize| whole(to[axis].clamp(-SIZE[0], 2.0 * SIZE[0])));
        let [x, y] = [to[0] - self.at[0], to[1] - self.at[1]];
        if draw && [x, y] == [0, 0] {
            return;
        }
        let gap = if y < 0 { "" } else { " " };
        self.path.push_str(&format!("{}{x}{gap}{y}", if draw { 'l' } else { 'm' }));
        self.at = to;
    }

    /// Along a curve.
    fn along(&mut self, points: &[[f64; 2]]) {
        for (i, point) in points.iter().enumerate() {
            self.go(*point, i > 0);
        }
    }
}

fn layer(chart: &Chart<'_>, layout: &Layout, layer: &Layer, data: &[f32]) -> String {
    let colour = layer.rgb().css();
    let at = |x: f32, y: f32| layout.place([f64::from(x), f64::from(y)]);
    let share = |mark: Mark, most: usize| most / chart.layers.iter().filter(|other| other.mark == mark).count().max(1);
    let items = || data.chunks_exact(layer.mark.stride().max(1));
    let mut pen = Pen::default();
    match layer.mark {
        Mark::Heat => blurred(layout, data),
        Mark::Picture | Mark::Colours => pixels(layout, layer.mark, data),
        Mark::Line | Mark::Dashed => {
            let most = share(layer.mark, MOST_POINTS).min(400);
            let points: Vec<[f64; 2]> = items().map(|item| at(item[0], item[1])).collect();
            points.split(|point| !is_place(*point)).for_each(|piece| pen.along(&simple(&evenly(piece, most))));
            let drawn = stroked(&pen.path, &colour, "5");
            match layer.pattern().iter().map(|length| whole(2.0 * length).to_string()).collect::<Vec<_>>().join(" ") {
                dashes if dashes.is_empty() => drawn,
                dashes => drawn.replace("/>", &format!(" stroke-dasharray=\"{dashes}\"/>")),
            }
        }
        Mark::Segments => {
            let mut curves: Vec<Vec<[f64; 2]>> = joined(data, at).iter().map(|curve| simple(curve)).collect();
            let count: usize = curves.iter().map(Vec::len).sum();
            let (most, all) = (share(layer.mark, MOST_POINTS), curves.len());
            if count > most {
                curves = evenly(&curves, (all * most / count).max(1));
            }
            curves.iter().for_each(|curve| pen.along(curve));
            stroked(&pen.path, &colour, if curves.len() > 30 { "2" } else { "3" })
        }
        Mark::Band => {
            let places = items().filter(|item| item.iter().all(|value| value.is_finite())).collect::<Vec<_>>();
            let places = evenly(&places, share(layer.mark, MOST_POINTS / 2).min(200));
            let up = places.iter().map(|item| at(item[0], item[2]));
            let around: Vec<[f64; 2]> = up.chain(places.iter().rev().map(|item| at(item[0], item[1]))).collect();
            pen.along(&around);
            filled(&pen.path, &colour, ".35")
        }
        Mark::Dots => {
            let points: Vec<[f64; 2]> = items().map(|item| at(item[0], item[1])).filter(|at| is_place(*at)).collect();
            let points = evenly(&points, share(layer.mark, MOST_DOTS));
            for point in &points {
                pen.go(*point, false);
                pen.path.push_str("h0");
            }
            let width = if points.len() < 12 { "16" } else { "6" };
            let dots = stroked(&pen.path, &colour, width);
            dots.replace("stroke-linejoin", "stroke-opacity=\".75\" stroke-linecap")
        }
        Mark::Arrows => {
            let (places, vectors) = few_arrows(data);
            let longest = 1.1 * layout.width / (places.len().max(1) as f64).sqrt();
            for arrow in arrows(&places, &vectors, |place| layout.place(place), longest.min(60.0)) {
                pen.go(arrow.tail, false);
                pen.go(arrow.head, true);
                pen.go(arrow.barbs[0], false);
                pen.go(arrow.head, true);
                pen.go(arrow.barbs[1], true);
            }
            stroked(&pen.path, &colour, "2.5")
        }
        Mark::Bars => {
            let half = 0.3 * layout.width * (layout.x.position(1.0) - layout.x.position(0.0)).abs().min(1.0);
            let mut errors = Pen::default();
            for item in items() {
                let ([x, y], [_, zero]) = (at(item[0], item[1]), at(item[0], 0.0));
                let zero = if zero.is_finite() { zero } else { layout.top + layout.height };
                if is_place([x, y]) {
                    pen.along(&[[x - half, y], [x + half, y], [x + half, zero], [x - half, zero]]);
                    let ends = [item[1] - item[2], item[1] + item[2]].map(|end| at(item[0], end));
                    if ends.iter().all(|end| is_place(*end)) {
                        errors.along(&ends);
                    }
                }
            }
            filled(&pen.path, &colour, ".75") + &stroked(&errors.path, &colour, "3")
        }
        Mark::Polygon => {
            let corner = |item: &[f32]| layout.corner(f64::from(item[0]), data.len() / 2, f64::from(item[1]));
            let mut around: Vec<[f64; 2]> = items().map(corner).filter(|at| is_place(*at)).collect();
            around.extend(around.first().copied());
            pen.along(&around);
            stroked(&pen.path, &colour, "4")
                .replace("fill=\"none\"", &format!("fill=\"{colour}\" fill-opacity=\".12\""))
        }
        Mark::Table => String::new(),
    }
}

fn is_place(point: [f64; 2]) -> bool {
    point.iter().all(|side| side.is_finite())
}

/// At most so many, evenly, both ends among them.
fn evenly<T: Clone>(all: &[T], most: usize) -> Vec<T> {
    if all.len() <= most.max(2) {
        return all.to_vec();
    }
    let most = most.max(2);
    (0..most).map(|i| all[i * (all.len() - 1) / (most - 1)].clone()).collect()
}

/// A curve without the points that lie where it goes anyway (Ramer 1972; Douglas and Peucker 1973).
fn simple(curve: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let Some(last) = curve.len().checked_sub(1) else { return Vec::new() };
    let mut kept = vec![false; curve.len()];
    (kept[0], kept[last]) = (true, true);
    let mut pieces = vec![(0, last)];
    while let Some((from, to)) = pieces.pop() {
        let ([x0, y0], [x1, y1]) = (curve[from], curve[to]);
        let length = libm::hypot(x1 - x0, y1 - y0);
        let distance = |[x, y]: [f64; 2]| {
            if length == 0.0 {
                libm::hypot(x - x0, y - y0)
            } else {
                ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)).abs() / length
            }
        };
        let farthest = (from + 1..to).max_by(|a, b| distance(curve[*a]).total_cmp(&distance(curve[*b])));
        if let Some(place) = farthest.filter(|place| distance(curve[*place]) > TOLERANCE) {
            kept[place] = true;
            pieces.extend([(from, place), (place, to)]);
        }
    }
    curve.iter().zip(kept).filter(|(_, kept)| *kept).map(|(point, _)| *point).collect()
}

/// Pieces of lines as curves: a piece goes on where another ended.
fn joined(data: &[f32], at: impl Fn(f32, f32) -> [f64; 2]) -> Vec<Vec<[f64; 2]>> {
    let mut curves: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut ends: HashMap<[u32; 2], usize> = HashMap::new();
    for piece in data.chunks_exact(4) {
        let (from, to) = (at(piece[0], piece[1]), at(piece[2], piece[3]));
        if !is_place(from) || !is_place(to) {
            continue;
        }
        let curve = ends.remove(&[piece[0].to_bits(), piece[1].to_bits()]).unwrap_or_else(|| {
            curves.push(vec![from]);
            curves.len() - 1
        });
        curves[curve].push(to);
        ends.insert([piece[2].to_bits(), piece[3].to_bits()], curve);
    }
    curves
}

/// Places and vectors of a field, of a square grid every second or third of a row.
fn few_arrows(data: &[f32]) -> (Vec<[f64; 2]>, Vec<[f64; 2]>) {
    let count = data.len() / 4;
    let side = count.isqrt();
    let grid = side * side == count;
    let left = |step: usize| if grid { side.div_ceil(step) * side.div_ceil(step) } else { count.div_ceil(step) };
    let mut step = 1;
    while left(step) > MOST_ARROWS {
        step += 1;
    }
    let seen = |i: usize| {
        if grid { (i % side).is_multiple_of(step) && (i / side).is_multiple_of(step) } else { i.is_multiple_of(step) }
    };
    let kept = data.chunks_exact(4).enumerate().filter(|(i, _)| seen(*i));
    kept.map(|(_, item)| ([item[0], item[1]].map(f64::from), [item[2], item[3]].map(f64::from))).unzip()
}

/// Columns, rows and values of a grid, if it is whole.
fn grid(data: &[f32]) -> Option<(usize, usize, &[f32])> {
    let (head, values) = data.split_at_checked(8)?;
    let (columns, rows) = (head[0] as usize, head[1] as usize);
    let count = columns.checked_mul(rows)?;
    (count > 0 && values.len() >= count).then(|| (columns, rows, &values[..count]))
}

/// Where a value is between the ends of the colours.
fn share(data: &[f32], value: f32) -> f64 {
    f64::from(value - data[6]) / f64::from(data[7] - data[6]).max(f64::MIN_POSITIVE)
}

/// A grid whose values are blurred into one another: means of blocks of it where it is finer than can be seen.
fn blurred(layout: &Layout, data: &[f32]) -> String {
    let Some((columns, rows, values)) = grid(data) else { return String::new() };
    let block = columns.max(rows).div_ceil(MOST_COLUMNS);
    let (width, height) = (columns.div_ceil(block), rows.div_ceil(block));
    let mean = |column: usize, row: usize| {
        let (mut sum, mut count) = (0.0, 0.0);
        for y in row * block..((row + 1) * block).min(rows) {
            for &value in &values[y * columns..][column * block..((column + 1) * block).min(columns)] {
                if value.is_finite() {
                    (sum, count) = (sum + value, count + 1.0);
                }
            }
        }
        if count > 0.0 { sum / count } else { f32::NAN }
    };
    let colour = |column: usize, row: usize| sequential(share(data, mean(column, row)));
    placed(layout, data, [width, height], colour, false)
}

/// A grid of pixels: ink on paper, or in its own colours.
fn pixels(layout: &Layout, mark: Mark, data: &[f32]) -> String {
    let Some((columns, rows, values)) = grid(data) else { return String::new() };
    // Sixteen greys are enough for a small picture, and half as large.
    let step = if columns * rows > MOST_VALUES { 51.0 } else { 17.0 };
    let colour = |column: usize, row: usize| {
        let value = values[row * columns + column];
        match mark {
            Mark::Colours if value < 0.0 => Rgb([0x86, 0x8c, 0x98]),
            Mark::Colours => {
                let [_, red, green, blue] = (value as u32).to_be_bytes();
                Rgb([red, green, blue])
            }
            _ if value < data[6] => Rgb([255; 3]),
            _ => Rgb([(255.0 - step * libm::round(255.0 / step * share(data, value).clamp(0.0, 1.0))) as u8; 3]),
        }
    };
    placed(layout, data, [columns, rows], colour, true)
}

/// A grid in its window. `colour` gets a column, and a row from the bottom.
fn placed(
    layout: &Layout,
    data: &[f32],
    [width, height]: [usize; 2],
    colour: impl Fn(usize, usize) -> Rgb,
    sharp: bool,
) -> String {
    let rows = (0..height).rev();
    let pixels: Vec<u8> =
        rows.flat_map(|row| (0..width).map(move |column| [column, row])).flat_map(|[c, r]| colour(c, r).0).collect();
    let [left, right, bottom, top] = [data[2], data[3], data[4], data[5]].map(f64::from);
    let ([x0, y0], [x1, y1]) = (layout.place([left, top]), layout.place([right, bottom]));
    image(width, height, &pixels, [x0, y0], [x1 - x0, y1 - y0], sharp).unwrap_or_default()
}

/// An image element with these pixels.
fn image(width: usize, height: usize, pixels: &[u8], at: [f64; 2], size: [f64; 2], sharp: bool) -> Option<String> {
    let mut gif = Gif::new(width, height, 1)?;
    gif.add(pixels, 0);
    let ([x, y], [across, down]) = (at.map(whole), size.map(whole));
    let rendering = if sharp { " image-rendering=\"pixelated\"" } else { "" };
    let content = base64(&gif.finish());
    Some(format!(
        "<image x=\"{x}\" y=\"{y}\" width=\"{across}\" height=\"{down}\" preserveAspectRatio=\"none\"{rendering} \
         href=\"data:image/gif;base64,{content}\"/>"
    ))
}

/// Base64 with the letters of addresses of data (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, &byte| (bits << 8) | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            text.push(match letter((bits >> (18 - 6 * place)) as u8) {
                _ if place > three.len() => '=',
                '-' => '+',
                '_' => '/',
                known => known,
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::Axis;

    fn chart<'a>(axes: &'a [Axis; 2], square: bool, layers: &'a [Layer], data: Vec<&'a [f32]>) -> Chart<'a> {
        Chart { x: &axes[0], y: &axes[1], square, layers, data, now: None }
    }

    const AXES: [Axis; 2] = [Axis::fixed("x", 0.0, 1.0), Axis::fixed("y", 0.0, 1.0)];

    /// What stands in an attribute of the first element that has it, after what is in `from`.
    fn attribute<'a>(drawing: &'a str, from: &str, name: &str) -> &'a str {
        let rest = &drawing[drawing.find(from).expect("an element")..];
        let start = rest.find(&format!("{name}=\"")).expect("an attribute") + name.len() + 2;
        rest[start..].split('"').next().expect("its end")
    }

    /// The first path inside the frame.
    fn curve(drawing: &str) -> String {
        attribute(&drawing[drawing.find("<g").expect("a group")..], "<path", "d").to_owned()
    }

    /// The points of a path of relative steps.
    fn points(path: &str) -> Vec<[i32; 2]> {
        let (mut at, mut points) = ([0, 0], Vec::new());
        for step in path.split(['m', 'l']).filter(|step| !step.is_empty()) {
            let step = step.trim_end_matches("h0").replace('-', " -");
            let numbers: Vec<i32> = step.split_whitespace().map(|number| number.parse().expect("a number")).collect();
            at = [at[0] + numbers[0], at[1] + numbers[1]];
            points.push(at);
        }
        points
    }

    #[test]
    fn a_straight_curve_of_many_points_is_its_two_ends() {
        let line: Vec<f32> = (0..1000).flat_map(|i| [i as f32 / 999.0, i as f32 / 999.0]).collect();
        let drawing = svg(&chart(&AXES, false, &[Layer::new("a", Mark::Line, 0)], vec![&line]));
        assert_eq!(points(&curve(&drawing)), [[10, 390], [630, 10]]);
    }

    #[test]
    fn a_bend_is_kept_and_a_value_that_is_no_number_ends_the_curve() {
        let line = [0.0, 0.0, 0.5, 1.0, 1.0, 0.0, f32::NAN, 0.0, 0.0, 0.5, 1.0, 0.5];
        let drawing = svg(&chart(&AXES, false, &[Layer::new("a", Mark::Line, 0)], vec![&line]));
        let path = curve(&drawing);
        assert_eq!(points(&path), [[10, 390], [320, 10], [630, 390], [10, 200], [630, 200]]);
        assert_eq!(path.matches('m').count(), 2, "{path}");
    }

    #[test]
    fn clouds_and_fields_are_thinned_and_lie_in_the_frame() {
        let cloud: Vec<f32> = (0..10_000).flat_map(|i| [(i % 100) as f32 / 99.0, (i / 100) as f32 / 99.0]).collect();
        let drawing = svg(&chart(&AXES, true, &[Layer::new("a", Mark::Dots, 1)], vec![&cloud]));
        let dots = points(&curve(&drawing));
        assert_eq!(dots.len(), MOST_DOTS);
        // A square in the middle.
        assert!(dots.iter().all(|&[x, y]| (130..=510).contains(&x) && (10..=390).contains(&y)), "{dots:?}");
        assert!(drawing.len() < 8000, "{}", drawing.len());

        let field: Vec<f32> =
            (0..900).flat_map(|i| [(i % 30) as f32 / 29.0, (i / 30) as f32 / 29.0, 1.0, 0.0]).collect();
        assert_eq!(few_arrows(&field).0.len(), 100);
    }

    #[test]
    fn pieces_that_meet_are_one_curve() {
        // Two ways, step by step in turns.
        let at = |i: usize| i as f32 / 50.0;
        let pieces: Vec<f32> = (0..50).flat_map(|i| [at(i), 0.2, at(i + 1), 0.2, at(i), 0.7, at(i + 1), 0.7]).collect();
        let ways = joined(&pieces, |x, y| [f64::from(x), f64::from(y)]);
        assert_eq!(ways.iter().map(Vec::len).collect::<Vec<_>>(), [51, 51]);
    }

    #[test]
    fn a_grid_is_an_image_in_its_window_and_a_damaged_one_is_none() {
        let heat = [2.0, 2.0, 0.0, 1.0, 0.0, 0.5, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let layers = [Layer::new("a", Mark::Heat, 0)];
        let drawing = svg(&chart(&AXES, true, &layers, vec![&heat]));
        let place = ["x", "y", "width", "height"].map(|name| attribute(&drawing, "<image", name));
        assert_eq!(place, ["130", "200", "380", "190"]);
        assert!(attribute(&drawing, "<image", "href").starts_with("data:image/gif;base64,R0lGODlh"));
        for damaged in [&heat[..11], &heat[..3], &[]] {
            assert!(!svg(&chart(&AXES, true, &layers, vec![damaged])).contains("<image"));
        }
        // Pictures keep their proportions: twelve to two.
        let mut pictures = vec![12.0, 2.0, 0.5, 3.5, 0.5, 1.5, -1.0, 1.0];
        pictures.extend([0.5; 24]);
        let free = [Axis::free(""), Axis::free("")];
        let drawing = svg(&chart(&free, true, &[Layer::new("a", Mark::Picture, 0)], vec![&pictures]));
        assert_eq!(["width", "height"].map(|name| attribute(&drawing, "<image", name)), ["620", "103"]);
    }

    #[test]
    fn bytes_are_base64_as_the_standard_has_them() {
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{3ff}?", "z78/")];
        for (text, code) in known {
            assert_eq!(base64(text.as_bytes()), code);
        }
    }
}
