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

use super::mailbox::{Mailbox, deliver, poll_letter};
use super::scope::scope;
use crate::engine::inbox::Member;
use crate::protocol::crew::Heard;
use crate::wire;

/// A worker of ours. It ends when dropped.
pub struct Hired {
    worker: Worker,
    /// What it reported; nothing where it could not be understood, or died.
    letters: Rc<RefCell<Mailbox<Option<Heard>>>>,
    heard: Closure<dyn FnMut(MessageEvent)>,
}

impl Hired {
    /// Starts it. `None` where a worker may start no others.
    pub fn start() -> Option<Self> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&scope()?.location().href(), &options).ok()?;
        let letters = Mailbox::new();
        let heard = Closure::new({
            let letters = Rc::clone(&letters);
            // Errors are events too, without data, and would go on to the page.
            move |message: MessageEvent| {
                message.prevent_default();
                let bytes = message.data().dyn_into::<Uint8Array>().map(|b| b.to_vec()).unwrap_or_default();
                deliver(&letters, wire::decode(&bytes).ok());
            }
        });
        let hired = Self { worker, letters, heard };
        hired.listen(Some(hired.heard.as_ref().unchecked_ref()));
        Some(hired)
    }

    fn listen(&self, heard: Option<&Function>) {
        self.worker.set_onmessage(heard);
        self.worker.set_onmessageerror(heard);
        self.worker.set_onerror(heard);
    }
}

impl Member for Hired {
    fn post(&mut self, message: &[u8]) -> bool {
        let message = Uint8Array::from(message);
        self.worker.post_message_with_transfer(&message, &Array::of1(&message.buffer())).is_ok()
    }

    fn poll_heard(&mut self, context: &mut Context<'_>) -> Poll<Option<Heard>> {
        poll_letter(&self.letters, context)
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        self.listen(None);
        self.worker.terminate();
    }
}
