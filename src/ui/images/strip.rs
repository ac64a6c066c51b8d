//! The whole way of one image from noise to data as a strip of pictures, along which one can drag.

use std::rc::Rc;

use web_sys::{Event, PointerEvent};

use super::canvas::{lay, room};
use crate::lab::Language;
use crate::plot::mosaic::Mosaic;
use crate::session::film::one;
use crate::ui::element::{Element, element};
use crate::ui::parts::{capture, note, paint_when, pointed};
use crate::ui::scene::context;
use crate::ui::signal::Local;
use crate::ui::state::page;

/// Most pictures of a line of the strip.
const MOST: usize = 16;

/// The strip: what the image was above, and what the network expected of it below.
pub fn strip() -> Element {
    let page = page();
    let images = page.images;
    let strip = element("canvas").class("pixels").test_id("strip").attribute("width", "33").attribute("height", "66");
    let canvas = strip.canvas();
    // From noise, on the side where a line begins, to data: as the slider of the time.
    let mirrored = move || page.language.get_untracked() == Language::Persian;
    paint_when(
        &canvas,
        move || {
            page.frames.track();
            images.chosen.track();
            page.language.track();
        },
        move |canvas| {
            let (count, index) = page.frames.get_untracked();
            let (row, image) = images.chosen.get_untracked().unwrap_or((0, 0));
            images.rows.with_value(|rows| {
                let Some(film) = rows.get(row).map(|row| &row.film) else { return };
                let Some(side) = film.last().map(|frame| frame.side as usize) else { return };
                let [width, _] = room(canvas);
                // Twice their size where five of them have room.
                let zoom = if width >= 10 * (side + 1) { 2 } else { 1 };
                let columns = (width / ((side + 1) * zoom)).min(film.len()).clamp(2, MOST);
                let mosaic = Mosaic { count: 2 * columns, side, columns, zoom };
                let nothing = vec![0; 3 * side * side];
                let mut pictures = Vec::with_capacity(2 * columns * nothing.len());
                for expected in [false, true] {
                    for column in 0..columns {
                        let moment = if mirrored() { columns - 1 - column } else { column };
                        let frame = film.at(moment, columns);
                        pictures.extend(frame.and_then(|frame| one(frame, image, expected)).unwrap_or(&nothing));
                    }
                }
                lay(canvas, &pictures, &mosaic);
                let Some(context) = context(canvas) else { return };
                let share = index as f64 / (count.max(2) - 1) as f64;
                let share = if mirrored() { 1.0 - share } else { share };
                let x = (share * (f64::from(canvas.width()) - 2.0)).round();
                context.set_fill_style_str("#ff7a2f");
                context.fill_rect(x, 0.0, 2.0, f64::from(canvas.height()));
            });
        },
    );
    let dragging = Local::new(false);
    let go = move |event: &PointerEvent| {
        let count = page.frames.get_untracked().0;
        if count == 0 {
            return;
        }
        let [share, _] = pointed(&canvas, event);
        let share = if mirrored() { 1.0 - share } else { share };
        page.playing.set(false);
        page.frames.set((count, (share.clamp(0.0, 1.0) * (count - 1) as f64).round() as usize));
    };
    let go = Rc::new(go);
    let goes_on = Rc::clone(&go);
    let strip = strip
        .attribute("role", "img")
        .label("images.strip")
        .on("pointerdown", move |event: PointerEvent| {
            capture(&event);
            dragging.set(true);
            go(&event);
        })
        .on("pointermove", move |event: PointerEvent| {
            if dragging.get_untracked() {
                goes_on(&event);
            }
        })
        .on("pointerup", move |_: Event| dragging.set(false))
        .on("pointercancel", move |_: Event| dragging.set(false));
    let strip = element("div").class("strip").holds(&[strip, note("images.strip-note")]);
    strip.gone_when(move || page.frames.get().0 < 2)
}
