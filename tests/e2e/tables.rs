//! Tables on the page: those of the studies, which it fetches, and those of numbers, which it shows.

use std::fs;
use std::path::Path;

use scorefield::study::{Axis, FILE, Figure, Layer, Mark, STUDIES, Study, to_bytes};
use serde_json::json;

use super::page::{Page, SOON};

/// A study with a setting of its own.
const LINK: &str = "#experiment=score-1d&device=cpu&chains=200&langevin-steps=50&mean-1=1.5";

/// The texts of elements.
fn texts(page: &Page, selector: &str) -> Vec<String> {
    let all = page
        .browser
        .script("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent);", &[json!(selector)]);
    all.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The folder that a page is served from, as it was handed over.
fn served(page: &Page) -> std::path::PathBuf {
    page.folder.join("served")
}

#[test]
fn a_link_to_a_study_waits_for_its_table_and_says_when_it_cannot_be_had() {
    let page = Page::open_changed("no-tables", "#device=cpu", |served| {
        fs::remove_file(served.join(FILE)).expect("a served file");
    });
    // Without tables the plane works, and the page says what it lacks.
    page.wait_for(&["idle"], SOON);
    page.until("the page says so", SOON, || page.text("notice").contains("could not be fetched").then_some(()));
    assert_eq!(texts(&page, "#experiment option").len(), 2);
    // A page of the host's in its place, as for files that are not there.
    fs::write(served(&page).join(FILE), b"<!DOCTYPE html>").expect("a file of ours");
    page.browser.goto(&format!("{}some/where/{LINK}", page.origin()));
    page.until("the page says what is wrong", SOON, || (!page.text("catalogue-error").is_empty()).then_some(()));
    assert!(page.text("catalogue-error").contains("damaged"), "{}", page.text("catalogue-error"));
    assert_eq!(page.value("experiment"), "score-1d", "the menu shows what was chosen");
    // Then it comes, and the link is opened whole.
    replace_bytes(&served(&page), &to_bytes(STUDIES).expect("tables have bytes"));
    page.press("catalogue-again");
    page.until("the study is on the page", SOON, || (page.value("mean-1") == "1.5").then_some(()));
    page.wait_for(&["done"], SOON);
    assert_eq!(texts(&page, "#experiment option").len(), 2 + STUDIES.len());
    assert!(page.fragment().contains("mean-1=1.5"), "{}", page.fragment());
    page.close_after_trouble();
}

fn replace_bytes(served: &Path, bytes: &[u8]) {
    fs::remove_file(served.join(FILE)).expect("a served file");
    fs::write(served.join(FILE), bytes).expect("a file of ours");
}

/// What the first table of values in a figure shows: heads of its columns, heads of its rows, cells.
fn values(page: &Page, of: &str) -> [Vec<String>; 3] {
    ["thead th[scope='col']", "tbody th[scope='row']", "tbody td"]
        .map(|cells| texts(page, &format!("{of} table.values:first-of-type {cells}")))
}

/// Unfolds the values of a figure.
fn unfold(page: &Page, of: &str) {
    page.browser.script("document.querySelector(`${arguments[0]} details.values`).open = true;", &[json!(of)]);
    page.until("there are values", SOON, || (!values(page, of)[2].is_empty()).then_some(()));
}

#[test]
fn the_values_of_every_curve_are_a_table_in_the_language_of_the_page() {
    let page = Page::open("values", "#device=cpu");
    page.wait_for(&["idle"], SOON);
    unfold(&page, ".charts figure");
    let [columns, rows, cells] = values(&page, ".charts figure");
    assert_eq!(columns, ["time t: 0 is data, 1 is noise", "α", "σ"]);
    assert_eq!(cells.len(), 2 * rows.len());
    assert!((10..=30).contains(&rows.len()), "{rows:?}");
    assert_eq!((rows[0].as_str(), rows[rows.len() - 1].as_str()), ("0", "1"));
    let numbers: Vec<f64> = cells.iter().map(|cell| cell.parse().expect("a number")).collect();
    // Without noise there is only the signal.
    assert!((numbers[0] - 1.0).abs() < 0.01 && numbers[1] < 0.05, "{numbers:?}");

    page.go(LINK);
    page.wait_for(&["done"], SOON);
    unfold(&page, "[data-testid='figure-density']");
    let [columns, ..] = values(&page, "[data-testid='figure-density']");
    assert!(columns.len() >= 3, "{columns:?}");
    page.set("language", "fa");
    let persian = |cell: &String| cell.chars().any(|c| ('۰'..='۹').contains(&c));
    page.until("the values are Persian", SOON, || {
        let [_, rows, cells] = values(&page, "[data-testid='figure-density']");
        (!cells.is_empty() && rows.iter().all(persian) && cells.iter().all(persian)).then_some(())
    });
    // The same numbers as a file.
    let text = String::from_utf8(page.take_file("export-values", ".csv")).expect("a text");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0][..4], ["figure", "layer", "x", "y"]);
    assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    let study = STUDIES.iter().find(|study| study.id == "score-1d").expect("a study");
    for figure in study.figures {
        for layer in figure.layers {
            assert!(lines.iter().any(|line| line[..2] == [figure.key, layer.key]), "{}: {}", figure.key, layer.key);
        }
    }
    page.close();
}

#[test]
fn a_table_of_results_has_header_cells_and_scrolls_inside_its_frame() {
    // No study has one yet: in this one the numbers of a map are shown as if they were results.
    const RESULTS: &[Layer] = &[Layer::new("loss-surface", Mark::Table, 0)];
    const NAMES: &[&str] =
        &["x", "density", "mean", "variance", "data", "fitted", "descent", "closed-form", "right-loss"];
    const FIGURES: &[Figure] =
        &[Figure::table("surface", Axis::of("descent-step", &["x", "density"]), Axis::of("variance", NAMES), RESULTS)];
    let page = Page::open_changed("results", "#experiment=gaussian-1d&device=cpu&lang=fa", |served| {
        let change = |&study: &&'static Study| -> &'static Study {
            if study.id != "gaussian-1d" {
                return study;
            }
            let Study { id, chapter, live, controls, claims, notes, brief, .. } = *study;
            Box::leak(Box::new(Study { id, chapter, live, controls, figures: FIGURES, claims, notes, brief }))
        };
        let changed: Vec<&Study> = STUDIES.iter().map(change).collect();
        replace_bytes(served, &to_bytes(&changed).expect("tables have bytes"));
    });
    page.browser.resize(360);
    page.wait_for(&["done"], SOON);
    let [columns, rows, cells] = values(&page, "[data-testid='figure-surface']");
    assert_eq!((columns.len(), rows.len(), cells.len()), (1 + NAMES.len(), 2, 2 * NAMES.len()));
    assert!(cells.iter().any(|cell| cell.contains('±')) && cells.iter().all(|cell| !cell.contains("nan")), "{cells:?}");
    let shown = page.browser.script(
        "const table = document.querySelector(`[data-testid='figure-surface'] table`), frame = table.parentElement;
         const all = document.documentElement;
         return [getComputedStyle(table).direction, frame.scrollWidth > frame.clientWidth, all.scrollWidth <= all.clientWidth,
                 frame.tabIndex, frame.getAttribute('aria-label').length > 0];",
        &[],
    );
    assert_eq!(shown, json!(["rtl", true, true, 0, true]), "direction, frame, page, keys, name");
    page.close();
}
