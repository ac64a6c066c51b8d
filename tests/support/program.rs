//! The program as its users run it, and data for it.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use scorefield::cli::images::png_file::Picture;

/// A folder that is removed when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("scorefield-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Runs the program.
pub fn scorefield(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorefield"));
    command.args(arguments).env("RUST_BACKTRACE", "0").output().unwrap()
}

#[track_caller]
pub fn success(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {errors}", output.status);
}

/// Ended with this code and, last, one line with this word.
#[track_caller]
pub fn failure(output: &Output, code: i32, word: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(errors.contains(word), "no {word:?} in {errors}");
    if code != 2 || !errors.contains("Usage:") && !errors.contains("--help") {
        let last = errors.lines().last().unwrap_or_default();
        assert!(last.starts_with("scorefield: ") && last.contains(word), "{errors}");
    }
}

/// A tiny network, and a batch of two pieces.
pub const NETWORK: [&str; 12] =
    ["--channels", "8", "--multipliers", "1,2", "--layers", "1", "--groups", "4", "--batch", "4", "--piece", "2"];

/// Records of CIFAR-10's official files.
pub fn records(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|i| std::iter::once((i % 10) as u8).chain((0..3072).map(move |k| (k * 7 + i * 31) as u8)))
        .collect()
}

/// A folder of PNG files of one size.
pub fn images(folder: &Folder, name: &str, count: usize, size: usize) {
    let path = folder.path(name);
    fs::create_dir_all(&path).unwrap();
    for index in 0..count {
        let pixels = (0..size * size * 3).map(|k| (k * (index + 3) * 11 % 256) as u8).collect();
        let picture = Picture { width: size, height: size, channels: 3, pixels };
        fs::write(format!("{path}/{index:03}.png"), picture.encode().unwrap()).unwrap();
    }
}
