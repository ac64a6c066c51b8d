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
