//! Speed in a browser: both programs of the CPU worker against TensorFlow.js on its WebAssembly backend, on the same network, batch and
//! machine, in alternating rounds of one run. `make bench` runs it; it needs dist/ and npm.
//!
//! The peer trains the same multilayer perceptron with the same optimiser on tensors that are made once; our step also
//! draws its data and noise, keeps the moving average and reports its loss. Both run on one thread with SIMD.

#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;
use std::{env, fs};

use scorefield::lab::{Activation, RunConfig};
use scorefield::protocol::{Command, Event};
use scorefield::serve::Server;
use scorefield::wire::{decode, encode};
use serde_json::{Value, json};
use webdriver::{Browser, arguments, wait_until};

/// Version of the peer.
const PEER: &str = "4.22.0";
/// Rounds of each.
const ROUNDS: usize = 5;
/// Time of a round, in milliseconds.
const BUDGET: f64 = 4000.0;

/// Asks the worker for its own timings, as the page does: the command goes when the worker has said that it is ready,
/// and the next message is its answer.
const OURS: &str = "
const [command, program, done] = arguments;
const worker = new Worker(program + '_loader.js', { type: 'module' });
let messages = 0;
worker.onerror = e => done(String(e.message));
worker.onmessage = ({ data }) => {
  messages += 1;
  if (messages === 1) worker.postMessage(Uint8Array.from(command));
  else { worker.terminate(); done(Array.from(data)); }
};";

/// The peer's page, made when the benchmark runs. `inputs` is how many our network has.
const THEIRS: &str = "
const [c, inputs, budget, done] = arguments;
(async () => {
  tf.wasm.setWasmPaths('./');
  await tf.setBackend('wasm');
  await tf.ready();
  const sizes = [inputs, ...Array(c.depth).fill(c.width), 2];
  const layers = sizes.slice(1).map((n, i) => ({
    w: tf.variable(tf.randomNormal([sizes[i], n], 0, 1 / Math.sqrt(sizes[i]))),
    b: tf.variable(tf.zeros([n])),
  }));
  const forward = x => layers.reduce((h, { w, b }, i) => {
    const z = tf.add(tf.matMul(h, w), b);
    return i + 1 < layers.length ? tf.mul(z, tf.sigmoid(z)) : z;
  }, x);
  const adam = tf.train.adam(c.rate);
  const x = tf.randomNormal([c.batch, inputs]), y = tf.randomNormal([c.batch, 2]);
  const points = tf.randomNormal([c.samples, inputs]);
  const train = () => {
    const loss = adam.minimize(() => tf.mean(tf.square(tf.sub(forward(x), y))), true);
    loss.dataSync();
    loss.dispose();
  };
  const evaluate = () => tf.tidy(() => forward(points).dataSync());
  const median = work => {
    const times = [], start = performance.now();
    for (let i = 0; i < 5; i++) work();
    while (times.length < 3 || performance.now() - start < budget / 2) {
      const begin = performance.now();
      work();
      times.push(performance.now() - begin);
    }
    times.sort((a, b) => a - b);
    return times[times.length >> 1];
  };
  return { training_step_ms: median(train), evaluation_ms: median(evaluate), backend: tf.getBackend(),
    simd: await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'), threads: await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT') };
})().then(done, e => done({ error: String(e) }));";

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The peer and its page in a folder of their own.
fn install_peer() -> PathBuf {
    let folder = env::temp_dir().join("scorefield-peer");
    fs::create_dir_all(&folder).expect("a folder");
    let packages = ["tfjs", "tfjs-backend-wasm"];
    if !folder.join("node_modules/@tensorflow/tfjs").exists() {
        let status = Process::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .args(packages.map(|p| format!("@tensorflow/{p}@{PEER}")))
            .status()
            .expect("npm can be started");
        assert!(status.success(), "npm could not install the peer");
    }
    for (package, file) in [("tfjs", "tf.min.js"), ("tfjs-backend-wasm", "tf-backend-wasm.min.js")] {
        let from = folder.join("node_modules/@tensorflow").join(package).join("dist").join(file);
        fs::copy(&from, folder.join(file)).expect("the peer's files");
    }
    let binaries = folder.join("node_modules/@tensorflow/tfjs-backend-wasm/dist");
    for entry in fs::read_dir(binaries).expect("the peer's files").filter_map(Result::ok) {
        if entry.path().extension().is_some_and(|e| e == "wasm") {
            fs::copy(entry.path(), folder.join(entry.file_name())).expect("the peer's files");
        }
    }
    let page = "<!DOCTYPE html><script src='tf.min.js'></script><script src='tf-backend-wasm.min.js'></script>";
    fs::write(folder.join("index.html"), page).expect("the peer's page");
    folder
}

/// The timings in the worker's answer.
fn timings(answer: &Value) -> Value {
    let bytes: Option<Vec<u8>> = answer.as_array().map(|a| a.iter().map(|b| b.as_u64().unwrap_or(0) as u8).collect());
    match decode(&bytes.unwrap_or_else(|| panic!("the worker failed: {answer}"))) {
        Ok(Event::Benchmark { benchmark }) => serde_json::to_value(benchmark).expect("timings are JSON"),
        other => panic!("the worker answered {other:?}"),
    }
}

fn number(answer: &Value, key: &str) -> f64 {
    answer[key].as_f64().unwrap_or_else(|| panic!("no {key}: {answer}"))
}

/// Inputs of the network with so many parameters: two coordinates and the features made of them and of the level.
fn inputs(parameters: f64, config: &RunConfig) -> f64 {
    let (width, depth) = (f64::from(config.width), f64::from(config.depth));
    (parameters - (depth - 1.0) * (width + 1.0) * width - 2.0 * (width + 1.0)) / width - 1.0
}

/// When something could first be read, in milliseconds after the page was asked for.
fn first_paint(browser: &Browser, server: &Server) -> f64 {
    browser.goto("about:blank");
    browser.goto(&format!("http://{}/", server.address()));
    let paint =
        || browser.script("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime;", &[]).as_f64();
    wait_until(Duration::from_secs(30), paint).unwrap_or(f64::NAN)
}

fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    assert!(dist.join("worker_cpu_relaxed_loader.js").exists(), "there is no page in dist/: run make dist");
    let ours = Server::start(&dist, "", 0).expect("a free port");
    let theirs = Server::start(&install_peer(), "", 0).expect("a free port");
    let browser = Browser::start(&arguments());
    // The activation that the peer has kernels for, in both.
    let config = RunConfig { activation: Activation::Silu, ..RunConfig::default() };
    let as_sent = serde_json::to_value(&config).expect("a configuration is JSON");
    let command = encode(&Command::Benchmark { config: config.clone(), budget_ms: BUDGET }).expect("bytes");

    let mut all = [Times::new("worker_cpu_relaxed"), Times::new("worker_cpu"), Times::new("tfjs")];
    for round in 1..=ROUNDS {
        let mut inputs = Value::Null;
        for times in &mut all[..2] {
            // A file without a policy of its own, at the same origin as the worker.
            browser.goto(&format!("http://{}/{}_loader.js", ours.address(), times.name));
            let found = timings(&browser.script_async(OURS, &[json!(command), json!(times.name)]));
            inputs = json!(self::inputs(number(&found, "parameters"), &config));
            times.take(found);
        }
        browser.goto(&format!("http://{}/", theirs.address()));
        all[2].take(browser.script_async(THEIRS, &[as_sent.clone(), inputs, json!(BUDGET)]));
        for times in &all {
            let (step, evaluation) = (times.steps[round - 1], times.evaluations[round - 1]);
            eprintln!("round {round}: {}: training step {step:.3} ms, evaluation {evaluation:.3} ms", times.name);
        }
    }

    let paints: Vec<f64> = (1..=ROUNDS).map(|_| first_paint(&browser, &ours)).collect();
    println!(
        "\nMLP {} x {}, batch {}, {} samples an evaluation; medians of {ROUNDS} rounds, one thread",
        config.depth, config.width, config.batch, config.samples
    );
    println!("| | scorefield, fused products | scorefield | tfjs {PEER} wasm | times as fast |\n|---|---|---|---|---|");
    for (name, of) in [("training step, ms", Times::step as fn(&Times) -> f64), ("evaluation, ms", Times::evaluation)] {
        let [relaxed, plain, peer] = all.each_ref().map(of);
        println!("| {name} | {relaxed:.3} | {plain:.3} | {peer:.3} | {:.2}, {:.2} |", peer / relaxed, peer / plain);
    }
    let [relaxed, plain, peer] = all.each_ref().map(|times| 1e3 / times.step());
    println!("| training steps a second | {relaxed:.0} | {plain:.0} | {peer:.0} | |");
    let [relaxed, plain] = [0, 1].map(|index| number(&all[index].last, "samples_per_second"));
    println!("| samples a second | {relaxed:.0} | {plain:.0} | - | |");
    println!("| first contentful paint of the page, ms | {:.0} | - | - | |", median(&paints));
    println!("{}", json!({ "first_paint_ms": paints, "times": all.each_ref().map(Times::json) }));
}

/// What one program took.
struct Times {
    name: &'static str,
    steps: Vec<f64>,
    evaluations: Vec<f64>,
    last: Value,
}

impl Times {
    fn new(name: &'static str) -> Self {
        Self { name, steps: Vec::new(), evaluations: Vec::new(), last: Value::Null }
    }

    fn take(&mut self, found: Value) {
        self.steps.push(number(&found, "training_step_ms"));
        self.evaluations.push(number(&found, "evaluation_ms"));
        self.last = found;
    }

    fn step(&self) -> f64 {
        median(&self.steps)
    }

    fn evaluation(&self) -> f64 {
        median(&self.evaluations)
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "training_step_ms": self.steps, "evaluation_ms": self.evaluations, "last": self.last })
    }
}
