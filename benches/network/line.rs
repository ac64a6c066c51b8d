//! A slow line between a browser and a server: every connection through it shares its bytes a second, and everything that
//! is said arrives half a round trip later. Making a connection takes no time, as in the browsers' own throttling.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that go over a line at a time, of one connection after the other.
const PACKET: usize = 1460;

/// How slow a line is.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// To there and back.
    pub round_trip: Duration,
    /// Bytes a second, to the browser and to the server each.
    pub bytes: f64,
}

/// A line to a server, as long as the program. Its speed can be changed.
pub struct Line {
    address: SocketAddr,
    speed: Arc<Mutex<Option<Speed>>>,
}

/// One direction of it.
struct Lane {
    speed: Arc<Mutex<Option<Speed>>>,
    /// When the last packet that was let on has left it.
    free: Mutex<Instant>,
}

impl Line {
    /// A line to this server.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a port");
        let speed = Arc::new(Mutex::new(None));
        let lanes = [(); 2].map(|()| Arc::new(Lane { speed: Arc::clone(&speed), free: Mutex::new(Instant::now()) }));
        thread::spawn(move || {
            for browser in listener.incoming().map_while(Result::ok) {
                // A server that has ended takes no more.
                let Ok(server) = TcpStream::connect(server) else { return };
                for (lane, [from, to]) in lanes.iter().zip([[&browser, &server], [&server, &browser]]) {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    drop(to.set_nodelay(true));
                    Lane::carry(Arc::clone(lane), from, to);
                }
            }
        });
        Self { address, speed }
    }

    /// Where the browser finds the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it so slow from now on, or as fast as it can be.
    pub fn set(&self, speed: Option<Speed>) {
        *self.speed.lock().unwrap_or_else(PoisonError::into_inner) = speed;
    }
}

impl Lane {
    /// Carries what comes from one end to the other.
    fn carry(self: Arc<Self>, mut from: TcpStream, to: TcpStream) {
        let (let_on, arrives) = channel();
        thread::spawn(move || deliver(&arrives, to));
        thread::spawn(move || {
            let mut packet = [0; PACKET];
            loop {
                let count = from.read(&mut packet).unwrap_or(0);
                // Without bytes, the end: it takes its way like everything else.
                let arrival = self.pass(count);
                if let_on.send((arrival, packet[..count].to_vec())).is_err() || count == 0 {
                    return;
                }
            }
        });
    }

    /// Waits until so many bytes are on their way, and says when they arrive.
    fn pass(&self, count: usize) -> Instant {
        let Some(speed) = *self.speed.lock().unwrap_or_else(PoisonError::into_inner) else { return Instant::now() };
        let left = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            *free = Instant::now().max(*free) + Duration::from_secs_f64(count as f64 / speed.bytes);
            *free
        };
        thread::sleep(left.saturating_duration_since(Instant::now()));
        left + speed.round_trip / 2
    }
}

/// Hands over what arrives, each at its time.
fn deliver(arrives: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    while let Ok((at, packet)) = arrives.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if packet.is_empty() || to.write_all(&packet).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}
