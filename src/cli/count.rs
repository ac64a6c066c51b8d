//! Numbers on the command line: at least one, and no more than memory and patience have room for.

use clap::builder::RangedU64ValueParser;

/// Most images or points of a run.
pub const MOST_SAMPLES: u64 = 1_000_000;

/// A number of things from 1 to `most`.
#[must_use]
pub fn count(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}
