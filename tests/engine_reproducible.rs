//! The same link, the same numbers: the native side of what `tests/worker.rs` asks of a browser. After a change of the
//! data, the schedules or the network that is meant, the golden digests are written anew by
//!
//!     UPDATE_GOLDEN=1 cargo test --features cpu --test engine_reproducible
#![cfg(feature = "cpu")]

#[path = "support/reproduce.rs"]
mod reproduce;

#[test]
fn draws_weights_and_batches_are_those_of_every_other_machine() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/reproduce.txt");
        std::fs::write(path, reproduce::digests()).expect("the golden file can be written");
        return;
    }
    assert_eq!(reproduce::differences(), Vec::<String>::new());
}
