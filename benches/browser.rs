//! Speed in a browser: both programs of the CPU worker against TensorFlow.js and jax-js on their WebAssembly backends, on the
//! same network, batch and machine, in alternating rounds of one run. `make bench` runs it; it needs dist/ and npm.
//!
//! The peers train the same multilayer perceptron with the same optimiser on tensors that are made once, jax-js with its step
//! and its evaluation compiled (`jit`); our step also draws its data and noise, keeps the moving average and reports its loss.
//! All run on one thread with SIMD.

#[path = "support/median.rs"]
mod median;
#[path = "support/timings.rs"]
mod timings;
#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;
use std::{env, fs};

use median::median;
use scorefield::lab::{Activation, RunConfig};
use scorefield::serve::Server;
use serde_json::{Value, json};
use webdriver::{Browser, arguments, wait_until};

/// Versions of the peers.
const TFJS: &str = "4.22.0";
const JAX: &str = "0.1.25";
/// Rounds of each.
const ROUNDS: usize = 5;
/// Time of a round, in milliseconds.
const BUDGET: f64 = 4000.0;

/// TensorFlow.js. `inputs` is how many our network has.
const OF_TFJS: &str = "
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
  const median = globalThis.median;
  return { training_step_ms: median(train), evaluation_ms: median(evaluate), backend: tf.getBackend(),
    simd: await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'), threads: await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT') };
})().then(done, e => done({ error: String(e) }));";

/// jax-js, whose functions take what they are given: `ref` keeps it for another.
const OF_JAX: &str = "
const [c, inputs, budget, done] = arguments;
(async () => {
  const { init, defaultDevice, jit, valueAndGrad, numpy: np, nn, tree } = await import('./jax/index.js');
  await init('wasm');
  const backend = defaultDevice('wasm');
  const gauss = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const filled = ([rows, columns], scale = 1) =>
    np.array(Float32Array.from({ length: rows * columns }, () => scale * gauss())).reshape([rows, columns]);
  const sizes = [inputs, ...Array(c.depth).fill(c.width), 2];
  let params = sizes.slice(1).map((n, i) => ({ w: filled([sizes[i], n], 1 / Math.sqrt(sizes[i])), b: np.zeros([n]) }));
  const forward = (params, x) => params.reduce((h, { w, b }, i) => {
    const z = np.matmul(h, w).add(b);
    return i + 1 < params.length ? nn.silu(z) : z;
  }, x);
  const loss = (params, x, y) => np.square(forward(params, x).sub(y)).mean();
  const step = jit((params, m, v, rate, x, y) => {
    const [value, slope] = valueAndGrad(loss)(tree.ref(params), x, y);
    m = tree.map((m, g) => m.mul(0.9).add(g.mul(0.1)), m, tree.ref(slope));
    v = tree.map((v, g) => v.mul(0.999).add(np.square(g).mul(0.001)), v, slope);
    params = tree.map((p, m, v) => p.sub(m.div(np.sqrt(v).add(1e-8)).mul(rate.ref)), params, tree.ref(m), tree.ref(v));
    rate.dispose();
    return [params, m, v, value];
  });
  const zeros = () => tree.map(p => np.zerosLike(p), tree.ref(params));
  let m = zeros(), v = zeros(), t = 0, first, last;
  const x = filled([c.batch, inputs]), y = filled([c.batch, 2]), points = filled([c.samples, inputs]);
  const train = () => {
    t += 1;
    const rate = np.array(c.rate * Math.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t));
    let value;
    [params, m, v, value] = step(params, m, v, rate, x.ref, y.ref);
    last = value.dataSync()[0];
    first ??= last;
  };
  const apply = jit(forward);
  const evaluate = () => apply(tree.ref(params), points.ref).dataSync();
  const median = globalThis.median;
  const found = { training_step_ms: median(train), evaluation_ms: median(evaluate), backend, first, last };
  if (!(last < first)) throw new Error(`it does not learn: ${first} to ${last}`);
  return found;
})().then(done, e => done({ error: String(e) }));";

/// The median time of work, in milliseconds, after what a first time costs.
const MEDIAN: &str = "
const [budget] = arguments;
globalThis.median = work => {
  const times = [], start = performance.now();
  for (let i = 0; i < 5; i++) work();
  while (times.length < 3 || performance.now() - start < budget / 2) {
    const begin = performance.now();
    work();
    times.push(performance.now() - begin);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1];
};";

/// The peers and their pages in a folder of their own.
fn install_peers() -> PathBuf {
    let folder = env::temp_dir().join("scorefield-peers");
    fs::create_dir_all(&folder).expect("a folder");
    let modules = folder.join("node_modules");
    if !modules.join("@jax-js/jax").exists() {
        let status = Process::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .args(["tfjs", "tfjs-backend-wasm"].map(|name| format!("@tensorflow/{name}@{TFJS}")))
            .arg(format!("@jax-js/jax@{JAX}"))
            .status()
            .expect("npm can be started");
        assert!(status.success(), "npm could not install the peers");
    }
    for (package, file) in [("tfjs", "tf.min.js"), ("tfjs-backend-wasm", "tf-backend-wasm.min.js")] {
        let from = modules.join("@tensorflow").join(package).join("dist").join(file);
        fs::copy(&from, folder.join(file)).expect("the peer's files");
    }
    let copy = |from: &str, to: &Path, extension: &str| {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(modules.join(from)).expect("the peer's files").filter_map(Result::ok) {
            if entry.path().extension().is_some_and(|found| found == extension) {
                fs::copy(entry.path(), to.join(entry.file_name())).expect("the peer's files");
            }
        }
    };
    copy("@tensorflow/tfjs-backend-wasm/dist", &folder, "wasm");
    copy("@jax-js/jax/dist", &folder.join("jax"), "js");
    let tfjs = "<!DOCTYPE html><script src='tf.min.js'></script><script src='tf-backend-wasm.min.js'></script>";
    fs::write(folder.join("tfjs.html"), tfjs).expect("the peer's page");
    fs::write(folder.join("jax.html"), "<!DOCTYPE html>").expect("the peer's page");
    folder
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
    let theirs = Server::start(&install_peers(), "", 0).expect("a free port");
    let browser = Browser::start(&arguments());
    // The activation that the peers have, too.
    let config = RunConfig { activation: Activation::Silu, ..RunConfig::default() };
    let as_sent = serde_json::to_value(&config).expect("a configuration is JSON");

    let mut all = ["worker_cpu_relaxed", "worker_cpu", "tfjs", "jax"].map(Times::new);
    for round in 1..=ROUNDS {
        let mut inputs = Value::Null;
        for times in &mut all[..2] {
            let address = ours.address().to_string();
            let found = timings::timings(&browser, &address, times.name, &config, BUDGET);
            let found = serde_json::to_value(found).expect("timings are JSON");
            inputs = json!(self::inputs(number(&found, "parameters"), &config));
            times.take(found);
        }
        for (times, script) in all[2..].iter_mut().zip([OF_TFJS, OF_JAX]) {
            browser.goto(&format!("http://{}/{}.html", theirs.address(), times.name));
            browser.script(MEDIAN, &[json!(BUDGET)]);
            times.take(browser.script_async(script, &[as_sent.clone(), inputs.clone(), json!(BUDGET)]));
        }
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
    println!("| | scorefield, fused products | scorefield | tfjs {TFJS} wasm | jax-js {JAX} wasm | times as fast |");
    println!("|---|---|---|---|---|---|");
    let rows = [("training step", Times::steps as fn(&Times) -> &[f64]), ("evaluation", Times::evaluations)];
    for (name, of) in rows {
        let [relaxed, plain, tfjs, jax] = all.each_ref().map(|times| median(of(times)));
        let ratios = [tfjs, jax].map(|peer| format!("{:.2}, {:.2}", peer / relaxed, peer / plain)).join("; ");
        println!("| {name}, ms | {relaxed:.3} | {plain:.3} | {tfjs:.3} | {jax:.3} | {ratios} |");
        let spread = all.each_ref().map(|times| {
            let found = of(times);
            let (least, most) = found.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(*x), b.max(*x)));
            format!("{least:.3} to {most:.3}")
        });
        println!("| least to most | {} | |", spread.join(" | "));
    }
    let [relaxed, plain, tfjs, jax] = all.each_ref().map(|times| 1e3 / median(&times.steps));
    println!("| training steps a second | {relaxed:.0} | {plain:.0} | {tfjs:.0} | {jax:.0} | |");
    let [relaxed, plain] = [0, 1].map(|index| number(&all[index].last, "samples_per_second"));
    println!("| samples a second | {relaxed:.0} | {plain:.0} | - | - | |");
    println!("| first contentful paint of the page, ms | {:.0} | - | - | - | |", median(&paints));
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

    fn steps(&self) -> &[f64] {
        &self.steps
    }

    fn evaluations(&self) -> &[f64] {
        &self.evaluations
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "training_step_ms": self.steps, "evaluation_ms": self.evaluations, "last": self.last })
    }
}
