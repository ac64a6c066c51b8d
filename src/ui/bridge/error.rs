//! What the browser says went wrong.

use wasm_bindgen::{JsCast, JsValue};

/// An error in its own words.
pub fn words(error: &JsValue) -> String {
    let text = error.as_string().or_else(|| error.dyn_ref::<js_sys::Error>().map(|e| String::from(e.message())));
    text.unwrap_or_else(|| "unknown".to_owned())
}
