//! Nothing is asked of anybody else, by the page or by its workers.

use std::collections::BTreeSet;
use std::{env, fs, process};

use serde_json::Value;

use super::page::{LATE, Page, SOON};

#[test]
fn page_and_workers_ask_only_where_the_page_comes_from() {
    let log = env::temp_dir().join(format!("scorefield-{}-netlog.json", process::id()));
    let option = format!("--log-net-log={}", log.display());
    let link = "#device=auto&dataset=moons&width=8&depth=1&batch=16&training-steps=5&samples=16&steps=2&run=1";
    let page = Page::open_asking("network", link, &[&option, "--net-log-capture-mode=IncludeSensitive"]);
    page.wait_for(&["done"], LATE);
    // Until the other worker is there too, or is known not to come.
    page.until("the GPU worker has been fetched", LATE, || {
        let names = page.browser.script(
            "return performance.getEntriesByType('resource').filter(e => e.name.includes('worker_gpu')).length;",
            &[],
        );
        names.as_f64().filter(|&n| n >= 1.0)
    });
    page.wait_for(&["done"], SOON);
    let origin = page.origin();
    page.close();

    // What the whole browser asked for, with who asked: frames and workers are told apart from the browser's own errands.
    let text = fs::read_to_string(&log).expect("the browser writes its log when it ends");
    drop(fs::remove_file(&log));
    // The last line may be missing its end when the browser was ended.
    let events = text.lines().filter_map(|line| {
        serde_json::from_str::<Value>(line.trim_end_matches([',', ']', '}']))
            .ok()
            .or_else(|| serde_json::from_str::<Value>(line.trim_end_matches(',')).ok())
    });
    let (mut ours, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        let parameters = &event["params"];
        let (Some(url), Some(initiator)) = (parameters["url"].as_str(), parameters["initiator"].as_str()) else {
            continue;
        };
        if !initiator.starts_with(origin.trim_end_matches('/')) {
            continue;
        }
        if url.starts_with(&origin) {
            ours.insert(url.to_owned())
        } else {
            foreign.insert(url.to_owned())
        };
    }
    for part in ["worker_cpu_relaxed.js", "worker_cpu_relaxed_bg.wasm", "worker_gpu_bg.wasm", "locales/en.txt"] {
        assert!(ours.iter().any(|url| url.contains(part)), "{part} is not in the log: {ours:?}");
    }
    assert_eq!(foreign, BTreeSet::new());
}

#[test]
fn what_is_asked_for_ahead_of_the_program_is_what_the_program_takes() {
    for (name, link, expected) in [
        ("ahead-contents", "#lang=fa", ["locales/fa.txt", "contents/fa.html", "pictures/plane.svg", "studies.bin"]),
        (
            "ahead-plane",
            "#lang=zh&device=cpu",
            ["locales/zh.txt", "studies.bin", "ahead.js", "worker_cpu_relaxed_bg.wasm"],
        ),
        (
            "ahead-study",
            "#experiment=score-1d&device=cpu",
            ["locales/en.txt", "studies.bin", "ahead.js", "worker_study_bg.wasm"],
        ),
    ] {
        let page = Page::open(name, link);
        if !link.ends_with("fa") {
            page.wait_for(&["idle"], SOON);
        }
        let found = page.browser.script(
            "return performance.getEntriesByType('resource').map(e => [e.name.split('?')[0], e.initiatorType]);",
            &[],
        );
        let found: Vec<(String, String)> = serde_json::from_value(found).expect("names");
        for part in expected {
            let kinds: Vec<&str> =
                found.iter().filter(|(name, _)| name.ends_with(part)).map(|(_, kind)| kind.as_str()).collect();
            // One entry, by a link: the program's own request found it there.
            let first = if part == "ahead.js" { "script" } else { "link" };
            assert_eq!(kinds, [first], "{link}: {part}: {found:?}");
        }
        page.close();
    }
}
