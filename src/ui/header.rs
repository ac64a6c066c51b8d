//! The head of the page: name, experiment, language and theme.

use super::element::{Element, element};
use super::parts::choice;
use super::state::{Theme, page};
use super::study::menu;
use super::{memory, words};
use crate::lab::Language;

/// The head of the page.
pub fn header() -> Element {
    let page = page();
    let speak = move |chosen: String| {
        if let Some(language) = Language::choose([chosen.as_str()]) {
            memory::keep_language(language);
            words::speak(page, language);
        }
    };
    let light = move |chosen: String| {
        if let Some(theme) = Theme::ALL.into_iter().find(|theme| theme.id() == chosen) {
            memory::keep_theme(theme);
            page.theme.set(theme);
        }
    };
    let languages = Language::ALL.map(|l| {
        choice(l.tag(), move || page.language.get() == l, move || l.name().to_owned()).attribute("lang", l.tag())
    });
    let themes = Theme::ALL.map(|theme| {
        choice(theme.id(), move || page.theme.get() == theme, move || page.text(&format!("theme.{}", theme.id())))
    });
    let setting = |key, menu| element("label").class("setting").holds(&[element("span").says(key), menu]);
    let brand = element("h1").child(element("bdi").plain("scorefield"));
    let contents = element("a").attribute("href", "#contents").test_id("contents-link").says("contents.title");
    let contents =
        contents.attribute_of("aria-current", move || if page.contents.get() { "page" } else { "false" }.to_owned());
    element("header").holds(&[
        element("div").class("brand").holds(&[brand, element("p").says("page.tagline")]),
        element("nav").class("ways").label("contents.ways").child(contents),
        element("div").class("settings").holds(&[
            setting("field.experiment.label", menu()),
            element("span").class("unseen").attribute("id", "experiment-help").says("field.experiment.help"),
            setting("page.language", element("select").test_id("language").change(speak).holds(&languages)),
            setting("page.theme", element("select").test_id("theme").change(light).holds(&themes)),
        ]),
    ])
}
