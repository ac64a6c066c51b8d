//! A figure with its title and legend; its handles follow the pointer.

use std::cell::Cell;
use std::rc::Rc;

use leptos::prelude::*;
use web_sys::{Event, PointerEvent};

use crate::experiments::field_of;
use crate::lab::Value;
use crate::plot::figure::{Layer, Layout, Mark};
use crate::plot::label::number;
use crate::study::{Figure, Handle, Study};
use crate::ui::chart::{Shown, canvas, entry, matrix, values};
use crate::ui::element::{Element, element};
use crate::ui::parts::capture;
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
    let title = move || page.text(&format!("figure.{}.{}", study.id, figure.key));
    let shown = Shown {
        words: "plot.",
        follow: Rc::new(move || {
            page.told.tick.track();
            // The handles are where their controls are.
            page.config.track();
        }),
        look: Rc::new(move |look| {
            page.told.layers.with_value(|layers| {
                if let Some(data) = layers.get(index) {
                    look(&figure.chart(data.iter().map(|floats| floats.0.as_slice()).collect()));
                }
            });
        }),
    };
    let layer = |layer: &'static Layer| entry(layer, move || page.text(&format!("plot.{}", layer.key)), None);
    let legend: Vec<Element> = figure.layers.iter().filter(|layer| layer.mark.stride() > 0).map(layer).collect();
    let caption = element("figcaption");
    let caption = caption.holds(&[element("strong").words(title), element("span").class("legend").holds(&legend)]);
    let drawn = element("figure").test_id(&format!("figure-{}", figure.key)).child(caption);
    if figure.layers.iter().any(|layer| layer.mark == Mark::Table) {
        return drawn.class("chart whole").child(matrix(&shown, title));
    }

    let layout = Rc::new(Cell::new(None::<Layout>));
    let painted = Rc::clone(&layout);
    let handles = move || figure.handles.iter().map(|handle| place(page, handle)).collect();
    let canvas = canvas(&shown, handles, move |now| painted.set(now));
    let held = Rc::new(Cell::new(None::<usize>));
    let (places, taken, let_go) = (Rc::clone(&layout), Rc::clone(&held), Rc::clone(&held));
    let pointer = |event: &PointerEvent| [f64::from(event.offset_x()), f64::from(event.offset_y())];
    let take = move |event: PointerEvent| {
        let (Some(layout), [x, y]) = (places.get(), pointer(&event)) else { return };
        let distance = |handle: &Handle| {
            let [hx, hy] = layout.place(untrack(|| place(page, handle)));
            libm::hypot(hx - x, hy - y)
        };
        let near = figure.handles.iter().enumerate().map(|(i, handle)| (i, distance(handle)));
        let nearest = near.filter(|(_, d)| *d < REACH).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i);
        taken.set(nearest);
        if nearest.is_some() {
            event.prevent_default();
            capture(&event);
        }
    };
    let drag = move |event: PointerEvent| {
        let (Some(layout), Some(held)) = (layout.get(), held.get()) else { return };
        let handle = &figure.handles[held];
        for (key, value) in [handle.x, handle.y].into_iter().zip(layout.point(pointer(&event))) {
            // Three digits are as fine as a pointer, and short in a link.
            page.write(key, &number(value, 3));
        }
    };
    let cancel = Rc::clone(&let_go);
    let release = move |_: Event| let_go.set(None);
    let canvas = if figure.handles.is_empty() { canvas } else { canvas.class("plot handles") };
    let canvas = canvas
        .attribute_of("aria-label", title)
        .on("pointerdown", take)
        .on("pointermove", drag)
        .on("pointerup", release)
        .on("pointercancel", move |_: Event| cancel.set(None));
    drawn.class(if figure.square { "chart square" } else { "chart wide" }).holds(&[canvas, values(&shown, title)])
}
