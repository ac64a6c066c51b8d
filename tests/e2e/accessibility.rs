//! Every view under the rules of axe-core, in three languages: no violation.

use std::{env, fs};

use scorefield::experiments::all;
use serde_json::Value;

use super::page::{LIVE, Page, SOON};
use super::skip::left_out;

/// The source of axe-core, where tools/setup put it.
fn axe() -> Option<String> {
    let source = env::var("AXE").ok().and_then(|path| fs::read_to_string(path).ok());
    if source.is_none() {
        left_out("there is no axe-core: AXE names its file, which tools/setup test writes");
    }
    source
}

/// Violations on the page as it stands, everything unfolded: a line for each element, with the rule it breaks.
fn violations(page: &Page, axe: &str) -> Vec<String> {
    // Once in a page: a script is some 650 kB.
    if page.browser.script("return typeof axe;", &[]) == "undefined" {
        page.browser.script(&format!("{axe}\nglobalThis.axe = axe;"), &[]);
    }
    let found = page.browser.script_async(
        "const done = arguments[arguments.length - 1];
         for (const folded of document.querySelectorAll('details')) folded.open = true;
         axe.run(document, { resultTypes: ['violations'] }).then(
           ({ violations }) => done(violations.flatMap(
             ({ id, help, nodes }) => nodes.map(node => `${id}: ${help}: ${node.html.slice(0, 200)}`))),
           error => done([String(error)]));",
        &[],
    );
    found.as_array().expect("a list").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The page in each language in turn, and what is wrong there.
fn in_three_languages(page: &Page, axe: &str, view: &str, wrong: &mut Vec<String>) {
    for (language, direction) in [("en", "ltr"), ("fa", "rtl"), ("zh", "ltr")] {
        page.speak(language, direction, SOON);
        wrong.extend(violations(page, axe).into_iter().map(|rule| format!("{view}, {language}: {rule}")));
    }
}

#[test]
fn no_view_breaks_a_rule_of_axe_in_any_language() {
    let Some(axe) = axe() else { return };
    let page = Page::open("axe", "#contents");
    let mut wrong = Vec::new();
    in_three_languages(&page, &axe, "contents", &mut wrong);
    for experiment in all() {
        let id = experiment.id();
        page.go(&format!("#experiment={id}&device=cpu"));
        page.wait_for(&["idle", "running", "done"], SOON);
        in_three_languages(&page, &axe, id, &mut wrong);
    }
    page.close();
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn neither_a_dark_nor_a_failed_nor_a_narrow_page_breaks_a_rule_of_axe() {
    let Some(axe) = axe() else { return };
    // Done, dark.
    let page = Page::open("axe-states", LIVE);
    page.wait_for(&["done"], SOON);
    page.set("theme", "dark");
    let mut wrong = violations(&page, &axe);
    // Failed: nothing is drawn to learn from. With the notice of a link that could not be read as it stood.
    page.go("#dataset=drawing&device=cpu&steps=none");
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.wait_for(&["failed"], SOON);
    wrong.extend(violations(&page, &axe));
    page.set("theme", "light");
    page.browser.resize(360);
    wrong.extend(violations(&page, &axe));
    page.close();
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}
