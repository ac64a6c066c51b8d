//! Speed of images in a browser: the shipped network on the CPU worker, alone and with those that it hires, against
//! onnxruntime-web, WebAssembly with SIMD on one thread and on as many as there are cores, in one page and in alternating
//! rounds. The page is cross-origin isolated, for the peer's threads share memory; ours need none. It needs dist/ with the CPU worker, npm, and python3 with venv
//! (onnx_graph.py writes the same network as an ONNX graph); with `ncsnpp` of an NCSN++ of random numbers (ncsnpp_set.py). Before
//! anything is timed, both evaluate the same noise, and what they make of it must be the same picture:
//!
//!     cargo bench --profile dev --features e2e --bench images
//!     cargo bench --profile dev --features e2e --bench images -- ncsnpp
//!     cargo bench --profile dev --features e2e --bench images -- plain     # as browsers without relaxed vector instructions
//!     cargo bench --profile dev --features e2e --bench images -- webgpu    # both on the adapter of the machine, or SwiftShader

#[path = "support/median.rs"]
mod median;
#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use median::median;
use scorefield::diffusion::convention::{InputScale, TimeConvention};
use scorefield::diffusion::prediction::canonical;
use scorefield::diffusion::{Prediction, Schedule};
use scorefield::lab::images::seed_of;
use scorefield::lab::{ClassChoice, RunConfig, SolverId};
use scorefield::protocol::images::{ImageBenchmark, ImageCommand, ImageEvent, WeightsSource};
use scorefield::protocol::{Command, Event, RunId};
use scorefield::rng::{Rng, Stream};
use scorefield::serve::Server;
use scorefield::wire::{decode, encode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::{env, fs};
use webdriver::{Browser, arguments};

/// Version of the peer.
const PEER: &str = "1.30.0";
/// What onnx_graph.py needs.
const PYTHON: [&str; 3] = ["onnx==1.23.2", "numpy==2.4.6", "safetensors==0.8.0"];
/// The weights of the page.
const SHIPPED: &str = "cifar-32";
/// Those that ncsnpp_set.py makes, and what asks for them.
const MADE: (&str, &str) = ("ncsnpp-32", "ncsnpp");
/// Height, width and channels of an image.
const SIDE: usize = 32;
const CHANNELS: usize = 3;
/// Images of an evaluation.
const BATCHES: [u32; 3] = [1, 4, 16];
/// Rounds of each.
const ROUNDS: usize = 5;
/// What asks for the worker of browsers without relaxed vector instructions.
const PLAIN: &str = "plain";
/// What asks for WebGPU, ours and theirs.
const WEBGPU: &str = "webgpu";
/// What makes a page cross-origin isolated.
const ISOLATED: [(&str, &str); 2] =
    [("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Embedder-Policy", "require-corp")];
/// Evaluations of a run.
const EVALUATIONS: u32 = 20;
/// Runs that are timed on one core and on all: what they are, images, guidance.
const RUNS: [(&str, u32, f64); 3] = [("16 images", 16, 1.0), ("1 image", 1, 1.0), ("1 image with guidance 2", 1, 2.0)];
/// Time of a round for each batch, in milliseconds.
const BUDGET: f64 = 1500.0;

/// Starts both, and keeps our worker's messages.
const START: &str = "
const [graph, ours, provider, done] = arguments;
(async () => {
  globalThis.letters = [];
  globalThis.worker = new Worker(ours, { type: 'module' });
  globalThis.next = () => new Promise(r => { globalThis.waiting = r; globalThis.look(); });
  globalThis.look = () => {
    if (globalThis.waiting && letters.length) { const r = waiting; globalThis.waiting = null; r(letters.shift()); }
  };
  worker.onmessage = ({ data }) => { letters.push(Array.from(data)); look(); };
  const at = name => new URL(name, location).href;
  if (!crossOriginIsolated) throw new Error('the page is not isolated');
  // One instance for each number of threads, of which WebGPU has no use.
  globalThis.peers = [];
  for (const threads of provider === 'webgpu' ? [1] : [1, navigator.hardwareConcurrency]) {
    const ort = await import('./ort.js?' + threads);
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { mjs: at('ort-wasm.js?' + threads), wasm: at('ort-wasm.wasm') };
    const peer = await ort.InferenceSession.create('./' + graph, { executionProviders: [provider] });
    peers.push([ort, peer]);
  }
  return await next();
})().then(done, e => done(String(e)));";

/// Says something to our worker, or nothing, and gives its next message.
const ASK: &str = "
const [command, done] = arguments;
if (command) worker.postMessage(Uint8Array.from(command));
next().then(done);";

/// What the peer makes of these images at this time.
const EVALUATE: &str = "
const [numbers, images, at, done] = arguments;
(async () => {
  const [ort, peer] = peers[0];
  const x = new ort.Tensor('float32', Float32Array.from(numbers), [images, 3, 32, 32]);
  const { y } = await peer.run({ x, time: new ort.Tensor('float32', Float32Array.of(at), [1]) });
  return Array.from(y.data);
})().then(done, e => done(String(e)));";

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

/// What it takes to share one evaluation: a worker hires another, as ours do, sends it this many numbers and has as many back,
/// each side copying them once, as a network does that keeps its activations. Milliseconds of a message there and back, the median.
const MESSAGES: &str = "
const [numbers, count, done] = arguments;
const hired = `onmessage = ({ data }) => { const own = data.slice(); postMessage(own, [own.buffer]); };`;
const hires = `onmessage = async ({ data: [address, numbers, count] }) => {
  const other = new Worker(address), times = [];
  for (let i = 0; i < count; i++) {
    const begin = performance.now(), part = new Float32Array(numbers);
    const back = new Promise(resolve => { other.onmessage = ({ data }) => resolve(data); });
    other.postMessage(part, [part.buffer]);
    if ((await back).length !== numbers) throw new Error('another message');
    times.push(performance.now() - begin);
  }
  other.terminate();
  postMessage(times.sort((a, b) => a - b)[count >> 1]);
};`;
const address = text => URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
const worker = new Worker(address(hires));
worker.onerror = e => done(e.message);
worker.onmessage = ({ data }) => { worker.terminate(); done(data); };
worker.postMessage([address(hired), numbers, count]);";
/// Numbers of a message: nothing but the message; half of the image at 32 by 32 pixels in 32 channels; the row of it that
/// a convolution of the other half reads.
const PARTS: [(&str, usize); 3] = [("nothing", 1), ("half of 32 channels", 16 * 1024), ("a row of 32 channels", 1024)];

fn run(program: &str, change: impl FnOnce(&mut Process) -> &mut Process) {
    let mut process = Process::new(program);
    let status = change(&mut process).status().unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    assert!(status.success(), "{program} failed");
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// The interpreter with what the scripts need.
fn python(folder: &Path) -> String {
    let venv = folder.join("venv");
    if !venv.exists() {
        run("python3", |python| python.args(["-m", "venv"]).arg(&venv));
        run(&venv.join("bin/pip").to_string_lossy(), |pip| pip.args(["install", "--quiet"]).args(PYTHON));
    }
    venv.join("bin/python").to_string_lossy().into_owned()
}

/// One folder with our worker, the weights, and the peer with its graph.
fn install(set: &str, worker: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = env::temp_dir().join("scorefield-peer-images");
    let weights = folder.join("weights").join(set);
    fs::create_dir_all(&weights).expect("a folder");
    let peer = folder.join("node_modules/onnxruntime-web");
    if !peer.exists() {
        let package = format!("onnxruntime-web@{PEER}");
        run("npm", |npm| {
            npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(package)
        });
    }
    let python = python(&folder);
    if set == SHIPPED {
        for entry in fs::read_dir(root.join("web/weights").join(set)).expect("the weights").filter_map(Result::ok) {
            copy(&entry.path(), &weights.join(entry.file_name()));
        }
    } else {
        run(&python, |python| python.arg(root.join("benches/ncsnpp_set.py")).arg(&weights));
    }
    run(&python, |python| python.arg(root.join("benches/onnx_graph.py")).arg(&weights).arg(folder.join(graph(set))));
    // Under names whose type the server knows.
    let renamed = if worker == "worker_gpu" {
        [
            ("ort.webgpu.min.mjs", "ort.js"),
            ("ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm.js"),
            ("ort-wasm-simd-threaded.asyncify.wasm", "ort-wasm.wasm"),
        ]
    } else {
        [
            ("ort.wasm.min.mjs", "ort.js"),
            ("ort-wasm-simd-threaded.mjs", "ort-wasm.js"),
            ("ort-wasm-simd-threaded.wasm", "ort-wasm.wasm"),
        ]
    };
    for (name, known) in renamed {
        copy(&peer.join("dist").join(name), &folder.join(known));
    }
    for rest in ["_loader.js", ".js", "_bg.wasm"] {
        let name = format!("{worker}{rest}");
        copy(&root.join("dist").join(&name), &folder.join(&name));
    }
    let entry = json!({ "id": set, "title": set, "bytes": 1 });
    let index = json!({ "format": 1, "sets": [entry] });
    fs::write(folder.join("weights/index.json"), index.to_string()).expect("a list");
    fs::write(folder.join("index.html"), "<!DOCTYPE html>").expect("a page");
    folder
}

/// The peer's name of the network.
fn graph(set: &str) -> String {
    format!("{set}.onnx")
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

/// What a manifest says of how its network is asked.
#[derive(Deserialize)]
struct Asked {
    prediction: Prediction,
    input: InputScale,
    time: TimeConvention,
}

/// What the worker expects of pure noise, in one evaluation, and what follows from the peer's output for the same noise: bytes,
/// `red, green, blue` of every pixel.
fn pictures(browser: &Browser, asked: &Asked) -> [Vec<u8>; 2] {
    let config = RunConfig { images: 4, steps: 1, solver: SolverId::Ddim, seed: 5, ..RunConfig::of_images() };
    let seen = RefCell::new(Vec::new());
    ask(browser, Command::Sample { run: RunId(4), config: config.clone() }, |event| match event {
        Event::Images(ImageEvent::Frame { frame, .. }) if !frame.expected.0.is_empty() => {
            assert_eq!(frame.evaluations, 1);
            *seen.borrow_mut() = frame.expected.0;
            None
        }
        Event::Done { .. } => Some(()),
        _ => None,
    });
    let schedule = Schedule::from_config(&config);
    let level = schedule.level(schedule.time_range().0);
    let noise = (0..config.images)
        .flat_map(|image| Rng::new(seed_of(&config, image), Stream::Prior, 0).normals(CHANNELS * SIDE * SIDE));
    let x: Vec<f64> = noise.map(|z| schedule.prior_std() * f64::from(z)).collect();
    let scale = asked.input.scale(level);
    let shown: Vec<f64> = x.iter().map(|x| scale * x).collect();
    let time = asked.time.times(&[level])[0];
    let answer = browser.script_async(EVALUATE, &[json!(shown), json!(config.images), json!(time)]);
    let output: Vec<f64> =
        serde_json::from_value(answer.clone()).unwrap_or_else(|_| panic!("the peer failed: {answer}"));
    let (view, to_view) = canonical(level);
    let (data, _) = asked.prediction.split(view);
    let unit = asked.prediction.output_scale(view);
    let expected = x.iter().zip(output).map(|(x, y)| data.x * to_view * x + data.output * unit * y);
    let bytes: Vec<u8> = expected.map(|value| (127.5 * (value + 1.0)).round().clamp(0.0, 255.0) as u8).collect();
    let pixels = SIDE * SIDE;
    let interleaved = bytes.chunks_exact(CHANNELS * pixels).flat_map(|image| {
        (0..pixels).flat_map(move |pixel| (0..CHANNELS).map(move |channel| image[channel * pixels + pixel]))
    });
    [seen.into_inner(), interleaved.collect()]
}

/// Refuses to time two networks that are not the same.
fn compare(browser: &Browser, asked: &Asked) {
    let [ours, theirs] = pictures(browser, asked);
    assert_eq!(ours.len(), theirs.len(), "one of the two made other pictures");
    let apart = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b));
    let (largest, differ) = (apart.clone().max().unwrap_or(255), apart.filter(|apart| *apart > 0).count());
    let mean = ours.iter().map(|byte| f64::from(*byte)).sum::<f64>() / ours.len() as f64;
    let spread = ours.iter().map(|byte| (f64::from(*byte) - mean).powi(2)).sum::<f64>() / ours.len() as f64;
    println!(
        "outputs agree within {largest} of 255: {differ} of {} bytes differ, spread {:.1}",
        ours.len(),
        spread.sqrt()
    );
    // What is rounded to bytes may fall to either side; pictures of one grey would always agree.
    assert!(largest <= 1 && spread.sqrt() > 2.0, "they compute different networks");
}

/// Milliseconds that a run of so many images takes, under so much guidance, which keeps at most so many cores busy.
fn run_on(browser: &Browser, most: u32, images: u32, guidance: f64) -> f64 {
    let cores = encode(&Command::Images(ImageCommand::Cores { most })).expect("bytes");
    browser.script("worker.postMessage(Uint8Array.from(arguments[0]));", &[json!(cores)]);
    let config = RunConfig { images, steps: EVALUATIONS, solver: SolverId::Ddim, guidance, ..RunConfig::of_images() };
    let config = RunConfig { image_class: ClassChoice::Each, ..config };
    ask(browser, Command::Sample { run: RunId(3), config }, |event| match event {
        Event::Done { millis, .. } => Some(millis),
        _ => None,
    })
}

fn main() {
    let mut names: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let says = |word: &str| names.iter().any(|name| name == word);
    let card = says(WEBGPU);
    let worker = match (card, says(PLAIN)) {
        (true, _) => "worker_gpu",
        (false, true) => "worker_cpu",
        (false, false) => "worker_cpu_relaxed",
    };
    names.retain(|name| name != PLAIN && name != WEBGPU);
    let set = match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => SHIPPED,
        [name] if name == MADE.1 => MADE.0,
        _ => panic!("{names:?}: there are {}, {PLAIN} and {WEBGPU}, or without a name the page's own network", MADE.1),
    };
    let folder = install(set, worker);
    let manifest = fs::read(folder.join("weights").join(set).join("manifest.json")).expect("a manifest");
    let asked: Asked = serde_json::from_slice(&manifest).expect("a manifest");
    let server = Server::start_with(&folder, "", 0, &ISOLATED).expect("a free port");
    let browser = Browser::start(&arguments());
    browser.goto(&format!("http://{}/", server.address()));
    let cores = browser.script("return navigator.hardwareConcurrency;", &[]);
    let provider = if card { WEBGPU } else { "wasm" };
    let ready =
        browser.script_async(START, &[json!(graph(set)), json!(format!("{worker}_loader.js")), json!(provider)]);
    assert!(matches!(event(&ready), Event::Ready { .. }), "{ready}");
    let load = ImageCommand::Load { run: RunId(1), source: WeightsSource::Set { id: set.to_owned() } };
    ask(&browser, Command::Images(load), |event| match event {
        Event::Images(ImageEvent::Loaded { .. }) => Some(()),
        Event::Images(ImageEvent::Refused { refusal, .. }) => panic!("{refusal:?}"),
        _ => None,
    });
    compare(&browser, &asked);
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
            let mut now = vec![row.evaluation_ms, row.together_ms, peer(0)];
            if !card {
                now.push(peer(1));
            }
            for (all, now) in times.iter_mut().zip(&now) {
                all[index].push(*now);
            }
            eprintln!("round {round}, {batch} images: {now:.1?} ms");
        }
    }
    // A run takes a few images at a time, so that it can be stopped between them.
    let mut runs = [const { [const { Vec::new() }; 2] }; RUNS.len()];
    for _ in 0..if card { 0 } else { ROUNDS } {
        for (times, (_, images, guidance)) in runs.iter_mut().zip(RUNS) {
            for (times, most) in times.iter_mut().zip([1, u32::MAX]) {
                times.push(run_on(&browser, most, images, guidance));
            }
        }
    }
    println!(
        "\n{set}, {gflop:.2} GFLOP an image; milliseconds an evaluation, medians of {ROUNDS} rounds, {cores} cores"
    );
    println!(
        "| images | scorefield | with a pool | onnxruntime-web {PEER} {provider} | with threads |\n|---|---|---|---|---|"
    );
    for (index, batch) in BATCHES.iter().enumerate() {
        let said = |all: &Vec<Vec<f64>>| {
            if all[index].is_empty() { "-".to_owned() } else { format!("{:.1}", median(&all[index])) }
        };
        let medians: Vec<String> = times.iter().map(said).collect();
        println!("| {batch} | {} |", medians.join(" | "));
    }
    if !card {
        println!(
            "\n| a run, {EVALUATIONS} steps | alone, s | on all cores, s | images a second | |\n|---|---|---|---|---|"
        );
        for (times, (name, images, _)) in runs.iter().zip(RUNS) {
            let [alone, together] = times.each_ref().map(|times| median(times) / 1e3);
            let count = f64::from(images);
            println!("| {name} | {alone:.2} | {together:.2} | {:.2} | {:.2} |", count / alone, count / together);
        }
        println!("\n| a message there and back | ms |\n|---|---|");
        for (name, numbers) in PARTS {
            let took = browser.script_async(MESSAGES, &[json!(numbers), json!(400)]);
            println!("| {name} | {:.3} |", took.as_f64().unwrap_or_else(|| panic!("no message: {took}")));
        }
    }
    println!("{}", json!({ "runs": runs, "batches": BATCHES, "scorefield": times[..2], "onnxruntime": times[2..] }));
}
