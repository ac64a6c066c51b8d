//! What the page offers as a file.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, HtmlCanvasElement, Url};

/// Offers bytes as a file.
pub fn save(name: &str, kind: &str, bytes: &[u8]) {
    let parts = js_sys::Array::of1(&js_sys::Uint8Array::from(bytes));
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    if let Ok(blob) = Blob::new_with_u8_array_sequence_and_options(&parts, &options) {
        offer(name, &blob);
    }
}

fn offer(name: &str, blob: &Blob) {
    let Ok(address) = Url::create_object_url_with_blob(blob) else { return };
    let link = document().create_element("a").ok().and_then(|a| a.dyn_into::<HtmlAnchorElement>().ok());
    if let Some(link) = link {
        link.set_href(&address);
        link.set_download(name);
        link.click();
    }
    // The browser has taken the file by the next turn of its loop at the latest.
    set_timeout(
        move || {
            let _ = Url::revoke_object_url(&address);
        },
        std::time::Duration::from_secs(10),
    );
}

/// Offers the picture as a PNG.
pub fn picture() {
    let canvas = document().get_element_by_id("picture").and_then(|c| c.dyn_into::<HtmlCanvasElement>().ok());
    if let Some(canvas) = canvas {
        picture_of(&canvas, "scorefield.png");
    }
}

/// Offers a canvas as a PNG.
pub fn picture_of(canvas: &HtmlCanvasElement, name: &'static str) {
    let taken = Closure::once_into_js(move |blob: Option<Blob>| {
        if let Some(blob) = blob {
            offer(name, &blob);
        }
    });
    // Fails only for canvases with foreign pictures in them.
    let _ = canvas.to_blob(taken.unchecked_ref());
}
