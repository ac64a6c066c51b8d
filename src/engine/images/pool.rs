//! Further workers that evaluate images for the one that samples.
//!
//! A page without cross-origin isolation has no shared memory, so every worker holds the network for itself, and images
//! go to and fro as messages: 12 KB for a network that computes some milliseconds on them at least. Each is evaluated
//! alone, as one worker evaluates it, and so has the same bits whoever does it.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::model::ImageModel;
use crate::engine::inbox::{Inbox, Port, Waiting, WorkerHandle, calls_away};
use crate::nn::unet::Cost;
use crate::protocol::Floats;
use crate::protocol::images::MOST_WORKERS;
use crate::protocol::pool::{PoolCommand, PoolEvent, PoolRequest};
use crate::wire;

const MOST: usize = MOST_WORKERS as usize;
/// Most bytes that all of them may hold.
const MOST_BYTES: u64 = 512 << 20;
/// And of the machine's memory, where that is known, at most one part in so many.
const SHARE: u64 = 8;
/// Bytes that a worker takes before it holds anything.
const PROGRAM: u64 = 16 << 20;
/// How long an answer is waited for, in milliseconds: this and so many times the longest so far.
const PATIENCE_MS: f64 = 10_000.0;
const PATIENCE: f64 = 10.0;

/// How many workers there is memory for, each with a network of so many bytes and room to evaluate it.
#[must_use]
pub fn room(weights: u64, cost: &Cost, memory: Option<u64>) -> usize {
    let bytes = memory.map_or(MOST_BYTES, |memory| MOST_BYTES.min(memory / SHARE));
    (bytes / (weights + cost.bytes + PROGRAM)).min(MOST as u64) as usize
}

/// Evaluations to be made, of one image each.
pub struct EvaluationBatch {
    /// How many images.
    pub count: usize,
    /// All of them, one after the other.
    pub images: Vec<f32>,
    /// The time in the network's own units.
    pub time: f64,
    /// Of which image, told which class.
    pub each: Vec<(usize, Option<usize>)>,
}

/// Those who were spawned, kept for the next run.
#[derive(Default)]
pub struct WorkerPool {
    workers: Vec<PoolWorker>,
    /// Most cores to keep busy, if somebody limits them.
    pub cores: Option<u32>,
    /// How many there can be, since one failed.
    left: Option<usize>,
    /// Parameters of the network.
    parameters: usize,
    /// EvaluationBatch so far: their names.
    next_id: u32,
    longest_ms: f64,
    timeout: Option<Waiting<'static, ()>>,
    /// Whether nobody has said anything since the last timeout.
    silent: bool,
}

struct PoolWorker {
    handle: Box<dyn WorkerHandle>,
    state: State,
    /// When it was given what it does.
    since: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// It has not said yet that it is there.
    Starting,
    /// It is told the network: its shape first, then its parameters. This comes next.
    Loading(usize),
    /// It has nothing to do.
    Idle,
    /// It evaluates what has this name.
    Busy(u32),
}

/// What is done of an evaluation of several images.
struct Work {
    /// Name of the first id.
    first: u32,
    answers: Vec<Option<Vec<f32>>>,
    /// EvaluationBatch that nobody works on, the next one last.
    open: Vec<usize>,
    /// Numbers of an answer.
    length: usize,
}

impl Work {
    /// Which id has this name; those of earlier evaluations are none.
    fn place(&self, name: u32) -> Option<usize> {
        let place = name.wrapping_sub(self.first) as usize;
        (place < self.answers.len()).then_some(place)
    }

    /// What this one works on goes to somebody else.
    fn reopen(&mut self, worker: &PoolWorker) {
        if let State::Busy(name) = worker.state {
            self.open.extend(self.place(name));
        }
    }
}

impl WorkerPool {
    /// Lets everybody go.
    pub fn dismiss(&mut self) {
        self.workers.clear();
        self.left = None;
    }

    /// Whether anybody is spawned.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.workers.is_empty()
    }

    /// How many know the network.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.iter().filter(|worker| matches!(worker.state, State::Idle | State::Busy(_))).count()
    }

    /// Spawns as many as evaluations can be made at a time, as far as cores and memory go.
    pub fn spawn<P: Port>(&mut self, evaluations: usize, model: &ImageModel, port: &P) {
        let cores = self.cores.map_or(MOST, |cores| cores as usize).min(port.cores());
        let room = room(model.summary.held_bytes as u64, &model.network.cost(model.side), port.memory());
        let most = cores.min(room);
        // One alone does no more than who spawns it.
        let most = if most < 2 { 0 } else { most };
        self.workers.truncate(most);
        let wanted = most.min(evaluations).min(self.left.unwrap_or(MOST));
        while self.workers.len() < wanted {
            let Some(handle) = port.spawn() else { return self.left = Some(self.workers.len()) };
            self.workers.push(PoolWorker { handle, state: State::Starting, since: 0.0 });
        }
    }

    /// Has those who are there evaluate: the answer to each id, nothing where nobody gave one; `None` when a command
    /// calls this worker away. Who does not answer or makes no sense is let go. Without batch it waits until everybody is
    /// there.
    ///
    /// `tell` is told how many answers and how many workers there are each time that something has changed.
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
                first: self.next_id,
                answers: vec![None; count],
                open: (0..count).rev().collect(),
                length: model.config().output_channels() * model.side * model.side,
            };
            self.next_id = self.next_id.wrapping_add(count as u32);
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

    /// What is event next, and of whom; nothing when it is time to look whether anything is.
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
                if id == name && output.0.len() == work.length =>
            {
                self.longest_ms = self.longest_ms.max(now - worker.since);
                worker.state = State::Idle;
                // What belongs to an evaluation that was given up is nobody's.
                if let Some(place) = work.place(name) {
                    work.answers[place] = Some(output.0);
                }
            }
            _ => {
                work.reopen(worker);
                self.workers.remove(place);
                self.left = Some(self.workers.len());
            }
        }
    }

    /// Lets those go of whom nothing was event from one timeout to the next.
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

    /// Lets those go who fail this; nobody comes in their place.
    fn retain(&mut self, passes: impl FnMut(&mut PoolWorker) -> bool) {
        let before = self.workers.len();
        self.workers.retain_mut(passes);
        if self.workers.len() < before {
            self.left = Some(self.workers.len());
        }
    }

    /// Tells those who do not know the network what comes next. Says whether there was anybody.
    fn send_network(&mut self, model: &ImageModel) -> bool {
        let loading = |worker: &PoolWorker| if let State::Loading(step) = worker.state { Some(step) } else { None };
        let Some(step) = self.workers.iter().filter_map(loading).min() else { return false };
        if step == 0 {
            self.parameters = model.network.parameters().len();
        }
        let request = match step.checked_sub(1) {
            // What cannot be read is too short, and refused.
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

    /// Gives those who are free something to do.
    fn assign(&mut self, model: &ImageModel, batch: &EvaluationBatch, work: &mut Work, now: f64) {
        let size = batch.images.len() / batch.count.max(1);
        self.retain(|worker| {
            if worker.state != State::Idle {
                return true;
            }
            let Some(place) = work.open.pop() else { return true };
            let (image, class) = batch.each[place];
            let name = work.first.wrapping_add(place as u32);
            let request = PoolRequest::Evaluate {
                id: name,
                image: Floats(batch.images[image * size..(image + 1) * size].to_vec()),
                side: model.side as u32,
                time: batch.time,
                class: class.map(|class| class as u32),
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

/// The message of an request. There is none that cannot be written; an empty one would be refused.
fn written(request: PoolRequest) -> Vec<u8> {
    wire::encode(&PoolCommand::Pool(request)).unwrap_or_default()
}

/// Whether the work needs something of this one: an answer or, where there are no batch, that it is there.
fn is_awaited(worker: &PoolWorker, work: &Work) -> bool {
    match worker.state {
        State::Starting => work.answers.is_empty(),
        State::Busy(name) => work.place(name).is_some(),
        State::Loading(_) | State::Idle => false,
    }
}
