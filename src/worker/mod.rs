//! The engine in the browser: a dedicated web worker that speaks [`crate::protocol`] over `postMessage`.

mod files;
mod port;
mod queue;
mod scope;
mod spawned;

pub use port::BrowserPort;

use std::panic;

use wasm_bindgen_futures::spawn_local;

use crate::engine;
use crate::lab::DeviceChoice;
use crate::nn::device::open;
use crate::protocol::{Event, Failure};

/// Starts the worker on this device: says [`Event::Ready`], or [`Event::Failed`] when there is no such device, and then
/// answers commands for ever. Returns at once; outside a worker it does nothing.
pub fn start(choice: DeviceChoice) {
    panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        // The last words: after a panic nothing of this instance runs any more.
        port::post(&Event::Failed { run: None, failure: engine::last_words(info.to_string()) });
    }));
    let Some(mut port) = BrowserPort::open() else { return };
    spawn_local(async move {
        match open(choice).await {
            Ok(compute) => engine::serve(&mut port, compute).await,
            Err(error) => port::post(&Event::Failed { run: None, failure: Failure::from(&error) }),
        }
    });
}
