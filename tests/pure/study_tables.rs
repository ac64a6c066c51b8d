//! The file of the studies' tables, which the build writes and the page fetches.

use scorefield::lab::RunConfig;
use scorefield::rng::{Rng, Stream};
use scorefield::study::{STUDIES, from_bytes, to_bytes};
use scorefield::wire::WireError;

#[test]
fn the_file_of_tables_says_what_the_tables_say() {
    let bytes = to_bytes(STUDIES).expect("tables have bytes");
    let read = from_bytes(bytes.clone().leak()).expect("a file of tables");
    assert_eq!(read.len(), STUDIES.len());
    let run = RunConfig::default();
    for (read, built_in) in read.iter().zip(STUDIES) {
        assert_eq!(
            (read.id, read.chapter, read.live, read.brief, read.notes),
            (built_in.id, built_in.chapter, built_in.live, built_in.brief, built_in.notes)
        );
        assert_eq!(read.controls.len(), built_in.controls.len(), "{}", read.id);
        for (read, built_in) in read.controls.iter().zip(built_in.controls) {
            let field = &read.field;
            assert_eq!((field.key, field.kind, read.only), (built_in.field.key, built_in.field.kind, built_in.only));
            assert_eq!(field.get(&run), built_in.field.get(&run), "{}", field.key);
        }
    }
    // Whatever else there is in a table is in its bytes.
    assert_eq!(to_bytes(&read), Ok(bytes));
}

#[test]
fn damaged_tables_and_those_of_another_build_are_told_apart() {
    let bytes = to_bytes(STUDIES).expect("tables have bytes");
    let error = |bytes: Vec<u8>| from_bytes(bytes.leak()).err();
    for length in (0..bytes.len()).step_by(97) {
        assert_eq!(error(bytes[..length].to_vec()), Some(WireError::Damaged), "{length}");
    }
    assert_eq!(error(b"<!DOCTYPE html>".to_vec()), Some(WireError::Damaged));
    let mut rng = Rng::new(5, Stream::Test, 0);
    for _ in 0..500 {
        let mut bytes = bytes.clone();
        let place = rng.below(bytes.len() as u32) as usize;
        bytes[place] ^= 1 + rng.below(255) as u8;
        assert_eq!(error(bytes), Some(WireError::Damaged));
    }
    // The version is first and the digest of what is before it last: that of another build is whole, and another.
    let mut other = bytes[..bytes.len() - 4].to_vec();
    other[0] ^= 1;
    let digest = other.iter().fold(0x811c_9dc5_u32, |hash, &b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    other.extend(digest.to_le_bytes());
    assert_eq!(error(other), Some(WireError::Outdated));
}
