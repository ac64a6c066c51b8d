//! The tables of the studies: fetched once, at the page's start.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::element::{Element, element};
use super::parts::button;
use super::state::study::Catalogue;
use super::state::{Page, page, start};
use super::{link, words};
use crate::protocol::{Failure, FailureKind};
use crate::study;

/// The file of tables on its way.
pub fn fetch() -> Promise {
    // The digest keeps tables of another build, in a cache on the way, from being taken for ours.
    words::fetch(format!("./{}?v={}", study::FILE, env!("SCOREFIELD_WIRE")), false)
}

/// The tables of a file that was fetched.
fn read(file: Result<JsValue, JsValue>) -> Result<(), Failure> {
    match file {
        // They stay as long as the page.
        Ok(buffer) => study::fill(Uint8Array::new(&buffer).to_vec().leak()).map_err(Failure::from),
        Err(error) => {
            // The server's words, where it was a server that answered.
            let detail = format!("{} {}", study::FILE, error.as_string().unwrap_or_default());
            Err(Failure { kind: FailureKind::Unreachable, detail })
        }
    }
}

/// Fills the catalogue when its file arrives, and opens the link that waits for it.
pub fn fill(page: Page, file: Promise) {
    start(async move {
        match read(JsFuture::from(file).await) {
            Ok(()) => {
                page.catalogue.set(Catalogue::There);
                if let Some(fragment) = page.awaited.with_value(Clone::clone) {
                    link::open(page, &fragment);
                }
            }
            Err(failure) => {
                page.catalogue.set(Catalogue::Missing(failure));
                // Who waits for a study is told in its place.
                if !page.awaits_study() {
                    page.file_notice.set("catalogue.notice");
                }
            }
        }
    });
}

/// What stands in the place of a study whose table is not there: that it is on its way, or what went wrong and what to do.
pub fn stage() -> Element {
    let page = page();
    let told = move || match page.catalogue.get() {
        Catalogue::Missing(failure) => {
            let why = match failure.kind {
                FailureKind::Unreachable => "failure.Unreachable",
                FailureKind::Outdated => "catalogue.outdated",
                _ => "catalogue.damaged",
            };
            let again = move || {
                page.catalogue.set(Catalogue::Awaited);
                fill(page, fetch());
            };
            let detail = element("p").attribute("dir", "ltr").attribute("lang", "en").plain(&failure.detail);
            let error = element("div").class("error").test_id("catalogue-error").attribute("role", "alert");
            vec![error.holds(&[
                element("p").child(element("strong").says("catalogue.missing")),
                element("p").says(why),
                element("p").says("catalogue.advice"),
                element("details").holds(&[element("summary").says("failure.detail"), detail]),
                element("div").class("row").child(button("catalogue-again", "catalogue.again", again)),
            ])]
        }
        _ => vec![element("p").class("empty").says("catalogue.awaited")],
    };
    let stage = element("section").class("chart").test_id("catalogue").attribute("aria-live", "polite");
    stage.attribute_of("aria-busy", move || (page.catalogue.get() == Catalogue::Awaited).to_string()).changing(told)
}
