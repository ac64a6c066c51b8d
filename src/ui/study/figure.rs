//! A figure with its title and legend; its handles follow the pointer.

use leptos::prelude::*;
use web_sys::{Event, PointerEvent};

use super::painter::{Look, Plot, paint};
use crate::experiments::field_of;
use crate::lab::Value;
use crate::plot::colour::SERIES;
use crate::plot::label::number;
use crate::study::{Figure, Handle, Layer, Mark, Study};
use crate::ui::element::{Element, element};
use crate::ui::parts::{capture, key, paint_when};
use crate::ui::state::{Page, page};

/// How near the pointer must be to a handle, in CSS pixels.
const REACH: f64 = 28.0;

fn place(page: Page, handle: &Handle) -> [f64; 2] {
    page.config.with(|config| {
        [handle.x, handle.y].map(|key| match field_of(config.experiment, key).map(|field| field.get(config)) {
            Some(Value::Real(value)) => value,
            Some(Value::Whole(value)) => f64::from(value),
            _ => f64::NAN,
        })
    })
}

/// A figure of a study.
pub fn chart(study: &'static Study, index: usize, figure: &'static Figure) -> Element {
    let page = page();
    let canvas = element("canvas").class("plot");
    let plot = StoredValue::new(None::<Plot>);
    paint_when(
        &canvas.canvas(),
        move || {
            page.told.tick.track();
            page.resized.track();
            page.dark.track();
            page.language.track();
            page.config.track();
        },
        move |canvas| {
            let word = |key: &str| page.text(&format!("plot.{key}"));
            let look = Look {
                // Each in the direction of its first letter: the canvas runs from left to right.
                titles: [figure.x.key, figure.y.key].map(|key| format!("\u{2068}{}\u{2069}", word(key))),
                names: figure.x.names.iter().map(|name| word(name)).collect(),
                handles: figure.handles.iter().map(|handle| place(page, handle)).collect(),
                dark: page.dark.get(),
            };
            page.told.layers.with_value(|layers| {
                if let Some(layers) = layers.get(index) {
                    plot.set_value(paint(canvas, figure, layers, &look));
                }
            });
        },
    );

    let held = StoredValue::new(None::<usize>);
    let pointer = |event: &PointerEvent| [f64::from(event.offset_x()), f64::from(event.offset_y())];
    let take = move |event: PointerEvent| {
        let (Some(plot), [x, y]) = (plot.get_value(), pointer(&event)) else { return };
        let distance = |handle: &Handle| {
            let [hx, hy] = plot.place(untrack(|| place(page, handle)));
            (hx - x).hypot(hy - y)
        };
        let near = figure.handles.iter().enumerate().map(|(i, handle)| (i, distance(handle)));
        let nearest = near.filter(|(_, d)| *d < REACH).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i);
        held.set_value(nearest);
        if nearest.is_some() {
            event.prevent_default();
            capture(&event);
        }
    };
    let drag = move |event: PointerEvent| {
        let (Some(plot), Some(held)) = (plot.get_value(), held.get_value()) else { return };
        let handle = &figure.handles[held];
        for (key, value) in [handle.x, handle.y].into_iter().zip(plot.point(pointer(&event))) {
            // Three digits are as fine as a pointer, and short in a link.
            page.write(key, &number(value, 3));
        }
    };
    let release = move |_: Event| held.set_value(None);

    let title = move || page.text(&format!("figure.{}.{}", study.id, figure.key));
    let entry = |layer: &'static Layer| {
        let colour = SERIES[usize::from(layer.colour) % SERIES.len()].css();
        let dashes = if layer.mark == Mark::Dashed { "5 3" } else { "" };
        let curve = match layer.mark {
            Mark::Dots => key("M10 3h0", &colour, dashes).class("key dot"),
            _ => key("M0 3H20", &colour, dashes),
        };
        let name = move || page.text(&format!("plot.{}", layer.key));
        element("span").class("entry").child(curve).words(name)
    };
    let legend: Vec<Element> = figure.layers.iter().filter(|layer| layer.mark.stride() > 0).map(entry).collect();
    let canvas = if figure.handles.is_empty() { canvas } else { canvas.class("plot handles") };
    let canvas = canvas
        .attribute("dir", "ltr")
        .attribute("role", "img")
        .attribute_of("aria-label", title)
        .on("pointerdown", take)
        .on("pointermove", drag)
        .on("pointerup", release)
        .on("pointercancel", release);
    element("figure")
        .class(if figure.square { "chart square" } else { "chart wide" })
        .test_id(&format!("figure-{}", figure.key))
        .holds(&[
            element("figcaption")
                .holds(&[element("strong").words(title), element("span").class("legend").holds(&legend)]),
            canvas,
        ])
}
