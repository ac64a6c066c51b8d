//! Images: the weights that the page ships, a visitor's own, tasks, comparisons, files. With few steps and few images of
//! the small network.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::page::{LATE, Page, SOON, replace};

/// A short run of the shipped weights.
pub const SHORT: &str = "#experiment=images&device=cpu&images=2&steps=3&seed=5";

pub fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).expect("a golden file")
}

/// The images at the end of the run, once the page shows them.
pub fn images(page: &Page) -> Vec<u8> {
    page.wait_for(&["done"], LATE);
    let last = page.browser.script("return document.querySelector(\"[data-testid='time']\").max;", &[]);
    page.set("time", last.as_str().expect("a slider"));
    // Painted with the next picture of the screen.
    page.browser.script_async(
        "const done = arguments[arguments.length - 1];
         requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => done(1))));",
        &[],
    );
    page.pixels("samples")
}

/// The image at this place of the grid, 32 by 32, of the canvas's bytes.
fn first_image(canvas: &[u8], page: &Page) -> Vec<[u8; 3]> {
    let width = page.browser.script("return document.querySelector(\"[data-testid='samples']\").width;", &[]);
    let width = width.as_u64().expect("a width") as usize;
    (0..1024)
        .map(|i| {
            let at = 4 * ((i / 32) * width + i % 32);
            [canvas[at], canvas[at + 1], canvas[at + 2]]
        })
        .collect()
}

/// Clicks the first image of the grid.
fn choose_the_first(page: &Page) {
    page.browser.script(
        "const e = document.querySelector(\"[data-testid='samples']\"); const r = e.getBoundingClientRect();
         e.dispatchEvent(new MouseEvent('click', { bubbles: true, clientX: r.left + 5, clientY: r.top + 5 }));",
        &[],
    );
}

/// What the page says of what happened, all of it.
fn said(page: &Page) -> String {
    let statuses = "return [...document.querySelectorAll(\"[role='status']\")].map(e => e.textContent).join(' ');";
    page.browser.script(statuses, &[]).as_str().expect("a text").to_owned()
}

#[test]
fn a_link_to_weights_that_were_replaced_gets_their_successor_and_says_so() {
    let page = Page::open("images-replaced", &[SHORT, "&weights=preview-32"].concat());
    page.wait_for(&["idle"], SOON);
    let chosen = "return document.querySelector(\"[data-testid='set-cifar-32']\")?.checked ?? false;";
    page.until("the successor is chosen", SOON, || page.browser.script(chosen, &[]).as_bool()?.then_some(()));
    page.press("sample");
    let asked = images(&page);
    page.until("it is said", SOON, || said(&page).contains("no longer offered").then_some(()));
    page.go(&[SHORT, "&weights=cifar-32&run=1"].concat());
    assert!(images(&page) == asked, "other weights");
    assert!(!said(&page).contains("no longer offered"), "{}", said(&page));

    // The same in a page that is open already.
    page.go(&[SHORT, "&weights=preview-32"].concat());
    page.until("it is said again", SOON, || said(&page).contains("no longer offered").then_some(()));
    assert_eq!(page.browser.script(chosen, &[]), true, "{}", page.value("share"));
    page.close();
}

#[test]
fn shipped_weights_sample_and_the_link_makes_the_same_images_again() {
    let page = Page::open("images-link", SHORT);
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    let first = images(&page);
    assert!(first.iter().any(|&v| v != first[0]), "the canvas is empty");
    assert_eq!(page.attribute("weights-state", "data-state").as_deref(), Some("held"));

    // The same seed again, on the page and by its link.
    page.press("sample");
    assert!(images(&page) == first, "the same seed, another picture");
    let link = page.value("share");
    page.go(link.split_once('#').map(|(_, fragment)| format!("#{fragment}")).expect("a fragment").as_str());
    assert!(images(&page) == first, "the link makes another picture");

    page.set("seed", "6");
    page.press("sample");
    page.until("another run begins", SOON, || (page.state()? != "idle").then_some(()));
    assert!(images(&page) != first, "another seed, the same picture");
    page.close();
}

#[test]
fn a_run_stops_in_the_middle_and_keeps_what_it_has() {
    let page = Page::open("images-stop", "#experiment=images&device=cpu&images=4&steps=900");
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    let shown = || page.browser.script("return +document.querySelector(\"[data-testid='time']\").max;", &[]).as_f64();
    page.until("frames appear", LATE, || {
        (page.state()? == "running" && !page.pixels("strip").is_empty() && shown()? < 200.0).then_some(())
    });
    page.press("stop");
    page.wait_for(&["done"], SOON);
    let kept = shown().expect("a slider");
    assert!(kept < 900.0, "{kept} frames of a run that was stopped");
    assert!(page.pixels("samples").iter().any(|&v| v != 0));
    // And the next one begins at once.
    page.set("steps", "2");
    page.press("sample");
    images(&page);
    page.close();
}

#[test]
fn a_checkpoint_let_go_of_over_the_page_is_recognised_and_a_foreign_file_leaves_it_in_place() {
    let page = Page::open("images-own", SHORT);
    page.wait_for(&["idle"], SOON);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/weights/cifar-32/weights.00.safetensors");
    let shipped = fs::read(shipped).expect("the shipped weights");
    page.drop_file("mine.safetensors", &shipped);
    let words = page.until("the file is recognised", LATE, || {
        let words = page.text("recognised");
        (page.attribute("held", "data-title")?.contains("mine") && !words.trim().is_empty()).then_some(words)
    });
    println!("{words}");
    assert!(words.contains("U-Net") || words.contains("UNet"), "it was taken for {words}");
    assert!(page.value("share").contains("weights=own"), "{}", page.value("share"));
    page.press("sample");
    let made = images(&page);
    assert!(made.iter().any(|&v| v != made[0]));

    let (attack, odd) = (golden("unet_attack.pt"), golden("unet_tiny.safetensors"));
    let truncated = &shipped[..shipped.len() / 2];
    for (name, content) in [
        ("cats.safetensors", &b"no weights at all"[..]),
        ("unet_attack.pt", &attack),
        ("unet_tiny.safetensors", &odd),
        ("truncated.safetensors", truncated),
    ] {
        page.drop_file(name, content);
        let refused =
            page.until("the file is refused", SOON, || Some(page.text("refused")).filter(|text| text.contains(name)));
        assert!(refused.contains("stays in use"), "{refused}");
    }
    // What was there still works.
    page.press("sample");
    assert!(images(&page) == made, "other weights than before");
    page.close();
}

#[test]
fn a_corrupt_shard_is_refused_with_what_was_found_and_expected() {
    let page = Page::open_changed("images-corrupt", SHORT, |served| {
        let shard = served.join("weights/cifar-32/weights.00.safetensors");
        let mut bytes = fs::read(&shard).expect("the shipped weights");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&shard).expect("a link of ours");
        fs::write(&shard, bytes).expect("a file of ours");
    });
    page.wait_for(&["idle"], SOON);
    page.press("fetch-weights");
    let refused = page
        .until("the weights are refused", LATE, || Some(page.text("refused")).filter(|text| !text.trim().is_empty()));
    assert!(refused.contains("SHA-256") && refused.contains("weights.00.safetensors"), "{refused}");
    page.press("sample");
    page.wait_for(&["failed"], LATE);
    page.close();
}

#[test]
fn filling_in_leaves_the_known_pixels_as_they_were() {
    let page = Page::open("images-inpaint", SHORT);
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    let canvas = images(&page);
    let original = first_image(&canvas, &page);
    choose_the_first(&page);
    page.press("fill-in");
    page.set("preset", "left");
    page.set("seed", "77");
    page.press("sample");
    page.begun();
    let canvas = images(&page);
    let filled = first_image(&canvas, &page);
    let side = |half: usize| (0..1024).filter(move |i| (i % 32) / 16 == half);
    for i in side(1) {
        assert_eq!(filled[i], original[i], "known pixel {i}");
    }
    let changed = side(0).filter(|&i| filled[i] != original[i]).count();
    assert!(changed > 256, "only {changed} missing pixels were made anew");

    // Colouring keeps the grey of every pixel, up to rounding where no channel meets an end of the range.
    page.set("task", "colourise");
    page.set("clip", "never");
    page.press("sample");
    page.begun();
    let canvas = images(&page);
    for (now, before) in first_image(&canvas, &page).iter().zip(&original) {
        let inside = |pixel: &[u8; 3]| pixel.iter().all(|&v| v > 0 && v < 255);
        let grey = |pixel: &[u8; 3]| pixel.iter().map(|&v| i32::from(v)).sum::<i32>();
        if inside(now) && inside(before) {
            assert!((grey(now) - grey(before)).abs() <= 3, "{now:?} for {before:?}");
        }
    }
    page.close();
}

#[test]
fn a_mask_is_painted_with_a_pen_and_taken_back() {
    let page = Page::open("images-mask", SHORT);
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    images(&page);
    choose_the_first(&page);
    page.press("fill-in");
    page.press("mask-clear");
    // Painted a moment after the press: what stays as it is for a while is the mask without anything on it.
    let whole = page.until("the mask is clear", SOON, || {
        let first = page.pixels("mask");
        std::thread::sleep(Duration::from_millis(300));
        (first.len() == 4096 && page.pixels("mask") == first).then_some(first)
    });
    page.browser.stroke("[data-testid='mask']", "pen", &[[-60, -60], [60, 60]]);
    page.until("the stroke is there", SOON, || {
        let painted = page.pixels("mask");
        let changed = painted.chunks(4).zip(whole.chunks(4)).filter(|(a, b)| a != b).count();
        (changed > 40).then_some(())
    });
    page.press("mask-undo");
    page.until("the stroke is gone", SOON, || (page.pixels("mask") == whole).then_some(()));
    page.close();
}

#[test]
fn solvers_are_compared_at_the_same_price_and_the_link_says_which() {
    let page =
        Page::open("images-compare", "#experiment=images&device=cpu&images=1&steps=4&compare=ddim,heun,dpmpp-2m&run=1");
    let captions = page.until("three rows are complete", LATE, || {
        // In one question: between two the next run may begin, whose row is not complete.
        let texts = page.browser.script(
            "const state = document.querySelector(`[data-testid='status']`).dataset.state;
             const captions = [...document.querySelectorAll('.grid-of-images figcaption')].map(e => e.textContent);
             return state === 'done' ? captions : [];",
            &[],
        );
        let texts: Vec<String> = texts.as_array()?.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect();
        (texts.len() == 3).then_some(texts)
    });
    assert!(captions[0].contains("DDIM · 4 steps · 4 evaluations"), "{captions:?}");
    assert!(captions[1].contains("Heun (ODE) · 2 steps · 3 evaluations"), "{captions:?}");
    assert!(captions[2].contains("DPM-Solver++(2M) · 4 steps · 4 evaluations"), "{captions:?}");
    assert!(page.value("share").contains("compare=ddim,heun,dpmpp-2m"), "{}", page.value("share"));
    page.close();
}

#[test]
fn the_denoising_is_saved_as_gif_and_an_image_as_png() {
    let page = Page::open("images-files", SHORT);
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    images(&page);
    let gif = page.take_file("export-gif", ".gif");
    assert!(gif.starts_with(b"GIF89a") && gif.ends_with(b";"), "{} bytes", gif.len());
    let png = page.take_file("export-png", ".png");
    assert!(png.starts_with(b"\x89PNG"));
    choose_the_first(&page);
    let png = page.take_file("export-one", ".png");
    // A width of eight pixels for each of 32, in the header.
    assert_eq!(png[16..20], [0, 0, 1, 0]);
    page.close();
}

#[test]
fn a_link_has_the_device_tested_and_timed() {
    let page = Page::open("images-test", "#experiment=images&device=cpu&test=1&benchmark=1");
    let passed = page.until("the self-test is over", LATE, || page.attribute("self-test-cpu", "data-passed"));
    assert_eq!(passed, "true", "{}", page.text("self-test-cpu"));
    let timings = page.until("the timings are complete", LATE, || {
        let timings: Value = serde_json::from_str(&page.text("benchmark")).ok()?;
        (timings[0]["rows"].as_array()?.len() == 3).then_some(timings)
    });
    println!("{timings}");
    for row in timings[0]["rows"].as_array().expect("rows") {
        assert!(row["evaluation_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{row}");
    }
    page.close();
}

#[test]
fn webgpu_computes_what_diffusers_computed() {
    let page = Page::open("images-gpu-test", "#experiment=images&device=gpu&test=1");
    let passed = page.until("the self-test is over", LATE, || page.attribute("self-test-gpu", "data-passed"));
    assert_eq!(passed, "true", "{}", page.text("self-test-gpu"));
    page.close();
}

#[test]
fn a_run_whose_gpu_is_lost_begins_again_with_half_as_many_images_at_a_time() {
    let page = Page::open("images-gpu-lost", "#experiment=images&device=gpu&images=4&steps=20&seed=5");
    page.wait_for(&["idle"], LATE);
    // One small enough for a software renderer.
    page.drop_file("small.ckpt", &golden("small_ddim.ckpt"));
    page.until("the weights are there", LATE, || page.attribute("held", "data-title"));
    page.press("sample");
    page.until("a frame appears", LATE, || {
        (page.state()? == "running" && !page.pixels("strip").is_empty()).then_some(())
    });
    page.browser.crash_gpu();
    page.until("it says that fewer are evaluated at a time", LATE, || {
        said(&page).contains("2 images at a time").then_some(())
    });
    let made = images(&page);
    assert!(made.iter().any(|&v| v != made[0]));
}

#[test]
fn a_small_network_samples_on_webgpu() {
    let page = Page::open("images-gpu", "#experiment=images&device=gpu&images=1&steps=1&seed=5");
    page.wait_for(&["idle"], LATE);
    page.press("sample");
    let made = images(&page);
    assert!(made.iter().any(|&v| v != made[0]));
    assert_eq!(page.attribute("device", "data-device").as_deref(), Some("gpu"));
    page.close();
}

/// The page with the shipped weights under other names of their classes, or, with ten or eleven names, under another
/// reading of the eleven rows of their table.
fn with_classes(name: &'static str, fragment: &str, names: &[&str]) -> Page {
    Page::open_changed(name, fragment, |served| {
        let path = "weights/cifar-32/manifest.json";
        let text = fs::read_to_string(served.join(path)).expect("the manifest");
        let mut manifest: Value = serde_json::from_str(&text).expect("JSON");
        manifest["classes"] = json!(names);
        manifest["architecture"]["classes"] = json!(names.len());
        if names.len() == 11 {
            manifest["architecture"]["details"] = json!({
                "cosines_first": false, "frequency_shift": 1, "padding": 0, "epsilon": 1e-6,
                "head_channels": null, "without_class": false
            });
        }
        replace(served, path, &manifest.to_string());
    })
}

/// The values of the menu of classes, and their words.
fn menu_of_classes(page: &Page) -> Vec<[String; 2]> {
    let read = page.browser.script(
        "return [...document.querySelectorAll(\"[data-testid='image-class'] option\")].map(o => [o.value, o.textContent]);",
        &[],
    );
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let options = read.as_array().cloned().unwrap_or_default();
    options.iter().map(|option| [text(&option[0]), text(&option[1])]).collect()
}

#[test]
fn classes_have_the_names_of_the_weights_and_one_they_lack_is_named_with_those_there_are() {
    let own = ["moth", "fern", "cat", "a & b", "گل", "f", "g", "h", "i", "j"];
    let page = with_classes("images-classes", &format!("{SHORT}&image-class=a%20%26%20b"), &own);
    page.wait_for(&["idle"], SOON);
    let menu = page.until("the manifest is read", SOON, || Some(menu_of_classes(&page)).filter(|all| all.len() == 12));
    let values: Vec<&str> = menu.iter().map(|option| option[0].as_str()).collect();
    assert_eq!(values, [&["any", "each"][..], &own[..]].concat());
    assert_eq!((menu[2][1].as_str(), menu[4][1].as_str()), ("moth", "Cat"), "what CIFAR-10 has too is translated");
    assert_eq!(page.value("image-class"), "a & b");
    page.press("sample");
    let fourth = images(&page);
    assert!(page.value("share").contains("image-class=a%20%26%20b"), "{}", page.value("share"));
    page.set("image-class", "moth");
    page.press("sample");
    page.until("another run begins", SOON, || (page.state()? != "idle").then_some(()));
    assert!(images(&page) != fourth, "another class, the same picture");
    assert_eq!(page.text("class-note"), "");

    // A link to a class of other weights is no other class.
    page.go(&format!("{SHORT}&image-class=airplane"));
    let note = page.until("it is said", SOON, || Some(page.text("class-note")).filter(|note| !note.is_empty()));
    assert!(note.contains("Airplane"), "{note}");
    assert_eq!(page.value("image-class"), "airplane");
    page.press("sample");
    page.wait_for(&["failed"], LATE);
    let said = page.text("error");
    assert!(said.contains("airplane") && said.contains("moth, fern, cat"), "{said}");
    page.set("image-class", "fern");
    page.press("sample");
    images(&page);
    page.close();

    // A network whose table has no row for none: no class is not offered, and there is no guidance.
    let eleven = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let page = with_classes("images-required", SHORT, &eleven);
    page.wait_for(&["idle"], SOON);
    let note = page.until("it is said", SOON, || Some(page.text("class-note")).filter(|note| !note.is_empty()));
    assert!(note.contains("never trained without a class"), "{note}");
    page.press("sample");
    page.wait_for(&["failed"], LATE);
    assert!(page.text("error").contains("a, b, c"), "{}", page.text("error"));
    page.set("image-class", "k");
    assert!(menu_of_classes(&page).iter().all(|option| option[0] != "any"), "no class is offered");
    assert_eq!(page.value("guidance"), "", "guidance is offered");
    page.press("sample");
    images(&page);
    page.close();
}
