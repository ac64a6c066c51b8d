//! The known image: which of its pixels are given is painted with mouse, finger or pen, or chosen from a menu.

use std::rc::Rc;

use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, File, HtmlImageElement, PointerEvent, Url};

use super::canvas::{hidden_canvas, put};
use crate::lab::TaskId;
use crate::lab::{PIXELS, Picture, SIDE};
use crate::rng::{Rng, Stream};
use crate::session::film::one;
use crate::ui::element::{Element, element};
use crate::ui::parts::{capture, check, choice, chooser, note, paint_when, pointed, quiet};
use crate::ui::scene::context;
use crate::ui::signal::Local;
use crate::ui::state::{Page, memo, page};

/// Radius of the brush in pixels of the image.
const BRUSH: f64 = 2.4;
/// Masks that need no painting, by the ends of their names: what is missing.
const PRESETS: [&str; 5] = ["left", "bottom", "centre", "frame", "random"];

/// Whether a pixel is missing in a mask that needs no painting.
fn is_missing(preset: &str, pixel: usize, random: &mut Rng) -> bool {
    let (column, row, quarter) = (pixel % SIDE, pixel / SIDE, SIDE / 4);
    let inside = |at: usize| (quarter..SIDE - quarter).contains(&at);
    match preset {
        "left" => column < SIDE / 2,
        "bottom" => row >= SIDE / 2,
        "centre" => inside(column) && inside(row),
        "frame" => !(inside(column) && inside(row)),
        _ => random.bits() & 1 == 0,
    }
}

fn mask(page: Page, preset: &str) -> Vec<bool> {
    let seed = page.config.with_untracked(|config| config.seed);
    let mut random = Rng::new(seed, Stream::Data, u32::MAX);
    (0..PIXELS).map(|pixel| !is_missing(preset, pixel, &mut random)).collect()
}

fn set_known(page: Page, known: Vec<bool>) {
    page.config.update(|config| {
        let colours = config.picture.colours().to_vec();
        if let Some(picture) = Picture::new(colours, known) {
            config.picture = picture;
        }
    });
}

/// Makes this the known image of a task.
pub fn give(page: Page, colours: Vec<u8>, task: TaskId) {
    let kept = page.config.with_untracked(|config| config.picture.known().to_vec());
    let known = if kept.is_empty() { mask(page, PRESETS[2]) } else { kept };
    match Picture::new(colours, known) {
        Some(picture) => page.config.update(|config| {
            config.picture = picture;
            config.task = task;
        }),
        None => page.file_notice.set("images.wrong-size"),
    }
}

/// Takes a picture file: its middle square, at the size of the images.
pub fn take(page: Page, file: &File) {
    let (Ok(address), Ok(image)) = (Url::create_object_url_with_blob(file), HtmlImageElement::new()) else { return };
    let (drawn, freed) = (image.clone(), address.clone());
    let arrived = Closure::once_into_js(move |loaded: web_sys::Event| {
        let _ = Url::revoke_object_url(&freed);
        let colours = (loaded.type_() == "load").then(|| square(&drawn)).flatten();
        match colours {
            Some(colours) => {
                let task = page.config.with_untracked(|config| config.task);
                give(page, colours, if task == TaskId::Generate { TaskId::Inpaint } else { task });
            }
            None => page.file_notice.set("file.unreadable"),
        }
    });
    image.set_onload(Some(arrived.unchecked_ref()));
    image.set_onerror(Some(arrived.unchecked_ref()));
    image.set_src(&address);
}

/// The middle square of a picture, red, green and blue, in the size of the images; what is clear is white.
fn square(image: &HtmlImageElement) -> Option<Vec<u8>> {
    let canvas = hidden_canvas()?;
    canvas.set_width(SIDE as u32);
    canvas.set_height(SIDE as u32);
    let context = context(&canvas)?;
    let [width, height] = [f64::from(image.natural_width()), f64::from(image.natural_height())];
    let (cut, side) = (width.min(height), SIDE as f64);
    context.set_fill_style_str("#fff");
    context.fill_rect(0.0, 0.0, side, side);
    // A wish: without it large pictures lose fine lines.
    let _ = js_sys::Reflect::set(&context, &"imageSmoothingQuality".into(), &JsValue::from_str("high"));
    let (left, top) = ((width - cut) / 2.0, (height - cut) / 2.0);
    context
        .draw_image_with_html_image_element_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
            image, left, top, cut, cut, 0.0, 0.0, side, side,
        )
        .ok()?;
    let pixels = context.get_image_data(0.0, 0.0, side, side).ok()?.data();
    (cut >= 1.0).then(|| pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
}

/// The image as the editor shows it: missing pixels are hatched, and for colouring it is grey.
fn pictured(picture: &Picture, task: TaskId) -> Vec<u8> {
    let mut painted = Vec::with_capacity(4 * PIXELS);
    for (index, (pixel, known)) in picture.colours().chunks_exact(3).zip(picture.known()).enumerate() {
        let grey = pixel.iter().map(|&tone| u32::from(tone)).sum::<u32>() / 3;
        let hatch = if (index % SIDE + index / SIDE).is_multiple_of(2) { 205 } else { 165 };
        painted.extend(pixel.iter().map(|&tone| match (task, known) {
            (TaskId::Colourise, _) => grey as u8,
            (_, true) => tone,
            (_, false) => ((u32::from(tone) + 5 * hatch) / 6) as u8,
        }));
        painted.push(255);
    }
    painted
}

/// The editor of the known image.
pub fn known() -> Element {
    let page = page();
    let restoring = Local::new(false);
    // Where the stroke was last, while there is one.
    let stroke = StoredValue::new(None::<[f64; 2]>);
    let history = Local::new(Vec::<Vec<bool>>::new());
    let none = memo(move || page.config.with(|config| config.picture.is_empty()));
    let masked = memo(move || page.config.with(|config| config.task == TaskId::Inpaint));
    // Whoever wants to fill in or to colour after a run has an image at hand.
    if none.get_untracked()
        && let Some(colours) = at_hand(page)
    {
        let task = page.config.with_untracked(|config| config.task);
        // Not while the control is being made: it changes what the control depends on.
        set_timeout(move || give(page, colours, task), std::time::Duration::ZERO);
    }
    let side = SIDE.to_string();
    let canvas = element("canvas").class("pixels").test_id("mask").attribute("width", &side).attribute("height", &side);
    let pixels = canvas.canvas();
    paint_when(
        &pixels,
        move || page.config.track(),
        move |canvas| {
            let pixels = page.config.with(|config| pictured(&config.picture, config.task));
            if !pixels.is_empty() {
                put(canvas, &pixels, [SIDE, SIDE]);
            }
        },
    );
    let remember = move || {
        let known = page.config.with_untracked(|config| config.picture.known().to_vec());
        history.update(|all| {
            // A hundred strokes back is far enough.
            if all.len() >= 100 {
                all.remove(0);
            }
            all.push(known);
        });
    };
    let paint = move |event: &PointerEvent| {
        let Some(last) = stroke.get_value() else { return };
        let here = pointed(&pixels, event).map(|share| SIDE as f64 * share);
        let from = if last[0].is_nan() { here } else { last };
        stroke.set_value(Some(here));
        let known = restoring.get_untracked();
        page.config.update(|config| {
            for pixel in 0..PIXELS {
                let (column, row) = (pixel % SIDE, pixel / SIDE);
                if distance([column as f64 + 0.5, row as f64 + 0.5], from, here) <= BRUSH {
                    config.picture.mark(column, row, known);
                }
            }
        });
    };
    let undo = move || {
        let mut known = None;
        history.update(|all| known = all.pop());
        if let Some(known) = known {
            set_known(page, known);
        }
    };
    let clear = move || {
        remember();
        set_known(page, vec![true; PIXELS]);
    };
    let paint = Rc::new(paint);
    let goes_on = Rc::clone(&paint);
    let begin = move |event: PointerEvent| {
        if masked.get_untracked() {
            event.prevent_default();
            capture(&event);
            remember();
            stroke.set_value(Some([f64::NAN; 2]));
            paint(&event);
        }
    };
    let canvas = canvas
        .class_when("paintable", move || masked.get())
        .attribute("role", "img")
        .attribute("aria-labelledby", "picture-label")
        .attribute("aria-describedby", "picture-help")
        .on("pointerdown", begin)
        .on("pointermove", move |event: PointerEvent| goes_on(&event))
        .on("pointerup", move |_: Event| stroke.set_value(None))
        .on("pointercancel", move |_: Event| stroke.set_value(None));
    let presets = element("select").test_id("preset").on("change", move |event: Event| {
        remember();
        set_known(page, mask(page, &event_target_value(&event)));
        // A menu, not a state: painting goes on from here.
        event_target::<web_sys::HtmlSelectElement>(&event).set_value("");
    });
    let presets = presets.child(element("option").attribute("value", "").says("images.mask-choose"));
    let named = |name: &'static str| choice(name, || false, move || page.text(&format!("images.mask-{name}")));
    let presets = presets.holds(&PRESETS.map(named));
    let tools = element("div").class("row wrap").holds(&[
        check("restore", move || page.text("images.restore"), move || restoring.get(), move |on| restoring.set(on)),
        quiet("mask-undo", "action.undo", undo).attribute_when("disabled", move || history.with(Vec::is_empty)),
        quiet("mask-clear", "action.clear", clear),
    ]);
    let painting = element("div")
        .gone_when(move || !masked.get())
        .holds(&[element("label").class("preset").holds(&[element("span").says("images.mask"), presets]), tools]);
    element("div")
        .class("known")
        .test_id("known")
        .holds(&[
            note("images.known-empty").gone_when(move || !none.get()),
            element("div").gone_when(move || none.get()).holds(&[canvas, painting]),
        ])
        .holds(&chooser("own-picture", "images.own-picture", "image/*", move |files| {
            files.iter().for_each(|file| take(page, file))
        }))
}

/// The image that is looked at, or the first one of the run on show.
pub fn at_hand(page: Page) -> Option<Vec<u8>> {
    let (row, image) = page.images.chosen.get_untracked().unwrap_or((0, 0));
    let pixels = page.images.rows.with_value(|rows| {
        let frame = rows.get(row)?.film.last()?;
        one(frame, image, false).map(<[u8]>::to_vec)
    });
    pixels.filter(|pixels| pixels.len() == 3 * PIXELS)
}

/// Distance of a point from the line between two others.
fn distance([x, y]: [f64; 2], [ax, ay]: [f64; 2], [bx, by]: [f64; 2]) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let length = dx * dx + dy * dy;
    let share = if length > 0.0 { (((x - ax) * dx + (y - ay) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    ((ax + share * dx - x).powi(2) + (ay + share * dy - y).powi(2)).sqrt()
}
