//! The texts of the page: a locale file is fetched when its language is first spoken, and kept for the visit.

use std::cell::{Cell, RefCell};

use js_sys::Promise;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::Response;

use super::state::{Page, start};
use crate::lab::texts::WHOLE;
use crate::lab::{Language, Texts};

/// How long the page waits for its texts before it shows itself without, in milliseconds. Pictures are there meanwhile
/// (`index.html`).
const PATIENCE: i32 = 4000;

thread_local! {
    static READ: RefCell<[Option<&'static str>; 3]> = const { RefCell::new([None; 3]) };
    /// Counts the changes of language, so that the last wish wins and not the last answer.
    static WISHES: Cell<u32> = const { Cell::new(0) };
}

/// A file of the page's own, as bytes or as a text, which must be whole.
pub fn fetch(address: String, text: bool) -> Promise {
    future_to_promise(async move {
        let response: Response = JsFuture::from(window().fetch_with_str(&address)).await?.dyn_into()?;
        if !response.ok() {
            return Err(response.status_text().into());
        }
        let content = JsFuture::from(if text { response.text()? } else { response.array_buffer()? }).await?;
        let whole = !text || content.as_string().is_some_and(|content| content.ends_with(WHOLE));
        if whole { Ok(content) } else { Err(JsValue::NULL) }
    })
}

fn texts(language: Language) -> Promise {
    // The digest keeps texts of another build, in a cache on the way, from being taken for ours.
    fetch(format!("./{}?v={}", language.file(), env!("SCOREFIELD_LOCALES")), true)
}

fn keep(language: Language, text: &JsValue) -> Option<Texts> {
    let file: &'static str = text.as_string()?.leak();
    READ.with_borrow_mut(|read| read[language as usize] = Some(file));
    Some(Texts::read(file))
}

/// The texts of a language, if they arrive soon enough for the first picture of the page; so may what else it waits for.
pub async fn first(language: Language, beside: Option<Promise>) -> Option<Texts> {
    let timer = Promise::new(&mut |resolve, _| {
        // Without a timer the page merely waits for the answer.
        let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, PATIENCE);
    });
    let fetched = texts(language);
    let all = Promise::all_settled(&js_sys::Array::of2(&fetched, &beside.map_or(JsValue::UNDEFINED, JsValue::from)));
    let _ = JsFuture::from(Promise::race(&js_sys::Array::of2(&all, &timer))).await;
    // No text where they are still on their way.
    let race = Promise::race(&js_sys::Array::of2(&fetched, &Promise::resolve(&JsValue::UNDEFINED)));
    keep(language, &JsFuture::from(race).await.ok()?)
}

/// Changes the language as soon as its texts are there. Without them the page keeps the one it has, and says so.
pub fn speak(page: Page, language: Language) {
    let wish = WISHES.get() + 1;
    WISHES.set(wish);
    start(async move {
        let texts = match READ.with_borrow(|read| read[language as usize]) {
            Some(file) => Some(Texts::read(file)),
            None => JsFuture::from(texts(language)).await.ok().and_then(|text| keep(language, &text)),
        };
        if WISHES.get() != wish {
            return;
        }
        match texts {
            Some(texts) => {
                page.texts.set(texts);
                page.language.set(language);
            }
            None => {
                if page.texts.with_untracked(Texts::are_awaited) {
                    page.texts.set(Texts::default());
                }
                // Not a key: what has no text is shown as it is.
                page.file_notice.set(language.without_file());
                page.language.notify();
            }
        }
    });
}
