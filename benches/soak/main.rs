//! Hours of use under a watch on memory: `make soak HOURS=8`. A page that is never loaded again trains, samples, runs every
//! study for a while, makes images and changes its language; one in another browser is loaded anew each time; the program
//! serves both and computes for the first; and the program trains on images all the while. Every quantity's slope after
//! the first quarter is written with its error, and one of ours that grows ends this with a failure.
//! Needs dist/ and the program (`SCOREFIELD_PROGRAM`). `SCOREFIELD_TRAINING=PID` watches a training that runs already.

#[path = "../../tests/support/bands.rs"]
mod bands;
#[path = "../../tests/e2e/page.rs"]
#[allow(dead_code)]
mod page;
mod processes;
#[path = "../../tests/support/serving.rs"]
#[allow(dead_code)]
mod serving;
mod slope;
mod training;
#[path = "../../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, thread};

use page::{LATE, Page, SOON, dist};
use processes::{Kind, resident};
use scorefield::study::STUDIES;
use serving::Serving;
use slope::Slope;

const MEGABYTE: f64 = 1e6;

/// More than that an hour, with certainty, is a leak.
const LIMIT_MEGABYTES_AN_HOUR: f64 = 1.0;

/// What browsers' processes have is told and decides nothing: beside what page and workers hold, which does, it is the room
/// that the browser's allocators keep, and what its driver leaves.
const NOT_OURS: [&str; 2] = ["its process", "the browser's others"];

/// How long each study is watched before it is stopped.
const STUDY: Duration = Duration::from_secs(6);

/// Keeps the memories of WebAssembly that a page or a worker has, and tells their size to who asks.
const MEMORIES: &str = "
globalThis.memories = [];
for (const name of ['instantiate', 'instantiateStreaming']) {
  const own = WebAssembly[name];
  WebAssembly[name] = async (...of) => {
    const made = await own.apply(WebAssembly, of);
    const memory = (made.instance ?? made).exports?.memory;
    if (memory) memories.push(memory);
    return made;
  };
}
if (!globalThis.document) {
  const asked = new BroadcastChannel('memories');
  asked.onmessage = ({ data }) => data === 'ask' && asked.postMessage(memories.map(m => m.buffer.byteLength));
}
";

/// The sizes of the page's own memory and of those of its workers, in bytes.
const SIZES: &str = "
const done = arguments[arguments.length - 1];
const asked = new BroadcastChannel('memories');
let workers = 0;
asked.onmessage = ({ data }) => { if (Array.isArray(data)) for (const bytes of data) workers += bytes; };
asked.postMessage('ask');
setTimeout(() => {
  asked.close();
  const own = globalThis.memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
  done([own, workers]);
}, 1500);";

/// What was measured at a time, by name, in megabytes.
type Row = BTreeMap<&'static str, f64>;

/// A copy of the page whose workers tell the size of their memory.
fn served() -> PathBuf {
    let folder = env::temp_dir().join(format!("scorefield-soak-{}", std::process::id()));
    page::copy_links(&dist(), &folder);
    for stem in ["worker_cpu", "worker_cpu_relaxed", "worker_study"] {
        let name = format!("{stem}_loader.js");
        let text = fs::read_to_string(folder.join(&name)).expect("a loader");
        page::replace(&folder, &name, &format!("{MEMORIES}{text}"));
    }
    folder
}

fn open(name: &'static str, serving: &Serving, fragment: &str) -> Page {
    let page = Page::open_from(name, &serving.address, "");
    page.browser.before_every_page(MEMORIES);
    page.browser.evaluate_scripts();
    page.go(fragment);
    page
}

/// A small run in the plane that is not the one before.
fn plane(cycle: usize, device: &str) -> String {
    let pick = |of: &'static [&str]| of[cycle % of.len()];
    let data = pick(&["moons", "eight-gaussians", "checkerboard", "swiss-roll", "rings"]);
    let schedule = pick(&["edm", "linear", "cosine"]);
    let solver = pick(&["heun", "dpmpp-2m", "ddim", "euler-maruyama"]);
    format!(
        "#dataset={data}&schedule={schedule}&solver={solver}&device={device}&width=32&depth=2&batch=128\
         &training-steps=200&samples=500&steps=10&seed={cycle}&run=1"
    )
}

fn follow(page: &Page, link: &str) {
    page.browser.script("location.hash = arguments[0];", &[link.into()]);
    thread::sleep(Duration::from_millis(500));
    page.wait_for(&["running", "done"], LATE);
}

/// Presses a button by a script: the driver would keep every element that it is asked to click, and with it what it was in.
fn press(page: &Page, id: &str) {
    let click = "document.querySelector(`[data-testid='${arguments[0]}']`)?.click();";
    page.browser.script(click, &[id.into()]);
    thread::sleep(Duration::from_millis(300));
}

/// What a visitor does who never loads the page again.
fn stay(page: &Page, cycle: usize) {
    // The tests keep every worker that there was.
    page.browser.script("globalThis.workers.length = 0;", &[]);
    let device = if cycle % 5 == 4 { "remote" } else { "cpu" };
    follow(page, &plane(cycle, device));
    page.wait_for(&["done"], LATE);
    press(page, "sample");
    page.wait_for(&["done"], LATE);
    follow(page, &format!("#experiment=images&device=cpu&images=2&steps=3&seed={cycle}&run=1"));
    page.wait_for(&["done"], LATE);
    let study = &STUDIES[cycle % STUDIES.len()];
    follow(page, &format!("#experiment={}&device=cpu&seed={cycle}&run=1", study.id));
    let begin = Instant::now();
    while begin.elapsed() < STUDY && page.state().as_deref() == Some("running") {
        thread::sleep(Duration::from_millis(200));
    }
    if page.state().as_deref() == Some("running") {
        press(page, "stop");
        page.wait_for(&["done", "paused", "idle"], LATE);
    }
    for (language, direction) in [("fa", "rtl"), ("zh", "ltr"), ("en", "ltr")] {
        page.speak(language, direction, SOON);
    }
}

/// What is measured of a browser's processes, by the names of its quantities.
fn measure(page: &Page, names: [&'static str; 2], row: &mut Row) {
    // What its allocators keep for later would hide what is in use.
    page.browser.press_for_memory();
    thread::sleep(Duration::from_millis(500));
    row.insert(names[0], resident(page.browser.pid(), Kind::Renderer));
    row.insert(names[1], resident(page.browser.pid(), Kind::Browser));
    // What was said on the way is taken from the driver, which would keep it.
    drop((page.browser.log("performance"), page.browser.log("browser")));
}

/// What the page and its workers hold, by name, in megabytes.
fn sizes(page: &Page) -> [(&'static str, f64); 4] {
    // Twice: what the first frees may have held more.
    page.browser.collect_garbage();
    page.browser.collect_garbage();
    let memories = page.browser.script_async(SIZES, &[]);
    let [own, workers] = [0, 1].map(|place| memories[place].as_f64().expect("a size"));
    let [scripts, elements] = page.browser.heaps();
    [
        ("page: WebAssembly", own),
        ("workers: WebAssembly", workers),
        ("page: scripts", scripts),
        ("page: elements and what belongs to them", elements),
    ]
    .map(|(name, bytes)| (name, bytes / MEGABYTE))
}

/// Who is watched.
struct Watched {
    staying: Page,
    anew: Page,
    serving: Serving,
    training: u32,
}

fn cycle(number: usize, watched: &Watched) -> Row {
    let Watched { staying, anew, serving, training } = watched;
    let mut row = Row::new();
    stay(staying, number);
    row.extend(sizes(staying));
    measure(staying, ["page that stays: its process", "page that stays: the browser's others"], &mut row);
    anew.go(&plane(number, "cpu"));
    anew.wait_for(&["done"], LATE);
    measure(anew, ["page loaded anew: its process", "page loaded anew: the browser's others"], &mut row);
    row.insert("program that serves and computes", resident(serving.pid(), Kind::Itself));
    row.insert("program that trains on images", resident(*training, Kind::Itself));
    row
}

fn main() {
    let asked = env::args().skip(1).find_map(|word| word.parse::<f64>().ok());
    let hours = asked.expect("hours: cargo bench … --bench soak -- 2");
    let program = env::var_os("SCOREFIELD_PROGRAM").expect("SCOREFIELD_PROGRAM: the native program");
    let folder = served();
    let running = env::var("SCOREFIELD_TRAINING").ok().map(|pid| pid.parse().expect("a process"));
    let trained = running.is_none().then(|| training::Training::start(Path::new(&program)));
    let training = running.or_else(|| trained.as_ref().map(training::Training::pid)).expect("one of both");
    let serving = Serving::start(&program, &folder.to_string_lossy(), "0", &["--remote"]);
    let staying = open("soak-stays", &serving, "#device=cpu");
    let anew = open("soak-anew", &serving, "#device=cpu");
    let watched = Watched { staying, anew, serving, training };
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/soak.csv");
    fs::create_dir_all(kept.parent().expect("a folder")).expect("a folder");
    let mut table = File::create(&kept).expect("a file");
    let (begin, mut rows) = (Instant::now(), Vec::<(f64, Row)>::new());
    while begin.elapsed().as_secs_f64() < hours * 3600.0 {
        let row = cycle(rows.len(), &watched);
        let at = begin.elapsed().as_secs_f64() / 3600.0;
        if rows.is_empty() {
            let names: Vec<&str> = row.keys().copied().collect();
            writeln!(table, "hours,{}", names.join(",")).expect("a line");
        }
        let values: Vec<String> = row.values().map(|value| format!("{value:.3}")).collect();
        writeln!(table, "{at:.5},{}", values.join(",")).expect("a line");
        println!("round {} at {:.2} of {hours} hours: {} MB", rows.len() + 1, at, values.join(", "));
        rows.push((at, row));
    }
    // What is kept once for every study takes as many rounds to be there.
    let from = (rows.len() / 4).max(STUDIES.len());
    println!(
        "\n{} rounds in {:.2} hours, the last {} counted; {}\n",
        rows.len(),
        hours,
        rows.len() - from,
        kept.display()
    );
    println!("| memory of | first, MB | last, MB | slope, MB an hour (99 % interval) | |\n|---|---|---|---|---|");
    let mut growing = Vec::new();
    for name in rows[0].1.keys() {
        let series: Vec<[f64; 2]> = rows[from..].iter().map(|(at, row)| [*at, row[name]]).collect();
        let slope = Slope::of(&series).expect("hours enough for every study and two rounds in each of ten parts");
        let ours = !NOT_OURS.iter().any(|not| name.ends_with(not));
        let grows = slope.value - slope.error > LIMIT_MEGABYTES_AN_HOUR;
        let verdict = match (grows, ours) {
            (true, true) => "grows",
            (true, false) => "grows, not ours",
            (false, _) => "flat",
        };
        let [first, last] = [series[0][1], series[series.len() - 1][1]];
        println!("| {name} | {first:.1} | {last:.1} | {:.2} ± {:.2} | {verdict} |", slope.value, slope.error);
        growing.extend((grows && ours).then_some(*name));
    }
    drop((watched, trained));
    drop(fs::remove_dir_all(folder));
    assert!(growing.is_empty(), "memory grows: {growing:?}");
}
