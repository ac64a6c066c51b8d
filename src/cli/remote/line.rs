//! One page's line to an engine of its own: commands in, events out, between threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::protocol::{Command, Event};
use crate::wire;

/// Most bytes of events that wait for a page; an engine that is ahead of it waits.
const MOST_WAITING: usize = 64 << 20;

/// Most commands that wait for an engine; a page that is ahead of it waits.
const MOST_COMMANDS: usize = 256;

/// A line. It is open until one side ends it.
pub struct Connection {
    state: Mutex<State>,
    /// Rung when events have come or gone, or the line has ended.
    changed: Condvar,
}

struct State {
    commands: VecDeque<Command>,
    /// Who waits for a command.
    engine: Option<Waker>,
    events: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Who waits for an event, if that is another engine and no page.
    listener: Option<Waker>,
    ended: bool,
    /// How many ask for events now, and when one last did.
    asking: usize,
    asked: Instant,
}

impl Connection {
    /// An open line.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            commands: VecDeque::new(),
            engine: None,
            events: VecDeque::new(),
            bytes: 0,
            listener: None,
            ended: false,
            asking: 0,
            asked: Instant::now(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// What a thread that panicked left is whole: nothing here panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, mut state: MutexGuard<'_, State>) {
        let wakers = [state.engine.take(), state.listener.take()];
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Ends it. Events that came before can still be heard.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        self.ring(state);
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.state().ended
    }

    /// Gives the engine a command, and waits so long while too many do already; says whether it was taken.
    pub fn send(&self, command: Command, patience: Duration) -> bool {
        let full = |state: &mut State| state.commands.len() >= MOST_COMMANDS && !state.ended;
        let waited = self.changed.wait_timeout_while(self.state(), patience, full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if full(&mut state) || state.ended {
            return false;
        }
        state.commands.push_back(command);
        self.ring(state);
        true
    }

    /// The next command, if there is one.
    pub fn command(&self) -> Option<Command> {
        self.taken(&mut self.state())
    }

    fn taken(&self, state: &mut State) -> Option<Command> {
        let was_full = state.commands.len() >= MOST_COMMANDS;
        let command = state.commands.pop_front();
        if was_full {
            self.changed.notify_all();
        }
        command
    }

    /// The next command; of a line that has ended there is none, ever.
    pub fn poll_command(&self, context: &Context<'_>) -> Poll<Command> {
        let mut state = self.state();
        match self.taken(&mut state) {
            Some(command) => Poll::Ready(command),
            None => {
                state.engine = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Reports an event. Waits while the page is too far behind.
    pub fn report(&self, event: &Event) {
        // An event that has no bytes is a fault of the program, which its own tests would show.
        let Ok(bytes) = wire::encode(event) else { return };
        let behind = |state: &mut State| state.bytes > MOST_WAITING && !state.ended;
        let waited = self.changed.wait_while(self.state(), behind);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.ended {
            state.bytes += bytes.len();
            state.events.push_back(bytes);
            self.ring(state);
        }
    }

    /// All events that have come, each as the wire has it; waits so long for the first. `None` when the line has ended
    /// and everything was heard.
    #[must_use]
    pub fn poll(&self, patience: Duration) -> Option<Vec<Vec<u8>>> {
        let mut state = self.state();
        state.asking += 1;
        let nothing = |state: &mut State| state.events.is_empty() && !state.ended;
        let waited = self.changed.wait_timeout_while(state, patience, nothing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.asking -= 1;
        state.asked = Instant::now();
        let events: Vec<Vec<u8>> = state.events.drain(..).collect();
        state.bytes = 0;
        let over = state.ended && events.is_empty();
        self.ring(state);
        (!over).then_some(events)
    }

    /// The next event, for another engine; `None` when there will be none.
    pub fn poll_event(&self, context: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut state = self.state();
        match state.events.pop_front() {
            Some(event) => {
                state.bytes -= event.len();
                Poll::Ready(Some(event))
            }
            None if state.ended => Poll::Ready(None),
            None => {
                state.listener = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether nobody has asked for events for so long.
    #[must_use]
    pub fn is_forsaken(&self, patience: Duration) -> bool {
        let state = self.state();
        state.asking == 0 && state.asked.elapsed() > patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RunId;

    fn event(run: u32) -> Event {
        Event::Paused { run: RunId(run) }
    }

    fn bytes(run: u32) -> Vec<u8> {
        wire::encode(&event(run)).expect("bytes")
    }

    #[test]
    fn events_are_heard_once_and_in_order_also_after_the_end() {
        let line = Connection::new();
        line.report(&event(1));
        line.report(&event(2));
        line.end();
        assert_eq!(line.poll(Duration::ZERO), Some(vec![bytes(1), bytes(2)]));
        assert_eq!(line.poll(Duration::from_secs(60)), None, "at once");
        line.report(&event(3));
        assert_eq!(line.poll(Duration::ZERO), None);
        assert!(!line.send(Command::Stop, Duration::from_secs(60)), "at once");
    }

    #[test]
    fn whoever_waits_is_woken() {
        let line = Connection::new();
        std::thread::scope(|scope| {
            let heard = scope.spawn(|| line.poll(Duration::from_secs(60)));
            line.report(&event(4));
            assert_eq!(heard.join().expect("a thread"), Some(vec![bytes(4)]));
            let heard = scope.spawn(|| line.poll(Duration::from_secs(60)));
            line.end();
            assert_eq!(heard.join().expect("a thread"), None);
        });
    }

    #[test]
    fn no_more_commands_wait_than_there_is_room_for() {
        let line = Connection::new();
        let sent = (0..MOST_COMMANDS + 3).filter(|_| line.send(Command::Stop, Duration::ZERO)).count();
        assert_eq!(sent, MOST_COMMANDS);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| line.send(Command::Step, Duration::from_secs(60)));
            assert!(matches!(line.command(), Some(Command::Stop)));
            assert!(waits.join().expect("a thread"));
        });
    }

    #[test]
    fn a_line_is_forsaken_when_nobody_asks() {
        let line = Connection::new();
        assert!(!line.is_forsaken(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(5));
        assert!(line.is_forsaken(Duration::from_millis(1)));
        assert_eq!(line.poll(Duration::ZERO), Some(Vec::new()));
        assert!(!line.is_forsaken(Duration::from_secs(60)));
    }
}
