//! What the page's work costs against its settings, on the CPU worker in Chromium: a training step against width, depth and
//! batch, an evaluation against points, a run of images against images and evaluations, a frame of the plane against points
//! drawn. Beside every time stands the slope to the row before it, in logarithms of both: 1 is in proportion, 0 for nothing.
//! Needs dist/ (`make dist`): `cargo bench --profile dev --features e2e --bench scaling`. Words after `--` choose tables.

#[path = "support/median.rs"]
mod median;
#[path = "support/timings.rs"]
mod timings;
#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::path::Path;
use std::time::Duration;

use median::median;
use scorefield::lab::RunConfig;
use scorefield::serve::Server;
use serde_json::{Value, json};
use webdriver::{Browser, arguments, wait_until};

/// Rounds of each; the median counts.
const ROUNDS: usize = 3;
/// Time of a round of training steps and evaluations, in milliseconds.
const BUDGET: f64 = 1200.0;
/// How long a run may take.
const LONGEST: Duration = Duration::from_secs(300);
/// Frames of the plane that are timed.
const FRAMES: usize = 40;

/// Times every picture that the page paints, until its pixels can be read.
const WATCH: &str = "
globalThis.painted = [];
const ask = globalThis.requestAnimationFrame.bind(globalThis);
globalThis.requestAnimationFrame = paint => ask(time => {
  const begun = performance.now();
  paint(time);
  const canvas = document.querySelector(`canvas[data-testid='samples']`);
  if (canvas) { canvas.getContext('2d').getImageData(0, 0, 1, 1); painted.push(performance.now() - begun); }
});";

/// Moves the time slider to and fro, and gives what the painting of each move took: the longest of what was painted then, for
/// the page also looks at pictures of the screen for which it has nothing to paint.
const SCRUB: &str = "
const [frames, done] = arguments;
const slider = document.querySelector(`[data-testid='time']`);
const next = () => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve, 20)));
(async () => {
  const moves = [];
  for (let i = 0; i < frames; i++) {
    painted.length = 0;
    slider.value = i % 2 ? slider.max : slider.max - 1;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    await next();
    await next();
    moves.push(Math.max(...painted));
  }
  return moves;
})().then(done, e => done(String(e)));";

/// Presses for images, and gives the milliseconds until they are there.
const PRESS: &str = "
const [done] = arguments;
const state = () => document.querySelector(`[data-testid='status']`).dataset.state;
const begun = performance.now();
document.querySelector(`[data-testid='sample']`).click();
let ran = false;
const look = () => {
  ran ||= state() === 'running';
  if (ran && state() !== 'running') done(performance.now() - begun); else setTimeout(look, 1);
};
look();";

/// Prints what was measured: settings, times, and slopes.
fn table(title: &str, unit: &str, rows: &[(f64, f64)]) {
    println!("\n| {title} | {unit} | slope |\n|---:|---:|---:|");
    for (i, (x, time)) in rows.iter().enumerate() {
        let slope = i.checked_sub(1).and_then(|before| rows.get(before)).map_or_else(
            || "-".to_owned(),
            |(earlier, before)| format!("{:.2}", (time / before).ln() / (x / earlier).ln()),
        );
        println!("| {x} | {time:.3} | {slope} |");
    }
}

/// A page of ours, and the browser that it is in.
struct Visit<'a> {
    browser: &'a Browser,
    address: String,
}

impl Visit<'_> {
    /// Opens a link that begins a run, and waits until it has ended.
    fn run(&self, link: &str) {
        self.browser.goto(&format!("http://{}/#{link}&device=cpu&seed=1&run=1", self.address));
        let state = || {
            let state = self
                .browser
                .script("return document.querySelector(`[data-testid='status']`)?.dataset.state ?? '';", &[]);
            state.as_str().filter(|state| ["done", "failed"].contains(state)).map(str::to_owned)
        };
        assert_eq!(wait_until(LONGEST, state).as_deref(), Some("done"), "{link}");
    }

    fn timed(&self, config: &RunConfig) -> [f64; 2] {
        let program = "worker_cpu_relaxed";
        let rounds: Vec<_> =
            (0..ROUNDS).map(|_| timings::timings(self.browser, &self.address, program, config, BUDGET)).collect();
        [
            median(&rounds.iter().map(|timed| timed.training_step_ms).collect::<Vec<_>>()),
            median(&rounds.iter().map(|timed| timed.evaluation_ms).collect::<Vec<_>>()),
        ]
    }

    /// A training step and an evaluation for settings of which one changes.
    fn network(&self, what: &str, values: &[u32], which: usize, change: impl Fn(RunConfig, u32) -> RunConfig) {
        let timed = |value: &u32| (f64::from(*value), self.timed(&change(RunConfig::default(), *value))[which]);
        let rows: Vec<(f64, f64)> = values.iter().map(timed).collect();
        table(what, if which == 0 { "a training step, ms" } else { "an evaluation, ms" }, &rows);
    }

    fn images(&self, what: &str, values: &[u32], link: impl Fn(u32) -> String) {
        let timed = |value: &u32| {
            self.run(&link(*value));
            let press = || self.browser.script_async(PRESS, &[]).as_f64().expect("a time");
            (f64::from(*value), median(&(0..ROUNDS).map(|_| press()).collect::<Vec<_>>()) / 1e3)
        };
        let rows: Vec<(f64, f64)> = values.iter().map(timed).collect();
        table(what, "a run, s", &rows);
    }

    fn points(&self, values: &[u32]) {
        let timed = |value: &u32| {
            self.run(&format!("denoiser=exact&steps=10&samples={value}"));
            let painted = self.browser.script_async(SCRUB, &[json!(FRAMES)]);
            let Value::Array(times) = painted else { panic!("{painted}") };
            assert_eq!(times.len(), FRAMES);
            (f64::from(*value), median(&times.iter().filter_map(Value::as_f64).collect::<Vec<_>>()))
        };
        let rows: Vec<(f64, f64)> = values.iter().map(timed).collect();
        table("points drawn", "a frame, ms", &rows);
    }
}

fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    assert!(dist.join("worker_cpu_relaxed_loader.js").exists(), "there is no page in dist/: run make dist");
    let server = Server::start(&dist, "", 0).expect("a free port");
    let browser = Browser::start(&arguments());
    browser.before_every_page(WATCH);
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wants = |table: &str| wanted.is_empty() || wanted.iter().any(|word| word == table);
    let visit = Visit { browser: &browser, address: server.address().to_string() };

    if wants("training") {
        visit.network("width, 4 layers, batch 256", &[16, 32, 64, 128, 256], 0, |config, width| RunConfig {
            width,
            ..config
        });
        visit.network("layers of 64, batch 256", &[1, 2, 4, 8], 0, |config, depth| RunConfig { depth, ..config });
        visit.network("batch, 4 layers of 64", &[16, 64, 256, 1024, 4096], 0, |config, batch| RunConfig {
            batch,
            ..config
        });
    }
    if wants("evaluation") {
        visit.network("points, 4 layers of 64", &[10, 100, 1000, 10_000, 100_000], 1, |config, samples| RunConfig {
            samples,
            ..config
        });
    }
    if wants("images") {
        let link = |images: u32, steps: u32| format!("experiment=images&images={images}&steps={steps}&solver=ddim");
        visit.images("images, 5 evaluations each", &[1, 2, 4, 8, 16, 32, 64], |images| link(images, 5));
        visit.images("evaluations of 4 images", &[1, 2, 5, 10, 20, 50], |steps| link(4, steps));
    }
    if wants("points") {
        visit.points(&[100, 1000, 10_000, 30_000, 100_000]);
    }
}
