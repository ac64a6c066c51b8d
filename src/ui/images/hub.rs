//! Published networks by name: those of the page's list, and any other model of the Hugging Face hub. Nobody else is asked
//! for anything before the visitor presses a button that says who.

use std::time::Duration;

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::HtmlElement;

use crate::decimal::shortest;
use crate::lab::texts::fill;
use crate::lab::{ClassChoice, HUB, planned_evaluations};
use crate::plot::label::number;
use crate::protocol::images::WEIGHTS_CACHE;
use crate::session::image_state::ImageWeights;
use crate::ui::element::{Element, element};
use crate::ui::parts::{megabytes, note, quiet};
use crate::ui::reflect::{amount, call, get, site};
use crate::ui::state::images::Shipped;
use crate::ui::state::{Page, start};

/// The id of the question.
const QUESTION: &str = "hub-question";

/// Where the hub is, as the page says: a mirror's page may say another.
pub fn origin() -> String {
    site("hub")
}

/// The question whether a model may be fetched: how large it is, from where, and how long an image will take. Of one on the
/// page's list that says so.
pub fn question(page: Page, name: &str, state: &ImageWeights, known: Option<&Shipped>) -> Element {
    let model = name.strip_prefix(HUB).unwrap_or_default();
    let (mut size, gflop, mut licence) =
        known.map(|set| (set.bytes, set.gflop, set.licence.clone())).unwrap_or_default();
    let mut ms = 0.0;
    if let ImageWeights::Held(held) = state
        && held.gflop > 0.0
    {
        // As fast as the network in use, a billion operations like another.
        ms = gflop * held.evaluation_ms / held.gflop;
    }
    page.session.with_untracked(|session| {
        if let Some(offer) = session.offer(name) {
            (size, ms, licence) = (offer.file_bytes, offer.evaluation_ms, offer.licence.clone());
        }
    });
    if licence.is_empty() {
        "–".clone_into(&mut licence);
    }
    let known = size > 0.0;
    let told = page.filled(if known { "images.hub-ask" } else { "images.hub-ask-open" }, &[("size", &megabytes(size))]);
    let told = fill(&told, &[("host", &origin()), ("model", model), ("licence", &licence)]);
    let fetch = move || {
        // What is not persistent the browser may forget when it is short of room.
        measure(page, "storage", "persist");
        ask(page, false);
    };
    let fetch = quiet("hub-fetch", "images.hub-fetch", fetch).gone_when(move || !known);
    let look = quiet("hub-look", "images.hub-look", move || ask(page, true));
    let place = element("div").attribute("id", QUESTION).attribute("tabindex", "-1").test_id(QUESTION);
    place.attribute("data-bytes", &shortest(size)).holds(&[
        element("p").plain(&told),
        time(page, ms, false),
        element("div").class("row wrap").holds(&[fetch, look]),
        note("images.address-note"),
    ])
}

/// The visitor said that the hub may be asked: for the model, or only about it.
fn ask(page: Page, look: bool) {
    page.tell(|session| session.fetch_model(&page.config.get_untracked(), &origin(), look));
}

/// Leads the visitor to the question, once it is there.
pub fn lead_to_question() {
    let lead = || {
        if let Some(place) = document().get_element_by_id(QUESTION) {
            place.scroll_into_view();
            // What cannot have the focus is seen all the same.
            let _ = place.unchecked_ref::<HtmlElement>().focus();
        }
    };
    set_timeout(lead, Duration::ZERO);
}

/// How long an image takes here, followed; nothing where no evaluation was measured.
pub fn time(page: Page, evaluation_ms: f64, classes: bool) -> Element {
    let words = move || {
        let count = page.config.with(|config| {
            let guided = classes && config.image_class != ClassChoice::Any && config.guidance != 1.0;
            planned_evaluations(config).unwrap_or(config.steps) * (1 + u32::from(guided))
        });
        let one = evaluation_ms / 1000.0;
        let values = [
            ("evaluations", &*count.to_string()),
            ("time", &number(f64::from(count) * one, 2)),
            ("one", &number(one, 2)),
        ];
        page.filled("images.time", &values)
    };
    let line = element("p").class(if evaluation_ms > 0.0 { "note" } else { "gone" });
    line.test_id("image-time").words(words)
}

/// What the browser keeps, and the button that lets it go.
pub fn kept(page: Page) -> Element {
    measure_room(page);
    let words = move || {
        let [used, most] = page.images.room.get();
        page.filled("images.kept-room", &[("used", &megabytes(used)), ("most", &megabytes(most))])
    };
    element("div").gone_when(move || page.images.room.get()[1] <= 0.0).holds(&[
        element("p").class("note").test_id("kept-room").words(words),
        quiet("let-go", "images.let-go", move || measure(page, "caches", "delete")),
    ])
}

/// Asks the browser how much this site keeps.
pub fn measure_room(page: Page) {
    measure(page, "storage", "persisted");
}

/// Has the browser do something about what it keeps, and asks it then how much that is.
fn measure(page: Page, of: &'static str, method: &'static str) {
    // What is not served securely has neither.
    let storage = get(window().navigator().as_ref(), "storage");
    let caches = get(&window(), "caches");
    start(async move {
        // What it will not do shows in what it keeps.
        let of = if of == "caches" { &caches } else { &storage };
        let _ = call(of, method, &WEIGHTS_CACHE.into()).await;
        let any = call(&caches, "has", &WEIGHTS_CACHE.into()).await.is_ok_and(|any| any.is_truthy());
        let estimate = call(&storage, "estimate", &JsValue::UNDEFINED).await.ok().filter(|_| any);
        let room = |estimate| ["usage", "quota"].map(|name| amount(&estimate, name));
        page.images.room.set(estimate.map_or([0.0; 2], room));
    });
}
