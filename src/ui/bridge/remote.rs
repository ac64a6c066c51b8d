//! The line to an engine on the machine that serves the page: what goes to a worker by `postMessage` goes there by HTTP.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{JsString, Promise, Uint8Array};
use leptos::prelude::{document, window};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Headers, RequestInit, Response, UrlSearchParams};

use super::error::words;
use crate::protocol::images::{ImageCommand, ImageEvent, NamedAddress, NamedBytes, Refusal, WeightsSource};
use crate::protocol::remote::{ASK, END, META, OPEN, POLL, SEND, messages};
use crate::protocol::{Bytes, Command, Event, Failure, FailureKind, RunId};
use crate::session::Slot;
use crate::ui::state::{Page, start};
use crate::wire;

/// Whether the machine that serves the page says that it computes.
#[must_use]
pub fn is_offered() -> bool {
    document().query_selector(&format!("meta[name={META}]")).is_ok_and(|found| found.is_some())
}

/// What gets every event of an engine.
pub type Take = fn(Page, Event);

/// A line. The engine at its other end ends when this is dropped.
pub struct Connection(Rc<Shared>);

struct Shared {
    page: Page,
    take: Take,
    /// Gives up what is asked when the line ends.
    control: Option<AbortController>,
    /// The engine's name, empty until it has one.
    name: RefCell<String>,
    /// What waits until all before it has arrived: requests overtake each other.
    waiting: RefCell<VecDeque<Letter>>,
    sending: Cell<bool>,
}

enum Letter {
    Message(Vec<u8>),
    /// Files of the visitor's, which the other machine cannot read where they lie: they are sent.
    Files {
        run: RunId,
        files: Vec<NamedAddress>,
    },
}

impl Connection {
    /// A line to a new engine, whose events `take` gets from now on.
    #[must_use]
    pub fn open(page: Page, take: Take) -> Self {
        let shared = Rc::new(Shared {
            page,
            take,
            control: AbortController::new().ok(),
            name: RefCell::default(),
            waiting: RefCell::default(),
            sending: Cell::new(false),
        });
        let hearing = Rc::clone(&shared);
        start(async move {
            let ended = hearing.follow().await;
            hearing.tell(ended);
        });
        Self(shared)
    }

    /// Posts a command, which has these bytes, after those before it.
    pub fn post(&self, command: &Command, bytes: Vec<u8>) {
        let letter = match command {
            Command::Images(ImageCommand::Load { run, source: WeightsSource::Addresses(files) })
                if files.iter().all(|file| file.address.starts_with("blob:")) =>
            {
                Letter::Files { run: *run, files: files.clone() }
            }
            _ => Letter::Message(bytes),
        };
        self.0.waiting.borrow_mut().push_back(letter);
        if !self.0.sending.replace(true) {
            let shared = Rc::clone(&self.0);
            start(async move {
                let sent = shared.send().await;
                shared.sending.set(false);
                shared.tell(sent);
            });
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(control) = &self.0.control {
            control.abort();
        }
        if !self.0.name.borrow().is_empty() {
            let end = self.0.address(END);
            // Whether it arrives or not: a page that is silent is forgotten, only later.
            drop(ask(&end, None, None));
        }
    }
}

impl Shared {
    fn address(&self, what: &str) -> String {
        format!("./{what}?{}", self.name.borrow())
    }

    /// Says why the line is at its end, unless it was ended here.
    fn tell(&self, ended: Result<(), Failure>) {
        let Err(failure) = ended else { return };
        if self.control.as_ref().is_some_and(|control| control.signal().aborted()) {
            return;
        }
        // An engine that gives up says why before it ends, and that is what the visitor has to know.
        let known = self.page.session.get_untracked().failure().map(|failure| failure.kind);
        if matches!(known, Some(FailureKind::OutOfMemory | FailureKind::Internal)) {
            self.page.tell(|session| session.crashed(Slot::Remote, &failure.detail));
        } else {
            (self.take)(self.page, Event::Failed { run: None, failure });
        }
    }

    async fn ask(&self, what: &str, body: Option<&[u8]>) -> Result<Uint8Array, Failure> {
        let answer = request(&self.address(what), body, self.control.as_ref()).await;
        let fail = |kind, detail| Failure { kind, detail };
        let (status, content) = answer.map_err(|error| fail(FailureKind::Disconnected, words(&error)))?;
        let text = || String::from_utf8_lossy(&content.to_vec()).into_owned();
        match status {
            200 => Ok(content),
            409 => Err(fail(FailureKind::Outdated, text())),
            _ => Err(fail(FailureKind::Disconnected, text())),
        }
    }

    /// Hands the engine's events on as long as there is one.
    async fn follow(&self) -> Result<(), Failure> {
        if !is_offered() {
            let detail = "this page does not come from a machine that computes".to_owned();
            return Err(Failure { kind: FailureKind::NoDevice, detail });
        }
        let name = self.ask(OPEN, None).await?;
        *self.name.borrow_mut() = String::from_utf8_lossy(&name.to_vec()).into_owned();
        loop {
            let frame = self.ask(POLL, None).await?.to_vec();
            for message in messages(&frame) {
                let event = wire::decode(message);
                let event = event.unwrap_or_else(|error| Event::Failed { run: None, failure: error.into() });
                if self.control.as_ref().is_some_and(|control| control.signal().aborted()) {
                    return Ok(());
                }
                (self.take)(self.page, event);
            }
        }
    }

    /// Sends what waits.
    async fn send(&self) -> Result<(), Failure> {
        loop {
            let Some(letter) = self.waiting.borrow_mut().pop_front() else { return Ok(()) };
            let bytes = match letter {
                Letter::Message(bytes) => bytes,
                Letter::Files { run, files } => match self.files(run, files).await {
                    Some(bytes) => bytes,
                    None => continue,
                },
            };
            self.ask(SEND, Some(&bytes)).await?;
        }
    }

    /// The command that brings files of the visitor's; none when one cannot be read.
    async fn files(&self, run: RunId, files: Vec<NamedAddress>) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        for NamedAddress { name, address } in files {
            let read = async {
                let response: Response = JsFuture::from(window().fetch_with_str(&address)).await?.dyn_into()?;
                JsFuture::from(response.array_buffer()?).await
            };
            let read: Result<JsValue, JsValue> = read.await;
            match read {
                Ok(content) => found.push(NamedBytes { name, file: Bytes(Uint8Array::new(&content).to_vec()) }),
                Err(error) => {
                    let refusal = Refusal { file: name, findings: vec![words(&error)], ..Refusal::default() };
                    (self.take)(self.page, Event::Images(ImageEvent::Refused { run, refusal }));
                    return None;
                }
            }
        }
        wire::encode(&Command::Images(ImageCommand::Load { run, source: WeightsSource::Files(found) })).ok()
    }
}

/// Asks the machine that serves the page; its answer's status and content.
async fn request(
    address: &str,
    body: Option<&[u8]>,
    control: Option<&AbortController>,
) -> Result<(u16, Uint8Array), JsValue> {
    let response: Response = JsFuture::from(ask(address, body, control)?).await?.dyn_into()?;
    let content = JsFuture::from(response.array_buffer()?).await?;
    Ok((response.status(), Uint8Array::new(&content)))
}

/// Asks; what cannot be given up by `control` is asked even if the page goes.
fn ask(address: &str, body: Option<&[u8]>, control: Option<&AbortController>) -> Result<Promise, JsValue> {
    let query = window().location().search()?;
    let token = UrlSearchParams::new_with_str(&query)?.get("token").unwrap_or_else(|| "1".to_owned());
    let headers = Headers::new()?;
    headers.append(ASK, &token)?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_signal(control.map(AbortController::signal).as_ref());
    init.set_body(&body.map_or_else(|| JsString::from("").into(), |body| Uint8Array::from(body).into()));
    js_sys::Reflect::set(&init, &"keepalive".into(), &control.is_none().into())?;
    Ok(window().fetch_with_str_and_init(address, &init))
}
