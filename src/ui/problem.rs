//! The way to those who can mend a problem: what helps to find it, to be copied, and where the site names an address, a link
//! that takes it along.

use leptos::prelude::window;

use super::element::{Element, element};
use super::export::copied;
use super::reflect::{call_now, site, words};
use super::state::{Page, page};

/// Longest address: servers refuse more than some 8,000 bytes. Then the visitor copies the details.
const LONGEST: usize = 7500;

/// What helps to find a problem, a line each: version and build, the link, the device, the browser, and what went wrong.
fn details(page: Page) -> String {
    let (device, failure) = page.session.with(|s| {
        let device = s.info(s.active()).map(|info| info.name.clone());
        (device.unwrap_or_default(), s.failure().map(|f| format!("{:?}: {}", f.kind, f.detail)).unwrap_or_default())
    });
    let version = concat!("scorefield ", env!("CARGO_PKG_VERSION"), " ", env!("SCOREFIELD_WIRE"));
    // A field of one line shows the ends of lines as nothing.
    [version, &page.link.get(), &device, &words(window().navigator().as_ref(), "userAgent"), &failure].join(" \n")
}

/// The details, and the ways they can go.
pub fn report() -> Element {
    let address = site("problems");
    let there = !address.is_empty();
    let report = element("details").class("problem").holds(&[
        element("summary").says("page.problem"),
        element("label").attribute("for", "problem").says("page.problem-details"),
        copied("problem", "copy-problem", details),
    ]);
    if there { report.child(element("p").child(link(address))) } else { report }
}

/// The way to the site's address, which has the details from the moment of the press on.
fn link(address: String) -> Element {
    let page = page();
    let link = element("a").test_id("report-problem").attribute("href", &address).attribute("target", "_blank");
    let node = link.node();
    let fill = move || {
        let details = call_now(&js_sys::global(), "encodeURIComponent", &details(page).into());
        let whole = [address.as_str(), &details.ok().and_then(|text| text.as_string()).unwrap_or_default()].concat();
        let to = if whole.len() < LONGEST { &whole } else { &address };
        // The name of an attribute.
        let _ = node.set_attribute("href", to);
    };
    link.attribute("rel", "noopener").says("page.problem-report").press(fill)
}
