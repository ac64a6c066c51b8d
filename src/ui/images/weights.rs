//! The weights of the network: the sets that the page ships, and the visitor's own.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, Response, Url};

use super::hub;
use crate::decimal::shortest;
use crate::lab::images::OWN_WEIGHTS;
use crate::lab::texts::fill;
use crate::lab::{HUB, Word};
use crate::plot::label::number;
use crate::protocol::images::{NamedAddress, Refusal, WeightsSource, WeightsSummary};
use crate::session::Session;
use crate::session::image_state::ImageWeights;
use crate::ui::element::{Element, element};
use crate::ui::parts::{chooser, megabytes, note, quiet};
use crate::ui::reflect::{amount, get, list, texts, words};
use crate::ui::signal::{Local, Memo, memo};
use crate::ui::state::images::{Measured, Shipped};
use crate::ui::state::{Page, effect, page, start};

/// The folder of the sets, beside the page.
const FOLDER: &str = "./weights";

/// A file of JSON beside the page; nothing when it is not there or not that.
async fn json(address: String) -> JsValue {
    let read = async move {
        let response: Response = JsFuture::from(window().fetch_with_str(&address)).await?.dyn_into()?;
        if response.ok() { JsFuture::from(response.json()?).await } else { Ok(JsValue::UNDEFINED) }
    };
    let read: Result<JsValue, JsValue> = read.await;
    read.unwrap_or(JsValue::UNDEFINED)
}

/// Reads the list and the manifests. What the list says is shown before the manifests are there.
async fn read_sets(page: Page) {
    let index = json(format!("{FOLDER}/index.json")).await;
    let (mut listed, mut manifests) = (Vec::new(), Vec::new());
    for entry in list(&index, "sets").iter() {
        let id = words(&entry, "id");
        // The name of a folder or of a model of the hub, and nothing else.
        if id.is_empty() || Word::new(&id).as_str() != id {
            continue;
        }
        if !id.starts_with(HUB) {
            manifests.push((listed.len(), format!("{FOLDER}/{id}/manifest.json")));
        }
        listed.push(Shipped {
            id,
            replaces: texts(&entry, "replaces"),
            title: words(&entry, "title"),
            bytes: amount(&entry, "bytes"),
            gflop: amount(&entry, "gflop"),
            licence: words(&entry, "licence"),
            provenance: words(&entry, "provenance"),
            fid: amount(&entry, "fid"),
            measured: None,
            classes: None,
            class_required: false,
        });
    }
    page.images.sets.set(Some(listed));
    for (place, address) in manifests {
        let manifest = json(address).await;
        let fid = get(&manifest, "fid");
        let measured = fid.is_object().then(|| Measured {
            images: amount(&fid, "images"),
            evaluations: amount(&fid, "evaluations"),
            how: format!("{}; {}", words(&fid, "solver"), words(&fid, "reference")),
        });
        let names = texts(&manifest, "classes");
        let details = get(&get(&manifest, "architecture"), "details");
        let required = !names.is_empty() && get(&details, "without_class") == JsValue::FALSE;
        page.images.sets.update(|sets| {
            if let Some(set) = sets.as_mut().and_then(|sets| sets.get_mut(place)) {
                (set.licence, set.provenance) = (words(&manifest, "licence"), words(&manifest, "provenance"));
                (set.fid, set.measured) = (amount(&fid, "value"), measured);
                (set.classes, set.class_required) = (Some(names), required);
            }
        });
    }
}

/// Takes files of the visitor's, which are one checkpoint: the worker reads them where they lie, and the page holds no
/// copy.
pub fn take(page: Page, files: &[File]) {
    let named = |file: &File| {
        let address = Url::create_object_url_with_blob(file).ok()?;
        Some(NamedAddress { name: file.name(), address })
    };
    page.file_notice.set("");
    page.tell(|session| session.own_images(WeightsSource::Addresses(files.iter().filter_map(named).collect())));
}

/// Fetches a file from an address that the visitor named, and only then. Says what is wrong with the address, if
/// anything is.
///
/// The worker asks for it: the page's own Content-Security-Policy lets the page connect to its own origin alone, and a
/// worker that is a file of its own is not under the policy that a page states in its head. A host that sends a policy
/// with the worker's file has to name there which other hosts it allows.
fn take_address(page: Page, text: &str) -> Option<&'static str> {
    let here = window().location().href().unwrap_or_default();
    if Word::read(text.trim()).as_ref().and_then(Word::hub).is_some() {
        let _ = page.write("weights", text.trim());
        return None;
    }
    let Ok(url) = Url::new_with_base(text.trim(), &here) else { return Some("images.address-bad") };
    let own = window().location().origin().is_ok_and(|origin| origin == url.origin());
    // What this machine itself serves goes nowhere, and can hardly be had by https.
    let near = matches!(url.hostname().as_str(), "localhost" | "127.0.0.1" | "[::1]");
    let fit = url.protocol() == "https:" || (url.protocol() == "http:" && (own || near));
    if text.trim().is_empty() || !fit {
        return Some("images.address-bad");
    }
    let name = url.pathname().rsplit('/').next().unwrap_or_default().to_owned();
    page.tell(|session| session.own_images(WeightsSource::Addresses(vec![NamedAddress { name, address: url.href() }])));
    None
}

/// Weights arrived: the configuration names those that are there.
pub fn arrived(page: Page, weights: &WeightsSummary) {
    if weights.id == OWN_WEIGHTS {
        page.write("weights", OWN_WEIGHTS);
    }
}

/// The panel of the weights, inside its field.
pub fn weights(field: Element) -> Element {
    let page = page();
    start(read_sets(page));
    let named = memo(move || page.config.with(|config| config.weights.as_str().to_owned()));
    let state = memo(move || page.session.with(|session| session.image_weights().clone()));
    follow_replacements(page, named);
    let list = move || {
        page.images.sets.with(|sets| match sets {
            None => vec![element("p").class("note").plain("…")],
            Some(sets) if sets.is_empty() => vec![note("images.sets-none")],
            Some(sets) => sets.iter().enumerate().map(|(place, set)| listed(page, named, place, set)).collect(),
        })
    };
    let own = move || {
        let name = named.get();
        let title = if name == OWN_WEIGHTS {
            let title = state.with(|state| match state {
                ImageWeights::Held(weights) if weights.id == OWN_WEIGHTS => Some(weights.title.clone()),
                _ => None,
            });
            title.unwrap_or_else(|| page.text("images.own-missing"))
        } else if name.starts_with(HUB) && !page.images.sets.with(|sets| known(sets, &name).is_some()) {
            name
        } else {
            return Vec::new();
        };
        let radio = radio().attribute("checked", "");
        let title = element("span").attribute("dir", "auto").plain(&title);
        vec![element("label").class("set").holds(&[radio, title])]
    };
    let panel = move || {
        let name = named.get();
        vec![state.with(|state| {
            let asks = page.session.with_untracked(|session| session.asks_for_model(&page.config.get_untracked()));
            let asks = asks && !matches!(state, ImageWeights::Fetching { .. });
            let question = || page.images.sets.with(|sets| hub::question(page, &name, state, known(sets, &name)));
            shown(page, state, asks.then(question))
        })]
    };
    let choices = element("div").class("weights").test_id("weights").attribute("role", "radiogroup");
    field
        .child(choices.attribute("aria-labelledby", "weights-label").changing(list).changing(own))
        .changing(panel)
        .child(own_weights())
        .child(hub::kept(page))
}

/// What the list says of weights of this name.
fn known<'s>(sets: &'s Option<Vec<Shipped>>, name: &str) -> Option<&'s Shipped> {
    sets.as_ref()?.iter().find(|set| set.id == name)
}

/// Turns from a set whose place another has taken to that one, whenever a link names it, and says so.
fn follow_replacements(page: Page, named: Memo<String>) {
    effect(move || {
        let name = named.get();
        let successor = page.images.sets.with(|sets| {
            let set = sets.as_ref()?.iter().find(|set| set.replaces.contains(&name))?;
            Some(set.id.clone())
        });
        if let Some(id) = successor {
            let _ = page.write("weights", &id);
            page.file_notice.set("images.replaced");
        }
    });
}

/// What chooses one of the sets.
fn radio() -> Element {
    element("input").attribute("type", "radio").attribute("name", "weights")
}

/// A set of the list.
fn listed(page: Page, named: Memo<String>, place: usize, set: &Shipped) -> Element {
    let id = set.id.clone();
    let here = move || named.with(|named| *named == id || (named.is_empty() && place == 0));
    let fid = number(set.fid, 4);
    let quality = match &set.measured {
        Some(of) => page.filled(
            "images.fid",
            &[("fid", &fid), ("images", &number(of.images, 6)), ("evaluations", &number(of.evaluations, 4))],
        ),
        None if set.fid > 0.0 => fill(&page.filled("images.hub-facts", &[("fid", &fid)]), &[("host", &hub::origin())]),
        None => page.text("images.fid-none"),
    };
    let how = set.measured.as_ref().map_or("", |of| &of.how);
    let radio = radio().test_id(&format!("set-{}", set.id)).property_when("checked", here);
    let name = element("span")
        .child(element("bdi").plain(&set.title))
        .plain(" ")
        .child(element("small").plain(&page.filled("images.size", &[("size", &megabytes(set.bytes))])));
    let id = set.id.clone();
    let licence = page.filled("images.licence", &[("licence", &set.licence)]);
    let provenance = element("p").class("note").attribute("dir", "ltr").attribute("lang", "en");
    element("div").class("set-of-weights").holds(&[
        element("label").class("set").holds(&[
            radio.change(move |_| {
                let _ = page.write("weights", &id);
            }),
            name,
        ]),
        element("p").class("note").plain(&quality),
        element("details").class(if set.licence.is_empty() { "gone" } else { "" }).holds(&[
            element("summary").says("images.about"),
            element("p").class("note").plain(&licence),
            provenance.plain(&set.provenance).plain(" ").plain(how),
        ]),
    ])
}

/// How far the weights are.
fn shown(page: Page, state: &ImageWeights, question: Option<Element>) -> Element {
    let panel = element("div").class("weights-state").test_id("weights-state").attribute("aria-live", "polite");
    let in_state = |id| panel.attribute("data-state", id).holds(question.as_slice());
    match state {
        ImageWeights::Absent if question.is_some() => in_state("asked"),
        ImageWeights::Absent => {
            let fetch = move || page.tell(|session| session.load_images(&page.config.get_untracked()));
            in_state("absent").holds(&[note("images.absent"), quiet("fetch-weights", "images.fetch", fetch)])
        }
        ImageWeights::Fetching { file, received, total } => {
            let values = [megabytes(*received), megabytes(*total)];
            let key = if *total > 0.0 { "images.fetching" } else { "images.fetching-open" };
            // The name of the file keeps its digits.
            let words = page.filled(key, &[("received", &values[0]), ("total", &values[1])]);
            let words = fill(&words, &[("file", file)]);
            let share = if *total > 0.0 { received / total } else { 0.0 };
            in_state("fetching").holds(&[
                element("p").class("note").plain(&words),
                element("progress")
                    .attribute("max", "1")
                    .attribute("value", &shortest(share))
                    .label("images.fetching-label"),
                quiet("cancel-weights", "images.cancel", move || page.tell(Session::cancel_images)),
            ])
        }
        ImageWeights::Held(weights) => in_state("held").holds(&held(page, weights)),
        ImageWeights::Refused(refusal) => in_state("refused").child(refused(page, refusal)),
    }
}

fn held(page: Page, weights: &WeightsSummary) -> [Element; 3] {
    let words = page.filled(
        "images.held",
        &[
            ("parameters", &megabytes(f64::from(weights.parameters))),
            ("precision", &weights.precision),
            ("size", &megabytes(weights.held_bytes)),
        ],
    );
    let held = element("p").class("note").test_id("held").attribute("data-title", &weights.title);
    let recognised = element("p").class(if weights.recognised.is_empty() { "note gone" } else { "note" });
    [
        held.child(element("bdi").plain(&weights.title)).child(element("br")).plain(&words),
        recognised
            .test_id("recognised")
            .plain(&page.text("images.recognised"))
            .plain(" ")
            .child(element("bdi").attribute("lang", "en").plain(&weights.recognised)),
        hub::time(page, weights.evaluation_ms, !weights.classes.is_empty()),
    ]
}

fn refused(page: Page, refusal: &Refusal) -> Element {
    let key = if refusal.unreachable { "images.unreachable" } else { "images.refused" };
    let kept = if refusal.kept.is_empty() {
        String::new()
    } else {
        fill(&page.text("images.kept"), &[("title", &refusal.kept)])
    };
    let findings: Vec<Element> = refusal.findings.iter().map(|line| element("li").plain(line)).collect();
    element("div").class("error").attribute("role", "alert").test_id("refused").holds(&[
        element("p").child(element("strong").plain(&fill(&page.text(key), &[("file", &refusal.file)]))),
        element("p").plain(&kept),
        element("ul").attribute("dir", "ltr").attribute("lang", "en").holds(&findings),
    ])
}

/// The visitor's own weights: from a file, or from an address.
fn own_weights() -> Element {
    let page = page();
    let address = element("input").attribute("id", "address").test_id("address").attribute("type", "url");
    let address = address.attribute("dir", "ltr").attribute("placeholder", "https://");
    let wrong = Local::new("");
    let typed = address.input();
    let fetch = move || wrong.set(take_address(page, &typed.value()).unwrap_or_default());
    let words = move || if wrong.get().is_empty() { String::new() } else { page.text(wrong.get()) };
    let accept = ".safetensors,.bin,.pt,.pth,.ckpt,.pkl,.msgpack,.json";
    let [label, input] = chooser("own-weights", "images.own-file", accept, move |files| take(page, &files));
    element("details")
        .class("own")
        .holds(&[element("summary").says("images.own"), note("images.own-note")])
        .holds(&[label, input.attribute("multiple", "")])
        .holds(&[
            element("label").attribute("for", "address").says("images.address"),
            element("div").class("row").holds(&[address, quiet("fetch-address", "images.fetch", fetch)]),
            note("images.address-note"),
            element("p").class("note").attribute("role", "alert").words(words),
        ])
}
