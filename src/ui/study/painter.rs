//! Figures on a canvas: axes, and whatever their layers are.

use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d as Context, HtmlCanvasElement, ImageData};

use crate::plot::Scale;
use crate::plot::colour::{Rgb, SERIES, image, sequential};
use crate::plot::label::number;
use crate::protocol::Floats;
use crate::study::{Axis, Figure, Mark};

/// Space around the plot, in CSS pixels: left, right, top, bottom.
const MARGINS: [f64; 4] = [46.0, 12.0, 24.0, 36.0];
/// The same where the plot is small and its numbers are short.
const SMALL_MARGINS: [f64; 4] = [28.0, 4.0, 24.0, 34.0];
/// Width of a canvas below which a square is small.
const SMALL: f64 = 320.0;
/// Width of the bar of colours, with its labels.
const BAR: f64 = 46.0;
/// Radius of a handle.
const HANDLE: f64 = 9.0;

/// Words and colours of the moment.
pub struct Look {
    /// Titles of the two axes.
    pub titles: [String; 2],
    /// Names on the horizontal axis.
    pub names: Vec<String>,
    /// Where the handles are.
    pub handles: Vec<[f64; 2]>,
    /// Dark or light.
    pub dark: bool,
}

/// A plot's place on the canvas and its scales.
#[derive(Clone, Copy)]
pub struct Plot {
    x: Scale,
    y: Scale,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Plot {
    /// Where a point is, in CSS pixels.
    pub fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.left + self.x.position(x) * self.width, self.top + (1.0 - self.y.position(y)) * self.height]
    }

    /// Which point is there.
    pub fn point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.x.value((x - self.left) / self.width), self.y.value(1.0 - (y - self.top) / self.height)]
    }
}

/// Numbers of a layer along an axis, to find its ends.
fn along(mark: Mark, data: &[f32], axis: usize) -> Vec<f64> {
    let places: &[usize] = match (mark, axis) {
        (Mark::Heat | Mark::Picture, axis) => {
            return data.get(2 + 2 * axis..4 + 2 * axis).unwrap_or_default().iter().map(|&v| f64::from(v)).collect();
        }
        (Mark::Segments, 0) => &[0, 2],
        (Mark::Segments, _) => &[1, 3],
        (Mark::Band, 1) => &[1, 2],
        (Mark::Bars, 1) => &[1],
        (_, axis) => &[[0, 1][axis]],
    };
    let base = (mark == Mark::Bars && axis == 1).then_some(0.0);
    data.chunks_exact(mark.stride()).flat_map(|item| places.iter().map(|&i| f64::from(item[i]))).chain(base).collect()
}

fn scale(axis: &Axis, figure: &Figure, layers: &[Floats], which: usize) -> Scale {
    let all = || figure.layers.iter().zip(layers).flat_map(|(layer, data)| along(layer.mark, &data.0, which));
    let grid = figure.layers.iter().any(|layer| layer.mark.stride() == 0);
    match axis.range {
        Some([from, to]) if axis.log => Scale::Log { from, to },
        Some([from, to]) => Scale::Linear { from, to },
        // A picture ends where its grid ends, not at the next round number.
        None if grid => {
            let (from, to) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
            match (from < to, axis.log) {
                (false, _) => Scale::linear([]),
                (true, true) => Scale::Log { from, to },
                (true, false) => Scale::Linear { from, to },
            }
        }
        None if axis.log => Scale::log(all()),
        None => Scale::linear(all()),
    }
}

/// Paints a figure as wide as its canvas is shown, and says where its plot is.
pub fn paint(canvas: &HtmlCanvasElement, figure: &Figure, layers: &[Floats], look: &Look) -> Option<Plot> {
    let ratio = web_sys::window().map_or(1.0, |w| w.device_pixel_ratio()).clamp(1.0, 3.0);
    let width = f64::from(canvas.client_width().max(160));
    let colours = figure.layers.iter().position(|layer| layer.mark == Mark::Heat);
    let [left, right, top, bottom] = match figure {
        Figure { x: Axis { key: "", .. }, y: Axis { key: "", .. }, .. } => [0.0; 4],
        Figure { square: true, .. } if width < SMALL => SMALL_MARGINS,
        _ => MARGINS,
    };
    let right = if colours.is_some() { right + BAR } else { right };
    let inner = width - left - right;
    let height = if figure.square { inner + top + bottom } else { (0.6 * width).clamp(200.0, 330.0) };
    canvas.set_width((width * ratio) as u32);
    canvas.set_height((height * ratio) as u32);
    let c: Context = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    let _ = c.scale(ratio, ratio);
    let (ink, rule) = if look.dark { ("#a2aaba", "#2b313d") } else { ("#5a6170", "#dcd8cf") };
    let plot = Plot {
        x: scale(&figure.x, figure, layers, 0),
        y: scale(&figure.y, figure, layers, 1),
        left,
        top,
        width: inner,
        height: height - top - bottom,
    };
    c.set_font("11px system-ui, sans-serif");
    c.set_line_width(1.0);
    if bottom > 0.0 {
        axes(&c, figure, &plot, look, ink, rule);
    }

    c.save();
    c.begin_path();
    c.rect(plot.left, plot.top, plot.width, plot.height);
    c.clip();
    for (layer, data) in figure.layers.iter().zip(layers) {
        let colour = SERIES[usize::from(layer.colour) % SERIES.len()].css();
        c.set_stroke_style_str(&colour);
        c.set_fill_style_str(&colour);
        self::layer(&c, &plot, layer.mark, &data.0, look.dark);
    }
    c.restore();
    if let Some(data) = colours.and_then(|i| layers.get(i)) {
        bar(&c, &plot, &data.0, ink);
    }
    c.set_stroke_style_str(if look.dark { "#ffffff" } else { "#20242c" });
    c.set_fill_style_str(if look.dark { "#ff9e5c" } else { "#b63e18" });
    c.set_line_width(2.0);
    for &handle in &look.handles {
        let [x, y] = plot.place(handle);
        c.begin_path();
        let _ = c.arc(x, y, HANDLE, 0.0, std::f64::consts::TAU);
        c.fill();
        c.stroke();
    }
    Some(plot)
}

fn axes(c: &Context, figure: &Figure, plot: &Plot, look: &Look, ink: &str, rule: &str) {
    let (end, floor) = (plot.left + plot.width, plot.top + plot.height);
    c.set_fill_style_str(ink);
    c.set_stroke_style_str(rule);
    c.begin_path();
    let mut lines = Vec::new();
    c.set_text_align("right");
    c.set_text_baseline("middle");
    for tick in plot.y.ticks((plot.height / 36.0) as usize) {
        let y = plot.top + (1.0 - tick.position) * plot.height;
        lines.push([plot.left, y, end, y]);
        let _ = c.fill_text(&tick.label, plot.left - 5.0, y);
    }
    c.set_text_align("center");
    c.set_text_baseline("alphabetic");
    if figure.x.names.is_empty() {
        for tick in plot.x.ticks((plot.width / if figure.square { 36.0 } else { 60.0 }) as usize) {
            let x = plot.left + tick.position * plot.width;
            lines.push([x, plot.top, x, floor]);
            let _ = c.fill_text(&tick.label, x, floor + 14.0);
        }
    }
    for (i, name) in look.names.iter().enumerate() {
        let _ = c.fill_text(name, plot.place([i as f64, 0.0])[0], floor + 14.0);
    }
    for [x0, y0, x1, y1] in lines {
        c.move_to(x0, y0);
        c.line_to(x1, y1);
    }
    c.rect(plot.left, plot.top, plot.width, plot.height);
    c.stroke();
    let _ = c.fill_text(&look.titles[0], plot.left + 0.5 * plot.width, floor + 30.0);
    c.set_text_align("left");
    let _ = c.fill_text(&look.titles[1], 4.0, plot.top - 11.0);
}

fn layer(c: &Context, plot: &Plot, mark: Mark, data: &[f32], dark: bool) {
    let at = |x: f32, y: f32| plot.place([f64::from(x), f64::from(y)]);
    let items = || data.chunks_exact(mark.stride().max(1));
    c.set_global_alpha(1.0);
    c.set_line_width(1.8);
    match mark {
        Mark::Heat => heat(c, plot, data, |value| (shade(data, value), 1.0)),
        Mark::Picture => {
            c.set_image_smoothing_enabled(false);
            heat(c, plot, data, |value| (grey(data, value, dark), if value < data[6] { 0.0 } else { 1.0 }));
        }
        Mark::Line | Mark::Dashed => {
            let dashes = js_sys::Array::new();
            if mark == Mark::Dashed {
                dashes.push(&JsValue::from_f64(6.0));
                dashes.push(&JsValue::from_f64(4.0));
            }
            let _ = c.set_line_dash(&dashes);
            c.begin_path();
            for item in items() {
                let [x, y] = at(item[0], item[1]);
                c.line_to(x, y);
            }
            c.stroke();
            let _ = c.set_line_dash(&js_sys::Array::new());
        }
        Mark::Segments => {
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
        Mark::Arrows => arrows(c, plot, data),
        Mark::Bars => {
            c.set_global_alpha(0.75);
            let half = 0.3 * plot.width * (plot.x.position(1.0) - plot.x.position(0.0)).abs().min(1.0);
            for item in items() {
                let ([x, y], [_, zero]) = (at(item[0], item[1]), at(item[0], 0.0));
                let zero = if zero.is_finite() { zero } else { plot.top + plot.height };
                c.fill_rect(x - half, y.min(zero), 2.0 * half, (y - zero).abs());
                let ([_, low], [_, high]) = (at(item[0], item[1] - item[2]), at(item[0], item[1] + item[2]));
                c.begin_path();
                c.move_to(x, low);
                c.line_to(x, high);
                c.stroke();
            }
        }
    }
    c.set_global_alpha(1.0);
}

/// Arrows with lengths that grow with the root of the vectors', because scores range over orders of magnitude.
fn arrows(c: &Context, plot: &Plot, data: &[f32]) {
    let items: Vec<[f64; 4]> = data.chunks_exact(4).map(|i| [0, 1, 2, 3].map(|k| f64::from(i[k]))).collect();
    let most = items.iter().map(|i| i[2].hypot(i[3])).fold(0.0, f64::max);
    let longest = (0.9 * plot.width / (items.len() as f64).sqrt()).min(34.0);
    c.set_line_width(1.3);
    c.begin_path();
    for [x, y, u, v] in items {
        let length = u.hypot(v);
        if length == 0.0 || !length.is_finite() {
            continue;
        }
        let [px, py] = plot.place([x, y]);
        let reach = 0.5 * longest * (length / most).sqrt();
        let (dx, dy) = (reach * u / length, -reach * v / length);
        let head = [px + dx, py + dy];
        c.move_to(px - dx, py - dy);
        c.line_to(head[0], head[1]);
        for side in [0.5, -0.5] {
            c.move_to(head[0], head[1]);
            c.line_to(head[0] - 0.45 * dx + side * 0.6 * dy, head[1] - 0.45 * dy - side * 0.6 * dx);
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

fn heat(c: &Context, plot: &Plot, data: &[f32], colour: impl Fn(f32) -> (Rgb, f64)) {
    if data.len() < 8 {
        return;
    }
    let (columns, rows, values) = (data[0] as usize, data[1] as usize, &data[8..]);
    if columns * rows == 0 || values.len() < columns * rows {
        return;
    }
    let pixels = image(columns, rows, |column, row| colour(values[row * columns + column]));
    let small = web_sys::window().and_then(|w| w.document()).and_then(|d| d.create_element("canvas").ok());
    let Some(small) = small.and_then(|e| e.dyn_into::<HtmlCanvasElement>().ok()) else { return };
    small.set_width(columns as u32);
    small.set_height(rows as u32);
    let inner = small.get_context("2d").ok().flatten().and_then(|i| i.dyn_into::<Context>().ok());
    let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&pixels), columns as u32, rows as u32);
    let (Some(inner), Ok(image)) = (inner, image) else { return };
    let [left, right, bottom, top] = [data[2], data[3], data[4], data[5]].map(f64::from);
    let ([x0, y1], [x1, y0]) = (plot.place([left, bottom]), plot.place([right, top]));
    if inner.put_image_data(&image, 0.0, 0.0).is_ok() {
        let _ = c.draw_image_with_html_canvas_element_and_dw_and_dh(&small, x0, y0, x1 - x0, y1 - y0);
    }
}

/// The bar of colours with its ends.
fn bar(c: &Context, plot: &Plot, data: &[f32], ink: &str) {
    if data.len() < 8 {
        return;
    }
    let (x, steps) = (plot.left + plot.width + 10.0, 48);
    for i in 0..steps {
        let value = data[6] + (data[7] - data[6]) * (i as f32 + 0.5) / steps as f32;
        c.set_fill_style_str(&shade(data, value).css());
        let height = plot.height / f64::from(steps);
        c.fill_rect(x, plot.top + plot.height - f64::from(i + 1) * height, 10.0, height + 0.5);
    }
    c.set_fill_style_str(ink);
    c.set_text_align("left");
    c.set_text_baseline("middle");
    let _ = c.fill_text(&number(f64::from(data[7]), 2), x + 14.0, plot.top + 6.0);
    let _ = c.fill_text(&number(f64::from(data[6]), 2), x + 14.0, plot.top + plot.height - 6.0);
}
