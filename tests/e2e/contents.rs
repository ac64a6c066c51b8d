//! The contents of the page: where it begins, ways into the experiments and back, search, and what was measured here.

use std::fs;

use scorefield::experiments::all;
use scorefield::study::STUDIES;
use serde_json::{Value, json};

use super::page::{LIVE, Page, SOON};

/// Keys as WebDriver writes them.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

fn script(page: &Page, body: &str) -> Value {
    page.browser.script(body, &[])
}

/// The ids of the cards that are seen.
fn cards(page: &Page) -> Vec<String> {
    let seen = script(
        page,
        "return [...document.querySelectorAll('.card')].filter(e => e.checkVisibility()).map(e => e.dataset.card);",
    );
    seen.as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// Waits for the contents, all of them.
pub fn listed(page: &Page) {
    page.until("the contents are there", SOON, || (cards(page).len() == all().count()).then_some(()));
}

/// Where the keyboard is: the address of a link, or the name of an element.
fn focus(page: &Page) -> String {
    let at = script(page, "const e = document.activeElement; return e.getAttribute('href') ?? e.id;");
    at.as_str().unwrap_or_default().to_owned()
}

/// Searches as a visitor types.
fn search(page: &Page, words: &str) {
    page.browser.type_into("[data-testid='contents-search']", words).expect("a field to type in");
}

#[test]
fn a_bare_address_begins_with_the_contents() {
    let page = Page::open("contents", "");
    listed(&page);
    assert_eq!(cards(&page), all().map(|experiment| experiment.id().to_owned()).collect::<Vec<_>>());
    assert_eq!(script(&page, "return document.title;").as_str(), Some("Contents · scorefield"));
    assert_eq!(page.attribute("contents-link", "aria-current").as_deref(), Some("page"));
    // Pictures are there when they are looked at.
    page.until("the last picture is there", SOON, || {
        let width = script(
            &page,
            "const all = document.querySelectorAll('.card img'), last = all[all.length - 1];
             last.scrollIntoView(); return last.complete ? last.naturalWidth : 0;",
        );
        width.as_u64().filter(|&width| width > 0)
    });
    let claims: usize = STUDIES.iter().map(|study| study.claims.len()).sum();
    let rows = script(&page, "return document.querySelectorAll('.claims-table tr[data-of]').length;");
    assert_eq!(rows.as_u64(), Some(claims as u64));
    assert!(page.text("all-claims").contains(&claims.to_string()));
    // An address with settings goes where it says.
    page.go("#device=cpu");
    page.until("the plane is on the page", SOON, || (page.value("experiment") == "plane").then_some(()));
    page.close();
}

#[test]
fn the_keyboard_leads_from_the_contents_to_a_study_and_back_without_losing_its_run() {
    let page = Page::open("contents-keyboard", "");
    listed(&page);
    search(&page, "score of a density on the line");
    page.until("one card is left", SOON, || (cards(&page) == ["score-1d"]).then_some(()));
    search(&page, TAB);
    assert_eq!(focus(&page), "#experiment=score-1d");
    page.browser.type_into(".card a:focus", ENTER).expect("a link");
    page.until("the study is on the page", SOON, || (page.value("experiment") == "score-1d").then_some(()));
    assert_eq!(focus(&page), "main");
    page.wait_for(&["done"], SOON);
    let value = "return document.querySelector(`[data-testid='claim']`).dataset.value;";
    let measured =
        page.until("a claim is measured", SOON, || Some(script(&page, value)).filter(|v| v.as_str() != Some("")));
    script(&page, "history.back();");
    page.until("the contents are back", SOON, || (cards(&page) == ["score-1d"]).then_some(()));
    page.until("its card is in focus", SOON, || (focus(&page) == "#experiment=score-1d").then_some(()));
    script(&page, "history.forward();");
    page.until("the study is back", SOON, || (page.state()? == "done").then_some(()));
    assert_eq!(script(&page, value), measured);
    // By the menu and the link of the head too, as often as one likes.
    for _ in 0..2 {
        page.press("contents-link");
        page.until("the contents are back", SOON, || (!cards(&page).is_empty()).then_some(()));
        assert_eq!(page.value("experiment"), "");
        page.set("experiment", "plane");
        page.until("the plane is on the page", SOON, || page.state());
        assert!(page.fragment().contains("experiment=plane"), "{}", page.fragment());
    }
    script(&page, "history.back();");
    page.until("the contents are back", SOON, || (!cards(&page).is_empty()).then_some(()));
    page.close();
}

#[test]
fn the_tour_begins_in_the_contents_and_leads_back_there() {
    let page = Page::open("contents-tour", "#contents");
    listed(&page);
    page.press("tour-start");
    page.until("the first study is on the page", SOON, || (page.value("experiment") == STUDIES[0].id).then_some(()));
    page.press("tour-contents");
    listed(&page);
    assert!(page.fragment().starts_with("#contents"), "{}", page.fragment());
    page.close();
}

#[test]
fn search_finds_experiments_by_their_claims_and_says_when_there_is_none() {
    let page = Page::open("contents-search", "#contents");
    listed(&page);
    let said = || page.text("contents-found");
    search(&page, "SADDLE");
    page.until("fewer cards", SOON, || (cards(&page).len() < 5).then_some(()));
    assert!(!cards(&page).is_empty() && said().contains(&format!("of {}", all().count())), "{}", said());
    search(&page, " qqqq");
    page.until("no card is left", SOON, || cards(&page).is_empty().then_some(()));
    assert!(said().contains("No experiment"), "{}", said());
    let seen = script(&page, "return document.querySelector('.all-claims').checkVisibility();");
    assert_eq!(seen, Value::Bool(false));
    page.set("contents-search", "");
    listed(&page);
    assert_eq!(said(), "");
    page.close();
}

#[test]
fn what_was_measured_here_stands_in_the_contents_and_whatever_else_is_kept_there_does_not() {
    let page = Page::open("contents-here", LIVE);
    let here = |id: &str| {
        let text = page.browser.script(
            "return document.querySelector(`p[data-here='${arguments[0]}']`)?.textContent ?? '';",
            &[json!(id)],
        );
        text.as_str().unwrap_or_default().to_owned()
    };
    page.wait_for(&["done"], SOON);
    page.until("the run is kept", SOON, || {
        script(&page, "return localStorage.getItem('scorefield-runs');").as_str().map(drop)
    });
    page.press("contents-link");
    listed(&page);
    let said =
        page.until("the card says what was measured", SOON, || Some(here("score-1d")).filter(|said| !said.is_empty()));
    assert!(said.contains("other settings") && said.contains('s'), "{said}");
    let verdicts = script(
        &page,
        "return [...document.querySelectorAll(`span[data-here='score-1d']`)].filter(e => e.textContent).length;",
    );
    assert_eq!(verdicts.as_u64(), Some(STUDIES[0].claims.len() as u64));
    for hostile in ["", "1\nscore-1d 1 <b>x</b> 3", "2\nscore-1d 1 hhh 3", "{\"score-1d\": true}"] {
        page.browser.script("localStorage.setItem('scorefield-runs', arguments[0]);", &[json!(hostile)]);
        page.browser.reload();
        listed(&page);
        assert_eq!(here("score-1d"), "", "{hostile}");
    }
    page.close();
}

#[test]
fn the_contents_speak_persian_from_right_to_left_and_fit_a_narrow_window() {
    let page = Page::open("contents-narrow", "#contents&lang=fa");
    listed(&page);
    let heading = script(&page, "return document.querySelector('.contents h2').textContent;");
    assert_eq!(heading.as_str(), Some("فهرست"));
    let card = script(&page, "return document.querySelector(`[data-card='score-1d'] .note`).textContent;");
    assert!(card.as_str().is_some_and(|text| text.contains('۳') && !text.contains('3')), "{card}");
    for language in ["fa", "en", "zh"] {
        page.set("language", language);
        page.until("the contents follow the language", SOON, || {
            let ready = page.browser.script(
                "return document.documentElement.lang === arguments[0] && !!document.querySelector('.card');",
                &[json!(language)],
            );
            ready.as_bool().filter(|&ready| ready)
        });
        page.browser.resize(360);
        let widest = script(
            &page,
            "document.querySelector('.all-claims').open = true; return document.documentElement.scrollWidth;",
        );
        assert!(widest.as_u64().is_some_and(|width| width <= 360), "{language}: {widest}");
    }
    page.close();
}

#[test]
fn contents_that_do_not_arrive_are_a_message_and_can_be_asked_for_again() {
    let page = Page::open_changed("no-contents", "#contents", |served| {
        fs::rename(served.join("contents/en.html"), served.join("away.html")).expect("a served file");
    });
    page.until("the page says so", SOON, || (!page.text("contents-error").is_empty()).then_some(()));
    let served = page.folder.join("served");
    fs::rename(served.join("away.html"), served.join("contents/en.html")).expect("a served file");
    page.press("contents-again");
    listed(&page);
    page.close_after_trouble();
}
