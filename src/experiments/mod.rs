//! The table of all experiments: those with a stage of their own, and the studies of [`crate::study`]; what each starts
//! from, which settings it has, and which of them matter.

pub mod settings;

use crate::lab::settings::same;
use crate::lab::{ExperimentId, FIELDS, Field, RunConfig, SolverId, SpacingId, field};
use crate::study::{Study, studies};

/// An experiment: what it starts from and what a visitor may change.
pub struct Experiment {
    /// Stable id, and stem of its texts in the locale files: `experiment.<id>.title`, `.lead`, `.what-to-see`.
    pub id: ExperimentId,
    /// The configuration an empty link opens.
    pub defaults: fn() -> RunConfig,
    /// Groups of controls, in order: stem of the group's title and the keys of its fields.
    pub groups: &'static [Group],
}

/// A group of controls.
pub struct Group {
    /// Stem of its title in the locale files: `group.<id>`.
    pub id: &'static str,
    /// Keys of [`FIELDS`].
    pub fields: &'static [&'static str],
    /// Whether the group is folded away at first, so that a newcomer is not drowned.
    pub advanced: bool,
}

/// Every experiment, in the order of the menu.
pub const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        id: ExperimentId::Plane,
        defaults: RunConfig::default,
        groups: &[
            Group { id: "data", fields: &["dataset", "drawing", "gaussians"], advanced: false },
            Group {
                id: "schedule",
                fields: &["schedule", "beta-min", "beta-max", "sigma-min", "sigma-max", "levels"],
                advanced: false,
            },
            Group { id: "model", fields: &["denoiser", "prediction", "width", "depth", "activation"], advanced: true },
            Group { id: "training", fields: &["training-steps", "batch", "rate", "ema", "weighting"], advanced: true },
            Group {
                id: "sampling",
                fields: &["solver", "steps", "spacing", "eta", "churn", "snr", "corrections", "tolerance", "samples"],
                advanced: false,
            },
            Group {
                id: "control",
                fields: &[
                    "control",
                    "observe-angle",
                    "observe-value",
                    "observe-noise",
                    "jump",
                    "resamples",
                    "class",
                    "guidance",
                    "guidance-from",
                    "guidance-to",
                ],
                advanced: true,
            },
            Group { id: "likelihood", fields: &["divergence", "probes", "points", "flow-tolerance"], advanced: true },
            Group { id: "run", fields: &["seed", "device"], advanced: true },
        ],
    },
    Experiment {
        id: ExperimentId::Images,
        defaults: RunConfig::of_images,
        groups: &[
            Group { id: "weights", fields: &["weights"], advanced: false },
            Group {
                id: "images",
                fields: &[
                    "task",
                    "picture",
                    "method",
                    "jump",
                    "resamples",
                    "observe-noise",
                    "images",
                    "image-class",
                    "guidance",
                ],
                advanced: false,
            },
            Group {
                id: "sampling",
                fields: &["solver", "steps", "spacing", "eta", "churn", "snr", "corrections", "tolerance", "clip"],
                advanced: false,
            },
            Group {
                id: "schedule",
                fields: &["schedule", "beta-min", "beta-max", "sigma-min", "sigma-max", "levels"],
                advanced: true,
            },
            Group { id: "noise", fields: &["seed", "arrangement", "variation", "seed-to"], advanced: false },
            Group { id: "picture-likelihood", fields: &["probes", "flow-tolerance"], advanced: true },
            Group { id: "run", fields: &["device", "precision"], advanced: true },
        ],
    },
];

impl Experiment {
    /// The experiment with this id; `None` for a study, which has no row here.
    #[must_use]
    pub fn find(id: ExperimentId) -> Option<&'static Self> {
        EXPERIMENTS.iter().find(|e| e.id == id)
    }

    /// Asserts that every key of the groups is that of a field, and none is there twice: for a constant.
    const fn check(&self) {
        let (mut shown, mut group) = ([false; FIELDS.len()], 0);
        while group < self.groups.len() {
            let (keys, mut i) = (self.groups[group].fields, 0);
            while i < keys.len() {
                let mut place = 0;
                while !same(FIELDS[place].key, keys[i]) {
                    place += 1;
                    assert!(place < FIELDS.len(), "no field has this key");
                }
                assert!(!shown[place], "a field is shown twice");
                shown[place] = true;
                i += 1;
            }
            group += 1;
        }
    }
}

// A wrong key in the table is an error of the compiler.
const _: () = {
    let mut i = 0;
    while i < EXPERIMENTS.len() {
        EXPERIMENTS[i].check();
        i += 1;
    }
};

/// The configuration that an empty link to this experiment opens.
#[must_use]
pub fn defaults(id: ExperimentId) -> RunConfig {
    match Experiment::find(id) {
        Some(experiment) => (experiment.defaults)(),
        None => RunConfig { experiment: id, ..RunConfig::default() },
    }
}

/// Every experiment that this program knows, in the order of the menu.
pub fn all() -> impl Iterator<Item = ExperimentId> {
    ExperimentId::STAGED.into_iter().chain(studies().iter().filter_map(|study| ExperimentId::named(study.id)))
}

/// The experiment of this name, if there is one. While no study is known, as in a page that has just been opened, every
/// name may be one's.
#[must_use]
pub fn find(id: &str) -> Option<ExperimentId> {
    if studies().is_empty() { ExperimentId::named(id) } else { all().find(|known| known.id() == id) }
}

/// The study of an experiment, if it is one and is known.
#[must_use]
pub fn study(id: ExperimentId) -> Option<&'static Study> {
    let ExperimentId::Study(name) = id else { return None };
    crate::study::find(name)
}

/// The fields of an experiment: those that every experiment has, and its own.
pub fn fields_of(experiment: ExperimentId) -> impl Iterator<Item = &'static Field> {
    let own = study(experiment).map_or(&[][..], |study| study.controls);
    FIELDS.iter().chain(own.iter().map(|control| &control.field))
}

/// The field of an experiment with this key.
#[must_use]
pub fn field_of(experiment: ExperimentId, key: &str) -> Option<&'static Field> {
    fields_of(experiment).find(|f| f.key == key)
}

/// Whether the field with this key has any effect under this configuration. A control that does nothing is not shown.
#[must_use]
pub fn matters(key: &str, config: &RunConfig) -> bool {
    match study(config.experiment) {
        Some(study) => study.shows(key, config),
        None => field(key).is_none_or(|field| field.matters(config)),
    }
}

/// The best general-purpose spacing for a solver, which the page selects when the visitor changes the solver.
#[must_use]
pub fn usual_spacing(solver: SolverId) -> SpacingId {
    match solver {
        SolverId::EdmHeun | SolverId::Heun => SpacingId::Karras,
        SolverId::Ddpm
        | SolverId::DdpmLarge
        | SolverId::Ddim
        | SolverId::EulerMaruyama
        | SolverId::ReverseDiffusion
        | SolverId::PredictorCorrector
        | SolverId::AnnealedCorrector => SpacingId::Uniform,
        _ => SpacingId::LogSnr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_choice_of_the_experiment_has_its_control() {
        let shown = |key: &str| EXPERIMENTS.iter().flat_map(|e| e.groups).any(|g| g.fields.contains(&key));
        for field in FIELDS.iter().filter(|f| f.key != "experiment") {
            assert!(shown(field.key), "{}", field.key);
        }
    }

    #[test]
    fn the_table_has_one_row_per_id() {
        for id in all() {
            let rows = if study(id).is_some() { 0 } else { 1 };
            assert_eq!(EXPERIMENTS.iter().filter(|e| e.id == id).count(), rows);
            assert_eq!(defaults(id).experiment, id);
            assert_eq!(find(id.id()), Some(id));
        }
    }
}
