//! The catalogue of studies: their tables, which every program but the page has built in.
//!
//! The page fetches them, as it fetches its texts, so that a study costs it nothing before somebody asks for one. The file
//! is [`STUDIES`](super::STUDIES) in the bytes of [`crate::wire`], which tell tables of another build from damaged ones.

use super::table::Study;
use crate::digest::fnv1a;
use crate::lasting::Reader;
use crate::wire::{self, WireError};

/// Name of the file of tables, beside the page.
pub const FILE: &str = "studies.bin";

/// The bytes of the file of tables.
///
/// # Errors
/// [`WireError::Damaged`] for tables that have no bytes, which those of [`STUDIES`](super::STUDIES) have.
pub fn to_bytes(studies: &[&Study]) -> Result<Vec<u8>, WireError> {
    let mut bytes = wire::encode(&studies)?;
    bytes.extend(digest(&bytes));
    Ok(bytes)
}

/// The digest at the end of the file: a damaged table could still be one, with a range that ends before it begins.
fn digest(bytes: &[u8]) -> [u8; 4] {
    fnv1a(bytes).to_le_bytes()
}

/// The tables in a file.
///
/// # Errors
/// [`WireError::Outdated`] when another build wrote them, [`WireError::Damaged`] when they are no tables.
pub fn from_bytes(bytes: &'static [u8]) -> Result<Vec<&'static Study>, WireError> {
    let (tables, end) = bytes.split_last_chunk().ok_or(WireError::Damaged)?;
    if *end != digest(tables) {
        return Err(WireError::Damaged);
    }
    let mut from = Reader::new(wire::content(tables)?);
    let studies = from.slice(Study::from_table);
    if from.is_over() { Ok(studies.iter().collect()) } else { Err(WireError::Damaged) }
}

#[cfg(feature = "ui")]
pub use fetched::{fill, studies};

#[cfg(feature = "ui")]
mod fetched {
    use std::sync::OnceLock;

    use super::{Study, WireError, from_bytes};

    static FETCHED: OnceLock<Vec<&'static Study>> = OnceLock::new();

    /// The studies that this program knows, in the order of the menu: none before [`fill`].
    #[must_use]
    pub fn studies() -> &'static [&'static Study] {
        FETCHED.get().map_or(&[], Vec::as_slice)
    }

    /// Fills the catalogue from the file of tables. A catalogue that is filled stays as it is.
    ///
    /// # Errors
    /// Those of [`from_bytes`].
    pub fn fill(bytes: &'static [u8]) -> Result<(), WireError> {
        if FETCHED.get().is_none() {
            // Nobody else is there to have filled it in the meantime.
            let _ = FETCHED.set(from_bytes(bytes)?);
        }
        Ok(())
    }
}
