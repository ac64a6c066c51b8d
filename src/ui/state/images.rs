//! What the page knows of images beside what every experiment has.

use std::collections::VecDeque;

use crate::lab::{RunConfig, SolverId};
use crate::protocol::images::{ImageProgress, Notice};
use crate::session::film::Film;
use crate::share::Examination;
use crate::ui::signal::{Kept, Signal};

/// A run of images on the page: alone, or one row of a comparison.
pub struct Row {
    /// What was asked for.
    pub config: RunConfig,
    /// Names of the classes of the weights; none before the first images.
    pub classes: Vec<String>,
    /// What came.
    pub film: Film,
}

/// What it takes to compare a measured Fréchet inception distance.
pub struct Measured {
    /// How many images were drawn.
    pub images: f64,
    /// Network evaluations of each.
    pub evaluations: f64,
    /// How they were drawn, and what they were compared with, in English.
    pub how: String,
}

/// Weights that the page offers: a set, as its manifest describes it, or a model of the hub, as the page's list does.
pub struct Shipped {
    /// Its name in a configuration.
    pub id: String,
    /// Names of the sets whose place it has taken.
    pub replaces: Vec<String>,
    /// What to call it.
    pub title: String,
    /// Bytes of its files.
    pub bytes: f64,
    /// Additions and multiplications of one evaluation of one image, in billions, of a model of the hub.
    pub gflop: f64,
    /// Its licence; empty before that is known.
    pub licence: String,
    /// How it was trained, by whom, on what, in English.
    pub provenance: String,
    /// The Fréchet inception distance, as measured or published; 0 without one.
    pub fid: f64,
    /// How it was measured, where that is known.
    pub measured: Option<Measured>,
    /// Names of the classes; nothing before the manifest is there.
    pub classes: Option<Vec<String>>,
    /// Whether it always wants one.
    pub class_required: bool,
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
    /// What should be known.
    pub notices: Signal<Vec<Notice>>,
    /// The weights that the page offers; nothing before the list is read.
    pub sets: Signal<Option<Vec<Shipped>>>,
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
            notices: Signal::new(Vec::new()),
            sets: Signal::new(None),
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
