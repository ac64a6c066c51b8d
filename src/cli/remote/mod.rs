//! This machine as a device of the page: `scorefield serve --remote`.
//!
//! A page that chooses it gets an engine of its own, the same that is otherwise a worker in the browser, on a thread of
//! this program. What page and worker post to each other goes over HTTP instead, in the same bytes ([`crate::wire`]):
//! commands one by one, events by a request that is answered when there are some. So it needs nothing that a page
//! cannot have anyway, works through proxies and tunnels, and an engine and its page know nothing of it.
//!
//! Burn 0.22 has remote devices of its own; in a browser they reach a server only through the relay of a third party,
//! and every operation of a network would be a message.

mod line;
mod port;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use crate::digest::hex;
use crate::engine::images::fetch::LONGEST_FILE;
use crate::protocol::remote::{ASK, END, META, OPEN, POLL, SEND, frame};
use crate::serve::{Answer, Request, is_near};
use crate::wire;
use line::Connection;
pub use port::Place;

/// How long a request for events waits for one.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a page may be silent: as when it was closed, or its machine sleeps.
const FORSAKEN: Duration = Duration::from_secs(30);
/// How often that is looked after.
const ROUND: Duration = Duration::from_secs(5);
/// Most pages at a time.
const MOST_LINES: usize = 8;
/// Most bytes of a command that is read beside others.
const SHORT: u64 = 1 << 20;

/// Says what is wrong with a request.
type Refusal = (u16, String);

/// All pages that compute here.
pub struct RemoteServer {
    place: Place,
    /// What a page has to know, where others than this machine can ask.
    token: Option<String>,
    lines: Mutex<HashMap<String, Arc<Connection>>>,
    /// Held while a long command is read.
    reading: Mutex<()>,
}

impl RemoteServer {
    /// Nobody yet. `token` is what a page has to know; without one only pages of this machine are answered.
    #[must_use]
    pub fn new(place: Place, token: Option<String>) -> Arc<Self> {
        let hub = Arc::new(Self { place, token, lines: Mutex::default(), reading: Mutex::default() });
        let weak = Arc::downgrade(&hub);
        thread::spawn(move || {
            while let Some(hub) = weak.upgrade() {
                hub.tidy();
                drop(hub);
                thread::sleep(ROUND);
            }
        });
        hub
    }

    /// What tells a page that it can compute here.
    #[must_use]
    pub fn head() -> String {
        format!("<meta name=\"{META}\" content=\"1\">")
    }

    /// Answers a request if it is for an engine. One for events waits for them, on its connection's own thread.
    pub fn answer(&self, request: &mut Request<'_>) -> Option<Answer> {
        let place = request.head.target.split(['?', '#']).next().unwrap_or_default();
        let asked = place.strip_prefix('/').and_then(|name| [OPEN, SEND, POLL, END].into_iter().find(|id| *id == name));
        Some(match self.obey(asked?, request) {
            Ok(body) => Answer::bytes(200, body),
            Err((status, words)) => Answer::bytes(status, words),
        })
    }

    fn obey(&self, asked: &str, request: &mut Request<'_>) -> Result<Vec<u8>, Refusal> {
        // Before anything of its body is read.
        self.allowed(request)?;
        match asked {
            OPEN => self.open(),
            SEND => self.send(request),
            POLL => self.poll(request),
            _ => self.line(request).map(|line| {
                line.end();
                Vec::new()
            }),
        }
    }

    /// A page of another origin cannot send the header without being allowed to, which nobody is; and no name but its
    /// own leads a page here, unless it knows the token.
    fn allowed(&self, request: &Request<'_>) -> Result<(), Refusal> {
        if request.head.method != "POST" {
            return Err((405, "only POST is answered here".to_owned()));
        }
        let told = request.head.header(&ASK.to_ascii_lowercase());
        let known = match &self.token {
            // In a time that does not tell where they differ.
            Some(token) => token.as_bytes().ct_eq(told.as_bytes()).into(),
            None => !told.is_empty() && is_near(request.head.header("host")),
        };
        if known { Ok(()) } else { Err((403, "the address of the page lacks the token that was printed".to_owned())) }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, request: &Request<'_>) -> Result<Arc<Connection>, Refusal> {
        let name = request.head.target.split_once('?').map_or("", |(_, name)| name);
        self.lines().get(name).cloned().ok_or_else(gone)
    }

    fn open(&self) -> Result<Vec<u8>, Refusal> {
        let mut lines = self.lines();
        lines.retain(|_, line| !line.is_ended());
        if lines.len() >= MOST_LINES {
            return Err((503, format!("{MOST_LINES} pages compute here already")));
        }
        let name = secret().ok_or((500, "this machine has no random numbers".to_owned()))?;
        let line = Arc::new(Connection::new());
        let started = port::start(Arc::clone(&line), self.place.clone());
        started.map_err(|error| (503, format!("no engine could be started: {error}")))?;
        lines.insert(name.clone(), line);
        Ok(name.into_bytes())
    }

    fn send(&self, request: &mut Request<'_>) -> Result<Vec<u8>, Refusal> {
        let line = self.line(request)?;
        let length = request.head.length;
        if length > LONGEST_FILE {
            return Err((413, format!("the command is too long and was not read: at most {LONGEST_FILE} bytes are")));
        }
        // Weights come one at a time, so that many at once take no more memory than one.
        let _turn = (length > SHORT).then(|| self.reading.lock().unwrap_or_else(PoisonError::into_inner));
        let mut bytes = Vec::new();
        if request.body.read_to_end(&mut bytes).is_err() {
            return Err((408, "the command did not arrive whole and was not obeyed: send it again".to_owned()));
        }
        let command = wire::decode(&bytes).map_err(|error| (409, error.to_string()))?;
        if line.send(command, PATIENCE) {
            return Ok(Vec::new());
        }
        let late = || (503, "the engine did not take the command, which was not obeyed: stop it, or wait".to_owned());
        Err(if line.is_ended() { gone() } else { late() })
    }

    fn poll(&self, request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
        let line = self.line(request)?;
        let events = line.poll(PATIENCE).ok_or_else(gone)?;
        Ok(frame(&events))
    }

    fn tidy(&self) {
        let timed_out = |line: &Arc<Connection>| line.is_forsaken(FORSAKEN);
        self.lines().retain(|_, line| {
            if timed_out(line) {
                line.end();
            }
            !(line.is_ended() && timed_out(line))
        });
    }
}

fn gone() -> Refusal {
    (410, "the engine for this page has ended; load the page again".to_owned())
}

/// A name that nobody guesses.
#[must_use]
pub fn secret() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom_04::fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_the_same() {
        let secret = || secret().expect("random numbers");
        assert_eq!(secret().len(), 32);
        assert_ne!(secret(), secret());
    }
}
