//! Workers that this worker starts: the same program once more.
//!
//! A page without cross-origin isolation may have as many workers as it likes, but no memory that they share. So these
//! work on any static host: they are started from the address of this worker's own script.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use js_sys::{Array, Function, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

use super::queue::{Queue, deliver, poll_message};
use super::scope::scope;
use crate::engine::inbox::WorkerHandle;
use crate::protocol::pool::PoolEvent;
use crate::wire;

/// A worker of ours. It ends when dropped.
pub struct SpawnedWorker {
    worker: Worker,
    /// What it reported; nothing where it could not be understood, or died.
    messages: Rc<RefCell<Queue<Option<PoolEvent>>>>,
    event: Closure<dyn FnMut(MessageEvent)>,
}

impl SpawnedWorker {
    /// Starts it. `None` where a worker may start no others.
    pub fn start() -> Option<Self> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&scope()?.location().href(), &options).ok()?;
        let messages = Queue::new();
        let event = Closure::new({
            let messages = Rc::clone(&messages);
            // Errors are events too, without data, and would go on to the page.
            move |message: MessageEvent| {
                message.prevent_default();
                let bytes = message.data().dyn_into::<Uint8Array>().map(|b| b.to_vec()).unwrap_or_default();
                deliver(&messages, wire::decode(&bytes).ok());
            }
        });
        let spawned = Self { worker, messages, event };
        spawned.listen(Some(spawned.event.as_ref().unchecked_ref()));
        Some(spawned)
    }

    fn listen(&self, event: Option<&Function>) {
        self.worker.set_onmessage(event);
        self.worker.set_onmessageerror(event);
        self.worker.set_onerror(event);
    }
}

impl WorkerHandle for SpawnedWorker {
    fn post(&mut self, message: &[u8]) -> bool {
        let message = Uint8Array::from(message);
        self.worker.post_message_with_transfer(&message, &Array::of1(&message.buffer())).is_ok()
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<PoolEvent>> {
        poll_message(&self.messages, context)
    }
}

impl Drop for SpawnedWorker {
    fn drop(&mut self) {
        self.listen(None);
        self.worker.terminate();
    }
}
