//! Images on several cores: workers of the worker, in a browser and without shared memory.

use super::images::{SHORT, images};
use super::page::{LATE, Page, SOON, replace};
use super::skip;

/// Long enough for others to come and help.
const LONG: &str = "#experiment=images&device=cpu&images=6&steps=60&solver=ddim&seed=5";

/// What stands between a worker's file and its program.
const LOADER: &str = "worker_cpu_relaxed_loader.js";

fn cores(page: &Page) -> u64 {
    let there = page.browser.script("return document.querySelector(\"[data-testid='cores']\").options.length;", &[]);
    there.as_u64().expect("a choice")
}

/// Waits for the page to say that several evaluate.
fn wait_for_others(page: &Page) {
    page.until("others evaluate", LATE, || page.text("workers").contains("CPU cores").then_some(()));
}

#[test]
fn several_cores_make_the_picture_that_one_makes_and_the_page_says_how_many() {
    let page = Page::open("pool", LONG);
    page.wait_for(&["idle"], SOON);
    if cores(&page) < 2 {
        return skip::left_out("a machine of one core");
    }
    assert_eq!(page.value("cores"), cores(&page).to_string(), "all of them");
    assert_eq!(page.text("workers"), "");
    page.press("sample");
    wait_for_others(&page);
    let words = page.text("workers");
    println!("{words}");
    let together = images(&page);
    assert_eq!(page.text("workers"), words, "still there when it is over");

    page.set("cores", "1");
    page.press("sample");
    page.begun();
    let alone = images(&page);
    assert_eq!(page.text("workers"), "");
    assert!(together == alone, "other pictures");
    // The choice is remembered, and no part of a link.
    assert!(!page.value("share").contains("cores"));
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    assert_eq!(page.value("cores"), "1");
    page.close();
}

#[test]
fn a_run_of_several_cores_is_held_and_stopped_in_the_middle() {
    let page = Page::open("pool-stop", "#experiment=images&device=cpu&images=16&steps=900");
    page.wait_for(&["idle"], SOON);
    if cores(&page) < 2 {
        return skip::left_out("a machine of one core");
    }
    page.press("sample");
    wait_for_others(&page);
    page.press("pause");
    page.wait_for(&["paused"], SOON);
    page.press("step");
    page.press("pause");
    page.wait_for(&["running"], SOON);
    page.press("stop");
    page.wait_for(&["done"], SOON);
    assert!(page.pixels("samples").iter().any(|&v| v != 0));
    // Whoever still works on the old run does not disturb the next.
    page.set("steps", "2");
    page.press("sample");
    images(&page);
    page.close();
}

#[test]
fn workers_that_die_and_a_browser_that_has_none_change_nothing_in_the_picture() {
    let expected = {
        let page = Page::open("pool-none", LONG);
        page.wait_for(&["idle"], SOON);
        page.press("sample");
        images(&page)
    };
    let dying = "import init from './worker_cpu_relaxed.js';
        const Native = Worker;
        self.Worker = class extends Native { constructor(address, options) { super(address + '?hired', options); } };
        await init();
        if (location.search) setTimeout(() => { throw new Error('it dies'); }, 1500 + 1500 * Math.random());";
    let absent = "import init from './worker_cpu_relaxed.js'; self.Worker = undefined; await init();";
    for loader in [dying, absent] {
        let page = Page::open_changed("pool-dies", LONG, |served| replace(served, LOADER, loader));
        page.wait_for(&["idle"], SOON);
        page.press("sample");
        assert!(images(&page) == expected, "another picture");
        assert_eq!(page.text("workers"), "", "nobody is left");
        page.close_after_trouble();
    }
}

#[test]
fn a_benchmark_says_what_the_cores_take_together() {
    let page = Page::open("pool-benchmark", &format!("{SHORT}&benchmark=1"));
    let timings = page.until("the timings are complete", LATE, || {
        let timings: serde_json::Value = serde_json::from_str(&page.text("benchmark")).ok()?;
        (timings[0]["rows"].as_array()?.len() == 3).then_some(timings)
    });
    println!("{timings}");
    let cores = cores(&page);
    for row in timings[0]["rows"].as_array().expect("rows") {
        let batch = row["batch"].as_u64().expect("a number");
        let workers = if cores.min(batch) < 2 { 0 } else { cores.min(batch) };
        assert_eq!(row["workers"].as_u64(), Some(workers), "{row}");
        assert_eq!(row["together_ms"].as_f64().is_some_and(|ms| ms > 0.0), workers > 0, "{row}");
    }
    page.close();
}
