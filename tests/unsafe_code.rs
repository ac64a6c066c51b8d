//! Where the project's own `unsafe` stands: counted in docs/unsafe.md, each with its reason beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line of code begins an `unsafe` block, function or implementation.
fn begins(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word))
}

/// Whether a reason is given in the same file above the line: `SAFETY` in a comment, or `# Safety` in a docstring.
fn explained(before: &[&str]) -> bool {
    before.iter().any(|line| {
        let comment = line.trim_start();
        comment.starts_with("//") && (comment.contains("SAFETY") || comment.contains("# Safety"))
    })
}

#[test]
fn unsafe_code_is_counted_and_explained_where_it_stands() {
    let mut files = Vec::new();
    for folder in ["src", "crates", "tests", "benches", "fuzz/src"] {
        sources(&root().join(folder), &mut files);
    }
    let own = root().join("tests/unsafe_code.rs");
    let (mut counts, mut silent) = (BTreeMap::new(), Vec::new());
    for path in files.iter().filter(|path| **path != own) {
        let text = fs::read_to_string(path).expect("a source file");
        let lines: Vec<&str> = text.lines().collect();
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        for (place, _) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
            *counts.entry(name.clone()).or_insert(0) += 1;
            if !explained(&lines[..place]) {
                silent.push(format!("{name}:{}", place + 1));
            }
        }
    }
    assert!(silent.is_empty(), "without a reason above: {silent:#?}");
    let table = fs::read_to_string(root().join("docs/unsafe.md")).expect("the table");
    let told: BTreeMap<String, i32> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let name = cells.next()?.trim().trim_end_matches('`').to_owned();
            Some((name, cells.next()?.trim().parse().ok()?))
        })
        .collect();
    assert_eq!(told, counts, "docs/unsafe.md against the code");
}
