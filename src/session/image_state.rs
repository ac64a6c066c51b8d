//! What the session knows of images: weights, limits and measurements, by worker.

use super::slot::Slot;
use crate::protocol::RunId;
use crate::protocol::images::{HubOffer, ImageBenchmark, Refusal, SelfTest, WeightsSource, WeightsSummary};

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
    /// The model of the hub that may be taken, and where it may be fetched: nowhere when only what was kept may be.
    pub allowed: Option<(String, String)>,
    /// A question to the hub that is not answered, and which worker asks it.
    pub looking: Option<(RunId, Slot)>,
    /// The hub's last answer.
    pub offer: Option<HubOffer>,
    /// The load in progress, on which worker, and the name of the weights.
    pub loading: Option<(RunId, Slot, String)>,
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
