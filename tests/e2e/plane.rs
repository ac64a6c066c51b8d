//! What the picture of the plane can show beside data and samples, and what is said of a run beforehand.

use std::time::Duration;

use super::page::{LATE, Page, SOON};

/// The picture, once it stands still.
fn still(page: &Page) -> Vec<u8> {
    page.until("the picture stands still", SOON, || {
        let before = page.pixels("samples");
        std::thread::sleep(Duration::from_millis(400));
        (!before.is_empty() && page.pixels("samples") == before).then_some(before)
    })
}

/// Shows a layer, or no longer.
fn tick(page: &Page, layer: &str) {
    page.browser.script("document.querySelector(`[data-testid='${arguments[0]}']`).click();", &[layer.into()]);
}

/// The places of the pixels that a layer changes.
fn changed(page: &Page, layer: &str) -> Vec<usize> {
    let before = still(page);
    tick(page, layer);
    let after = still(page);
    tick(page, layer);
    assert!(still(page) == before, "{layer} leaves something behind");
    let pixels = before.chunks_exact(4).zip(after.chunks_exact(4)).enumerate();
    pixels.filter(|(_, (a, b))| a != b).map(|(place, _)| place).collect()
}

/// How many pixels of the run before lie where there is no sample of the last one.
fn apart(page: &Page) -> usize {
    let samples = changed(page, "show-samples");
    tick(page, "show-samples");
    let earlier = changed(page, "show-earlier");
    tick(page, "show-samples");
    assert!(!samples.is_empty() && !earlier.is_empty());
    earlier.iter().filter(|place| samples.binary_search(place).is_err()).count()
}

#[test]
fn pairs_single_points_and_the_run_before_are_shown_when_there_are_any() {
    let page = Page::open("layers", "#dataset=moons&device=cpu&denoiser=exact&solver=ddim&samples=200&steps=12&seed=3");
    page.wait_for(&["idle"], SOON);
    let shown = |layer| changed(&page, layer).len();
    assert_eq!((shown("show-pairs"), shown("show-earlier")), (0, 0), "there was no run");
    assert!(shown("show-conditional") > 50);
    page.press("sample");
    page.wait_for(&["done"], LATE);
    assert!(shown("show-pairs") > 1000);
    assert_eq!(shown("show-earlier"), 0, "there was one run");
    // From the same noise by another way.
    page.set("solver", "euler-maruyama");
    page.press("sample");
    page.wait_for(&["done"], LATE);
    let ends = apart(&page);
    assert!(ends > 200, "{ends}");
    page.set("time", "0");
    assert_eq!(apart(&page), 0, "both begin with the same points");
    // Other data have no run before.
    page.set("dataset", "rings");
    page.wait_for(&["idle", "done"], SOON);
    assert_eq!(shown("show-earlier"), 0);
    page.close();
}

/// Seconds of training that the page expects.
fn estimate(page: &Page) -> Option<f64> {
    let text = page.text("estimate");
    text.split_whitespace().find_map(|word| word.parse().ok())
}

#[test]
fn what_a_run_will_take_is_said_beforehand_and_follows_the_settings() {
    let page = Page::open("estimate", "#dataset=moons&device=cpu&training-steps=1000&width=32&depth=2&batch=128");
    let first = page.until("an estimate", LATE, || estimate(&page).filter(|seconds| *seconds > 0.0));
    page.set("training-steps", "4000");
    let longer = page.until("a longer one", SOON, || estimate(&page).filter(|seconds| *seconds > 2.0 * first));
    assert!((longer / first - 4.0).abs() < 0.4, "{longer} and {first}");
    // Another network is timed anew.
    page.set("width", "128");
    page.until("another network's", LATE, || estimate(&page).filter(|seconds| *seconds > 1.2 * longer));
    page.set("denoiser", "exact");
    page.until("nothing to train", SOON, || page.text("estimate").is_empty().then_some(()));
    page.close();
}
