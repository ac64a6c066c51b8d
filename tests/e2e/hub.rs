//! Published networks by name, from a hub on another port of this machine.

#[path = "../support/hub.rs"]
mod server;

use std::fs;

use server::Hub;

use super::images::{SHORT, images};
use super::page::{LATE, Page, SOON, replace};

/// The page of a mirror: the same with another hub.
fn open(name: &'static str, hub: &Hub, fragment: &str) -> Page {
    Page::open_changed(name, fragment, |served| {
        let page = fs::read_to_string(served.join("index.html")).expect("the page");
        let own = page.replace("https://huggingface.co", &hub.origin());
        assert!(own != page, "the page does not say where the hub is");
        replace(served, "index.html", &own);
    })
}

fn is_asked(page: &Page) -> Option<()> {
    page.attribute("hub-question", "data-bytes").map(drop)
}

fn held(page: &Page, model: &str) {
    page.until(&format!("{model} is there"), LATE, || {
        let refused = page.text("refused");
        assert!(refused.is_empty(), "{refused}");
        (page.attribute("held", "data-title")? == model).then_some(())
    });
}

/// Whether the page offers to let go of what is kept.
fn offers_to_let_go(page: &Page) -> bool {
    let script = "return document.querySelector('[data-testid=let-go]').getClientRects().length > 0;";
    page.browser.script(script, &[]) == true
}

/// Lets what is kept go.
fn let_go(page: &Page) {
    page.press("let-go");
    page.until("it is gone", SOON, || {
        let kept = page.browser.script("return caches.has('scorefield-weights');", &[]);
        (kept.as_bool() == Some(false)).then_some(())
    });
    page.until("nothing more is offered", SOON, || (!offers_to_let_go(page)).then_some(()));
}

#[test]
fn a_network_is_fetched_by_name_after_its_size_was_told_and_kept_for_the_next_visit() {
    let hub = Hub::start();
    let page = open("hub-name", &hub, SHORT);
    page.wait_for(&["idle"], SOON);
    // The page's own list: size, source and what was published of it, before anything is asked.
    let weights = page
        .until("the list is there", SOON, || Some(page.text("weights")).filter(|text| text.contains("DDPM, CIFAR-10")));
    for part in ["143 MB", "Apache-2.0", "3.17", "Ho, Jain", hub.origin().as_str()] {
        assert!(weights.contains(part), "no {part} in {weights}");
    }
    assert!(!offers_to_let_go(&page), "nothing is kept yet: {}", page.text("kept-room"));
    page.set("address", "hub:lab/../small");
    page.press("fetch-address");
    assert_eq!(page.attribute("hub-question", "data-bytes"), None, "no model is named so");

    page.set("address", "hub:lab/small");
    page.press("fetch-address");
    page.until("the visitor is asked", SOON, || is_asked(&page));
    assert!(page.fragment().contains("weights=hub:lab/small") || page.value("share").contains("hub:lab/small"));
    assert_eq!(hub.asked(), Vec::<String>::new(), "nobody said that the hub may be asked");
    page.press("hub-look");
    let bytes = page.until("the hub says how large it is", LATE, || {
        page.number("hub-question", "data-bytes").filter(|bytes| *bytes > 0.0)
    });
    assert!(bytes as usize > hub.bytes(), "{bytes}");
    assert!(page.text("hub-question").contains(server::LICENCE), "{}", page.text("hub-question"));
    assert!(page.text("image-time").contains("measured"), "{}", page.text("image-time"));
    assert!(hub.asked().iter().all(|path| !path.contains("safetensors")), "{:?}", hub.asked());
    page.press("hub-fetch");
    held(&page, "lab/small");
    page.press("sample");
    let made = images(&page);
    assert!(made.chunks(4).any(|pixel| pixel != &made[..4]), "the canvas is empty");

    // The next visit asks nobody, and what is let go is asked for again.
    hub.forget();
    page.go("#experiment=images&device=cpu&images=2&steps=3&seed=5&weights=hub:lab/small&run=1");
    held(&page, "lab/small");
    assert!(images(&page) == made, "the same seed, another picture");
    assert_eq!(hub.asked(), Vec::<String>::new());
    let_go(&page);
    page.go("#experiment=images&device=cpu&weights=hub:lab/small");
    page.until("the visitor is asked again", SOON, || is_asked(&page));
    assert_eq!(hub.asked(), Vec::<String>::new());
}

#[test]
fn a_download_that_breaks_off_or_is_cancelled_goes_on_from_there() {
    let hub = Hub::start();
    let page = open("hub-breaks", &hub, &format!("{SHORT}&weights=hub:lab/breaks"));
    page.wait_for(&["idle"], SOON);
    let fetch = |model: &str| {
        page.set("address", &format!("hub:lab/{model}"));
        page.press("fetch-address");
        page.until("the visitor is asked", SOON, || is_asked(&page));
        page.press("hub-look");
        page.until("its size is known", LATE, || {
            page.number("hub-question", "data-bytes").filter(|bytes| *bytes > 0.0)
        });
        page.press("hub-fetch");
    };
    // Whether the last that was asked for were the bytes from the middle on, or from somewhat before it.
    let goes_on = || {
        let last = hub.asked().pop().unwrap_or_default();
        let from = last.rsplit_once(" from ").and_then(|(_, from)| from.parse::<usize>().ok());
        assert!(from.is_some_and(|from| (1..=hub.bytes() / 2).contains(&from)), "{:?}", hub.asked());
    };
    fetch("breaks");
    held(&page, "lab/breaks");
    goes_on();

    // Files are kept by what is in them, and this model has the same.
    let_go(&page);
    fetch("stalls");
    page.until("half of it is there", SOON, || {
        let share = page.browser.script("return document.querySelector('.weights-state progress')?.value;", &[]);
        share.as_f64().filter(|share| (0.4..0.7).contains(share))
    });
    page.press("cancel-weights");
    page.until("it is given up, and can be asked for again", SOON, || is_asked(&page));
    page.press("hub-fetch");
    held(&page, "lab/stalls");
    goes_on();

    // What is not given to everybody is said, and the weights at hand stay.
    page.set("address", "hub:lab/closed");
    page.press("fetch-address");
    page.until("the visitor is asked", SOON, || is_asked(&page));
    page.press("hub-look");
    let said = page.until("it is refused", LATE, || Some(page.text("refused")).filter(|text| !text.is_empty()));
    assert!(said.contains("private") && said.contains("lab/stalls"), "{said}");
}

#[test]
fn who_opens_a_link_that_names_a_network_of_the_hub_is_asked_first() {
    let hub = Hub::start();
    // The list knows this model: its size is told without asking anybody.
    let page = Page::open_changed("hub-link", &format!("{SHORT}&weights=hub:lab/small&run=1"), |served| {
        let page = fs::read_to_string(served.join("index.html")).expect("the page");
        replace(served, "index.html", &page.replace("https://huggingface.co", &hub.origin()));
        let list = fs::read_to_string(served.join("weights/index.json")).expect("the list");
        replace(served, "weights/index.json", &list.replace("google/ddpm-cifar10-32", "lab/small"));
    });
    let asked = page.until("the visitor is asked, with the size", SOON, || {
        page.number("hub-question", "data-bytes").filter(|bytes| *bytes > 0.0)?;
        Some(page.text("hub-question"))
    });
    assert!(asked.contains("lab/small") && asked.contains(hub.origin().trim_start_matches("http://")), "{asked}");
    page.press("sample");
    page.until("who samples is led to the question", SOON, || {
        let focus = page.browser.script("return document.activeElement.dataset.testid;", &[]);
        (focus.as_str()? == "hub-question").then_some(())
    });
    assert_eq!(hub.asked(), Vec::<String>::new());
    // One press, and the run that waited begins.
    page.press("hub-fetch");
    held(&page, "lab/small");
    let made = images(&page);
    assert!(made.chunks(4).any(|pixel| pixel != &made[..4]), "the canvas is empty");

    // What no model is named is left out, and said.
    page.go("#experiment=images&device=cpu&weights=hub:lab/../small");
    let notice = page.until("the page says what it left out", SOON, || {
        Some(page.text("notice")).filter(|text| text.contains("hub:lab/../small"))
    });
    assert!(!notice.is_empty() && is_asked(&page).is_none());
}
