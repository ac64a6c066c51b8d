//! The address of the page, which says what is on it.

use std::cell::RefCell;

use leptos::prelude::window;
use wasm_bindgen::JsValue;

use super::state::Page;
use crate::lab::ExperimentId;
use crate::share::{Link, to_fragment};

fn fragment(page: Page, run: bool, embed: Option<Vec<&'static str>>) -> String {
    let language = Some(page.language.get_untracked().tag().to_owned());
    let (config, compare) = (page.config.get_untracked(), page.images.compared.get_untracked());
    let compare = if config.experiment == ExperimentId::Images { compare } else { Vec::new() };
    to_fragment(&Link { config, run, compare, language, embed, ..Link::default() })
}

/// The address of the page without what is on it.
fn place() -> String {
    let address = window().location().href().unwrap_or_default();
    // What follows a question mark is not about the run, and may be a secret of this machine's.
    address.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// The link to what is on the page, that trains and samples when it is opened.
pub fn whole(page: Page) -> String {
    place() + &fragment(page, true, None)
}

/// The link for a frame of another page, with these controls.
pub fn framed(page: Page, controls: Vec<&'static str>) -> String {
    place() + &fragment(page, false, Some(controls))
}

/// The fragment of the page's own address.
fn own(page: Page) -> String {
    fragment(page, false, page.embed.get_untracked())
}

thread_local! {
    /// The fragment that the page last wrote or read; nothing before.
    static KNOWN: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn hash() -> String {
    window().location().hash().unwrap_or_default()
}

/// Takes note that the page has read the fragment as it is now, and says what it is.
pub fn seen() -> String {
    let now = hash();
    KNOWN.set(Some(now.clone()));
    now
}

fn state(page: Page, push: bool) {
    let Ok(history) = window().history() else { return };
    let new = own(page);
    if push {
        // A refusal (too many changes) costs an entry of the history, nothing else.
        let _ = history.push_state_with_url(&JsValue::NULL, "", Some(&new));
    } else {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&new));
    }
    seen();
}

/// Changes the entry of the history to what is on the page now. Not where the visitor has gone on to another entry, which the
/// page has yet to be told of: that one would be lost.
pub fn replace(page: Page) {
    // The contents show nothing of the run that waits behind them.
    if page.contents.get_untracked() {
        return;
    }
    if KNOWN.with_borrow(|known| known.as_ref().is_none_or(|known| *known == hash())) {
        state(page, false);
    }
}

/// Makes a new entry in the history for a run.
pub fn push(page: Page) {
    if hash() != own(page) {
        state(page, true);
    }
}
