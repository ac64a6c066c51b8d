//! What the page and the script that keeps it for visits without a network have to agree on. The build writes the script
//! (`src/bin/finish_page/offline.rs`).

/// The script's name, beside the page.
pub const SCRIPT: &str = "service-worker.js";

/// What the name of a copy begins with among what the browser keeps.
pub const PREFIX: &str = "scorefield-page-";

/// A WebAssembly module of one function, `f32x4.relaxed_madd`: browsers with relaxed vector instructions take it for one.
pub const RELAXED_MODULE: [u8; 37] = *b"\0asm\x01\0\0\0\x01\x08\x01\x60\x03\x7b\x7b\x7b\x01\x7b\x03\x02\x01\0\
    \x0a\x0d\x01\x0b\0\x20\0\x20\x01\x20\x02\xfd\x85\x02\x0b";
