//! Files over the network, in pieces, kept between visits by the browser.

use js_sys::{Reflect, Uint8Array};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Cache, CacheStorage, Headers, ReadableStreamDefaultReader, RequestInit, Response};

use super::scope::scope;
use crate::engine::inbox::Waiting;
use crate::engine::{Download, Fetching, Unreachable};
use crate::protocol::images::{WEIGHTS_CACHE, kept_address};

/// A response that is being read.
struct Body {
    reader: Option<ReadableStreamDefaultReader>,
    controller: Option<AbortController>,
    length: Option<u64>,
    kept: bool,
    start: u64,
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

    fn start(&self) -> u64 {
        self.start
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

/// Asks for a file from this byte on, or for what was kept of it.
pub fn fetch(address: &str, key: Option<&str>, from: u64) -> Fetching {
    let (address, key) = (address.to_owned(), key.map(str::to_owned));
    Box::pin(async move {
        if let Some(key) = &key
            && let Some(response) = found(key).await
            && let Ok(body) = body(&response, None, 0)
        {
            return Ok(Box::new(body) as Box<dyn Download>);
        }
        let failed = |error| Unreachable::from(format!("{address}: {}", words(error)));
        let (response, controller) = fetched(&address, from).await.map_err(failed)?;
        if !response.ok() {
            return Err(Unreachable::answered(&address, response.status()));
        }
        // The other way to answer who asks for a part is to send it all.
        let start = if response.status() == 206 { from } else { 0 };
        let body = body(&response, Some(controller), start).map_err(failed)?;
        Ok(Box::new(body) as Box<dyn Download>)
    })
}

/// What was kept under a key.
pub fn kept(key: &str) -> Waiting<'static, Option<Vec<u8>>> {
    let key = key.to_owned();
    Box::pin(async move {
        let bytes = JsFuture::from(found(&key).await?.array_buffer().ok()?).await.ok()?;
        Some(Uint8Array::new(&bytes).to_vec())
    })
}

/// Keeps a file, or forgets it; says whether there was room.
pub fn keep(key: &str, file: Option<&[u8]>) -> Waiting<'static, bool> {
    let (key, file) = (kept_address(key), file.map(Uint8Array::from));
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

async fn store() -> Result<Cache, JsValue> {
    // Missing where the page is not served securely.
    let caches: CacheStorage = Reflect::get(&js_sys::global(), &"caches".into())?.dyn_into()?;
    JsFuture::from(caches.open(WEIGHTS_CACHE)).await?.dyn_into()
}

async fn found(key: &str) -> Option<Response> {
    let store = store().await.ok()?;
    JsFuture::from(store.match_with_str(&kept_address(key))).await.ok()?.dyn_into().ok()
}

async fn fetched(address: &str, from: u64) -> Result<(Response, AbortController), JsValue> {
    let scope = scope().ok_or_else(|| JsValue::from_str("this is not a worker"))?;
    let controller = AbortController::new()?;
    let request = RequestInit::new();
    request.set_signal(Some(&controller.signal()));
    if from > 0 {
        let headers = Headers::new()?;
        // A range that begins somewhere and has no end may be asked of another origin without asking it first.
        headers.set("range", &format!("bytes={from}-"))?;
        request.set_headers(&headers);
    }
    let response = JsFuture::from(scope.fetch_with_str_and_init(address, &request)).await?.dyn_into()?;
    Ok((response, controller))
}

/// The body of an answer; of one that was kept there is nothing to give up.
fn body(response: &Response, controller: Option<AbortController>, start: u64) -> Result<Body, JsValue> {
    // The length of a compressed answer is not that of the file.
    let headers = response.headers();
    let plain = headers.get("content-encoding")?.is_none();
    let length = headers.get("content-length")?.filter(|_| plain).and_then(|length| length.parse().ok());
    let reader = match response.body() {
        Some(body) => Some(body.get_reader().dyn_into()?),
        None => None,
    };
    Ok(Body { reader, kept: controller.is_none(), controller, length, start })
}

fn words(error: JsValue) -> String {
    let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    error.as_string().or(message).unwrap_or_else(|| "the reason is not known".to_owned())
}
