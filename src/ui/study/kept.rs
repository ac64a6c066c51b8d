//! What a run of a study leaves behind in the browser: its verdicts and its time.

use crate::experiments;
use crate::session::past::PastRun;
use crate::session::{Status, Work};
use crate::share::settings_digest;
use crate::ui::memory;
use crate::ui::state::{Page, effect, memo};

/// Keeps the verdicts of every study that comes to its end.
pub fn follow(page: Page) {
    let state = memo(move || page.session.with(|s| (s.status(), s.work() == Some(Work::Study))));
    let settings = move || page.config.with_untracked(settings_digest);
    // When the run began, and with which settings.
    let mut begun = None;
    effect(move || match state.get() {
        (Status::Running, true) => begun = Some((js_sys::Date::now(), settings())),
        (Status::Done, true) => {
            // Of a run that was begun anew in between nobody knows how long it took.
            if let Some((start, of)) = begun.take()
                && of == settings()
            {
                keep(page, of, js_sys::Date::now() - start);
            }
        }
        // What waited for the visitor took longer than it takes.
        _ => begun = None,
    });
}

/// Keeps the verdicts of a run with these settings that took so many milliseconds, if it is through with every claim.
fn keep(page: Page, settings: u32, milliseconds: f64) {
    let Some(study) = page.config.with_untracked(|c| experiments::study(c.experiment)) else { return };
    let verdicts = page.told.measured.with_untracked(|all| {
        let of = |claim: usize| all.iter().find(|m| usize::from(m.claim) == claim && m.settled).map(|m| m.verdict());
        (0..study.claims.len()).map(of).collect::<Option<Vec<_>>>()
    });
    if let Some(verdicts) = verdicts {
        memory::keep_run(PastRun {
            study: study.id.to_owned(),
            settings,
            verdicts,
            tenths: (milliseconds / 100.0) as u32,
        });
    }
}
