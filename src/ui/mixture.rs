//! The editor of the visitor's own mixture: Gaussians to drag and stretch on a canvas, and the same by numbers.

use core::f64::consts::TAU;

use leptos::prelude::*;
use web_sys::{Event, PointerEvent};

use super::element::{Element, element};
use super::painter::context;
use super::parts::{capture, choice, paint_when, pointed, quiet};
use super::signal::Local;
use super::state::page;
use crate::data::gaussians::{Gaussian, Gaussians, MAX_GAUSSIANS, REACH};
use crate::decimal::real;
use crate::plot::label::number;

/// Pixels along a side of the canvas' bitmap.
const SIDE: u32 = 384;
/// Half of what the canvas shows, as the picture beside it does.
const HALF: f64 = 1.2 * REACH;
/// Standard deviations from the centre to the handles.
const HANDLE: f64 = 2.0;
/// How near a handle must be, in pixels of the bitmap.
const NEAR: f64 = 16.0;

/// A number of a Gaussian: its key among the texts, what it is, and how it is changed.
type Number = (&'static str, fn(&Gaussian) -> f64, fn(&mut Gaussian, f64));

const NUMBERS: [Number; 6] = [
    ("gaussian.x", |g| g.centre()[0], |g, v| g.set_centre([v, g.centre()[1]])),
    ("gaussian.y", |g| g.centre()[1], |g, v| g.set_centre([g.centre()[0], v])),
    ("gaussian.along", |g| g.deviations()[0], |g, v| g.set_deviation(0, v)),
    ("gaussian.across", |g| g.deviations()[1], |g, v| g.set_deviation(1, v)),
    ("gaussian.degrees", Gaussian::degrees, Gaussian::set_degrees),
    ("gaussian.weight", |g| f64::from(g.weight()), |g, v| g.set_weight(v as u32)),
];

/// What of a Gaussian the pointer can hold.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Centre,
    Along,
    Across,
}

/// Where it is.
fn handle(gaussian: &Gaussian, part: Part) -> [f64; 2] {
    let ([x, y], [c, s], [along, across]) = (gaussian.centre(), gaussian.direction(), gaussian.deviations());
    let [dx, dy] = match part {
        Part::Along => [c * along, s * along],
        Part::Across => [-s * across, c * across],
        Part::Centre => [0.0; 2],
    };
    [x + HANDLE * dx, y + HANDLE * dy]
}

/// Standard deviations of a point from a Gaussian.
fn deviations(gaussian: &Gaussian, [x, y]: [f64; 2]) -> f64 {
    let ([u, v], [c, s], [along, across]) = (gaussian.centre(), gaussian.direction(), gaussian.deviations());
    let (x, y) = (x - u, y - v);
    libm::hypot((x * c + y * s) / along, (y * c - x * s) / across)
}

/// What is nearest to a point, handles of the chosen one first, then what the point lies in: which Gaussian, and what of it.
fn found(all: &[Gaussian], chosen: usize, [x, y]: [f64; 2]) -> Option<(usize, Part)> {
    let near = 2.0 * HALF / f64::from(SIDE) * NEAR;
    let away = |gaussian: &Gaussian, part| {
        let [u, v] = handle(gaussian, part);
        libm::hypot(u - x, v - y)
    };
    let handles = [Part::Along, Part::Across].into_iter().map(|part| (chosen, part));
    let centres = (0..all.len()).map(|index| (index, Part::Centre));
    let mut best = None;
    let mut least = near;
    for (index, part) in handles.chain(centres) {
        if let Some(apart) = all.get(index).map(|gaussian| away(gaussian, part))
            && apart < least
        {
            (best, least) = (Some((index, part)), apart);
        }
    }
    let inside = |index: &usize| deviations(&all[*index], [x, y]) < HANDLE;
    best.or_else(|| (0..all.len()).rev().find(inside).map(|index| (index, Part::Centre)))
}

/// The editor.
pub fn editor() -> [Element; 3] {
    let page = page();
    let side = SIDE.to_string();
    let canvas =
        element("canvas").class("pad").test_id("gaussians").attribute("width", &side).attribute("height", &side);
    let chosen = Local::new(0_usize);
    let held = Local::new(None::<Part>);
    let current = move || {
        page.config.with(|c| {
            let all = c.gaussians.all();
            (chosen.get().min(all.len() - 1), all.len())
        })
    };
    let change = move |act: &dyn Fn(&mut Gaussians)| {
        let before = page.config.with_untracked(|c| c.gaussians.clone());
        let mut after = before.clone();
        act(&mut after);
        if after != before {
            page.config.update(|c| c.gaussians = after);
        }
    };
    let one = move |act: &dyn Fn(&mut Gaussian)| {
        let index = untrack(current).0;
        change(&|all| {
            if let Some(gaussian) = all.at(index) {
                act(gaussian);
            }
        });
    };

    let node = canvas.canvas();
    let place = move |event: &PointerEvent| {
        let [x, y] = pointed(&node, event);
        [HALF * (2.0 * x - 1.0), HALF * (1.0 - 2.0 * y)]
    };
    let placed = place.clone();
    let press = move |event: PointerEvent| {
        let at = placed(&event);
        let index = untrack(current).0;
        if let Some((index, part)) = page.config.with_untracked(|c| found(c.gaussians.all(), index, at)) {
            event.prevent_default();
            capture(&event);
            chosen.set(index);
            held.set(Some(part));
        }
    };
    let go = move |event: PointerEvent| {
        let Some(part) = held.get_untracked() else { return };
        let [x, y] = place(&event);
        one(&|gaussian| {
            let [dx, dy] = [x - gaussian.centre()[0], y - gaussian.centre()[1]];
            let deviation = libm::hypot(dx, dy) / HANDLE;
            let degrees = libm::atan2(dy, dx).to_degrees();
            match part {
                Part::Centre => gaussian.set_centre([x, y]),
                Part::Along => {
                    gaussian.set_degrees(degrees);
                    gaussian.set_deviation(0, deviation);
                }
                Part::Across => {
                    gaussian.set_degrees(degrees - 90.0);
                    gaussian.set_deviation(1, deviation);
                }
            }
        });
    };

    let watch = move || {
        page.config.track();
        page.dark.track();
        page.language.track();
        chosen.track();
    };
    paint_when(&canvas.canvas(), watch, move |canvas| {
        let (all, dark, (index, _)) = (page.config.with(|c| c.gaussians.all().to_vec()), page.dark.get(), current());
        let Some(context) = context(canvas) else { return };
        let side = f64::from(SIDE);
        let pixel = |v: f64| (v / HALF + 1.0) / 2.0 * side;
        let [paint, ink] = if dark { ["#ff9e5c", "#d8e4fa"] } else { ["#ce4a22", "#182c52"] };
        context.clear_rect(0.0, 0.0, side, side);
        context.set_font("16px sans-serif");
        context.set_text_align("center");
        context.set_text_baseline("middle");
        for (place, gaussian) in all.iter().enumerate() {
            let ([x, y], [along, across]) = (gaussian.centre(), gaussian.deviations());
            let (x, y, turn) = (pixel(x), side - pixel(y), -gaussian.degrees().to_radians());
            let scale = side / HALF / 2.0;
            context.set_fill_style_str(paint);
            for (deviations, opacity) in [(HANDLE, 0.25), (1.0, 0.45)] {
                context.set_global_alpha(opacity);
                context.begin_path();
                let [long, wide] = [along, across].map(|deviation| deviations * deviation * scale);
                // Lengths are not negative, which is all that could be wrong.
                let _ = context.ellipse(x, y, long, wide, turn, 0.0, TAU);
                context.fill();
            }
            context.set_global_alpha(1.0);
            context.set_fill_style_str(ink);
            let name = page.language.get().digits(&(place + 1).to_string());
            let _ = context.fill_text(&name, x, y);
            if place == index {
                context.set_stroke_style_str(ink);
                context.set_line_width(2.0);
                for part in [Part::Along, Part::Across] {
                    let [u, v] = handle(gaussian, part);
                    context.stroke_rect(pixel(u) - 6.0, side - pixel(v) - 6.0, 12.0, 12.0);
                }
            }
        }
    });
    let canvas = canvas
        .attribute("role", "img")
        .attribute("aria-labelledby", "gaussians-label")
        .attribute("aria-describedby", "gaussians-help")
        .on("pointerdown", press)
        .on("pointermove", go)
        .on("pointerup", move |_: Event| held.set(None))
        .on("pointercancel", move |_: Event| held.set(None));

    let names = move || {
        let (index, count) = current();
        let name = |at: usize| {
            let number = (at + 1).to_string();
            choice(&at.to_string(), move || at == index, move || page.language.get().digits(&number))
        };
        (0..count).map(name).collect()
    };
    let choose = element("select").attribute("id", "gaussian").test_id("gaussian").changing(names);
    let choose = choose.change(move |which| chosen.set(which.parse().unwrap_or(0)));
    let mut rows = vec![element("label").attribute("for", "gaussian").says("gaussian.which"), choose];
    for (key, get, set) in NUMBERS {
        let id = key.replace('.', "-");
        let value = move || {
            let (index, _) = current();
            page.config.with(|c| c.gaussians.all().get(index).map_or_else(String::new, |g| number(get(g), 4)))
        };
        let typed = element("input").attribute("id", &id).test_id(&id).attribute("dir", "ltr");
        let input = typed.input();
        let write = move |text: String| {
            if let Some(value) = real(&text) {
                one(&|gaussian| set(gaussian, value));
            }
            // What is not taken as typed is shown as it was taken.
            input.set_value(&untrack(value));
        };
        let typed = typed.attribute("inputmode", "decimal").attribute("autocomplete", "off");
        rows.push(element("label").attribute("for", &id).says(key));
        rows.push(typed.property_of("value", value).change(write));
    }
    let add = move || {
        let (_, count) = untrack(current);
        // Beside those that are there: places of a circle, one after the other.
        let angle = TAU * count as f64 / MAX_GAUSSIANS as f64;
        change(&|all| all.push(Gaussian::round([4.0 * libm::cos(angle), 4.0 * libm::sin(angle)], 0.4)));
        chosen.set(count);
    };
    let remove = move || {
        let (index, _) = untrack(current);
        change(&|all| all.remove(index));
        chosen.set(index.saturating_sub(1));
    };
    let tools = element("div").class("row").holds(&[
        quiet("gaussian-add", "gaussian.add", add).attribute_when("disabled", move || current().1 >= MAX_GAUSSIANS),
        quiet("gaussian-remove", "gaussian.remove", remove).attribute_when("disabled", move || current().1 < 2),
    ]);
    [canvas, element("div").class("numbers").holds(&rows), tools]
}
