//! Every study on the page: its link runs it, its claims have the verdicts that are expected, the tour leads through them, handles move its controls.

use std::time::{Duration, Instant};

use scorefield::protocol::Verdict;
use scorefield::study::{Mark, STUDIES, Study};
use serde_json::json;

use super::page::{LATE, LIVE, Page, SOON};
use super::verdicts::{EXPECTED, unexpected};

/// The claims on the page and their verdicts.
fn claims(page: &Page) -> Vec<(String, Verdict)> {
    let all = page.browser.script(
        "return [...document.querySelectorAll(`[data-testid='claim']`)].map(e => `${e.dataset.claim} ${e.dataset.verdict}`);",
        &[],
    );
    let verdict = |id: &str| {
        let known = [Verdict::Holds, Verdict::Fails, Verdict::Open];
        known.into_iter().find(|verdict| verdict.id() == id).unwrap_or_else(|| panic!("{id} is no verdict"))
    };
    let claims = all.as_array().into_iter().flatten().filter_map(|v| v.as_str()?.split_once(' '));
    claims.map(|(claim, id)| (claim.to_owned(), verdict(id))).collect()
}

/// Other settings under which a study's claims have these verdicts too.
const OTHERS: &[(&str, &str)] =
    &[("langevin-weights", "score-source=learned"), ("energy", "energy-training=denoising&fit-steps=800")];

/// Opens a study with these settings, waits for its end, and checks what the page shows of it.
fn holds(page: &Page, study: &Study, settings: &str) {
    page.go(&format!("#experiment={}&{settings}&device=cpu&seed=1&run=1", study.id));
    page.until(&format!("{} is on the page", study.id), SOON, || (page.value("experiment") == study.id).then_some(()));
    over(page, study);
    let claims = claims(page);
    assert_eq!(claims.len(), study.claims.len(), "{}", study.id);
    let verdicts: Vec<(&str, Verdict)> = claims.iter().map(|(claim, verdict)| (claim.as_str(), *verdict)).collect();
    let unexpected = unexpected(EXPECTED, study.id, &verdicts);
    assert!(unexpected.is_empty(), "{} {settings}: {unexpected:#?}", study.id);
    // Every figure has something drawn in it: more than one colour in the middle of its canvas.
    let drawings = study.figures.iter().filter(|figure| figure.layers.iter().all(|layer| layer.mark != Mark::Table));
    for figure in drawings {
        let drawn = page.browser.script(
            "const c = document.querySelector(`[data-testid='figure-${arguments[0]}'] canvas`);
             const d = c && c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
             return !!d && new Set(new Uint32Array(d.buffer)).size > 8;",
            &[json!(figure.key)],
        );
        assert_eq!(drawn.as_bool(), Some(true), "{}: {}", study.id, figure.key);
    }
}

/// Waits until a study is over and all its claims are measured.
fn over(page: &Page, study: &Study) {
    page.until(&format!("{} is over", study.id), LATE, || {
        let state = page.state()?;
        assert!(state != "failed", "{}: {}", study.id, page.text("error"));
        let measured = page
            .browser
            .script("return [...document.querySelectorAll(`[data-testid='claim']`)].every(e => e.dataset.value);", &[]);
        (state == "done" && measured.as_bool() == Some(true)).then_some(())
    });
}

#[test]
fn every_study_runs_from_its_link_and_its_claims_have_the_verdicts_expected() {
    let page = Page::open("studies", "#device=cpu");
    page.wait_for(&["idle"], SOON);
    for study in STUDIES {
        holds(&page, study, study.brief);
    }
    for (id, settings) in OTHERS {
        let study = STUDIES.iter().find(|study| study.id == *id).expect("a study");
        holds(&page, study, settings);
    }
    page.close();
}

#[test]
fn a_tiny_study_on_webgpu_is_done_by_webgpu() {
    let page = Page::open(
        "study-gpu",
        "#experiment=low-density&device=gpu&fit-steps=10&fit-batch=16&fit-width=8&seed=1&run=1",
    );
    let study = STUDIES.iter().find(|study| study.id == "low-density").expect("a study");
    over(&page, study);
    assert_eq!(page.attribute("device", "data-device").as_deref(), Some("gpu"));
    let device = page.text("device");
    assert!(device.starts_with("WebGPU ·"), "{device}");
    // What was measured is a number; ten steps of training make no claim true.
    let values = page.browser.script(
        "return [...document.querySelectorAll(`[data-testid='claim']`)].map(e => Number(e.dataset.value));",
        &[],
    );
    let values: Vec<f64> = values.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
    assert_eq!(values.len(), study.claims.len(), "{values:?}");
    // The error on the data, as a share of the score's own square: that of a network that has hardly begun.
    assert!(values[0] > 0.0 && values[0] < 100.0, "{values:?}");
    page.close();
}

#[test]
fn digits_that_do_not_arrive_are_a_message() {
    let page = Page::open_changed("no-digits", "#experiment=ncsn-digits&device=cpu&run=1", |served| {
        std::fs::remove_file(served.join("data/digits.bin")).expect("a served file");
    });
    page.wait_for(&["failed"], SOON);
    assert!(page.text("error").contains("data/digits.bin"), "{}", page.text("error"));
    page.close_after_trouble();
}

#[test]
fn the_tour_leads_through_the_chapters_and_back_and_the_menu_lists_it() {
    let page = Page::open("tour", &format!("#experiment={}&device=cpu", STUDIES[0].id));
    let listed =
        page.browser.script("return [...document.querySelectorAll('#experiment option')].map(o => o.value);", &[]);
    for study in STUDIES {
        assert!(listed.as_array().is_some_and(|all| all.contains(&json!(study.id))), "{listed}");
    }
    // A click that meets the page while its lines still move goes beside the link: it is made again, as anybody would.
    let follow = |way: &str, id: &str| {
        let mut last = None::<Instant>;
        page.until(&format!("{id} is on the page"), SOON, || {
            if page.value("experiment") == id {
                return Some(());
            }
            if last.is_none_or(|last| last.elapsed() > Duration::from_secs(5)) {
                page.press(way);
                last = Some(Instant::now());
            }
            None
        });
    };
    for (place, study) in STUDIES.iter().enumerate().skip(1) {
        let shown = page.text("tour-next");
        follow("tour-next", study.id);
        // The menu is changed before the way on is: that of the study before leads to where one is.
        if place + 1 < STUDIES.len() {
            page.until("another way on", SOON, || (page.text("tour-next") != shown).then_some(()));
        }
    }
    for study in STUDIES[..STUDIES.len() - 1].iter().rev().take(2) {
        follow("tour-back", study.id);
    }
    page.close();
}

#[test]
fn dragging_a_handle_moves_its_controls_and_the_figure_follows() {
    let page = Page::open("handles", LIVE);
    page.wait_for(&["done"], SOON);
    let before = page.value("mean-1");
    page.browser.script(
        "const c = document.querySelector(`[data-testid='figure-density'] canvas`);
         const box = c.getBoundingClientRect();
         const fire = (type, x, y) => c.dispatchEvent(new PointerEvent(type, {
             bubbles: true, pointerId: 1, clientX: box.left + x, clientY: box.top + y }));
         // The first handle is at (-2, 0.5) of the window from -6 to 6 and 0 to 1.
         const [left, right, top, bottom] = [46, 12, 20, 36];
         const x = left + (box.width - left - right) * (4 / 12), y = top + (box.height - top - bottom) * 0.5;
         fire('pointerdown', x, y); fire('pointermove', x + 40, y - 10); fire('pointerup', x + 40, y - 10);",
        &[],
    );
    let moved = page.until("the handle's control has moved", SOON, || {
        let now = page.value("mean-1");
        (now != before).then_some(now)
    });
    assert!(moved.parse::<f64>().is_ok_and(|v| v > -2.0 && v < 2.0), "{before} -> {moved}");
    page.until("the study ran again", SOON, || (page.state()? == "done").then_some(()));
    page.until("the link follows", SOON, || {
        page.browser.script("return location.hash;", &[]).as_str().filter(|h| h.contains("mean-1=")).map(drop)
    });
    page.close();
}
