//! What begins a run: of the study, in the plane, or of images, alone or one solver after the other.

use std::collections::VecDeque;

use super::address;
use super::state::Page;
use super::state::images::Row;
use crate::experiments;
use crate::lab::comparison::with_solver;
use crate::lab::{DenoiserId, ExperimentId, RunConfig, planned_evaluations};
use crate::protocol::Event;
use crate::protocol::images::ImageProgress;
use crate::session::film::Film;
use crate::session::{Session, Status};

/// Begins what the link asks for: the study, or training and sampling. The entry of the history is then that of the run:
/// who comes back to it does not begin it once more.
pub fn start(page: Page) {
    address::replace(page);
    match page.config.with_untracked(|c| experiments::study(c.experiment)) {
        Some(study) if study.live => {}
        Some(_) => study(page),
        // The closed form has nothing to learn.
        None if page.config.with_untracked(|c| c.denoiser == DenoiserId::Exact) => run(page),
        None => train(page, true),
    }
}

/// Begins the study from its beginning, as the visitor asked.
pub fn study(page: Page) {
    let Some(study) = page.config.with_untracked(|c| experiments::study(c.experiment)) else { return };
    address::push(page);
    page.told.forget(study);
    page.tell(|session| session.study(&page.config.get_untracked()));
}

/// Trains, and samples afterwards when `then_sample`. Networks of images are not trained here, only sampled.
pub fn train(page: Page, then_sample: bool) {
    if shows_images(page) {
        return run(page);
    }
    address::push(page);
    page.forget(true);
    page.tell(|session| session.train(&page.config.get_untracked(), then_sample));
}

fn shows_images(page: Page) -> bool {
    page.config.with_untracked(|config| config.experiment == ExperimentId::Images)
}

/// Samples, with one solver.
pub fn sample(page: Page) {
    page.images.compared.set(Vec::new());
    run(page);
}

/// Samples what is on the page: images of several solvers if they are compared.
pub fn run(page: Page) {
    address::push(page);
    page.forget(false);
    if shows_images(page) {
        images(page);
    } else {
        page.tell(|session| session.sample(&page.config.get_untracked()));
    }
}

/// Begins a run of images: a single one, or the first of a comparison.
fn images(page: Page) {
    let config = page.config.get_untracked();
    let compared = page.images.compared.get_untracked();
    let price = planned_evaluations(&config).unwrap_or(config.steps);
    let runs: VecDeque<RunConfig> =
        compared.into_iter().filter_map(|solver| with_solver(&config, solver, price)).collect();
    page.images.queue.set_value(if runs.is_empty() { VecDeque::from([config]) } else { runs });
    next(page);
}

/// Begins the next run of images in the queue.
fn next(page: Page) {
    let mut config = None;
    page.images.queue.update_value(|queue| config = queue.pop_front());
    let Some(config) = config else { return };
    page.images
        .rows
        .update_value(|rows| rows.push(Row { config: config.clone(), classes: Vec::new(), film: Film::default() }));
    page.images.count.update(|count| *count += 1);
    page.images.progress.set(ImageProgress::default());
    page.tell(|session| session.sample(&config));
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
