//! The page in a frame of another page: what it shows there, and what the two tell each other (docs/embedding.md).

use js_sys::{Object, Reflect};
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::MessageEvent;

use super::element::{Element, element};
use super::link;
use super::reflect::site;
use super::state::{Page, effect, memo, page};
use crate::experiments;
use crate::protocol::Measured;
use crate::session::{Session, Status};

/// The property by which messages are known, with the version of their form.
const MARK: &str = "scorefield";

/// Makes the page that of a frame: its class, and the conversation with the page around it.
pub fn follow(page: Page) {
    if let Some(root) = document().document_element() {
        let _ = root.class_list().add_1("embedded");
    }
    window_event_listener(leptos::ev::message, move |event: MessageEvent| hear(page, &event));
    let status = memo(move || page.session.with(Session::status));
    effect(move || {
        let status = status.get();
        tell(page, status);
    });
}

/// The way to the page itself, with what the frame shows.
pub fn footer() -> Element {
    let page = page();
    let full = element("a").test_id("full-page").attribute("target", "_blank").attribute("rel", "noopener");
    element("footer").child(full.attribute_of("href", move || page.link.get()).says("share.full"))
}

/// The origins that this page talks with: its own and those that the site lists, or `*` for all.
fn origins() -> Vec<String> {
    let mut all: Vec<String> = site("frame-origins").split_whitespace().map(str::to_owned).collect();
    if all.iter().any(|one| one == "*") {
        return vec!["*".to_owned()];
    }
    all.extend(window().location().origin().ok());
    all
}

fn put(object: &Object, name: &str, value: impl Into<JsValue>) {
    // An object of ours is not frozen.
    let _ = Reflect::set(object, &name.into(), &value.into());
}

/// Sends to the page around this one; nothing where there is none.
fn send(message: &Object, to: &str) {
    put(message, MARK, 1);
    let own = window();
    if let Ok(Some(parent)) = own.parent()
        && !Object::is(&parent, &own)
    {
        // Refused where the other page is not of that origin: then it is not for it.
        let _ = parent.post_message(message, to);
    }
}

/// A message of the page around this one: a link to open, or to stop.
fn hear(page: Page, event: &MessageEvent) {
    let data = event.data();
    let value = |name: &str| Reflect::get(&data, &name.into()).ok().filter(|value| !value.is_undefined());
    let parent = window().parent().ok().flatten();
    let from_parent = event.source().is_some_and(|source| parent.is_some_and(|parent| Object::is(&source, &parent)));
    // Others speak too: extensions, tools for developers.
    if !data.is_object() || !from_parent || value(MARK).is_none() {
        return;
    }
    let error = if !origins().iter().any(|one| one == "*" || *one == event.origin()) {
        "origin"
    } else if let Some(fragment) = value("open").and_then(|link| link.as_string()) {
        link::open(page, &fragment);
        return;
    } else if value("stop").is_some() {
        page.tell(Session::stop);
        return;
    } else {
        "message"
    };
    let answer = Object::new();
    put(&answer, "error", error);
    send(&answer, &event.origin());
}

/// Tells the page around this one what goes on, with the numbers there are.
fn tell(page: Page, status: Status) {
    let message = Object::new();
    put(&message, "state", status.id());
    put(&message, "link", page.link.get_untracked());
    if let Some(count) = page.evaluations.get_untracked() {
        put(&message, "evaluations", count);
    }
    if let Some(loss) = page.losses.with_untracked(|losses| losses.last().copied()) {
        put(&message, "loss", loss);
    }
    if let Some(quality) = page.quality.with_untracked(|all| all.last().map(|(_, quality)| quality.kl)) {
        put(&message, "kl", quality);
    }
    if let Some(study) = page.config.with_untracked(|c| experiments::study(c.experiment)) {
        let claims = Object::new();
        page.told.measured.with_untracked(|all| {
            for measured in all {
                if let Some(claim) = study.claims.get(usize::from(measured.claim)) {
                    put(&claims, claim.key, judged(measured));
                }
            }
        });
        put(&message, "claims", claims);
    }
    for origin in origins() {
        send(&message, &origin);
    }
}

/// A claim's number, its error and the verdict.
fn judged(measured: &Measured) -> Object {
    let claim = Object::new();
    put(&claim, "value", measured.value);
    put(&claim, "error", measured.error);
    put(&claim, "verdict", measured.verdict().id());
    claim
}
