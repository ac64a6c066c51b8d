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

/// Pixels that a layer changes.
fn changed(page: &Page, layer: &str) -> usize {
    let tick = "document.querySelector(`[data-testid='${arguments[0]}']`).click();";
    let before = still(page);
    page.browser.script(tick, &[layer.into()]);
    let after = still(page);
    page.browser.script(tick, &[layer.into()]);
    assert!(still(page) == before, "{layer} leaves something behind");
    before.chunks_exact(4).zip(after.chunks_exact(4)).filter(|(a, b)| a != b).count()
}

#[test]
fn pairs_single_points_and_the_run_before_are_shown_when_there_are_any() {
    let page = Page::open("layers", "#dataset=moons&device=cpu&denoiser=exact&solver=ddim&samples=200&steps=12&seed=3");
    page.wait_for(&["idle"], SOON);
    assert_eq!((changed(&page, "show-pairs"), changed(&page, "show-earlier")), (0, 0), "there was no run");
    assert!(changed(&page, "show-conditional") > 50);
    page.press("sample");
    page.wait_for(&["done"], LATE);
    let pairs = changed(&page, "show-pairs");
    assert!(pairs > 1000, "{pairs}");
    assert_eq!(changed(&page, "show-earlier"), 0, "there was one run");
    // From the same noise by another way.
    page.set("solver", "euler-maruyama");
    page.press("sample");
    page.wait_for(&["done"], LATE);
    let earlier = changed(&page, "show-earlier");
    assert!(earlier > 200, "{earlier}");
    // At the beginning both are the same points.
    page.set("time", "0");
    let begin = changed(&page, "show-earlier");
    assert!(begin < earlier, "{begin} of {earlier}");
    // Other data have no run before.
    page.set("dataset", "rings");
    page.wait_for(&["idle", "done"], SOON);
    assert_eq!(changed(&page, "show-earlier"), 0);
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
