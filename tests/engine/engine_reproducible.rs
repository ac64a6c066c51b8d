//! The same link, the same numbers: the native side of what `tests/worker.rs` asks of a browser. After a change of the
//! data, the schedules or the network that is meant, the golden digests are written anew by
//!
//!     UPDATE_GOLDEN=1 cargo test --features cpu,models,studies --test engine engine_reproducible

use crate::reproduce;
use crate::reproduced;
use scorefield::engine::reproduction::Digests;
use scorefield::lab::RunConfig;
use scorefield::share;

#[test]
fn draws_weights_and_batches_are_those_of_every_other_machine() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/reproduce.txt");
        std::fs::write(path, reproduce::digests()).expect("the golden file can be written");
        return;
    }
    assert_eq!(reproduce::differences(), Vec::<String>::new());
}

#[test]
fn digests_of_a_link_are_those_that_the_page_shows_in_every_browser() {
    let (link, rejected) = share::from_fragment(reproduced::LINK);
    assert!(rejected.is_empty(), "{rejected:?}");
    let config = link.config;
    let digests = Digests::of(&config).expect("a run with data").to_string();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/reproduced.txt");
        std::fs::write(path, format!("{digests}\n")).expect("the golden file can be written");
        return;
    }
    assert_eq!(digests, reproduced::DIGESTS.trim_end());
    // Another seed is another run.
    let other = Digests::of(&RunConfig { seed: config.seed + 1, ..config }).expect("a run with data");
    assert!(digests.split(", ").zip(other.to_string().split(", ")).all(|(one, another)| one != another));
}
