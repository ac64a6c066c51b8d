//! Where the project's own `unsafe` stands: counted in docs/unsafe.md, each with its reason beside it.

use std::collections::BTreeMap;

use crate::sources::sources;

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
    let (mut counts, mut silent) = (BTreeMap::new(), Vec::new());
    let own =
        |folder: &'static str| sources(folder).into_iter().map(move |(name, text)| (format!("{folder}/{name}"), text));
    let files = ["src", "crates", "tests", "benches", "fuzz/src"].into_iter().flat_map(own);
    // This file has the words without the thing.
    for (name, text) in files.filter(|(name, _)| name != "tests/pure/unsafe_code.rs") {
        let lines: Vec<&str> = text.lines().collect();
        for (place, _) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
            *counts.entry(name.clone()).or_insert(0) += 1;
            if !explained(&lines[..place]) {
                silent.push(format!("{name}:{}", place + 1));
            }
        }
    }
    assert!(silent.is_empty(), "without a reason above: {silent:#?}");
    let told: BTreeMap<String, i32> = include_str!("../../docs/unsafe.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let name = cells.next()?.trim().trim_end_matches('`').to_owned();
            Some((name, cells.next()?.trim().parse().ok()?))
        })
        .collect();
    assert_eq!(told, counts, "docs/unsafe.md against the code");
}
