//! The stage of a study: tour, run, controls, figures and claims, all of them from its table.

mod claims;
mod figure;
mod painter;

use std::time::Duration;

use leptos::prelude::*;

use super::controls::Control;
use super::state::{Page, flag, page, t, text};
use super::{export, panels};
use crate::lab::{RunConfig, Session, defaults, field};
use crate::protocol::Floats;
use crate::share::{Link, to_fragment};
use crate::study::{Measured, News, STUDIES, Study};

/// Between two beginnings of a study that follows its controls.
const REST: Duration = Duration::from_millis(40);

/// What a study has told so far. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Told {
    /// The numbers of every layer of every figure.
    pub layers: StoredValue<Vec<Vec<Floats>>, LocalStorage>,
    /// The measurements, by claim.
    pub measured: RwSignal<Vec<Measured>>,
    /// Grows with every report.
    pub tick: RwSignal<u32>,
}

impl Default for Told {
    fn default() -> Self {
        Self { layers: StoredValue::new_local(Vec::new()), measured: RwSignal::default(), tick: RwSignal::default() }
    }
}

impl Told {
    /// Another study, or the same from its beginning.
    pub fn forget(self, study: &Study) {
        let empty = |figure: &crate::study::Figure| vec![Floats::default(); figure.layers.len()];
        self.layers.set_value(study.figures.iter().map(empty).collect());
        self.measured.set(Vec::new());
        self.tick.update(|n| *n += 1);
    }

    /// Takes news.
    pub fn take(self, report: News) {
        let News { drawings, measured, .. } = report;
        self.layers.update_value(|layers| {
            for drawing in drawings {
                let figure = layers.get_mut(usize::from(drawing.figure));
                if let Some(layer) = figure.and_then(|figure| figure.get_mut(usize::from(drawing.layer))) {
                    *layer = drawing.data;
                }
            }
        });
        if !measured.is_empty() {
            self.measured.update(|all| {
                for one in measured {
                    all.retain(|m| m.claim != one.claim);
                    all.push(one);
                }
            });
        }
        self.tick.update(|n| *n += 1);
    }
}

/// Starts studies that follow their controls, at their beginning and with every change.
pub fn follow(page: Page) {
    let experiment = Memo::new(move |_| page.config.with(|c| c.experiment));
    Effect::new(move |_| {
        if let Some(study) = experiment.get().study() {
            page.told.forget(study);
        }
    });
    window_event_listener(leptos::ev::resize, move |_| page.resized.update(|n| *n += 1));
    let waiting = StoredValue::new(false);
    Effect::new(move |_| {
        let live = page.config.with(|c| c.experiment.study().is_some_and(|study| study.live));
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
#[component]
pub fn Menu() -> impl IntoView {
    let page = page();
    let option = move |id: &'static str| {
        view! {
            <option value=id prop:selected=flag(move || page.config.with(|c| c.experiment.id() == id))>
                {text(move || page.text(&format!("choice.experiment.{id}")))}
            </option>
        }
        .into_any()
    };
    let staged = crate::lab::EXPERIMENTS.iter().map(|e| option(e.id.id())).collect_view();
    let mut chapters: Vec<u8> = STUDIES.iter().map(|study| study.chapter).collect();
    chapters.dedup();
    let chapters = chapters
        .into_iter()
        .map(|chapter| {
            let studies = STUDIES.iter().filter(|study| study.chapter == chapter);
            view! {
                <optgroup label=text(move || page.text(&format!("chapter.{chapter}")))>
                    {studies.map(|study| option(study.id)).collect_view()}
                </optgroup>
            }
        })
        .collect_view();
    view! {
        <select
            id="experiment"
            data-testid="experiment"
            aria-describedby="experiment-help"
            on:change=move |event| page.write("experiment", &event_target_value(&event))
        >
            {staged}
            {chapters}
        </select>
    }
    .into_any()
}

/// The stage.
#[component]
pub fn Stage(study: &'static Study) -> impl IntoView {
    let figures =
        study.figures.iter().enumerate().map(|(index, figure)| view! { <figure::Chart study index figure /> });
    let controls = study.controls.iter().map(|control| view! { <Control field=&control.field /> });
    let run = ["seed", "device"].into_iter().filter_map(field).map(|field| view! { <Control field /> });
    view! {
        <Tour study />
        <div class="stage">
            <div class="column">
                <section class="figures" data-testid="figures">{figures.collect_view()}</section>
                <claims::Claims study />
            </div>
            <div class="column">
                <panels::Play />
                <div class="side">
                    <form class="controls" aria-label=t("controls.label") on:submit=|event| event.prevent_default()>
                        <fieldset class="group">
                            <legend>{t("group.study")}</legend>
                            {controls.collect_view()}
                        </fieldset>
                        <details class="group">
                            <summary>{t("group.run")}</summary>
                            <fieldset>
                                <legend class="unseen">{t("group.run")}</legend>
                                {run.collect_view()}
                            </fieldset>
                        </details>
                    </form>
                    <panels::Device />
                    <export::Share />
                </div>
            </div>
        </div>
    }
    .into_any()
}

/// Where the study stands in its chapter, and the way on and back.
#[component]
fn Tour(study: &'static Study) -> impl IntoView {
    let page = page();
    let [before, after] = study.neighbours();
    let step = move |to: Option<&'static Study>, id: &'static str, word: &'static str| {
        to.map(|to| {
            let link = text(move || {
                let (device, seed) = page.config.with(|c| (c.device, c.seed));
                let experiment = crate::lab::ExperimentId::from_id(to.id).unwrap_or(crate::lab::ExperimentId::Plane);
                let config = RunConfig { device, seed, ..defaults(experiment) };
                let language = Some(page.language.get().tag().to_owned());
                to_fragment(&Link { config, language, ..Link::default() })
            });
            let name = text(move || page.text(&format!("choice.experiment.{}", to.id)));
            view! {
                <a class=id data-testid=id href=link>
                    <span>{t(word)}</span>
                    " "
                    {name}
                </a>
            }
            .into_any()
        })
    };
    let place = text(move || {
        let (place, of) = study.place();
        let chapter = page.text(&format!("chapter.{}", study.chapter));
        page.filled("tour.place", &[("chapter", &chapter), ("place", &place.to_string()), ("of", &of.to_string())])
    });
    view! {
        <nav class="tour" aria-label=t("tour.label")>
            {step(before, "tour-back", "tour.back")} <span class="note">{place}</span> {step(after, "tour-next", "tour.next")}
        </nav>
    }
    .into_any()
}

/// Begins the study from its beginning, as the visitor asked.
pub fn begin(page: Page) {
    let Some(study) = page.config.with_untracked(|c| c.experiment.study()) else { return };
    super::link::push(page);
    page.told.forget(study);
    page.tell(|session: &mut Session| session.study(&page.config.get_untracked()));
}
