//! `scorefield serve --remote` where others reach it: who does not know the token learns nothing, and nobody hears it twice.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::Folder;
use scorefield::protocol::remote::{ASK, OPEN};

/// The program, and what it printed first.
struct Serving {
    program: Child,
    output: BufReader<std::process::ChildStdout>,
    first: String,
    port: u16,
    token: String,
}

impl Serving {
    fn start(folder: &Folder) -> Self {
        fs::write(folder.path("index.html"), "<html><head></head></html>").unwrap();
        let arguments = ["--remote", "--device", "cpu", "--listen", "0.0.0.0", "--port", "0"];
        let mut program = Command::new(env!("CARGO_BIN_EXE_scorefield"))
            .args(["serve", &folder.path("")])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(program.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let (place, token) = first.split_once("/?token=").expect("a token");
        let port = place.rsplit_once(':').expect("a port").1.parse().expect("a number");
        let token = token.split(' ').next().expect("a token").to_owned();
        Self { program, output, first, port, token }
    }

    /// The status for these bytes.
    fn say(&self, bytes: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).expect("a status").parse().expect("a number")
    }

    fn open(&self, token: &str) -> u16 {
        let head = format!("POST /{OPEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0");
        self.say(&format!("{head}\r\n{ASK}: {token}\r\n\r\n"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

#[test]
fn a_token_is_printed_once_and_is_neither_in_a_log_nor_on_a_command_line() {
    let folder = Folder::new("serve-token");
    let mut served = Serving::start(&folder);
    let token = served.token.clone();
    // Everything that a log could take it from: a page's address, a header, what is refused and what is malformed.
    assert_eq!(served.say(&format!("GET /?token={token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), 200);
    assert_eq!(served.say(&format!("GET /{token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")), 404);
    assert_eq!(served.say(&format!("GET /{token}\r\n\r\n")), 400);
    assert_eq!(served.open(&token), 200);
    assert_eq!(served.open(&format!("{token}0")), 403);
    #[cfg(target_os = "linux")]
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&token), "{:?}", process.path());
    }
    served.program.kill().unwrap();
    let mut rest = String::new();
    served.output.read_to_string(&mut rest).unwrap();
    served.program.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(served.first.matches(&token).count(), 1);
    assert!(!rest.contains(&token), "{rest}");
}

#[test]
fn wrong_tokens_in_bulk_open_nothing() {
    let folder = Folder::new("serve-wrong");
    let served = Serving::start(&folder);
    let mut wrong = vec![String::new(), "1".to_owned(), served.token.to_uppercase() + " x", "0".repeat(8000)];
    // All that differ from it in one place, and all that begin like it.
    for place in 0..served.token.len() {
        let mut other = served.token.clone().into_bytes();
        other[place] = if other[place] == b'0' { b'1' } else { b'0' };
        wrong.push(String::from_utf8(other).unwrap());
        wrong.push(served.token[..place].to_owned());
    }
    for token in wrong {
        assert_eq!(served.open(&token), 403, "{token}");
    }
    assert_eq!(served.open(&served.token), 200);
}
