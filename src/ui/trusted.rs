//! Values that the browser takes where a text could become a program: the inside of an element, the address of a script.
//!
//! The page's Content-Security-Policy has browsers that know Trusted Types refuse plain texts there. So what is written
//! into such a place goes through here, and nothing else can.

use js_sys::{Function, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Element;

use super::reflect::{call_now, get};

/// The policy's name, which `index.html` allows once.
const NAME: &str = "scorefield";

thread_local! {
    /// What makes such values; undefined in a browser that takes texts.
    static POLICY: JsValue = policy();
}

/// Texts stay as they are: whoever can call this is the program itself. `String` is the browser's own function for that.
fn policy() -> JsValue {
    let (global, rules) = (js_sys::global(), Object::new());
    let same = get(&global, "String");
    for rule in ["createHTML", "createScriptURL"] {
        // A new object takes every property.
        let _ = Reflect::set(&rules, &rule.into(), &same);
    }
    let factory = get(&global, "trustedTypes");
    let create = get(&factory, "createPolicy").dyn_into::<Function>();
    create.and_then(|create| create.call2(&factory, &NAME.into(), &rules)).unwrap_or(JsValue::UNDEFINED)
}

fn trusted(rule: &str, text: &str) -> JsValue {
    let text = JsValue::from_str(text);
    POLICY.with(|policy| call_now(policy, rule, &text)).unwrap_or(text)
}

/// Writes HTML of the page's own making into an element.
pub fn set_inside(element: &Element, html: &str) {
    // Elements are never frozen.
    let _ = Reflect::set(element, &"innerHTML".into(), &trusted("createHTML", html));
}

/// The address of one of the page's own scripts.
pub fn script(address: &str) -> JsValue {
    trusted("createScriptURL", address)
}
