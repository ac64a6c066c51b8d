//! What a run is: its configuration, the ranges of its fields, and the table of experiments.

pub mod choices;
pub mod comparison;
pub mod config;
pub mod controlled;
pub mod experiments;
pub mod fields;
pub mod film;
pub mod images;
pub mod overrides;
pub mod remote;
mod resolve;
pub mod session;
pub mod settings;
pub mod texts;

pub use choices::{
    Activation, ArrangementId, ClassId, ClipId, ControlId, DenoiserId, DeviceWish, DivergenceId, ExperimentId,
    PrecisionId, PredictionId, ScheduleId, SolverId, SpacingId, TaskId, WeightingId,
};
pub use config::RunConfig;
pub use controlled::{Control, Controlled, planned_evaluations};
pub use experiments::{EXPERIMENTS, Experiment, defaults};
pub use fields::{Correction, FIELDS, Field, Kind, Value, field, field_of, fields_of};
pub use images::{Picture, Word};
pub use overrides::Overrides;
pub use session::{Action, Session, Slot, Status};
pub use texts::{Language, Texts};
