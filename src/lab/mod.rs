//! What a run is: its configuration and the ranges of its fields.

pub mod choices;
pub mod comparison;
pub mod config;
pub mod controlled;
mod experiment;
pub mod fields;
pub mod images;
pub mod overrides;
mod resolve;
pub mod texts;

pub use choices::{
    Activation, ArrangementId, ClassId, ClipId, ControlId, DenoiserId, DeviceWish, DivergenceId, PrecisionId,
    PredictionId, ScheduleId, SolverId, SpacingId, TaskId, WeightingId,
};
pub use config::RunConfig;
pub use controlled::{Control, Controlled, planned_evaluations};
pub use experiment::{ExperimentId, StudyName};
pub use fields::{Correction, FIELDS, Field, Kind, Value, field};
pub use images::{Picture, Word};
pub use overrides::Overrides;
pub use texts::{Language, Texts};
