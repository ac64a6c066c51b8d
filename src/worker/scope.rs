//! The scope of a dedicated worker.

use js_sys::Reflect;
use wasm_bindgen::JsCast;
use web_sys::DedicatedWorkerGlobalScope;

/// The worker's own scope, if this is a worker.
pub fn scope() -> Option<DedicatedWorkerGlobalScope> {
    let global = js_sys::global();
    // By name: a class of another realm, or a page, is none of ours.
    let name = Reflect::get(&global, &"constructor".into()).and_then(|c| Reflect::get(&c, &"name".into())).ok()?;
    (name.as_string()? == "DedicatedWorkerGlobalScope").then(|| global.unchecked_into())
}
