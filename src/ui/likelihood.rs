//! Likelihood: its button, its numbers, the terms of the bound, and where the flow takes the data.

use super::charts::{Curves, TIME, chart, curve};
use super::element::{Element, drawing, element};
use super::measures::numbers;
use super::parts::button;
use super::state::{memo, page};
use crate::decimal::shortest;
use crate::plot::figure::{Axis, Layer, Mark};
use crate::plot::label::number;
use crate::protocol::{Report, Subject};

/// Half the window of the codes, in standard deviations of the prior.
const WINDOW: f64 = 4.0;

/// The codes as an SVG: one and two standard deviations, and the points, those of the left half of the data in one
/// colour and those of the right half in the other.
fn codes(report: &Report) -> String {
    let middle = report.data.points().map(|p| p[0]).sum::<f32>() / report.data.points().len().max(1) as f32;
    let side = |right: bool| {
        let pairs = report.data.points().zip(report.latent.points());
        pairs
            .filter(|(data, _)| (data[0] > middle) == right)
            .map(|(_, [x, y])| format!("M{} {}h0", number(f64::from(x), 3), number(f64::from(-y), 3)))
            .collect::<String>()
    };
    format!(
        "<circle r='1'/><circle r='2'/><path class='left' d='{}'/><path class='right' d='{}'/>",
        side(false),
        side(true)
    )
}

/// What the group of the likelihood's settings ends with.
pub fn likelihood() -> [Element; 4] {
    const TERMS: &[Layer] = &[Layer::new("chart.bound-term", Mark::Line, 0)];
    let page = page();
    let codes =
        move || page.reports.with(|all| all[Subject::Likelihood as usize].as_ref().map(codes).unwrap_or_default());
    let terms = memo(move || {
        page.reports.with(|all| {
            let report = all[Subject::Likelihood as usize].as_ref()?;
            // Terms that are nothing have no logarithm.
            let mut points: Vec<_> = report.terms.points().filter(|p| p[1] > 0.0).map(|p| p.map(f64::from)).collect();
            // The chain starts with noise, a curve on its left.
            points.reverse();
            let (y, data) = (Axis::log("chart.nats"), vec![curve(points)]);
            Some(Curves { x: TIME, y, layers: TERMS, data, now: None })
        })
    });
    let start = move || page.tell(|session| session.likelihood(&page.config.get_untracked()));
    let plane = drawing("svg")
        .class("codes")
        .attribute("role", "img")
        .label("chart.codes")
        .test_id("codes")
        .attribute("viewBox", &format!("{0} {0} {1} {1}", shortest(-WINDOW), shortest(2.0 * WINDOW)))
        .html(codes);
    let title = element("figcaption").child(element("strong").says("chart.codes"));
    [
        button("likelihood-start", "action.likelihood", start),
        numbers(Subject::Likelihood),
        chart("chart.bound", "chart.bound-empty", terms),
        element("figure").holds(&[title, plane]),
    ]
}
