//! The address of the page and the run, each following the other.

use std::time::Duration;

use leptos::prelude::*;

use super::state::{Page, effect};
use super::{address, parts, runs, words};
use crate::lab::{ExperimentId, Language};
use crate::share::{Examination, Link, Rejected, from_fragment};
use crate::study::studies;

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
        open(page, &address::seen());
    });
}

/// The link in a fragment, what was wrong with it, and whether it is to be read again when the tables of the studies are
/// there, which say what the settings of its study mean.
pub fn read(fragment: &str) -> (Link, Vec<Rejected>, bool) {
    let (mut link, mut rejected) = from_fragment(fragment);
    let again = studies().is_empty() && matches!(link.config.experiment, ExperimentId::Study(_));
    if again {
        link.run = false;
        rejected.clear();
    }
    (link, rejected, again)
}

/// Opens a link in the place of what is on the page.
pub fn open(page: Page, fragment: &str) {
    let (opened, rejected, again) = read(fragment);
    let left = page.contents.get_untracked() && !opened.contents;
    page.awaited.set_value(again.then(|| fragment.to_owned()));
    page.notices.set(rejected);
    if let Some(language) = Language::choose(opened.language.as_deref()) {
        words::speak(page, language);
    }
    // A frame stays one, whatever it is told to show.
    if page.is_framed() {
        page.embed.set(Some(opened.embed.unwrap_or_default()));
    }
    page.contents.set(opened.contents);
    if opened.contents {
        return;
    }
    if left {
        parts::begin_reading();
        // Who goes back from the contents finds what was there, its run included.
        let same = page.config.with_untracked(|config| *config == opened.config)
            && page.images.compared.with_untracked(|compared| *compared == opened.compare);
        if same && !again && opened.examine == Examination::default() {
            if opened.run {
                runs::start(page);
            }
            return;
        }
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
}
