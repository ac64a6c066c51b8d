//! The stage of a study: tour, run, controls, figures and claims, all of them from its table.

mod claims;
mod figure;
mod kept;

use std::time::Duration;

use leptos::prelude::*;
use web_sys::Event;

use super::controls::control;
use super::element::{Element, element};
use super::parts::choice;
use super::state::{Page, effect, memo, page};
use super::{address, export, panels};
use crate::experiments::{self, defaults};
use crate::lab::{ExperimentId, RunConfig, field};
use crate::share::{Link, to_fragment};
use crate::study::{self, Study, studies};

/// Between two beginnings of a study that follows its controls.
const REST: Duration = Duration::from_millis(40);

/// Starts studies that follow their controls, at their beginning and with every change.
pub fn follow(page: Page) {
    kept::follow(page);
    let experiment = memo(move || page.config.with(|c| c.experiment));
    effect(move || {
        page.catalogue.track();
        if let Some(study) = experiments::study(experiment.get()) {
            page.told.forget(study);
        }
    });
    window_event_listener(leptos::ev::resize, move |_| page.resized.update(|n| *n += 1));
    let waiting = StoredValue::new(false);
    effect(move || {
        page.catalogue.track();
        let live = page.config.with(|c| experiments::study(c.experiment).is_some_and(|study| study.live));
        if live && !waiting.get_value() {
            waiting.set_value(true);
            let begin = move || {
                waiting.set_value(false);
                // What it has drawn stays until it draws anew, so that nothing flickers while something is dragged.
                page.tell(|session| session.study(&page.config.get_untracked()));
            };
            set_timeout(begin, REST);
        }
    });
}

/// The menu of all experiments, chapter by chapter.
pub fn menu() -> Element {
    let page = page();
    let option = move |id: &'static str| {
        let selected = move || !page.contents.get() && page.config.with(|c| c.experiment.id() == id);
        choice(id, selected, move || page.text(&format!("choice.experiment.{id}")))
    };
    let staged: Vec<Element> = experiments::EXPERIMENTS.iter().map(|e| option(e.id.id())).collect();
    let chapter = move |chapter: u8| {
        let studies = studies().iter().filter(|study| study.chapter == chapter);
        let studies: Vec<Element> = studies.map(|study| option(study.id)).collect();
        let name = move || page.text(&format!("chapter.{chapter}"));
        element("optgroup").attribute_of("label", name).holds(&studies)
    };
    let chapters = move || {
        // The menu shows what was chosen, even before it can be known.
        if page.awaits_study() {
            let id = page.config.with(|c| c.experiment.id().to_owned());
            let key = format!("choice.experiment.{id}");
            return vec![choice(&id, move || !page.contents.get(), move || page.text(&key))];
        }
        let mut chapters: Vec<u8> = studies().iter().map(|study| study.chapter).collect();
        chapters.dedup();
        chapters.into_iter().map(chapter).collect()
    };
    element("select")
        .attribute("id", "experiment")
        .test_id("experiment")
        .attribute("aria-describedby", "experiment-help")
        .change(move |id| {
            let listed = page.contents.get_untracked();
            page.contents.set(false);
            let _ = page.write("experiment", &id);
            if listed {
                // An entry of its own: the way back leads to the contents.
                address::push(page);
            }
        })
        // What the menu says where it is none of the others.
        .when(move || page.contents.get(), move || vec![choice("", || true, move || page.text("contents.title"))])
        .holds(&staged)
        .changing(chapters)
}

/// The stage.
pub fn stage(study: &'static Study) -> Vec<Element> {
    let figures: Vec<Element> =
        study.figures.iter().enumerate().map(|(index, figure)| figure::chart(study, index, figure)).collect();
    let controls: Vec<Element> = study.controls.iter().map(|known| control(&known.field)).collect();
    let run = ["seed", "device"].map(|key| field(key).map(control));
    let run: Vec<Element> = run.into_iter().flatten().collect();
    let settings = element("form").class("controls").label("controls.label");
    let settings = settings.on("submit", |event: Event| event.prevent_default()).holds(&[
        element("fieldset").class("group").child(element("legend").says("group.study")).holds(&controls),
        element("details").class("group").holds(&[
            element("summary").says("group.run"),
            element("fieldset").child(element("legend").class("unseen").says("group.run")).holds(&run),
        ]),
    ]);
    let stage = element("div").class("stage").holds(&[
        element("div")
            .class("column")
            .holds(&[element("section").class("figures").test_id("figures").holds(&figures), claims::claims(study)]),
        element("div").class("column").holds(&[panels::play(), element("div").class("side").child(settings)]),
        element("div").class("side below").holds(&[panels::device(), export::share()]),
    ]);
    vec![tour(study), stage]
}

/// Where the study stands in its chapter, and the way on and back.
fn tour(study: &'static Study) -> Element {
    let page = page();
    let [before, after] = study::neighbours(study);
    let step = move |to: Option<&'static Study>, id: &'static str, word: &'static str| -> Vec<Element> {
        let link = move |to: &'static Study| {
            let (device, seed) = page.config.with(|c| (c.device, c.seed));
            let experiment = experiments::find(to.id).unwrap_or(ExperimentId::Plane);
            let config = RunConfig { device, seed, ..defaults(experiment) };
            let language = Some(page.language.get().tag().to_owned());
            to_fragment(&Link { config, language, ..Link::default() })
        };
        let anchor = |to: &'static Study| {
            element("a")
                .class(id)
                .test_id(id)
                .attribute_of("href", move || link(to))
                .child(element("span").says(word))
                .plain(" ")
                .words(move || page.text(&format!("choice.experiment.{}", to.id)))
        };
        to.map(anchor).into_iter().collect()
    };
    let place = move || {
        let (place, of) = study::place(study);
        let chapter = page.text(&format!("chapter.{}", study.chapter));
        page.filled("tour.place", &[("chapter", &chapter), ("place", &place.to_string()), ("of", &of.to_string())])
    };
    element("nav")
        .class("tour")
        .label("tour.label")
        .holds(&step(before, "tour-back", "tour.back"))
        .plain(" ")
        .child(
            element("span")
                .holds(&[element("a").attribute("href", "#contents").test_id("tour-contents").says("contents.title")])
                .plain(" ")
                .child(element("span").class("note").words(place)),
        )
        .plain(" ")
        .holds(&step(after, "tour-next", "tour.next"))
}
