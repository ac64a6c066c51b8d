//! The worker's end of `postMessage`, in a worker of a real browser.
#![cfg(target_arch = "wasm32")]

#[path = "support/reproduce.rs"]
mod reproduce;

use std::cell::Cell;
use std::rc::Rc;

use scorefield::engine::inbox::Inbox;
use scorefield::engine::{Port, images};
use scorefield::lab::{DeviceChoice, RunConfig};
use scorefield::nn::device::open;
use scorefield::protocol::Command;
use scorefield::wire;
use scorefield::worker::BrowserPort;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, MessageEventInit};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// Lets a message arrive as if the page had sent it.
fn arrive(message: &JsValue) {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let parts = MessageEventInit::new();
    parts.set_data(message);
    let event = MessageEvent::new_with_event_init_dict("message", &parts).expect("an event");
    scope.dispatch_event(&event).expect("dispatched");
}

fn as_sent(command: &Command) -> JsValue {
    js_sys::Uint8Array::from(wire::encode(command).expect("a command can be sent").as_slice()).into()
}

#[wasm_bindgen_test]
async fn commands_arrive_in_order_and_what_cannot_be_read_does_no_harm() {
    let mut port = BrowserPort::open().expect("this is a worker");
    assert_eq!(port.try_recv(), None);
    arrive(&as_sent(&Command::Pause));
    arrive(&JsValue::from_str("no such command"));
    arrive(&JsValue::from_f64(3.0));
    arrive(&as_sent(&Command::Stop));
    assert_eq!(port.try_recv(), Some(Command::Pause));
    assert_eq!(port.recv().await, Command::Stop);
    assert_eq!(port.try_recv(), None);
}

#[wasm_bindgen_test]
async fn waiting_ends_when_a_command_arrives() {
    let mut port = BrowserPort::open().expect("this is a worker");
    spawn_local(async { arrive(&as_sent(&Command::Resume)) });
    assert_eq!(port.recv().await, Command::Resume);
}

#[wasm_bindgen_test]
async fn yielding_lets_other_tasks_run_and_time_does_not_go_back() {
    let port = BrowserPort::open().expect("this is a worker");
    let begin = port.now_ms();
    let ran = Rc::new(Cell::new(0));
    for turn in 1..=100 {
        let there = Rc::clone(&ran);
        spawn_local(async move { there.set(there.get() + 1) });
        port.yield_now().await;
        assert_eq!(ran.get(), turn);
    }
    assert!(port.now_ms() >= begin);
}

#[wasm_bindgen_test]
async fn this_device_computes_what_diffusers_computed() {
    let mut port = BrowserPort::open().expect("this is a worker");
    let compute = open(DeviceChoice::Cpu).await.expect("this worker has the CPU");
    let report = images::self_test::self_test(&compute, &mut Inbox::new(&mut port)).await.expect("it computes");
    let report = report.expect("nobody ends it");
    assert_eq!(report.cases.len(), 6);
    assert!(report.passed(), "{report:?}");
}

/// Bytes of this program's memory. It never shrinks.
fn memory() -> usize {
    core::arch::wasm32::memory_size(0) << 16
}

#[wasm_bindgen_test]
async fn two_hundred_runs_of_images_take_no_more_memory_than_ten() {
    let compute = open(DeviceChoice::Cpu).await.expect("this worker has the CPU");
    let model = images::self_test::model(&compute).expect("a network");
    let config = RunConfig::of_images();
    let run = async |seed| {
        let config = RunConfig { images: 1, steps: 2, seed, ..config.clone() };
        let pictures = images::sample(&config, &model, &compute, &mut ()).await.expect("it computes");
        pictures.expect("nobody ends it").values().await.expect("numbers");
    };
    for seed in 0..10 {
        run(seed).await;
    }
    let before = memory();
    for seed in 10..210 {
        run(seed).await;
    }
    assert_eq!(memory(), before);
}

#[wasm_bindgen_test]
async fn a_file_is_read_in_pieces_kept_and_forgotten() {
    let port = BrowserPort::open().expect("this is a worker");
    let text = "data:text/plain,0123456789";
    let mut whole = Vec::new();
    let mut download = port.fetch(text, Some("a-key"), 0).await.expect("there is such a file");
    assert!(!download.is_kept());
    while let Some(piece) = download.piece().await.expect("it can be read") {
        whole.extend(piece);
    }
    assert_eq!(whole, b"0123456789");
    if port.keep("a-key", Some(&whole)).await {
        let mut download = port.fetch("no such address", Some("a-key"), 0).await.expect("it was kept");
        assert!(download.is_kept());
        assert_eq!(download.piece().await.expect("it can be read"), Some(whole));
        assert!(port.keep("a-key", None).await);
    }
    assert!(port.fetch("./nothing-is-here", Some("a-key"), 0).await.is_err());
}

#[wasm_bindgen_test]
fn draws_weights_and_batches_are_those_of_the_native_build() {
    assert_eq!(reproduce::differences(), Vec::<String>::new());
}

#[wasm_bindgen_test]
async fn a_message_of_another_build_is_no_command() {
    let mut port = BrowserPort::open().expect("this is a worker");
    let mut bytes = wire::encode(&Command::Stop).expect("bytes");
    bytes[0] ^= 1;
    arrive(&js_sys::Uint8Array::from(bytes.as_slice()).into());
    arrive(&as_sent(&Command::Pause));
    assert_eq!(port.recv().await, Command::Pause);
    assert_eq!(port.try_recv(), None);
}
