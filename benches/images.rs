//! Speed of images in a browser: the shipped network on the CPU worker, alone and with those that it hires, against
//! onnxruntime-web, WebAssembly with SIMD on one thread and on as many as there are cores, in one page and in alternating
//! rounds. The page is cross-origin isolated, for the peer's threads share memory; ours need none. It needs dist/ with the CPU worker, npm, and python3 with venv
//! (onnx_graph.py writes the same network as an ONNX graph):
//!
//!     cargo bench --profile dev --features e2e --bench images

#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use scorefield::lab::{RunConfig, SolverId};
use scorefield::protocol::images::{ImageBenchmark, ImageCommand, ImageEvent, WeightsSource};
use scorefield::protocol::{Command, Event, RunId};
use scorefield::serve::Server;
use scorefield::wire::{decode, encode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::{env, fs};
use webdriver::{Browser, arguments};

/// Version of the peer.
const PEER: &str = "1.30.0";
/// What onnx_graph.py needs.
const PYTHON: [&str; 3] = ["onnx==1.23.2", "numpy==2.4.6", "safetensors==0.8.0"];
/// The weights.
const SET: &str = "preview-32";
/// Images of an evaluation.
const BATCHES: [u32; 3] = [1, 4, 16];
/// Rounds of each.
const ROUNDS: usize = 5;
/// What makes a page cross-origin isolated.
const ISOLATED: [(&str, &str); 2] =
    [("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Embedder-Policy", "require-corp")];
/// Evaluations of a run.
const EVALUATIONS: u32 = 20;
/// Time of a round for each batch, in milliseconds.
const BUDGET: f64 = 1500.0;

/// Starts both, and keeps our worker's messages.
const START: &str = "
const done = arguments[0];
(async () => {
  globalThis.letters = [];
  globalThis.worker = new Worker('worker_cpu_loader.js', { type: 'module' });
  globalThis.next = () => new Promise(r => { globalThis.waiting = r; globalThis.look(); });
  globalThis.look = () => {
    if (globalThis.waiting && letters.length) { const r = waiting; globalThis.waiting = null; r(letters.shift()); }
  };
  worker.onmessage = ({ data }) => { letters.push(Array.from(data)); look(); };
  const at = name => new URL(name, location).href;
  if (!crossOriginIsolated) throw new Error('the page is not isolated');
  // One instance for each number of threads.
  globalThis.peers = [];
  for (const threads of [1, navigator.hardwareConcurrency]) {
    const ort = await import('./ort.js?' + threads);
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { mjs: at('ort-wasm.js?' + threads), wasm: at('ort-wasm.wasm') };
    const peer = await ort.InferenceSession.create('./network.onnx', { executionProviders: ['wasm'] });
    peers.push([ort, peer]);
  }
  return await next();
})().then(done, e => done(String(e)));";

/// Says something to our worker, or nothing, and gives its next message.
const ASK: &str = "
const [command, done] = arguments;
if (command) worker.postMessage(Uint8Array.from(command));
next().then(done);";

/// Times the peer.
const THEIRS: &str = "
const [which, batch, budget, done] = arguments;
(async () => {
  const [ort, peer] = peers[which];
  const x = new ort.Tensor('float32', Float32Array.from({ length: batch * 3072 }, () => Math.random() * 4 - 2), [batch, 3, 32, 32]);
  const time = new ort.Tensor('float32', Float32Array.of(400), [1]);
  const times = [], start = performance.now();
  for (let i = 0; i < 2; i++) await peer.run({ x, time });
  while (times.length < 3 || performance.now() - start < budget) {
    const begin = performance.now();
    const { y } = await peer.run({ x, time });
    y.data[0];
    times.push(performance.now() - begin);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1];
})().then(done, e => done(String(e)));";

fn run(program: &str, change: impl FnOnce(&mut Process) -> &mut Process) {
    let mut process = Process::new(program);
    let status = change(&mut process).status().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    assert!(status.success(), "{program} failed");
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// One folder with our worker, the weights, and the peer with its graph.
fn install() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = env::temp_dir().join("scorefield-peer-images");
    let weights = folder.join("weights").join(SET);
    fs::create_dir_all(&weights).expect("a folder");
    let peer = folder.join("node_modules/onnxruntime-web");
    if !peer.exists() {
        let package = format!("onnxruntime-web@{PEER}");
        run("npm", |npm| {
            npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(package)
        });
    }
    let graph = folder.join("network.onnx");
    if !graph.exists() {
        let venv = folder.join("venv");
        run("python3", |python| python.args(["-m", "venv"]).arg(&venv));
        run(&venv.join("bin/pip").to_string_lossy(), |pip| pip.args(["install", "--quiet"]).args(PYTHON));
        let set = root.join("web/weights").join(SET);
        run(&venv.join("bin/python").to_string_lossy(), |python| {
            python.arg(root.join("benches/onnx_graph.py")).arg(set).arg(&graph)
        });
    }
    // Under names whose type the server knows.
    let renamed = [
        ("ort.wasm.min.mjs", "ort.js"),
        ("ort-wasm-simd-threaded.mjs", "ort-wasm.js"),
        ("ort-wasm-simd-threaded.wasm", "ort-wasm.wasm"),
    ];
    for (name, known) in renamed {
        copy(&peer.join("dist").join(name), &folder.join(known));
    }
    for name in ["worker_cpu_loader.js", "worker_cpu.js", "worker_cpu_bg.wasm"] {
        copy(&root.join("dist").join(name), &folder.join(name));
    }
    copy(&root.join("web/weights/index.json"), &folder.join("weights/index.json"));
    for entry in fs::read_dir(root.join("web/weights").join(SET)).expect("the weights").filter_map(Result::ok) {
        copy(&entry.path(), &weights.join(entry.file_name()));
    }
    fs::write(folder.join("index.html"), "<!DOCTYPE html>").expect("a page");
    folder
}

fn event(message: &Value) -> Event {
    let bytes: Option<Vec<u8>> = message.as_array().map(|a| a.iter().map(|b| b.as_u64().unwrap_or(0) as u8).collect());
    let bytes = bytes.unwrap_or_else(|| panic!("no message: {message}"));
    decode(&bytes).unwrap_or_else(|error| panic!("{error}: run make dist"))
}

/// Says something to our worker and gives what `wanted` finds in its messages.
fn ask<T>(browser: &Browser, command: Command, wanted: impl Fn(Event) -> Option<T>) -> T {
    let mut said = json!(encode(&command).expect("bytes"));
    loop {
        let message = event(&browser.script_async(ASK, &[said]));
        if let Event::Failed { failure, .. } = &message {
            panic!("the worker failed: {failure:?}");
        }
        if let Some(found) = wanted(message) {
            return found;
        }
        said = Value::Null;
    }
}

/// Milliseconds that a run takes which keeps at most so many cores busy.
fn run_on(browser: &Browser, most: u32) -> f64 {
    let cores = encode(&Command::Images(ImageCommand::Cores { most })).expect("bytes");
    browser.script("worker.postMessage(Uint8Array.from(arguments[0]));", &[json!(cores)]);
    let config = RunConfig { images: 16, steps: EVALUATIONS, solver: SolverId::Ddim, ..RunConfig::of_images() };
    ask(browser, Command::Sample { run: RunId(3), config }, |event| match event {
        Event::Done { millis, .. } => Some(millis),
        _ => None,
    })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() {
    let server = Server::start_with(&install(), "", 0, &ISOLATED).expect("a free port");
    let browser = Browser::start(&arguments());
    browser.goto(&format!("http://{}/", server.address()));
    let cores = browser.script("return navigator.hardwareConcurrency;", &[]);
    let ready = browser.script_async(START, &[]);
    assert!(matches!(event(&ready), Event::Ready { .. }), "{ready}");
    let load = ImageCommand::Load { run: RunId(1), source: WeightsSource::Set { id: SET.to_owned() } };
    ask(&browser, Command::Images(load), |event| match event {
        Event::Images(ImageEvent::Loaded { .. }) => Some(()),
        Event::Images(ImageEvent::Refused { refusal, .. }) => panic!("{refusal:?}"),
        _ => None,
    });
    // Ours alone and together, theirs with one thread and with all.
    let mut times = vec![vec![Vec::new(); BATCHES.len()]; 4];
    let mut gflop = 0.0;
    for round in 1..=ROUNDS {
        for (index, &batch) in BATCHES.iter().enumerate() {
            let command = ImageCommand::Benchmark { run: RunId(2), batches: vec![batch], budget_ms: BUDGET };
            let found: ImageBenchmark = ask(&browser, Command::Images(command), |event| match event {
                Event::Images(ImageEvent::Benchmark { benchmark, complete: true, .. }) => Some(benchmark),
                _ => None,
            });
            gflop = found.gflop;
            let peer = |which: u32| {
                let answer = browser.script_async(THEIRS, &[json!(which), json!(batch), json!(BUDGET)]);
                answer.as_f64().unwrap_or_else(|| panic!("the peer failed: {answer}"))
            };
            let row = found.rows[0];
            let now = [row.evaluation_ms, row.together_ms, peer(0), peer(1)];
            for (all, now) in times.iter_mut().zip(now) {
                all[index].push(now);
            }
            eprintln!("round {round}, {batch} images: {now:.1?} ms");
        }
    }
    // A run evaluates images one by one, so that it can be stopped at any of them.
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (times, most) in runs.iter_mut().zip([1, u32::MAX]) {
            times.push(run_on(&browser, most));
        }
        eprintln!("a run: {:.0?} ms", runs.each_ref().map(|times| times[times.len() - 1]));
    }
    println!(
        "\n{SET}, {gflop:.2} GFLOP an image; milliseconds an evaluation, medians of {ROUNDS} rounds, {cores} cores"
    );
    println!("| images | scorefield | with a pool | onnxruntime-web {PEER} | with threads |\n|---|---|---|---|---|");
    for (index, batch) in BATCHES.iter().enumerate() {
        let medians: Vec<String> = times.iter().map(|all| format!("{:.1}", median(&all[index]))).collect();
        println!("| {batch} | {} |", medians.join(" | "));
    }
    let [alone, together] = runs.each_ref().map(|times| 16e3 / median(times));
    println!(
        "a run of 16 images, {EVALUATIONS} evaluations: {alone:.2} images a second alone, {together:.2} on all cores"
    );
    println!("{}", json!({ "runs": runs, "batches": BATCHES, "scorefield": times[..2], "onnxruntime": times[2..] }));
}
