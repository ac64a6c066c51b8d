//! The readers of foreign bytes, one of which libFuzzer feeds: `SCOREFIELD_READER` says which.
#![no_main]

mod bound;
mod readers;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static READER: OnceLock<readers::Reader> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let read = READER.get_or_init(|| {
        let name = std::env::var("SCOREFIELD_READER").unwrap_or_default();
        let found = readers::READERS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("SCOREFIELD_READER is none of {:?}", readers::READERS.map(|(known, _)| known))).1
    });
    bound::within(bytes.len(), || read(bytes));
});
