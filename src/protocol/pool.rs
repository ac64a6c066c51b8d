//! What one worker says to another that it has spawned to evaluate images for it.
//!
//! A worker that is spawned is like any other: it reads every command and reports every event. The one that spawns it writes
//! a single kind of command and cares for two kinds of events, and the types for that are here: as messages they are
//! those of [`Command`](super::Command) and [`Event`](super::Event), and the code that reads and writes all of these
//! need not be there.

use serde::{Deserialize, Serialize};

use super::units::Floats;
use crate::lab::DeviceInfo;

/// What a worker is asked to do for another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PoolRequest {
    /// Takes the shape of a network; [`PoolRequest::Parameter`] follow. What was taken before is forgotten. There is no answer but
    /// [`Event::Failed`](super::Event::Failed).
    Begin {
        /// The shape as JSON.
        network: String,
    },
    /// Takes the numbers of the next parameter of that network, last dimension first.
    Parameter {
        /// The numbers.
        numbers: Floats,
    },
    /// Evaluates that network, once all its numbers are there: [`Event::Evaluated`](super::Event::Evaluated).
    Evaluate {
        /// Repeated in the answer.
        id: u32,
        /// One image as the network wants it, channels before pixels.
        image: Floats,
        /// Its height and width.
        side: u32,
        /// The time in the network's own units.
        time: f64,
        /// The class, if it is told one.
        class: Option<u32>,
    },
}

/// The first kind of [`Command`](super::Command).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum PoolCommand {
    /// As there.
    Pool(PoolRequest),
}

/// The first kinds of [`Event`](super::Event).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub enum PoolEvent {
    /// As there.
    Ready {
        /// What it computes on.
        device: DeviceInfo,
    },
    /// As there.
    Evaluated {
        /// As asked.
        id: u32,
        /// The network's output, channels before pixels.
        output: Floats,
    },
}
