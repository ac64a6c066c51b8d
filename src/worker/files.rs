//! Files over the network, in pieces, kept between visits by the browser.

use js_sys::{Reflect, Uint8Array};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Cache, CacheStorage, ReadableStreamDefaultReader, RequestInit, Response};

use super::scope::scope;
use crate::engine::inbox::Waiting;
use crate::engine::{Download, Fetching};

/// The browser's store for weights.
const STORE: &str = "scorefield-weights";

/// A response that is being read.
struct Body {
    reader: Option<ReadableStreamDefaultReader>,
    controller: Option<AbortController>,
    length: Option<u64>,
    kept: bool,
}

/// What the browser's reader answers: more bytes, or that there are none.
#[derive(Deserialize)]
struct Piece {
    done: bool,
    value: Option<ByteBuf>,
}

impl Drop for Body {
    fn drop(&mut self) {
        // What is half read need not come.
        if let Some(controller) = &self.controller {
            controller.abort();
        }
    }
}

impl Download for Body {
    fn length(&self) -> Option<u64> {
        self.length
    }

    fn is_kept(&self) -> bool {
        self.kept
    }

    fn piece(&mut self) -> Waiting<'_, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            let Some(reader) = &self.reader else { return Ok(None) };
            let answer = JsFuture::from(reader.read()).await.map_err(words)?;
            let Piece { done, value } = serde_wasm_bindgen::from_value(answer).map_err(|error| error.to_string())?;
            Ok(value.filter(|_| !done).map(ByteBuf::into_vec))
        })
    }
}

/// Asks for a file, or for what was kept of it.
pub fn fetch(address: &str, key: Option<&str>) -> Fetching {
    let (address, key) = (address.to_owned(), key.map(str::to_owned));
    Box::pin(async move {
        if let Some(key) = &key
            && let Some(body) = kept(key).await
        {
            return Ok(Box::new(body) as Box<dyn Download>);
        }
        let body = fetched(&address).await.map_err(|error| format!("{address}: {}", words(error)))?;
        Ok(Box::new(body) as Box<dyn Download>)
    })
}

/// Keeps a file, or forgets it; says whether there was room.
pub fn keep(key: &str, file: Option<&[u8]>) -> Waiting<'static, bool> {
    let (key, file) = (place(key), file.map(Uint8Array::from));
    Box::pin(async move {
        let done = async {
            let store = store().await?;
            match file {
                Some(bytes) => {
                    let response = Response::new_with_opt_js_u8_array(Some(&bytes))?;
                    JsFuture::from(store.put_with_str(&key, &response)).await
                }
                None => JsFuture::from(store.delete_with_str(&key)).await,
            }
        };
        done.await.is_ok()
    })
}

/// The store needs addresses for keys; nothing is ever asked of this one.
fn place(key: &str) -> String {
    format!("./kept/{key}")
}

async fn store() -> Result<Cache, JsValue> {
    // Missing where the page is not served securely.
    let caches: CacheStorage = Reflect::get(&js_sys::global(), &"caches".into())?.dyn_into()?;
    JsFuture::from(caches.open(STORE)).await?.dyn_into()
}

async fn kept(key: &str) -> Option<Body> {
    let store = store().await.ok()?;
    let found = JsFuture::from(store.match_with_str(&place(key))).await.ok()?;
    let response: Response = found.dyn_into().ok()?;
    body(&response, None, true).ok()
}

async fn fetched(address: &str) -> Result<Body, JsValue> {
    let scope = scope().ok_or_else(|| JsValue::from_str("this is not a worker"))?;
    let controller = AbortController::new()?;
    let request = RequestInit::new();
    request.set_signal(Some(&controller.signal()));
    let response: Response = JsFuture::from(scope.fetch_with_str_and_init(address, &request)).await?.dyn_into()?;
    if !response.ok() {
        return Err(JsValue::from_str(&format!("the server answered {}", response.status())));
    }
    body(&response, Some(controller), false)
}

fn body(response: &Response, controller: Option<AbortController>, kept: bool) -> Result<Body, JsValue> {
    // The length of a compressed answer is not that of the file.
    let headers = response.headers();
    let plain = headers.get("content-encoding")?.is_none();
    let length = headers.get("content-length")?.filter(|_| plain).and_then(|length| length.parse().ok());
    let reader = match response.body() {
        Some(body) => Some(body.get_reader().dyn_into()?),
        None => None,
    };
    Ok(Body { reader, controller, length, kept })
}

fn words(error: JsValue) -> String {
    let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    error.as_string().or(message).unwrap_or_else(|| "the reason is not known".to_owned())
}
