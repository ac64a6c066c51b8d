//! The readers of foreign bytes, one of which libFuzzer feeds: `SCOREFIELD_READER` says which.
#![no_main]

mod bound;
mod readers;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static READER: OnceLock<(readers::Reader, usize)> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let (read, each) = READER.get_or_init(|| {
        let name = std::env::var("SCOREFIELD_READER").unwrap_or_default();
        let known = readers::READERS.map(|(known, ..)| known);
        let found = readers::READERS.iter().find(|(known, ..)| *known == name);
        let (_, read, each) = found.unwrap_or_else(|| panic!("SCOREFIELD_READER is none of {known:?}"));
        (*read, *each)
    });
    bound::within(each * bytes.len(), || read(bytes));
});
