//! The weights of the network: the sets that the page ships, and the visitor's own.

use leptos::html::Input;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, Response, Url};

use super::parts::button;
use crate::lab::Session;
use crate::lab::images::{OWN_WEIGHTS, Word};
use crate::lab::session::images::ImageWeights;
use crate::lab::texts::fill;
use crate::plot::label::number;
use crate::protocol::images::{Refusal, WeightsSource, WeightsSummary};
use crate::ui::state::{Page, changing, flag, memo, page, start, t, text};

/// The folder of the sets, beside the page.
const FOLDER: &str = "./weights";

/// A measured Fréchet inception distance and what it takes to compare it.
#[derive(Clone, PartialEq)]
struct Measured {
    value: f64,
    images: f64,
    evaluations: f64,
    how: String,
}

/// A set, as its manifest describes it.
#[derive(Clone, PartialEq)]
struct Shipped {
    id: String,
    title: String,
    preview: bool,
    bytes: f64,
    licence: String,
    provenance: String,
    measured: Option<Measured>,
}

fn get(value: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

fn words(value: &JsValue, name: &str) -> String {
    get(value, name).as_string().unwrap_or_default()
}

fn amount(value: &JsValue, name: &str) -> f64 {
    get(value, name).as_f64().unwrap_or(0.0)
}

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
async fn read_sets(sets: RwSignal<Option<Vec<Shipped>>>) {
    let index = json(format!("{FOLDER}/index.json")).await;
    let entries = js_sys::Array::from(&get(&index, "sets"));
    let listed = entries.iter().filter_map(|entry| {
        let id = words(&entry, "id");
        // The name of a folder and nothing else.
        (!id.is_empty() && Word::new(&id).as_str() == id).then(|| Shipped {
            title: words(&entry, "title"),
            preview: get(&entry, "preview").is_truthy(),
            bytes: amount(&entry, "bytes"),
            licence: String::new(),
            provenance: String::new(),
            measured: None,
            id,
        })
    });
    let listed: Vec<Shipped> = listed.collect();
    sets.set(Some(listed.clone()));
    for (place, set) in listed.into_iter().enumerate() {
        let manifest = json(format!("{FOLDER}/{}/manifest.json", set.id)).await;
        let fid = get(&manifest, "fid");
        let measured = fid.is_object().then(|| Measured {
            value: amount(&fid, "value"),
            images: amount(&fid, "images"),
            evaluations: amount(&fid, "evaluations"),
            how: format!("{}; {}", words(&fid, "solver"), words(&fid, "reference")),
        });
        let (licence, provenance) = (words(&manifest, "licence"), words(&manifest, "provenance"));
        let whole = Shipped { licence, provenance, measured, ..set };
        sets.try_update(|sets| {
            if let Some(known) = sets.as_mut().and_then(|sets| sets.get_mut(place)) {
                *known = whole;
            }
        });
    }
}

/// Bytes in millions, as a text.
pub fn megabytes(bytes: f64) -> String {
    number(bytes / 1e6, 3)
}

/// Takes a file of the visitor's: the worker reads it where it lies, and the page holds no copy.
pub fn take(page: Page, file: &File) {
    let Ok(address) = Url::create_object_url_with_blob(file) else { return };
    page.file_notice.set("");
    page.tell(|session| session.own_images(WeightsSource::Address { name: file.name(), address }));
}

/// Fetches a file from an address that the visitor named, and only then. Says what is wrong with the address, if
/// anything is.
///
/// The worker asks for it: the page's own Content-Security-Policy lets the page connect to its own origin alone, and a
/// worker that is a file of its own is not under the policy that a page states in its head. A host that sends a policy
/// with the worker's file has to name there which other hosts it allows.
fn take_address(page: Page, text: &str) -> Option<&'static str> {
    let here = window().location().href().unwrap_or_default();
    let Ok(url) = Url::new_with_base(text.trim(), &here) else { return Some("images.address-bad") };
    let own = window().location().origin().is_ok_and(|origin| origin == url.origin());
    // What this machine itself serves goes nowhere, and can hardly be had by https.
    let near = matches!(url.hostname().as_str(), "localhost" | "127.0.0.1" | "[::1]");
    let fit = url.protocol() == "https:" || (url.protocol() == "http:" && (own || near));
    if text.trim().is_empty() || !fit {
        return Some("images.address-bad");
    }
    let name = url.pathname().rsplit('/').next().unwrap_or_default().to_owned();
    page.tell(|session| session.own_images(WeightsSource::Address { name, address: url.href() }));
    None
}

/// Weights arrived: the configuration names those that are there.
pub fn arrived(page: Page, weights: &WeightsSummary) {
    if weights.id == OWN_WEIGHTS {
        page.write("weights", OWN_WEIGHTS);
    }
}

/// The panel of the weights.
#[component]
pub fn Weights() -> impl IntoView {
    let page = page();
    let sets = RwSignal::new(None::<Vec<Shipped>>);
    start(read_sets(sets));
    let named = memo(move || page.config.with(|config| config.weights.as_str().to_owned()));
    let state = memo(move || page.session.with(|session| session.image_weights().clone()));
    let list = move || {
        let Some(sets) = sets.get() else { return view! { <p class="note">"…"</p> }.into_any() };
        if sets.is_empty() {
            return view! { <p class="note">{t("images.sets-none")}</p> }.into_any();
        }
        sets.into_iter().enumerate().map(|(place, set)| listed(page, named, place, set)).collect_view().into_any()
    };
    let own = move || {
        if named.get() != OWN_WEIGHTS {
            return ().into_any();
        }
        let title = state.with(|state| match state {
            ImageWeights::Held(weights) if weights.id == OWN_WEIGHTS => Some(weights.title.clone()),
            _ => None,
        });
        let title = title.unwrap_or_else(|| page.text("images.own-missing"));
        view! {
            <label class="set">
                <input type="radio" name="weights" checked />
                <span dir="auto">{title}</span>
            </label>
        }
        .into_any()
    };
    view! {
        <div class="weights" data-testid="weights" role="radiogroup" aria-labelledby="weights-label">
            {changing(list)}
            {changing(own)}
        </div>
        {changing(move || state.with(|state| shown(page, state)))}
        <Own />
    }
    .into_any()
}

/// A set of the list.
fn listed(page: Page, named: Memo<String>, place: usize, set: Shipped) -> AnyView {
    let id = set.id.clone();
    let here = flag(move || named.with(|named| *named == id || (named.is_empty() && place == 0)));
    let id = set.id.clone();
    let quality = match &set.measured {
        Some(fid) => page.filled(
            "images.fid",
            &[
                ("fid", &number(fid.value, 4)),
                ("images", &number(fid.images, 6)),
                ("evaluations", &number(fid.evaluations, 4)),
            ],
        ),
        None => page.text("images.fid-none"),
    };
    let how = set.measured.map(|fid| fid.how).unwrap_or_default();
    view! {
        <div class="set-of-weights">
            <label class="set">
                <input
                    type="radio"
                    name="weights"
                    data-testid=format!("set-{id}")
                    prop:checked=here
                    on:change=move |_| page.write("weights", &id)
                />
                <span>
                    <bdi>{set.title}</bdi>
                    " "
                    <small class="badge" class:gone=!set.preview>{t("images.preview")}</small>
                    " "
                    <small>{page.filled("images.size", &[("size", &megabytes(set.bytes))])}</small>
                </span>
            </label>
            <p class="note">{quality}</p>
            <details class:gone=set.licence.is_empty()>
                <summary>{t("images.about")}</summary>
                <p class="note">{page.filled("images.licence", &[("licence", &set.licence)])}</p>
                <p class="note" dir="ltr" lang="en">{set.provenance} " " {how}</p>
            </details>
        </div>
    }
    .into_any()
}

/// How far the weights are.
fn shown(page: Page, state: &ImageWeights) -> AnyView {
    let (id, body) = match state {
        ImageWeights::Absent => {
            let fetch = move || page.tell(|session| session.load_images(&page.config.get_untracked()));
            let body = view! {
                <p class="note">{t("images.absent")}</p>
                {button("fetch-weights", "images.fetch", None, Box::new(fetch))}
            };
            ("absent", body.into_any())
        }
        ImageWeights::Fetching { file, received, total } => {
            let values = [megabytes(*received), megabytes(*total)];
            let key = if *total > 0.0 { "images.fetching" } else { "images.fetching-open" };
            // The name of the file keeps its digits.
            let words = page.filled(key, &[("received", &values[0]), ("total", &values[1])]);
            let words = fill(&words, &[("file", file)]);
            let share = if *total > 0.0 { received / total } else { 0.0 };
            let body = view! {
                <p class="note">{words}</p>
                <progress max="1" value=share.to_string() aria-label=t("images.fetching-label")></progress>
                {button("cancel-weights", "images.cancel", None, Box::new(move || page.tell(Session::cancel_images)))}
            };
            ("fetching", body.into_any())
        }
        ImageWeights::Held(weights) => ("held", held(page, weights)),
        ImageWeights::Refused(refusal) => ("refused", refused(page, refusal)),
    };
    view! {
        <div class="weights-state" data-testid="weights-state" data-state=id aria-live="polite">
            {body}
        </div>
    }
    .into_any()
}

fn held(page: Page, weights: &WeightsSummary) -> AnyView {
    let words = page.filled(
        "images.held",
        &[
            ("parameters", &megabytes(f64::from(weights.parameters))),
            ("precision", &weights.precision),
            ("size", &megabytes(weights.held_bytes)),
        ],
    );
    let recognised = weights.recognised.clone();
    view! {
        <p class="note" data-testid="held" data-title=weights.title.clone()>
            <bdi>{weights.title.clone()}</bdi>
            <br />
            {words}
        </p>
        <p class="note" class:gone=recognised.is_empty() data-testid="recognised">
            {page.text("images.recognised")}
            " "
            <bdi lang="en">{recognised.clone()}</bdi>
        </p>
    }
    .into_any()
}

fn refused(page: Page, refusal: &Refusal) -> AnyView {
    let key = if refusal.unreachable { "images.unreachable" } else { "images.refused" };
    let kept = if refusal.kept.is_empty() {
        String::new()
    } else {
        fill(&page.text("images.kept"), &[("title", &refusal.kept)])
    };
    let findings = refusal.findings.iter().map(|line| view! { <li>{line.clone()}</li> }).collect_view();
    view! {
        <div class="error" role="alert" data-testid="refused">
            <p>
                <strong>{fill(&page.text(key), &[("file", &refusal.file)])}</strong>
            </p>
            <p>{kept}</p>
            <ul dir="ltr" lang="en">{findings}</ul>
        </div>
    }
    .into_any()
}

/// The visitor's own weights: from a file, or from an address.
#[component]
fn Own() -> impl IntoView {
    let page = page();
    let chooser = NodeRef::<Input>::new();
    let address = NodeRef::<Input>::new();
    let wrong = RwSignal::new("");
    let fetch = move || {
        if let Some(input) = address.get_untracked() {
            wrong.set(take_address(page, &input.value()).unwrap_or_default());
        }
    };
    view! {
        <details class="own">
            <summary>{t("images.own")}</summary>
            <p class="note">{t("images.own-note")}</p>
            <label for="own-weights">{t("images.own-file")}</label>
            <input
                id="own-weights"
                data-testid="own-weights"
                type="file"
                accept=".safetensors,.bin,.pt,.pth,.ckpt"
                node_ref=chooser
                on:change=move |_| {
                    if let Some(input) = chooser.get_untracked() {
                        if let Some(file) = input.files().and_then(|files| files.get(0)) {
                            take(page, &file);
                        }
                        // So that choosing the same file again is a change.
                        input.set_value("");
                    }
                }
            />
            <label for="address">{t("images.address")}</label>
            <div class="row">
                <input id="address" data-testid="address" type="url" dir="ltr" placeholder="https://" node_ref=address />
                {button("fetch-address", "images.fetch", None, Box::new(fetch))}
            </div>
            <p class="note">{t("images.address-note")}</p>
            <p class="note" role="alert">
                {text(move || if wrong.get().is_empty() { String::new() } else { page.text(wrong.get()) })}
            </p>
        </details>
    }
    .into_any()
}
