//! Studies in a browser: how often their figures are painted anew while they work, and how long they take.
//! Needs dist/ (`make dist`): `cargo bench --profile dev --features e2e --bench studies`. Words after `--` choose studies;
//! `gpu` among them runs them on WebGPU; `keep` writes their times to docs/times.json, from where the page's contents have
//! them: each as the page itself measures it, from the beginning of the run to its end.

#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use scorefield::report::Times;
use scorefield::serve::Server;
use scorefield::session::past::Past;
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
    let keep = device == "cpu" && wanted.iter().any(|word| word == "keep");
    wanted.retain(|word| word != "gpu" && word != "keep");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/times.json");
    let known = fs::read_to_string(&path).ok().map(|text| serde_json::from_str(&text).expect("times of studies"));
    let mut kept: Times = known.unwrap_or_default();
    kept.seconds.retain(|id, _| STUDIES.iter().any(|study| study.id == id));
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
        if keep && state == "done" {
            let past = || {
                let text = browser.script("return localStorage.getItem('scorefield-runs') ?? '';", &[]);
                Some(Past::read(text.as_str()?).of(study.id)?.tenths)
            };
            if let Some(tenths) = wait_until(Duration::from_secs(5), past) {
                kept.seconds.insert(study.id.to_owned(), f64::from(tenths.max(1)) / 10.0);
            }
        }
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
    if keep {
        let browser = browser.script("return `${navigator.userAgent}, ${navigator.hardwareConcurrency} cores`;", &[]);
        kept.machine = browser.as_str().unwrap_or_default().to_owned();
        let json = serde_json::to_string_pretty(&kept).expect("JSON") + "\n";
        fs::write(&path, json).expect("docs/times.json can be written");
    }
}
