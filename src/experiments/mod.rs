//! The table of all experiments: those with a stage of their own, and the studies of [`crate::study`]; what each starts
//! from, which settings it has, and which of them matter.

pub mod settings;

use crate::data::DatasetId;
use crate::lab::{
    ArrangementId, ClassId, ControlId, DeviceChoice, DivergenceId, ExperimentId, FIELDS, Field, PredictionId,
    RunConfig, ScheduleId, SolverId, SpacingId, TaskId,
};
use crate::study::{STUDIES, Study};

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
            Group { id: "data", fields: &["dataset", "drawing"], advanced: false },
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
            Group { id: "images", fields: &["task", "picture", "images", "image-class", "guidance"], advanced: false },
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
            Group { id: "run", fields: &["device", "precision"], advanced: true },
        ],
    },
];

impl Experiment {
    /// The experiment with this id; the first one for a study, which has no row here.
    #[must_use]
    pub fn find(id: ExperimentId) -> &'static Self {
        EXPERIMENTS.iter().find(|e| e.id == id).unwrap_or(&EXPERIMENTS[0])
    }
}

/// The configuration that an empty link to this experiment opens.
#[must_use]
pub fn defaults(id: ExperimentId) -> RunConfig {
    match id {
        ExperimentId::Study(_) => RunConfig { experiment: id, ..RunConfig::default() },
        _ => (Experiment::find(id).defaults)(),
    }
}

/// Every experiment, in the order of the menu.
pub fn all() -> impl Iterator<Item = ExperimentId> {
    ExperimentId::STAGED.into_iter().chain(STUDIES.iter().filter_map(|study| ExperimentId::named(study.id)))
}

/// The experiment of this name, if there is one.
#[must_use]
pub fn find(id: &str) -> Option<ExperimentId> {
    all().find(|known| known.id() == id)
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
    use ScheduleId as Sched;
    use SolverId as Solver;
    if let Some(study) = study(config.experiment) {
        return study.shows(key, config);
    }
    match key {
        "drawing" => config.dataset == DatasetId::Drawing,
        "beta-min" | "beta-max" => matches!(config.schedule, Sched::Linear | Sched::SubVp),
        "sigma-min" | "sigma-max" => matches!(config.schedule, Sched::Exploding | Sched::Geometric | Sched::Edm),
        "levels" => config.schedule == Sched::Geometric,
        "eta" => config.solver == Solver::Ddim,
        "churn" => config.solver == Solver::EdmHeun,
        "snr" | "corrections" => {
            matches!(config.solver, Solver::PredictorCorrector | Solver::AnnealedCorrector | Solver::AnnealedLangevin)
        }
        "tolerance" => config.solver == Solver::Rk45,
        // The adaptive solver chooses its own steps.
        "steps" | "spacing" => config.solver != Solver::Rk45,
        "observe-angle" | "observe-value" | "observe-noise" => {
            !matches!(config.control, ControlId::None | ControlId::Class)
        }
        // The adaptive solver has no grid to go up on.
        "jump" | "resamples" => config.control == ControlId::Repaint && config.solver != Solver::Rk45,
        "class" => config.control == ControlId::Class,
        "guidance" if config.experiment == ExperimentId::Images => config.image_class != ClassId::Any,
        "guidance" | "guidance-from" | "guidance-to" => {
            matches!(config.control, ControlId::Observe | ControlId::Class)
        }
        "probes" => config.divergence != DivergenceId::Exact,
        "weighting" => config.prediction != PredictionId::Edm,
        "picture" => config.task != TaskId::Generate,
        "variation" => config.arrangement == ArrangementId::Variations,
        "seed-to" => config.arrangement == ArrangementId::Interpolation,
        "precision" => config.device != DeviceChoice::Cpu,
        _ => true,
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
    fn every_experiment_shows_each_field_at_most_once_and_only_known_ones() {
        for experiment in EXPERIMENTS {
            let shown: Vec<&str> = experiment.groups.iter().flat_map(|g| g.fields).copied().collect();
            for key in &shown {
                assert!(FIELDS.iter().any(|f| f.key == *key), "{key}");
                assert_eq!(shown.iter().filter(|k| *k == key).count(), 1, "{key}");
            }
        }
    }

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
