//! What can be taken away from the page and brought back: the link, pictures, numbers, settings, weights.

use leptos::prelude::*;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use super::address;
use super::download::save;
use super::element::{Element, element};
use super::parts::{chooser, note, quiet};
use super::signal::Local;
use super::state::{Page, effect, memo, page, start};
use crate::decimal::{shortest, shortest_single};
use crate::experiments;
use crate::experiments::settings::{from_values, to_json};
use crate::lab::ExperimentId;
use crate::plot::values::{CSV_HEAD, csv};
use crate::protocol::Bytes;
use crate::session::Session;
use crate::study::studies;

/// Largest file that is read: the largest network's weights take 8 MB.
const MOST_READ: f64 = 32e6;
/// Largest configuration file.
const MOST_SETTINGS: usize = 100_000;

fn samples(page: Page) {
    let mut csv = String::from("x,y\n");
    let (_, index) = page.frames.get_untracked();
    page.scene.with_value(|scene| {
        for [x, y] in scene.samples(index, false).into_iter().flat_map(crate::protocol::Floats::points) {
            csv += &format!("{},{}\n", shortest_single(x), shortest_single(y));
        }
    });
    save("scorefield-samples.csv", "text/csv", csv.as_bytes());
}

fn losses(page: Page) {
    let mut csv = String::from("step,loss\n");
    page.losses.with_untracked(|losses| {
        for (i, loss) in losses.iter().enumerate() {
            csv += &format!("{},{}\n", i + 1, shortest_single(*loss));
        }
    });
    save("scorefield-losses.csv", "text/csv", csv.as_bytes());
}

/// The numbers of every figure of the study on the page.
fn figures(page: Page) {
    let Some(study) = page.config.with_untracked(|c| experiments::study(c.experiment)) else { return };
    let mut text = String::from(CSV_HEAD);
    page.told.layers.with_value(|all| {
        for (figure, data) in study.figures.iter().zip(all) {
            text += &csv(figure.key, &figure.chart(data.iter().map(|floats| floats.0.as_slice()).collect()));
        }
    });
    save(&format!("scorefield-{}.csv", study.id), "text/csv", text.as_bytes());
}

fn settings(page: Page) {
    let json = page.config.with_untracked(to_json);
    save("scorefield.json", "application/json", json.as_bytes());
}

/// Takes a file that was dropped or chosen: settings or weights.
pub fn take(page: Page, files: Vec<File>) {
    if !super::images::take(page, &files) {
        files.into_iter().for_each(|file| take_one(page, file));
    }
}

fn take_one(page: Page, file: File) {
    if file.size() > MOST_READ {
        return page.file_notice.set("file.large");
    }
    start(async move {
        let Ok(buffer) = JsFuture::from(file.array_buffer()).await else {
            return page.file_notice.set("file.unreadable");
        };
        let bytes = js_sys::Uint8Array::new(&buffer).to_vec();
        if bytes.first() == Some(&b'{') && bytes.len() <= MOST_SETTINGS {
            take_settings(page, &bytes);
        } else if bytes.len() >= 10 && bytes.get(8) == Some(&b'{') {
            // A safetensors file: eight bytes of length, then JSON. The worker looks closer.
            page.file_notice.set("");
            page.tell(|session| session.import(Bytes(bytes)));
        } else {
            page.file_notice.set("file.foreign");
        }
    });
}

fn take_settings(page: Page, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(object) = js_sys::JSON::parse(&text) else { return page.file_notice.set("file.foreign") };
    let value = |name: &str| {
        let value = js_sys::Reflect::get(&object, &name.into()).ok()?;
        value.as_string().or_else(|| value.as_f64().map(shortest))
    };
    let of_study = |id: &String| matches!(ExperimentId::named(id), Some(ExperimentId::Study(_)));
    if value("experiment").as_ref().is_some_and(of_study) && studies().is_empty() {
        return page.file_notice.set("catalogue.notice");
    }
    // Every field through its own range, as if it came by link.
    let Some((config, corrected)) = from_values(value) else { return page.file_notice.set("file.foreign") };
    let device = config.device;
    page.config.set(config);
    page.tell(|session| session.choose_device(device));
    page.file_notice.set(if corrected { "file.settings-corrected" } else { "file.settings-taken" });
}

/// Puts a text into the clipboard; nothing where the browser refuses, or has none for pages that came without encryption.
async fn copy(text: &str) -> Option<()> {
    let clipboard = js_sys::Reflect::get(window().navigator().as_ref(), &"clipboard".into()).ok()?;
    let clipboard: web_sys::Clipboard = Some(clipboard).filter(JsValue::is_object)?.unchecked_into();
    JsFuture::from(clipboard.write_text(text)).await.ok().map(drop)
}

/// A text that is there to be copied, with its button.
pub fn copied(id: &'static str, button: &str, text: fn(Page) -> String) -> Element {
    let page = page();
    let text = memo(move || text(page));
    let copied = Local::new("action.copy");
    effect(move || {
        text.track();
        copied.set("action.copy");
    });
    let select = |event: web_sys::FocusEvent| event_target::<web_sys::HtmlInputElement>(&event).select();
    let shown = element("input").attribute("id", id).test_id(id).attribute("readonly", "");
    let shown = shown.attribute("dir", "ltr").property_of("value", move || text.get()).on("focus", select);
    let field = shown.input();
    let copy = move || {
        let (text, field) = (text.get_untracked(), field.clone());
        start(async move {
            let done = copy(&text).await.is_some();
            if !done {
                // The visitor copies what is selected.
                let _ = field.focus();
            }
            copied.set(if done { "action.copied" } else { "action.copy-yourself" });
        });
    };
    let words = move || page.text(copied.get());
    let copy = element("button").attribute("type", "button").test_id(button).press(copy).words(words);
    element("div").class("row").holds(&[shown, copy])
}

/// The HTML of a frame with the experiment, for other pages, and the controls that matter most to it.
fn frame_code(page: Page) -> String {
    page.link.track();
    let study = page.config.with(|c| experiments::study(c.experiment));
    let controls = study.map_or_else(
        || vec!["solver", "steps", "seed"],
        |study| study.controls.iter().map(|control| control.field.key).collect(),
    );
    let frame = element("iframe").attribute("src", &address::framed(page, controls));
    frame.attribute("title", "scorefield").attribute("width", "100%").attribute("height", "640").markup()
}

/// What other pages put in to show the experiment.
fn embed() -> Element {
    element("details").holds(&[
        element("summary").says("share.embed"),
        element("label").attribute("for", "embed-code").says("share.embed-code"),
        copied("embed-code", "copy-embed", frame_code),
        note("share.embed-note"),
    ])
}

/// The link, the files, and the way back in.
pub fn share() -> Element {
    let page = page();
    // Only networks in the plane are trained here and take their samples along as numbers.
    let elsewhere = move || page.config.with(|c| c.experiment != ExperimentId::Plane);
    let of_study = move || page.config.with(|c| experiments::study(c.experiment).is_some());
    let untrained = move || page.session.with(|s| !Session::has_weights(s));
    let without_samples =
        move || page.frames.get().0 == 0 && (page.repaint.get(), page.scene.with_value(|s| s.preview.is_none())).1;
    let files = element("div").class("row wrap").holds(&[
        quiet("export-samples", "action.export-samples", move || samples(page))
            .gone_when(elsewhere)
            .attribute_when("disabled", without_samples),
        quiet("export-losses", "action.export-losses", move || losses(page))
            .gone_when(elsewhere)
            .attribute_when("disabled", move || page.losses.with(Vec::is_empty)),
        quiet("export-values", "action.export-values", move || figures(page)).gone_when(move || !of_study()),
        quiet("export-config", "action.export-config", move || settings(page)),
        quiet("export-weights", "action.export-weights", move || page.tell(Session::export))
            .gone_when(elsewhere)
            .attribute_when("disabled", untrained),
    ]);
    element("section")
        .class("share")
        .holds(&[
            element("h3").says("share.title"),
            element("label").attribute("for", "share").says("share.link"),
            copied("share", "copy", |page| page.link.get()),
            files,
        ])
        .child(embed())
        .holds(&chooser("import", "share.import", ".json,.safetensors", move |files| take(page, files)))
}
