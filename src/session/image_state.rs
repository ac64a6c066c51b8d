//! What the session knows of images: weights, limits and measurements, by worker.

use super::slot::Slot;
use crate::lab::RunConfig;
use crate::protocol::RunId;
use crate::protocol::images::{ImageBenchmark, Refusal, SelfTest, WeightsSource, WeightsSummary};

/// How far weights for images are, on the worker that was asked last.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ImageWeights {
    /// None were asked for.
    #[default]
    Absent,
    /// They are on their way.
    Fetching {
        /// The file in progress; empty before the first.
        file: String,
        /// Bytes so far.
        received: f64,
        /// Bytes in all; 0 when that is not known.
        total: f64,
    },
    /// They are there.
    Held(Box<WeightsSummary>),
    /// They were not taken.
    Refused(Refusal),
}

/// What the session knows of images.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    /// The visitor's own weights and which of them these are.
    pub own: Option<(u32, WeightsSource)>,
    /// The model of the hub that the visitor lets be fetched, and where from.
    pub allowed: Option<(String, String)>,
    /// What the hub said last of a model.
    pub offer: Option<WeightsSummary>,
    /// The run that waits for the visitor to say so.
    pub awaited: Option<RunConfig>,
    /// The loads in progress, on which workers, and the names of the weights; the page shows the last.
    pub loading: Vec<(RunId, Slot, String)>,
    pub state: ImageWeights,
    /// How many images of which run are evaluated at a time.
    pub batch: Option<(RunId, u32)>,
    /// Most images that a worker may evaluate at a time, after one died of more.
    pub limits: [Option<u32>; Slot::ALL.len()],
    /// Most cores that the CPU is to keep busy, if the visitor chose, and what its worker was told of it.
    pub cores: [Option<u32>; 2],
    pub testing: [Option<RunId>; Slot::ALL.len()],
    pub tests: [Option<SelfTest>; Slot::ALL.len()],
    pub measuring: [Option<RunId>; Slot::ALL.len()],
    pub benchmarks: [Option<ImageBenchmark>; Slot::ALL.len()],
}
