//! The worker's side of its port, and how work is kept from blocking it.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use crate::protocol::pool::PoolEvent;
use crate::protocol::{Command, Event, ImageCommand};

/// How long work goes on without looking at the port, in milliseconds.
pub const SLICE_MS: f64 = 12.0;

/// A result that is waited for.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
/// A file that is asked for, or why it cannot be had.
pub type Fetching = Waiting<'static, Result<Box<dyn Download>, Unreachable>>;

/// Why a file cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// The status of the server's answer, if there was one.
    pub status: Option<u16>,
    /// Which file and why, in English.
    pub words: String,
}

impl Unreachable {
    /// The answer of a server that has this status.
    #[must_use]
    pub fn answered(address: &str, status: u16) -> Self {
        Self { status: Some(status), words: format!("{address}: the server answered {status}") }
    }
}

impl From<String> for Unreachable {
    fn from(words: String) -> Self {
        Self { status: None, words }
    }
}

/// A file that arrives in pieces. Dropping it gives it up.
pub trait Download {
    /// Its length, if that is known.
    fn length(&self) -> Option<u64>;
    /// Whether it was kept from an earlier visit.
    fn is_kept(&self) -> bool;
    /// The byte of the file with which it begins: what was asked for, or 0 from a server that sends only whole files.
    fn start(&self) -> u64 {
        0
    }
    /// The next piece; `None` at the end.
    fn piece(&mut self) -> Waiting<'_, Result<Option<Vec<u8>>, String>>;
}

/// Another worker of this program, hired to work for this one. Dropping it dismisses it.
pub trait WorkerHandle {
    /// Posts a [`crate::protocol::pool::PoolCommand`], as [`crate::wire`] writes it. Says whether it could be sent.
    fn post(&mut self, message: &[u8]) -> bool;
    /// What it reports next; `None` when it died or is not understood. One that never answers is pending for ever.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<PoolEvent>>;
}

/// What the engine needs of the outside: messages, time, and a way to let the outside run.
#[allow(async_fn_in_trait)]
pub trait Port {
    /// The next command, if there is one already.
    fn try_recv(&mut self) -> Option<Command>;
    /// The next command.
    async fn recv(&mut self) -> Command;
    /// Reports to the page.
    fn send(&mut self, event: Event);
    /// Lets messages arrive: in a browser a task of its own, not a microtask.
    async fn yield_now(&self);
    /// Milliseconds since some moment; never falls.
    fn now_ms(&self) -> f64;
    /// Asks for a file, from this byte on. One that was kept under `key` is not fetched again.
    fn fetch(&self, address: &str, key: Option<&str>, from: u64) -> Fetching {
        let (refusal, _) = (format!("{address}: there is nothing to fetch with here"), (key, from));
        Box::pin(async move { Err(refusal.into()) })
    }
    /// The bytes that were kept under a key.
    fn kept(&self, key: &str) -> Waiting<'static, Option<Vec<u8>>> {
        let _ = key;
        Box::pin(async { None })
    }
    /// Keeps a file for later visits, and says whether there was room; without bytes, what was kept is forgotten.
    fn keep(&self, key: &str, file: Option<&[u8]>) -> Waiting<'static, bool> {
        let _ = (key, file);
        Box::pin(async { false })
    }
    /// How many cores this machine has to give.
    fn cores(&self) -> usize {
        1
    }
    /// How many bytes of memory the machine has, if that can be known.
    fn memory(&self) -> Option<u64> {
        None
    }
    /// Hires another worker of this program, which reports [`Event::Ready`] when it can be talked to. `None` where that
    /// cannot be done.
    fn spawn(&self) -> Option<Box<dyn WorkerHandle>> {
        None
    }
    /// Waits so many milliseconds, where there is a clock to wait for; else for ever.
    fn after(&self, ms: u32) -> Waiting<'static, ()> {
        let _ = ms;
        Box::pin(std::future::pending())
    }
}

/// Commands that have arrived and wait for the step in progress to end.
pub struct Inbox<'p, P: Port> {
    /// The port.
    pub port: &'p mut P,
    /// Whether the run is held, and what goes on is a single step of it.
    pub held: bool,
    queue: VecDeque<Command>,
    slice: f64,
}

impl<'p, P: Port> Inbox<'p, P> {
    /// An inbox over a port.
    pub fn new(port: &'p mut P) -> Self {
        let slice = port.now_ms();
        Self { port, held: false, queue: VecDeque::new(), slice }
    }

    /// Lets the outside run and takes in what has arrived, when it is time again.
    pub async fn breathe(&mut self) {
        if self.port.now_ms() - self.slice >= SLICE_MS {
            self.port.yield_now().await;
            self.take_in();
            self.slice = self.port.now_ms();
        }
    }

    fn take_in(&mut self) {
        while let Some(command) = self.port.try_recv() {
            self.queue.push_back(command);
        }
    }

    /// The next command that has arrived. Of several fields asked for, only the newest counts.
    pub fn take(&mut self) -> Option<Command> {
        self.take_in();
        loop {
            let command = self.queue.pop_front()?;
            let is_field = |command: &Command| matches!(command, Command::Field { .. });
            if !(is_field(&command) && self.queue.iter().any(is_field)) {
                return Some(command);
            }
        }
    }

    /// The next command; waits for it.
    pub async fn wait(&mut self) -> Command {
        loop {
            if let Some(command) = self.take() {
                return command;
            }
            let command = self.port.recv().await;
            self.queue.push_back(command);
        }
    }

    /// Puts a command back at the front.
    pub fn put_back(&mut self, command: Command) {
        self.queue.push_front(command);
    }

    /// The value of `future`, while commands go on arriving; `None` when one of them ends what is waited for.
    pub async fn unless<F: Future>(&mut self, ends: impl Fn(&Command) -> bool, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            self.take_in();
            if self.queue.iter().any(&ends) {
                return None;
            }
            let value = {
                let mut arrival = pin!(self.port.recv());
                poll_fn(|context| match future.as_mut().poll(context) {
                    Poll::Ready(value) => Poll::Ready(Ok(value)),
                    Poll::Pending => arrival.as_mut().poll(context).map(Err),
                })
                .await
            };
            match value {
                Ok(value) => return Some(value),
                Err(command) => self.queue.push_back(command),
            }
        }
    }

    /// Takes everything up to the first stop, itself included; nothing when there is none.
    pub fn take_until_stop(&mut self) -> Vec<Command> {
        match self.queue.iter().position(|command| *command == Command::Stop) {
            Some(stop) => self.queue.drain(..=stop).collect(),
            None => Vec::new(),
        }
    }

    /// Whether a command has arrived for which a long step is given up: the run ends or is held.
    #[must_use]
    pub fn is_called_away(&self) -> bool {
        self.queue.iter().any(|command| calls_away(command, self.held))
    }

    /// Whether a command that ends the current run has arrived.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        self.queue.iter().any(ends_a_run)
    }
}

/// Whether this command ends the current run.
#[must_use]
pub fn ends_a_run(command: &Command) -> bool {
    matches!(
        command,
        Command::Stop
            | Command::Train { .. }
            | Command::Continue { .. }
            | Command::Sample { .. }
            | Command::Study { .. }
            | Command::Likelihood { .. }
            | Command::Inspect { .. }
            | Command::Load { .. }
            | Command::Images(_)
            | Command::Pool(_)
    )
}

/// Whether a long step is given up for this command; a run that is held cannot be held once more.
#[must_use]
pub fn calls_away(command: &Command, held: bool) -> bool {
    ends_a_run(command) || (!held && matches!(command, Command::Pause))
}

/// Whether this command ends a load of weights for images.
#[must_use]
pub fn ends_a_load(command: &Command) -> bool {
    matches!(command, Command::Stop | Command::Images(ImageCommand::Load { .. }))
}
