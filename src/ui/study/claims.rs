//! What the sources say, what this run measured of it, and whether it holds.

use leptos::prelude::*;

use crate::plot::label::number;
use crate::study::{Claim, Measured, Source, Study, Verdict};
use crate::ui::state::{Page, page, t, text};

/// The claims of a study, and remarks on its sources.
#[component]
pub fn Claims(study: &'static Study) -> impl IntoView {
    let claims = study.claims.iter().enumerate().map(|(index, claim)| view! { <One study index claim /> });
    let page = page();
    let notes = study.notes.iter().map(|note| {
        let words = text(move || page.text(&format!("note.{}.{note}", study.id)));
        view! { <li>{words}</li> }
    });
    view! {
        <section class="claims" data-testid="claims">
            <h3>{t("claims.title")}</h3>
            <ul>{claims.collect_view()}</ul>
            <details>
                <summary>{t("claims.notes")}</summary>
                <ul class="notes">{notes.collect_view()}</ul>
            </details>
        </section>
    }
    .into_any()
}

#[component]
fn One(study: &'static Study, index: usize, claim: &'static Claim) -> impl IntoView {
    let page = page();
    let measured =
        Memo::new(move |_| page.told.measured.with(|all| all.iter().find(|m| usize::from(m.claim) == index).copied()));
    let verdict = move || measured.get().map_or(Verdict::Open, |m| m.verdict()).id();
    let put = move |value: fn(&Measured) -> f64| {
        text(move || measured.get().map(|m| value(&m).to_string()).unwrap_or_default())
    };
    let sentence = text(move || page.text(&format!("claim.{}.{}", study.id, claim.key)));
    let (source, place) = claim.source.id();
    // Names of papers keep their own digits.
    let source = text(move || match claim.source {
        Source::Paper(name) => name.to_owned(),
        _ => page.filled(&format!("source.{source}"), &[("place", place)]),
    });
    let numbers = text(move || {
        let what = page.text(&format!("claim.{}.{}.measured", study.id, claim.key));
        measured.get().map_or_else(|| format!("{what}: –"), |m| format!("{what}: {}", words(page, &m)))
    });
    view! {
        <li
            data-testid="claim"
            data-claim=claim.key
            data-verdict=text(move || verdict().to_owned())
            data-value=put(|m| m.value)
            data-error=put(|m| m.error)
        >
            <p class="sentence">{sentence}</p>
            <p class="note">{source}</p>
            <p>
                <strong class="verdict">{text(move || page.text(&format!("verdict.{}", verdict())))}</strong>
                " "
                {numbers}
            </p>
        </li>
    }
    .into_any()
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
    format!("{shown} {}", page.filled(key, &[("low", &low), ("high", &high)]))
}
