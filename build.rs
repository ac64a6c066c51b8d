//! What the sources and the profile cannot say by themselves:
//!
//! * The profiles strip what visitors need not download; one section is kept that tells wasm-bindgen which features of
//!   WebAssembly it may use.
//! * The version of the messages between page and worker, and that of the locale files, are digests of the files that
//!   define them, so that nobody can forget to raise them.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Sources beside those of the messages that only the page's side of the conversation needs.
const OF_THE_PAGE: [&str; 6] = ["comparison.rs", "film.rs", "session", "session.rs", "settings.rs", "texts.rs"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-bins=--keep-section=target_features");
    }
    println!(
        "cargo::rustc-env=SCOREFIELD_WIRE={:08x}",
        digest(&["src/protocol.rs", "src/protocol", "src/lab", "src/study", "src/plot/figure.rs", "src/wire.rs"])
    );
    // Only the page reads them: a new text is no reason to build the workers again.
    if env::var_os("CARGO_FEATURE_UI").is_some() {
        println!("cargo::rustc-env=SCOREFIELD_LOCALES={:08x}", digest(&["web/locales"]));
        // What the build writes the contents from.
        let contents = ["web/locales", "docs/report.json", "docs/times.json", "src/bin/finish_page", "src/study"];
        println!("cargo::rustc-env=SCOREFIELD_CONTENTS={:08x}", digest(&contents));
    }
}

/// 32-bit FNV-1a over the names and contents of files and folders, whatever the line ends of the checkout.
fn digest(paths: &[&str]) -> u32 {
    let mut files = Vec::new();
    // What is not there yet cannot be watched: it would be a change at every build.
    for path in paths.iter().filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
        collect(Path::new(path), &mut files);
    }
    files.sort();
    let mut hash = 0x811c_9dc5_u32;
    for file in files {
        let name = file.to_string_lossy().replace('\\', "/").into_bytes();
        let content = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for byte in name.into_iter().chain(content).filter(|&byte| byte != b'\r') {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| OF_THE_PAGE.contains(&name)) {
        return;
    }
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for entry in entries.filter_map(Result::ok) {
            collect(&entry.path(), files);
        }
    } else {
        files.push(path.to_owned());
    }
}
