//! `scorefield device` while it runs, and a line to it that can be held and cut.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

pub const TOKEN: &str = "a token of these tests";

/// A device of this machine's processor. It ends when dropped.
pub struct Worker {
    program: Child,
    /// `host:port`
    pub place: String,
}

impl Worker {
    pub fn start() -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_scorefield"))
            .args(["device", "--listen", "127.0.0.1:0", "--device", "cpu"])
            .env("SCOREFIELD_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let mut output = BufReader::new(program.stdout.take().expect("an output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let place = line.split(" is offered at ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
        let place = place.to_owned();
        // What Burn says of its sessions has to go somewhere.
        thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { program, place }
    }

    /// Its device as the program is told it.
    pub fn device(&self) -> String {
        format!("remote:{}", self.place)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.program.kill().expect("a program that runs");
        drop(self.program.wait());
    }

    /// Freezes it: its machine still answers for it.
    pub fn freeze(&self) {
        let done = Command::new("kill").args(["-STOP", &self.program.id().to_string()]).status();
        assert!(done.expect("kill").success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

const OPEN: u8 = 0;
const HELD: u8 = 1;
const CUT: u8 = 2;

/// A line to a place.
pub struct Line {
    state: Arc<AtomicU8>,
    /// `host:port` of this end.
    pub place: String,
}

impl Line {
    pub fn to(place: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = listener.local_addr().expect("an address").to_string();
        let (state, place) = (Arc::new(AtomicU8::new(OPEN)), place.to_owned());
        let of = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if of.load(Ordering::Relaxed) == CUT {
                    continue;
                }
                let Ok(far) = TcpStream::connect(&place) else { continue };
                let [back, forth] = [near.try_clone(), far.try_clone()].map(|end| end.expect("an end"));
                let [one, other] = [Arc::clone(&of), Arc::clone(&of)];
                thread::spawn(move || pass(near, forth, &one));
                thread::spawn(move || pass(far, back, &other));
            }
        });
        Self { state, place: here }
    }

    /// Nothing passes any more, but nothing is closed either.
    pub fn hold(&self) {
        self.state.store(HELD, Ordering::Relaxed);
    }

    /// Everything that waited passes.
    pub fn mend(&self) {
        self.state.store(OPEN, Ordering::Relaxed);
    }

    /// All connections end.
    pub fn cut(&self) {
        self.state.store(CUT, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
    let mut bytes = vec![0; 1 << 16];
    from.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
    loop {
        let read = from.read(&mut bytes);
        while state.load(Ordering::Relaxed) == HELD {
            thread::sleep(Duration::from_millis(5));
        }
        let waited = |error: &std::io::Error| {
            [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&error.kind())
        };
        let over = state.load(Ordering::Relaxed) == CUT
            || match read {
                Ok(0) => true,
                Ok(count) => to.write_all(&bytes[..count]).is_err(),
                Err(error) => !waited(&error),
            };
        if over {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}
