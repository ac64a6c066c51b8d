//! What processes hold in memory, as Linux tells it.

use std::fs;

/// Which of a process and those it has begun, directly or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Itself,
    /// Chromium's processes of pages.
    Renderer,
    /// Chromium's other processes, without the driver.
    Browser,
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A number behind a word in what Linux says of a process.
fn said(process: u32, word: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse().ok())
}

fn descends(mut process: u32, from: u32) -> bool {
    while process > 1 {
        let Some(parent) = said(process, "PPid:") else { return false };
        process = u32::try_from(parent).expect("a process");
        if process == from {
            return true;
        }
    }
    false
}

/// The resident memory in megabytes of those of this kind; a kind of which there is none is an error of the bench.
pub fn resident(root: u32, kind: Kind) -> f64 {
    let is = |process: u32| {
        if kind == Kind::Itself {
            return process == root;
        }
        let renders = fs::read(format!("/proc/{process}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("--type=renderer"));
        descends(process, root) && renders == (kind == Kind::Renderer)
    };
    let kilobytes: Vec<u64> =
        processes().into_iter().filter(|&process| is(process)).filter_map(|process| said(process, "VmRSS:")).collect();
    assert!(!kilobytes.is_empty(), "none of the processes that {root} began is there");
    kilobytes.iter().sum::<u64>() as f64 * 1.024e-3
}
