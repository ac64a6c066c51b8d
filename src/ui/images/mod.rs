//! The experiment on images: its own picture in place of the plane's, its weights, and what can be done with one image.

mod canvas;
mod detail;
mod examine;
mod gallery;
mod known;
mod save;
mod solvers;
mod strip;
mod weights;

use std::collections::VecDeque;

use leptos::prelude::*;
use web_sys::File;

pub use examine::{benchmarks, cores, measure, self_test};
pub use gallery::gallery;
pub use known::known;
pub use solvers::solvers;
pub use weights::weights;

use super::memory;
use super::signal::{Kept, Signal};
use super::state::{Page, effect, memo};
use crate::lab::comparison::with_solver;
use crate::lab::{DeviceChoice, ExperimentId, RunConfig, SolverId, planned_evaluations};
use crate::plot::label::number;
use crate::protocol::images::{ImageProgress, Notice};
use crate::protocol::{Event, ImageEvent};
use crate::session::Phase;
use crate::session::film::{Film, MOST_KEPT};
use crate::session::image_state::ImageWeights;
use crate::session::{Session, Slot, Status};
use crate::share::Examination;

/// A run of images on the page: alone, or one row of a comparison.
pub struct Row {
    /// What was asked for.
    config: RunConfig,
    /// What came.
    film: Film,
}

/// What the page knows of images beside what every experiment has.
pub struct Images {
    /// The runs on show, in order; the last one is the current one.
    rows: Kept<Vec<Row>>,
    /// How many they are.
    count: Signal<usize>,
    /// Runs that are still to come.
    queue: Kept<VecDeque<RunConfig>>,
    /// Solvers that are compared; none in a single run.
    pub compared: Signal<Vec<SolverId>>,
    /// Whether not the noisy images are shown but what the network expects of them.
    expected: Signal<bool>,
    /// Row and number of the image looked at.
    chosen: Signal<Option<(usize, usize)>>,
    /// The image that is to be blended with the next one chosen.
    pairing: Signal<Option<(usize, usize)>>,
    /// How far the run is.
    progress: Signal<ImageProgress>,
    /// How many workers evaluate them, if there are several.
    workers: Signal<u32>,
    /// What should be known.
    notices: Signal<Vec<Notice>>,
    /// What the link asks to be examined when everything is there.
    pub wanted: Signal<Examination>,
}

impl Images {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rows: Kept::new(Vec::new()),
            count: Signal::new(0),
            queue: Kept::new(VecDeque::new()),
            compared: Signal::new(Vec::new()),
            expected: Signal::new(false),
            chosen: Signal::new(None),
            pairing: Signal::new(None),
            progress: Signal::new(ImageProgress::default()),
            workers: Signal::new(0),
            notices: Signal::new(Vec::new()),
            wanted: Signal::new(Examination::default()),
        }
    }

    /// Forgets the runs on show and those to come.
    pub fn forget(&self) {
        self.rows.update_value(Vec::clear);
        self.queue.update_value(VecDeque::clear);
        self.count.set(0);
        self.chosen.set(None);
        self.pairing.set(None);
        self.progress.set(ImageProgress::default());
        self.workers.set(0);
        self.notices.set(Vec::new());
    }

    /// The time of frame `index` of `count` positions, of the row that is shown first.
    #[must_use]
    pub fn level(&self, index: usize, count: usize) -> Option<f64> {
        self.rows.with_value(|rows| rows.first().and_then(|row| row.film.at(index, count)).map(|frame| frame.t))
    }
}

/// Whether the page shows images, followed.
#[must_use]
pub fn are_shown(page: Page) -> bool {
    page.config.with(|config| config.experiment == ExperimentId::Images)
}

/// How far the run is, in words, followed; nothing before that is known.
#[must_use]
pub fn words(page: Page) -> Option<String> {
    let fetching = page.session.with(|session| match session.image_weights() {
        ImageWeights::Fetching { received, total, .. } => Some([*received, *total]),
        _ => None,
    });
    if let Some([received, total]) = fetching {
        let [received, total] = [received, total].map(weights::megabytes);
        return Some(page.filled("images.status-fetching", &[("received", &received), ("total", &total)]));
    }
    let progress = page.images.progress.get();
    if !are_shown(page) || progress.evaluations <= 0.0 {
        return None;
    }
    let key = if progress.planned > 0 { "images.status" } else { "images.status-open" };
    let values = [
        ("done", number(progress.evaluations, 3)),
        ("planned", progress.planned.to_string()),
        ("rate", number(progress.rate, 3)),
        ("left", number(progress.left.ceil(), 4)),
    ];
    Some(page.filled(key, &values.each_ref().map(|(name, value)| (*name, value.as_str()))))
}

/// The share of the run that is done, followed; nothing when that is not known.
#[must_use]
pub fn share(page: Page) -> Option<f64> {
    let progress = page.images.progress.get();
    (are_shown(page) && progress.planned > 0).then(|| progress.evaluations / f64::from(progress.planned))
}

/// What computes, and what can be expected of it, followed.
#[must_use]
pub fn device(page: Page) -> String {
    let key = page.session.with(|session| {
        let software = session.info(Slot::Gpu).is_some_and(|info| info.software);
        match (session.active(), session.has_adapter(), session.phase(Slot::Gpu)) {
            (Slot::Remote, ..) => "device.remote",
            (Slot::Gpu, ..) if software => "images.device-software",
            (Slot::Gpu, ..) => "images.device-gpu",
            (_, None, _) if session.chosen_device() != DeviceChoice::Cpu => "device.looking",
            (_, Some(true), Phase::Fetching(_)) => "device.fetching",
            (_, _, Phase::Dead) => "device.gpu-failed",
            _ => "images.device-cpu",
        }
    });
    page.text(key)
}

/// Keeps the session informed of the experiment, and does what the link asks for.
pub fn prepare(page: Page) {
    let experiment = memo(move || page.config.with(|config| config.experiment));
    let earlier = StoredValue::new(None::<ExperimentId>);
    effect(move || {
        let now = experiment.get();
        let another = earlier.get_value().is_some_and(|earlier| earlier != now);
        earlier.set_value(Some(now));
        page.tell(|session| {
            session.show_experiment(now);
            if another {
                session.start_afresh();
            }
        });
        if another {
            page.forget(true);
        }
    });
    examine::follow_the_link(page);
    let [chosen, _] = memory::cores();
    // Nothing follows from it before the first run.
    page.session.update(|session| session.use_cores(chosen));
}

/// Begins a run: a single one, or the first of a comparison.
pub fn begin(page: Page) {
    let config = page.config.get_untracked();
    let compared = page.images.compared.get_untracked();
    let price = planned_evaluations(&config).unwrap_or(config.steps);
    let runs: VecDeque<RunConfig> =
        compared.into_iter().filter_map(|solver| with_solver(&config, solver, price)).collect();
    page.images.queue.set_value(if runs.is_empty() { VecDeque::from([config]) } else { runs });
    next(page);
}

/// Begins the next run of the queue.
fn next(page: Page) {
    let mut config = None;
    page.images.queue.update_value(|queue| config = queue.pop_front());
    let Some(config) = config else { return };
    page.images.rows.update_value(|rows| rows.push(Row { config: config.clone(), film: Film::default() }));
    page.images.count.update(|count| *count += 1);
    page.images.progress.set(ImageProgress::default());
    page.tell(|session| session.sample(&config));
}

/// Shows what a worker reported of images.
pub fn show(page: Page, event: ImageEvent) {
    let images = page.images;
    match event {
        ImageEvent::Frame { frame, .. } => {
            page.evaluations.set(Some(frame.evaluations));
            let runs = images.compared.with_untracked(Vec::len).max(1);
            let mut longest = 0;
            images.rows.update_value(|rows| {
                if let Some(row) = rows.last_mut() {
                    row.film.push(frame, MOST_KEPT / runs);
                }
                longest = rows.iter().map(|row| row.film.len()).max().unwrap_or(0);
            });
            page.frames.update(|(all, index)| {
                // Who has seen the end sees what comes.
                if rows_after_the_first(images) || *index + 1 >= *all {
                    *index = longest - 1;
                }
                *all = longest;
            });
        }
        ImageEvent::Progress { progress, .. } => images.progress.set(progress),
        ImageEvent::Pool { workers, .. } => images.workers.set(workers),
        // One of a kind: a batch may be halved several times.
        ImageEvent::Notice { notice, .. } => images.notices.update(|all| {
            all.retain(|other| std::mem::discriminant(other) != std::mem::discriminant(&notice));
            all.push(notice);
        }),
        ImageEvent::Loaded { weights, .. } => weights::arrived(page, &weights),
        _ => {}
    }
}

fn rows_after_the_first(images: &Images) -> bool {
    images.count.get_untracked() > 1
}

/// What follows from an event once the session has taken it: the next row of a comparison.
pub fn follow(page: Page, event: &Event) {
    match event {
        Event::Done { stopped: false, .. } if page.session.with_untracked(Session::status) == Status::Done => {
            next(page);
        }
        Event::Done { .. } | Event::Failed { .. } => page.images.queue.update_value(VecDeque::clear),
        _ => {}
    }
}

/// Takes a file that was dropped or chosen while images are shown: a picture or weights. Says whether it did; settings
/// are for others.
pub fn take(page: Page, file: &File) -> bool {
    let name = file.name();
    if page.config.with_untracked(|config| config.experiment != ExperimentId::Images) || name.ends_with(".json") {
        return false;
    }
    if file.type_().starts_with("image/") {
        known::take(page, file);
    } else {
        weights::take(page, file);
    }
    true
}
