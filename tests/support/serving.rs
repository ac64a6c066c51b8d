//! The program while it serves a page and computes for it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ends when dropped.
pub struct Serving {
    program: Child,
    /// Where it keeps what it fetches.
    cache: PathBuf,
    /// Address and port, to be reached from this machine.
    pub address: String,
    /// What follows the path of the page's address.
    pub query: String,
}

impl Serving {
    /// Serves this folder on the CPU, at this port or at a free one for 0.
    pub fn start(program: impl AsRef<Path>, folder: &str, port: &str, more: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cache = std::env::temp_dir().join(format!("scorefield-serving-{}-{count}", std::process::id()));
        let mut command = Command::new(program.as_ref());
        // What it asks for is on this machine.
        for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        let mut program = command
            .args(["serve", folder, "--device", "cpu", "--port", port])
            .args(more)
            .env("XDG_CACHE_HOME", &cache)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        BufReader::new(program.stdout.take().expect("an output")).read_line(&mut line).expect("a line");
        let place = line.split_once("http://").and_then(|(_, rest)| rest.split_once(' ')).expect("an address").0;
        let (address, query) = place.split_once('/').expect("a path");
        Self { program, cache, address: address.replace("0.0.0.0", "127.0.0.1"), query: query.to_owned() }
    }

    /// The process.
    #[allow(dead_code)]
    pub fn pid(&self) -> u32 {
        self.program.id()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
        drop(std::fs::remove_dir_all(&self.cache));
    }
}
