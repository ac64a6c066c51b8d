//! The painter: charts on a canvas, of the plane and of studies, and the strokes that the big picture shares with them.

use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d as Context, HtmlCanvasElement, ImageData};

use crate::plot::colour::{Rgb, image, sequential};
use crate::plot::figure::{Chart, Layer, Layout, Mark};
use crate::plot::label::number;
use crate::plot::plane::{Arrow, arrows};

/// Radius of a handle.
const HANDLE: f64 = 9.0;

/// Words and colours of the moment.
pub struct Look {
    /// Titles of the two axes.
    pub titles: [String; 2],
    /// Names on the horizontal and on the vertical axis.
    pub names: [Vec<String>; 2],
    /// Where the handles are.
    pub handles: Vec<[f64; 2]>,
    /// Dark or light.
    pub dark: bool,
}

/// The drawing context of a canvas; a browser without one shows no picture, but everything else.
pub fn context(canvas: &HtmlCanvasElement) -> Option<Context> {
    canvas.get_context("2d").ok()??.dyn_into().ok()
}

/// Paints a chart as wide as its canvas is shown, and says where it lies.
pub fn paint(canvas: &HtmlCanvasElement, chart: &Chart<'_>, look: &Look) -> Option<Layout> {
    let ratio = web_sys::window().map_or(1.0, |w| w.device_pixel_ratio()).clamp(1.0, 3.0);
    let width = f64::from(canvas.client_width().max(160));
    let layout = Layout::new(chart, width);
    canvas.set_width((width * ratio) as u32);
    canvas.set_height((layout.canvas * ratio) as u32);
    let c = context(canvas)?;
    let _ = c.scale(ratio, ratio);
    let (ink, rule) = if look.dark { ("#a2aaba", "#2b313d") } else { ("#5a6170", "#dcd8cf") };
    c.set_font("11px system-ui, sans-serif");
    c.set_line_width(1.0);
    if chart.layers.iter().any(|layer| layer.mark == Mark::Polygon) {
        rays(&c, &layout, look, ink, rule);
    } else if layout.top > 0.0 {
        axes(&c, chart, &layout, look, ink, rule);
    }

    for (layer, data) in chart.drawn() {
        let colour = layer.rgb().css();
        // A dot at the end of an axis is whole.
        let over = if layer.mark == Mark::Dots { 5.0 } else { 0.0 };
        c.save();
        c.begin_path();
        c.rect(layout.left - over, layout.top - over, layout.width + 2.0 * over, layout.height + 2.0 * over);
        c.clip();
        c.set_stroke_style_str(&colour);
        c.set_fill_style_str(&colour);
        if layer.mark == Mark::Polygon {
            polygon(&c, &layout, layer, data);
        } else {
            self::layer(&c, &layout, layer, data, look.dark);
        }
        c.restore();
    }
    for (_, data) in chart.drawn().filter(|(layer, _)| layer.mark == Mark::Heat).take(1) {
        bar(&c, &layout, data, ink);
    }
    let accent = if look.dark { "#ff9e5c" } else { "#b63e18" };
    if let Some(now) = chart.now {
        let x = layout.place([now, 0.0])[0];
        c.set_stroke_style_str(accent);
        c.set_line_width(1.5);
        dash(&c, &[2.0, 2.0]);
        c.begin_path();
        c.move_to(x, layout.top);
        c.line_to(x, layout.top + layout.height);
        c.stroke();
        dash(&c, &[]);
    }
    c.set_stroke_style_str(if look.dark { "#ffffff" } else { "#20242c" });
    c.set_fill_style_str(accent);
    c.set_line_width(2.0);
    for &handle in &look.handles {
        let [x, y] = layout.place(handle);
        c.begin_path();
        let _ = c.arc(x, y, HANDLE, 0.0, std::f64::consts::TAU);
        c.fill();
        c.stroke();
    }
    Some(layout)
}

fn axes(c: &Context, chart: &Chart<'_>, layout: &Layout, look: &Look, ink: &str, rule: &str) {
    let (end, floor) = (layout.left + layout.width, layout.top + layout.height);
    let [along, up] = &look.names;
    c.set_fill_style_str(ink);
    c.set_stroke_style_str(rule);
    c.begin_path();
    c.set_text_align("right");
    c.set_text_baseline("middle");
    if up.is_empty() {
        for tick in layout.y.ticks((layout.height / 36.0) as usize) {
            let y = layout.top + (1.0 - tick.position) * layout.height;
            c.move_to(layout.left, y);
            c.line_to(end, y);
            let _ = c.fill_text(&tick.label, layout.left - 5.0, y);
        }
    }
    for (i, name) in up.iter().enumerate() {
        let _ = c.fill_text(name, layout.left - 5.0, layout.place([0.0, i as f64])[1]);
    }
    c.set_text_align("center");
    c.set_text_baseline("alphabetic");
    if along.is_empty() {
        for tick in layout.x.ticks((layout.width / if chart.square { 36.0 } else { 60.0 }) as usize) {
            let x = layout.left + tick.position * layout.width;
            c.move_to(x, layout.top);
            c.line_to(x, floor);
            let _ = c.fill_text(&tick.label, x, floor + 14.0);
        }
    }
    // Each within its own slot: narrowed rather than over its neighbours.
    let slot = (layout.place([1.0, 0.0])[0] - layout.place([0.0, 0.0])[0]).abs() - 4.0;
    for (i, name) in along.iter().enumerate() {
        let _ = c.fill_text_with_max_width(name, layout.place([i as f64, 0.0])[0], floor + 14.0, slot);
    }
    c.rect(layout.left, layout.top, layout.width, layout.height);
    c.stroke();
    let _ = c.fill_text(&look.titles[0], layout.left + 0.5 * layout.width, floor + 30.0);
    c.set_text_align("left");
    let _ = c.fill_text(&look.titles[1], 4.0, layout.top - 11.0);
}

/// The axes of a radar chart: a ring at every number, a ray to every corner and its name.
fn rays(c: &Context, layout: &Layout, look: &Look, ink: &str, rule: &str) {
    let names = &look.names[0];
    let corner = |i: usize, value: f64| layout.corner(i as f64, names.len(), value);
    c.set_stroke_style_str(rule);
    c.set_fill_style_str(ink);
    c.begin_path();
    c.set_text_align("right");
    for tick in layout.y.ticks(3) {
        let value = layout.y.value(tick.position);
        for i in 0..=names.len() {
            let [x, y] = corner(i, value);
            if i == 0 { c.move_to(x, y) } else { c.line_to(x, y) }
        }
        let [x, y] = corner(names.len() / 2, value);
        let _ = c.fill_text(&tick.label, x - 8.0, y + 4.0);
    }
    c.set_text_align("center");
    for (i, name) in names.iter().enumerate() {
        let ([x0, y0], [x, y]) = (corner(i, 0.0), corner(i, layout.y.value(0.9)));
        c.move_to(x0, y0);
        c.line_to(x, y);
        let [x, y] = corner(i, layout.y.value(0.96));
        let _ = c.fill_text(name, x, if y < y0 { y } else { y + 12.0 });
    }
    c.stroke();
    c.set_text_align("left");
    let _ = c.fill_text(&look.titles[1], 4.0, layout.top - 11.0);
}

/// A polygon around the middle of a radar chart.
fn polygon(c: &Context, layout: &Layout, layer: &Layer, data: &[f32]) {
    c.set_line_width(1.8);
    dash(c, layer.pattern());
    c.begin_path();
    for item in data.chunks_exact(2) {
        let [x, y] = layout.corner(f64::from(item[0]), data.len() / 2, f64::from(item[1]));
        c.line_to(x, y);
    }
    c.close_path();
    c.stroke();
    dash(c, &[]);
    // What fills is seen; what is dashed is only a border.
    if layer.dashes == 0 {
        c.set_global_alpha(0.12);
        c.fill();
    }
}

/// Sets the dash pattern of lines; solid without one.
fn dash(c: &Context, pattern: &[f64]) {
    let dashes: js_sys::Array = pattern.iter().map(|&length| JsValue::from_f64(length)).collect();
    let _ = c.set_line_dash(&dashes);
}

fn layer(c: &Context, layout: &Layout, layer: &Layer, data: &[f32], dark: bool) {
    let at = |x: f32, y: f32| layout.place([f64::from(x), f64::from(y)]);
    let items = || data.chunks_exact(layer.mark.stride().max(1));
    c.set_global_alpha(1.0);
    c.set_line_width(1.8);
    match layer.mark {
        Mark::Heat => heat(c, layout, data, &|value| (shade(data, value), 1.0)),
        Mark::Picture => {
            c.set_image_smoothing_enabled(false);
            heat(c, layout, data, &|value| (grey(data, value, dark), if value < data[6] { 0.0 } else { 1.0 }));
        }
        Mark::Colours => {
            c.set_image_smoothing_enabled(false);
            heat(c, layout, data, &|value| (unpacked(value), if value < 0.0 { 0.0 } else { 1.0 }));
        }
        Mark::Line | Mark::Dashed => {
            dash(c, layer.pattern());
            c.set_line_join("round");
            c.begin_path();
            for item in items() {
                let [x, y] = at(item[0], item[1]);
                c.line_to(x, y);
            }
            c.stroke();
            dash(c, &[]);
        }
        Mark::Segments => {
            // Thousands of lines over one another would hide what is below them.
            if data.len() > 4000 {
                c.set_line_width(0.7);
                c.set_global_alpha(0.5);
            }
            c.begin_path();
            for item in items() {
                let ([x0, y0], [x1, y1]) = (at(item[0], item[1]), at(item[2], item[3]));
                c.move_to(x0, y0);
                c.line_to(x1, y1);
            }
            c.stroke();
        }
        Mark::Band => {
            c.set_global_alpha(0.35);
            c.begin_path();
            for item in items() {
                let [x, y] = at(item[0], item[2]);
                c.line_to(x, y);
            }
            for item in data.chunks_exact(3).rev() {
                let [x, y] = at(item[0], item[1]);
                c.line_to(x, y);
            }
            c.fill();
        }
        Mark::Dots => {
            let count = data.len() / 2;
            let radius = if count < 12 { 5.0 } else { (60.0 / (count as f64).sqrt()).clamp(1.0, 2.5) };
            c.set_global_alpha(if count < 12 { 1.0 } else { 0.7 });
            c.begin_path();
            for item in items() {
                let [x, y] = at(item[0], item[1]);
                c.move_to(x + radius, y);
                let _ = c.arc(x, y, radius, 0.0, std::f64::consts::TAU);
            }
            c.fill();
        }
        Mark::Arrows => {
            let (mut places, mut vectors) = (Vec::new(), Vec::new());
            for item in items() {
                places.push([item[0], item[1]].map(f64::from));
                vectors.push([item[2], item[3]].map(f64::from));
            }
            let longest = (0.9 * layout.width / (places.len() as f64).sqrt()).min(34.0);
            c.set_line_width(1.3);
            stroke(c, &arrows(&places, &vectors, |place| layout.place(place), longest));
        }
        Mark::Bars => {
            c.set_global_alpha(0.75);
            let half = 0.3 * layout.width * (layout.x.position(1.0) - layout.x.position(0.0)).abs().min(1.0);
            for item in items() {
                let ([x, y], [_, zero]) = (at(item[0], item[1]), at(item[0], 0.0));
                let zero = if zero.is_finite() { zero } else { layout.top + layout.height };
                c.fill_rect(x - half, y.min(zero), 2.0 * half, (y - zero).abs());
                let ([_, low], [_, high]) = (at(item[0], item[1] - item[2]), at(item[0], item[1] + item[2]));
                c.begin_path();
                c.move_to(x, low);
                c.line_to(x, high);
                c.stroke();
            }
        }
        // A polygon is drawn around the middle, and a table is no drawing.
        Mark::Polygon | Mark::Table => {}
    }
    c.set_global_alpha(1.0);
}

/// Strokes arrows.
pub fn stroke(c: &Context, arrows: &[Arrow]) {
    c.begin_path();
    for arrow in arrows {
        c.move_to(arrow.tail[0], arrow.tail[1]);
        for end in arrow.barbs {
            c.line_to(arrow.head[0], arrow.head[1]);
            c.line_to(end[0], end[1]);
        }
    }
    c.stroke();
}

/// Where a value is between the ends of the colours.
fn share(data: &[f32], value: f32) -> f64 {
    f64::from(value - data[6]) / f64::from(data[7] - data[6]).max(f64::MIN_POSITIVE)
}

fn shade(data: &[f32], value: f32) -> Rgb {
    sequential(share(data, value))
}

/// Ink on paper, or chalk on slate.
fn grey(data: &[f32], value: f32, dark: bool) -> Rgb {
    let share = share(data, value).clamp(0.0, 1.0);
    let level = if dark { 40.0 + 200.0 * share } else { 240.0 - 220.0 * share };
    Rgb([level as u8; 3])
}

/// The colour that a value of [`Mark::Colours`] is.
fn unpacked(value: f32) -> Rgb {
    let [_, red, green, blue] = (value.max(0.0) as u32).to_be_bytes();
    Rgb([red, green, blue])
}

fn heat(c: &Context, layout: &Layout, data: &[f32], colour: &dyn Fn(f32) -> (Rgb, f64)) {
    let Some((head, values)) = data.split_at_checked(8) else { return };
    let (columns, rows) = (head[0] as usize, head[1] as usize);
    if columns.saturating_mul(rows) == 0 || values.len() < columns.saturating_mul(rows) {
        return;
    }
    let pixels = image(columns, rows, |column, row| colour(values[row * columns + column]));
    let [left, right, bottom, top] = [head[2], head[3], head[4], head[5]].map(f64::from);
    let ([x0, y1], [x1, y0]) = (layout.place([left, bottom]), layout.place([right, top]));
    if let Some(small) = bitmap(&pixels, columns) {
        let _ = c.draw_image_with_html_canvas_element_and_dw_and_dh(&small, x0, y0, x1 - x0, y1 - y0);
    }
}

/// A canvas of its own with these pixels, red, green, blue and opacity, to be drawn at any size.
pub fn bitmap(pixels: &[u8], columns: usize) -> Option<HtmlCanvasElement> {
    let image = ImageData::new_with_u8_clamped_array(Clamped(pixels), columns as u32).ok()?;
    let element = web_sys::window()?.document()?.create_element("canvas").ok()?;
    let small: HtmlCanvasElement = element.dyn_into().ok()?;
    small.set_width(columns as u32);
    small.set_height(image.height());
    context(&small)?.put_image_data(&image, 0.0, 0.0).ok()?;
    Some(small)
}

/// The bar of colours with its ends.
fn bar(c: &Context, layout: &Layout, data: &[f32], ink: &str) {
    if data.len() < 8 {
        return;
    }
    let (x, steps) = (layout.left + layout.width + 10.0, 48);
    for i in 0..steps {
        let value = data[6] + (data[7] - data[6]) * (i as f32 + 0.5) / steps as f32;
        c.set_fill_style_str(&shade(data, value).css());
        let height = layout.height / f64::from(steps);
        c.fill_rect(x, layout.top + layout.height - f64::from(i + 1) * height, 10.0, height + 0.5);
    }
    c.set_fill_style_str(ink);
    c.set_text_align("left");
    c.set_text_baseline("middle");
    let _ = c.fill_text(&number(f64::from(data[7]), 2), x + 14.0, layout.top + 6.0);
    let _ = c.fill_text(&number(f64::from(data[6]), 2), x + 14.0, layout.top + layout.height - 6.0);
}
