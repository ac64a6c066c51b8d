//! The address of the page and the run, each following the other.

use std::time::Duration;

use leptos::prelude::*;
use wasm_bindgen::JsValue;

use super::state::{Page, effect};
use crate::lab::ExperimentId;
use crate::share::{Examination, Link, from_fragment, to_fragment};

/// How long the address waits for more changes: browsers refuse too many of them.
const REST: Duration = Duration::from_millis(250);

fn fragment(page: Page, run: bool) -> String {
    let language = Some(page.language.get_untracked().tag().to_owned());
    let (config, compare) = (page.config.get_untracked(), page.images.compared.get_untracked());
    let compare = if config.experiment == ExperimentId::Images { compare } else { Vec::new() };
    to_fragment(&Link { config, run, compare, language, examine: Examination::default() })
}

/// The link to what is on the page, that trains and samples when it is opened.
fn whole(page: Page) -> String {
    let address = window().location().href().unwrap_or_default();
    // What follows a question mark is not about the run, and may be a secret of this machine's.
    let place = address.split(['?', '#']).next().unwrap_or_default();
    format!("{place}{}", fragment(page, true))
}

/// Keeps the address in step with the configuration, and the configuration with the address.
pub fn follow(page: Page) {
    effect(move || {
        page.config.track();
        page.language.track();
        page.images.compared.track();
        page.link.set(whole(page));
    });
    let waiting = StoredValue::new(None::<TimeoutHandle>);
    let mut first = true;
    effect(move || {
        page.config.track();
        if std::mem::take(&mut first) {
            return;
        }
        if let Some(handle) = waiting.get_value() {
            handle.clear();
        }
        waiting.set_value(set_timeout_with_handle(move || replace(page), REST).ok());
    });
    window_event_listener(leptos::ev::hashchange, move |_| {
        let hash = window().location().hash().unwrap_or_default();
        let (compute, rejected) = from_fragment(&hash);
        page.notices.set(rejected);
        if let Some(language) = crate::lab::Language::choose(compute.language.as_deref()) {
            super::words::speak(page, language);
        }
        let device = compute.config.device;
        page.config.set(compute.config);
        page.tell(|session| {
            session.start_afresh();
            session.choose_device(device);
        });
        page.forget(true);
        page.images.compared.set(compute.compare);
        page.images.wanted.set(compute.examine);
        if compute.run {
            page.start();
        }
    });
}

fn state(page: Page, push: bool) {
    let Ok(history) = window().history() else { return };
    let new = fragment(page, false);
    if push {
        // A refusal (too many changes) costs an entry of the history, nothing else.
        let _ = history.push_state_with_url(&JsValue::NULL, "", Some(&new));
    } else {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&new));
    }
}

fn replace(page: Page) {
    state(page, false);
}

/// Makes a new entry in the history for a run.
pub fn push(page: Page) {
    if window().location().hash().unwrap_or_default() != fragment(page, false) {
        state(page, true);
    }
}
