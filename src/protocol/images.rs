//! What page and worker say to each other about images.
//!
//! A run of images is an ordinary run: [`Command::Sample`](super::Command::Sample) with a configuration of
//! [`ExperimentId::Images`](crate::lab::ExperimentId::Images) begins it, it is held, stepped and ended as any other,
//! and it reports with [`ImageEvent::Frame`] in place of points. What is particular is here.

use serde::{Deserialize, Serialize};

use super::units::{Bytes, Floats, RunId};
use crate::lab::DeviceInfo;

/// The browser's store for weights, and for what else a worker keeps.
pub const WEIGHTS_CACHE: &str = "scorefield-weights";

/// The address under which the browser keeps what has this key; nothing is ever asked of it.
#[must_use]
pub fn kept_address(key: &str) -> String {
    format!("./kept/{key}")
}

/// Most workers that evaluate images together: beyond that the memory they share is the limit.
pub const MOST_WORKERS: u32 = 8;

/// What the page asks for about images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ImageCommand {
    /// Takes weights. Answers with [`ImageEvent::Fetching`], then [`ImageEvent::Loaded`], [`ImageEvent::Refused`], or
    /// `Done` with `stopped` after `Stop` or another `Load`. Weights at hand stay until the new ones are complete.
    Load {
        /// Name of the answers.
        run: RunId,
        /// Where they are.
        source: WeightsSource,
    },
    /// Computes what the reference computed: [`ImageEvent::SelfTest`].
    SelfTest {
        /// Name of the answer.
        run: RunId,
    },
    /// Times evaluations of the weights at hand: [`ImageEvent::Benchmark`], after each batch size with what is known so
    /// far. `Stop` ends it.
    Benchmark {
        /// Name of the answers.
        run: RunId,
        /// Numbers of images of an evaluation, such as 1, 4, 16.
        batches: Vec<u32>,
        /// About how long to measure each, in milliseconds.
        budget_ms: f64,
    },
    /// Evaluates at most so many images at a time from now on: the worker before this one ran out of memory with more.
    Limit {
        /// How many.
        images: u32,
    },
    /// Keeps at most so many cores busy with images from now on: with two or more, a worker on the CPU has others
    /// evaluate for it. Without this command it takes all that there are.
    Cores {
        /// How many.
        most: u32,
    },
}

/// Where weights are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightsSource {
    /// A set that the page ships.
    Set {
        /// Its id in `weights/index.json`; empty for the first.
        id: String,
    },
    /// A published checkpoint or a set of the visitor's: addresses to fetch. A dropped file comes as its `blob:` address, so
    /// that the page holds no copy of it. Several are one checkpoint: its shards and the settings beside them. A single
    /// `.json` is a manifest with its shards beside it.
    Addresses(Vec<NamedAddress>),
    /// The bytes of files, which are one checkpoint.
    Files(Vec<NamedBytes>),
    /// A model of the Hugging Face hub.
    Hub {
        /// Where the hub is, `https://huggingface.co`; empty for what was kept alone, so that nobody is asked.
        origin: String,
        /// Its name there, `owner/name`.
        model: String,
        /// Whether it is only asked about: how large it is and, on the CPU, how long an evaluation of such a network takes.
        look: bool,
    },
}

/// A file to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedAddress {
    /// What to call it in messages: the name of the file.
    pub name: String,
    /// The address.
    pub address: String,
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedBytes {
    /// What to call it in messages.
    pub name: String,
    /// The file.
    pub file: Bytes,
}

/// What the worker reports about images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ImageEvent {
    /// Weights are on their way. At most 10 a second for each file, and one for each twentieth of all.
    Fetching {
        /// The name given.
        run: RunId,
        /// The file in progress.
        file: String,
        /// Bytes of all files so far.
        received: f64,
        /// Bytes of all files; 0 when that is not known.
        total: f64,
        /// Whether the file comes from the browser's cache.
        cached: bool,
    },
    /// Weights are at hand; or the hub, which was only asked about them, has them, and nothing is held.
    Loaded {
        /// The name given.
        run: RunId,
        /// What they are.
        weights: WeightsSummary,
    },
    /// Weights were not taken; those at hand stay.
    Refused {
        /// The name given.
        run: RunId,
        /// Why.
        refusal: Refusal,
    },
    /// The state of a run at a level.
    Frame {
        /// The run.
        run: RunId,
        /// The state.
        frame: ImageFrame,
    },
    /// How many images of a run are evaluated at a time, before the first evaluation.
    Batch {
        /// The run.
        run: RunId,
        /// How many.
        images: u32,
    },
    /// How many workers evaluate the images of a run from now on; before the first of these it is one.
    Pool {
        /// The run.
        run: RunId,
        /// How many.
        workers: u32,
    },
    /// How far a run is, between frames; at most 5 a second.
    Progress {
        /// The run.
        run: RunId,
        /// How far.
        progress: ImageProgress,
    },
    /// Something to know that is no failure.
    Notice {
        /// The run, or the name given.
        run: RunId,
        /// What.
        notice: Notice,
    },
    /// This device's numbers beside the reference's.
    SelfTest {
        /// The name given.
        run: RunId,
        /// The numbers.
        report: SelfTest,
    },
    /// Timings so far.
    Benchmark {
        /// The name given.
        run: RunId,
        /// The timings.
        benchmark: ImageBenchmark,
        /// Whether these are all.
        complete: bool,
    },
}

/// Images at a level. Pixels are bytes, `red, green, blue` of every pixel, rows from the top, image after image; -1 is
/// 0 and 1 is 255.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageFrame {
    /// Solver steps done.
    pub step: u32,
    /// Solver steps in all; 0 when the solver decides.
    pub of: u32,
    /// Time of the level.
    pub t: f64,
    /// Signal of the level.
    pub alpha: f64,
    /// Noise of the level.
    pub sigma: f64,
    /// Network evaluations so far, for each image; with guidance a pair counts as one.
    pub evaluations: u32,
    /// How many images.
    pub images: u32,
    /// Height and width of an image.
    pub side: u32,
    /// The noisy images, scaled to `alpha^2 + sigma^2 = 1`.
    pub noisy: Bytes,
    /// What the network expects them to become; empty at the start.
    pub expected: Bytes,
}

/// How far a run of images is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageProgress {
    /// Network evaluations for each image so far, parts included.
    pub evaluations: f64,
    /// In all; 0 when the solver decides.
    pub planned: u32,
    /// Evaluations of single images a second, lately.
    pub rate: f64,
    /// Seconds left; 0 when that is not known.
    pub left: f64,
}

/// What is no failure but should be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// There was not enough memory, and fewer images are evaluated at a time.
    SmallerBatch {
        /// How many now.
        images: u32,
    },
    /// The weights could not be kept for the next visit: the browser gives no room.
    NotKept,
    /// The network knows no classes that there could be one each of: the class and the guidance do nothing.
    NoClasses,
    /// The device computes in single precision only, and so goes the run.
    NoHalf,
    /// Half precision was too far from single precision on this device, and the run goes on in the latter.
    HalfRefused,
    /// No grid was searched for the weights and this number of steps, and the run goes over Karras's. For which there
    /// are some, [`WeightsSummary::grids`] says.
    NoGrid {
        /// Steps of the run.
        steps: u32,
    },
}

/// Weights at hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightsSummary {
    /// Id of the set; `own` for a file of the visitor's.
    pub id: String,
    /// What to call it.
    pub title: String,
    /// What the file was recognised as, in English; empty for a set with a manifest.
    pub recognised: String,
    /// How the numbers were stored: `f32`, `f16`, `int8`.
    pub precision: String,
    /// Parameters of the network.
    pub parameters: u32,
    /// Bytes of the files.
    pub file_bytes: f64,
    /// Bytes of the weights as they are held; 0 where the hub was only asked about them.
    pub held_bytes: f64,
    /// Channels at full resolution.
    pub channels: u32,
    /// Height and width of an image.
    pub side: u32,
    /// Names of the classes; empty without.
    pub classes: Vec<String>,
    /// Whether the network always wants a class, so that there is no guidance either.
    pub class_required: bool,
    /// What the output means: `noise`, `data`, `velocity`, `score`, `karras`.
    pub prediction: String,
    /// Whether the variance of a step was learned too.
    pub learned_variance: bool,
    /// Licence; empty when it is not known.
    pub licence: String,
    /// How they were trained, by whom, on what; empty when it is not known.
    pub provenance: String,
    /// A measured Fréchet inception distance, with what it takes to compare it, in English; empty when none was measured.
    pub fid: String,
    /// Numbers of steps for which a grid was searched, rising.
    pub grids: Vec<u32>,
    /// Additions and multiplications of one evaluation of one image, in billions.
    pub gflop: f64,
    /// Milliseconds of one evaluation of one image on this CPU, measured; 0 where it was not.
    pub evaluation_ms: f64,
}

/// Why weights were not taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The file.
    pub file: String,
    /// What was found and what was expected, in English, from the first difference on; at most 20 lines.
    pub findings: Vec<String>,
    /// Whether the file could not be fetched, rather than not be used.
    pub unreachable: bool,
    /// Title of the weights that stay; empty when there were none.
    pub kept: String,
}

/// A self-test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// The device.
    pub device: DeviceInfo,
    /// The networks computed.
    pub cases: Vec<SelfTestCase>,
    /// How long it took, compilation included, in milliseconds.
    pub millis: f64,
}

impl SelfTest {
    /// Whether every case is within its tolerance.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.cases.is_empty() && self.cases.iter().all(SelfTestCase::passed)
    }
}

/// A network of a self-test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfTestCase {
    /// Its name: `network`, `network-classes`, `network-song`, `network-ncsn`, `network-ncsnv2`, `sample`.
    pub name: String,
    /// What the reference computed, the first 16 numbers.
    pub expected: Floats,
    /// What this device computed, as many.
    pub found: Floats,
    /// The largest difference of all numbers, relative to the largest number; infinite when one is not finite.
    pub error: f64,
    /// The largest that is right.
    pub tolerance: f64,
}

impl SelfTestCase {
    /// Whether the error is within the tolerance.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Timings of a network of images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageBenchmark {
    /// The device.
    pub device: DeviceInfo,
    /// The weights.
    pub title: String,
    /// Parameters of the network.
    pub parameters: u32,
    /// Height and width of an image.
    pub side: u32,
    /// Additions and multiplications of one evaluation of one image, in billions.
    pub gflop: f64,
    /// Bytes of weights held.
    pub weight_bytes: f64,
    /// Bytes that the worker holds in all, where that can be known; 0 otherwise.
    pub held_bytes: f64,
    /// One row for each batch.
    pub rows: Vec<BenchmarkRow>,
}

impl ImageBenchmark {
    /// The timings as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and texts only: the writer has nothing to refuse.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Timings of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkRow {
    /// Images of an evaluation.
    pub batch: u32,
    /// Time of the first evaluation, compilation included, in milliseconds.
    pub warm_up_ms: f64,
    /// Median time of the others.
    pub evaluation_ms: f64,
    /// How many others.
    pub evaluations: u32,
    /// Images a second with 20 evaluations each.
    pub images_per_second: f64,
    /// Workers that evaluated the same images together; 0 when one had to do it alone.
    pub workers: u32,
    /// Median time that they took, in milliseconds; 0 without them.
    pub together_ms: f64,
    /// Median time of an evaluation in half precision, in milliseconds; 0 where the device has none.
    pub half_ms: f64,
}

/// The list of the sets that the page ships, `weights/index.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsIndex {
    /// Version of the format, 1.
    pub format: u32,
    /// The sets; the first is the one to begin with.
    pub sets: Vec<WeightsEntry>,
}

/// One set of the list. Its manifest is `weights/<id>/manifest.json`. What the list also offers of the hub, with `hub:owner/name`
/// for an id, is for the page alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsEntry {
    /// Name of its folder: letters, digits, `.`, `-`, `_`.
    pub id: String,
    /// What to call it.
    pub title: String,
    /// Bytes of its files.
    pub bytes: u32,
    /// Ids of sets that are no longer offered, whose place it has taken.
    #[serde(default)]
    pub replaces: Vec<String>,
}

impl WeightsIndex {
    /// The list in this file; sets whose names cannot be folders are left out.
    ///
    /// # Errors
    /// What is wrong with the file, in English.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let mut index: Self = serde_json::from_str(json).map_err(|error| format!("not a list of weights: {error}"))?;
        if index.format != 1 {
            return Err(format!("format {} of a list of weights is not read, only 1", index.format));
        }
        index.sets.retain(|set| crate::lab::Word::is_folder(&set.id));
        if index.sets.is_empty() { Err("the list names no weights".to_owned()) } else { Ok(index) }
    }

    /// The set with this id or in its place; the first for an empty one.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&WeightsEntry> {
        if id.is_empty() {
            return self.sets.first();
        }
        let in_its_place = |set: &&WeightsEntry| set.replaces.iter().any(|replaced| replaced == id);
        self.sets.iter().find(|set| set.id == id).or_else(|| self.sets.iter().find(in_its_place))
    }
}
