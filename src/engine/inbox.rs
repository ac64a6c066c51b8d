//! The worker's side of its port, and how work is kept from blocking it.

use std::collections::VecDeque;

use crate::protocol::{Command, Event};

/// How long work goes on without looking at the port, in milliseconds.
pub const SLICE_MS: f64 = 12.0;

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
}

/// Commands that have arrived and wait for the step in progress to end.
pub struct Inbox<'p, P: Port> {
    /// The port.
    pub port: &'p mut P,
    queue: VecDeque<Command>,
    slice: f64,
}

impl<'p, P: Port> Inbox<'p, P> {
    /// An inbox over a port.
    pub fn new(port: &'p mut P) -> Self {
        let slice = port.now_ms();
        Self { port, queue: VecDeque::new(), slice }
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
    )
}
