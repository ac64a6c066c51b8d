//! The house rules that a compiler does not enforce: which module may know which.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the crate, and the crate modules they must not mention.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("rng.rs", &["data", "diffusion", "engine", "lab", "nn", "plot", "protocol", "share", "ui", "worker"]),
    ("decimal.rs", &["data", "diffusion", "engine", "lab", "nn", "plot", "protocol", "share", "ui", "worker"]),
    ("diffusion", &["data", "engine", "lab", "nn", "plot", "protocol", "share", "ui", "worker"]),
    ("plot", &["data", "diffusion", "engine", "lab", "nn", "protocol", "share", "ui", "worker"]),
    ("data", &["engine", "nn", "share", "ui", "worker"]),
    ("lab", &["engine", "nn", "ui", "worker"]),
    ("share.rs", &["engine", "nn", "ui", "worker"]),
    ("protocol.rs", &["engine", "nn", "ui", "worker"]),
    ("study", &["share", "ui", "worker"]),
    ("protocol", &["engine", "nn", "ui", "worker"]),
    ("wire.rs", &["engine", "nn", "ui", "worker"]),
    ("nn", &["cli", "ui", "worker"]),
    ("engine", &["cli", "ui", "worker"]),
    ("worker", &["ui"]),
    ("cli", &["ui", "worker"]),
    ("ui", &["engine", "nn", "worker"]),
];

fn rust_files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.push(path.to_owned());
        return;
    }
    for entry in fs::read_dir(path).expect("a folder of sources").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            found.push(entry);
        }
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code of a file, without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable source");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn dependencies_run_one_way() {
    let mut broken = Vec::new();
    for (module, forbidden) in FORBIDDEN {
        let mut files = Vec::new();
        rust_files(&sources().join(module), &mut files);
        assert!(!files.is_empty(), "{module}");
        for file in files {
            let code = code(&file);
            for other in *forbidden {
                if code.contains(&format!("crate::{other}::")) || code.contains(&format!("use crate::{other};")) {
                    broken.push(format!("{} uses {other}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn only_nn_and_engine_know_burn_and_only_the_page_knows_leptos() {
    let mut files = Vec::new();
    rust_files(&sources(), &mut files);
    for file in files {
        let code = code(&file);
        let under = |module: &str| file.starts_with(sources().join(module));
        assert!(!code.contains("burn::") || under("nn") || under("engine"), "{}", file.display());
        assert!(!code.contains("leptos::") || under("ui"), "{}", file.display());
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let mut files = Vec::new();
    rust_files(&sources(), &mut files);
    for file in files {
        let lines = fs::read_to_string(&file).expect("a readable source").lines().count();
        assert!(lines <= 600, "{} has {lines} lines", file.display());
    }
}
