//! The page as a visitor sees it: by the names of its controls.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, process, thread};

use scorefield::protocol::Command;
use scorefield::serve::Server;
use serde_json::{Value, json};

use super::webdriver::{Browser, Kind, arguments, wait_until};

/// Where the page lives in the tests: not at the root, as on most static hosts.
const PREFIX: &str = "/some/where";

/// How long a slow machine may take for a short thing.
pub const SOON: Duration = Duration::from_secs(60);
/// And for training on a software renderer.
pub const LATE: Duration = Duration::from_secs(600);

/// A study that runs by itself and is over at once, with settings of its own.
pub const LIVE: &str = "#experiment=score-1d&device=cpu&chains=200&langevin-steps=50";

/// Lets a test reach the workers that the page starts.
const KEEP_WORKERS: &str = "
const Native = Worker;
globalThis.workers = [];
globalThis.Worker = class extends Native {
  constructor(address, options) { super(address, options); globalThis.workers.push([String(address), this]); }
};";

/// A browser that takes no module with instructions beyond the usual ones.
const NOT_RELAXED: &str = "WebAssembly.validate = () => false;";

/// Copies a folder, with links to its files where the disk has them.
pub fn copy_links(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").filter_map(Result::ok) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_links(&entry.path(), &target);
        } else if fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

/// Puts other content in the place of a served file. The file itself may be a link to the original.
pub fn replace(served: &Path, name: &str, content: &str) {
    let path = served.join(name);
    fs::remove_file(&path).expect("a served file");
    fs::write(path, content).expect("a file of ours");
}

/// The built page.
pub fn dist() -> PathBuf {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    assert!(dist.join("index.html").exists(), "there is no page in dist/: run make dist");
    dist
}

/// What a test has for itself.
fn folder_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("scorefield-{}-{name}", process::id()))
}

/// A page in a browser of its own.
pub struct Page {
    pub browser: Browser,
    /// Serves the page, unless another one does.
    server: Option<Server>,
    /// The address that serves it, and the path there.
    place: (String, String),
    name: &'static str,
    /// Where saved files go.
    pub folder: PathBuf,
}

impl Page {
    /// Opens the page with a link's fragment. `name` names what is left behind when the test fails.
    pub fn open(name: &'static str, fragment: &str) -> Self {
        Self::open_with(&arguments(), name, fragment, |_| {})
    }

    /// The same after a change to the files that are served: they are copied, and the copy is handed over.
    pub fn open_changed(name: &'static str, fragment: &str, change: impl FnOnce(&Path)) -> Self {
        Self::open_with(&arguments(), name, fragment, change)
    }

    /// The same with more arguments for the browser.
    pub fn open_asking(name: &'static str, fragment: &str, more: &[&str]) -> Self {
        Self::open_with(&[arguments(), more.to_vec()].concat(), name, fragment, |_| {})
    }

    /// The same in a browser on a graphics card: with these arguments in place of those for software (`benches/gpu_day`).
    #[allow(dead_code)]
    pub fn open_on_a_card(name: &'static str, card: &[&str], fragment: &str) -> Self {
        let software = |argument: &&str| !argument.contains("swiftshader") && !argument.contains("webgpu");
        let others = arguments().into_iter().filter(software);
        Self::open_with(&others.chain(card.iter().copied()).collect::<Vec<_>>(), name, fragment, |_| {})
    }

    /// The same in a browser that knows nothing of WebGPU.
    pub fn open_without_webgpu(name: &'static str, fragment: &str) -> Self {
        let mut without: Vec<&str> = arguments().into_iter().filter(|a| !a.contains("webgpu")).collect();
        without.extend(["--disable-features=WebGPU,WebGPUService", "--disable-blink-features=WebGPU"]);
        Self::open_with(&without, name, fragment, |_| {})
    }

    /// The same from a server that is there already, at this address, with what follows the path there.
    pub fn open_from(name: &'static str, address: &str, rest: &str) -> Self {
        Self::open_in(&arguments(), &[KEEP_WORKERS], name, (address.to_owned(), "/".to_owned()), None, rest)
    }

    /// The same in a browser without relaxed vector instructions, as far as it tells the page.
    pub fn open_without_relaxed_simd(name: &'static str, fragment: &str) -> Self {
        let scripts = [KEEP_WORKERS, NOT_RELAXED];
        let (server, place) = Self::serve(name, |_| {});
        Self::open_in(&arguments(), &scripts, name, place, Some(server), fragment)
    }

    /// The same with a script that runs in every page before its own.
    pub fn open_with_script(name: &'static str, script: &str, fragment: &str) -> Self {
        let (server, place) = Self::serve(name, |_| {});
        Self::open_in(&arguments(), &[KEEP_WORKERS, script], name, place, Some(server), fragment)
    }

    /// The same without waiting for anything to be drawn, after a change to the files that are served.
    pub fn open_whatever_comes(name: &'static str, fragment: &str, change: impl FnOnce(&Path)) -> Self {
        let (server, place) = Self::serve(name, change);
        let page = Self::started(&arguments(), &[KEEP_WORKERS], name, place, Some(server));
        page.browser.goto(&format!("{}{fragment}", page.address()));
        page
    }

    /// The same in another browser.
    pub fn open_in_a(kind: Kind, name: &'static str, fragment: &str) -> Self {
        let (server, place) = Self::serve(name, |_| {});
        let folder = folder_of(name);
        let page = Self { browser: kind.start(), server: Some(server), place, name, folder };
        page.go(fragment);
        page
    }

    fn open_with(arguments: &[&str], name: &'static str, fragment: &str, change: impl FnOnce(&Path)) -> Self {
        let (server, place) = Self::serve(name, change);
        Self::open_in(arguments, &[KEEP_WORKERS], name, place, Some(server), fragment)
    }

    /// A server of the built page after a change to its files, and its address and the path there.
    fn serve(name: &str, change: impl FnOnce(&Path)) -> (Server, (String, String)) {
        let served = folder_of(name).join("served");
        copy_links(&dist(), &served);
        change(&served);
        let server = Server::start(&served, PREFIX, 0).expect("a free port");
        let place = (server.address().to_string(), format!("{PREFIX}/"));
        (server, place)
    }

    fn open_in(
        arguments: &[&str],
        scripts: &[&str],
        name: &'static str,
        place: (String, String),
        server: Option<Server>,
        rest: &str,
    ) -> Self {
        let page = Self::started(arguments, scripts, name, place, server);
        page.go(rest);
        page
    }

    /// The browser, before it has opened anything.
    fn started(
        arguments: &[&str],
        scripts: &[&str],
        name: &'static str,
        place: (String, String),
        server: Option<Server>,
    ) -> Self {
        let folder = folder_of(name);
        fs::create_dir_all(&folder).expect("a folder for saved files");
        let browser = Browser::start(arguments);
        browser.save_into(&folder.to_string_lossy());
        scripts.iter().for_each(|script| browser.before_every_page(script));
        Self { browser, server, place, name, folder }
    }

    /// Ends the page's own server, as a network that is gone.
    pub fn end_server(&mut self) {
        self.server = None;
    }

    /// Opens another link.
    pub fn go(&self, fragment: &str) {
        self.browser.goto(&format!("{}{fragment}", self.address()));
        // An experiment has a run with its state; the contents have none.
        self.until("the page is drawn", SOON, || {
            self.state().or_else(|| self.attribute("contents", "aria-busy").filter(|busy| busy == "false")).map(drop)
        });
    }

    /// Where the page comes from, with its final slash.
    pub fn origin(&self) -> String {
        format!("http://{}/", self.place.0)
    }

    /// Posts a command to a worker of the page, past the page. `stem` is the worker's file name.
    pub fn command(&self, stem: &str, command: &Command) {
        let bytes = scorefield::wire::encode(command).expect("bytes");
        let sent = self.browser.script(
            "const found = workers.filter(([address]) => address.includes(arguments[0])).pop();
             if (found) found[1].postMessage(Uint8Array.from(arguments[1]));
             return !!found;",
            &[json!(stem), json!(bytes)],
        );
        assert_eq!(sent, Value::Bool(true), "there is no worker {stem}");
    }

    /// Lets go of a file over the page.
    pub fn drop_file(&self, name: &str, content: &[u8]) {
        self.drop_files(&[(name, content)]);
    }

    /// Lets go of files over the page, all at once.
    pub fn drop_files(&self, files: &[(&str, &[u8])]) {
        self.browser.script(
            "const carried = new DataTransfer();
             for (const [name, content] of arguments[0])
               carried.items.add(new File([Uint8Array.from(content)], name));
             const main = document.querySelector('main');
             for (const kind of ['dragenter', 'dragover', 'drop'])
               main.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));",
            &[json!(files)],
        );
    }

    /// What the page offers as a file after pressing a button: its content. The file is gone afterwards.
    pub fn take_file(&self, button: &str, ending: &str) -> Vec<u8> {
        self.press(button);
        let path = self.saved(ending);
        let content = fs::read(&path).expect("a readable file");
        fs::remove_file(path).expect("a file of ours");
        content
    }

    /// The samples at the end of the run, by way of the file that the page offers of those on show.
    pub fn samples(&self) -> Vec<[f64; 2]> {
        let last = self.browser.script("return document.querySelector(\"[data-testid='time']\").max;", &[]);
        self.set("time", last.as_str().expect("a slider"));
        let table = String::from_utf8(self.take_file("export-samples", ".csv")).expect("a text");
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some("x,y"));
        let point = |line: &str| {
            let (x, y) = line.split_once(',').expect("two columns");
            [x.parse().expect("a number"), y.parse().expect("a number")]
        };
        lines.map(point).collect()
    }

    /// The fragment of the page's address.
    pub fn fragment(&self) -> String {
        self.browser.script("return location.hash;", &[]).as_str().unwrap_or_default().to_owned()
    }

    /// The page's address, without what follows its path.
    fn address(&self) -> String {
        format!("http://{}{}", self.place.0, self.place.1)
    }

    /// An attribute of the element with this test id; `None` without the element or the attribute.
    pub fn attribute(&self, id: &str, name: &str) -> Option<String> {
        let value = self.browser.script(
            "const e = document.querySelector(`:not(select, input, textarea)[data-testid='${arguments[0]}']`); return e && e.getAttribute(arguments[1]);",
            &[json!(id), json!(name)],
        );
        value.as_str().map(str::to_owned)
    }

    /// An attribute that is a number.
    pub fn number(&self, id: &str, name: &str) -> Option<f64> {
        self.attribute(id, name)?.parse().ok()
    }

    /// The bytes of a canvas: red, green, blue and opacity of every pixel.
    pub fn pixels(&self, id: &str) -> Vec<u8> {
        let read = self.browser.script(
            "const e = document.querySelector(`canvas[data-testid='${arguments[0]}']`);
             if (!e) return '';
             const data = e.getContext('2d').getImageData(0, 0, e.width, e.height).data;
             return Array.from(data, v => v.toString(16).padStart(2, '0')).join('');",
            &[json!(id)],
        );
        let text = read.as_str().unwrap_or_default();
        (0..text.len() / 2).filter_map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect()
    }

    /// What the element with this test id says.
    pub fn text(&self, id: &str) -> String {
        let value = self.browser.script(
            "const e = document.querySelector(`:not(select, input, textarea)[data-testid='${arguments[0]}']`); return e ? e.textContent : '';",
            &[json!(id)],
        );
        value.as_str().unwrap_or_default().to_owned()
    }

    /// The value of a control; an empty text when it is not shown.
    pub fn value(&self, id: &str) -> String {
        let value = self.browser.script(
            "const e = document.querySelector(`:is(select, input, textarea)[data-testid='${arguments[0]}']`); return e ? String(e.value) : '';",
            &[json!(id)],
        );
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Sets a control and tells the page, as choosing or typing does. Unfolds what it is in first.
    pub fn set(&self, id: &str, value: &str) {
        let done = self.browser.script(
            "const e = document.querySelector(`:is(select, input, textarea)[data-testid='${arguments[0]}']`);
             if (!e) return false;
             for (let d = e.closest('details'); d; d = d.parentElement.closest('details')) d.open = true;
             e.value = arguments[1];
             e.dispatchEvent(new Event('input', { bubbles: true }));
             e.dispatchEvent(new Event('change', { bubbles: true }));
             return true;",
            &[json!(id), json!(value)],
        );
        assert_eq!(done, Value::Bool(true), "there is no control {id}");
    }

    /// Changes the language, and waits until the page speaks it in its direction.
    pub fn speak(&self, language: &str, direction: &str, limit: Duration) {
        self.set("language", language);
        self.until("the page changes its language", limit, || {
            let shown = self.browser.script("const h = document.documentElement; return h.lang + ' ' + h.dir;", &[]);
            (shown.as_str()? == format!("{language} {direction}")).then_some(())
        });
    }

    /// Clicks a button once it can be clicked.
    pub fn press(&self, id: &str) {
        let selector = format!("[data-testid='{id}']");
        self.browser.script(
            "const e = document.querySelector(arguments[0]);
             for (let d = e && e.closest('details'); d; d = d.parentElement.closest('details')) d.open = true;
             const status = document.querySelector(\"[data-testid='status']\");
             if (status && !status.heard) {
               const hear = changes => status.heard.push(...changes.map(c => c.oldValue), status.dataset.state);
               new MutationObserver(hear).observe(status, { attributeFilter: ['data-state'], attributeOldValue: true });
             }
             if (status) status.heard = [];",
            &[json!(selector)],
        );
        let mut last = String::new();
        let enabled = || {
            // Into the middle, as a visitor would have it: at the edges lies what sticks there.
            let enabled = self.browser.script(
                "const e = document.querySelector(arguments[0]); e?.scrollIntoView({ block: 'center' });
                 return !!e && !e.disabled;",
                &[json!(selector)],
            );
            enabled.as_bool().filter(|&e| e)
        };
        wait_until(SOON, || {
            enabled()?;
            self.browser.click(&selector).map_err(|error| last = error).ok()
        })
        .unwrap_or_else(|| panic!("{id} cannot be pressed: {last}"));
    }

    /// The step that a training is at, once it says so.
    pub fn step(&self) -> Option<f64> {
        self.text("status").split_whitespace().find_map(|word| word.parse().ok())
    }

    /// The one word for what goes on: loading, idle, running, paused, done or failed.
    pub fn state(&self) -> Option<String> {
        self.attribute("status", "data-state")
    }

    /// Waits until what was pressed last has begun a run, however soon that was over.
    pub fn begun(&self) {
        let heard = "return !!document.querySelector(\"[data-testid='status']\")?.heard?.includes('running');";
        self.until("a run begins", SOON, || self.browser.script(heard, &[]).as_bool().filter(|&begun| begun));
    }

    /// Waits for one of these words; a failure is one only if it is not expected.
    pub fn wait_for(&self, states: &[&str], limit: Duration) -> String {
        self.until(&format!("the page is {}", states.join(" or ")), limit, || {
            let state = self.state()?;
            assert!(state != "failed" || states.contains(&"failed"), "the page failed: {}", self.text("error"));
            states.contains(&state.as_str()).then_some(state)
        })
    }

    /// Asks until there is an answer, and fails the test by name when there is none.
    pub fn until<T>(&self, what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
        wait_until(limit, ask).unwrap_or_else(|| {
            panic!("{what}: not after {} s; status {:?}, error {:?}", limit.as_secs(), self.state(), self.text("error"))
        })
    }

    /// The file that was saved with this ending, once it is complete.
    pub fn saved(&self, ending: &str) -> PathBuf {
        self.until(&format!("a file {ending} is saved"), SOON, || {
            let files = fs::read_dir(&self.folder).ok()?.filter_map(Result::ok).map(|e| e.path());
            // An unfinished file ends in something else, and its name is kept free for it by an empty one.
            files.into_iter().find(|path| {
                let written = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0);
                written && path.to_string_lossy().ends_with(ending)
            })
        })
    }

    /// Addresses that were asked for anywhere but on the page's own origin.
    fn strangers(&self) -> Vec<String> {
        let own = self.origin();
        if self.browser.kind != Kind::Chromium {
            // Those of the page itself; what its workers ask for is not told.
            let asked = "return performance.getEntriesByType('resource').map(entry => entry.name);";
            let asked = self.browser.script(asked, &[]);
            let asked = asked.as_array().into_iter().flatten().filter_map(Value::as_str);
            return asked
                .filter(|url| !url.starts_with("blob:") && !url.starts_with(&own))
                .map(str::to_owned)
                .collect();
        }
        let mut strangers = Vec::new();
        for entry in self.browser.log("performance") {
            let Some(message) = entry["message"].as_str().and_then(|m| serde_json::from_str::<Value>(m).ok()) else {
                continue;
            };
            let message = &message["message"];
            if message["method"] == "Network.requestWillBeSent"
                && let Some(url) = message["params"]["request"]["url"].as_str()
                && !["data:", "blob:", "about:", own.as_str()].iter().any(|allowed| url.starts_with(allowed))
            {
                strangers.push(url.to_owned());
            }
        }
        strangers
    }

    /// Ends a test in which the console had to say something: nothing was asked of others.
    pub fn close_after_trouble(self) {
        assert_eq!(self.strangers(), Vec::<String>::new(), "requests to other origins");
    }

    /// Ends a test: nothing was said on the console (where the driver hands it over), nothing was asked of others.
    pub fn close(self) {
        if self.browser.kind != Kind::Chromium {
            return self.close_after_trouble();
        }
        let errors: Vec<String> = self
            .browser
            .log("browser")
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "errors on the console");
        assert_eq!(self.strangers(), Vec::<String>::new(), "requests to other origins");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if thread::panicking() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e");
            let file = folder.join(format!("{}.png", self.name));
            if fs::create_dir_all(&folder).is_ok()
                && let Some(picture) = self.browser.screenshot()
                && fs::write(&file, picture).is_ok()
            {
                eprintln!("what the page looked like: {}", file.display());
            }
            let said = if self.browser.kind == Kind::Chromium { self.browser.log("browser") } else { Vec::new() };
            for entry in said {
                eprintln!("console: {} {}", entry["level"], entry["message"]);
            }
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}
