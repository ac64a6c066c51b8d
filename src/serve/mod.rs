//! Static files over HTTP: what `make serve`, the tests in a browser and `scorefield serve` use.
//!
//! One thread for each connection, and no more connections than there are descriptors for. Every request has a length
//! and a time, and a connection that does nothing makes way when others wait: what comes from a network costs no more
//! memory than that. docs/serving.md has the figures.

mod connection;
mod crowd;
mod files;
mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use connection::Patience;
use connection::attend;
use crowd::{Crowd, Seat};
pub use files::{Beside, Site, inside};
pub use message::{Answer, BadRequest, Head, Request};

/// Most connections at a time, where there are descriptors for them.
const MOST_CONNECTIONS: usize = 1024;
/// Descriptors that the rest of the program may need.
const OTHER_DESCRIPTORS: usize = 64;
/// Descriptors of a program where the system does not say how many: what macOS begins with.
const DESCRIPTORS: usize = 256;
/// Stack of a connection's thread: answers are made elsewhere or are small.
const STACK: usize = 512 << 10;
/// How long it is waited when a connection cannot be had now, for want of descriptors or threads.
const PAUSE: Duration = Duration::from_millis(50);

/// How much a server bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at a time.
    pub connections: usize,
    /// How long each may take.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: room(), patience: Patience::default() }
    }
}

/// How many connections there are descriptors for: one for each, and one for the file that it is sent.
fn room() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let descriptors = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(DESCRIPTORS);
    (descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2).clamp(1, MOST_CONNECTIONS)
}

/// A server of one folder. It ends when dropped.
pub struct Server {
    address: SocketAddr,
    crowd: Arc<Crowd>,
    door: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Serves `folder` under the path `prefix` (`""` or `"/some/where"`) of port `port` of 127.0.0.1; port 0 takes a
    /// free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(folder: &Path, prefix: &str, port: u16) -> io::Result<Self> {
        Self::start_with(folder, prefix, port, &[])
    }

    /// The same with more headers for every file, by name and value.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start_with(
        folder: &Path,
        prefix: &str,
        port: u16,
        headers: &'static [(&'static str, &'static str)],
    ) -> io::Result<Self> {
        let site = Site { folder: folder.to_owned(), prefix: prefix.to_owned(), headers, ..Site::default() };
        Self::open(&site, (Ipv4Addr::LOCALHOST, port).into(), Limits::default())
    }

    /// Serves a site at an address, within limits; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn open(site: &Site, address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let crowd = Crowd::new(limits.connections);
        let (site, guests) = (Arc::new(site.clone()), Arc::clone(&crowd));
        let near = address.ip().is_loopback();
        let open = move || {
            while guests.wait() {
                let admitted = listener.accept().and_then(|(stream, _)| {
                    let (seat, site) = (guests.admit(stream), Arc::clone(&site));
                    let work = move || welcome(&seat, &site, near, limits.patience);
                    thread::Builder::new().name("connection".to_owned()).stack_size(STACK).spawn(work)
                });
                if admitted.is_err() {
                    thread::sleep(PAUSE);
                }
            }
        };
        let door = Some(thread::Builder::new().name("door".to_owned()).spawn(open)?);
        Ok(Self { address, crowd, door })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for ever.
    pub fn join(mut self) {
        if let Some(door) = self.door.take() {
            // It ends only by a fault of its own.
            drop(door.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crowd.end();
        let here = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        // Whoever waits for a connection hears of the end by one.
        let heard = TcpStream::connect_timeout(&(here, self.address.port()).into(), Duration::from_secs(1));
        if let (Ok(_), Some(door)) = (heard, self.door.take()) {
            drop(door.join());
        }
    }
}

/// Answers one connection, until it ends.
fn welcome(seat: &Seat, site: &Site, near: bool, patience: Patience) {
    attend(seat, patience, &|request| {
        // A name that somebody else's server of names says is here would make their page one of this server's own.
        if near && !is_near(request.head.header("host")) {
            return Answer::bytes(403, "this server answers only to this machine's own names, such as localhost");
        }
        site.answer(request)
    });
}

/// Whether a page called this machine by a name that only this machine has for itself: not one that somebody's server of
/// names says is here.
#[must_use]
pub fn is_near(host: &str) -> bool {
    let address = host.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let address = address.or_else(|| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok());
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    address.is_some_and(|address| address.is_loopback()) || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_itself_are_near() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:80", "[::1]", "127.0.0.1"] {
            assert!(is_near(host), "{host}");
        }
        for host in ["", "evil.example:8080", "192.168.0.2:8080", "localhost.evil.example", "127.0.0.1.evil.example:80"]
        {
            assert!(!is_near(host), "{host}");
        }
    }
}
