//! Which device computes, and what the page says about it.

use super::images::images;
use super::page::{LATE, Page, SOON};

#[test]
fn a_tiny_run_on_webgpu_is_done_by_webgpu() {
    let page = Page::open(
        "train-gpu",
        "#dataset=mixture&device=gpu&width=8&depth=1&batch=16&training-steps=5&samples=16&steps=2&seed=3",
    );
    page.wait_for(&["idle"], LATE);
    page.press("train");
    page.until("a loss is shown", LATE, || page.number("loss", "data-value"));
    page.wait_for(&["done"], LATE);
    assert_eq!(page.attribute("device", "data-device").as_deref(), Some("gpu"));
    // The adapter's name comes from the worker that answered.
    let device = page.text("device");
    assert!(device.starts_with("WebGPU ·"), "{device}");
    let loss = page.number("loss", "data-value").expect("a loss");
    assert!(loss.is_finite() && loss > 0.0, "{loss}");
    page.close();
}

#[test]
fn a_device_that_is_asked_for_and_is_not_there_is_an_error_and_not_another_device() {
    let page = Page::open_without_webgpu("no-gpu", "#device=gpu&run=1");
    page.wait_for(&["failed"], SOON);
    assert_eq!(page.number("loss", "data-value"), None);
    assert!(!page.text("error").trim().is_empty());
    page.close();
}

#[test]
fn the_automatic_choice_says_what_was_measured() {
    let page = Page::open("auto", "#device=auto&dataset=mixture&width=8&depth=1&batch=16&samples=16&steps=2");
    page.wait_for(&["idle"], SOON);
    let note = page.until("both devices are measured", LATE, || {
        let text = page.browser.script("return document.querySelector('.device .note')?.textContent ?? '';", &[]);
        text.as_str().filter(|text| text.contains("One training step")).map(str::to_owned)
    });
    let time = |word: &str| -> f64 {
        let rest = note.split(word).nth(1).unwrap_or_default();
        rest.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no time in {note}"))
    };
    let (cpu, gpu) = (time("CPU "), time("WebGPU "));
    assert!(cpu > 0.0 && gpu > 0.0, "{note}");
    // The choice is the faster one, and the numbers behind it can be read.
    let chosen = page.attribute("device", "data-device").expect("a device");
    assert_eq!(chosen, if gpu < cpu { "gpu" } else { "cpu" }, "{note}");
    assert!(page.text("benchmark").contains("training_step_ms"), "{}", page.text("benchmark"));
    page.close();
}

#[test]
fn half_precision_where_there_is_none_is_single_and_the_page_says_so() {
    let link = "#experiment=images&device=cpu&images=1&steps=1&seed=5";
    let drawn = |name: &'static str, more: &str| {
        let page = Page::open(name, &format!("{link}{more}"));
        page.wait_for(&["idle"], SOON);
        page.press("sample");
        let picture = images(&page);
        let words =
            "return [...document.querySelectorAll(\"p.note[role='status']\")].map(e => e.textContent).join(' ');";
        let words = page.browser.script(words, &[]).as_str().unwrap_or_default().to_owned();
        page.close();
        (picture, words)
    };
    let (full, silence) = drawn("single", "");
    let (half, words) = drawn("half", "&precision=f16");
    assert!(words.contains("computes in f32 only") && !silence.contains("f32"), "{words:?} {silence:?}");
    assert!(full == half && !full.is_empty());
}

#[test]
fn a_browser_without_relaxed_vector_instructions_gets_the_other_program_and_the_same_picture() {
    let link = "#experiment=images&device=cpu&images=2&steps=5&solver=ddim&seed=5";
    let drawn = |page: Page| {
        page.wait_for(&["idle"], SOON);
        page.press("sample");
        let found = (images(&page), page.pixels("samples"), page.text("device"));
        page.close();
        found
    };
    let (_, relaxed, device) = drawn(Page::open("relaxed", link));
    assert!(device.contains("relaxed simd128"), "{device}");
    let (_, plain, device) = drawn(Page::open_without_relaxed_simd("not-relaxed", link));
    assert!(device.contains("simd128") && !device.contains("relaxed"), "{device}");
    // The same noise; products rounded once instead of twice move a picture by less than is seen.
    assert_eq!(relaxed.len(), plain.len());
    let furthest = relaxed.iter().zip(&plain).map(|(a, b)| a.abs_diff(*b)).max();
    println!("furthest byte: {furthest:?}");
    assert!(furthest.is_some_and(|bytes| bytes <= 4), "{furthest:?} of 255");
}
