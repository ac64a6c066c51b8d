//! A figure with its title and legend; its handles follow the pointer.

use leptos::html::Canvas;
use leptos::prelude::*;
use web_sys::PointerEvent;

use super::painter::{Look, Plot, paint};
use crate::lab::{Value, field_of};
use crate::plot::colour::SERIES;
use crate::plot::label::number;
use crate::study::{Figure, Handle, Mark, Study};
use crate::ui::state::{Page, page, text};

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
#[component]
pub fn Chart(study: &'static Study, index: usize, figure: &'static Figure) -> impl IntoView {
    let page = page();
    let canvas = NodeRef::<Canvas>::new();
    let plot = StoredValue::new(None::<Plot>);
    let asked = StoredValue::new(false);
    Effect::new(move |_| {
        page.told.tick.track();
        page.resized.track();
        page.dark.track();
        page.language.track();
        page.config.track();
        if canvas.get().is_none() || asked.get_value() {
            return;
        }
        asked.set_value(true);
        request_animation_frame(move || {
            // The frame may come after another experiment has taken this one's place.
            if asked.try_set_value(false).is_some() {
                return;
            }
            let Some(canvas) = canvas.get_untracked() else { return };
            let word = |key: &str| page.text(&format!("plot.{key}"));
            let look = untrack(|| Look {
                titles: [word(figure.x.key), word(figure.y.key)],
                names: figure.x.names.iter().map(|name| word(name)).collect(),
                handles: figure.handles.iter().map(|handle| place(page, handle)).collect(),
                dark: page.dark.get(),
            });
            page.told.layers.with_value(|layers| {
                if let Some(layers) = layers.get(index) {
                    plot.set_value(paint(&canvas, figure, layers, &look));
                }
            });
        });
    });

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
        if let (Some(_), Some(canvas)) = (nearest, canvas.get_untracked()) {
            event.prevent_default();
            let _ = canvas.set_pointer_capture(event.pointer_id());
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
    let release = move |_: PointerEvent| held.set_value(None);

    let title = text(move || page.text(&format!("figure.{}.{}", study.id, figure.key)));
    let legend = figure.layers.iter().filter(|layer| layer.mark.stride() > 0).map(|layer| {
        let colour = SERIES[usize::from(layer.colour) % SERIES.len()].css();
        let dashes = if layer.mark == Mark::Dashed { "5 3" } else { "" };
        let path = if layer.mark == Mark::Dots { "M10 3h0" } else { "M0 3H20" };
        view! {
            <span class="entry">
                <svg class="key" class:dot=layer.mark == Mark::Dots viewBox="0 0 20 6" aria-hidden="true">
                    <path class="line" d=path stroke=colour stroke-dasharray=dashes />
                </svg>
                {text(move || page.text(&format!("plot.{}", layer.key)))}
            </span>
        }
        .into_any()
    });
    view! {
        <figure class="chart" class:wide=!figure.square class:square=figure.square data-testid=format!("figure-{}", figure.key)>
            <figcaption>
                <strong>{title}</strong>
                <span class="legend">{legend.collect_view()}</span>
            </figcaption>
            <canvas
                class="plot"
                class:handles=!figure.handles.is_empty()
                dir="ltr"
                role="img"
                aria-label=title
                node_ref=canvas
                on:pointerdown=take
                on:pointermove=drag
                on:pointerup=release
                on:pointercancel=release
            ></canvas>
        </figure>
    }
    .into_any()
}
