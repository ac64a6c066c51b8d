//! What the line to a device of another machine costs a step.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::Serialize;

use crate::nn::remote::Speed;

/// A relay to a server that counts what passes.
pub struct Meter {
    /// `host:port` of this end.
    pub place: String,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Meter {
    /// Relays to this place as long as the program runs.
    ///
    /// # Errors
    /// When there is no port or thread for it.
    pub fn to(place: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let here = listener.local_addr()?.to_string();
        let (sent, received) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (place, counts) = (place.to_owned(), [Arc::clone(&sent), Arc::clone(&received)]);
        thread::Builder::new().spawn(move || {
            // What cannot be relayed is closed, and that is what its two ends find out.
            listener.incoming().flatten().for_each(|near| drop(relay(near, &place, &counts)));
        })?;
        Ok(Self { place: here, sent, received })
    }

    /// Bytes that were sent and received so far.
    #[must_use]
    pub fn bytes(&self) -> [u64; 2] {
        [&self.sent, &self.received].map(|count| count.load(Ordering::Relaxed))
    }
}

fn relay(near: TcpStream, place: &str, [sent, received]: &[Arc<AtomicU64>; 2]) -> std::io::Result<()> {
    let far = TcpStream::connect(place)?;
    // As Burn's own connection: what is short is not kept back.
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ways = [(near.try_clone()?, far.try_clone()?, Arc::clone(sent)), (far, near, Arc::clone(received))];
    for (from, to, count) in ways {
        thread::Builder::new().spawn(move || pass(from, to, &count))?;
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        // Before they are there: whoever has received them finds them counted.
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // Who closed is told to the other end; both may be gone already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

/// What the line costs a step.
#[derive(Clone, Debug, Serialize)]
pub struct Network {
    /// Bytes of a step.
    pub sent: u64,
    pub received: u64,
    /// A question that is nothing but one.
    pub round_trip_ms: f64,
    /// Megabytes a second, of one large tensor.
    pub sent_mb_s: f64,
    pub received_mb_s: f64,
    /// What these make of a step: one journey there and back, and its bytes.
    pub network_ms: f64,
    /// Share of the step's time.
    pub network_share: f64,
    /// Share of the step's time in which this program only waits for the answer.
    pub waiting_share: f64,
    /// With how many such devices a step of this batch is shortest, if all of them share this machine's line.
    pub most_workers: f64,
}

impl Network {
    /// Of steps so long and of so many bytes.
    #[must_use]
    pub fn new([sent, received]: [u64; 2], speed: Speed, step_ms: f64, waiting_share: f64) -> Self {
        let Speed { round_trip_ms, sent_mb_s, received_mb_s } = speed;
        let transfer_ms = sent as f64 / (1e3 * sent_mb_s) + received as f64 / (1e3 * received_mb_s);
        let network_ms = round_trip_ms + transfer_ms;
        // A step on n devices takes C/n + n T + r: shortest at the root of C/T.
        let compute_ms = (step_ms - network_ms).max(0.0);
        Self {
            sent,
            received,
            round_trip_ms,
            sent_mb_s,
            received_mb_s,
            network_ms,
            network_share: network_ms / step_ms,
            waiting_share,
            most_workers: (compute_ms / transfer_ms).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_counts_what_passes_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let meter = Meter::to(&server.local_addr().unwrap().to_string()).unwrap();
        let mut near = TcpStream::connect(&meter.place).unwrap();
        let (mut far, _) = server.accept().unwrap();
        near.write_all(&[1; 1000]).unwrap();
        far.read_exact(&mut [0; 1000]).unwrap();
        far.write_all(&[2; 300]).unwrap();
        near.read_exact(&mut [0; 300]).unwrap();
        assert_eq!(meter.bytes(), [1000, 300]);
    }

    #[test]
    fn the_shortest_step_has_as_much_computing_as_sending() {
        let speed = Speed { round_trip_ms: 20.0, sent_mb_s: 100.0, received_mb_s: 50.0 };
        // 10 ms there and 20 back.
        let network = Network::new([1_000_000, 1_000_000], speed, 3050.0, 0.9);
        assert!((network.network_ms - 50.0).abs() < 1e-9, "{network:?}");
        assert!((network.most_workers - 10.0).abs() < 1e-9, "{network:?}");
        let step = |n: f64| 3000.0 / n + n * 30.0 + 20.0;
        assert!(step(10.0) < step(9.0) && step(10.0) < step(11.0));
    }
}
