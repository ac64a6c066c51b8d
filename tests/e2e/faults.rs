//! Faults played in the browser, one test for each row of docs/faults.md that has no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::contents::listed;
use super::page::{LATE, LIVE, Page, SOON, replace};

/// A training that is over soon.
const SMALL: &str =
    "#dataset=mixture&device=cpu&width=16&depth=1&batch=64&training-steps=300&samples=200&steps=5&seed=3";

/// Ends a worker at the first message of a kind, before the page hears of it, and tells the page that it has crashed.
/// Without a kind it only takes note of them.
const KILLING: &str = "
const Kept = Worker;
globalThis.kinds = [];
globalThis.Worker = class extends Kept {
  constructor(address, options) {
    super(address, options);
    this.addEventListener('message', event => {
      const kind = event.data[4];
      if (!kinds.includes(kind)) kinds.push(kind);
      if (globalThis.killedAt !== kind) return;
      delete globalThis.killedAt;
      event.stopImmediatePropagation();
      this.terminate();
      setTimeout(() => this.dispatchEvent(new ErrorEvent('error', { message: 'killed', cancelable: true })));
    });
  }
};";

fn script(page: &Page, body: &str) -> Value {
    page.browser.script(body, &[])
}

/// Trains and samples, and waits for the end.
fn trains(page: &Page) {
    page.press("train");
    page.begun();
    page.wait_for(&["done"], LATE);
    page.press("sample");
    page.begun();
    page.wait_for(&["done"], LATE);
}

/// The kinds of messages that the workers have sent so far.
fn kinds(page: &Page) -> BTreeSet<u64> {
    script(page, "return kinds;").as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

#[test]
fn a_worker_killed_at_any_kind_of_message_is_told_and_one_press_goes_on() {
    let page = Page::open_with_script("killed", KILLING, SMALL);
    page.wait_for(&["idle"], SOON);
    trains(&page);
    page.press("inspect");
    page.begun();
    page.wait_for(&["done"], LATE);
    let seen = kinds(&page);
    assert!(seen.len() >= 6, "{seen:?}");
    let (all, mut killed) = (seen.len(), 0);
    for kind in seen {
        page.go(SMALL);
        // The first message of all says that the worker is there: it is over before a script can ask.
        page.wait_for(&["idle"], SOON);
        page.browser.script("globalThis.killedAt = arguments[0];", &[json!(kind)]);
        // Whatever comes first: a training, its samples, or a new worker.
        for button in ["train", "sample", "inspect", "restart"] {
            let gone = "return !('killedAt' in globalThis);";
            if script(&page, gone) == Value::Bool(true) || page.state().as_deref() == Some("failed") {
                break;
            }
            page.press(button);
            page.until("it ends, well or not", LATE, || {
                page.state().filter(|state| ["done", "failed"].contains(&state.as_str()))
            });
        }
        if page.state().as_deref() != Some("failed") {
            // Told while no worker starts anew: nothing to lose.
            continue;
        }
        killed += 1;
        assert!(!page.text("error").trim().is_empty(), "kind {kind}");
        assert_eq!(page.value("width"), "16", "kind {kind}: the settings are kept");
        page.press("recover");
        page.wait_for(&["idle", "running", "done"], SOON);
        page.wait_for(&["idle", "done"], LATE);
        trains(&page);
    }
    println!("killed at {killed} of {all} kinds of messages");
    // Not that of being there, which a worker sends once, before anything is asked of it.
    assert!(killed + 1 >= all, "killed at {killed} of {all} kinds");
    page.close_after_trouble();
}

#[test]
fn a_browser_that_refuses_storage_shows_the_whole_page_and_only_forgets() {
    let refused = "
for (const name of ['localStorage', 'sessionStorage', 'caches'])
  Object.defineProperty(globalThis, name, { get() { throw new DOMException('refused', 'SecurityError'); } });";
    let page = Page::open_with_script("storage-refused", refused, SMALL);
    page.wait_for(&["idle"], SOON);
    trains(&page);
    page.speak("fa", "rtl", SOON);
    page.set("theme", "dark");
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    assert_eq!(page.value("width"), "16", "the link keeps the settings");
    page.press("contents-link");
    listed(&page);
    page.close();
}

#[test]
fn a_full_storage_keeps_nothing_half_and_the_run_goes_on() {
    let full = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };";
    let page = Page::open_with_script("storage-full", full, SMALL);
    page.wait_for(&["idle"], SOON);
    trains(&page);
    let left = script(&page, "return [localStorage.length, sessionStorage.length];");
    assert_eq!(left, json!([0, 0]), "nothing half");
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    page.close();
}

#[test]
fn storage_that_is_taken_away_between_visits_leaves_the_settings_of_the_link() {
    let page = Page::open("storage-away", SMALL);
    page.wait_for(&["idle"], SOON);
    trains(&page);
    page.browser.script_async(
        "const done = arguments[arguments.length - 1];
         localStorage.clear(); sessionStorage.clear();
         caches.keys().then(names => Promise.all(names.map(name => caches.delete(name)))).then(() => done(1));",
        &[],
    );
    page.browser.reload();
    page.wait_for(&["idle"], SOON);
    assert_eq!(page.value("training-steps"), "300");
    trains(&page);
    page.close();
}

/// The files of this kind that are served.
fn named(served: &Path, begins: &str, ends: &str) -> Vec<String> {
    let (folder, begins) = begins.rsplit_once('/').map_or(("", begins), |(folder, begins)| (folder, begins));
    let entries = fs::read_dir(served.join(folder)).expect("a served folder").filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names = names.filter(|name| name.starts_with(begins) && name.ends_with(ends));
    names.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }).collect()
}

/// What the page says when it has come to rest: of its start, of its state, of its notices.
fn said(page: &Page) -> String {
    let mut last = String::new();
    page.until("the page comes to rest and says something", SOON, || {
        let now = script(
            page,
            "const of = id => document.querySelector(`[data-testid='${id}']`);
             const seen = e => e && e.checkVisibility() ? e.innerText : '';
             const state = of('status')?.dataset.state ?? (of('contents')?.ariaBusy === 'false' ? 'contents' : '');
             return [seen(document.getElementById('starting')), state,
                     ['error', 'notice', 'catalogue-error', 'contents-error', 'weights-state'].map(id => seen(of(id))).join(' ').trim()]
               .join('|');",
        );
        let now = now.as_str()?.to_owned();
        let rests = now != "||" && !now.contains("|loading|");
        // Twice the same: nothing is on its way.
        let same = std::mem::replace(&mut last, now.clone()) == now;
        sleep(Duration::from_millis(400));
        (rests && same).then_some(now)
    })
}

#[test]
fn a_file_that_is_cut_short_or_replaced_by_a_proxys_page_is_said_whichever_it_is() {
    const IMAGES: &str = "#experiment=images&device=cpu&images=1&steps=2&run=1";
    // The file, the link that needs it, and what is said.
    let files = [
        ("app-", "_bg.wasm", SMALL, "JavaScript and WebAssembly"),
        ("app-", ".js", SMALL, "JavaScript and WebAssembly"),
        ("style-", ".css", SMALL, "|idle|"),
        ("locales/en", ".txt", SMALL, "could not be fetched"),
        ("studies", ".bin", LIVE, "damaged"),
        ("worker_cpu_relaxed", "_bg.wasm", SMALL, "|failed|"),
        ("worker_cpu_relaxed_loader", ".js", SMALL, "|failed|"),
        ("worker_cpu_relaxed", ".js", SMALL, "|failed|"),
        ("worker_study", "_bg.wasm", LIVE, "|failed|"),
        ("contents/en", ".html", "#contents", "could not be fetched"),
        ("weights/index", ".json", IMAGES, "The weights of this network are not there"),
        ("weights/cifar-32/manifest", ".json", IMAGES, "The weights of this network are not there"),
        ("weights/cifar-32/weights.00", ".safetensors", IMAGES, "The weights of this network are not there"),
    ];
    let proxy = "<!DOCTYPE html><html><title>Sign in</title><body>Sign in to this network</body></html>";
    let mut wrong = Vec::new();
    for (begins, ends, link, expected) in files {
        for cut in [true, false] {
            let page = Page::open_whatever_comes("cut", link, |served| {
                let names = named(served, begins, ends);
                assert!(!names.is_empty(), "{begins}…{ends}");
                for name in names.iter().filter(|name| !name.contains("loader") || begins.contains("loader")) {
                    let content = fs::read(served.join(name)).expect("a served file");
                    replace(served, name, proxy);
                    if cut {
                        fs::write(served.join(name), &content[..content.len() / 2]).expect("a file of ours");
                    }
                }
            });
            let said = said(&page);
            println!("{begins}…{ends}, {}: {said}", if cut { "cut" } else { "a proxy's" });
            if !said.contains(expected) {
                wrong.push(format!("{begins}…{ends}, cut: {cut}: {said}"));
            }
            page.close_after_trouble();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_slow_connection_takes_its_time_and_then_the_page_works() {
    let page = Page::open("slow", SMALL);
    page.browser.slow_network(300, 250_000);
    page.browser.script("caches.keys().then(names => names.forEach(name => caches.delete(name)));", &[]);
    page.go(SMALL);
    page.until("the page says that it loads, or is there", SOON, || {
        page.state().filter(|state| ["loading", "idle"].contains(&state.as_str()))
    });
    page.wait_for(&["idle"], LATE);
    trains(&page);
    page.close();
}

#[test]
fn two_tabs_train_side_by_side_and_keep_their_own() {
    let page = Page::open("two-tabs", SMALL);
    page.wait_for(&["idle"], SOON);
    page.press("train");
    let [first, second] = page.browser.another_tab();
    page.go(&SMALL.replace("width=16", "width=24").replace("steps=300", "steps=200"));
    page.wait_for(&["idle"], SOON);
    trains(&page);
    page.set("language", "zh");
    page.browser.look_at(&first);
    page.wait_for(&["done"], LATE);
    let keeps = |steps: &str, width: &str| {
        page.browser.reload();
        page.wait_for(&["idle"], SOON);
        assert_eq!(script(&page, "return sessionStorage.getItem('scorefield-step');").as_str(), Some(steps));
        assert_eq!(page.value("width"), width);
        page.press("sample");
        page.begun();
        page.wait_for(&["done"], LATE);
    };
    keeps("300", "16");
    page.browser.look_at(&second);
    keeps("200", "24");
    page.close();
}

#[test]
fn a_tab_that_was_frozen_goes_on_where_it_was() {
    let page = Page::open("frozen", &SMALL.replace("steps=300", "steps=20000"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.until("it trains", SOON, || page.step().filter(|&step| step > 0.0));
    page.browser.freeze(true);
    sleep(Duration::from_secs(3));
    page.browser.freeze(false);
    let step = page.until("it says where it is", SOON, || page.step());
    page.until("it goes on", SOON, || page.step().filter(|&now| now > step || page.state().as_deref() == Some("done")));
    page.press("stop");
    page.wait_for(&["done"], SOON);
    page.close();
}

#[test]
fn a_clock_that_jumps_makes_no_number_that_is_none() {
    let clock = "
let jumped = 0;
globalThis.jump = ms => { jumped += ms; };
for (const clock of [performance, Date]) {
  const now = clock.now.bind(clock);
  clock.now = () => now() + jumped;
}";
    let page = Page::open_with_script("clock", clock, &SMALL.replace("steps=300", "steps=100000"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    for jump in [3.6e6, -7.2e6, 1e12, -1e12] {
        page.until("it trains", SOON, || page.step().filter(|&step| step > 0.0));
        page.browser.script("jump(arguments[0]);", &[json!(jump)]);
        sleep(Duration::from_millis(300));
        let words = page.text("status");
        assert!(!["NaN", "∞", "inf", "-"].iter().any(|none| words.contains(none)), "{jump}: {words}");
    }
    page.wait_for(&["done"], LATE);
    page.press("sample");
    page.begun();
    page.wait_for(&["done"], LATE);
    page.close();
}

#[test]
fn a_hundred_restarts_in_a_row_leave_one_run_and_no_more_workers() {
    let page = Page::open("restarts", SMALL);
    page.wait_for(&["idle"], SOON);
    page.press("train");
    let before = script(&page, "return workers.length;").as_u64().expect("a number");
    page.browser.script_async(
        "const done = arguments[arguments.length - 1];
         const press = count => {
           document.querySelector(\"[data-testid='restart']\").click();
           if (count > 1) setTimeout(press, 15, count - 1); else done(1);
         };
         press(100);",
        &[],
    );
    page.wait_for(&["done"], LATE);
    page.press("export-losses");
    let table = fs::read_to_string(page.saved(".csv")).expect("a table");
    assert_eq!(table.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count(), 300, "one run");
    let after = script(&page, "return workers.length;").as_u64().expect("a number");
    assert!(after <= before + 1, "{before} workers, then {after}");
    page.close();
}

#[test]
fn a_gpu_that_is_lost_at_the_start_or_while_weights_load_is_told_and_one_press_goes_on() {
    for link in ["#dataset=mixture&device=gpu&width=8&depth=1", "#experiment=images&device=gpu&images=1&steps=1&run=1"]
    {
        let page = Page::open("lost-early", link);
        sleep(Duration::from_millis(500));
        page.browser.crash_gpu();
        page.until("it is told, or was not needed yet", LATE, || {
            page.state().filter(|state| ["failed", "idle", "done"].contains(&state.as_str()))
        });
        if page.state().as_deref() == Some("failed") {
            assert!(!page.text("error").trim().is_empty());
            page.press("recover");
            page.wait_for(&["idle", "running", "done"], LATE);
        }
        page.close_after_trouble();
    }
}

/// Keeps the graphics devices that a worker opens, and has the first say of an error when the page asks for it.
const COMPLAINING: &str = "
const opens = GPUAdapter.prototype.requestDevice;
const devices = [];
GPUAdapter.prototype.requestDevice = async function (...of) {
  const device = await opens.apply(this, of);
  devices.push(device);
  return device;
};
new BroadcastChannel('complain').onmessage = () => {
  const error = new GPUValidationError('an error that was played');
  devices[0]?.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error }));
};
";

#[test]
fn an_error_that_a_graphics_device_reports_ends_the_run_is_said_and_one_press_goes_on() {
    let link = "#dataset=mixture&device=gpu&width=8&depth=1&batch=16&training-steps=100000&samples=16&steps=2&run=1";
    let page = Page::open_changed("reported", link, |served| {
        let name = "worker_gpu_loader.js";
        let text = fs::read_to_string(served.join(name)).expect("a loader");
        replace(served, name, &format!("{COMPLAINING}{text}"));
    });
    page.wait_for(&["running"], LATE);
    sleep(Duration::from_secs(1));
    script(&page, "new BroadcastChannel('complain').postMessage('');");
    page.until("it is told", LATE, || page.state().filter(|state| state == "failed"));
    let told = page.text("error");
    assert!(told.contains("an error that was played"), "{told}");
    page.press("recover");
    page.wait_for(&["running"], LATE);
    page.press("stop");
    page.close_after_trouble();
}
