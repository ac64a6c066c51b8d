//! Tests that need a device which not every machine has.

/// Leaves a test out for want of a device: only where `SCOREFIELD_ALLOW_SKIPS` says that it may be left out. Otherwise
/// the test fails, for a test that never runs tells nothing.
pub fn left_out(why: &str) {
    assert!(
        std::env::var_os("SCOREFIELD_ALLOW_SKIPS").is_some(),
        "{why}; SCOREFIELD_ALLOW_SKIPS=1 leaves the test out on such a machine"
    );
    println!("left out: {why}");
}
