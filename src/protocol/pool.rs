//! Messages between a worker and those that it spawned to evaluate images for it.
//!
//! A worker that is spawned is like any other: it reads every command and reports every event. The one that spawns it writes
//! a single kind of command and cares for two kinds of events, and the types for that are here: as messages they are
//! those of [`Command`](super::Command) and [`Event`](super::Event), and the code that reads and writes all of these
//! need not be there.

use serde::{Deserialize, Serialize};

use super::units::Floats;
use crate::lab::DeviceInfo;

/// Request of one worker to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PoolRequest {
    /// Takes the shape of a network; [`PoolRequest::Parameter`] follow. What was taken before is forgotten. There is no answer but
    /// [`Event::Failed`](super::Event::Failed).
    Begin {
        /// Configuration of the network as JSON.
        network: String,
    },
    /// Takes the numbers of the next parameter of that network, last dimension first.
    Parameter {
        /// Values of the parameter.
        numbers: Floats,
    },
    /// Evaluates that network, once all its numbers are there: [`Event::Evaluated`](super::Event::Evaluated).
    Evaluate {
        /// Id, repeated in the answer.
        id: u32,
        /// Images as the network wants them, one after the other, channels before pixels.
        images: Floats,
        /// Height and width of each.
        side: u32,
        /// The time in the network's own units.
        time: f64,
        /// The class of each, if it is told one.
        classes: Vec<Option<u32>>,
    },
}

/// Command to a pooled worker: the first variant of [`Command`](super::Command), as a type of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum PoolCommand {
    /// [`Command::Pool`](super::Command::Pool).
    Pool(PoolRequest),
}

/// Event of a pooled worker: the first variants of [`Event`](super::Event), as a type of their own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub enum PoolEvent {
    /// [`Event::Ready`](super::Event::Ready).
    Ready {
        /// What it computes on.
        device: DeviceInfo,
    },
    /// [`Event::Evaluated`](super::Event::Evaluated).
    Evaluated {
        /// Id of the request.
        id: u32,
        /// The network's outputs, one after the other, channels before pixels.
        output: Floats,
    },
}
