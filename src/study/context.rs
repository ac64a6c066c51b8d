//! Where a study works: it draws, measures, and lets others take their turn.
//!
//! A study is one `async` function that knows nothing of ports, pauses or browsers. It calls [`StudyContext::yield_now`] after every
//! little piece of work; whoever runs it may then hold it, drop it, or go on. So a run is paused by not being polled and
//! stopped by being dropped.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::error::StudyError;
use super::table::Study;
use crate::lab::RunConfig;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Floats, LayerData, Measured, StudyUpdate};
use crate::rng::{Rng, Stream};

/// Work that goes on a step at a time.
pub type Step = Pin<Box<dyn Future<Output = Result<(), StudyError>>>>;
/// The work of a study, for a run.
pub type Work = fn(StudyContext, &RunConfig) -> Step;

/// What a study has reported since its last update.
#[derive(Default)]
struct Shared {
    report: StudyUpdate,
    due: bool,
    yielded: bool,
    lasted: f64,
    wanted: Option<&'static str>,
    given: Option<Result<Vec<u8>, String>>,
}

/// A study's place of work.
#[derive(Clone)]
pub struct StudyContext {
    study: &'static Study,
    seed: u32,
    /// The device.
    pub compute: ComputeDevice,
    shared: Rc<RefCell<Shared>>,
}

impl StudyContext {
    /// The seed of the run.
    #[must_use]
    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// The same place of work for a run with another seed: what is repeated draws other random numbers.
    #[must_use]
    pub fn with_seed(&self, seed: u32) -> Self {
        Self { seed, ..self.clone() }
    }

    /// A stream of the run's random numbers.
    #[must_use]
    pub fn rng(&self, stream: Stream, index: u32) -> Rng {
        Rng::new(self.seed, stream, index)
    }

    /// Lets others take their turn: to be called after every few milliseconds of work.
    pub async fn yield_now(&self) {
        let mut first = true;
        poll_fn(|_| {
            if std::mem::replace(&mut first, false) {
                self.shared.borrow_mut().yielded = true;
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// A file of those beside the page, such as `data/digits.bin`. Whoever runs the study brings it.
    ///
    /// # Errors
    /// [`StudyError::Unreachable`] when it cannot be had.
    pub async fn file(&self, name: &'static str) -> Result<Vec<u8>, StudyError> {
        self.shared.borrow_mut().wanted = Some(name);
        loop {
            self.yield_now().await;
            let given = self.shared.borrow_mut().given.take();
            if let Some(file) = given {
                return file.map_err(StudyError::Unreachable);
            }
        }
    }

    /// Whether it is time to draw again. What is drawn last is drawn in any case.
    #[must_use]
    pub fn due(&self) -> bool {
        self.shared.borrow().due
    }

    /// How long the work between the last two turns took, in milliseconds.
    #[must_use]
    pub fn lasted(&self) -> f64 {
        self.shared.borrow().lasted
    }

    /// How far the work is.
    pub fn progress(&self, step: usize, of: usize) {
        let report = &mut self.shared.borrow_mut().report;
        (report.step, report.of) = (step as u32, of as u32);
    }

    /// New numbers for a layer of a figure.
    pub fn draw(&self, figure: &str, layer: &str, data: impl IntoIterator<Item = f64>) {
        let mut numbers = Vec::new();
        data.into_iter().for_each(|v| push(&mut numbers, v));
        self.put(figure, layer, numbers);
    }

    // Not one copy for every place that draws: together they would be a tenth of the worker.
    #[inline(never)]
    fn put(&self, figure: &str, layer: &str, data: Vec<f32>) {
        let place = self.study.figures.iter().enumerate().find(|(_, f)| f.key == figure);
        let place = place.and_then(|(f, known)| Some((f, known.layers.iter().position(|l| l.key == layer)?)));
        debug_assert!(place.is_some(), "{} has no layer {layer} in a figure {figure}", self.study.id);
        let Some((figure, layer)) = place else { return };
        let (figure, layer, data) = (figure as u8, layer as u8, Floats(data));
        self.update(StudyUpdate { layers: vec![LayerData { figure, layer, data }], ..StudyUpdate::default() });
    }

    #[inline(never)]
    fn update(&self, report: StudyUpdate) {
        let kept = &mut self.shared.borrow_mut().report;
        kept.merge(StudyUpdate { step: kept.step, of: kept.of, ..report });
    }

    #[inline(never)]
    fn measure(&self, claim: &str, value: f64, error: f64, [low, high]: [f64; 2], settled: bool) {
        let place = self.study.claims.iter().position(|c| c.key == claim);
        debug_assert!(place.is_some(), "{} has no claim {claim}", self.study.id);
        let Some(place) = place else { return };
        let measured = Measured { claim: place as u8, value, error, low, high, settled };
        self.update(StudyUpdate { measured: vec![measured], ..StudyUpdate::default() });
    }

    /// The number of a claim so far, or in the end where it is `settled`.
    pub fn tell(&self, claim: &str, (value, error): (f64, f64), bound: [f64; 2], settled: bool) {
        self.measure(claim, value, error, bound, settled);
    }

    /// The number of a claim in the end, its standard error, and the bound within which the claim holds.
    pub fn conclude(&self, claim: &str, value: f64, error: f64, bound: [f64; 2]) {
        self.measure(claim, value, error, bound, true);
    }
}

// Out of line for the same reason.
#[inline(never)]
fn push(numbers: &mut Vec<f32>, value: f64) {
    numbers.push(value as f32);
}

/// A study at work.
pub struct StudyRun {
    work: Step,
    shared: Rc<RefCell<Shared>>,
}

impl StudyRun {
    /// Begins the work of a study.
    #[must_use]
    pub fn new(
        study: &'static Study,
        work: impl FnOnce(StudyContext, &RunConfig) -> Step,
        config: &RunConfig,
        compute: &ComputeDevice,
    ) -> Self {
        let shared = Rc::<RefCell<Shared>>::default();
        let context = StudyContext { study, seed: config.seed, compute: compute.clone(), shared: shared.clone() };
        Self { work: work(context, config), shared }
    }

    /// Works until the study lets others take their turn, and says whether it is over. `due` asks it to draw; `now` is a
    /// clock in milliseconds.
    ///
    /// # Errors
    /// What the study could not go on from.
    pub async fn advance(&mut self, due: bool, now: impl Fn() -> f64) -> Result<bool, StudyError> {
        self.shared.borrow_mut().due = due;
        let start = now();
        let finished = poll_fn(|context| match self.work.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
            // It waits either for us or for its device, which wakes whoever waits here.
            Poll::Pending if std::mem::take(&mut self.shared.borrow_mut().yielded) => Poll::Ready(Ok(false)),
            Poll::Pending => Poll::Pending,
        })
        .await;
        self.shared.borrow_mut().lasted = now() - start;
        finished
    }

    /// Steps done and steps in all; 0 in all when that is not known.
    #[must_use]
    pub fn progress(&self) -> [u32; 2] {
        let report = &self.shared.borrow().report;
        [report.step, report.of]
    }

    /// The file that the study waits for, until it is given.
    #[must_use]
    pub fn wanted(&self) -> Option<&'static str> {
        self.shared.borrow().wanted
    }

    /// The file that it waits for, or why it cannot be had.
    pub fn give(&mut self, file: Result<Vec<u8>, String>) {
        let mut shared = self.shared.borrow_mut();
        (shared.wanted, shared.given) = (None, Some(file));
    }

    /// What has changed since the last call.
    pub fn take(&mut self) -> StudyUpdate {
        let mut shared = self.shared.borrow_mut();
        let (step, of) = (shared.report.step, shared.report.of);
        std::mem::replace(&mut shared.report, StudyUpdate { step, of, ..StudyUpdate::default() })
    }
}
