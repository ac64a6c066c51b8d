//! What the browser has and answers, by name: what it lacks is undefined.

use js_sys::{Array, Function, Promise, Reflect};
use leptos::prelude::document;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// A property.
pub fn get(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A property that is a text; nothing for another.
pub fn words(of: &JsValue, name: &str) -> String {
    get(of, name).as_string().unwrap_or_default()
}

/// What is in a property that is a list; nothing for another.
pub fn list(of: &JsValue, name: &str) -> Array {
    get(of, name).dyn_into().unwrap_or_default()
}

/// The texts of a property that is a list; nothing for another.
pub fn texts(of: &JsValue, name: &str) -> Vec<String> {
    list(of, name).iter().filter_map(|text| text.as_string()).collect()
}

/// A property that is a number; 0 for another.
pub fn amount(of: &JsValue, name: &str) -> f64 {
    get(of, name).as_f64().unwrap_or(0.0)
}

/// What the site that serves the page has set in a `meta` element of it; nothing where it has not.
pub fn site(name: &str) -> String {
    let meta = document().query_selector(&["meta[name=", name, "]"].concat()).ok().flatten();
    meta.and_then(|meta| meta.get_attribute("content")).unwrap_or_default()
}

/// What a method answers at once.
///
/// # Errors
/// What it throws, and what is there instead of a method.
pub fn call_now(of: &JsValue, method: &str, argument: &JsValue) -> Result<JsValue, JsValue> {
    get(of, method).dyn_into::<Function>().and_then(|method| method.call1(of, argument))
}

/// What a method answers in the end.
pub fn call(of: &JsValue, method: &str, argument: &JsValue) -> JsFuture {
    JsFuture::from(Promise::resolve(&call_now(of, method, argument).unwrap_or(JsValue::UNDEFINED)))
}
