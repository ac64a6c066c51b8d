//! Where what is built comes from: the lock files, package by package.

use std::fs;
use std::path::Path;

/// What a lock file says of where a package comes from when it is crates.io.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// The packages of this repository itself.
const OURS: [&str; 6] =
    ["kernels", "scorefield", "scorefield-fuzz", "worker_cpu", "worker_cpu_relaxed", "worker_study"];

/// What is wrong with where the packages of a lock file come from.
fn strangers(lock: &str) -> Vec<String> {
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.and_then(|line| line.strip_suffix('"')).unwrap_or_default().to_owned()
    };
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let [name, source, checksum] = ["name", "source", "checksum"].map(|key| value(package, key));
            let ours = source.is_empty() && OURS.contains(&name.as_str());
            (!ours && (source != CRATES_IO || checksum.len() != 64)).then(|| format!("{name} from {source:?}"))
        })
        .collect()
}

#[test]
fn every_package_is_of_crates_io_with_its_checksum() {
    for name in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a lock file");
        assert!(lock.matches("[[package]]").count() > 100, "{name} is no lock file");
        assert_eq!(strangers(&lock), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_package_of_anywhere_else_is_noticed() {
    let package = |lines: &str| format!("[[package]]\nname = \"a\"\n{lines}");
    let sum = "0".repeat(64);
    assert!(strangers(&package(&format!("source = \"{CRATES_IO}\"\nchecksum = \"{sum}\"\n"))).is_empty());
    for lines in [
        "",
        &format!("source = \"{CRATES_IO}\"\n"),
        &format!("source = \"git+https://github.com/a/b#{sum}\"\n"),
        &format!("source = \"registry+https://elsewhere.example\"\nchecksum = \"{sum}\"\n"),
    ] {
        assert_eq!(strangers(&package(lines)).len(), 1, "{lines}");
    }
}
