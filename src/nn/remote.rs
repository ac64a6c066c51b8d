//! Devices of other machines, by Burn's own protocol over WebSocket.
//!
//! What Burn 0.22.1 does not do is looked after here and in whoever computes: a session that ended is never opened again,
//! and one whose server hangs while its machine still answers for it is waited for without end. [`answers`] therefore
//! asks the server itself, beside the session.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData};

use super::device::{ComputeDevice, DeviceError};

/// How a session is refused to whoever asks for one by an ordinary request.
const REFUSAL: &[u8] = b"HTTP/1.1 400";
/// Of a large tensor.
const NUMBERS: usize = 4 << 20;

#[cfg(feature = "remote")]
pub use session::{open_remote, serve_device};

#[cfg(feature = "remote")]
mod session {
    use burn::remote::RemoteHost;
    use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
    use burn::tensor::Device;

    use super::{ComputeDevice, DeviceError, Duration, TcpListener, answers};
    use crate::lab::DeviceInfo;

    /// Most bytes of one message of Burn's, and so of one tensor that is sent.
    const MOST_BYTES: u64 = 1 << 30;
    /// How long a server may take to answer that it is there, when it is asked for the first time.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Opens the device that a server at `host:port` offers; `token` is what the server wants to be told.
    ///
    /// # Errors
    /// [`DeviceError::Remote`] when nobody answers there, or refuses.
    pub fn open_remote(place: &str, token: &str) -> Result<ComputeDevice, DeviceError> {
        let refused = |why: String| DeviceError::Remote { place: place.to_owned(), why };
        // Burn itself tries for a quarter of a minute.
        answers(place, PATIENCE).map_err(refused)?;
        let host = RemoteHost::websocket(&format!("ws://{place}")).with_credential(token);
        let device = Device::remote_options(&host).init().map_err(|error| refused(error.to_string()))?;
        let info = DeviceInfo { gpu: true, name: format!("remote:{place}"), software: false };
        Ok(ComputeDevice { device, info, most_bytes: MOST_BYTES, remote: true })
    }

    /// Lets whoever knows the token compute on this device, until Ctrl-C.
    ///
    /// # Errors
    /// [`DeviceError::Serving`] when Burn cannot serve such a device.
    pub fn serve_device(compute: &ComputeDevice, listener: TcpListener, token: &str) -> Result<(), DeviceError> {
        let failed = |error: &dyn std::fmt::Display| DeviceError::Serving(error.to_string());
        let authorizer = TokenAuthorizer::new(token).map_err(|error| failed(&error))?;
        let server = RemoteServer::new([compute.device.clone()]).with_authorizer(authorizer);
        server.serve(WebSocketTransport::from_listener(listener)).map_err(|error| failed(&error))
    }
}

/// Opens the device that a server at `host:port` offers.
///
/// # Errors
/// A [`DeviceError`]: this program was built without.
#[cfg(not(feature = "remote"))]
pub fn open_remote(_: &str, _: &str) -> Result<ComputeDevice, DeviceError> {
    Err(DeviceError::NotBuilt { choice: "devices of other machines" })
}

/// Lets whoever knows the token compute on this device.
///
/// # Errors
/// A [`DeviceError`]: this program was built without.
#[cfg(not(feature = "remote"))]
pub fn serve_device(_: &ComputeDevice, _: TcpListener, _: &str) -> Result<(), DeviceError> {
    Err(DeviceError::NotBuilt { choice: "devices of other machines" })
}

/// How fast the line to a device is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Milliseconds of a question and its answer.
    pub round_trip_ms: f64,
    /// Millions of bytes a second.
    pub sent_mb_s: f64,
    /// The same, backwards.
    pub received_mb_s: f64,
}

/// Measures it: medians of 21 questions, and of three tensors of 16 MB there and back.
///
/// # Errors
/// [`DeviceError::Lost`] when the device no longer answers.
pub fn speed(compute: &ComputeDevice) -> Result<Speed, DeviceError> {
    let lost = |error: &dyn std::fmt::Display| DeviceError::Lost(error.to_string());
    let asked = || compute.device.sync().map_err(|error| lost(&error));
    asked()?;
    let mut questions = Vec::new();
    for _ in 0..21 {
        let begin = Instant::now();
        asked()?;
        questions.push(begin.elapsed().as_secs_f64());
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let round_trip = median(questions);
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let data = TensorData::new(vec![0.5_f32; NUMBERS], [NUMBERS]);
        let begin = Instant::now();
        let tensor = Tensor::<1>::from_data(data, &compute.device);
        asked()?;
        there.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        tensor.try_into_data().map_err(|error| lost(&error))?;
        back.push(begin.elapsed().as_secs_f64());
    }
    let rate = |times| 4e-6 * NUMBERS as f64 / (median(times) - round_trip).max(1e-9);
    Ok(Speed { round_trip_ms: 1e3 * round_trip, sent_mb_s: rate(there), received_mb_s: rate(back) })
}

/// Whether Burn's server at `host:port` answers a request within so long: not only its machine, which accepts connections for
/// a program that hangs, too, and nothing else that a way around a cut line leads to.
///
/// # Errors
/// What was found instead.
pub fn answers(place: &str, patience: Duration) -> Result<(), String> {
    let start = Instant::now();
    let left = || patience.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut last = std::io::Error::other("it has no address");
        for address in place.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left()) {
                Ok(mut stream) => {
                    stream.set_write_timeout(Some(left()))?;
                    stream.write_all(
                        format!("GET /session HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n").as_bytes(),
                    )?;
                    stream.set_read_timeout(Some(left()))?;
                    let mut answer = vec![0; REFUSAL.len()];
                    let length = stream.read(&mut answer)?;
                    answer.truncate(length);
                    return Ok(answer);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    match ask() {
        Ok(answer) if answer.is_empty() => Err("the connection was closed without an answer".to_owned()),
        Ok(answer) if answer == REFUSAL => Ok(()),
        Ok(_) => Err("what answers there is no device of scorefield".to_owned()),
        Err(error) if [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&error.kind()) => {
            Err(format!("nothing answered for {} s", patience.as_secs()))
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_accepts_and_says_nothing_does_not_answer() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = silent.local_addr().unwrap().to_string();
        let found = answers(&place, Duration::from_millis(200));
        assert_eq!(found, Err("nothing answered for 0 s".to_owned()));
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let place_of_other = other.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            assert_ne!(stream.read(&mut [0; 512]).unwrap(), 0);
            stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
        });
        let found = answers(&place_of_other, Duration::from_secs(5)).unwrap_err();
        assert!(found.contains("no device"), "{found}");
        drop(silent);
        let found = answers(&place, Duration::from_secs(5)).unwrap_err();
        assert!(found.contains("refused"), "{found}");
        assert!(answers("no-such-place", Duration::from_secs(1)).is_err());
    }
}
