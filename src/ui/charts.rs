//! Charts of the plane: the schedule, the loss, the quality.

use std::rc::Rc;

use super::chart::{Shown, canvas, entry, values};
use super::element::{Element, element};
use super::signal::{Memo, memo};
use super::state::page;
use crate::decimal::shortest;
use crate::diffusion::{Level, Schedule};
use crate::plot::curve::smoothed;
use crate::plot::figure::{Axis, Chart, Layer, Mark};
use crate::plot::label::number;

/// Points of a schedule's curve.
const POINTS: usize = 120;
/// Points of the loss that are smoothed and drawn.
const MOST: usize = 1200;

/// The axis of time.
pub const TIME: Axis = Axis::fixed("chart.time", 0.0, 1.0);
/// The axis of training steps.
const STEP: Axis = Axis::free("chart.step");

/// The curves of a chart, and its moment.
#[derive(Clone)]
pub struct Curves {
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// The curves.
    pub layers: &'static [Layer],
    /// The numbers of every curve: `x, y`.
    pub data: Vec<Vec<f32>>,
    /// A moment on the horizontal axis.
    pub now: Option<f64>,
}

/// Of one chart only these differ from moment to moment.
impl PartialEq for Curves {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data && self.now == other.now && self.y.log == other.y.log
    }
}

impl Curves {
    fn chart(&self) -> Chart<'_> {
        let data = self.data.iter().map(Vec::as_slice).collect();
        Chart { x: &self.x, y: &self.y, square: false, layers: self.layers, data, now: self.now }
    }
}

/// The numbers of a curve through these points.
pub fn curve(points: impl IntoIterator<Item = [f64; 2]>) -> Vec<f32> {
    points.into_iter().flatten().map(|v| v as f32).collect()
}

/// A chart with its title and its legend. `empty` is the key of the sentence shown while there is nothing to draw; it is
/// empty when there always is.
pub fn chart(title: &'static str, empty: &'static str, curves: Memo<Option<Curves>>) -> Element {
    let page = page();
    let measured = !empty.is_empty();
    let shown = Shown {
        words: "",
        follow: Rc::new(move || curves.track()),
        look: Rc::new(move |look| {
            if let Some(curves) = curves.get_untracked() {
                look(&curves.chart());
            }
        }),
    };
    let legend = move || {
        let Some(curves) = curves.get() else { return Vec::new() };
        let entry = |(layer, data): (&'static Layer, &Vec<f32>)| {
            // The last point of a schedule says nothing; that of a measurement is the news.
            let last = data.last().filter(|_| measured).map(|&v| f64::from(v));
            entry(layer, move || page.text(layer.key), last)
        };
        curves.layers.iter().zip(&curves.data).map(entry).collect()
    };
    let plot = move || {
        let canvas = canvas(&shown, Vec::new, |_| {}).label(title);
        vec![canvas, values(&shown, move || page.text(title))]
    };
    let caption =
        element("figcaption").holds(&[element("strong").says(title), element("span").class("legend").changing(legend)]);
    element("figure")
        .class("chart")
        .child(caption)
        .when(move || curves.get().is_some(), plot)
        .when(move || curves.get().is_none(), move || vec![element("p").class("empty").says(empty)])
}

/// The curves of the schedule over time.
pub fn schedules() -> [Element; 2] {
    const SIGNAL_AND_NOISE: &[Layer] =
        &[Layer::new("chart.alpha", Mark::Line, 0), Layer::new("chart.sigma", Mark::Line, 1).dashed(1)];
    const RATIO: &[Layer] = &[Layer::new("chart.log-snr", Mark::Line, 0)];
    let page = page();
    let levels = memo(move || {
        let schedule = page.config.with(Schedule::from_config);
        let time = |i: usize| i as f64 / POINTS as f64;
        (0..=POINTS).map(|i| schedule.level(time(i))).collect::<Vec<_>>()
    });
    let points = move |value: fn(Level) -> f64| {
        levels.with(|levels| levels.iter().map(|&l| [l.t, value(l)]).filter(|p| p[1].is_finite()).collect::<Vec<_>>())
    };
    let scales = memo(move || {
        let curves = [points(|l| l.alpha), points(|l| l.sigma)];
        let wide = curves.iter().flatten().any(|p| p[1] > 2.0);
        let y = if wide { Axis::log("chart.scale") } else { Axis::free("chart.scale") };
        let data = curves.map(curve).to_vec();
        Some(Curves { x: TIME, y, layers: SIGNAL_AND_NOISE, data, now: Some(page.level().t) })
    });
    let ratio = memo(move || {
        // The ends go to infinity; what is beyond e^12 is noise or data to any network.
        let points = points(Level::log_snr).into_iter().filter(|p| p[1].abs() < 12.0);
        let (y, data) = (Axis::free("chart.nats"), vec![curve(points)]);
        Some(Curves { x: TIME, y, layers: RATIO, data, now: Some(page.level().t) })
    });
    [chart("chart.schedule", "", scales), chart("chart.snr", "", ratio)]
}

/// The loss over training steps.
pub fn losses() -> Element {
    const LAYERS: &[Layer] =
        &[Layer::new("chart.each", Mark::Line, 0), Layer::new("chart.smooth", Mark::Line, 1).dashed(1)];
    let page = page();
    let latest = memo(move || page.losses.with(|l| l.last().copied()));
    let curves = memo(move || {
        let points = page.losses.with(|losses| {
            let group = losses.len().div_ceil(MOST).max(1);
            let mean = |c: &[f32]| f64::from(c.iter().sum::<f32>()) / c.len() as f64;
            let points = losses.chunks(group).enumerate().map(|(i, c)| [((i + 1) * group) as f64, mean(c)]);
            points.filter(|p| p[1].is_finite()).collect::<Vec<_>>()
        });
        if points.len() < 2 {
            return None;
        }
        let smooth = curve(smoothed(&points, (points.len() as f64 / 40.0).max(1.0)));
        let data = vec![curve(points), smooth];
        Some(Curves { x: STEP, y: Axis::log("chart.error"), layers: LAYERS, data, now: None })
    });
    element("div")
        .test_id("loss")
        .attribute_of("data-value", move || latest.get().map(|v| shortest(v.into())).unwrap_or_default())
        .child(chart("chart.loss", "chart.loss-empty", curves))
}

/// How close samples are to data, over training.
pub fn quality() -> Element {
    const LAYERS: &[Layer] = &[
        Layer::new("chart.kl", Mark::Line, 0),
        Layer::new("chart.kl-floor", Mark::Line, 1).dashed(1),
        Layer::new("chart.sliced", Mark::Line, 2).dashed(2),
        Layer::new("chart.sliced-floor", Mark::Line, 3).dashed(3),
    ];
    let page = page();
    let last = memo(move || page.quality.with(|q| q.last().map(|&(_, quality)| quality)));
    let curves = memo(move || {
        page.quality.with(|all| {
            let values: [fn(&crate::data::metrics::Quality) -> f64; 4] =
                [|q| q.kl, |q| q.kl_floor, |q| q.sliced, |q| q.sliced_floor];
            let data = values.map(|value| curve(all.iter().map(|(step, q)| [f64::from(*step), value(q)]))).to_vec();
            let y = Axis::log("chart.distance");
            (!all.is_empty()).then_some(Curves { x: STEP, y, layers: LAYERS, data, now: None })
        })
    });
    let put = move |value: fn(&crate::data::metrics::Quality) -> f64| {
        move || last.with(|q| q.as_ref().map(|q| shortest(value(q))).unwrap_or_default())
    };
    let sentence = move || {
        let Some(q) = last.get() else { return String::new() };
        let (kl, floor, spread) = (number(q.kl, 3), number(q.kl_floor, 3), number(q.kl_spread, 2));
        page.filled("chart.quality-now", &[("kl", &kl), ("floor", &floor), ("spread", &spread)])
    };
    element("div")
        .test_id("quality")
        .attribute_of("data-kl", put(|q| q.kl))
        .attribute_of("data-kl-floor", put(|q| q.kl_floor))
        .attribute_of("data-sliced", put(|q| q.sliced))
        .holds(&[chart("chart.quality", "chart.quality-empty", curves), element("p").class("note").words(sentence)])
}
