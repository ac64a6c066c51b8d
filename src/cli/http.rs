//! Files over HTTP: asked for from a byte on, with bounds on how long nothing may come.

use std::io::Read;
use std::time::Duration;

use ureq::http::{StatusCode, header};

use crate::engine::Unreachable;

/// How long a connection, or the beginning of an answer, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// Asks for files; connections are used again.
#[derive(Clone, Debug)]
pub struct Client(ureq::Agent);

/// The body of an answer.
pub struct Body {
    /// The byte of the file with which it begins: what was asked for, or 0 from a server that sends only whole files.
    pub start: u64,
    /// How many bytes follow, if that is known.
    pub length: Option<u64>,
    /// The bytes.
    pub reader: Box<dyn Read + Send>,
}

impl Default for Client {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("scorefield/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(ureq::Agent::new_with_config(config))
    }
}

impl Client {
    /// The bytes of an address from this one on.
    ///
    /// # Errors
    /// [`Unreachable`] when there is no answer, or another than the file.
    pub fn get(&self, address: &str, from: u64) -> Result<Body, Unreachable> {
        let mut request = self.0.get(address);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let answer = request.call().map_err(|error| match error {
            ureq::Error::StatusCode(status) => Unreachable::answered(address, status),
            other => Unreachable::from(format!("{address}: {other}")),
        })?;
        // The other way to answer who asks for a part is to send it all.
        let start = if answer.status() == StatusCode::PARTIAL_CONTENT { from } else { 0 };
        let body = answer.into_body();
        Ok(Body { start, length: body.content_length(), reader: Box::new(body.into_reader()) })
    }

    /// All bytes of an address, if they are at most so many.
    ///
    /// # Errors
    /// [`Unreachable`] when they cannot be had or are more.
    pub fn bytes(&self, address: &str, most: u64) -> Result<Vec<u8>, Unreachable> {
        let mut bytes = Vec::new();
        let failed = |error| Unreachable::from(format!("{address}: {error}"));
        self.get(address, 0)?.reader.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > most {
            return Err(format!("{address}: more than {most} bytes").into());
        }
        Ok(bytes)
    }
}
