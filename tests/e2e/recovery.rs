//! What survives when something breaks: a dying worker, a reload, an engine of another build, one that is not there.

use std::fs;

use scorefield::lab::RunConfig;
use scorefield::protocol::Command;

use super::page::{LATE, LIVE, Page, SOON, replace};

const SMALL: &str = "#dataset=moons&device=cpu&width=32&depth=2&batch=128&samples=200&steps=5&seed=3";

/// A network with more weights than the worker has memory: its program traps. The page itself never asks for one.
fn deadly() -> Command {
    let config = RunConfig { width: 60_000, depth: 2, ..RunConfig::default() };
    Command::Benchmark { config, budget_ms: 10.0 }
}

/// Training steps behind the weights that this tab keeps for a reload.
fn kept(page: &Page) -> Option<f64> {
    let kept = page.browser.script("return sessionStorage.getItem('scorefield-step');", &[]);
    kept.as_str()?.parse().ok()
}

#[test]
fn a_worker_that_dies_is_a_message_and_a_restart_goes_on_from_the_last_checkpoint() {
    let page = Page::open("crash", &format!("{SMALL}&training-steps=100000"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    let before = page.until("a checkpoint arrives", SOON, || kept(&page).filter(|&steps| steps > 0.0));
    page.command("worker_cpu", &deadly());
    page.wait_for(&["failed"], SOON);
    let message = page.text("error");
    let numbers: Vec<f64> = message.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let said = *numbers.first().unwrap_or_else(|| panic!("no number of steps in: {message}"));
    assert!(said >= before, "{said} steps are said to be kept, {before} were: {message}");
    for (id, value) in [("width", "32"), ("training-steps", "100000"), ("seed", "3")] {
        assert_eq!(page.value(id), value, "{id}");
    }

    page.press("recover");
    page.wait_for(&["running"], SOON);
    let step = page.until("the training goes on", SOON, || page.step());
    assert!(step >= said, "step {step} after a checkpoint of {said}");
    page.press("stop");
    page.wait_for(&["done"], SOON);
    page.close_after_trouble();
}

#[test]
fn a_lost_gpu_is_a_message_and_a_restart_goes_on_with_the_weights_so_far() {
    let page = Page::open(
        "lost-gpu",
        "#dataset=mixture&device=gpu&width=8&depth=1&batch=16&training-steps=100000&samples=16&steps=2&seed=3",
    );
    page.wait_for(&["idle"], LATE);
    page.press("train");
    let before = page.until("a checkpoint arrives", LATE, || kept(&page).filter(|&steps| steps > 0.0));
    page.browser.crash_gpu();
    page.wait_for(&["failed"], LATE);
    let message = page.text("error");
    let numbers: Vec<f64> = message.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let said = *numbers.first().unwrap_or_else(|| panic!("no number of steps in: {message}"));
    assert!(said >= before, "{said} steps are said to be kept, {before} were: {message}");

    page.press("recover");
    page.wait_for(&["running"], LATE);
    assert_eq!(page.attribute("device", "data-device").as_deref(), Some("gpu"));
    let step = page.until("the training goes on", LATE, || page.step().filter(|&step| step > said));
    assert!(step > said, "step {step} after a checkpoint of {said}");
    page.press("stop");
    page.wait_for(&["done"], LATE);
    page.close_after_trouble();
}

#[test]
fn a_worker_that_dies_while_nothing_goes_on_can_be_started_again() {
    let page = Page::open("crash-idle", &format!("{SMALL}&training-steps=20"));
    page.wait_for(&["idle"], SOON);
    page.command("worker_cpu", &deadly());
    page.wait_for(&["failed"], SOON);
    page.press("recover");
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.wait_for(&["done"], SOON);
    page.close_after_trouble();
}

#[test]
fn a_reload_brings_back_settings_and_weights() {
    let page = Page::open("reload", &format!("{SMALL}&training-steps=60"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.wait_for(&["done"], LATE);
    page.until("the weights are kept", SOON, || kept(&page).filter(|&steps| steps == 60.0));
    page.press("sample");
    page.begun();
    page.wait_for(&["done"], LATE);
    let before = page.samples();

    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    assert_eq!(page.value("width"), "32");
    assert_eq!(page.value("training-steps"), "60");
    page.press("sample");
    page.wait_for(&["done"], LATE);
    assert_eq!(page.samples(), before, "the same weights, the same samples");
    page.close();
}

#[test]
fn an_engine_of_another_build_is_told_apart_and_asks_for_a_reload() {
    let page = Page::open_changed("outdated", SMALL, |served| {
        // What a worker of an older deployment would say first.
        replace(served, "worker_cpu_relaxed_loader.js", "postMessage(new Uint8Array([1, 2, 3, 4, 0]));");
    });
    page.wait_for(&["failed"], SOON);
    let message = page.text("error");
    assert!(message.contains("different versions") && message.contains("Load the page again"), "{message}");
    page.close();
}

#[test]
fn an_engine_that_cannot_be_fetched_is_a_message_on_a_page_that_still_works() {
    let page = Page::open_changed("no-engine", SMALL, |served| {
        for name in ["worker_cpu_relaxed_bg.wasm", "worker_cpu_relaxed_loader.js", "worker_cpu_relaxed.js"] {
            fs::remove_file(served.join(name)).expect("a served file");
        }
    });
    page.wait_for(&["failed"], SOON);
    assert!(!page.text("error").trim().is_empty());
    page.set("dataset", "rings");
    page.until("the link follows", SOON, || page.fragment().contains("dataset=rings").then_some(()));
    page.close_after_trouble();
}

#[test]
fn what_is_no_longer_shown_is_let_go_of() {
    let page = Page::open("let-go", "#device=cpu");
    page.wait_for(&["idle"], SOON);
    let visit = || {
        let images = "#experiment=images&device=cpu";
        for (link, experiment, state) in
            [(images, "images", "idle"), (LIVE, "score-1d", "done"), ("#device=cpu", "plane", "idle")]
        {
            page.browser.script("location.hash = arguments[0];", &[link.into()]);
            let there = || (page.value("experiment") == experiment && page.state()? == state).then_some(());
            page.until("the experiment is shown", SOON, there);
        }
    };
    // What is made once for all experiments is there after the first visits.
    visit();
    let before = page.browser.nodes();
    (0..5).for_each(|_| visit());
    let after = page.until("what was shown is let go of", SOON, || {
        let nodes = page.browser.nodes();
        (nodes < before + before / 10).then_some(nodes)
    });
    assert!(after > 500, "{after} nodes are not a page");
    page.close();
}

#[test]
fn what_followed_a_signal_is_taken_off_its_list() {
    let keep = "const own = WebAssembly.instantiateStreaming;
        WebAssembly.instantiateStreaming = async (...of) => globalThis.made = await own.apply(WebAssembly, of);";
    let page = Page::open_with_script("off-the-list", keep, "#device=cpu");
    page.wait_for(&["idle"], SOON);
    let bytes = || page.browser.script("return made.instance.exports.memory.buffer.byteLength;", &[]).as_u64();
    let visits = |count| {
        for _ in 0..count {
            page.browser.script("location.hash = '#contents';", &[]);
            page.until("the contents", SOON, || page.attribute("contents", "aria-busy").filter(|busy| busy == "false"));
            page.browser.script("location.hash = '#device=cpu';", &[]);
            page.until("the experiment", SOON, || page.state());
        }
    };
    // What is kept once is there after the first ones; each of the others left 40 KB on lists that nothing cleared.
    visits(15);
    let before = bytes().expect("a size");
    visits(30);
    let grown = bytes().expect("a size") - before;
    println!("{grown} bytes more after thirty ways to the contents and back");
    assert!(grown <= 4 << 16, "{grown} bytes more after thirty ways to the contents and back");
    page.close();
}
