//! A server on another port of this machine, that does what servers do: allow, refuse, break off, or say nothing more.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The server. Its threads end with the test.
pub struct Elsewhere {
    address: SocketAddr,
    given_up: Arc<AtomicUsize>,
}

impl Elsewhere {
    /// Serves this file at every path. What its first part is, decides how: `open`, `closed` (to other origins),
    /// `gone`, `short` (breaks off half-way), `stalled` (says nothing more half-way) and `slow`.
    pub fn start(file: &[u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let given_up = Arc::new(AtomicUsize::new(0));
        let (file, count): (Arc<[u8]>, _) = (file.into(), Arc::clone(&given_up));
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (file, count) = (Arc::clone(&file), Arc::clone(&count));
                // A browser that went away is no concern of ours.
                thread::spawn(move || drop(answer(stream, &file, &count)));
            }
        });
        Self { address, given_up }
    }

    /// The address of a file that is served in this way.
    pub fn file(&self, way: &str, name: &str) -> String {
        format!("http://{}/{way}/{name}", self.address)
    }

    /// How many downloads were given up by the other side while nothing came.
    pub fn given_up(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, file: &[u8], given_up: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut request, mut line) = (String::new(), String::new());
    reader.read_line(&mut request)?;
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let way = request.split(['/', ' ']).nth(2).unwrap_or_default().to_owned();
    let status = if way == "gone" { "404 Not Found" } else { "200 OK" };
    let allowed = if way == "closed" { "" } else { "Access-Control-Allow-Origin: *\r\n" };
    let length = file.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\n{allowed}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    match way.as_str() {
        "short" => stream.write_all(&file[..length / 2]),
        "stalled" => {
            stream.write_all(&file[..length / 2])?;
            stream.set_read_timeout(Some(Duration::from_millis(50)))?;
            // The other side says nothing any more; what can be read then is its end.
            while !reader.fill_buf().is_ok_and(<[u8]>::is_empty) {
                thread::sleep(Duration::from_millis(50));
            }
            given_up.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        "slow" => file.chunks(length / 16 + 1).try_for_each(|piece| {
            thread::sleep(Duration::from_millis(150));
            stream.write_all(piece)
        }),
        _ => stream.write_all(file),
    }
}
