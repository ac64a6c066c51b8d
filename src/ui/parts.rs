//! Pieces that many parts of the page share.

use std::rc::Rc;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Event, File, FileList, HtmlCanvasElement, PointerEvent};

use super::element::{Element, drawing, element};
use super::state::effect;
use crate::plot::label::number;

/// A button with the text of this key.
pub fn button(id: &str, key: &'static str, press: impl Fn() + 'static) -> Element {
    element("button").attribute("type", "button").test_id(id).says(key).press(press)
}

/// A button that does not stand out.
pub fn quiet(id: &str, key: &'static str, press: impl Fn() + 'static) -> Element {
    button(id, key, press).class("quiet")
}

/// A remark.
pub fn note(key: &'static str) -> Element {
    element("p").class("note").says(key)
}

/// A box to tick, with its label.
pub fn check(
    id: &str,
    label: impl Fn() -> String + 'static,
    checked: impl Fn() -> bool + 'static,
    change: impl Fn(bool) + 'static,
) -> Element {
    let input = element("input").attribute("type", "checkbox").test_id(id).property_when("checked", checked);
    element("label").class("toggle").holds(&[
        input.on("change", move |event: Event| change(event_target_checked(&event))),
        element("span").words(label),
    ])
}

/// An option of a menu.
pub fn choice(value: &str, selected: impl Fn() -> bool + 'static, name: impl Fn() -> String + 'static) -> Element {
    element("option").attribute("value", value).property_when("selected", selected).words(name)
}

/// The files of the browser's list.
pub fn list(files: &FileList) -> Vec<File> {
    (0..files.length()).filter_map(|place| files.get(place)).collect()
}

/// A control for files of the visitor's, with its label.
pub fn chooser(id: &str, key: &'static str, accept: &str, take: impl Fn(Vec<File>) + 'static) -> [Element; 2] {
    let input = element("input").attribute("id", id).test_id(id).attribute("type", "file").attribute("accept", accept);
    let chosen = input.input();
    let input = input.on("change", move |_: Event| {
        if let Some(files) = chosen.files().filter(|files| files.length() > 0) {
            take(list(&files));
        }
        // So that choosing the same file again is a change.
        chosen.set_value("");
    });
    [element("label").attribute("for", id).says(key), input]
}

/// Bytes or parameters in millions, as a text.
pub fn megabytes(count: f64) -> String {
    number(count / 1e6, 3)
}

/// A curve in a legend, before its name.
pub fn key(path: &str, colour: &str, dashes: &str) -> Element {
    let line = drawing("path").class("line").attribute("d", path);
    let line = line.attribute("stroke", colour).attribute("stroke-dasharray", dashes);
    drawing("svg").class("key").attribute("viewBox", "0 0 20 6").attribute("aria-hidden", "true").child(line)
}

/// Paints again, once for each picture of the screen however often what `watch` looks at has changed.
pub fn paint_when(
    canvas: &HtmlCanvasElement,
    watch: impl Fn() + 'static,
    paint: impl Fn(&HtmlCanvasElement) + 'static,
) {
    let asked = StoredValue::new(false);
    let paint: Rc<dyn Fn(&HtmlCanvasElement)> = Rc::new(paint);
    let canvas = canvas.clone();
    effect(move || {
        watch();
        if asked.get_value() {
            return;
        }
        asked.set_value(true);
        let (canvas, paint) = (canvas.clone(), Rc::clone(&paint));
        request_animation_frame(move || {
            // What is shown may have gone in the meantime, and its memory with it.
            if asked.try_set_value(false).is_none() {
                untrack(|| paint(&canvas));
            }
        });
    });
}

/// Leads to the beginning of what is shown now, the keyboard and who listens too.
pub fn begin_reading() {
    window().scroll_to_with_x_and_y(0.0, 0.0);
    if let Some(main) = document().get_element_by_id("main") {
        let _ = main.unchecked_into::<web_sys::HtmlElement>().focus();
    }
}

/// Where in a canvas the pointer is: shares of its width and height, from the upper left corner.
pub fn pointed(canvas: &HtmlCanvasElement, event: &PointerEvent) -> [f64; 2] {
    let rect = canvas.get_bounding_client_rect();
    let share = |at: i32, from: f64, length: f64| (f64::from(at) - from) / length.max(1.0);
    [share(event.client_x(), rect.left(), rect.width()), share(event.client_y(), rect.top(), rect.height())]
}

/// Keeps the pointer for a canvas until it is released.
pub fn capture(event: &PointerEvent) {
    if let Some(canvas) = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()) {
        // Without capture a stroke merely ends at the edge.
        let _ = canvas.set_pointer_capture(event.pointer_id());
    }
}
