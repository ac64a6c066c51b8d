//! The images of a run as they appear, or of several solvers below each other.

use leptos::prelude::*;
use web_sys::{KeyboardEvent, MouseEvent};

use super::canvas::{lay, room};
use super::detail::detail;
use super::save;
use super::strip::strip;
use crate::lab::{ArrangementId, RunConfig};
use crate::plot::mosaic::Mosaic;
use crate::session::film::shown;
use crate::session::image_state::ImageWeights;
use crate::ui::element::{Element, element};
use crate::ui::measures::controlled;
use crate::ui::parts::{check, paint_when, quiet};
use crate::ui::scene::context;
use crate::ui::state::{Page, page};
use crate::ui::view::time;

/// The layout of a row: everything that is known of it before the first frame.
pub fn layout(page: Page, config: &RunConfig, side: usize, [width, height]: [usize; 2]) -> Mosaic {
    let count = config.images as usize;
    let lined = page.images.compared.with_untracked(|solvers| !solvers.is_empty())
        || (config.arrangement == ArrangementId::Interpolation && count <= 10);
    if lined && width >= count * 2 * (side + 1) {
        let mosaic = Mosaic::line(count, side, width);
        Mosaic { zoom: mosaic.zoom.min(4), ..mosaic }
    } else {
        Mosaic::fit(count, side, width, height)
    }
}

/// The picture of the experiment.
pub fn gallery() -> Vec<Element> {
    let page = page();
    let images = page.images;
    let rows = move || match images.count.get() {
        // What is not there yet has a place already, and its words.
        0 => vec![element("p").class("hint").says("images.empty")],
        count => (0..count).map(row).collect(),
    };
    let none = move || page.frames.get().0 == 0;
    let expected = check(
        "show-expected",
        move || page.text("images.expected"),
        move || images.expected.get(),
        move |on| images.expected.set(on),
    );
    let files = element("span").class("row wrap end").holds(&[
        quiet("export-png", "action.png", move || save::grid(page)).attribute_when("disabled", none),
        quiet("export-gif", "images.gif", move || save::film(page)).attribute_when("disabled", none),
    ]);
    vec![
        element("div").class("gallery").test_id("gallery").changing(rows),
        time(),
        element("div").class("layers").holds(&[expected, files]),
        element("p").class("note").attribute("role", "status").words(move || notices(page)),
        element("p").class("note").test_id("workers").words(move || workers(page)),
        controlled(),
        strip(),
        detail(),
    ]
}

fn notices(page: Page) -> String {
    use crate::protocol::images::Notice;
    let sentence = |notice: Notice| match notice {
        Notice::SmallerBatch { images } => page.filled("images.smaller-batch", &[("images", &images.to_string())]),
        Notice::NotKept => page.text("images.not-kept"),
        Notice::NoClasses => page.text("images.no-classes"),
        Notice::NoHalf => page.text("images.no-half"),
        Notice::HalfRefused => page.text("images.half-refused"),
        Notice::NoGrid { steps } => {
            let known: Vec<String> = page.session.with(|session| match session.image_weights() {
                ImageWeights::Held(weights) => weights.grids.iter().map(u32::to_string).collect(),
                _ => Vec::new(),
            });
            let known = if known.is_empty() { "–".to_owned() } else { known.join(", ") };
            page.filled("images.no-grid", &[("steps", &steps.to_string()), ("known", &known)])
        }
    };
    page.images.notices.get().into_iter().map(sentence).collect::<Vec<_>>().join(" ")
}

fn workers(page: Page) -> String {
    match page.images.workers.get() {
        0 | 1 => String::new(),
        count => page.filled("images.workers", &[("count", &count.to_string())]),
    }
}

/// One run: its caption in a comparison, and its images.
fn row(index: usize) -> Element {
    let page = page();
    let images = page.images;
    let id = if index == 0 { "samples".to_owned() } else { format!("samples-{index}") };
    let canvas = element("canvas").class("pixels").test_id(&id).attribute("width", "33").attribute("height", "33");
    let config = images.rows.with_value(|rows| rows.get(index).map(|row| row.config.clone())).unwrap_or_default();
    let (solver, steps, count) = (config.solver, config.steps.to_string(), config.images as usize);
    let caption = move || {
        page.frames.track();
        let evaluations = images.rows.with_value(|rows| rows.get(index)?.film.last().map(|frame| frame.evaluations));
        let name = page.text(&format!("choice.solver.{}", solver.id()));
        let evaluations = evaluations.unwrap_or(0).to_string();
        page.filled("images.row", &[("solver", &name), ("steps", &steps), ("evaluations", &evaluations)])
    };
    let alone = move || images.compared.with(Vec::is_empty);
    let described = move || {
        let chosen = images.chosen.get().filter(|(row, _)| *row == index);
        let now = chosen.map_or_else(String::new, |(_, image)| format!(" {}", image + 1));
        page.filled("images.describe", &[("count", &count.to_string())]) + &now
    };
    // Found again by a click: the layout of the last painting.
    let laid = StoredValue::new(None::<Mosaic>);
    paint_when(
        &canvas.canvas(),
        move || {
            page.frames.track();
            images.expected.track();
            images.chosen.track();
            page.resized.track();
        },
        move |canvas| {
            let (count, at) = page.frames.get_untracked();
            let expected = images.expected.get_untracked();
            let mosaic = images.rows.with_value(|rows| {
                let frame = rows.get(index)?.film.at(at, count)?;
                let mosaic = layout(page, &rows[index].config, frame.side as usize, room(canvas));
                let mosaic = Mosaic { count: frame.images as usize, ..mosaic };
                lay(canvas, shown(frame, expected), &mosaic);
                Some(mosaic)
            });
            laid.set_value(mosaic);
            let chosen = images.chosen.get_untracked().filter(|(row, _)| *row == index);
            if let (Some(mosaic), Some((_, image))) = (mosaic, chosen)
                && let Some(context) = context(canvas)
            {
                let [left, top] = mosaic.place(image).map(|at| at as f64 + 0.5);
                let side = mosaic.side as f64 - 1.0;
                context.set_stroke_style_str("#ff7a2f");
                context.stroke_rect(left, top, side, side);
            }
        },
    );
    let click = move |event: MouseEvent| {
        let place = (f64::from(event.offset_x()), f64::from(event.offset_y()));
        if let Some(image) = laid.get_value().and_then(|mosaic| mosaic.at(place.0, place.1)) {
            super::detail::choose(page, index, image);
        }
    };
    let key = move |event: KeyboardEvent| {
        let Some(mosaic) = laid.get_value() else { return };
        let now = images.chosen.get_untracked().filter(|(row, _)| *row == index).map(|(_, image)| image);
        let step = match event.key().as_str() {
            "ArrowLeft" => -1,
            "ArrowRight" => 1,
            "ArrowUp" => -(mosaic.columns as isize),
            "ArrowDown" => mosaic.columns as isize,
            "Enter" if images.pairing.get_untracked().is_some() => {
                return now.into_iter().for_each(|image| super::detail::choose(page, index, image));
            }
            "Escape" => {
                images.pairing.set(None);
                return images.chosen.set(None);
            }
            _ => return,
        };
        event.prevent_default();
        let next = now.map_or(Some(0), |now| now.checked_add_signed(step)).filter(|next| *next < mosaic.count);
        if let Some(next) = next {
            images.chosen.set(Some((index, next)));
        }
    };
    let canvas = canvas.attribute("tabindex", "0").attribute("role", "application");
    let canvas = canvas.attribute_of("aria-label", described).on("click", click).on("keydown", key);
    element("figure").class("grid-of-images").holds(&[element("figcaption").gone_when(alone).words(caption), canvas])
}
