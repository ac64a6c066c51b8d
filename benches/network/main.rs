//! The page on a slow network: 1.6 Mbit/s, 150 ms for every answer and a processor four times slower. When something is
//! painted, when the first picture is there, when a training has made its first steps, and what came when; for a first
//! visit and for one with the copy that the first one kept. Nothing is asserted.
//! Needs dist/ (`make dist`): `cargo bench --profile dev --features e2e --bench network`. Of the words after `--`, a number is
//! that of rounds, `plain` leaves out the visits with compressed files, `files` lists every file of the last round.
//!
//! The processor is made slower by Chromium's own throttling (`Emulation.setCPUThrottlingRate`), which slows the page's own
//! thread and no other: a worker has no such command, and what it computes takes the machine's own time. The network is not
//! Chromium's (`Network.emulateNetworkConditions`): that is the page's alone too, so the requests of workers and of the
//! service worker are as fast as the machine, and to have workers wait until they are told as well ends the tab (148). So
//! a line between browser and server is slow (`line.rs`), for all that the browser asks for together.

mod line;
#[path = "../../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use line::{Line, Speed};
use scorefield::serve::{Head, Limits, Server, Site};
use serde_json::{Value, json};
use webdriver::{Browser, arguments, wait_until};

/// 1.6 Mbit/s, 150 ms.
const SLOW: Speed = Speed { round_trip: Duration::from_millis(150), bytes: 200_000.0 };
/// How many times slower the page's thread is.
const SLOWER: u32 = 4;
/// Rounds, each in a browser that has never been here.
const ROUNDS: usize = 5;
/// Between the visits.
const REST: Duration = Duration::from_secs(8);
/// How long a visit may take, and then the copy that it leaves.
const LONGEST: Duration = Duration::from_secs(120);

/// What is aimed at, in seconds.
const GOALS: [(&str, f64); 2] = [("the first picture", 2.0), ("the first training step", 10.0)];

/// The links: what a visitor who was given none sees first is the pictures of the contents; who was given one of a run,
/// the picture of its data.
const LINKS: [(&str, &str); 2] = [("", "picture"), ("#device=cpu&run=1", "step")];

/// Notes when what is waited for is first seen. A picture counts when the frame after it is about to be painted.
const NOTES: &str = "
globalThis.notes = {};
performance.setResourceTimingBufferSize(1000);
const note = name => notes[name] ??= performance.now();
const painted = name => requestAnimationFrame(() => note(name));
document.addEventListener('load', ({ target }) => {
  if (target.tagName === 'IMG' && target.src.includes('/pictures/')) painted('picture');
}, true);
for (const way of ['fill', 'fillRect', 'stroke', 'drawImage', 'putImageData']) {
  const own = CanvasRenderingContext2D.prototype[way];
  CanvasRenderingContext2D.prototype[way] = function (...of) {
    if (this.canvas.isConnected) painted('picture');
    return own.apply(this, of);
  };
}
new MutationObserver(() => {
  const seen = what => document.querySelector(what);
  if (seen(`[data-testid='status'], [data-testid='contents'][aria-busy='false']`)) note('drawn');
  if (seen(`[data-testid='loss']:not([data-value=''])`)) note('step');
}).observe(document, { childList: true, subtree: true, attributeFilter: ['aria-busy', 'data-value'] });
const asked = new BroadcastChannel('timings');
asked.onmessage = ({ data }) => Array.isArray(data) && (globalThis.told ??= []).push(...data);";

/// The same for a worker: what it fetched, told to who asks.
const TELL: &str = "
const asked = new BroadcastChannel('timings');
asked.onmessage = ({ data }) => data === 'tell' && asked.postMessage(performance.getEntriesByType('resource').map(
  e => ['worker', e.name, performance.timeOrigin + e.startTime, performance.timeOrigin + e.responseEnd, e.transferSize]));";

/// What the page knows of a visit, in milliseconds since it was asked for.
const ASK: &str = "
const done = arguments[0], begin = performance.timeOrigin;
const channel = new BroadcastChannel('timings');
channel.postMessage('tell');
setTimeout(() => {
  const own = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].map(
    e => ['page', e.name, begin + e.startTime, begin + e.responseEnd, e.transferSize]);
  const files = [...own, ...(globalThis.told ?? [])].map(
    ([who, name, from, to, bytes]) => ({ who, name, from: from - begin, to: to - begin, bytes }));
  notes.readable = performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
  done({ notes, files });
}, 300);";

/// Times of a visit in milliseconds, and its files.
struct Visit {
    notes: Value,
    files: Vec<Fetched>,
}

/// A file that came.
struct Fetched {
    who: String,
    name: String,
    from: f64,
    to: f64,
    bytes: f64,
}

/// A folder of the built page, with its compressed copies or without.
struct Folder(PathBuf);

impl Folder {
    fn new(compressed: bool) -> Self {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
        assert!(dist.join("worker_cpu_loader.js").exists(), "there is no page in dist/: run make dist");
        let folder = env::temp_dir().join(format!("scorefield-network-{}-{compressed}", process::id()));
        copy(&dist, &folder, compressed);
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn copy(from: &Path, to: &Path, compressed: bool) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").filter_map(Result::ok) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target, compressed);
        } else if compressed || !path.extension().is_some_and(|ending| ending == "br" || ending == "gz") {
            fs::hard_link(&path, &target).or_else(|_| fs::copy(&path, &target).map(drop)).expect("a copy");
        }
    }
}

/// Addresses that were asked for, when, and by whom.
type Asked = Arc<Mutex<Vec<(Instant, String, String)>>>;

/// A server that keeps what it was asked for.
fn serve(folder: &Folder) -> (Server, Asked) {
    let asked = Asked::default();
    let kept = Arc::clone(&asked);
    let keep = move |head: &Head| {
        let entry = (Instant::now(), head.target.clone(), head.header("referer").to_owned());
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    };
    let beside = move |request: &mut scorefield::serve::Request<'_>| {
        keep(&request.head);
        None
    };
    let site = Site { folder: folder.0.clone(), beside: Some(Arc::new(beside)), ..Site::default() };
    let server = Server::open(&site, ([127, 0, 0, 1], 0).into(), Limits::default()).expect("a free port");
    (server, asked)
}

/// A server behind a line of its own, and what it was asked for.
struct Behind {
    line: Line,
    asked: Asked,
    _server: Server,
}

impl Behind {
    fn start(folder: &Folder) -> Self {
        let (server, asked) = serve(folder);
        Self { line: Line::to(server.address()), asked, _server: server }
    }

    fn origin(&self) -> String {
        format!("http://{}/", self.line.address())
    }

    /// Makes line and page slow, or as fast as they are.
    fn throttle(&self, browser: &Browser, slow: bool) {
        self.line.set(slow.then_some(SLOW));
        browser.tell("Emulation.setCPUThrottlingRate", &json!({ "rate": if slow { SLOWER } else { 1 } }));
    }

    /// Opens a link and waits until there is what is waited for.
    fn visit(&self, browser: &Browser, link: &str, awaited: &str) -> Visit {
        // A page of the same origin first, so that no process begins meanwhile.
        browser.goto(&format!("{}nothing", self.origin()));
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.throttle(browser, true);
        browser.tell("Page.navigate", &json!({ "url": format!("{}{link}", self.origin()) }));
        let there = || {
            let noted = browser.script("return globalThis.notes?.[arguments[0]] ?? null;", &[json!(awaited)]);
            noted.is_number().then_some(())
        };
        if wait_until(LONGEST, there).is_none() {
            eprintln!("{link}: no {awaited} after {LONGEST:?}");
        }
        self.throttle(browser, false);
        browser.tell_workers("Runtime.evaluate", &json!({ "expression": TELL }));
        let told = browser.script_async(ASK, &[]);
        let file = |file: &Value| {
            let number = |key: &str| file[key].as_f64().unwrap_or(f64::NAN);
            let [who, name] = ["who", "name"].map(|key| file[key].as_str().unwrap_or_default().to_owned());
            Fetched { who, name, from: number("from"), to: number("to"), bytes: number("bytes") }
        };
        let mut files: Vec<Fetched> = told["files"].as_array().into_iter().flatten().map(file).collect();
        files.sort_by(|a, b| a.from.total_cmp(&b.from));
        Visit { notes: told["notes"].clone(), files }
    }

    /// How many files the service worker had asked for before this time of the visit, in milliseconds.
    fn asked_for_the_copy(&self, until: f64) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((begin, ..)) = asked.iter().find(|(_, target, _)| target == "/") else { return 0 };
        let theirs = asked.iter().filter(|(at, _, who)| {
            who.ends_with("service-worker.js") && at.duration_since(*begin).as_secs_f64() * 1e3 < until
        });
        theirs.count()
    }
}

/// Waits until the browser has its copy of the page, as fast as it can.
fn keep_copy(browser: &Browser) {
    let there = || {
        let ask = "return document.querySelector(`[data-testid='offline-state']`)?.dataset.state ?? '';";
        (browser.script(ask, &[]) == "there").then_some(())
    };
    if wait_until(LONGEST, there).is_none() {
        eprintln!("the browser keeps no copy of the page");
    }
}

/// Seconds that a plain request over the slow line takes: for a file that is not there, and for each kilobyte of a long one.
fn calibrate(behind: &Behind) -> [f64; 2] {
    behind.line.set(Some(SLOW));
    let take = |path: &str| {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(behind.line.address()).expect("the line");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        (begin.elapsed().as_secs_f64(), answer.len() as f64 / 1e3)
    };
    let ((nothing, few), (long, many)) = (take("/nothing"), take("/worker_cpu_bg.wasm"));
    behind.line.set(None);
    [nothing, (long - nothing) / (many - few)]
}

/// Median, least and most.
fn spread(values: &[f64]) -> String {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => "-".to_owned(),
        [.., last] => {
            let seconds = |milliseconds: f64| milliseconds / 1e3;
            let (median, first) = (sorted[sorted.len() / 2], sorted[0]);
            format!("{:.2} ({:.2} to {:.2})", seconds(median), seconds(first), seconds(*last))
        }
    }
}

fn row(name: &str, visits: &[Visit]) {
    let times = |key: &str| visits.iter().filter_map(|visit| visit.notes[key].as_f64()).collect::<Vec<f64>>();
    let columns = ["readable", "drawn", "picture", "step"].map(|key| spread(&times(key)));
    let bytes: Vec<f64> = visits.iter().map(|visit| visit.files.iter().map(|file| file.bytes).sum()).collect();
    let mut sorted = bytes;
    sorted.sort_by(f64::total_cmp);
    println!("| {name} | {} | {:.0} |", columns.join(" | "), sorted[sorted.len() / 2] / 1e3);
}

/// Every file of a visit, in the order in which they were asked for.
fn list(visit: &Visit, origin: &str) {
    eprintln!("\n| file | asked by | from, s | to, s | kB |\n|---|---|---|---|---|");
    for file in &visit.files {
        let name = file.name.strip_prefix(origin).unwrap_or(&file.name);
        let name = name.split(['?', '#']).next().filter(|name| !name.is_empty()).unwrap_or("index.html");
        let (from, to) = (file.from / 1e3, file.to / 1e3);
        eprintln!("| {name} | {} | {from:.2} | {to:.2} | {:.1} |", file.who, file.bytes / 1e3);
    }
}

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(ROUNDS).max(1);
    let [listed, plain] = ["files", "plain"].map(|wanted| words.iter().any(|word| word == wanted));
    let folders: Vec<Folder> = [false, true].into_iter().take(if plain { 1 } else { 2 }).map(Folder::new).collect();
    let [answer, kilobyte] = calibrate(&Behind::start(&folders[0]));
    println!("The line: an answer after {:.0} ms, {:.2} Mbit/s", answer * 1e3, 8e-3 / kilobyte);
    println!("{rounds} rounds, seconds since the page was asked for: median (least to most)\n");
    println!(
        "| visit | first contentful paint | drawn | first picture | first training step | kB |\n|---|---|---|---|---|---|"
    );
    for (folder, how) in folders.iter().zip(["as they are", "compressed"]) {
        for (link, awaited) in LINKS {
            let (mut first, mut again) = (Vec::new(), Vec::new());
            let mut last = (String::new(), 0);
            for _ in 0..rounds {
                let behind = Behind::start(folder);
                let browser = Browser::start(&arguments());
                browser.before_every_page(NOTES);
                let visit = behind.visit(&browser, link, awaited);
                last = (behind.origin(), behind.asked_for_the_copy(visit.notes[awaited].as_f64().unwrap_or(0.0)));
                first.push(visit);
                keep_copy(&browser);
                // Where the first page had a GPU worker, the process that also paints is still at its shaders.
                browser.goto("about:blank");
                thread::sleep(REST);
                again.push(behind.visit(&browser, link, awaited));
            }
            let name = if link.is_empty() { "no link" } else { link };
            row(&format!("`{name}`, first, files {how}"), &first);
            row(&format!("`{name}`, with its copy, files {how}"), &again);
            if listed {
                let (origin, others) = &last;
                for (visits, which) in [(&first, "first"), (&again, "with its copy")] {
                    eprintln!("\n`{name}`, {which}, files {how}, last round");
                    list(visits.last().expect("a round"), origin);
                }
                eprintln!("\nOf the first the service worker had asked for {others} more.");
            }
        }
    }
    println!();
    for (what, goal) in GOALS {
        println!("Aimed at: {what} within {goal:.0} s.");
    }
}
