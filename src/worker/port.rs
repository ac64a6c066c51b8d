//! The typed end of `postMessage`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, MessageEvent, MessagePort, Performance};

use super::files;
use super::queue::{Queue, deliver, take};
use super::scope::scope;
use super::spawned::SpawnedWorker;
use crate::engine::inbox::{Waiting, WorkerHandle};
use crate::engine::{Fetching, Port};
use crate::protocol::{Command, Event};
use crate::wire;

/// The port of a dedicated worker to its page. There is one per worker.
pub struct BrowserPort {
    inbox: Rc<RefCell<Queue<Command>>>,
    /// Turns of the browser that are over, by number.
    wakes: Rc<RefCell<Queue<f64>>>,
    /// The number of the last turn that the browser was given.
    turn: Cell<f64>,
    /// Where a message to ourselves goes out, to let the browser take its turn.
    wake: MessagePort,
    clock: Performance,
    _on_command: Closure<dyn FnMut(MessageEvent)>,
    _on_wake: Closure<dyn FnMut(MessageEvent)>,
    on_timer: Closure<dyn FnMut(f64)>,
}

impl BrowserPort {
    /// Listens to the page. `None` outside a dedicated worker.
    #[must_use]
    pub fn open() -> Option<Self> {
        let scope = scope()?;
        let clock = scope.performance()?;

        let inbox = Queue::new();
        let on_command = Closure::new({
            let inbox = Rc::clone(&inbox);
            move |message: MessageEvent| {
                // What is no byte array becomes an empty one, which no command is.
                let bytes = message.data().dyn_into::<Uint8Array>().map(|b| b.to_vec()).unwrap_or_default();
                match wire::decode::<Command>(&bytes) {
                    Ok(command) => deliver(&inbox, command),
                    Err(error) => post(&Event::Failed { run: None, failure: error.into() }),
                }
            }
        });
        scope.set_onmessage(Some(on_command.as_ref().unchecked_ref()));

        let wakes = Queue::new();
        let channel = MessageChannel::new().ok()?;
        let on_wake = Closure::new({
            let wakes = Rc::clone(&wakes);
            move |message: MessageEvent| deliver(&wakes, message.data().as_f64().unwrap_or_default())
        });
        let on_timer = Closure::new({
            let wakes = Rc::clone(&wakes);
            move |turn: f64| deliver(&wakes, turn)
        });
        channel.port2().set_onmessage(Some(on_wake.as_ref().unchecked_ref()));

        let (turn, wake) = (Cell::new(0.0), channel.port1());
        Some(Self { inbox, wakes, turn, wake, clock, _on_command: on_command, _on_wake: on_wake, on_timer })
    }
}

impl Port for BrowserPort {
    fn try_recv(&mut self) -> Option<Command> {
        self.inbox.borrow_mut().pop()
    }

    async fn recv(&mut self) -> Command {
        take(&self.inbox).await
    }

    fn send(&mut self, event: Event) {
        post(&event);
    }

    /// A message to ourselves comes back as a task of its own, after the messages that are waiting: a promise would not
    /// let those in, and a timer is held back for 4 ms, or for a second where nobody sees the page. But WebKit brings such
    /// a message by way of the page's thread, which may be busy painting for longer: whichever comes first.
    async fn yield_now(&self) {
        let turn = self.turn.get() + 1.0;
        self.turn.set(turn);
        let (Some(scope), number) = (scope(), JsValue::from_f64(turn)) else { return };
        let act = self.on_timer.as_ref().unchecked_ref();
        let timer = scope.set_timeout_with_callback_and_timeout_and_arguments_1(act, 0, &number);
        let sent = self.wake.post_message(&number).is_ok();
        if !sent && timer.is_err() {
            return;
        }
        // What comes second is of a turn that is over.
        while take(&self.wakes).await < turn {}
        if let Ok(timer) = timer {
            scope.clear_timeout_with_handle(timer);
        }
    }

    fn now_ms(&self) -> f64 {
        self.clock.now()
    }

    fn fetch(&self, address: &str, key: Option<&str>, from: u64) -> Fetching {
        files::fetch(address, key, from)
    }

    fn kept(&self, key: &str) -> Waiting<'static, Option<Vec<u8>>> {
        files::kept(key)
    }

    fn keep(&self, key: &str, file: Option<&[u8]>) -> Waiting<'static, bool> {
        files::keep(key, file)
    }

    fn cores(&self) -> usize {
        scope().map_or(1, |scope| scope.navigator().hardware_concurrency() as usize)
    }

    /// Chromium alone tells it, rounded, and at most 8 GiB.
    fn memory(&self) -> Option<u64> {
        let memory = Reflect::get(&scope()?.navigator(), &"deviceMemory".into()).ok()?;
        Some((memory.as_f64()? * f64::from(1 << 30)) as u64)
    }

    fn spawn(&self) -> Option<Box<dyn WorkerHandle>> {
        Some(Box::new(SpawnedWorker::start()?))
    }

    fn after(&self, ms: u32) -> Waiting<'static, ()> {
        let passed = Promise::new(&mut |resolve, _| {
            if let Some(scope) = scope() {
                // Without a clock it is waited for ever.
                drop(scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms as i32));
            }
        });
        Box::pin(async move { drop(JsFuture::from(passed).await) })
    }
}

/// Sends an event to the page. What cannot be sent is said on the console: there is nobody else to tell.
pub(super) fn post(event: &Event) {
    let Some(scope) = scope() else { return };
    let sent = match wire::encode(event) {
        Ok(bytes) => {
            // The copy leaves this memory, so that it can be handed over without another one.
            let message = Uint8Array::from(bytes.as_slice());
            scope.post_message_with_transfer(&message, &js_sys::Array::of1(&message.buffer()))
        }
        Err(error) => Err(JsValue::from_str(&error.to_string())),
    };
    if let Err(error) = sent {
        wasm_bindgen::throw_val(error);
    }
}
