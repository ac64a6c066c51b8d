//! What the page and the worker say to each other.
//!
//! A run is named by a [`RunId`] that the page makes; the page ignores events of runs that are not current. The worker
//! announces itself with [`Event::Ready`]; what is posted before that is lost, so the page keeps its commands until then.
//! [`crate::wire`] makes bytes of the messages.

pub mod images;
pub mod pool;
pub mod remote;
pub mod study;
mod units;

use serde::{Deserialize, Serialize};

use crate::data::metrics::{Measure, Quality};
use crate::lab::{DeviceInfo, RunConfig};
pub use images::{ImageCommand, ImageEvent};
pub use pool::PoolRequest;
pub use study::{LayerData, Measured, StudyUpdate, Verdict};
pub use units::{Bytes, Floats, RunId};

/// What the page asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// What one worker asks of another; first, as [`pool::PoolCommand`] has it.
    Pool(PoolRequest),
    /// Makes new weights from the seed and trains them. Ends the current run.
    Train {
        /// Name of the new run.
        run: RunId,
        /// The run.
        config: RunConfig,
    },
    /// Goes on training from a checkpoint made by [`Event::Checkpoint`], up to the configuration's training steps.
    /// Adam's moments start anew.
    Continue {
        /// Name of the new run.
        run: RunId,
        /// The run.
        config: RunConfig,
        /// A checkpoint.
        checkpoint: Bytes,
    },
    /// Samples with the weights at hand, or with the closed form if the configuration says so. Ends the current run.
    Sample {
        /// Name of the new run.
        run: RunId,
        /// The run. Its solver, steps and schedule need not be those of training.
        config: RunConfig,
    },
    /// Begins the configuration's study. Ends the current run.
    Study {
        /// Name of the new run.
        run: RunId,
        /// The run.
        config: RunConfig,
    },
    /// Holds the current run after the step in progress. Of images, whose steps can be long, the step in progress is
    /// given up and done anew afterwards.
    Pause,
    /// Goes on with it.
    Resume,
    /// Does one step (of training, or of the solver) of the paused run.
    Step,
    /// Ends the current run; what it made so far stays.
    Stop,
    /// Asks for the weights at hand as a file: [`Event::Weights`].
    Save {
        /// Name of the answer, [`Event::Weights`] or [`Event::Failed`].
        run: RunId,
    },
    /// Takes a file of weights: safetensors with the configuration inside, as [`Event::Weights`] gives it.
    Load {
        /// Name of the answer, [`Event::Loaded`] or [`Event::Failed`].
        run: RunId,
        /// The file.
        file: Bytes,
    },
    /// Computes the likelihood of fresh data by the flow and by the variational bound, with the weights at hand or the
    /// closed form: [`Event::Report`]. Ends the current run.
    Likelihood {
        /// Name of the new run.
        run: RunId,
        /// The run.
        config: RunConfig,
    },
    /// Compares samples with the data in every way there is: [`Event::Report`]. Ends the current run.
    Inspect {
        /// Name of the new run.
        run: RunId,
        /// Says which data.
        config: RunConfig,
        /// The samples, in the data's own coordinates.
        points: Floats,
    },
    /// EvaluationBatch for the score field of the weights at hand (or of the closed form): [`Event::Field`].
    Field {
        /// Repeated in the answer; the page keeps only the newest.
        request: u32,
        /// Says which denoiser and schedule.
        config: RunConfig,
        /// Time of the level.
        t: f64,
        /// Points along one side of the square grid.
        side: u32,
    },
    /// Times training and sampling of the configuration's network on this device: [`Event::Benchmark`].
    Benchmark {
        /// The configuration.
        config: RunConfig,
        /// About how long to measure, in milliseconds.
        budget_ms: f64,
    },
    /// What concerns images alone.
    Images(ImageCommand),
}

/// What the worker reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The worker can be talked to.
    Ready {
        /// What it computes on.
        device: DeviceInfo,
    },
    /// What a network says of an image, as [`PoolRequest::Evaluate`] asks. The first two are those of [`pool::PoolEvent`].
    Evaluated {
        /// As asked.
        id: u32,
        /// Its output, channels before pixels.
        output: Floats,
    },
    /// Training goes on. Sent about 30 times a second.
    Training {
        /// The run.
        run: RunId,
        /// Steps done.
        step: u32,
        /// Steps in all.
        of: u32,
        /// Losses since the last report, one a step.
        losses: Floats,
        /// Steps a second, lately.
        rate: f64,
    },
    /// The state of a sampling run at a level, in the data's own coordinates.
    Frame {
        /// The run.
        run: RunId,
        /// Solver steps done.
        step: u32,
        /// Solver steps in all; 0 when the solver decides.
        of: u32,
        /// Time of the level.
        t: f64,
        /// Network evaluations so far, per sample.
        evaluations: u32,
        /// `x, y` of every sample.
        points: Floats,
        /// `x, y` of what the denoiser expects every sample to become; empty at the start.
        expected: Floats,
    },
    /// A first look at samples while training goes on, in the data's own coordinates.
    Preview {
        /// The training run.
        run: RunId,
        /// Training steps done.
        step: u32,
        /// `x, y` of every sample.
        points: Floats,
    },
    /// How close samples are to the data.
    Quality {
        /// The run.
        run: RunId,
        /// Training steps behind the weights used.
        step: u32,
        /// The numbers.
        quality: Quality,
    },
    /// StudyUpdate of a study. Sent about 30 times a second.
    Study {
        /// The run.
        run: RunId,
        /// What has changed.
        update: StudyUpdate,
    },
    /// Numbers about a model or its samples, so far.
    Report {
        /// The run.
        run: RunId,
        /// The numbers.
        report: Report,
    },
    /// The weights so far, in memory of the page in case the worker dies. Sent every few seconds.
    Checkpoint {
        /// The training run.
        run: RunId,
        /// Training steps done.
        step: u32,
        /// For [`Command::Continue`] and [`Command::Load`].
        file: Bytes,
    },
    /// The run is held.
    Paused {
        /// The run.
        run: RunId,
    },
    /// The run goes on.
    Resumed {
        /// The run.
        run: RunId,
    },
    /// The run is over.
    Done {
        /// The run.
        run: RunId,
        /// Whether it had begun; one that waited for weights of images may be ended before it does.
        began: bool,
        /// Whether it was ended by [`Command::Stop`] or by another run.
        stopped: bool,
        /// Wall time without pauses, in milliseconds.
        millis: f64,
    },
    /// The weights as a file.
    Weights {
        /// The name given.
        run: RunId,
        /// Training steps behind them.
        step: u32,
        /// Safetensors; its metadata hold the configuration as JSON.
        file: Bytes,
    },
    /// A file of weights was taken.
    Loaded {
        /// The name given.
        run: RunId,
        /// The configuration inside the file.
        config: RunConfig,
        /// Training steps behind the weights.
        step: u32,
    },
    /// A score field.
    Field {
        /// As asked.
        request: u32,
        /// As asked.
        t: f64,
        /// As asked.
        side: u32,
        /// `x, y` of the score at every grid point of the data set's window, rows from the bottom, in the data's own
        /// coordinates.
        score: Floats,
    },
    /// Timings.
    Benchmark {
        /// The measurements.
        benchmark: Benchmark,
    },
    /// What concerns images alone.
    Images(ImageEvent),
    /// Something could not be done. The worker goes on.
    Failed {
        /// The run, if it was a run that failed.
        run: Option<RunId>,
        /// What happened.
        failure: Failure,
    },
}

/// What a [`Report`] is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The likelihood of fresh data.
    #[default]
    Likelihood,
    /// Samples against data.
    Samples,
    /// Samples against what was known beforehand.
    Control,
}

/// Numbers about a model or its samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What about.
    pub subject: Subject,
    /// Parts of the work done.
    pub done: u32,
    /// Parts in all.
    pub of: u32,
    /// The numbers so far.
    pub rows: Vec<Measure>,
    /// `x, y` of data in their own coordinates; empty where there are none.
    pub data: Floats,
    /// `x, y` of their codes, in standard deviations of the prior.
    pub latent: Floats,
    /// `t, nats` of every term of the variational bound.
    pub terms: Floats,
}

impl Report {
    /// The numbers of samples beside what was known of them beforehand.
    #[must_use]
    pub fn of_control(rows: Vec<Measure>) -> Self {
        Self { subject: Subject::Control, done: 1, of: 1, rows, ..Self::default() }
    }
}

/// Timings of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// The device.
    pub device: DeviceInfo,
    /// Parameters of the network.
    pub parameters: u32,
    /// Time of the first training step, compilation included, in milliseconds.
    pub warm_up_ms: f64,
    /// Median time of a training step, in milliseconds.
    pub training_step_ms: f64,
    /// Training batch.
    pub batch: u32,
    /// Median time of one network evaluation of `samples` points, in milliseconds.
    pub evaluation_ms: f64,
    /// Points of an evaluation.
    pub samples: u32,
    /// Training steps a second.
    pub training_steps_per_second: f64,
    /// Samples a second with the configuration's solver and steps.
    pub samples_per_second: f64,
    /// Digests of what the configuration fixes on every device: initial weights, first batches, the prior's noise.
    pub digests: String,
}

/// What kind of thing went wrong: chooses the message, its language and the advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// A device was asked for that is not there.
    NoDevice,
    /// The device went away.
    DeviceLost,
    /// The machine that computes for the page is not reached, or no longer.
    Disconnected,
    /// The loss or the samples are no longer finite.
    Diverged,
    /// There are no trained weights to sample with.
    Untrained,
    /// A file is not one of ours, or damaged.
    BadFile,
    /// A file could not be fetched.
    Unreachable,
    /// The configuration cannot be run, such as an empty drawing.
    BadConfig,
    /// The weights do not have the class that was asked for, or none without one.
    NoClass,
    /// Not enough memory.
    OutOfMemory,
    /// Page and worker are of different builds: the page has to be loaded again.
    Outdated,
    /// A fault of the program.
    Internal,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// Particulars for the curious, in English.
    pub detail: String,
}
