//! The page before anything has loaded, and in its languages.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::page::{Page, SOON};

/// Names of the locale files that were fetched so far, in order.
fn fetched(page: &Page) -> Vec<String> {
    let names = page.browser.script(
        "return performance.getEntriesByType('resource').map(e => new URL(e.name).pathname)
           .filter(p => p.includes('/locales/')).map(p => p.split('/').pop());",
        &[],
    );
    names.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn the_page_is_drawn_before_a_worker_has_loaded_and_speaks_three_languages() {
    let page = Page::open("languages", "#device=cpu");
    let paint = page.browser.script(
        "const p = performance.getEntriesByName('first-contentful-paint')[0]; return p ? p.startTime : null;",
        &[],
    );
    println!("first contentful paint after {paint} ms");
    assert_eq!(fetched(&page), ["en.txt"], "only the language that is spoken is fetched");
    for (language, direction) in [("fa", "rtl"), ("zh", "ltr"), ("fa", "rtl"), ("en", "ltr")] {
        page.speak(language, direction, Duration::from_secs(10));
    }
    assert_eq!(fetched(&page), ["en.txt", "fa.txt", "zh.txt"], "once each");
    page.close();
}

#[test]
fn a_link_names_its_language() {
    let page = Page::open("linked-language", "#device=cpu&lang=fa");
    page.until("the page is Persian", SOON, || page.text("train").contains("آموزش").then_some(()));
    assert_eq!(fetched(&page), ["fa.txt"]);
    page.close();
}

#[test]
fn texts_that_cannot_be_fetched_leave_a_page_that_says_so_and_works() {
    let page = Page::open_changed("no-texts", "#device=cpu", |served| {
        fs::remove_dir_all(served.join("locales")).expect("a served folder");
    });
    page.until("the page says so", SOON, || page.text("notice").contains("could not be fetched").then_some(()));
    assert!(!page.text("train").trim().is_empty());
    page.wait_for(&["idle"], SOON);
    page.set("language", "zh");
    page.until("and in the language that was chosen", SOON, || page.text("notice").contains("重新加载").then_some(()));
    page.close_after_trouble();
}
