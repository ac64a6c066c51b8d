//! The page's end of the line to the workers: starts them, posts commands, hands on what they report.

mod error;
pub mod remote;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use js_sys::{Array, Function, Reflect, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ErrorEvent, MessageEvent, ReadableStreamDefaultReader, Response, Worker, WorkerOptions, WorkerType};

use super::reflect::{call, get};
use super::scene::{Field, Frame};
use super::state::{Page, Progress, start};
use super::trusted::script;
use super::{download, images, runs};
use crate::decimal::real;
use crate::lab::field;
use crate::offline::RELAXED_MODULE;
use crate::protocol::{Command, Event, Failure, FailureKind};
use crate::session::Action;
use crate::session::Slot;
use crate::wire;
use error::words;

/// Numbers of the clouds that are kept of one sampling run, 32 MB; longer runs keep every second frame.
const MOST_KEPT: usize = 8_000_000;
/// How long the browser may take to say whether there is a GPU.
const PATIENCE: Duration = Duration::from_secs(10);

/// What commands go to.
enum Line {
    /// A running worker and what listens to it.
    Worker { worker: Worker, _heard: Closure<dyn Fn(MessageEvent)>, _broken: Closure<dyn Fn(ErrorEvent)> },
    /// An engine on the machine that serves the page.
    Remote(remote::Connection),
}

thread_local! {
    static LINES: RefCell<[Option<Line>; Slot::ALL.len()]> = const { RefCell::new([const { None }; Slot::ALL.len()]) };
    /// Counts launches and terminations of each worker, so that a fetch that was overtaken starts nothing.
    static GENERATIONS: [Cell<u32>; Slot::ALL.len()] = const { [const { Cell::new(0) }; Slot::ALL.len()] };
}

thread_local! {
    /// The program of the CPU for this browser.
    static CPU: &'static str = if js_sys::WebAssembly::validate(&Uint8Array::from(&RELAXED_MODULE[..])).unwrap_or(false) {
        "worker_cpu_relaxed"
    } else {
        "worker_cpu"
    };
}

fn stem(slot: Slot) -> &'static str {
    match slot {
        Slot::Gpu => "worker_gpu",
        Slot::Study => "worker_study",
        _ => CPU.with(|stem| *stem),
    }
}

/// Connects the session to the workers.
pub fn connect(page: Page) {
    page.do_action.set_value(Some(act));
    page.tell(|_| {});
    // A worker ends with its page, an engine elsewhere when it is told.
    window_event_listener_untyped("pagehide", |_| {
        LINES.with(|lines| lines.borrow_mut()[Slot::Remote as usize].take());
    });
}

/// Asks the browser for a WebGPU adapter. By reflection: the typed interface is behind an unstable flag.
async fn has_adapter() -> bool {
    let adapter = call(&get(window().navigator().as_ref(), "gpu"), "requestAdapter", &JsValue::UNDEFINED);
    adapter.await.is_ok_and(|adapter| adapter.is_object())
}

fn generation(slot: Slot) -> u32 {
    GENERATIONS.with(|generations| generations[slot as usize].get())
}

fn next_turn(slot: Slot) -> u32 {
    GENERATIONS.with(|generations| {
        let next = generations[slot as usize].get() + 1;
        generations[slot as usize].set(next);
        next
    })
}

fn act(page: Page, action: Action) {
    match action {
        Action::Probe => {
            start(async move {
                let present = has_adapter().await;
                page.tell(|session| session.adapter(present));
            });
            // A browser that does not answer has none, until it does.
            let silent = move || {
                if page.session.with_untracked(|session| session.has_adapter().is_none()) {
                    page.tell(|session| session.adapter(false));
                }
            };
            set_timeout(silent, PATIENCE);
        }
        Action::Launch(Slot::Remote) => {
            next_turn(Slot::Remote);
            keep(
                Slot::Remote,
                Line::Remote(remote::Connection::open(page, |page, event| take(page, Slot::Remote, event))),
            );
        }
        Action::Launch(slot) => {
            let mine = next_turn(slot);
            start(async move {
                let fetched = fetch(page, slot).await;
                if generation(slot) != mine {
                    return;
                }
                if let Err(error) = fetched.and_then(|()| launch(page, slot)) {
                    page.tell(|session| session.crashed(slot, &words(&error)));
                }
            });
        }
        Action::Terminate(slot) => {
            next_turn(slot);
            // One of the other machine ends by being dropped.
            if let Some(Line::Worker { worker, .. }) = LINES.with(|lines| lines.borrow_mut()[slot as usize].take()) {
                worker.set_onmessage(None);
                worker.set_onerror(None);
                worker.terminate();
            }
        }
        Action::Post(slot, command) => {
            if let Err(error) = post(slot, &command) {
                page.tell(|session| session.crashed(slot, &words(&error)));
            }
        }
        Action::Deliver(file) => download::save("scorefield.safetensors", "application/octet-stream", &file.0),
    }
}

fn keep(slot: Slot, line: Line) {
    LINES.with(|lines| lines.borrow_mut()[slot as usize] = Some(line));
}

fn post(slot: Slot, command: &Command) -> Result<(), JsValue> {
    let bytes = wire::encode(command).map_err(|error| JsValue::from_str(&error.to_string()))?;
    LINES.with(|lines| match &lines.borrow()[slot as usize] {
        Some(Line::Worker { worker, .. }) => {
            let message = Uint8Array::from(bytes.as_slice());
            worker.post_message_with_transfer(&message, &js_sys::Array::of1(&message.buffer()))
        }
        Some(Line::Remote(line)) => {
            line.post(command, bytes);
            Ok(())
        }
        None => Err(JsValue::from_str("the worker is gone")),
    })
}

/// Fetches the worker's program, telling how far it is; the worker then has it from the browser's cache.
async fn fetch(page: Page, slot: Slot) -> Result<(), JsValue> {
    let address = format!("./{}_bg.wasm", stem(slot));
    let response: Response = JsFuture::from(window().fetch_with_str(&address)).await?.dyn_into()?;
    if !response.ok() {
        return Err(JsValue::from_str(&format!("{address}: {}", response.status())));
    }
    let length = response.headers().get("content-length")?.and_then(|l| real(&l));
    let Some(body) = response.body() else { return Ok(()) };
    let reader: ReadableStreamDefaultReader = body.get_reader().dyn_into()?;
    let (mut received, mut told) = (0.0, 0.0);
    loop {
        let chunk = JsFuture::from(reader.read()).await?;
        if Reflect::get(&chunk, &"done".into())?.is_truthy() {
            return Ok(());
        }
        let bytes: Uint8Array = Reflect::get(&chunk, &"value".into())?.dyn_into()?;
        received += f64::from(bytes.length());
        // The length is that of the compressed file, so the share is a lower bound of the truth only sometimes.
        let share = length.filter(|&l| l > 0.0).map_or(0.0, |l| (received / l).min(1.0));
        if share - told >= 0.02 {
            told = share;
            page.tell(|session| session.progress(slot, share));
        }
    }
}

fn launch(page: Page, slot: Slot) -> Result<(), JsValue> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let address = script(&format!("./{}_loader.js", stem(slot)));
    // By name, for its constructor takes a trusted address as well as a text.
    let constructor: Function = get(&js_sys::global(), "Worker").dyn_into()?;
    let worker: Worker = Reflect::construct(&constructor, &Array::of2(&address, &options))?.unchecked_into();
    let heard = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
        // What is no byte array becomes an empty one: a worker of another build.
        let bytes = message.data().dyn_into::<Uint8Array>().map(|b| b.to_vec()).unwrap_or_default();
        let event = wire::decode(&bytes).unwrap_or_else(|e| Event::Failed { run: None, failure: e.into() });
        take(page, slot, event);
    });
    let broken = Closure::<dyn Fn(ErrorEvent)>::new(move |event: ErrorEvent| {
        event.prevent_default();
        // A script that cannot be fetched makes an event without a message.
        let message = Reflect::get(&event, &"message".into()).ok().and_then(|m| m.as_string());
        let message = message.unwrap_or_else(|| format!("{} does not start", stem(slot)));
        page.tell(|session| session.crashed(slot, &message));
    });
    worker.set_onmessage(Some(heard.as_ref().unchecked_ref()));
    worker.set_onerror(Some(broken.as_ref().unchecked_ref()));
    keep(slot, Line::Worker { worker, _heard: heard, _broken: broken });
    Ok(())
}

fn take(page: Page, slot: Slot, event: Event) {
    let mut current = false;
    page.tell(|session| current = session.receive(slot, &event));
    if current {
        runs::follow(page, &event);
        show(page, event);
    }
    if page.session.with_untracked(crate::session::Session::wants_comparison) {
        let config = page.config.get_untracked();
        page.tell(|session| session.compare(&config));
    }
}

fn show(page: Page, event: Event) {
    match event {
        Event::Training { step, of, losses, rate, .. } => {
            page.losses.update(|all| all.extend_from_slice(&losses.0));
            page.progress.set(Progress { step, of, rate });
        }
        Event::Frame { t, evaluations, points, expected, step, .. } => {
            page.evaluations.set(Some(evaluations));
            page.scene.update_value(|scene| {
                if step == 0 {
                    scene.frames.clear();
                }
                scene.frames.push(Frame { t, points, expected });
                let size = scene.frames.first().map_or(1, |f| 2 * f.points.0.len().max(1));
                if scene.frames.len() > (MOST_KEPT / size).max(32) {
                    let mut index = 0;
                    scene.frames.retain(|_| {
                        index += 1;
                        index % 2 == 1
                    });
                }
            });
            let count = page.scene.with_value(|scene| scene.frames.len());
            page.frames.update(|(all, index)| {
                *all = count;
                *index = (*index).min(count - 1);
            });
        }
        Event::Preview { points, .. } => {
            page.scene.update_value(|scene| scene.preview = Some(points));
            page.paint();
        }
        Event::Quality { step, quality, .. } => page.quality.update(|all| {
            // Sampling again, or with the closed form, is no progress of the training: the latest replaces the last.
            if all.last().is_some_and(|&(last, _)| last >= step) {
                all.pop();
            }
            all.push((step, quality));
        }),
        Event::Report { report, .. } => {
            page.progress.set(Progress { step: report.done, of: report.of, rate: 0.0 });
            if !report.rows.is_empty() {
                page.reports.update(|all| {
                    let place = report.subject as usize;
                    all[place] = Some(report);
                });
            }
        }
        Event::Loaded { config, .. } => {
            let device = page.config.with_untracked(|c| c.device);
            let mut config = config;
            if let Some(known) = field("device") {
                known.set_text(&mut config, device.id());
            }
            page.config.set(config);
            page.forget(true);
            page.file_notice.set("file.weights-taken");
        }
        Event::Field { side, score, .. } => {
            page.scene.update_value(|scene| scene.field = Some(Field { side, score }));
            page.paint();
        }
        Event::Study { update, .. } => {
            page.progress.set(Progress { step: update.step, of: update.of, rate: 0.0 });
            page.told.take(update);
        }
        Event::Images(event) => images::show(page, event),
        Event::Failed { failure: Failure { kind: FailureKind::BadFile, .. }, .. } => page.file_notice.set(""),
        _ => {}
    }
}
