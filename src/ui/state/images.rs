//! What the page knows of images beside what every experiment has.

use std::collections::VecDeque;

use crate::lab::{RunConfig, SolverId};
use crate::protocol::images::{ImageProgress, Notice};
use crate::session::film::Film;
use crate::share::Examination;
use crate::ui::signal::{Kept, Signal};

/// The classes of a set that the page ships.
pub struct ShippedClasses {
    /// Id of the set.
    pub id: String,
    /// Names of the classes.
    pub names: Vec<String>,
    /// Whether it always wants one.
    pub required: bool,
}

/// A run of images on the page: alone, or one row of a comparison.
pub struct Row {
    /// What was asked for.
    pub config: RunConfig,
    /// Names of the classes of the weights; none before the first images.
    pub classes: Vec<String>,
    /// What came.
    pub film: Film,
}

/// A network that others have published, as the page's list describes it.
#[derive(Clone)]
pub struct Published {
    /// Its name at the hub, `owner/name`.
    pub model: String,
    /// What to call it, in English.
    pub title: String,
    /// Its licence.
    pub licence: String,
    /// Who published it.
    pub source: String,
    /// Parameters of the network.
    pub parameters: f64,
    /// About how many bytes are fetched.
    pub bytes: f64,
    /// Additions and multiplications of one evaluation of one image, in billions.
    pub gflop: f64,
    /// The Fréchet inception distance that they published.
    pub fid: f64,
}

/// What the page knows of images beside what every experiment has.
pub struct Images {
    /// The runs on show, in order; the last one is the current one.
    pub rows: Kept<Vec<Row>>,
    /// How many they are.
    pub count: Signal<usize>,
    /// Runs that are still to come.
    pub queue: Kept<VecDeque<RunConfig>>,
    /// Solvers that are compared; none in a single run.
    pub compared: Signal<Vec<SolverId>>,
    /// Whether not the noisy images are shown but what the network expects of them.
    pub expected: Signal<bool>,
    /// Row and number of the image looked at.
    pub chosen: Signal<Option<(usize, usize)>>,
    /// The image that is to be blended with the next one chosen.
    pub pairing: Signal<Option<(usize, usize)>>,
    /// How far the run is.
    pub progress: Signal<ImageProgress>,
    /// How many workers evaluate them, if there are several.
    pub workers: Signal<u32>,
    /// The classes of the sets that the page ships, in their order, as far as their manifests are there.
    pub shipped: Signal<Vec<ShippedClasses>>,
    /// What should be known.
    pub notices: Signal<Vec<Notice>>,
    /// What others have published.
    pub published: Signal<Vec<Published>>,
    /// The model of the hub that a run waits for until the visitor lets it be fetched; empty without one.
    pub awaited: Kept<String>,
    /// Bytes that this site keeps in the browser, and how many it may.
    pub room: Signal<[f64; 2]>,
    /// What the link asks to be examined when everything is there.
    pub wanted: Signal<Examination>,
}

impl Images {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rows: Kept::new(Vec::new()),
            count: Signal::new(0),
            queue: Kept::new(VecDeque::new()),
            compared: Signal::new(Vec::new()),
            expected: Signal::new(false),
            chosen: Signal::new(None),
            pairing: Signal::new(None),
            progress: Signal::new(ImageProgress::default()),
            workers: Signal::new(0),
            shipped: Signal::new(Vec::new()),
            notices: Signal::new(Vec::new()),
            published: Signal::new(Vec::new()),
            awaited: Kept::new(String::new()),
            room: Signal::new([0.0; 2]),
            wanted: Signal::new(Examination::default()),
        }
    }

    /// Forgets the runs on show and those to come.
    pub fn forget(&self) {
        self.rows.update_value(Vec::clear);
        self.queue.update_value(VecDeque::clear);
        self.count.set(0);
        self.chosen.set(None);
        self.pairing.set(None);
        self.progress.set(ImageProgress::default());
        self.workers.set(0);
        self.notices.set(Vec::new());
    }

    /// The time of frame `index` of `count` positions, of the row that is shown first.
    #[must_use]
    pub fn level(&self, index: usize, count: usize) -> Option<f64> {
        self.rows.with_value(|rows| rows.first().and_then(|row| row.film.at(index, count)).map(|frame| frame.t))
    }
}
