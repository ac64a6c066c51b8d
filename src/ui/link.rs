//! The address of the page and the run, each following the other.

use std::time::Duration;

use leptos::prelude::*;

use super::state::{Page, effect};
use super::{address, runs, words};
use crate::share::from_fragment;

/// How long the address waits for more changes: browsers refuse too many of them.
const REST: Duration = Duration::from_millis(250);

/// Keeps the address in step with the configuration, and the configuration with the address.
pub fn follow(page: Page) {
    effect(move || {
        page.config.track();
        page.language.track();
        page.images.compared.track();
        page.link.set(address::whole(page));
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
        waiting.set_value(set_timeout_with_handle(move || address::replace(page), REST).ok());
    });
    window_event_listener(leptos::ev::hashchange, move |_| {
        let hash = window().location().hash().unwrap_or_default();
        let (opened, rejected) = from_fragment(&hash);
        page.notices.set(rejected);
        if let Some(language) = crate::lab::Language::choose(opened.language.as_deref()) {
            words::speak(page, language);
        }
        let device = opened.config.device;
        page.config.set(opened.config);
        page.tell(|session| {
            session.start_afresh();
            session.choose_device(device);
        });
        page.forget(true);
        page.images.compared.set(opened.compare);
        page.images.wanted.set(opened.examine);
        if opened.run {
            runs::start(page);
        }
    });
}
