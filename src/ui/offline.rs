//! The copy of the page that the browser keeps for visits without a network: the script that keeps it is written by the
//! build (`src/bin/finish_page/offline.rs`).

use std::time::Duration;

use js_sys::{Array, Reflect};
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::bridge::remote;
use super::element::{Element, element};
use super::memory;
use super::parts::check;
use super::reflect::{call, get, words};
use super::state::offline::OfflineCopy;
use super::state::{Page, page, start};
use super::trusted::script;
use crate::offline::{PREFIX, SCRIPT};

/// After what time the copy is asked for: whoever comes wants the page first.
const LATER: Duration = Duration::from_secs(4);

/// What keeps copies; undefined where nothing does. A machine that computes for the page is needed for that anyway.
fn container() -> JsValue {
    if remote::is_offered() { JsValue::UNDEFINED } else { get(window().navigator().as_ref(), "serviceWorker") }
}

/// Has the copy made, a while after the page has begun.
pub fn prepare(page: Page) {
    if container().is_undefined() {
        return;
    }
    if memory::keeps_offline() {
        page.offline.set(OfflineCopy::Awaited);
        set_timeout(move || start(keep(page)), LATER);
    } else {
        page.offline.set(OfflineCopy::Unwanted);
    }
}

async fn keep(page: Page) {
    let Ok(registration) = call(&container(), "register", &script(SCRIPT)).await else {
        page.offline.set(OfflineCopy::Unavailable);
        return;
    };
    look(page, &registration);
    follow(page, &registration);
    let followed = registration.clone();
    let found = Closure::<dyn Fn()>::new(move || follow(page, &followed));
    let _ = Reflect::set(&registration, &"onupdatefound".into(), found.as_ref());
    // Lives as long as the page.
    found.forget();
}

/// Looks again whenever the copy that is being made gets further, if there is one: that of a newer build may have been found
/// before anybody listened.
fn follow(page: Page, registration: &JsValue) {
    let installing = get(registration, "installing");
    let coming = if installing.is_object() { installing } else { get(registration, "waiting") };
    if !coming.is_object() {
        return;
    }
    let registration = registration.clone();
    let changed = Closure::<dyn Fn()>::new(move || look(page, &registration));
    let _ = Reflect::set(&coming, &"onstatechange".into(), changed.as_ref());
    // Lives as long as the page.
    changed.forget();
}

/// Says what there is.
fn look(page: Page, registration: &JsValue) {
    let (waiting, active) = (get(registration, "waiting"), get(registration, "active"));
    // A copy that waits beside an active one is that of another build.
    let there = match (waiting.is_object(), words(&active, "state").as_str()) {
        (true, "activated") => OfflineCopy::Newer,
        (_, "activated") => OfflineCopy::There,
        _ => OfflineCopy::Awaited,
    };
    if there == OfflineCopy::Newer && page.offline.get_untracked() != there {
        page.file_notice.set("offline.newer");
    }
    page.offline.set(there);
}

/// Lets go of the copy.
async fn forget(page: Page) {
    if let Ok(registration) = call(&container(), "getRegistration", &JsValue::UNDEFINED).await {
        // What is not there need not go.
        let _ = call(&registration, "unregister", &JsValue::UNDEFINED).await;
    }
    let caches = get(window().as_ref(), "caches");
    if let Ok(names) = call(&caches, "keys", &JsValue::UNDEFINED).await {
        for name in Array::from(&names).iter() {
            if name.as_string().is_some_and(|name| name.starts_with(PREFIX)) {
                let _ = call(&caches, "delete", &name).await;
            }
        }
    }
    page.offline.set(OfflineCopy::Unwanted);
}

/// The choice, and what there is.
pub fn choice() -> Element {
    let page = page();
    let change = move |wanted: bool| {
        memory::keep_offline(wanted);
        if wanted {
            page.offline.set(OfflineCopy::Awaited);
            start(keep(page));
        } else {
            start(forget(page));
        }
    };
    let wanted = move || !matches!(page.offline.get(), OfflineCopy::Unavailable | OfflineCopy::Unwanted);
    element("div").class("offline").gone_when(move || page.offline.get() == OfflineCopy::Unavailable).holds(&[
        check("offline", move || page.text("offline.label"), wanted, change),
        element("span")
            .class("note")
            .test_id("offline-state")
            .attribute("role", "status")
            .attribute_of("data-state", move || page.offline.get().id().to_owned())
            .words(move || page.text(&format!("offline.{}", page.offline.get().id()))),
    ])
}
