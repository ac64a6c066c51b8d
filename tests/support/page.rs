//! A page without a browser: a port over two queues, and a worker that is polled by hand, so that tests decide when
//! messages arrive.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use scorefield::diffusion::now;
use scorefield::engine::inbox::{Waiting, WorkerHandle};
use scorefield::engine::{Download, Fetching, Port, Unreachable, serve};
use scorefield::lab::{DeviceChoice, RunConfig};
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::protocol::pool::PoolEvent;
use scorefield::protocol::{Command, Event};
use scorefield::wire;

/// A worker's port, and what the page does with it.
#[derive(Clone)]
pub struct Queues {
    pub commands: Rc<RefCell<VecDeque<Command>>>,
    events: Rc<RefCell<Vec<Event>>>,
    start: Instant,
    files: Files,
    pub staff: Staff,
}

#[allow(dead_code)]
impl Queues {
    pub fn new() -> Self {
        Self {
            commands: Rc::default(),
            events: Rc::default(),
            start: Instant::now(),
            files: Files::default(),
            staff: Staff::default(),
        }
    }
}

/// Whom a worker can hire, and what became of them. None at first.
#[derive(Clone, Default)]
pub struct Staff {
    pub cores: Rc<Cell<usize>>,
    pub memory: Rc<Cell<Option<u64>>>,
    /// How those behave who are hired, in order; all others as they should.
    pub habits: Rc<RefCell<VecDeque<Habit>>>,
    /// How many evaluations each of those who were hired has answered.
    pub answers: Rc<RefCell<Vec<u32>>>,
    pub dismissed: Rc<Cell<usize>>,
    /// Whether whoever waits has waited long enough.
    pub late: Rc<Cell<bool>>,
}

/// What is wrong with a worker, after so many evaluations that it answers.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Habit {
    #[default]
    Good,
    /// It cannot be had.
    Absent,
    /// It never says that it is there.
    Asleep,
    Dies(u32),
    FallsSilent(u32),
    /// It answers with too few numbers.
    Rambles(u32),
    /// It can no longer be sent anything.
    Deaf(u32),
}

struct SpawnedWorker {
    queues: Queues,
    worker: Pin<Box<dyn Future<Output = ()>>>,
    habit: Habit,
    staff: Staff,
    number: usize,
}

impl WorkerHandle for SpawnedWorker {
    fn post(&mut self, message: &[u8]) -> bool {
        let command = wire::decode(message).expect("a command of this build");
        self.queues.commands.borrow_mut().push_back(command);
        self.habit != Habit::Deaf(self.staff.answers.borrow()[self.number])
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<PoolEvent>> {
        let answered = self.staff.answers.borrow()[self.number];
        if self.habit == Habit::Asleep {
            return Poll::Pending;
        }
        assert!(self.worker.as_mut().poll(context).is_pending());
        let mut events = self.queues.events.borrow_mut();
        if events.is_empty() {
            return Poll::Pending;
        }
        let mut heard = wire::decode(&wire::encode(&events.remove(0)).expect("an event can be sent")).ok();
        if let Some(PoolEvent::Evaluated { output, .. }) = &mut heard {
            match self.habit {
                Habit::Dies(after) if after == answered => return Poll::Ready(None),
                Habit::FallsSilent(after) if after == answered => {
                    self.habit = Habit::Asleep;
                    return Poll::Pending;
                }
                Habit::Rambles(after) if after == answered => drop(output.0.pop()),
                _ => self.staff.answers.borrow_mut()[self.number] += 1,
            }
        }
        Poll::Ready(heard)
    }
}

impl Drop for SpawnedWorker {
    fn drop(&mut self) {
        self.staff.dismissed.set(self.staff.dismissed.get() + 1);
    }
}

/// What there is to fetch, what was fetched, and what is kept.
#[derive(Clone, Default)]
pub struct Files {
    pub there: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    pub fetched: Rc<RefCell<Vec<String>>>,
    pub kept: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    /// Whether there is room to keep anything.
    pub no_room: Rc<RefCell<bool>>,
    /// After so many pieces of a file nothing arrives any more.
    pub stalls_after: Rc<RefCell<Option<usize>>>,
    /// After so many pieces of each file that is fetched, in order, it breaks off.
    pub breaks_after: Rc<RefCell<VecDeque<usize>>>,
    /// Whether servers send whole files only.
    pub whole_only: Rc<RefCell<bool>>,
    /// What is answered instead of a file.
    pub statuses: Rc<RefCell<BTreeMap<String, u16>>>,
    /// The byte from which each file was sent.
    pub ranges: Rc<RefCell<Vec<u64>>>,
}

struct Pieces {
    left: VecDeque<Vec<u8>>,
    length: u64,
    start: u64,
    kept: bool,
    stalls_after: Option<usize>,
    breaks_after: Option<usize>,
}

impl Download for Pieces {
    fn length(&self) -> Option<u64> {
        Some(self.length)
    }
    fn is_kept(&self) -> bool {
        self.kept
    }
    fn start(&self) -> u64 {
        self.start
    }
    fn piece(&mut self) -> Waiting<'_, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            Once(false).await;
            if let Some(pieces) = &mut self.stalls_after {
                if *pieces == 0 {
                    std::future::pending::<()>().await;
                }
                *pieces -= 1;
            }
            if let Some(pieces) = &mut self.breaks_after {
                if *pieces == 0 {
                    return Err("the connection broke off".to_owned());
                }
                *pieces -= 1;
            }
            Ok(self.left.pop_front())
        })
    }
}

/// Pending once.
struct Once(bool);

impl Future for Once {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Port for Queues {
    fn try_recv(&mut self) -> Option<Command> {
        self.commands.borrow_mut().pop_front()
    }
    async fn recv(&mut self) -> Command {
        loop {
            if let Some(command) = self.try_recv() {
                return command;
            }
            Once(false).await;
        }
    }
    fn send(&mut self, event: Event) {
        self.events.borrow_mut().push(event);
    }
    async fn yield_now(&self) {
        Once(false).await;
    }
    fn now_ms(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * 1000.0
    }
    fn fetch(&self, address: &str, key: Option<&str>, from: u64) -> Fetching {
        let files = self.files.clone();
        let (address, key) = (address.to_owned(), key.map(str::to_owned));
        Box::pin(async move {
            let kept = key.and_then(|key| files.kept.borrow().get(&key).cloned());
            let is_kept = kept.is_some();
            let file = match kept {
                Some(file) => file,
                None => {
                    files.fetched.borrow_mut().push(address.clone());
                    if let Some(status) = files.statuses.borrow().get(&address) {
                        return Err(Unreachable::answered(&address, *status));
                    }
                    let there = files.there.borrow();
                    there.get(&address).cloned().ok_or_else(|| Unreachable::answered(&address, 404))?
                }
            };
            let from = if *files.whole_only.borrow() { 0 } else { from };
            files.ranges.borrow_mut().push(from);
            let left = file[file.len().min(from as usize)..].chunks(1 << 16).map(<[u8]>::to_vec).collect();
            let stalls_after = *files.stalls_after.borrow();
            let breaks_after = files.breaks_after.borrow_mut().pop_front();
            let length = file.len() as u64 - from;
            let pieces = Pieces { left, length, start: from, kept: is_kept, stalls_after, breaks_after };
            Ok(Box::new(pieces) as Box<dyn Download>)
        })
    }
    fn kept(&self, key: &str) -> Waiting<'static, Option<Vec<u8>>> {
        let kept = self.files.kept.borrow().get(key).cloned();
        Box::pin(async move { kept })
    }
    fn keep(&self, key: &str, file: Option<&[u8]>) -> Waiting<'static, bool> {
        let mut kept = self.files.kept.borrow_mut();
        let room = !*self.files.no_room.borrow();
        match file {
            Some(file) if room => drop(kept.insert(key.to_owned(), file.to_vec())),
            Some(_) => {}
            None => drop(kept.remove(key)),
        }
        Box::pin(async move { room })
    }
    fn cores(&self) -> usize {
        self.staff.cores.get()
    }
    fn memory(&self) -> Option<u64> {
        self.staff.memory.get()
    }
    fn spawn(&self) -> Option<Box<dyn WorkerHandle>> {
        let habit = self.staff.habits.borrow_mut().pop_front().unwrap_or_default();
        if habit == Habit::Absent {
            return None;
        }
        let (queues, staff) = (Queues::new(), self.staff.clone());
        let number = staff.answers.borrow().len();
        staff.answers.borrow_mut().push(0);
        let mut port = queues.clone();
        let worker = Box::pin(async move {
            serve(&mut port, now(open(DeviceChoice::Cpu)).expect("this build has the CPU device")).await;
        });
        Some(Box::new(SpawnedWorker { queues, worker, habit, staff, number }))
    }
    fn after(&self, _: u32) -> Waiting<'static, ()> {
        let late = Rc::clone(&self.staff.late);
        Box::pin(async move {
            while !late.get() {
                Once(false).await;
            }
        })
    }
}

/// A page and its worker.
pub struct Page {
    queues: Queues,
    worker: Pin<Box<dyn Future<Output = ()>>>,
}

#[allow(dead_code)]
impl Page {
    /// A worker on the CPU.
    pub fn open() -> Self {
        Self::open_on(now(open(DeviceChoice::Cpu)).expect("this build has the CPU device"))
    }

    /// A worker on this device.
    pub fn open_on(compute: ComputeDevice) -> Self {
        let queues = Queues::new();
        let mut port = queues.clone();
        let worker = Box::pin(async move {
            serve(&mut port, compute).await;
        });
        Self { queues, worker }
    }

    /// What the worker can fetch.
    pub fn files(&self) -> &Files {
        &self.queues.files
    }

    /// Whom the worker can hire.
    pub fn staff(&self) -> &Staff {
        &self.queues.staff
    }

    /// Posts a command.
    pub fn post(&mut self, command: Command) {
        self.queues.commands.borrow_mut().push_back(command);
    }

    fn poll(&mut self) {
        let poll = self.worker.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending(), "the worker serves for ever");
    }

    /// Lets the worker run for this many slices.
    pub fn beat(&mut self, slices: u32) {
        for _ in 0..slices {
            self.poll();
        }
    }

    /// The events until the worker has nothing left to do: it was polled three times in a row without an event, a
    /// command taken or the clock running on by the length of a slice.
    pub fn settle(&mut self) -> Vec<Event> {
        let mut idle = 0;
        while idle < 3 {
            let before = (self.queues.events.borrow().len(), Instant::now());
            self.poll();
            let worked = before.1.elapsed().as_secs_f64() * 1000.0 > 2.0;
            let quiet = self.queues.events.borrow().len() == before.0 && self.queues.commands.borrow().is_empty();
            idle = if quiet && !worked { idle + 1 } else { 0 };
        }
        std::mem::take(&mut self.queues.events.borrow_mut())
    }

    /// The events up to the first for which `enough` holds.
    pub fn until(&mut self, enough: impl Fn(&Event) -> bool) -> Vec<Event> {
        let start = Instant::now();
        loop {
            self.poll();
            let mut events = self.queues.events.borrow_mut();
            if let Some(position) = events.iter().position(&enough) {
                let rest = events.split_off(position + 1);
                return std::mem::replace(&mut events, rest);
            }
            assert!(start.elapsed().as_secs() < 60, "nothing like it came: {events:?}");
        }
    }
}

/// A run small enough for a test.
#[allow(dead_code)]
pub fn tiny() -> RunConfig {
    RunConfig { width: 16, depth: 2, batch: 32, training_steps: 50, samples: 64, steps: 8, ..RunConfig::default() }
}
