//! Tables of measured numbers, each beside what it should be, and the comparisons of samples with data.

use leptos::prelude::*;

use super::element::{Element, element};
use super::parts::{button, note};
use super::state::{Page, page};
use crate::data::metrics::Measure;
use crate::decimal::shortest;
use crate::plot::label::number;
use crate::protocol::{Floats, Subject};
use crate::session::Status;

/// Test id of a table, and stem of those of its rows.
const fn name(subject: Subject) -> &'static str {
    match subject {
        Subject::Likelihood => "likelihood",
        Subject::Samples => "inspection",
        Subject::Control => "controlled",
    }
}

/// `value ± error`, or what there is of it.
fn with_error(page: Page, value: f64, error: f64) -> String {
    if value.is_nan() {
        return String::new();
    }
    let digits = |value| page.language.get().digits(&number(value, 3));
    let after = if error.is_nan() { String::new() } else { format!(" <small>± {}</small>", digits(error)) };
    format!("<bdi dir='ltr'>{}{after}</bdi>", digits(value))
}

/// A row. As text: a table of its own type for each cell would be most of the page.
fn row(page: Page, subject: Subject, row: &Measure) -> String {
    let Measure { id, value, error, reference, spread, .. } = row;
    let of = row.number.to_string();
    let (label, end) = match row.number {
        0 => (page.text(&format!("measure.{id}")), String::new()),
        _ => (page.filled(&format!("measure.{id}"), &[("number", &of)]), format!("-{of}")),
    };
    let (now, then) = (with_error(page, *value, *error), with_error(page, *reference, *spread));
    let [value, error, reference, spread] = [value, error, reference, spread].map(|number| shortest(*number));
    format!(
        "<tr data-testid='{}-{id}{end}' data-value='{value}' data-error='{error}' data-reference='{reference}' \
         data-spread='{spread}'><th scope='row'>{label}</th><td>{now}</td><td>{then}</td></tr>",
        name(subject)
    )
}

/// The table of a report, once there is one.
pub fn numbers(subject: Subject) -> Element {
    let page = page();
    let there = move || page.reports.with(|all| all[subject as usize].is_some());
    let html = move || {
        let head = ["measure.what", "measure.value", "measure.reference"]
            .map(|key| format!("<th scope='col'>{}</th>", page.text(key)))
            .concat();
        let rows = page.reports.with(|all| {
            let rows = all[subject as usize].iter().flat_map(|report| &report.rows);
            rows.map(|measure| row(page, subject, measure)).collect::<String>()
        });
        format!("<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>")
    };
    element("table").class("numbers").gone_when(move || !there()).test_id(name(subject)).html(html)
}

/// The samples on show, if there are any.
fn samples(page: Page) -> Option<Floats> {
    page.scene.with_value(|scene| scene.samples(usize::MAX, false).cloned())
}

/// What control made of the samples.
pub fn controlled() -> Element {
    let page = page();
    let none = move || page.reports.with(|all| all[Subject::Control as usize].is_none());
    let table = element("div").class("chart").gone_when(none);
    table.holds(&[element("strong").says("measure.controlled"), numbers(Subject::Control)])
}

/// Every comparison of samples with data.
pub fn comparisons() -> Element {
    let page = page();
    let able = move || {
        let some = page.frames.get().0 > 0 || (page.repaint.get(), page.scene.with_value(|s| s.preview.is_some())).1;
        some && page.session.with(|s| matches!(s.status(), Status::Idle | Status::Done))
    };
    let inspect = move || {
        if let Some(points) = samples(page) {
            page.tell(|session| session.inspect(&page.config.get_untracked(), points));
        }
    };
    element("details").class("chart").holds(&[
        element("summary").says("measure.title"),
        note("measure.note"),
        button("inspect", "action.inspect", inspect).attribute_when("disabled", move || !able()),
        numbers(Subject::Samples),
    ])
}
