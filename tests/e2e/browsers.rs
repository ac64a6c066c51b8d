//! The page in every browser: what the README's table says of each. Chromium has all the other tests besides.

use std::process::{Command, Stdio};

use super::contents::listed;
use super::images::{SHORT, images};
use super::page::{LATE, LIVE, Page, SOON};
use super::reproduced::{DIGESTS, LINK};
use super::skip::left_out;
use super::webdriver::Kind;

/// The page in this browser; none where the browser is not there and may be left out.
fn open(kind: Kind, name: &'static str, fragment: &str) -> Option<Page> {
    let driver = kind.driver();
    let asked = Command::new(&driver).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if asked.is_err() {
        left_out(&format!("there is no {driver} for {kind:?}"));
        return None;
    }
    Some(Page::open_in_a(kind, name, fragment))
}

/// The first page of a new browser trains and samples at once, and gives numbers; languages, link and contents go on working.
fn trains(kind: Kind, name: &'static str) {
    let Some(page) = open(kind, name, LINK) else { return };
    page.wait_for(&["done"], LATE);
    assert_eq!(page.number("evaluations", "data-value"), Some(10.0));
    assert!(page.number("quality", "data-kl").is_some_and(|kl| kl > 0.0));
    assert!(page.text("device").contains("CPU"), "{}", page.text("device"));
    for (language, direction) in [("fa", "rtl"), ("zh", "ltr"), ("en", "ltr")] {
        page.speak(language, direction, SOON);
    }
    fixes_what_the_program_does(&page);
    let link = page.value("share");
    assert!(link.contains("seed=3") && link.contains("training-steps=400"), "{link}");
    page.press("contents-link");
    listed(&page);
    page.browser.script("history.back();", &[]);
    page.until("the run is still there", SOON, || (page.state()? == "done").then_some(()));
    page.close();
}

/// What is measured of the device says what the link fixes on all of them: weights, batches and noise, bit for bit.
fn fixes_what_the_program_does(page: &Page) {
    page.press("compare");
    let digests = || page.text("benchmark").lines().find_map(|line| Some(line.strip_prefix("digests: ")?.to_owned()));
    assert_eq!(page.until("the device is measured", LATE, digests), DIGESTS.trim_end());
}

/// Shipped weights make images on the processor.
fn samples_images(kind: Kind, name: &'static str) {
    let Some(page) = open(kind, name, &format!("{SHORT}&run=1")) else { return };
    let pixels = images(&page);
    assert!(pixels.iter().any(|&v| v != pixels[0]), "the canvas is empty");
    page.close();
}

/// A study draws its figures and decides its claims.
fn runs_a_study(kind: Kind, name: &'static str) {
    let Some(page) = open(kind, name, LIVE) else { return };
    page.wait_for(&["done"], LATE);
    page.until("every claim is decided", SOON, || {
        let open = page.browser.script(
            "const claims = [...document.querySelectorAll(`[data-testid='claim']`)];
             return claims.length > 0 && claims.every(claim => claim.dataset.value !== '');",
            &[],
        );
        open.as_bool().filter(|&decided| decided)
    });
    page.close();
}

/// What is not there is said, with what to do, and the page goes on with what is.
fn says_that_there_is_no_gpu(kind: Kind, name: &'static str) {
    let Some(page) = open(kind, name, "#device=gpu") else { return };
    page.wait_for(&["failed"], SOON);
    assert!(!page.text("error").trim().is_empty());
    page.set("device-field", "cpu");
    page.wait_for(&["idle"], SOON);
    page.close();
}

/// A window as wide as a phone's has no sideways scrolling, and a finger draws.
fn fits_a_phone(kind: Kind, name: &'static str, pointer: &str) {
    let Some(page) = open(kind, name, "#dataset=drawing&device=cpu&denoiser=exact&samples=100&steps=5") else { return };
    page.wait_for(&["idle"], SOON);
    // No browser's own window is as narrow as 360 pixels.
    page.browser.window(500, 900);
    let wide = "return document.documentElement.scrollWidth - innerWidth;";
    page.until("the page fits", SOON, || (page.browser.script(wide, &[]).as_i64()? <= 0).then_some(()));
    page.browser.stroke("[data-testid='drawing']", pointer, &[[-60, -40], [-20, -40], [20, 20], [60, -40]]);
    page.until("the link holds the drawing", SOON, || page.fragment().contains("drawing=").then_some(()));
    page.press("sample");
    page.wait_for(&["done"], LATE);
    page.close();
}

#[test]
fn firefox_trains_from_a_link_speaks_three_languages_and_keeps_the_run() {
    trains(Kind::Firefox, "firefox-trains");
}

#[test]
fn firefox_samples_images_on_the_processor() {
    samples_images(Kind::Firefox, "firefox-images");
}

#[test]
fn firefox_runs_a_study() {
    runs_a_study(Kind::Firefox, "firefox-study");
}

#[test]
fn firefox_without_a_gpu_says_so() {
    says_that_there_is_no_gpu(Kind::Firefox, "firefox-gpu");
}

#[test]
fn firefox_fits_a_phone_and_takes_a_finger() {
    fits_a_phone(Kind::Firefox, "firefox-phone", "touch");
}

#[test]
fn webkit_trains_from_a_link_speaks_three_languages_and_keeps_the_run() {
    trains(Kind::WebKit, "webkit-trains");
}

#[test]
fn webkit_samples_images_on_the_processor() {
    samples_images(Kind::WebKit, "webkit-images");
}

#[test]
fn webkit_runs_a_study() {
    runs_a_study(Kind::WebKit, "webkit-study");
}

#[test]
fn webkit_without_a_gpu_says_so() {
    says_that_there_is_no_gpu(Kind::WebKit, "webkit-gpu");
}

#[test]
fn webkit_fits_a_phone_and_draws() {
    fits_a_phone(Kind::WebKit, "webkit-phone", "mouse");
}

/// What a run gives, digit for digit.
fn numbers(page: &Page) -> Vec<String> {
    page.wait_for(&["done"], LATE);
    let of = |id: &str, name: &str| page.attribute(id, name).unwrap_or_default();
    vec![of("loss", "data-value"), of("quality", "data-kl"), of("quality", "data-kl-floor")]
}

#[test]
fn the_same_link_gives_the_same_numbers_in_every_browser() {
    // The program without relaxed instructions, which every browser has.
    let chromium = Page::open_without_relaxed_simd("same-chromium", LINK);
    let expected = numbers(&chromium);
    assert!(expected.iter().all(|number| number.parse::<f64>().is_ok()), "{expected:?}");
    fixes_what_the_program_does(&chromium);
    chromium.close();
    for (kind, name) in [(Kind::Firefox, "same-firefox"), (Kind::WebKit, "same-webkit")] {
        let Some(page) = open(kind, name, LINK) else { continue };
        assert_eq!(numbers(&page), expected, "{kind:?}");
        page.close();
    }
}
