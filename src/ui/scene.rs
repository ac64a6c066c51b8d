//! What the big picture is made of, and how it is painted.

use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

pub use super::painter::context;
use super::painter::{bitmap, stroke};
use crate::data::Dataset;
use crate::diffusion::Level;
use crate::lab::{ControlId, RunConfig};
use crate::plot::plane::{Projection, arrows};
use crate::plot::theme::{DARK, LIGHT};
use crate::protocol::Floats;
use crate::rng::{Rng, Stream};

/// Pixels along a side of the density image, which the canvas smooths.
const DENSITY_SIDE: usize = 96;
/// Samples whose ways are drawn.
const TRAJECTORIES: usize = 80;
/// Points of the data whose distributions with noise are drawn.
const CONDITIONED: usize = 6;
/// Points along a side of the score field.
pub const FIELD_SIDE: u32 = 19;

/// A state of a sampling run.
pub struct Frame {
    /// Time of the level.
    pub t: f64,
    /// Positions.
    pub points: Floats,
    /// Expected ends; empty when there are none.
    pub expected: Floats,
}

/// A score field of the trained network.
pub struct Field {
    /// Points along a side.
    pub side: u32,
    /// `x, y` of the score, rows from the bottom.
    pub score: Floats,
}

/// A line on which the samples are wanted.
#[derive(Clone, Copy, PartialEq)]
pub struct Observed {
    /// Direction that is observed, in degrees.
    angle: f64,
    /// What was seen along it.
    value: f64,
    /// Standard deviation of what was seen.
    noise: f64,
}

impl Observed {
    /// The observation of a run under control by one.
    pub fn of(config: &RunConfig) -> Option<Self> {
        (!matches!(config.control, ControlId::None | ControlId::Class)).then_some(Self {
            angle: config.observe_angle,
            value: config.observe_value,
            noise: config.observe_noise,
        })
    }

    /// The line, and one on either side for its noise.
    fn paint(self, context: &CanvasRenderingContext2d, window: &Projection) {
        let angle = self.angle.to_radians();
        let [x, y] = [libm::cos(angle), libm::sin(angle)];
        // Long enough for any window, wherever it is.
        let long = 4.0 * window.half + libm::hypot(window.centre[0], window.centre[1]) + self.value.abs();
        for side in [0.0, -1.0, 1.0] {
            let value = self.value + side * self.noise;
            context.set_line_width(window.pixels / if side == 0.0 { 450.0 } else { 1200.0 });
            context.begin_path();
            for end in [-long, long] {
                let [x, y] = window.to_pixels([value * x - end * y, value * y + end * x]);
                // The first point of a path only moves there.
                context.line_to(x, y);
            }
            context.stroke();
        }
    }
}

/// What the big picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Points of the data set.
    pub data: bool,
    /// The samples.
    pub samples: bool,
    /// The ways some samples took.
    pub trajectories: bool,
    /// The density of the data at the level of the time slider.
    pub density: bool,
    /// The score there.
    pub score: bool,
    /// Not where the samples are, but where the denoiser expects them to end.
    pub expected: bool,
    /// Lines from where samples begin, in the noise, to where they end.
    pub pairs: bool,
    /// The distribution, at the level of the time slider, of what a few points of the data become.
    pub conditional: bool,
    /// Samples and ways of the run before.
    pub earlier: bool,
}

/// Everything that is drawn.
#[derive(Default)]
pub struct Scene {
    /// The data set, and a draw of it.
    pub data: Option<(Dataset, Vec<[f64; 2]>)>,
    /// The last sampling run.
    pub frames: Vec<Frame>,
    /// The one before, of the same data.
    earlier: Vec<Frame>,
    /// Samples taken during training.
    pub preview: Option<Floats>,
    /// The field of the trained network at the time of the slider.
    pub field: Option<Field>,
    /// Where the samples are wanted.
    pub observed: Option<Observed>,
    density: Option<(Level, bool, Vec<u8>)>,
}

/// What the picture should look like at this moment.
pub struct View {
    /// Index of the frame.
    pub frame: usize,
    /// Level of the time slider.
    pub level: Level,
    /// What to show.
    pub layers: Layers,
    /// Dark or light.
    pub dark: bool,
    /// Whether the score comes from the closed form.
    pub exact: bool,
}

impl Scene {
    /// Another data set: everything drawn so far belongs to the old one.
    pub fn set_data(&mut self, data: Option<Dataset>, seed: u32, count: usize) {
        self.density = None;
        self.field = None;
        self.frames.clear();
        self.earlier.clear();
        self.data = data.map(|data| {
            let points = data.mixture.draw(&mut Rng::new(seed, Stream::Data, 0), count);
            (data, points)
        });
    }

    /// Puts the last run in the place of the one before.
    pub fn forget_run(&mut self, training: bool) {
        if !self.frames.is_empty() {
            self.earlier = std::mem::take(&mut self.frames);
        }
        self.field = None;
        if training {
            self.preview = None;
        }
    }

    /// The points shown as samples in frame `index`.
    #[must_use]
    pub fn samples(&self, index: usize, expected: bool) -> Option<&Floats> {
        match self.frames.get(index).or(self.frames.last()) {
            Some(frame) if expected && !frame.expected.0.is_empty() => Some(&frame.expected),
            Some(frame) => Some(&frame.points),
            None => self.preview.as_ref(),
        }
    }

    /// Paints the picture into the canvas, which is square.
    pub fn paint(&mut self, canvas: &HtmlCanvasElement, view: &View) {
        let Some(context) = context(canvas) else { return };
        let size = f64::from(canvas.width());
        let colours = if view.dark { &DARK } else { &LIGHT };
        context.set_fill_style_str(colours.ground);
        context.fill_rect(0.0, 0.0, size, size);
        let Some((data, points)) = self.data.take() else { return };
        // A noisy level is wider than the data: the window grows with it, so that noise stays in the picture.
        let spread = if self.frames.is_empty() && !view.layers.score {
            1.0
        } else {
            (view.level.alpha.powi(2) + view.level.sigma.powi(2)).sqrt().max(1.0)
        };
        let window = Projection { centre: data.window_centre, half: data.window * spread, pixels: size };
        if view.layers.density {
            self.paint_density(&context, &data, &window, view);
        }
        let dot = size / 900.0;
        if view.layers.data {
            context.set_fill_style_str(colours.data);
            scatter(&context, &window, points.iter().map(|p| [p[0] as f32, p[1] as f32]), 1.9 * dot);
        }
        let last = view.frame.min(self.frames.len().saturating_sub(1));
        if view.layers.earlier && !self.earlier.is_empty() {
            // As far on its way as the last run is, whatever the number of its steps.
            let share = last as f64 / self.frames.len().saturating_sub(1).max(1) as f64;
            let whole = (self.earlier.len() - 1) as f64;
            let at = if self.frames.is_empty() { whole } else { libm::round(share * whole) } as usize;
            context.set_stroke_style_str(colours.data);
            if view.layers.trajectories {
                paint_ways(&context, &window, self.earlier.iter().take(at + 1), 1.1 * dot);
            }
            context.set_fill_style_str(colours.arrow);
            scatter(&context, &window, self.earlier[at].points.points(), 2.0 * dot);
        }
        context.set_stroke_style_str(colours.way);
        if view.layers.trajectories {
            paint_ways(&context, &window, self.frames.iter().take(last + 1), 1.1 * dot);
        }
        if view.layers.pairs
            && let [first, .., end] = &self.frames[..]
        {
            paint_ways(&context, &window, [first, end].into_iter(), 1.1 * dot);
        }
        if view.layers.samples
            && let Some(samples) = self.samples(view.frame, view.layers.expected)
        {
            context.set_fill_style_str(colours.sample);
            scatter(&context, &window, samples.points(), 2.4 * dot);
        }
        if view.layers.conditional {
            context.set_stroke_style_str(colours.arrow);
            context.set_line_width(1.6 * dot);
            let Level { alpha, sigma, .. } = view.level;
            for point in points.iter().take(CONDITIONED) {
                let [x, y] = window.to_pixels(data.from_standard(data.to_standard(*point).map(|v| alpha * v)));
                let radius = sigma * data.scale * window.zoom();
                context.begin_path();
                // A deviation is not negative, which is all that could be wrong.
                let _ = context.arc(x, y, radius.max(2.0 * dot), 0.0, core::f64::consts::TAU);
                context.stroke();
            }
        }
        if let Some(observed) = self.observed {
            context.set_stroke_style_str(colours.arrow);
            observed.paint(&context, &window);
        }
        if view.layers.score {
            self.paint_score(&context, &data, &window, view, colours.arrow);
        }
        self.data = Some((data, points));
    }

    fn paint_density(&mut self, context: &CanvasRenderingContext2d, data: &Dataset, window: &Projection, view: &View) {
        let fresh = |kept: &(Level, bool, Vec<u8>)| kept.0 == view.level && kept.1 == view.dark;
        if !self.density.as_ref().is_some_and(fresh) {
            self.density = Some((view.level, view.dark, density_image(data, window, view)));
        }
        let Some((_, _, image)) = &self.density else { return };
        if let Some(small) = bitmap(image, DENSITY_SIDE) {
            context.set_image_smoothing_enabled(true);
            // A canvas of a fixed size can always be drawn.
            let _ = context.draw_image_with_html_canvas_element_and_dw_and_dh(
                &small,
                0.0,
                0.0,
                window.pixels,
                window.pixels,
            );
        }
    }

    fn paint_score(
        &self,
        context: &CanvasRenderingContext2d,
        data: &Dataset,
        window: &Projection,
        view: &View,
        colour: &str,
    ) {
        let side = FIELD_SIDE as usize;
        let (places, vectors): (Vec<[f64; 2]>, Vec<[f64; 2]>) = if view.exact {
            let marginal = data.standard.at(view.level);
            let places = window.middles(side);
            let vectors = places.iter().map(|&place| marginal.score(data.to_standard(place))).collect();
            (places, vectors)
        } else {
            // The network's answer lies on the corners and what is evenly between them, over the data's own window.
            let Some(field) = self.field.as_ref().filter(|field| field.side as usize == side) else { return };
            let along = |axis: usize, i: usize| {
                data.window_centre[axis] + data.window * (2.0 * i as f64 / (side - 1) as f64 - 1.0)
            };
            let places = (0..side * side).map(|i| [along(0, i % side), along(1, i / side)]).collect();
            (places, field.score.points().map(|p| p.map(f64::from)).collect())
        };
        let half = if view.exact { window.half } else { data.window };
        context.set_stroke_style_str(colour);
        context.set_line_width(window.pixels / 600.0);
        let longest = 0.9 * 2.0 * half * window.zoom() / side as f64;
        stroke(context, &arrows(&places, &vectors, |place| window.to_pixels(place), longest));
    }
}

/// The ways of some samples through these frames, in the colour that is set.
fn paint_ways<'a>(
    context: &CanvasRenderingContext2d,
    window: &Projection,
    frames: impl Iterator<Item = &'a Frame> + Clone,
    width: f64,
) {
    context.set_line_width(width);
    context.begin_path();
    for sample in 0..TRAJECTORIES {
        for (i, frame) in frames.clone().enumerate() {
            let Some([x, y]) = frame.points.0.get(2 * sample..2 * sample + 2).and_then(|p| p.first_chunk()) else {
                break;
            };
            let [x, y] = window.to_pixels([f64::from(*x), f64::from(*y)]);
            if i == 0 { context.move_to(x, y) } else { context.line_to(x, y) }
        }
    }
    context.stroke();
}

fn scatter(
    context: &CanvasRenderingContext2d,
    window: &Projection,
    points: impl Iterator<Item = [f32; 2]>,
    radius: f64,
) {
    for point in points {
        let [x, y] = window.to_pixels(point.map(f64::from));
        // Squares are several times faster than arcs and look the same at this size.
        context.fill_rect(x - radius, y - radius, 2.0 * radius, 2.0 * radius);
    }
}

fn density_image(data: &Dataset, window: &Projection, view: &View) -> Vec<u8> {
    let marginal = data.standard.at(view.level);
    let side = DENSITY_SIDE;
    let cell = 2.0 * window.half / side as f64;
    let log: Vec<f64> = (0..side * side)
        .map(|i| {
            let x = window.centre[0] - window.half + ((i % side) as f64 + 0.5) * cell;
            let y = window.centre[1] + window.half - ((i / side) as f64 + 0.5) * cell;
            marginal.log_density(data.to_standard([x, y]))
        })
        .collect();
    let top = log.iter().copied().filter(|v| v.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    let colours = if view.dark { &DARK } else { &LIGHT };
    log.iter()
        .flat_map(|&v| {
            // The square root of the density: faint modes stay visible beside strong ones.
            let share = if v.is_finite() { libm::exp(0.5 * (v - top)) } else { 0.0 };
            let channel = |c: usize| (colours.low[c] + share * (colours.high[c] - colours.low[c])) as u8;
            [channel(0), channel(1), channel(2), 255]
        })
        .collect()
}
