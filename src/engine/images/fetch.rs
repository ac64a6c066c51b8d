//! Files on their way: with progress, within bounds, given up at once, kept where there is room.

use super::refusal::{LoadError, refused, unreachable};
use crate::engine::inbox::{Inbox, Port, Unreachable, ends_a_load};
use crate::protocol::images::{ImageEvent, Notice};
use crate::protocol::{Event, RunId};

/// Longest list or manifest.
pub const LONGEST_JSON: u64 = 1 << 20;
/// Longest file of weights.
pub const LONGEST_FILE: u64 = 1 << 30;
/// Between reports of progress, in milliseconds.
const REPORT_MS: f64 = 100.0;
/// Share of all bytes that is reported whenever it came.
const REPORT_SHARE: f64 = 0.05;
/// Bytes in all, for that, where nobody says how many.
const UNKNOWN_TOTAL: f64 = 2e7;

/// The files of one load, and how much of them is there.
pub struct Fetch<'a, 'p, P: Port> {
    run: RunId,
    /// The worker's port, with the commands that end the load.
    pub inbox: &'a mut Inbox<'p, P>,
    /// Bytes of all files so far.
    pub received: f64,
    /// Bytes of all files; 0 when that is not known.
    pub total: f64,
    /// Whether something could not be kept.
    pub not_kept: bool,
    told: f64,
    told_at: f64,
}

impl<'a, 'p, P: Port> Fetch<'a, 'p, P> {
    /// A load of this name, of which nothing is there yet.
    pub fn new(run: RunId, inbox: &'a mut Inbox<'p, P>) -> Self {
        Self { run, inbox, received: 0.0, total: 0.0, not_kept: false, told: f64::NEG_INFINITY, told_at: 0.0 }
    }

    /// The value of a future, unless a command ends the load.
    ///
    /// # Errors
    /// `LoadError::GivenUp` then.
    pub async fn wait<F: Future>(&mut self, future: F) -> Result<F::Output, LoadError> {
        self.inbox.unless(ends_a_load, future).await.ok_or(LoadError::GivenUp)
    }

    /// Keeps bytes for the next visit.
    ///
    /// # Errors
    /// `LoadError::GivenUp` when a command ended the load; where there is no room it is noted.
    pub async fn keep(&mut self, key: &str, bytes: &[u8]) -> Result<(), LoadError> {
        let room = self.inbox.port.keep(key, Some(bytes));
        self.not_kept |= !self.wait(room).await?;
        Ok(())
    }

    /// Says what could not be kept.
    pub fn end(self) {
        if self.not_kept {
            let notice = Notice::NotKept;
            self.inbox.port.send(Event::Images(ImageEvent::Notice { run: self.run, notice }));
        }
    }

    /// A file as text.
    ///
    /// # Errors
    /// As [`Self::download`], and when it is no text.
    pub async fn text(&mut self, address: &str) -> Result<String, LoadError> {
        let bytes = self.file(address, address, LONGEST_JSON).await?;
        String::from_utf8(bytes).map_err(|_| refused(address, vec!["it is not a text".to_owned()]))
    }

    /// A file alone, of at most so many bytes.
    ///
    /// # Errors
    /// As [`Self::download`].
    pub async fn file(&mut self, name: &str, address: &str, most: u64) -> Result<Vec<u8>, LoadError> {
        Ok(self.download(name, address, None, most).await?.0)
    }

    /// The bytes of a file of at most so many, and whether they were kept under the key from an earlier visit.
    ///
    /// # Errors
    /// A `LoadError` when it cannot be had or is longer, or a command ended the load.
    pub async fn download(
        &mut self,
        name: &str,
        address: &str,
        key: Option<&str>,
        most: u64,
    ) -> Result<(Vec<u8>, bool), LoadError> {
        let failed = |error: Unreachable| unreachable(name, error.words);
        let asked = self.inbox.port.fetch(address, key, 0);
        let mut download = self.wait(asked).await?.map_err(failed)?;
        let length = download.length();
        if key.is_none() {
            (self.received, self.total) = (0.0, length.unwrap_or(0) as f64);
        }
        // What a server says of the length is believed as far as a file may be long.
        let mut bytes = Vec::new();
        let expected = usize::try_from(length.unwrap_or(0).min(most)).unwrap_or(0);
        reserve(name, &mut bytes, expected)?;
        loop {
            self.tell(name, download.is_kept());
            let piece = self.wait(download.piece()).await?.map_err(|error| unreachable(name, error))?;
            let Some(piece) = piece else { break };
            self.append(name, &mut bytes, &piece, most)?;
        }
        self.told = f64::NEG_INFINITY;
        self.tell(name, download.is_kept());
        self.inbox.breathe().await;
        Ok((bytes, download.is_kept()))
    }

    /// Puts a piece at the end of what is there of a file.
    ///
    /// # Errors
    /// When it would be longer than it may be, or there is no room.
    pub fn append(&mut self, name: &str, bytes: &mut Vec<u8>, piece: &[u8], most: u64) -> Result<(), LoadError> {
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(refused(name, vec![format!("expected at most {most} bytes, found more")]));
        }
        if bytes.try_reserve(piece.len()).is_err() {
            return Err(refused(name, vec![format!("there is no room after {} of its bytes", bytes.len())]));
        }
        self.received += piece.len() as f64;
        bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Reports how far the load is, if it is time.
    pub fn tell(&mut self, file: &str, cached: bool) {
        let now = self.inbox.port.now_ms();
        // What came last before nothing more comes is told too.
        let whole = if self.total > 0.0 { self.total } else { UNKNOWN_TOTAL };
        let much = self.received - self.told_at >= REPORT_SHARE * whole;
        if now - self.told >= REPORT_MS || much {
            (self.told, self.told_at) = (now, self.received);
            let (received, total) = (self.received, self.total);
            let event = ImageEvent::Fetching { run: self.run, file: file.to_owned(), received, total, cached };
            self.inbox.port.send(Event::Images(event));
        }
    }
}

/// Room for the bytes of a file.
///
/// # Errors
/// When there is none.
pub fn reserve(name: &str, bytes: &mut Vec<u8>, expected: usize) -> Result<(), LoadError> {
    let none = |_| refused(name, vec![format!("there is no room for its {expected} bytes")]);
    bytes.try_reserve_exact(expected).map_err(none)
}
