//! What a run is: its configuration and the ranges of its fields.

pub mod choices;
mod classes;
pub mod comparison;
pub mod config;
pub mod device;
mod experiment;
pub mod images;
pub mod overrides;
mod picture;
mod resolve;
mod schedule;
pub(crate) mod settings;
mod solver;
pub mod texts;
pub mod value;
mod word;

pub use choices::{
    Activation, ArrangementId, ClipId, ControlId, DenoiserId, DeviceChoice, DivergenceId, MethodId, PrecisionId,
    PredictionId, SpacingId, TaskId, WeightingId,
};
pub use classes::{CIFAR10, ClassChoice, ClassError, Classes, FASHION_MNIST, check_names, usual_names};
pub use config::{FIELDS, Field, RunConfig, field};
pub use device::DeviceInfo;
pub use experiment::{ExperimentId, StudyName};
pub use overrides::Overrides;
pub use picture::{PIXELS, Picture, SIDE};
pub use resolve::planned_evaluations;
pub use schedule::ScheduleId;
pub use solver::SolverId;
pub use texts::{Language, Texts};
pub use value::{Correction, Kind, Preset, Setting, Value};
pub use word::{HUB, Word};
