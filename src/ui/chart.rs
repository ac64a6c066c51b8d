//! Charts on the page, of the plane and of studies: legend, canvas, and their values as tables.

use std::rc::Rc;
use std::time::Duration;

use leptos::prelude::*;
use web_sys::{Event, HtmlDetailsElement};

use super::element::{Element, element};
use super::painter::{Look, paint};
use super::parts::{key, paint_when};
use super::signal::Signal;
use super::state::{Page, effect, page};
use crate::decimal::shortest;
use crate::plot::figure::{Axis, Chart, Layer, Layout, Mark};
use crate::plot::label::number;
use crate::plot::values::{Table, Words, tables};

/// Between two makings of the tables of a chart that changes all the time.
const REST: Duration = Duration::from_millis(1000);

/// What looks at the chart of the moment.
type Looked<'a> = dyn FnMut(&Chart<'_>) + 'a;

/// A chart that is shown: where its words come from, and its numbers.
#[derive(Clone)]
pub struct Shown {
    /// What the keys of its words begin with in the locale files.
    pub words: &'static str,
    /// Follows what the numbers depend on.
    pub follow: Rc<dyn Fn()>,
    /// Looks at the chart of the moment, without following anything; there may be none.
    pub look: Rc<dyn Fn(&mut Looked<'_>)>,
}

impl Shown {
    /// The word with this key.
    fn word(&self, page: Page, key: &str) -> String {
        if key.is_empty() { String::new() } else { page.text(&format!("{}{key}", self.words)) }
    }
}

/// The canvas of a chart. `handles` says where its handles are, and `painted` is told where it lies.
pub fn canvas(
    shown: &Shown,
    handles: impl Fn() -> Vec<[f64; 2]> + 'static,
    painted: impl Fn(Option<Layout>) + 'static,
) -> Element {
    let page = page();
    let canvas = element("canvas").class("plot").attribute("dir", "ltr").attribute("role", "img");
    let follow = Rc::clone(&shown.follow);
    let shown = shown.clone();
    paint_when(
        &canvas.canvas(),
        move || {
            follow();
            page.resized.track();
            page.dark.track();
            page.language.track();
        },
        move |canvas| {
            let names = |axis: &Axis| axis.names.iter().map(|name| shown.word(page, name)).collect();
            (shown.look)(&mut |chart| {
                let look = Look {
                    // Each in the direction of its first letter: the canvas runs from left to right.
                    titles: [chart.x.key, chart.y.key].map(|key| format!("\u{2068}{}\u{2069}", shown.word(page, key))),
                    names: [chart.x, chart.y].map(names),
                    handles: handles(),
                    dark: page.dark.get(),
                };
                painted(paint(canvas, chart, &look));
            });
        },
    );
    canvas
}

/// An entry of a legend, with the latest value of its layer if that is news.
pub fn entry(layer: &Layer, name: impl Fn() -> String + 'static, last: Option<f64>) -> Element {
    let dashes = layer.pattern().iter().map(|&length| shortest(length)).collect::<Vec<_>>().join(" ");
    let curve = match layer.mark {
        Mark::Dots => key("M10 3h0", &layer.rgb().css(), "").class("key dot"),
        _ => key("M0 3H20", &layer.rgb().css(), &dashes),
    };
    let entry = element("span").class("entry").child(curve).words(name);
    match last {
        Some(last) => entry.plain(" ").child(element("bdi").plain(&number(last, 3))),
        None => entry,
    }
}

/// A number as a cell shows it, with its error if it has one; a blank for what is no number.
fn cell(page: Page, [value, error]: [f64; 2]) -> String {
    let value_is = if value.is_nan() { String::new() } else { number(value, 4) };
    if !value.is_nan() && error > 0.0 {
        page.filled("claims.number", &[("value", &value_is), ("error", &number(error, 2))])
    } else {
        page.language.get_untracked().digits(&value_is)
    }
}

/// A table with header cells. Numbers run from left to right in every language.
fn table(page: Page, table: &Table) -> Element {
    let language = page.language.get_untracked();
    let cell_of = |name: &str, scope: &str, direction: &str, text: &str| {
        let text = element("bdi").attribute("dir", direction).plain(text);
        let cell = element(name).child(text);
        if scope.is_empty() { cell } else { cell.attribute("scope", scope) }
    };
    let head = |text: &str, scope: &str| cell_of("th", scope, "auto", &language.digits(text));
    let mut first = element("tr").child(head(&table.corner, "col"));
    for name in &table.columns {
        first = first.child(head(name, "col"));
    }
    let mut body = element("tbody");
    for (name, cells) in &table.rows {
        let mut row = element("tr").child(head(name, "row"));
        for &numbers in cells {
            row = row.child(cell_of("td", "", "ltr", &cell(page, numbers)));
        }
        body = body.child(row);
    }
    element("table").class("numbers values").child(element("thead").child(first)).child(body)
}

/// The tables of the chart of the moment.
fn made(page: Page, shown: &Shown) -> Vec<Element> {
    let word = |key: &str| shown.word(page, key);
    let words = Words { of: &word, parts: ["values.low", "values.high", "values.end"].map(|key| page.text(key)) };
    let mut all = Vec::new();
    (shown.look)(&mut |chart| all.extend(tables(chart, &words).iter().map(|one| table(page, one))));
    all
}

/// What scrolls inside its frame where it is wider than the page.
fn frame(title: impl Fn() -> String + 'static) -> Element {
    // Who scrolls by keys must be able to come here.
    element("div")
        .class("scroll")
        .attribute("tabindex", "0")
        .attribute("role", "region")
        .attribute_of("aria-label", title)
}

/// The figure of a table, in the place of a canvas.
pub fn matrix(shown: &Shown, title: impl Fn() -> String + 'static) -> Element {
    let page = page();
    let shown = shown.clone();
    frame(title).changing(move || {
        (shown.follow)();
        page.language.track();
        untrack(|| made(page, &shown))
    })
}

/// The values of a chart as tables, for who does not see it or wants the numbers: folded away, and made only while they
/// are open, once a second at the most.
pub fn values(shown: &Shown, title: impl Fn() -> String + 'static) -> Element {
    let page = page();
    let (open, turn) = (Rc::new(Signal::new(false)), Rc::new(Signal::new(0_u32)));
    let waiting = StoredValue::new(false);
    let follow = Rc::clone(&shown.follow);
    let (opened, next) = (Rc::clone(&open), Rc::clone(&turn));
    effect(move || {
        follow();
        page.language.track();
        if opened.get() && !waiting.get_value() {
            waiting.set_value(true);
            let next = Rc::clone(&next);
            let make = move || {
                // The chart may have gone in the meantime.
                if waiting.try_set_value(false).is_none() {
                    next.update(|n| *n = n.wrapping_add(1));
                }
            };
            set_timeout(make, REST);
        }
    });
    let shown = shown.clone();
    let unfolded = Rc::clone(&open);
    let contents = move || {
        turn.track();
        if !unfolded.get() {
            return Vec::new();
        }
        untrack(|| {
            let made = made(page, &shown);
            if made.is_empty() { vec![element("p").class("note").says("values.none")] } else { made }
        })
    };
    let toggle = move |event: Event| open.set(event_target::<HtmlDetailsElement>(&event).open());
    element("details")
        .class("values")
        .test_id("values")
        .on("toggle", toggle)
        .holds(&[element("summary").says("values.title"), frame(title).changing(contents)])
}
