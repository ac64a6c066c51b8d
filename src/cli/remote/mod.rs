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
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tiny_http::{Method, Request, Response, StatusCode};

use crate::digest::hex;
use crate::engine::images::fetch::LONGEST_FILE;
use crate::protocol::remote::{ASK, END, META, OPEN, POLL, SEND, frame};
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

/// Says what is wrong with a request.
type Refusal = (u16, String);

/// All pages that compute here.
pub struct RemoteServer {
    place: Place,
    /// What a page has to know, where others than this machine can ask.
    token: Option<String>,
    lines: Mutex<HashMap<String, Arc<Connection>>>,
}

impl RemoteServer {
    /// Nobody yet. `token` is what a page has to know; without one only pages of this machine are answered.
    #[must_use]
    pub fn new(place: Place, token: Option<String>) -> Arc<Self> {
        let hub = Arc::new(Self { place, token, lines: Mutex::default() });
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

    /// Answers a request if it is for an engine; gives it back otherwise.
    pub fn answer(self: &Arc<Self>, request: Request) -> Option<Request> {
        let place = request.url().split(['?', '#']).next().unwrap_or_default();
        let asked = place.strip_prefix('/').and_then(|name| [OPEN, SEND, POLL, END].into_iter().find(|id| *id == name));
        let Some(asked) = asked else { return Some(request) };
        let hub = Arc::clone(self);
        // One that waits keeps none of the server's own threads from serving files.
        let done = thread::Builder::new().spawn(move || hub.obey(asked, request));
        if done.is_err() {
            eprintln!("scorefield: there is no thread to answer a page");
        }
        None
    }

    fn obey(&self, asked: &str, mut request: Request) {
        let found = self.allowed(&request).and_then(|()| match asked {
            OPEN => self.open(),
            SEND => self.send(&mut request),
            POLL => self.poll(&request),
            _ => self.line(&request).map(|line| {
                line.end();
                Vec::new()
            }),
        });
        let (status, body) = match found {
            Ok(body) => (200, body),
            Err((status, words)) => (status, words.into_bytes()),
        };
        // A page that went away is found out by its silence.
        drop(request.respond(Response::from_data(body).with_status_code(StatusCode(status))));
    }

    /// A page of another origin cannot send the header without being allowed to, which nobody is; and no name but its
    /// own leads a page here, unless it knows the token.
    fn allowed(&self, request: &Request) -> Result<(), Refusal> {
        let header = |name: &str| {
            let found =
                request.headers().iter().find(|header| header.field.as_str().as_str().eq_ignore_ascii_case(name));
            found.map_or("", |header| header.value.as_str())
        };
        if *request.method() != Method::Post {
            return Err((405, "only POST is answered here".to_owned()));
        }
        let known = match &self.token {
            Some(token) => is_same(token, header(ASK)),
            None => !header(ASK).is_empty() && is_near(header("Host")),
        };
        if known { Ok(()) } else { Err((403, "the address of the page lacks the token that was printed".to_owned())) }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, request: &Request) -> Result<Arc<Connection>, Refusal> {
        let name = request.url().split_once('?').map_or("", |(_, name)| name);
        let gone = || (410, "the engine for this page has ended; load the page again".to_owned());
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

    fn send(&self, request: &mut Request) -> Result<Vec<u8>, Refusal> {
        let line = self.line(request)?;
        let mut bytes = Vec::new();
        let read = request.as_reader().take(LONGEST_FILE + 1).read_to_end(&mut bytes);
        if read.is_err() || bytes.len() as u64 > LONGEST_FILE {
            return Err((413, "the command did not arrive whole, or is too long".to_owned()));
        }
        let command = wire::decode(&bytes).map_err(|error| (409, error.to_string()))?;
        line.send(command);
        Ok(Vec::new())
    }

    fn poll(&self, request: &Request) -> Result<Vec<u8>, Refusal> {
        let line = self.line(request)?;
        let events = line.poll(PATIENCE).ok_or((410, "the engine for this page has ended".to_owned()))?;
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

/// A name that nobody guesses.
#[must_use]
pub fn secret() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom_04::fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// Whether a page called this machine by a name that only this machine has for itself: not one that somebody's server of
/// names says is here.
fn is_near(host: &str) -> bool {
    let address = host.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let address = address.or_else(|| host.parse::<IpAddr>().ok());
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    address.is_some_and(|address| address.is_loopback()) || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_itself_are_near() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:80", "127.0.0.1"] {
            assert!(is_near(host), "{host}");
        }
        for host in ["", "evil.example:8080", "192.168.0.2:8080", "localhost.evil.example", "127.0.0.1.evil.example:80"]
        {
            assert!(!is_near(host), "{host}");
        }
    }

    #[test]
    fn secrets_are_compared_whole_and_are_never_the_same() {
        let secret = || secret().expect("random numbers");
        assert_eq!(secret().len(), 32);
        assert_ne!(secret(), secret());
        assert!(is_same("ab", "ab"));
        assert!(!is_same("ab", "abc") && !is_same("ab", "aa") && !is_same("ab", ""));
    }
}
