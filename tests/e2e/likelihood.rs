//! Likelihood, control and comparisons on the page. The closed form stands in for a network, so that what should come out
//! is known, and bounds follow from the errors that the page itself states.

use crate::page::{LATE, Page, SOON};

const EXACT: &str = "#denoiser=exact&dataset=eight-gaussians&device=cpu&seed=3";

/// A row of a table.
struct Row {
    value: f64,
    error: f64,
    reference: f64,
    spread: f64,
}

fn row(page: &Page, id: &str) -> Option<Row> {
    let number = |name| page.number(id, name);
    Some(Row {
        value: number("data-value")?,
        error: number("data-error")?,
        reference: number("data-reference")?,
        spread: number("data-spread")?,
    })
}

fn rows<const N: usize>(page: &Page, ids: [&str; N]) -> [Row; N] {
    ids.map(|id| row(page, id).unwrap_or_else(|| panic!("{id} is shown")))
}

#[test]
fn the_likelihood_of_the_closed_form_is_the_exact_one_within_its_stated_error() {
    let page = Page::open("likelihood", &format!("{EXACT}&points=128&steps=40"));
    page.wait_for(&["idle"], SOON);
    let compute = || {
        page.press("likelihood-start");
        page.begun();
        page.wait_for(&["done"], LATE);
    };
    compute();
    let [flow, bits, gap, back, bound] =
        rows(&page, ["likelihood-flow", "likelihood-bits", "likelihood-gap", "likelihood-back", "likelihood-bound"]);
    // The adaptive solver's tolerance of 1e-5 is kept per step, of which there are some hundred, and the schedule ends at
    // 0.1 % of signal.
    assert!(gap.value.abs() < 4.0 * gap.error + 5e-3, "{}", gap.value);
    assert!((flow.value - flow.reference).abs() < 4.0 * gap.error + 5e-3);
    assert!((bits.value + flow.value / (2.0 * std::f64::consts::LN_2)).abs() < 1e-9);
    assert!(back.value < 0.01, "there and back: {}", back.value);
    assert!(bound.value < bound.reference + 4.0 * bound.error, "{} bounds {}", bound.value, bound.reference);
    let codes = page
        .browser
        .script("return document.querySelector(\"[data-testid='codes']\").innerHTML.split('M').length - 1;", &[]);
    assert_eq!(codes.as_u64(), Some(128), "a code for every point");

    // An estimate says by how much it is off, and it is off by no more.
    page.set("divergence", "signs");
    page.set("probes", "2");
    compute();
    let [estimated] = rows(&page, ["likelihood-gap"]);
    assert!(estimated.error > gap.error, "random directions cost certainty: {} {}", estimated.error, gap.error);
    assert!(estimated.value.abs() < 4.0 * estimated.error + 5e-3, "{} ± {}", estimated.value, estimated.error);
    page.close();
}

#[test]
fn samples_under_an_observation_follow_the_exact_conditional_distribution() {
    let page = Page::open("control", &format!("{EXACT}&control=observe&observe-value=2&samples=500&steps=60"));
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    page.wait_for(&["done"], LATE);
    let [near, far, residual] =
        rows(&page, ["controlled-conditional", "controlled-unconditional", "controlled-residual"]);
    // Six spreads of exact draws, and 0.05 deviations of the data for sixty steps of the solver.
    assert!(near.value < near.reference + 6.0 * near.spread + 0.05, "{} {}", near.value, near.reference);
    assert!(near.value < 0.5 * far.value, "{} {}", near.value, far.value);
    assert!(residual.value < 0.05, "{}", residual.value);

    // RePaint goes up and down: 60 steps in stretches of 20, all but the last of them twice.
    page.set("control", "repaint");
    page.set("solver", "ddpm");
    page.set("steps", "60");
    page.set("jump", "20");
    page.set("resamples", "2");
    page.press("sample");
    page.until("RePaint takes a hundred evaluations", LATE, || {
        (page.state()? == "done" && page.number("evaluations", "data-value")? == 100.0).then_some(())
    });
    let [residual] = rows(&page, ["controlled-residual"]);
    assert!(residual.value < 1e-5, "what is known is replaced, exactly but for rounding: {}", residual.value);

    // A class, by a link.
    page.go(&format!("{EXACT}&control=class&class=3&samples=500&steps=40"));
    page.wait_for(&["idle"], SOON);
    assert_eq!(page.value("class"), "3");
    page.press("sample");
    page.wait_for(&["done"], LATE);
    let [within] = rows(&page, ["controlled-within"]);
    assert!(within.value > 0.99, "{}", within.value);

    // Without control there is nothing to say about it.
    page.set("control", "none");
    page.press("sample");
    page.until("the table goes", LATE, || {
        (page.state()? == "done" && row(&page, "controlled-within").is_none()).then_some(())
    });
    page.close();
}

#[test]
fn samples_of_the_closed_form_are_like_fresh_data_in_every_comparison() {
    let page = Page::open("inspection", &format!("{EXACT}&samples=500&steps=60"));
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    page.wait_for(&["done"], LATE);
    page.press("inspect");
    page.until("every number has its error", LATE, || row(&page, "inspection-kl").filter(|r| r.spread.is_finite()));
    page.wait_for(&["done"], SOON);
    for id in ["kl", "js", "sliced", "energy", "mmd", "frechet", "precision", "recall", "near", "class-1", "class-8"] {
        let [row] = rows(&page, [&format!("inspection-{id}")]);
        // Six spreads of as many fresh data, and 0.02 for sixty steps of the solver.
        let error = row.spread.hypot(row.error);
        assert!((row.value - row.reference).abs() < 6.0 * error + 0.02, "{id}: {} {}", row.value, row.reference);
    }
    page.close();
}

#[test]
fn the_likelihood_of_a_picture_stands_beside_what_the_program_measured_of_test_images() {
    let page = Page::open("picture-likelihood", "#experiment=images&device=cpu&images=2&steps=6&seed=5&probes=2");
    page.wait_for(&["idle"], SOON);
    let disabled = "return document.querySelector(\"[data-testid='likelihood-start']\").disabled;";
    assert_eq!(page.browser.script(disabled, &[]).as_bool(), Some(true), "there is no picture yet");
    page.press("sample");
    page.wait_for(&["done"], LATE);
    page.set("flow-tolerance", "0.02");
    page.press("likelihood-start");
    page.until("how long it takes is said", LATE, || page.text("status").contains(" s left").then_some(()));
    page.until("both estimates are there", LATE, || {
        let bits = row(&page, "likelihood-bits")?;
        (page.state()? == "done" && bits.error.is_finite()).then_some(())
    });
    let [bits, evaluations] = rows(&page, ["likelihood-bits", "likelihood-evaluations"]);
    // Between nothing and what a network without any knowledge would say.
    assert!(bits.value > 0.0 && bits.value < 8.0, "{} bits", bits.value);
    assert!(bits.error > 0.0 && bits.error < 0.5, "± {}", bits.error);
    assert!(bits.reference > 2.0 && bits.reference < 8.0 && bits.spread > 0.0, "{} of test images", bits.reference);
    assert!(evaluations.value >= 30.0);

    // It can be stopped, and the images stay.
    page.set("flow-tolerance", "0.000001");
    page.press("likelihood-start");
    page.wait_for(&["running"], SOON);
    page.press("stop");
    page.wait_for(&["done"], SOON);
    assert!(page.number("likelihood-bits", "data-value").is_some());
    page.close();
}
