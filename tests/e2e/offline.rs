//! The copy of the page that the browser keeps: without a network, beside a newer build, and let go of.

use std::fs;

use serde_json::json;

use super::images::images;
use super::page::{LATE, Page, SOON, replace};

const SMALL: &str = "#dataset=moons&device=cpu&width=16&depth=2&batch=64&training-steps=40&samples=60&steps=3&seed=3";

fn copy(page: &Page) -> String {
    page.attribute("offline-state", "data-state").unwrap_or_default()
}

fn wait_for_copy(page: &Page, state: &str) {
    page.until(&format!("the copy is {state}"), LATE, || (copy(page) == state).then_some(()));
}

#[test]
fn without_a_network_the_page_trains_samples_images_and_speaks_another_language() {
    let mut page = Page::open("offline", SMALL);
    page.wait_for(&["idle"], SOON);
    wait_for_copy(&page, "there");
    page.end_server();

    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.wait_for(&["done"], LATE);
    page.press("sample");
    page.begun();
    page.wait_for(&["done"], LATE);
    page.set("language", "fa");
    page.until("Persian", SOON, || page.text("train").contains("آموزش").then_some(()));

    page.go("#experiment=images&device=cpu&images=1&steps=1&seed=5");
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    assert!(images(&page).iter().any(|&byte| byte != 0));
    page.go("#experiment=score-1d&device=cpu&run=1");
    page.wait_for(&["done"], LATE);
    page.close_after_trouble();
}

#[test]
fn a_newer_build_is_announced_and_taken_when_the_page_is_loaded_again_and_never_mixed_with_the_old() {
    let page = Page::open_changed("two-builds", SMALL, |_| {});
    page.wait_for(&["idle"], SOON);
    wait_for_copy(&page, "there");
    let tagline = "return document.querySelector('header .brand p')?.textContent;";
    let tagline = || page.browser.script(tagline, &[]).as_str().unwrap_or_default().to_owned();
    let old = tagline();

    // Another text and another engine, and the list of that build.
    let served = page.folder.join("served");
    let read = |name: &str| fs::read_to_string(served.join(name)).expect("a served file");
    let texts = read("locales/en.txt").replace(&format!("page.tagline = {old}"), "page.tagline = Another build");
    let engine = "postMessage(new Uint8Array([1, 2, 3, 4, 0]));";
    let mut list = read("service-worker.js");
    for (name, content) in [("locales/en.txt", texts.as_str()), ("worker_cpu_relaxed_loader.js", engine)] {
        let line = list.lines().find(|line| line.contains(&format!("'{name}'"))).expect("a listed file").to_owned();
        list = list.replace(&line, &format!("  '{name}': ['{}', 'now'],", digest(&page, content)));
        replace(&served, name, content);
    }
    let name = list.lines().find(|line| line.starts_with("const NAME")).expect("a version").to_owned();
    replace(&served, "service-worker.js", &list.replace(&name, "const NAME = PREFIX + 'another';"));

    // The old page is still whole: its texts, its engine.
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    assert_eq!(tagline(), old);
    page.press("train");
    page.wait_for(&["done"], LATE);
    wait_for_copy(&page, "newer");
    assert!(page.text("notice").contains("newer version"), "{}", page.text("notice"));

    // The new one is as well: its text, and its engine, which this page cannot talk to.
    page.browser.reload();
    page.until("the other build", LATE, || (tagline() == "Another build").then_some(()));
    page.wait_for(&["failed"], SOON);
    assert!(page.text("error").contains("different versions"), "{}", page.text("error"));
    page.close_after_trouble();
}

#[test]
fn the_copy_can_be_let_go_of_and_stays_away() {
    let page = Page::open("no-copy", SMALL);
    page.wait_for(&["idle"], SOON);
    wait_for_copy(&page, "there");
    page.press("offline");
    wait_for_copy(&page, "unwanted");
    let left = || {
        page.browser.script_async(
            "const done = arguments[arguments.length - 1];
             Promise.all([caches.keys(), navigator.serviceWorker.getRegistrations()])
               .then(([names, all]) => done([names.filter(name => name.startsWith('scorefield-page-')).length, all.length]));",
            &[],
        )
    };
    assert_eq!(left(), json!([0, 0]));
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    assert_eq!(copy(&page), "unwanted");
    assert_eq!(left(), json!([0, 0]));
    page.close();
}

/// SHA-256, as the browser computes it.
fn digest(page: &Page, content: &str) -> String {
    let digest = page.browser.script_async(
        "const [content, done] = arguments;
         crypto.subtle.digest('SHA-256', new TextEncoder().encode(content))
           .then(bytes => done(Array.from(new Uint8Array(bytes), b => b.toString(16).padStart(2, '0')).join('')));",
        &[json!(content)],
    );
    digest.as_str().expect("a digest").to_owned()
}
