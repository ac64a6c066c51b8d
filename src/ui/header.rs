//! The head of the page: name, experiment, language and theme.

use leptos::prelude::*;

use super::state::{Theme, flag, page, t, text};
use super::study::Menu;
use super::{languages, memory, themes, words};
use crate::lab::Language;

/// The head of the page.
#[component]
pub fn Header() -> impl IntoView {
    let page = page();
    let speak = move |event| {
        let chosen = event_target_value(&event);
        if let Some(language) = Language::choose([chosen.as_str()]) {
            memory::keep_language(language);
            words::speak(page, language);
        }
    };
    let light = move |event| {
        let chosen = event_target_value(&event);
        if let Some(theme) = Theme::ALL.into_iter().find(|theme| theme.id() == chosen) {
            memory::keep_theme(theme);
            page.theme.set(theme);
        }
    };
    let language_options = languages()
        .map(|l| {
            view! {
                <option value=l.tag() lang=l.tag() prop:selected=flag(move || page.language.get() == l)>
                    {l.name()}
                </option>
            }
        })
        .collect_view();
    let theme_options = themes()
        .map(|theme| {
            view! {
                <option value=theme.id() prop:selected=flag(move || page.theme.get() == theme)>
                    {text(move || page.text(&format!("theme.{}", theme.id())))}
                </option>
            }
        })
        .collect_view();
    view! {
        <header>
            <div class="brand">
                <h1>
                    <bdi>"scorefield"</bdi>
                </h1>
                <p>{t("page.tagline")}</p>
            </div>
            <div class="settings">
                <label class="setting">
                    <span>{t("field.experiment.label")}</span>
                    <Menu />
                </label>
                <span class="unseen" id="experiment-help">{t("field.experiment.help")}</span>
                <label class="setting">
                    <span>{t("page.language")}</span>
                    <select data-testid="language" on:change=speak>
                        {language_options}
                    </select>
                </label>
                <label class="setting">
                    <span>{t("page.theme")}</span>
                    <select data-testid="theme" on:change=light>
                        {theme_options}
                    </select>
                </label>
            </div>
        </header>
    }
    .into_any()
}
