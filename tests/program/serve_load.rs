//! The server of files against visitors who mean it no good: each of them costs it a bounded time and little memory.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scorefield::serve::{Answer, Limits, Patience, Server, Site};

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(60);
/// A visitor's own file: longer than what a system holds for a connection that is not read from.
const LARGE: usize = 64 << 20;

/// A server of a folder, which is removed with it.
struct Served {
    server: Server,
    folder: PathBuf,
}

/// Few connections, and less patience than visitors are shown.
fn hurried(connections: usize) -> Limits {
    let short = Duration::from_secs(1);
    Limits { connections, patience: Patience { idle: short, head: short, stalled: short } }
}

impl Served {
    fn start(limits: Limits) -> Self {
        Self::with(limits, Site::default())
    }

    fn with(limits: Limits, site: Site) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let outer = std::env::temp_dir().join(format!("scorefield-load-{}-{count}", std::process::id()));
        let folder = outer.join("site");
        fs::create_dir_all(folder.join("folder")).expect("a folder");
        fs::write(folder.join("index.html"), "the page").expect("a file");
        fs::write(outer.join("secret"), "the secret").expect("a file");
        let large = fs::File::create(folder.join("large.bin")).expect("a file");
        large.set_len(LARGE as u64).expect("a sparse file");
        let site = Site { folder, ..site };
        let server = Server::open(&site, ([127, 0, 0, 1], 0).into(), limits).expect("a free port");
        Self { server, folder: outer }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).expect("a connection");
        stream.set_read_timeout(Some(LONG)).expect("a limit");
        stream
    }

    /// What comes back for these bytes until the connection ends.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // Whoever is refused half-way may not be heard to the end.
        drop(stream.write_all(bytes));
        heard(stream)
    }

    /// The status for a path, asked for by a plain visitor.
    fn visit(&self, path: &str) -> (u16, String) {
        let answer =
            self.say(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
        (status(&answer), answer.split_once("\r\n\r\n").map_or("", |(_, content)| content).to_owned())
    }

    /// Whether a visitor is served, if need be after some attempts: patience may be short here, and the machine slow.
    fn is_up(&self) -> bool {
        (0..30).any(|_| self.visit("/") == (200, "the page".to_owned()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// All that comes until the other side ends the connection, which it must.
fn heard(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!late, "the connection is still open after {LONG:?}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[test]
fn a_body_that_is_said_to_be_endless_takes_no_memory_and_ends_nothing() {
    let served = Served::start(Limits::default());
    for length in ["1099511627776", "100000000000000", "9000000000000000000", "18446744073709551615"] {
        let asked = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\nabc");
        assert_eq!(status(&served.say(asked.as_bytes())), 404, "{length}");
    }
    assert!(served.is_up());
}

#[test]
fn headers_without_an_end_are_refused_at_a_length() {
    let served = Served::start(Limits { connections: 8, ..Limits::default() });
    for endless in ["X: ".to_owned() + &"a".repeat(1 << 20), "X: a\r\n".repeat(1 << 18), "X: a\r\n".repeat(100)] {
        let answer = served.say(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{endless}\r\n\r\n").as_bytes());
        assert_eq!(status(&answer), 431, "{answer}");
    }
    assert_eq!(status(&served.say(format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20)).as_bytes())), 431);
    assert!(served.is_up());
}

#[test]
fn half_a_request_is_waited_for_a_while_and_no_longer() {
    let served = Served::start(hurried(8));
    let halves: Vec<TcpStream> = (0..4).map(|_| served.connect()).collect();
    for (mut half, said) in halves.iter().zip(["GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\n", "\r\n", ""]) {
        half.write_all(said.as_bytes()).expect("a half");
    }
    let answers: Vec<u16> = halves.into_iter().map(|half| status(&heard(half))).collect();
    assert_eq!(answers, [408, 408, 408, 0]);
    // And a body that stops coming ends what waits for it.
    let read = |request: &mut scorefield::serve::Request<'_>| {
        Some(Answer::bytes(if request.body.read_to_end(&mut Vec::new()).is_ok() { 200 } else { 408 }, ""))
    };
    let served = Served::with(hurried(8), Site { beside: Some(Arc::new(read)), ..Site::default() });
    let asked = |body: &str| format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{body}");
    assert_eq!(status(&served.say(asked("half").as_bytes())), 408);
    assert_eq!(status(&served.say(asked("all of it!").as_bytes())), 200);
}

#[test]
fn who_drips_is_cut_off_as_well() {
    let served = Served::start(hurried(8));
    let mut stream = served.connect();
    let mut dripped = 0;
    while stream.write_all(b"a").is_ok() {
        std::thread::sleep(Duration::from_millis(10));
        dripped += 1;
        assert!(dripped < 6_000, "a byte every 10 ms is listened to for a minute");
    }
    assert!(served.is_up());
}

#[test]
fn who_does_not_read_keeps_nobody_from_reading() {
    let served = Served::start(Limits { connections: 32, ..Limits::default() });
    let asked = b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let deaf: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut stream = served.connect();
            stream.write_all(asked).expect("a request");
            stream
        })
        .collect();
    assert!(served.is_up());
    drop(deaf);
    // Nor is it waited for for ever: somebody else gets the one place there is.
    let served = Served::start(Limits { connections: 1, ..Limits::default() });
    let mut stream = served.connect();
    stream.write_all(asked).expect("a request");
    assert!(served.is_up());
    assert!(heard(stream).len() < LARGE, "the rest came after it was given up");
}

#[test]
fn when_all_places_are_taken_who_does_nothing_makes_way() {
    let served = Served::start(Limits { connections: 4, ..Limits::default() });
    let silent: Vec<TcpStream> = (0..12).map(|_| served.connect()).collect();
    assert!(served.is_up());
    drop(silent);
    let mut deaf: Vec<TcpStream> = (0..4).map(|_| served.connect()).collect();
    for stream in &mut deaf {
        stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    }
    assert!(served.is_up());
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let served = Served::start(Limits::default());
    let line = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let asked = line("/", "") + &line("/none", "") + &line("/", "Connection: close\r\n");
    let answers = served.say(asked.as_bytes());
    let found: Vec<u16> = answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect();
    assert_eq!(found, [200, 404, 200]);
}

#[test]
fn only_this_machine_s_own_names_lead_here() {
    let served = Served::start(Limits::default());
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""]
    {
        let answer = served.say(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
        assert_eq!(status(&answer), 403, "{host}");
        assert!(!answer.contains("the page"), "{host}");
    }
    assert_eq!(status(&served.say(b"GET / HTTP/1.0\r\n\r\n")), 403);
    for bad in ["", "Host: localhost\r\nHost: evil.example\r\n"] {
        assert_eq!(status(&served.say(format!("GET / HTTP/1.1\r\n{bad}\r\n").as_bytes())), 400, "{bad}");
    }
    assert!(served.is_up());
}

#[test]
fn no_address_leads_out_of_the_folder() {
    let served = Served::start(Limits::default());
    let secret = served.folder.join("secret");
    let whole = secret.to_str().expect("a name");
    for path in [
        "/../secret",
        "/folder/../../secret",
        "/./../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/%2e%2e%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/....//secret",
        "/..;/secret",
        "//secret",
        "../secret",
        "/%c0%ae%c0%ae/secret",
        "/index.html/../../secret",
        "/folder",
        "/folder/",
        "/%00",
        whole,
        &format!("/{whole}"),
        &format!("file://{whole}"),
        &format!("http://localhost/{whole}"),
    ] {
        let (status, content) = served.visit(path);
        assert!(status == 404 && !content.contains("the secret"), "{path}: {status} {content}");
    }
    assert!(served.is_up());
}

#[test]
fn a_server_that_has_ended_answers_nobody() {
    let served = Served::start(Limits::default());
    let mut open = served.connect();
    open.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut first = [0; 12];
    open.read_exact(&mut first).expect("an answer");
    drop(served);
    assert!(heard(open).ends_with("the page"), "and nothing after it");
}
