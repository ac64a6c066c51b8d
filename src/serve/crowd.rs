//! Who is connected: no more than there is room for, and who does nothing makes way for others.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection may do nothing while others wait for its place.
const GRACE: Duration = Duration::from_secs(3);
/// How often it is looked for one that does nothing, while others wait.
const ROUND: Duration = Duration::from_millis(50);
/// In the place of a time: whoever waits for us makes way for nobody.
const BUSY: u64 = u64::MAX;

/// All connections of a server.
pub struct Crowd {
    most: usize,
    start: Instant,
    state: Mutex<State>,
    /// Rung when one has gone, or all have to.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ended: bool,
    count: u64,
    guests: HashMap<u64, Arc<Guest>>,
}

struct Guest {
    stream: TcpStream,
    /// When bytes last came or went, in milliseconds since the start; or that it is busy.
    moved: AtomicU64,
}

impl Crowd {
    /// Nobody yet, and at `most` so many.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, start: Instant::now(), state: Mutex::default(), changed: Condvar::new() })
    }

    /// What a thread that panicked left is whole: nothing here panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    /// Waits until there is room for one more; says whether there will be.
    #[must_use]
    pub fn wait(&self) -> bool {
        let mut state = self.state();
        while !state.ended && state.guests.len() >= self.most {
            self.send_one_away(&state);
            let waited = self.changed.wait_timeout(state, ROUND);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.ended
    }

    /// Ends the connection that has done nothing for longest, if one has for long enough.
    fn send_one_away(&self, state: &State) {
        let moved = |guest: &&Arc<Guest>| guest.moved.load(Ordering::Relaxed);
        let Some(guest) = state.guests.values().min_by_key(moved) else { return };
        let (last, grace) = (moved(&guest), GRACE.as_millis() as u64);
        if last != BUSY && last.saturating_add(grace) < self.now() {
            // Its thread finds out at once; it is not sent away twice.
            guest.moved.store(BUSY, Ordering::Relaxed);
            drop(guest.stream.shutdown(Shutdown::Both));
        }
    }

    /// Lets one in.
    #[must_use]
    pub fn admit(self: &Arc<Self>, stream: TcpStream) -> Seat {
        let guest = Arc::new(Guest { stream, moved: AtomicU64::new(self.now()) });
        let mut state = self.state();
        state.count += 1;
        let number = state.count;
        state.guests.insert(number, Arc::clone(&guest));
        Seat { crowd: Arc::clone(self), number, guest }
    }

    /// Ends all connections, and waits for no more.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.guests.values().for_each(|guest| drop(guest.stream.shutdown(Shutdown::Both)));
        self.changed.notify_all();
    }
}

/// One connection's place among all. It is free again when dropped.
pub struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
    guest: Arc<Guest>,
}

impl Seat {
    /// The connection.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.guest.stream
    }

    /// Bytes came or went.
    pub fn moved(&self) {
        self.guest.moved.store(self.crowd.now(), Ordering::Relaxed);
    }

    /// Nothing has to come or go, until something does: the answer is being made.
    pub fn busy(&self) {
        self.guest.moved.store(BUSY, Ordering::Relaxed);
    }

    /// Whether this place should be free after the answer: others may wait for it, or all has ended.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let state = self.crowd.state();
        state.ended || state.guests.len() >= self.crowd.most
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.state().guests.remove(&self.number);
        self.crowd.changed.notify_all();
    }
}
