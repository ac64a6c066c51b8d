//! What the sources say, what this run measured of it, and whether it holds.

use crate::decimal::shortest;
use crate::plot::label::number;
use crate::protocol::{Measured, Verdict};
use crate::study::{Claim, Source, Study};
use crate::ui::element::{Element, element};
use crate::ui::state::{Page, memo, page};

/// The claims of a study, and remarks on its sources.
pub fn claims(study: &'static Study) -> Element {
    let page = page();
    let claims: Vec<Element> = study.claims.iter().enumerate().map(|(index, one)| claim(study, index, one)).collect();
    let note = |note: &&'static str| {
        let note = *note;
        element("li").html(move || page.text(&format!("note.{}.{note}", study.id)))
    };
    let notes: Vec<Element> = study.notes.iter().map(note).collect();
    element("section").class("claims").test_id("claims").holds(&[
        element("h3").says("claims.title"),
        element("ul").holds(&claims),
        element("details")
            .holds(&[element("summary").says("claims.notes"), element("ul").class("notes").holds(&notes)]),
    ])
}

fn claim(study: &'static Study, index: usize, claim: &'static Claim) -> Element {
    let page = page();
    let measured =
        memo(move || page.told.measured.with(|all| all.iter().find(|m| usize::from(m.claim) == index).copied()));
    let verdict = move || measured.get().map_or(Verdict::Open, |m| m.verdict()).id();
    let put =
        move |value: fn(&Measured) -> f64| move || measured.get().map(|m| shortest(value(&m))).unwrap_or_default();
    let (source, place) = claim.source.id();
    // Names of papers keep their own digits.
    let source = move || match claim.source {
        Source::Paper(name) => name.to_owned(),
        _ => page.filled(&format!("source.{source}"), &[("place", &place.replace(", ", page.language.get().comma()))]),
    };
    let numbers = move || {
        let what = page.text(&format!("claim.{}.{}.measured", study.id, claim.key));
        measured.get().map_or_else(|| format!("{what}: –"), |m| format!("{what}: {}", words(page, &m)))
    };
    let judged = element("strong").class("verdict").words(move || page.text(&format!("verdict.{}", verdict())));
    element("li")
        .test_id("claim")
        .attribute("data-claim", claim.key)
        .attribute_of("data-verdict", move || verdict().to_owned())
        .attribute_of("data-value", put(|m| m.value))
        .attribute_of("data-error", put(|m| m.error))
        .holds(&[
            element("p").class("sentence").html(move || page.text(&format!("claim.{}.{}", study.id, claim.key))),
            element("p").class("note").words(source),
            element("p").child(judged).plain(" ").words(numbers),
        ])
}

/// The number, its error, and the bound.
fn words(page: Page, m: &Measured) -> String {
    let value = number(m.value, 4);
    let shown = if m.error > 0.0 {
        page.filled("claims.number", &[("value", &value), ("error", &number(m.error, 2))])
    } else {
        page.language.get().digits(&value)
    };
    let (low, high) = (number(m.low, 3), number(m.high, 3));
    let key = match (m.low.is_finite(), m.high.is_finite()) {
        (true, true) => "claims.between",
        (true, false) => "claims.least",
        _ => "claims.most",
    };
    // From left to right whatever is around it: a sign stays before its number.
    format!("\u{2066}{shown}\u{2069} {}", page.filled(key, &[("low", &low), ("high", &high)]))
}
