//! The contents of the page: the chapters with their experiments, and every claim of the sources. The build writes them, a
//! file for a language; here they are fetched and searched, and what was measured on this device is put into them.

use std::cell::RefCell;

use js_sys::{JsString, Promise};
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{Element as Node, Event, HtmlElement, HtmlInputElement};

use super::element::{Element, element};
use super::parts::button;
use super::state::{Listed, Page, effect, page, start};
use super::trusted::set_inside;
use super::{memory, words};
use crate::experiments::{defaults, find};
use crate::lab::Language;
use crate::plot::label::number;
use crate::protocol::Verdict;
use crate::session::past::{Past, PastRun, median};
use crate::share::settings_digest;

thread_local! {
    static READ: RefCell<[Option<&'static str>; 3]> = const { RefCell::new([None; 3]) };
    /// What was searched for last, for who comes back.
    static SOUGHT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Asks for the contents in a language, and keeps them.
pub fn ask(language: Language) -> Promise {
    future_to_promise(async move {
        // The digest keeps contents of another build, in a cache on the way, from being taken for ours.
        let address = format!("./{}?v={}", language.contents(), env!("SCOREFIELD_CONTENTS"));
        let html = JsFuture::from(words::fetch(address, true)).await?;
        let kept = html.as_string().map(|text| &*text.leak());
        READ.with_borrow_mut(|read| read[language as usize] = kept);
        Ok(JsValue::UNDEFINED)
    })
}

/// Shows the contents in a language, once they are there.
fn fetch(page: Page, language: Language) {
    let kept = move || READ.with_borrow(|read| read[language as usize]);
    if let Some(html) = kept() {
        return page.listed.set(Listed::There(html));
    }
    page.listed.set(Listed::Awaited);
    start(async move {
        let _ = JsFuture::from(ask(language)).await;
        if page.language.get_untracked() == language {
            page.listed.set(kept().map_or(Listed::Missing, Listed::There));
        }
    });
}

/// The contents, in the place of an experiment.
pub fn stage() -> Vec<Element> {
    let page = page();
    let list = element("div");
    let root = list.node();
    effect(move || fetch(page, page.language.get()));
    let shown = root.clone();
    // Who comes from an experiment is led to its card; who has just opened the page, nowhere.
    let mut back = page.visited.with_value(|visited| *visited);
    effect(move || {
        let Listed::There(html) = page.listed.get() else { return };
        set_inside(&shown, html);
        untrack(|| tell(page, &shown));
        if let Some(field) = field(&shown) {
            field.set_value(&SOUGHT.with_borrow(String::clone));
            untrack(|| search(page, &shown));
        }
        if std::mem::take(&mut back) {
            let id = page.config.with_untracked(|config| config.experiment.id().to_owned());
            let link = first(&shown, &format!(".card a[href=\"#experiment={id}\"]"));
            let _ = link.and_then(|link| link.dyn_into::<HtmlElement>().ok()).map(|link| link.focus());
        }
    });
    let missing = move || {
        let error = element("div").class("error").test_id("contents-error").attribute("role", "alert");
        let again = button("contents-again", "catalogue.again", move || fetch(page, page.language.get_untracked()));
        vec![error.holds(&[element("p").says("contents.missing"), element("div").class("row").child(again)])]
    };
    let waiting = || vec![element("p").class("empty").says("contents.awaited")];
    let stage = element("div").class("contents").test_id("contents");
    let stage = stage.attribute_of("aria-busy", move || (page.listed.get() == Listed::Awaited).to_string());
    vec![
        stage
            .when(move || page.listed.get() == Listed::Awaited, waiting)
            .when(move || page.listed.get() == Listed::Missing, missing)
            .child(list.on("input", move |_: Event| search(page, &root))),
    ]
}

fn first(root: &Node, selector: &str) -> Option<Node> {
    root.query_selector(selector).ok().flatten()
}

fn all(root: &Node, selector: &str) -> Vec<Node> {
    let Ok(list) = root.query_selector_all(selector) else { return Vec::new() };
    (0..list.length()).filter_map(|place| list.item(place)?.dyn_into().ok()).collect()
}

fn field(root: &Node) -> Option<HtmlInputElement> {
    first(root, "input")?.dyn_into().ok()
}

/// Shows the experiments and the claims that have all the words that are sought, and says how many.
fn search(page: Page, root: &Node) {
    let lower = |text: String| JsString::from(text).to_lower_case();
    let sought = field(root).map(|field| field.value()).unwrap_or_default();
    let query = String::from(lower(sought.clone()));
    let words: Vec<&str> = query.split_whitespace().collect();
    SOUGHT.set(sought);
    let has = |node: &Node| {
        let text = lower(node.text_content().unwrap_or_default());
        words.iter().all(|word| text.includes(word, 0))
    };
    let show = |node: &Node, shown: bool| drop(node.toggle_attribute_with_force("hidden", !shown));
    let mut of = Vec::new();
    for row in all(root, "tr[data-of]") {
        let shown = has(&row);
        show(&row, shown);
        if shown {
            of.push(row.get_attribute("data-of"));
        }
    }
    let cards = all(root, "[data-card]");
    let mut count = 0;
    for card in &cards {
        let shown = has(card) || of.contains(&card.get_attribute("data-card"));
        show(card, shown);
        count += usize::from(shown);
    }
    if let Some(table) = first(root, "details") {
        let _ = table.toggle_attribute_with_force("open", !words.is_empty() && !of.is_empty());
    }
    if let Some(found) = first(root, "[role=status]") {
        let (shown, all) = (count.to_string(), cards.len().to_string());
        let said = match count {
            _ if words.is_empty() => String::new(),
            0 => page.text("contents.none"),
            _ => page.filled("contents.shown", &[("shown", &shown), ("all", &all)]),
        };
        found.set_text_content(Some(&said));
    }
}

/// Digest of the settings that the link of a study opens with.
fn usual(study: &str) -> Option<u32> {
    find(study).map(|experiment| settings_digest(&defaults(experiment)))
}

/// Puts into the contents what was measured on this device: verdicts, times, and from those what others may take.
fn tell(page: Page, root: &Node) {
    let past = memory::past();
    let id = |node: &Node, name: &str| node.get_attribute(name).unwrap_or_default();
    for place in all(root, "[data-here]") {
        let study = id(&place, "data-here");
        let Some(run) = past.of(&study) else { continue };
        let said = match place.get_attribute("data-place") {
            None => here(page, run, usual(&study) == Some(run.settings)),
            Some(claim) => match claim.parse().ok().and_then(|claim: usize| run.verdicts.get(claim)) {
                Some(verdict) => page
                    .filled("contents.verdict-here", &[("verdict", &page.text(&format!("verdict.{}", verdict.id())))]),
                None => continue,
            },
        };
        place.set_text_content(Some(&said));
    }
    let timed = all(root, "[data-takes]");
    let reference = |node: &Node| crate::decimal::real(&id(node, "data-seconds")).filter(|seconds| *seconds > 0.0);
    let ratio = |node: &Node| Some(own_seconds(&past, &id(node, "data-takes"))? / reference(node)?);
    let Some(pace) = median(timed.iter().filter_map(ratio).collect()) else { return };
    for place in &timed {
        let seconds = own_seconds(&past, &id(place, "data-takes")).or_else(|| Some(pace * reference(place)?));
        let said = seconds.map(|seconds| page.filled("contents.estimate", &[("seconds", &number(seconds, 2))]));
        place.set_text_content(said.as_deref());
    }
}

/// How long a study took here with the settings that its link opens with.
fn own_seconds(past: &Past, study: &str) -> Option<f64> {
    past.with(study, usual(study)?).map(|run| f64::from(run.tenths) / 10.0)
}

/// The verdicts and the time of a run here.
fn here(page: Page, run: &PastRun, usual: bool) -> String {
    let mut parts = Vec::new();
    for verdict in Verdict::ALL {
        let count = run.verdicts.iter().filter(|other| **other == verdict).count();
        if count > 0 {
            parts.push(page.filled(&format!("contents.{}", verdict.id()), &[("count", &count.to_string())]));
        }
    }
    let (verdicts, seconds) = (parts.join(page.language.get().comma()), number(f64::from(run.tenths) / 10.0, 3));
    let key = if usual { "contents.here" } else { "contents.changed" };
    page.filled(key, &[("verdicts", &verdicts), ("seconds", &seconds)])
}
