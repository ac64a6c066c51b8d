//! The program while it serves a page and computes for it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends when dropped.
pub struct Serving {
    program: Child,
    /// Address and port, to be reached from this machine.
    pub address: String,
    /// What follows the path of the page's address.
    pub query: String,
}

impl Serving {
    /// Serves this folder on the CPU, at this port or at a free one for 0.
    pub fn start(program: impl AsRef<Path>, folder: &str, port: &str, more: &[&str]) -> Self {
        let mut program = Command::new(program.as_ref())
            .args(["serve", folder, "--device", "cpu", "--port", port])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        BufReader::new(program.stdout.take().expect("an output")).read_line(&mut line).expect("a line");
        let place = line.split_once("http://").and_then(|(_, rest)| rest.split_once(' ')).expect("an address").0;
        let (address, query) = place.split_once('/').expect("a path");
        Self { program, address: address.replace("0.0.0.0", "127.0.0.1"), query: query.to_owned() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
