//! What visitors do and browsers are that nobody plans for: going back, typing as they write, pages without encryption,
//! without WebAssembly, without an answer about a GPU, several files at once.

use std::time::Duration;

use serde_json::{Value, json};

use super::images::{SHORT, golden};
use super::page::{LATE, Page, SOON, replace};

const SMALL: &str = "#dataset=moons&device=cpu&width=16&depth=1&batch=32&training-steps=20&samples=100&steps=3&seed=3";

fn script(page: &Page, body: &str) -> Value {
    page.browser.script(body, &[])
}

#[test]
fn a_link_that_runs_leaves_one_entry_in_the_history() {
    let page = Page::open("visitor-back", SMALL);
    page.wait_for(&["idle"], SOON);
    let before = script(&page, "return history.length;").as_u64().expect("a length");
    script(&page, &format!("location.hash = '{SMALL}&seed=4&run=1';"));
    page.wait_for(&["done"], LATE);
    // The link is one entry, and the run it began is the same one.
    assert_eq!(script(&page, "return history.length;").as_u64(), Some(before + 1));
    assert!(!page.fragment().contains("run=1"), "{}", page.fragment());
    script(&page, "history.back();");
    page.until("the page before is back", SOON, || (page.value("seed") == "3").then_some(()));
    script(&page, "history.forward();");
    page.until("the run is back", SOON, || (page.value("seed") == "4").then_some(()));
    assert_eq!(script(&page, "return history.length;").as_u64(), Some(before + 1));
    page.wait_for(&["idle"], SOON);
    page.close();
}

#[test]
fn a_link_to_the_closed_form_samples_without_training() {
    let page = Page::open("visitor-exact", &format!("{SMALL}&training-steps=1000000&denoiser=exact&run=1"));
    page.wait_for(&["done"], SOON);
    assert_eq!(page.number("loss", "data-value"), None);
    assert_eq!(page.samples().len(), 100);
    page.close();
}

#[test]
fn numbers_are_taken_as_people_type_them_or_refused_aloud() {
    let page = Page::open("visitor-numbers", SMALL);
    page.wait_for(&["idle"], SOON);
    let complaint = || {
        let words = script(&page, "return document.querySelector(\"input[data-testid='rate']\").validationMessage;");
        words.as_str().unwrap_or_default().to_owned()
    };
    for (typed, taken) in
        [("0,003", "0.003"), ("۰٫۰۰۴", "0.004"), ("٠٫٠٠٥", "0.005"), ("6e-3", "0.006"), (" 0.007 ", "0.007")]
    {
        page.set("rate", typed);
        assert_eq!(page.value("rate"), taken, "{typed}");
        assert_eq!(complaint(), "", "{typed}");
    }
    for typed in ["many", "0.0.1", ""] {
        page.set("rate", typed);
        assert_eq!(page.value("rate"), "0.007", "{typed}");
        assert!(complaint().contains("0.007"), "{typed}: {:?}", complaint());
    }
    page.set("rate", "1000");
    assert!(complaint().contains("1000") && complaint().contains(&page.value("rate")), "{:?}", complaint());
    page.close();
}

#[test]
fn a_link_can_be_copied_where_the_browser_has_no_clipboard() {
    let page = Page::open("visitor-clipboard", SMALL);
    page.browser
        .before_every_page("Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined });");
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    let before = page.text("copy");
    page.press("copy");
    page.until("the button says what to do", SOON, || (page.text("copy") != before).then_some(()));
    let marked =
        script(&page, "const e = document.activeElement; return e.value.slice(e.selectionStart, e.selectionEnd);");
    assert_eq!(marked.as_str(), Some(page.value("share").as_str()));
    assert!(marked.as_str().is_some_and(|link| link.contains("#experiment=")));
    page.close();
}

/// Keeps what the page puts into the clipboard, and where a link leads that the visitor presses, without going there.
const KEPT: &str = "
Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => ({
  writeText: text => { globalThis.copied = text; return Promise.resolve(); },
}) });
addEventListener('click', event => {
  const link = event.target.closest?.('a');
  if (link) { event.preventDefault(); globalThis.followed = link.href; }
});";

/// A page with a failure, of a site that names this address for problems, and what it then says of it.
fn troubled(name: &'static str, address: &str) -> (Page, Vec<String>) {
    let page = Page::open_changed(name, SMALL, |served| {
        let index = std::fs::read_to_string(served.join("index.html")).expect("the page");
        let place = "<meta name=\"problems\" content=\"\">";
        assert!(index.contains(place), "no place for the address");
        let own = index.replace(place, &format!("<meta name=\"problems\" content=\"{address}\">"));
        replace(served, "index.html", &own);
    });
    page.browser.before_every_page(KEPT);
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    // It begins like weights, and is none.
    page.drop_file("bad.safetensors", b"\x10\0\0\0\0\0\0\0{\"a\": not weights");
    page.wait_for(&["failed"], SOON);
    page.press("copy-problem");
    let copied = page.until("the details are copied", SOON, || {
        Some(script(&page, "return globalThis.copied;").as_str()?.to_owned())
    });
    let lines: Vec<String> = copied.split('\n').map(|line| line.trim().to_owned()).collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].starts_with(&format!("scorefield {} ", env!("CARGO_PKG_VERSION"))), "{lines:?}");
    assert_eq!(lines[1], page.value("share"));
    assert_eq!(lines[3], script(&page, "return navigator.userAgent;"));
    assert!(!lines[2].is_empty() && lines[4].starts_with("BadFile: "), "{lines:?}");
    // The visitor sees what is copied.
    for line in &lines {
        assert!(page.value("problem").contains(line), "{line} in {}", page.value("problem"));
    }
    (page, lines)
}

#[test]
fn the_details_of_a_problem_can_be_copied_where_the_site_names_no_address() {
    let (page, _) = troubled("visitor-problem", "");
    assert_eq!(page.attribute("report-problem", "href"), None, "there is nowhere to go");
    page.close();
}

#[test]
fn a_report_of_a_problem_has_its_details_once_the_visitor_asks_for_it() {
    let address = "https://problems.invalid/new?template=problem.yml&details=";
    let (page, lines) = troubled("visitor-report", &address.replace('&', "&amp;"));
    let report = |name: &str| page.attribute("report-problem", name).unwrap_or_default();
    assert_eq!(report("href"), address, "nothing is in it yet");
    assert_eq!((report("target"), report("rel")), ("_blank".to_owned(), "noopener".to_owned()));
    page.press("report-problem");
    let followed = page.until("the link leads somewhere", SOON, || {
        let details = "return globalThis.followed && new URL(globalThis.followed).searchParams.get('details');";
        Some(script(&page, details).as_str()?.to_owned())
    });
    assert_eq!(followed.split('\n').map(str::trim).collect::<Vec<_>>(), lines);
    assert!(script(&page, "return globalThis.followed;").as_str().is_some_and(|to| to.starts_with(address)));
    // Neither before nor by what the page itself does was another origin asked. The console may say that the copy for visits
    // without a network was not made: its list has the digest of the page as it was built.
    page.close_after_trouble();
}

#[test]
fn details_that_are_too_long_for_an_address_are_left_to_be_copied() {
    let address = format!("https://problems.invalid/new?title={}&details=", "x".repeat(7450));
    let (page, _) = troubled("visitor-long-report", &address.replace('&', "&amp;"));
    page.press("report-problem");
    let followed = page.until("the link leads somewhere", SOON, || {
        Some(script(&page, "return globalThis.followed;").as_str()?.to_owned())
    });
    assert_eq!(followed, address);
    page.close_after_trouble();
}

#[test]
fn a_browser_that_does_not_answer_about_a_gpu_has_none() {
    let page = Page::open("visitor-adapter", SMALL);
    page.browser.before_every_page("navigator.gpu.requestAdapter = () => new Promise(() => {});");
    page.browser.goto("about:blank");
    page.go(&SMALL.replace("device=cpu", "device=gpu"));
    let failed = Duration::from_secs(40);
    page.wait_for(&["failed"], failed);
    assert!(page.text("error").contains("WebGPU"), "{}", page.text("error"));
    assert_eq!(page.text("recover"), "Try again", "nothing was kept that it could start from");
    page.close_after_trouble();
}

#[test]
fn a_browser_without_webassembly_is_told_what_is_missing() {
    let page = Page::open("visitor-start", SMALL);
    page.wait_for(&["idle"], SOON);
    assert_eq!(script(&page, "return document.getElementById('loading');"), Value::Null);
    page.browser.before_every_page("delete globalThis.WebAssembly;");
    page.browser.reload();
    let shown = "const e = document.getElementById('starting');
                 return e && getComputedStyle(e).visibility == 'visible' ? e.innerText : '';";
    let words = page.until("the page says what it needs", SOON, || {
        Some(script(&page, shown).as_str()?.to_owned()).filter(|words| !words.is_empty())
    });
    assert!(words.matches("WebAssembly").count() >= 3, "{words}");
    // What is there before the program is: pictures, which say nothing in a language.
    let pictures = "const seen = [...document.querySelectorAll('#loading img')].map(i => i.naturalWidth > 0);
                    return seen.length > 2 && seen.slice(0, 2).every(Boolean);";
    page.until("the first pictures", SOON, || script(&page, pictures).as_bool().filter(|there| *there));
    page.close_after_trouble();
}

#[test]
fn files_that_are_dropped_together_are_one_checkpoint_with_its_settings() {
    let settings = |more: Value| {
        let mut all = json!({
            "_class_name": "UNet2DModel", "block_out_channels": [32], "down_block_types": ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"], "layers_per_block": 1, "attention_head_dim": null, "norm_eps": 1e-6,
            "downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "sample_size": 32,
        });
        for (field, value) in more.as_object().expect("changes") {
            all[field] = value.clone();
        }
        all.to_string().into_bytes()
    };
    let page = Page::open("visitor-files", SHORT);
    page.wait_for(&["idle"], SOON);
    let weights = golden("small_ddim.ckpt");
    page.drop_files(&[("config.json", &settings(json!({ "act_fn": "relu" }))), ("model.ckpt", &weights)]);
    let refused =
        page.until("the settings are refused", LATE, || Some(page.text("refused")).filter(|text| !text.is_empty()));
    assert!(refused.contains("act_fn") && refused.contains("config.json, model.ckpt"), "{refused}");
    page.drop_files(&[("config.json", &settings(json!({ "sample_size": 16 }))), ("model.ckpt", &weights)]);
    page.until("the weights are held", LATE, || (page.attribute("held", "data-title")? == "model.ckpt").then_some(()));
    page.press("sample");
    let side = page.until("images are there", LATE, || {
        page.wait_for(&["done"], LATE);
        script(&page, "return document.querySelector(\"[data-testid='samples']\").width;")
            .as_u64()
            .filter(|side| *side > 0)
    });
    assert!(side > 0);
    page.close();
}

#[test]
fn a_text_is_no_program_wherever_it_is_put() {
    let page = Page::open("visitor-policy", SMALL);
    page.wait_for(&["idle"], SOON);
    // What a fault of the page, or a library of it, could one day do with a text of somebody else's.
    for attempt in [
        "document.createElement('div').innerHTML = '<b>a</b>'",
        "new Worker('./worker_cpu_loader.js', { type: 'module' })",
        "navigator.serviceWorker.register('./service-worker.js')",
        "document.createElement('script').text = 'globalThis.begun = 1;'",
        "trustedTypes.createPolicy('scorefield', { createHTML: String })",
        "trustedTypes.createPolicy('default', { createHTML: String })",
    ] {
        let tried = format!(
            "return (async () => {{ try {{ await ({attempt}); return 'taken'; }} catch (error) {{ return error.name; }} }})();"
        );
        let name = script(&page, &tried);
        assert!(name == "TypeError", "{attempt} {name}");
    }
    assert_eq!(script(&page, "return globalThis.begun;"), Value::Null);
    page.close_after_trouble();
}
