//! Studies in a browser: how often their figures are painted anew while they work, and how long they take.
//! Needs dist/ (`make dist`): `cargo bench --profile dev --features e2e --bench studies`. Words after `--` choose studies;
//! `gpu` among them runs them on WebGPU.

#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::path::Path;
use std::time::{Duration, Instant};

use scorefield::serve::Server;
use scorefield::study::STUDIES;
use serde_json::Value;
use webdriver::{Browser, arguments, wait_until};

/// How long a study may take.
const LONGEST: Duration = Duration::from_secs(300);

/// Notes when the first figure is painted: the page sets the scale of its canvas once each time.
const COUNT: &str = "
globalThis.frames_painted = [];
const scale = CanvasRenderingContext2D.prototype.scale;
CanvasRenderingContext2D.prototype.scale = function (...of) {
  if (this.canvas === document.querySelector('figure.chart canvas')) frames_painted.push(performance.now());
  return scale.apply(this, of);
};";

/// The times of the frames from the second report on, in milliseconds: the first waits for the engine to start.
const TIMES: &str = "return globalThis.frames_painted;";

fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted.get(((sorted.len() - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    assert!(dist.join("worker_cpu_loader.js").exists(), "there is no page in dist/: run make dist");
    let server = Server::start(&dist, "", 0).expect("a free port");
    let browser = Browser::start(&arguments());
    browser.before_every_page(COUNT);
    let mut wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let device = if wanted.iter().any(|word| word == "gpu") { "gpu" } else { "cpu" };
    wanted.retain(|word| word != "gpu");
    println!("| study | seconds | frames a second | slowest tenth, ms | slowest, ms |\n|---|---|---|---|---|");
    for study in STUDIES.iter().filter(|study| wanted.is_empty() || wanted.iter().any(|word| word == study.id)) {
        // Another address first, or the browser would only change the fragment of the page it has.
        browser.goto("about:blank");
        let start = Instant::now();
        browser.goto(&format!("http://{}/#experiment={}&device={device}&run=1", server.address(), study.id));
        let state = || {
            let state =
                browser.script("return document.querySelector(`[data-testid='status']`)?.dataset.state ?? '';", &[]);
            state.as_str().filter(|state| ["done", "failed"].contains(state)).map(str::to_owned)
        };
        let state = wait_until(LONGEST, state).unwrap_or_else(|| "unfinished".to_owned());
        let seconds = start.elapsed().as_secs_f64();
        let times: Vec<f64> = match browser.script(TIMES, &[]) {
            Value::Array(times) => times.iter().filter_map(Value::as_f64).collect(),
            _ => Vec::new(),
        };
        // The page paints its figures empty, and again when the engine is there; the work begins with the third.
        let mut gaps: Vec<f64> = times.windows(2).skip(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        if gaps.is_empty() {
            println!("| {} | {seconds:.1} | {state}, too quick to tell | | |", study.id);
            continue;
        }
        let rate = 1000.0 * gaps.len() as f64 / gaps.iter().sum::<f64>();
        let (slow, slowest) = (quantile(&gaps, 0.9), quantile(&gaps, 1.0));
        let note = if state == "done" { "" } else { &format!(" ({state})") };
        println!("| {}{note} | {seconds:.1} | {rate:.1} | {slow:.0} | {slowest:.0} |", study.id);
    }
}
