//! One connection: requests one after another, each within a time and a size.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::crowd::Seat;
use super::message::{Answer, BadRequest, Head, LONGEST_HEAD, Request};

/// Least bytes a second that a body comes or an answer goes with, in the mean.
const SLOWEST: u64 = 2 << 10;
/// Most bytes that are thrown away so that whoever still sends them hears the answer, and for how long.
const THROWN_AWAY: (usize, Duration) = (256 << 10, Duration::from_secs(1));

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the next request to begin.
    pub idle: Duration,
    /// For its line and headers, together.
    pub head: Duration,
    /// For a body or an answer to go on.
    pub stalled: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { idle: seconds(30), head: seconds(10), stalled: seconds(30) }
    }
}

/// Answers what comes over a connection until it ends.
pub fn attend(seat: &Seat, patience: Patience, answer: &dyn Fn(&mut Request<'_>) -> Answer) {
    // Small answers go out whole: there is nothing to wait for.
    drop(seat.stream().set_nodelay(true));
    let mut come = Vec::new();
    loop {
        let head = match head(seat, patience, &mut come) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(bad) => {
                let refusal = Answer::bytes(bad.status(), bad.to_string());
                let mut timed = Timed::new(seat, patience.stalled);
                if refusal.send(&mut timed, false, false).is_ok() {
                    part(seat);
                }
                return;
            }
        };
        let (only_head, stays) = (head.method == "HEAD", head.stays);
        let timed = Timed::new(seat, patience.stalled);
        let mut body = Body { left: head.length, expected: head.expects, come: &mut come, timed };
        seat.busy();
        let answer = answer(&mut Request { head, body: &mut body });
        seat.moved();
        let whole = body.left == 0;
        let stays = stays && whole && !seat.is_wanted();
        if answer.send(&mut Timed::new(seat, patience.stalled), only_head, stays).is_err() {
            return;
        }
        if !whole {
            part(seat);
        }
        if !stays {
            return;
        }
    }
}

/// The next request's head; `None` when there will be none. What came after it is left in `come`.
fn head(seat: &Seat, patience: Patience, come: &mut Vec<u8>) -> Result<Option<Head>, BadRequest> {
    let begun = |come: &Vec<u8>| !come.is_empty();
    let mut until = Instant::now() + if begun(come) { patience.head } else { patience.idle };
    let mut searched = 0;
    let mut piece = [0; 2048];
    loop {
        if let Some(end) = come[searched..].windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = come.split_off(searched + end + 4);
            return Head::parse(&std::mem::replace(come, rest)).map(Some);
        }
        searched = come.len().saturating_sub(3);
        if come.len() >= LONGEST_HEAD {
            return Err(BadRequest::TooLong);
        }
        match read(seat, until, &mut piece) {
            Ok(0) => return Ok(None),
            Ok(count) => {
                if !begun(come) {
                    until = Instant::now() + patience.head;
                    seat.moved();
                }
                come.extend_from_slice(&piece[..count]);
            }
            Err(error) if is_late(&error) && begun(come) => return Err(BadRequest::TooSlow),
            Err(_) => return Ok(None),
        }
    }
}

/// Ends a connection whose other side may still be sending: one that is closed at once takes its last answer with it.
fn part(seat: &Seat) {
    let (most, time) = THROWN_AWAY;
    let until = Instant::now() + time;
    drop(seat.stream().shutdown(Shutdown::Write));
    let (mut thrown, mut piece) = (0, [0; 2048]);
    while thrown < most {
        match read(seat, until, &mut piece) {
            Ok(count) if count > 0 => thrown += count,
            _ => return,
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Some bytes that come before a time.
fn read(seat: &Seat, until: Instant, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut stream: &TcpStream = seat.stream();
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// The bytes of a connection, as long as they move fast enough.
struct Timed<'c> {
    seat: &'c Seat,
    stalled: Duration,
    until: Instant,
}

impl<'c> Timed<'c> {
    fn new(seat: &'c Seat, stalled: Duration) -> Self {
        Self { seat, stalled, until: Instant::now() + stalled }
    }

    /// Every byte earns a little time, and nobody saves up more than there was at first.
    fn moved(&mut self, bytes: usize) {
        self.seat.moved();
        let earned = Duration::from_micros(bytes as u64 * 1_000_000 / SLOWEST);
        self.until = (self.until + earned).min(Instant::now() + self.stalled);
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let count = read(self.seat, self.until, piece)?;
        self.moved(count);
        Ok(count)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut stream: &TcpStream = self.seat.stream();
        stream.set_write_timeout(Some(left(self.until)?))?;
        let count = stream.write(piece)?;
        self.moved(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A request's body: what came with its head, and what comes.
struct Body<'c> {
    left: u64,
    /// Whether whoever sends it first wants to hear that it is read.
    expected: bool,
    come: &'c mut Vec<u8>,
    timed: Timed<'c>,
}

impl Read for Body<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let most = piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = if self.come.is_empty() {
            if std::mem::take(&mut self.expected) {
                self.timed.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            self.timed.read(&mut piece[..most])?
        } else {
            let most = most.min(self.come.len());
            piece[..most].copy_from_slice(&self.come[..most]);
            self.come.drain(..most);
            most
        };
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}
