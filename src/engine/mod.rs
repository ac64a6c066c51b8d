//! Training and sampling on Burn: the whole worker but for the browser around it.
//!
//! [`serve`] is the worker. It owns the device and the weights, takes commands from a [`Port`] and answers with events;
//! everything it does is a row of short steps, between which it looks at its port.

pub mod actor;
pub mod batch;
pub mod benchmark;
pub mod drive;
pub mod error;
pub mod field;
#[cfg(feature = "cli")]
pub mod image_trainer;
pub mod images;
pub mod inbox;
pub mod inspect;
pub mod job;
pub mod learned;
pub mod likelihood;
#[cfg(feature = "models")]
pub mod models;
pub mod network;
#[cfg(not(feature = "models"))]
mod no_models;
pub mod plane;
pub mod preview;
pub mod reproduction;
pub mod sample;
pub mod study;
pub mod timing;
pub mod train;
pub mod trainer;

pub use actor::serve;
pub use error::{EngineError, last_words, panic_words};
pub use inbox::{Download, Fetching, Port, Unreachable};
pub use learned::Learned;
pub use trainer::Trainer;
