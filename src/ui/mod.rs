//! The page: controls, picture and charts around the conversation with the workers. It never computes with networks.

mod address;
mod bridge;
mod catalogue;
mod chart;
mod charts;
mod contents;
mod controls;
mod download;
mod element;
mod export;
mod frame;
mod header;
mod images;
mod likelihood;
mod link;
mod measures;
mod memory;
mod mixture;
mod offline;
mod pad;
mod painter;
mod panels;
mod parts;
mod player;
mod problem;
mod reflect;
mod runs;
mod scene;
mod signal;
mod state;
mod study;
mod trusted;
mod view;
mod words;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{DragEvent, Event, HtmlElement};

use crate::data::DatasetId;
use crate::experiments;
use crate::lab::Texts;
use element::{Element, element};
use state::{Page, memo};

/// Starts the page: reads the link, mounts, and wakes the workers.
pub fn start() {
    console_error_panic_hook::set_once();
    state::start(open());
}

async fn open() {
    let fragment = window().location().hash().unwrap_or_default();
    let tables = catalogue::fetch();
    let (opened, rejected, again) = link::read(&fragment);
    let language = memory::language(opened.language.as_deref());
    let theme = memory::theme();
    let texts = words::first(language, opened.contents.then(|| contents::ask(language))).await;
    let late = texts.is_none();
    mount_to_body(move || {
        let texts = texts.unwrap_or_else(Texts::awaited);
        let page = Page::new(opened.config, language, texts, theme, memory::is_dark(theme));
        page.notices.set(rejected);
        page.awaited.set_value(again.then_some(fragment));
        catalogue::fill(page, tables);
        provide_context(page);
        page.contents.set(opened.contents);
        page.embed.set(opened.embed);
        page.images.compared.set(opened.compare);
        page.images.wanted.set(opened.examine);
        memory::follow(page);
        view::prepare(page);
        images::prepare(page);
        link::follow(page);
        study::follow(page);
        bridge::connect(page);
        if page.is_framed() {
            frame::follow(page);
        } else {
            memory::restore(page);
            offline::prepare(page);
        }
        if late {
            words::speak(page, language);
        }
        if opened.run {
            runs::start(page);
        }
        if let Some(loading) = document().get_element_by_id("loading") {
            loading.remove();
        }
        app().into_iter().for_each(Element::mount);
    });
}

/// The whole page.
fn app() -> Vec<Element> {
    let page = state::page();
    let skip = |event: Event| {
        // The fragment is the link of the run: jump without touching it.
        event.prevent_default();
        if let Some(main) = document().get_element_by_id("main") {
            main.scroll_into_view();
            let _ = main.dyn_ref::<HtmlElement>().map(HtmlElement::focus);
        }
    };
    let drop_file = move |event: DragEvent| {
        event.prevent_default();
        // What a file says is shown by an experiment.
        if page.contents.get_untracked() {
            page.contents.set(false);
            address::push(page);
        }
        if let Some(files) = event.data_transfer().and_then(|transfer| transfer.files()) {
            export::take(page, parts::list(&files));
        }
    };
    let main = element("main").attribute("id", "main").attribute("tabindex", "-1");
    let experiment = memo(move || page.config.with(|c| c.experiment));
    let awaits = memo(move || page.awaits_study());
    let listed = memo(move || page.contents.get());
    let stage = move || {
        if listed.get() {
            return contents::stage();
        }
        page.visited.set_value(true);
        match experiments::study(experiment.get()) {
            Some(study) => study::stage(study),
            None if awaits.get() => vec![catalogue::stage()],
            None => vec![plane()],
        }
    };
    let skip_to = move || page.text(if listed.get() { "contents.skip" } else { "page.skip" });
    vec![
        element("a").class("skip").attribute("href", "#main").on("click", skip).words(skip_to),
        header::header(),
        panels::notice(main)
            .on("dragover", |event: DragEvent| event.prevent_default())
            .on("drop", drop_file)
            .child(panels::introduction())
            .changing(stage),
        if page.is_framed() {
            frame::footer()
        } else {
            element("footer").holds(&[element("p").says("page.private"), offline::choice(), problem::report()])
        },
    ]
}

/// The stage of a model that samples: points in the plane, or images.
fn plane() -> Element {
    let page = state::page();
    let pictures = memo(move || images::are_shown(page));
    let picture = move || if pictures.get() { images::gallery() } else { view::picture() };
    let learned = || vec![charts::losses(), charts::quality(), measures::controlled(), measures::comparisons()];
    let untitled = move || {
        !pictures.get() && page.config.with(|c| c.dataset == DatasetId::Drawing && c.drawing.cells().is_empty())
    };
    // Two columns where there is room; one, in the order picture, run, charts, settings, where not.
    element("div").class("stage").holds(&[
        element("div").class("column").holds(&[
            element("section")
                .class("picture")
                .label("view.label")
                .changing(picture)
                .when(untitled, || vec![element("p").class("over").says("drawing.empty")]),
            element("div").class("charts").holds(&charts::schedules()).when(move || !pictures.get(), learned),
        ]),
        element("div")
            .class("column")
            .holds(&[panels::play(), element("div").class("side").child(controls::controls())]),
        // Where there is room, under the charts: the settings are longer than picture and charts.
        element("div").class("side below").holds(&[panels::device(), export::share()]),
    ])
}
