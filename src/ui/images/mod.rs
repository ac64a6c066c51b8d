//! The experiment on images: its own picture in place of the plane's, its weights, and what can be done with one image.

mod canvas;
mod classes;
mod detail;
mod examine;
mod gallery;
pub mod hub;
mod known;
mod likelihood;
mod pixels;
mod save;
mod solvers;
mod status;
mod strip;
mod weights;

use web_sys::File;

pub use classes::{are_required, classes};
pub use examine::{benchmarks, cores, measure, self_test};
pub use gallery::gallery;
pub use known::known;
pub use likelihood::picture_likelihood;
pub use solvers::solvers;
pub use status::{are_shown, device, share, words};
pub use weights::weights;

use super::memory;
use super::state::images::Images;
use super::state::{Page, effect, memo};
use crate::lab::ExperimentId;
use crate::protocol::ImageEvent;
use crate::session::Session;
use crate::session::film::MOST_KEPT;

/// Keeps the session informed of the experiment, and does what the link asks for.
pub fn prepare(page: Page) {
    let experiment = memo(move || page.config.with(|config| config.experiment));
    effect(move || {
        let now = experiment.get();
        let mut another = false;
        page.tell(|session| {
            // A link that begins a run has turned to its experiment by then, and what it began is not for another one.
            another = session.show_experiment(now);
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

/// Shows what a worker reported of images.
pub fn show(page: Page, event: ImageEvent) {
    let images = page.images;
    match event {
        ImageEvent::Frame { frame, .. } => {
            page.evaluations.set(Some(frame.evaluations));
            let runs = images.compared.with_untracked(Vec::len).max(1);
            let mut longest = 0;
            let names = classes::held(page);
            images.rows.update_value(|rows| {
                if let Some(row) = rows.last_mut() {
                    if row.film.is_empty() {
                        row.classes = names;
                    }
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
        ImageEvent::Loaded { weights, .. } => {
            weights::arrived(page, &weights);
            hub::measure_room(page);
        }
        ImageEvent::Refused { .. } if page.session.with_untracked(Session::awaits_model) => hub::lead_to_question(),
        _ => {}
    }
}

fn rows_after_the_first(images: &Images) -> bool {
    images.count.get_untracked() > 1
}

/// Takes files that were dropped or chosen while images are shown: a picture, or weights with the settings beside them.
/// Says whether it did; settings of a run are for others.
pub fn take(page: Page, files: &[File]) -> bool {
    let settings = files.iter().all(|file| file.name().ends_with(".json"));
    if page.config.with_untracked(|config| config.experiment != ExperimentId::Images) || settings {
        return false;
    }
    match files.iter().find(|file| file.type_().starts_with("image/")) {
        Some(picture) => known::take(page, picture),
        None => weights::take(page, files),
    }
    true
}
