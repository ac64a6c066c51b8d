//! Pool of workers that evaluate images for the one that samples.
//!
//! A page without cross-origin isolation has no shared memory, so every worker holds the network for itself, and images
//! go to and fro as messages: 12 KB for a network that computes some milliseconds on them at least. A worker gets a few at a
//! time, as the one that samples would take them; an image has the same bits whatever is evaluated beside it, and by whom.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::model::ImageModel;
use crate::engine::inbox::{Inbox, Port, Waiting, WorkerHandle, calls_away};
use crate::nn::unet::Cost;
use crate::protocol::Floats;
use crate::protocol::images::MOST_WORKERS;
use crate::protocol::pool::{PoolCommand, PoolEvent, PoolRequest};
use crate::wire;

/// Most images that a CPU evaluates at once: what is read of the weights serves all of them, and a stop waits for all of them.
const CPU_BATCH: u64 = 4;
/// Most products of what a CPU evaluates at once, for the same reason: some tens of milliseconds.
const CPU_PRODUCTS: u64 = 2 << 30;
const MOST: usize = MOST_WORKERS as usize;
/// Largest memory of all workers together, in bytes.
const MOST_BYTES: u64 = 512 << 20;
/// Part of the machine's memory that they may take at most, where it is known: one in so many.
const SHARE: u64 = 8;
/// Memory of a worker's program, in bytes, before it holds a network.
const PROGRAM: u64 = 16 << 20;
/// Timeout of an answer, in milliseconds: this, and `PATIENCE` times the longest answer so far.
const PATIENCE_MS: f64 = 10_000.0;
const PATIENCE: f64 = 10.0;

/// How many images a CPU evaluates at once, if there is memory for them.
#[must_use]
pub fn batch_on_cpu(cost: &Cost) -> usize {
    (CPU_PRODUCTS / cost.products.max(1)).clamp(1, CPU_BATCH) as usize
}

/// Number of workers that there is memory for, each with a network of so many bytes and room to evaluate it.
#[must_use]
pub fn room(weights: u64, cost: &Cost, memory: Option<u64>) -> usize {
    let bytes = memory.map_or(MOST_BYTES, |memory| MOST_BYTES.min(memory / SHARE));
    let working = cost.bytes * batch_on_cpu(cost) as u64;
    (bytes / (weights + working + PROGRAM)).min(MOST as u64) as usize
}

/// Batch of evaluations, of one image each.
pub struct EvaluationBatch {
    /// Number of images.
    pub count: usize,
    /// Pixels of the images, one after the other.
    pub images: Vec<f32>,
    /// The time in the network's own units.
    pub time: f64,
    /// Index of the image and class of every evaluation.
    pub each: Vec<(usize, Option<usize>)>,
}

/// Pool of spawned workers, kept for the next run.
#[derive(Default)]
pub struct WorkerPool {
    workers: Vec<PoolWorker>,
    /// Most cores to keep busy, if somebody limits them.
    pub cores: Option<u32>,
    /// Limit on the number of workers, set when one failed.
    left: Option<usize>,
    /// Parameters of the network.
    parameters: usize,
    /// Id of the next request.
    next_id: u32,
    /// Most evaluations of a request.
    most: usize,
    longest_ms: f64,
    timeout: Option<Waiting<'static, ()>>,
    /// Whether no worker has reported anything since the last timeout.
    silent: bool,
}

struct PoolWorker {
    handle: Box<dyn WorkerHandle>,
    state: State,
    /// Places of the evaluations of its request in their batch.
    places: Vec<usize>,
    /// Time at which it got its request, in milliseconds.
    since: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Not ready yet.
    Starting,
    /// Being sent the network: shape first (0), then its parameters; the step that comes next.
    Loading(usize),
    /// Without a request.
    Idle,
    /// Evaluating the request of this id.
    Busy(u32),
}

/// Progress of a batch.
struct Work {
    /// Id of the first request, and of the next one.
    ids: [u32; 2],
    answers: Vec<Option<Vec<f32>>>,
    /// Places of evaluations that no worker has, the next one last.
    open: Vec<usize>,
    /// Length of an answer.
    length: usize,
}

impl Work {
    /// Whether a request of this id is one of this batch and not of an earlier one.
    fn has(&self, name: u32) -> bool {
        let [first, next] = self.ids;
        name.wrapping_sub(first) < next.wrapping_sub(first)
    }

    /// Returns the evaluations of a worker's request to the open ones.
    fn reopen(&mut self, worker: &PoolWorker) {
        if let State::Busy(name) = worker.state
            && self.has(name)
        {
            self.open.extend(worker.places.iter().rev());
        }
    }
}

impl WorkerPool {
    /// Ends all workers.
    pub fn dismiss(&mut self) {
        self.workers.clear();
        self.left = None;
    }

    /// Whether there are any workers.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Number of workers that have the network.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.iter().filter(|worker| matches!(worker.state, State::Idle | State::Busy(_))).count()
    }

    /// One that nobody is taken into.
    #[must_use]
    pub fn nobody() -> Self {
        Self { cores: Some(1), ..Self::default() }
    }

    /// Spawns as many workers as evaluations can be made at a time, as far as cores and memory go.
    pub fn spawn<P: Port>(&mut self, evaluations: usize, model: &ImageModel, port: &P) {
        let cores = self.cores.map_or(MOST, |cores| cores as usize).min(port.cores());
        let cost = model.network.cost(model.side);
        self.most = batch_on_cpu(&cost);
        let room = room(model.summary.held_bytes as u64, &cost, port.memory());
        let most = cores.min(room);
        // A single worker does no more than the one that spawns it.
        let most = if most < 2 { 0 } else { most };
        self.workers.truncate(most);
        let wanted = most.min(evaluations).min(self.left.unwrap_or(MOST));
        while self.workers.len() < wanted {
            let Some(handle) = port.spawn() else { return self.left = Some(self.workers.len()) };
            self.workers.push(PoolWorker { handle, state: State::Starting, places: Vec::new(), since: 0.0 });
        }
    }

    /// Answers of the workers to a batch: one for each request, nothing where no worker gave one; `None` when a command
    /// interrupts. A worker that does not answer or makes no sense is ended. With an empty batch it waits until all
    /// workers are ready.
    ///
    /// `tell` gets the number of answers and of workers each time that one of them has changed.
    // Boxed, with one type for what is told: there are several callers, and it would be there for each of them.
    pub fn evaluate<'a, P: Port>(
        &'a mut self,
        model: &'a ImageModel,
        batch: &'a EvaluationBatch,
        inbox: &'a mut Inbox<'_, P>,
        tell: &'a mut dyn FnMut(&mut P, usize, usize),
    ) -> Waiting<'a, Option<Vec<Option<Vec<f32>>>>> {
        Box::pin(async move {
            let count = batch.each.len();
            let mut work = Work {
                ids: [self.next_id; 2],
                answers: vec![None; count],
                open: (0..count).rev().collect(),
                length: model.config().output_channels() * model.side * model.side,
            };
            self.silent = false;
            loop {
                while let Poll::Ready(Some((place, event))) = self.poll(&mut Context::from_waker(Waker::noop())) {
                    self.take(place, event, &mut work, inbox.port.now_ms());
                }
                while self.send_network(model) {
                    inbox.breathe().await;
                    if inbox.is_called_away() {
                        return None;
                    }
                }
                self.assign(model, batch, &mut work, inbox.port.now_ms());
                self.next_id = work.ids[1];
                tell(inbox.port, work.answers.iter().flatten().count(), self.workers());
                if !self.workers.iter().any(|worker| is_awaited(worker, &work)) {
                    return Some(work.answers);
                }
                if self.timeout.is_none() {
                    self.timeout = Some(inbox.port.after((PATIENCE_MS + PATIENCE * self.longest_ms) as u32));
                }
                let held = inbox.held;
                let arrival = poll_fn(|context| self.poll(context));
                match inbox.unless(|command| calls_away(command, held), arrival).await? {
                    Some((place, event)) => self.take(place, event, &mut work, inbox.port.now_ms()),
                    None => self.drop_silent(&mut work),
                }
            }
        })
    }

    /// Next event and the place of its worker; nothing at a timeout.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Option<PoolEvent>)>> {
        for (place, worker) in self.workers.iter_mut().enumerate() {
            if let Poll::Ready(event) = worker.handle.poll_event(context) {
                return Poll::Ready(Some((place, event)));
            }
        }
        let elapsed = self.timeout.as_mut().is_some_and(|timeout| timeout.as_mut().poll(context).is_ready());
        if !elapsed {
            return Poll::Pending;
        }
        self.timeout = None;
        Poll::Ready(None)
    }

    fn take(&mut self, place: usize, event: Option<PoolEvent>, work: &mut Work, now: f64) {
        self.silent = false;
        let worker = &mut self.workers[place];
        match (event, worker.state) {
            (Some(PoolEvent::Ready { .. }), State::Starting) => worker.state = State::Loading(0),
            (Some(PoolEvent::Evaluated { id, output }), State::Busy(name))
                if id == name && output.0.len() == work.length * worker.places.len() =>
            {
                self.longest_ms = self.longest_ms.max(now - worker.since);
                worker.state = State::Idle;
                // An answer to a batch that was given up is dropped.
                if work.has(name) {
                    for (place, answer) in worker.places.iter().zip(output.0.chunks_exact(work.length)) {
                        work.answers[*place] = Some(answer.to_vec());
                    }
                }
            }
            _ => {
                work.reopen(worker);
                self.workers.remove(place);
                self.left = Some(self.workers.len());
            }
        }
    }

    /// Drops workers that were silent from one timeout to the next.
    fn drop_silent(&mut self, work: &mut Work) {
        if std::mem::replace(&mut self.silent, true) {
            self.retain(|worker| {
                let late = is_awaited(worker, work);
                if late {
                    work.reopen(worker);
                }
                !late
            });
        }
    }

    /// Drops workers that fail the predicate; none is spawned in their place.
    fn retain(&mut self, passes: impl FnMut(&mut PoolWorker) -> bool) {
        let before = self.workers.len();
        self.workers.retain_mut(passes);
        if self.workers.len() < before {
            self.left = Some(self.workers.len());
        }
    }

    /// Sends the next part of the network to the workers that need it most. Says whether there were any.
    fn send_network(&mut self, model: &ImageModel) -> bool {
        let loading = |worker: &PoolWorker| if let State::Loading(step) = worker.state { Some(step) } else { None };
        let Some(step) = self.workers.iter().filter_map(loading).min() else { return false };
        if step == 0 {
            self.parameters = model.network.parameters().len();
        }
        let request = match step.checked_sub(1) {
            // A parameter that cannot be read is sent empty, and the worker refuses it.
            Some(place) => {
                PoolRequest::Parameter { numbers: Floats(model.network.parameter(place).unwrap_or_default()) }
            }
            None => PoolRequest::Begin { network: serde_json::to_string(model.config()).unwrap_or_default() },
        };
        let message = written(request);
        let last = step == self.parameters;
        self.retain(|worker| {
            if worker.state != State::Loading(step) {
                return true;
            }
            worker.state = if last { State::Idle } else { State::Loading(step + 1) };
            worker.handle.post(&message)
        });
        true
    }

    /// Assigns open evaluations to idle workers, as many each as leave the others as many.
    fn assign(&mut self, model: &ImageModel, batch: &EvaluationBatch, work: &mut Work, now: f64) {
        let size = batch.images.len() / batch.count.max(1);
        let (workers, most) = (self.workers().max(1), self.most);
        self.retain(|worker| {
            if worker.state != State::Idle {
                return true;
            }
            let left = work.open.len();
            if left == 0 {
                return true;
            }
            worker.places = work.open.split_off(left - left.div_ceil(workers).min(most));
            worker.places.reverse();
            let asked = worker.places.iter().map(|place| batch.each[*place]);
            let name = work.ids[1];
            work.ids[1] = name.wrapping_add(1);
            let request = PoolRequest::Evaluate {
                id: name,
                images: Floats(
                    asked
                        .clone()
                        .flat_map(|(image, _)| &batch.images[image * size..(image + 1) * size])
                        .copied()
                        .collect(),
                ),
                side: model.side as u32,
                time: batch.time,
                classes: asked.map(|(_, class)| class.map(|class| class as u32)).collect(),
            };
            let message = written(request);
            (worker.state, worker.since) = (State::Busy(name), now);
            let sent = worker.handle.post(&message);
            if !sent {
                work.reopen(worker);
            }
            sent
        });
    }
}

/// Bytes of a request. There is none that cannot be written; an empty one would be refused.
fn written(request: PoolRequest) -> Vec<u8> {
    wire::encode(&PoolCommand::Pool(request)).unwrap_or_default()
}

/// Whether the batch waits for this worker: for its answer or, where the batch is empty, for its being ready.
fn is_awaited(worker: &PoolWorker, work: &Work) -> bool {
    match worker.state {
        State::Starting => work.answers.is_empty(),
        State::Busy(name) => work.has(name),
        State::Loading(_) | State::Idle => false,
    }
}
