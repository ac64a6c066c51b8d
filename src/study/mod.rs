//! Studies: the experiments of the report, each in one file: its controls, figures and claims as constant tables that
//! page, workers, links and tests share, and, where there is an engine, the work itself. The page has no table built in: it
//! fetches the file of them that the build writes ([`FILE`]).
//!
//! To add one: a file beside this one with its `STUDY`, its line in [`STUDIES`], its texts in `web/locales/`:
//! `choice.experiment.<id>`, `experiment.<id>.title`, `.lead` and `.see`, `field.<control>.label` and `.help` for new
//! controls, `figure.<id>.<figure>`, `plot.<axis or layer>`, `claim.<id>.<claim>` and `.measured`, `note.<id>.<note>`.

mod catalogue;
#[cfg(feature = "engine")]
mod chain;
#[cfg(feature = "engine")]
mod classes;
#[cfg(feature = "engine")]
mod context;
#[cfg(feature = "engine")]
pub mod digits_chain;
#[cfg(feature = "engine")]
mod error;
#[cfg(feature = "engine")]
mod families;
#[cfg(feature = "engine")]
mod generative;
#[cfg(feature = "engine")]
mod large_steps;
#[cfg(feature = "engine")]
mod learners;
#[cfg(feature = "engine")]
mod line;
#[cfg(feature = "engine")]
mod network;
#[cfg(feature = "engine")]
mod pictures;
#[cfg(feature = "engine")]
mod procrustes;
#[cfg(feature = "engine")]
mod rows;
mod settings;
#[cfg(feature = "engine")]
mod step_back;
mod table;
#[cfg(feature = "engine")]
mod terms;
#[cfg(feature = "engine")]
mod tints;
#[cfg(feature = "engine")]
mod tools;
#[cfg(feature = "engine")]
mod walks;

mod ancestral;
mod bound;
mod codes;
mod coding;
mod coding_depth;
mod conditional;
mod control_digits;
mod control_plane;
mod denoising_gan;
mod density;
mod digits;
mod energy;
mod few_steps;
mod fid_table;
mod flow;
mod forward;
mod gan;
mod gaussian;
mod hierarchy;
mod langevin;
mod levels;
mod manifold;
mod matching;
mod one_net;
mod regions;
mod reverse_sde;
mod sdes;
mod skip;
mod trilemma;
mod vae;
mod variance;

use crate::lab::StudyName;
#[cfg(feature = "engine")]
use crate::lab::{ExperimentId, RunConfig};
#[cfg(feature = "engine")]
use crate::nn::device::ComputeDevice;

pub use catalogue::{FILE, from_bytes, to_bytes};
#[cfg(feature = "ui")]
pub use catalogue::{fill, studies};
#[cfg(feature = "engine")]
pub use context::{StudyContext, StudyRun, Work};
#[cfg(feature = "engine")]
pub use error::StudyError;
pub use table::{Axis, Claim, Control, Figure, Handle, Layer, Mark, Source, Study};

/// A constant of every study, in the order of the menu and of the guided tour, chapter by chapter.
macro_rules! of_each {
    ($constant:ident) => {
        [
            &density::$constant,
            &gaussian::$constant,
            &energy::$constant,
            &matching::$constant,
            &manifold::$constant,
            &regions::$constant,
            &langevin::$constant,
            &conditional::$constant,
            &digits::$constant,
            &levels::$constant,
            &forward::$constant,
            &bound::$constant,
            &ancestral::$constant,
            &skip::$constant,
            &variance::$constant,
            &few_steps::$constant,
            &sdes::$constant,
            &one_net::$constant,
            &reverse_sde::$constant,
            &flow::$constant,
            &control_plane::$constant,
            &control_digits::$constant,
            &codes::$constant,
            &vae::$constant,
            &hierarchy::$constant,
            &gan::$constant,
            &denoising_gan::$constant,
            &trilemma::$constant,
            &fid_table::$constant,
            &coding::$constant,
            &coding_depth::$constant,
        ]
    };
}

/// Every study, in the order of the menu and of the guided tour, chapter by chapter. The page, which has no tables built
/// in, knows those of [`studies`].
pub const STUDIES: &[&Study] = &of_each!(STUDY);

/// The studies that this program knows, in the order of the menu: in the page those that were fetched.
#[cfg(not(feature = "ui"))]
#[must_use]
pub fn studies() -> &'static [&'static Study] {
    STUDIES
}

// A wrong key in a table is an error of the compiler.
const _: () = {
    let mut i = 0;
    while i < STUDIES.len() {
        STUDIES[i].check();
        i += 1;
    }
};

#[cfg(feature = "engine")]
const WORKS: &[&Work] = &of_each!(WORK);

/// The study of this name, if there is one.
#[must_use]
pub fn find(name: StudyName) -> Option<&'static Study> {
    studies().iter().copied().find(|study| study.id == name.as_str())
}

/// The studies before and after this one, chapter by chapter.
#[must_use]
pub fn neighbours(study: &Study) -> [Option<&'static Study>; 2] {
    let place = studies().iter().position(|other| other.id == study.id).unwrap_or(0);
    [place.checked_sub(1), Some(place + 1)].map(|place| studies().get(place?).copied())
}

/// The place of a study in its chapter, from 1, and the number of studies there.
#[must_use]
pub fn place(study: &Study) -> (usize, usize) {
    let chapter = || studies().iter().filter(|other| other.chapter == study.chapter);
    (chapter().position(|other| other.id == study.id).unwrap_or(0) + 1, chapter().count())
}

/// Begins the study of a configuration, if it is one.
#[cfg(feature = "engine")]
#[must_use]
pub fn begin(config: &RunConfig, compute: &ComputeDevice) -> Option<StudyRun> {
    let ExperimentId::Study(name) = config.experiment else { return None };
    let (study, work) = STUDIES.iter().zip(WORKS).find(|(study, _)| study.id == name.as_str())?;
    Some(StudyRun::new(study, **work, config, compute))
}

/// Runs a study to its end without a worker and gives all that it drew and measured last; nothing for a configuration of
/// no study. Files come from the folder `web`, whose contents are served beside the page.
///
/// # Errors
/// What the study could not go on from.
#[cfg(all(feature = "engine", not(target_arch = "wasm32")))]
pub async fn complete(
    config: &RunConfig,
    compute: &ComputeDevice,
    web: &std::path::Path,
) -> Result<crate::protocol::StudyUpdate, StudyError> {
    Ok(follow(config, compute, web, |_| true).await?.unwrap_or_default())
}

/// The same as [`complete`], with `goes_on` told now and then how many steps are done and of how many; `None` when it
/// wanted no more.
///
/// # Errors
/// As [`complete`].
#[cfg(all(feature = "engine", not(target_arch = "wasm32")))]
pub async fn follow(
    config: &RunConfig,
    compute: &ComputeDevice,
    web: &std::path::Path,
    mut goes_on: impl FnMut([u32; 2]) -> bool,
) -> Result<Option<crate::protocol::StudyUpdate>, StudyError> {
    let Some(mut running) = begin(config, compute) else { return Ok(Some(crate::protocol::StudyUpdate::default())) };
    let start = std::time::Instant::now();
    while !running.advance(false, || start.elapsed().as_secs_f64() * 1000.0).await? {
        if let Some(name) = running.wanted() {
            running.give(std::fs::read(web.join(name)).map_err(|error| format!("{name}: {error}")));
        }
        if !goes_on(running.progress()) {
            return Ok(None);
        }
    }
    Ok(Some(running.take()))
}
