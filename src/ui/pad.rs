//! The drawing pad: the visitor's own data set, by mouse, touch, pen or keyboard.

use std::rc::Rc;

use leptos::prelude::*;
use web_sys::{Event, HtmlElement, KeyboardEvent, PointerEvent};

use super::element::{Element, element};
use super::painter::context;
use super::parts::{capture, paint_when, pointed, quiet};
use super::signal::Local;
use super::state::{memo, page};
use crate::data::drawing::{GRID, MAX_POINTS};

/// Pixels along a side of the pad's bitmap.
const SIDE: u32 = 384;

/// The pad. The arrow keys move a cursor, space or Enter sets a point.
pub fn pad() -> [Element; 2] {
    let page = page();
    let side = SIDE.to_string();
    let pad = element("canvas").class("pad").test_id("drawing").attribute("width", &side).attribute("height", &side);
    let canvas = pad.canvas();
    let drawing = Local::new(false);
    let cursor = Local::new([0.0, 0.0]);
    let focused = Local::new(false);
    // Lengths of the drawing before each stroke.
    let strokes = Local::new(Vec::<usize>::new());
    let count = memo(move || page.config.with(|c| c.drawing.cells().len()));

    let push = move |x: f64, y: f64| {
        let mut copy = page.config.with_untracked(|c| c.drawing.clone());
        if copy.push(x, y) {
            page.config.update(|c| c.drawing = copy);
        }
    };
    let place = move |event: &PointerEvent| {
        let [x, y] = pointed(&canvas, event);
        push(2.0 * x - 1.0, 1.0 - 2.0 * y);
    };
    let begin = move || {
        let length = count.get_untracked();
        strokes.update(|s| s.push(length));
    };
    let undo = move || {
        let mut earlier = strokes.get_untracked();
        // Without a memory of strokes, as after a link, one point at a time.
        let length = earlier.pop().unwrap_or(count.get_untracked().saturating_sub(1));
        strokes.set(earlier);
        page.config.update(|c| c.drawing.truncate(length));
    };
    let clear = move || {
        strokes.set(Vec::new());
        page.config.update(|c| c.drawing.truncate(0));
    };
    let key = move |event: KeyboardEvent| {
        let step = 2.0 / f64::from(GRID) * if event.shift_key() { 6.0 } else { 2.0 };
        let moved = match event.key().as_str() {
            "ArrowLeft" => [-step, 0.0],
            "ArrowRight" => [step, 0.0],
            "ArrowUp" => [0.0, step],
            "ArrowDown" => [0.0, -step],
            " " | "Enter" => {
                event.prevent_default();
                begin();
                let [x, y] = cursor.get_untracked();
                return push(x, y);
            }
            "Backspace" => {
                event.prevent_default();
                return undo();
            }
            _ => return,
        };
        event.prevent_default();
        cursor.update(|c| *c = [(c[0] + moved[0]).clamp(-1.0, 1.0), (c[1] + moved[1]).clamp(-1.0, 1.0)]);
    };

    let watch = move || {
        page.config.track();
        page.dark.track();
        focused.track();
        cursor.track();
    };
    paint_when(&pad.canvas(), watch, move |canvas| {
        let points: Vec<[f64; 2]> = page.config.with(|c| c.drawing.points().collect());
        let (dark, focused, [cx, cy]) = (page.dark.get(), focused.get(), cursor.get());
        let Some(context) = context(canvas) else { return };
        let side = f64::from(SIDE);
        let pixel = |v: f64| (v + 1.0) / 2.0 * side;
        context.clear_rect(0.0, 0.0, side, side);
        context.set_fill_style_str(if dark { "#ff9e5c" } else { "#ce4a22" });
        for [x, y] in points {
            context.fill_rect(pixel(x) - 3.0, side - pixel(y) - 3.0, 6.0, 6.0);
        }
        if focused {
            context.set_stroke_style_str(if dark { "#d8e4fa" } else { "#182c52" });
            context.set_line_width(2.0);
            context.stroke_rect(pixel(cx) - 7.0, side - pixel(cy) - 7.0, 14.0, 14.0);
        }
    });

    let place = Rc::new(place);
    let goes_on = Rc::clone(&place);
    let press = move |event: PointerEvent| {
        event.prevent_default();
        let _ = event_target::<HtmlElement>(&event).focus();
        capture(&event);
        begin();
        drawing.set(true);
        place(&event);
    };
    let go = move |event: PointerEvent| {
        if drawing.get_untracked() {
            goes_on(&event);
        }
    };
    let none = move || count.get() == 0;
    let counted =
        move || page.filled("drawing.count", &[("count", &count.get().to_string()), ("most", &MAX_POINTS.to_string())]);
    let pad = pad
        .attribute("tabindex", "0")
        .attribute("role", "application")
        .attribute("aria-labelledby", "drawing-label")
        .attribute("aria-describedby", "drawing-help")
        .on("pointerdown", press)
        .on("pointermove", go)
        .on("pointerup", move |_: Event| drawing.set(false))
        .on("pointercancel", move |_: Event| drawing.set(false))
        .on("keydown", key)
        .on("focus", move |_: Event| focused.set(true))
        .on("blur", move |_: Event| focused.set(false));
    let tools = element("div").class("row").holds(&[
        quiet("undo", "action.undo", undo).attribute_when("disabled", none),
        quiet("clear", "action.clear", clear).attribute_when("disabled", none),
        element("output").class("count").attribute("aria-live", "polite").words(counted),
    ]);
    [pad, tools]
}
