//! The page: controls, picture and charts around the conversation with the workers. It never computes with networks.

mod bridge;
mod charts;
mod controls;
mod export;
mod header;
mod images;
mod likelihood;
mod link;
mod measures;
mod memory;
mod pad;
mod panels;
mod player;
mod scene;
mod state;
mod study;
mod view;
mod words;

use leptos::prelude::*;

use crate::lab::{DatasetId, Language, Texts};
use crate::share;
use state::{Page, Theme, t};

/// Starts the page: reads the link, mounts, and wakes the workers.
pub fn start() {
    console_error_panic_hook::set_once();
    state::start(open());
}

async fn open() {
    let fragment = window().location().hash().unwrap_or_default();
    let (opened, rejected) = share::from_fragment(&fragment);
    let language = memory::language(opened.language.as_deref());
    let theme = memory::theme();
    let texts = words::first(language).await;
    let late = texts.is_none();
    mount_to_body(move || {
        let texts = texts.unwrap_or_else(Texts::awaited);
        let page = Page::new(opened.config, language, texts, theme, memory::is_dark(theme));
        page.notices.set(rejected);
        provide_context(page);
        page.images.compared.set(opened.compare);
        page.images.wanted.set(opened.examine);
        memory::follow(page);
        view::prepare(page);
        images::prepare(page);
        link::follow(page);
        study::follow(page);
        bridge::connect(page);
        memory::restore(page);
        if late {
            words::speak(page, language);
        }
        if opened.run {
            page.start();
        }
        view! { <App /> }
    });
}

/// The whole page.
#[component]
pub fn App() -> impl IntoView {
    let page = state::page();
    let drop_file = move |event: web_sys::DragEvent| {
        event.prevent_default();
        if let Some(file) = event.data_transfer().and_then(|d| d.files()).and_then(|f| f.get(0)) {
            export::take(page, file);
        }
    };
    view! {
        <a class="skip" href="#main" on:click=|event| {
            // The fragment is the link of the run: jump without touching it.
            event.prevent_default();
            if let Some(main) = document().get_element_by_id("main") {
                main.scroll_into_view();
                let _ = wasm_bindgen::JsCast::dyn_ref::<web_sys::HtmlElement>(&main).map(web_sys::HtmlElement::focus);
            }
        }>{t("page.skip")}</a>
        <header::Header />
        <main id="main" tabindex="-1" on:dragover=|event: web_sys::DragEvent| event.prevent_default() on:drop=drop_file>
            <panels::Notice />
            <panels::Introduction />
            <Stage />
        </main>
        <footer>
            <p>{t("page.private")}</p>
        </footer>
    }
}

/// The stage of the experiment.
#[component]
fn Stage() -> impl IntoView {
    let page = state::page();
    let experiment = state::memo(move || page.config.with(|c| c.experiment));
    move || match experiment.get().study() {
        Some(study) => view! { <study::Stage study /> }.into_any(),
        None => view! { <Plane /> }.into_any(),
    }
}

/// The stage of a model that samples: points in the plane, or images.
#[component]
fn Plane() -> impl IntoView {
    let page = state::page();
    let pictures = state::memo(move || images::are_shown(page));
    let picture = move || {
        if pictures.get() { view! { <images::Gallery /> }.into_any() } else { view! { <view::Picture /> }.into_any() }
    };
    let learned = move || {
        if pictures.get() {
            return ().into_any();
        }
        view! {
            <charts::Losses />
            <charts::QualityChart />
            <measures::Comparisons />
        }
        .into_any()
    };
    let untitled = move || {
        !pictures.get() && page.config.with(|c| c.dataset == DatasetId::Drawing && c.drawing.cells().is_empty())
    };
    view! {
            <div class="stage">
                // Two columns where there is room; one, in the order picture, run, charts, settings, where not.
                <div class="column">
                    <section class="picture" aria-label=t("view.label")>
                        {state::changing(picture)}
                        <Show when=untitled>
                            <p class="over">{t("drawing.empty")}</p>
                        </Show>
                    </section>
                    <div class="charts">
                        <charts::Schedules />
                        {state::changing(learned)}
                    </div>
                </div>
                <div class="column">
                    <panels::Play />
                    <div class="side">
                        <controls::Controls />
                        <panels::Device />
                        <export::Share />
                    </div>
                </div>
            </div>
    }
    .into_any()
}

/// Every language as an option.
fn languages() -> impl Iterator<Item = Language> {
    Language::ALL.into_iter()
}

/// Every theme as an option.
fn themes() -> impl Iterator<Item = Theme> {
    Theme::ALL.into_iter()
}
