//! Curves: the schedule, the loss, the quality.

use super::element::{Element, drawing, element};
use super::parts;
use super::signal::{Memo, memo};
use super::state::page;
use crate::diffusion::Schedule;
use crate::plot::chart::{Frame, Line, LineChart, Series};
use crate::plot::curve::smoothed;
use crate::plot::label::number;
use crate::plot::scale::Scale;

/// Points of a schedule's curve.
const POINTS: usize = 120;
/// Points of the loss that are smoothed and drawn.
const MOST: usize = 1200;

/// A chart beside others.
pub const SMALL: Frame = Frame { width: 250.0, height: 160.0, left: 38.0, right: 8.0, top: 22.0, bottom: 36.0 };

/// The inside of a chart's `<svg>`: grid, titles of the axes, curves, and a line at `now`.
fn drawn(chart: &LineChart, now: Option<f64>, [along, up]: &[String; 2]) -> String {
    let frame = chart.frame;
    let (left, right) = (frame.left, frame.width - frame.right);
    let (top, bottom) = (frame.top, frame.height - frame.bottom);
    let mut svg = String::new();
    for mark in &chart.y_marks {
        let at = number(mark.at, 5);
        svg += &format!("<path class='grid' d='M{left} {at}H{right}'/>");
        svg += &format!("<text x='{}' y='{at}' class='y'>{}</text>", left - 5.0, mark.label);
    }
    for mark in &chart.x_marks {
        let at = number(mark.at, 5);
        svg += &format!("<text x='{at}' y='{}' class='x'>{}</text>", bottom + 14.0, mark.label);
    }
    let middle = (left + right) / 2.0;
    svg += &format!("<text x='{middle}' y='{}' class='x title'>{along}</text>", frame.height - 7.0);
    svg += &format!("<text x='{}' y='{}' class='title'>{up}</text>", 4.0, top - 9.0);
    svg += &format!("<path class='axis' d='M{left} {bottom}H{right}'/>");
    for line in chart.lines.iter().filter(|line| !line.path.is_empty()) {
        let (path, colour, dashes) = (&line.path, line.colour.css(), line.dashes);
        svg += &format!("<path class='line' d='{path}' stroke='{colour}' stroke-dasharray='{dashes}'/>");
    }
    if let Some(now) = now {
        let x = number(frame.x(chart.x.position(now)), 5);
        svg += &format!("<path class='now' d='M{x} {top}V{bottom}'/>");
    }
    svg
}

/// A chart, and the place of the moment on its horizontal axis; nothing while there is nothing to draw.
type Drawn = Option<(LineChart, Option<f64>)>;

/// A chart with its title, its legend, and the titles of the horizontal and the vertical axis with their units. `empty`
/// is the key of the sentence shown while there is nothing to draw; it is empty when there always is.
pub fn chart(title: &'static str, empty: &'static str, axes: [&'static str; 2], chart: Memo<Drawn>) -> Element {
    let page = page();
    let measured = !empty.is_empty();
    let legend = move || {
        chart.with(|chart| {
            let lines = chart.iter().flat_map(|(chart, _)| &chart.lines);
            let entry = |line: &Line| {
                // The last point of a schedule says nothing; that of a measurement is the news.
                let last = line.last.filter(|_| measured).map(|v| number(v, 3)).unwrap_or_default();
                let key = parts::key("M0 3H20", &line.colour.css(), line.dashes);
                let last = element("bdi").plain(&last);
                element("span").class("entry").child(key).plain(&line.name).plain(" ").child(last)
            };
            lines.map(entry).collect()
        })
    };
    let described = move || {
        let lines = chart.with(|chart| {
            let lines = chart.iter().flat_map(|(chart, _)| &chart.lines);
            let parts: Vec<String> =
                lines.map(|l| format!("{}: {}", l.name, l.last.map_or(String::new(), |v| number(v, 3)))).collect();
            parts.join(", ")
        });
        format!("{}. {lines}", page.text(title))
    };
    let inside = move || {
        // Isolated, so that a title runs in its own direction in a chart that runs from left to right.
        let titles = axes.map(|key| format!("\u{2068}{}\u{2069}", page.text(key)));
        chart.with(|chart| chart.as_ref().map(|(c, now)| drawn(c, *now, &titles)).unwrap_or_default())
    };
    let plot = move || {
        vec![
            drawing("svg")
                .class("plot")
                .attribute("dir", "ltr")
                .attribute("role", "img")
                .attribute_of("aria-label", described)
                .attribute("viewBox", &format!("0 0 {} {}", SMALL.width, SMALL.height))
                .html(inside),
        ]
    };
    let caption =
        element("figcaption").holds(&[element("strong").says(title), element("span").class("legend").changing(legend)]);
    element("figure")
        .class("chart")
        .child(caption)
        .when(move || chart.with(Option::is_some), plot)
        .when(move || chart.with(Option::is_none), move || vec![element("p").class("empty").says(empty)])
}

/// The curves of the schedule over time.
pub fn schedules() -> [Element; 2] {
    let page = page();
    let levels = memo(move || {
        let schedule = page.config.with(Schedule::from_config);
        let time = |i: usize| i as f64 / POINTS as f64;
        (0..=POINTS).map(|i| schedule.level(time(i))).collect::<Vec<_>>()
    });
    let scales = memo(move || {
        let series = |name: &str, value: &dyn Fn(crate::diffusion::Level) -> f64| Series {
            name: name.to_owned(),
            points: levels
                .with(|levels| levels.iter().map(|&l| [l.t, value(l)]).filter(|p| p[1].is_finite()).collect()),
        };
        let curves = [series("α", &|l| l.alpha), series("σ", &|l| l.sigma)];
        let wide = curves.iter().flat_map(|c| &c.points).any(|p| p[1] > 2.0);
        Some((LineChart::new(SMALL, &curves, false, wide), Some(page.level().t)))
    });
    let ratio = memo(move || {
        // The ends go to infinity; what is beyond e^12 is noise or data to any network.
        let points = levels.with(|levels| {
            levels.iter().map(|l| [l.t, l.log_snr()]).filter(|p| p[1].is_finite() && p[1].abs() < 12.0).collect()
        });
        let curves = [Series { name: "ln(α²/σ²)".to_owned(), points }];
        Some((
            LineChart::with_scales(
                SMALL,
                &curves,
                Scale::linear([0.0, 1.0]),
                Scale::linear(curves[0].points.iter().map(|p| p[1])),
            ),
            Some(page.level().t),
        ))
    });
    [
        chart("chart.schedule", "", ["chart.time", "chart.scale"], scales),
        chart("chart.snr", "", ["chart.time", "chart.nats"], ratio),
    ]
}

/// The loss over training steps.
pub fn losses() -> Element {
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
        let span = points.len() as f64 / 40.0;
        let smooth = Series { name: page.text("chart.smooth"), points: smoothed(&points, span.max(1.0)) };
        let raw = Series { name: page.text("chart.each"), points };
        Some((LineChart::new(SMALL, &[raw, smooth], false, true), None))
    });
    element("div")
        .test_id("loss")
        .attribute_of("data-value", move || latest.get().map(|v| v.to_string()).unwrap_or_default())
        .child(chart("chart.loss", "chart.loss-empty", ["chart.step", "chart.error"], curves))
}

/// How close samples are to data, over training.
pub fn quality() -> Element {
    let page = page();
    let last = memo(move || page.quality.with(|q| q.last().map(|&(_, quality)| quality)));
    let curves = memo(move || {
        page.quality.with(|all| {
            let series = |key: &str, value: &dyn Fn(&crate::data::metrics::Quality) -> f64| Series {
                name: page.text(key),
                points: all.iter().map(|(step, q)| [f64::from(*step), value(q)]).collect(),
            };
            if all.is_empty() {
                return None;
            }
            let curves = [
                series("chart.kl", &|q| q.kl),
                series("chart.kl-floor", &|q| q.kl_floor),
                series("chart.sliced", &|q| q.sliced),
                series("chart.sliced-floor", &|q| q.sliced_floor),
            ];
            Some((LineChart::new(SMALL, &curves, false, true), None))
        })
    });
    let put = move |value: fn(&crate::data::metrics::Quality) -> f64| {
        move || last.with(|q| q.as_ref().map(|q| value(q).to_string()).unwrap_or_default())
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
        .holds(&[
            chart("chart.quality", "chart.quality-empty", ["chart.step", "chart.distance"], curves),
            element("p").class("note").words(sentence),
        ])
}
