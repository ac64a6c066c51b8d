//! What the browser remembers between visits: language, theme, and the weights of this tab.

use leptos::prelude::*;
use web_sys::{BeforeUnloadEvent, Storage};

use super::state::{Page, Theme, effect, memo};
use crate::lab::{ExperimentId, Language, Texts};
use crate::protocol::Bytes;
use crate::protocol::images::MOST_WORKERS;
use crate::session::past::{Past, PastRun};

const LANGUAGE: &str = "scorefield-language";
const THEME: &str = "scorefield-theme";
const CORES: &str = "scorefield-cores";
const OFFLINE: &str = "scorefield-offline";
const WEIGHTS: &str = "scorefield-weights";
const PAST: &str = "scorefield-runs";
const STEP: &str = "scorefield-step";
/// Largest file of weights that is kept for a reload: storage holds about 5 MB of text a site.
const MOST_KEPT: usize = 2_500_000;

// Storage can be forbidden; then nothing is remembered, and nothing else changes.
fn local() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

fn session() -> Option<Storage> {
    window().session_storage().ok().flatten()
}

fn read(storage: Option<Storage>, key: &str) -> Option<String> {
    storage?.get_item(key).ok().flatten()
}

fn write(storage: Option<Storage>, key: &str, value: &str) {
    if let Some(storage) = storage
        && storage.set_item(key, value).is_err()
    {
        // Full: an old value is worse than none.
        let _ = storage.remove_item(key);
    }
}

/// The language of the link, else the one chosen last time, else the browser's, else English.
#[must_use]
pub fn language(linked: Option<&str>) -> Language {
    let chosen = read(local(), LANGUAGE);
    let wishes: Vec<String> = window().navigator().languages().iter().filter_map(|tag| tag.as_string()).collect();
    Language::choose(linked.into_iter().chain(chosen.as_deref()).chain(wishes.iter().map(String::as_str)))
        .unwrap_or(Language::English)
}

/// The theme chosen last time, else the system's.
#[must_use]
pub fn theme() -> Theme {
    let chosen = read(local(), THEME).unwrap_or_default();
    Theme::ALL.into_iter().find(|theme| theme.id() == chosen).unwrap_or(Theme::System)
}

/// How many cores images may have, as chosen last time, and how many they could have.
#[must_use]
pub fn cores() -> [u32; 2] {
    let there = (window().navigator().hardware_concurrency() as u32).clamp(1, MOST_WORKERS);
    let chosen = read(local(), CORES).and_then(|chosen| chosen.parse().ok()).unwrap_or(there);
    [chosen.clamp(1, there), there]
}

/// Keeps the choice of the number of cores.
pub fn keep_cores(cores: &str) {
    write(local(), CORES, cores);
}

/// Whether the page is to be kept for visits without a network: unless it was said not to.
#[must_use]
pub fn keeps_offline() -> bool {
    read(local(), OFFLINE).as_deref() != Some("no")
}

/// Keeps the choice whether it is.
pub fn keep_offline(wanted: bool) {
    write(local(), OFFLINE, if wanted { "yes" } else { "no" });
}

/// Keeps the choice of the language.
pub fn keep_language(language: Language) {
    write(local(), LANGUAGE, language.tag());
}

/// Keeps the choice of the theme.
pub fn keep_theme(theme: Theme) {
    write(local(), THEME, theme.id());
}

fn media(query: &str) -> bool {
    window().match_media(query).ok().flatten().is_some_and(|list| list.matches())
}

/// Whether the visitor wants less motion.
#[must_use]
pub fn wants_less_motion() -> bool {
    media("(prefers-reduced-motion: reduce)")
}

/// Whether a theme is dark at this moment.
#[must_use]
pub fn is_dark(theme: Theme) -> bool {
    match theme {
        Theme::System => media("(prefers-color-scheme: dark)"),
        Theme::Light => false,
        Theme::Dark => true,
    }
}

/// Keeps the document in step with language and theme, the weights in this tab, and the visitor from losing work.
pub fn follow(page: Page) {
    effect(move || {
        let language = page.language.get();
        if let Some(root) = document().document_element() {
            // Setting an attribute with a valid name cannot fail.
            let _ = root.set_attribute("lang", language.tag());
            let _ = root.set_attribute("dir", language.direction());
        }
        if !page.texts.with(Texts::are_awaited) {
            document().set_title(&title(page));
        }
    });
    effect(move || {
        let theme = page.theme.get();
        page.dark.set(is_dark(theme));
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", theme.id());
        }
    });
    if let Ok(Some(list)) = window().match_media("(prefers-color-scheme: dark)") {
        let changed = wasm_bindgen::closure::Closure::<dyn Fn()>::new(move || {
            page.dark.set(is_dark(page.theme.get_untracked()));
        });
        list.set_onchange(Some(wasm_bindgen::JsCast::unchecked_ref(changed.as_ref())));
        // Both live as long as the page.
        changed.forget();
        std::mem::forget(list);
    }
    let step = memo(move || page.session.with(|s| s.checkpoint().map(|c| (c.step, c.file.0.len()))));
    effect(move || {
        if let Some((step, length)) = step.get()
            && length <= MOST_KEPT
            // Frames of one page share what a tab keeps.
            && !page.is_framed()
        {
            let file = page.session.with_untracked(|s| s.checkpoint().map(|c| c.file.clone()));
            let text: String = file.unwrap_or_default().0.iter().map(|&b| char::from(b)).collect();
            if let Ok(text) = window().btoa(&text) {
                write(session(), WEIGHTS, &text);
                write(session(), STEP, &step.to_string());
            }
        }
    });
    window_event_listener(leptos::ev::beforeunload, move |event: BeforeUnloadEvent| {
        if page.session.with_untracked(crate::session::Session::has_unsaved_work) {
            event.prevent_default();
        }
    });
}

/// The title of the page: the name of what it shows.
fn title(page: Page) -> String {
    let key = match page.config.with(|config| config.experiment) {
        _ if page.contents.get() => "contents.title".to_owned(),
        ExperimentId::Plane => return page.text("page.title"),
        // Before the tables are there nobody knows whether there is such a study.
        _ if page.awaits_study() => return page.text("page.title"),
        experiment => format!("choice.experiment.{}", experiment.id()),
    };
    format!("{} · scorefield", page.text(&key))
}

/// What studies measured here before.
#[must_use]
pub fn past() -> Past {
    Past::read(&read(local(), PAST).unwrap_or_default())
}

/// Keeps a run of a study.
pub fn keep_run(run: PastRun) {
    let mut past = past();
    past.put(run);
    write(local(), PAST, &past.write());
}

/// Gives the session the weights that this tab had before a reload.
pub fn restore(page: Page) {
    let Some(text) = read(session(), WEIGHTS) else { return };
    let step = read(session(), STEP).and_then(|s| s.parse().ok()).unwrap_or(0);
    if let Ok(binary) = window().atob(&text) {
        let bytes: Vec<u8> = binary.chars().map(|c| c as u8).collect();
        page.session.update(|s| s.restore(Bytes(bytes), step));
    }
}
