//! A browser under WebDriver (W3C recommendation of 2018), spoken to over plain sockets.
//!
//! A driver is started for each browser on a free port and ends with it.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use serde_json::{Value, json};

/// The name under which WebDriver hands over an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The browsers that the page is tried in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Chromium,
    Firefox,
    WebKit,
}

/// A browser with one window. It ends when dropped.
pub struct Browser {
    pub kind: Kind,
    driver: Child,
    /// The screen of a browser that needs one.
    screen: Option<Child>,
    port: u16,
    session: String,
    /// Whether scripts are evaluated past the driver.
    evaluates: Cell<bool>,
}

/// Chromium without a window, and with WebGPU by SwiftShader where there is no GPU.
pub fn arguments() -> Vec<&'static str> {
    vec![
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--enable-unsafe-webgpu",
        "--enable-unsafe-swiftshader",
        "--use-webgpu-adapter=swiftshader",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,900",
        "--lang=en",
    ]
}

/// A driver, and the port that it listens on; none when it ends without one.
fn start_driver(program: &str) -> Option<(Child, u16)> {
    let mut driver = Command::new(program)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started ({error}): run tools/setup test"));
    let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
    // "ChromeDriver was started successfully on port 33197."
    let port = lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    let Some(port) = port else {
        drop((driver.kill(), driver.wait()));
        return None;
    };
    // Whatever else it says must not fill the pipe.
    thread::spawn(move || lines.for_each(drop));
    Some((driver, port))
}

/// A screen that nobody sees, and its name.
fn start_screen() -> (Child, String) {
    let arguments = ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"];
    let command = &mut Command::new("Xvfb");
    let mut screen = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("Xvfb cannot be started ({error}): run tools/setup test"));
    let mut number = String::new();
    BufReader::new(screen.stdout.take().expect("piped")).read_line(&mut number).expect("a number");
    (screen, format!(":{}", number.trim()))
}

impl Kind {
    /// The program that drives this browser.
    pub fn driver(self) -> String {
        let (variable, program) = match self {
            Self::Chromium => ("CHROMEDRIVER", "chromedriver"),
            Self::Firefox => ("GECKODRIVER", "geckodriver"),
            Self::WebKit => ("WEBKITDRIVER", "WebKitWebDriver"),
        };
        env::var(variable).unwrap_or_else(|_| program.to_owned())
    }

    /// Starts the browser without a window that anybody sees. `FIREFOX` and `WEBKIT` name the programs, as tools/setup found
    /// them.
    pub fn start(self) -> Browser {
        let (name, binary, mut options) = match self {
            Self::Chromium => return Browser::start(&arguments()),
            Self::Firefox => {
                ("moz:firefoxOptions", "FIREFOX", json!({ "args": ["-headless", "--width=1280", "--height=900"] }))
            }
            Self::WebKit => ("webkitgtk:browserOptions", "WEBKIT", json!({ "args": ["--automation"] })),
        };
        if let Ok(binary) = env::var(binary) {
            options["binary"] = json!(binary);
        }
        let capabilities = json!({ name: options, "timeouts": { "script": 900_000, "pageLoad": 120_000 } });
        Browser::begin(&capabilities, || {
            let driven = (0..5).find_map(|_| self.driver_on_a_free_port());
            let (driver, screen, port) = driven.expect("the driver answers");
            Browser { kind: self, driver, screen, port, session: String::new(), evaluates: Cell::new(false) }
        })
    }

    /// The driver, the screen and the port; none when the port was taken in between.
    fn driver_on_a_free_port(self) -> Option<(Child, Option<Child>, u16)> {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let program = self.driver();
        let mut command = Command::new(&program);
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let screen = (self == Self::WebKit).then(|| {
            let (screen, name) = start_screen();
            // Of WebKitGTK's own: in a container there is nothing that it could build its sandbox from, and no card.
            let without = ["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "WEBKIT_DISABLE_COMPOSITING_MODE"];
            command.env("DISPLAY", name).envs(without.map(|name| (name, "1")));
            screen
        });
        let driver = command.spawn();
        let mut driver =
            driver.unwrap_or_else(|error| panic!("{program} cannot be started ({error}): run tools/setup test"));
        let answers = wait_until(Duration::from_secs(20), || {
            let ended = matches!(driver.try_wait(), Ok(Some(_)));
            (ended || TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(!ended)
        });
        if answers == Some(true) {
            return Some((driver, screen, port));
        }
        for mut child in [Some(driver), screen].into_iter().flatten() {
            drop((child.kill(), child.wait()));
        }
        None
    }
}

impl Browser {
    /// Starts Chromium. `CHROMIUM` and `CHROMEDRIVER` name the programs, as tools/setup found them.
    pub fn start(arguments: &[&str]) -> Self {
        let program = Kind::Chromium.driver();
        let mut options = json!({ "args": arguments });
        if let Ok(binary) = env::var("CHROMIUM") {
            options["binary"] = json!(binary);
        }
        let capabilities = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 900_000, "pageLoad": 120_000 },
        });
        Self::begin(&capabilities, || {
            // It takes a free port twice, for both kinds of addresses, and ends when the second is not free.
            let (driver, port) = (0..5).find_map(|_| start_driver(&program)).expect("chromedriver says its port");
            Self {
                kind: Kind::Chromium,
                driver,
                screen: None,
                port,
                session: String::new(),
                evaluates: Cell::new(false),
            }
        })
    }

    /// Asks drivers for a browser until one has it: of many hundred, one may end at once on a busy machine.
    fn begin(capabilities: &Value, mut driven: impl FnMut() -> Self) -> Self {
        let asked = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let mut refusals = Vec::new();
        for _ in 0..3 {
            let mut browser = driven();
            match browser.send("POST", "/session", &asked) {
                Ok(answer) => {
                    browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
                    return browser;
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        panic!("no browser: {refusals:#?}");
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    /// One request over one connection.
    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let text = if method == "POST" { body.to_string() } else { String::new() };
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
                self.port,
                text.len()
            )?;
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line)? > 2 {
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            let mut content = vec![0; length];
            reader.read_exact(&mut content)?;
            Ok(content)
        };
        let content = exchange().map_err(|error| format!("{method} {path}: {error}"))?;
        let mut answer: Value =
            serde_json::from_slice(&content).map_err(|error| format!("{method} {path}: {error}"))?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{method} {path}: {error}: {}", value["message"].as_str().unwrap_or_default())),
            None => Ok(value),
        }
    }

    /// Opens an address, and leaves the page before it in any case, even if only the fragment differs.
    pub fn goto(&self, url: &str) {
        for url in ["about:blank", url] {
            self.ask("POST", "/url", &json!({ "url": url })).expect("the page opens");
        }
    }

    /// Runs the body of a function in the page and gives what it returns.
    pub fn script(&self, body: &str, arguments: &[Value]) -> Value {
        if self.evaluates.get() {
            return self.evaluate(&format!("(function () {{ {body} }}).apply(null, {})", json!(arguments)), body);
        }
        self.ask("POST", "/execute/sync", &json!({ "script": body, "args": arguments }))
            .unwrap_or_else(|error| panic!("{error}\nin: {body}"))
    }

    /// Runs a function whose last argument is a callback, and gives what that is called with.
    pub fn script_async(&self, body: &str, arguments: &[Value]) -> Value {
        if self.evaluates.get() {
            let called = format!("(function () {{ {body} }}).apply(null, [...{}, done])", json!(arguments));
            return self.evaluate(&format!("new Promise(done => {called})"), body);
        }
        self.ask("POST", "/execute/async", &json!({ "script": body, "args": arguments }))
            .unwrap_or_else(|error| panic!("{error}\nin: {body}"))
    }

    /// Has scripts evaluated past the driver from now on, which would leave the arguments of each in the page. Elements are
    /// neither taken nor given then.
    pub fn evaluate_scripts(&self) {
        self.evaluates.set(true);
    }

    fn evaluate(&self, expression: &str, body: &str) -> Value {
        let how = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut said = self.tell("Runtime.evaluate", &how);
        assert!(said["exceptionDetails"].is_null(), "{}\nin: {body}", said["exceptionDetails"]);
        said["result"]["value"].take()
    }

    fn element(&self, selector: &str) -> Result<String, String> {
        let found = self.ask("POST", "/element", &json!({ "using": "css selector", "value": selector }))?;
        found[ELEMENT].as_str().map(str::to_owned).ok_or_else(|| format!("no element {selector}"))
    }

    /// Clicks as a visitor does: it fails when the element is hidden or disabled.
    pub fn click(&self, selector: &str) -> Result<(), String> {
        let element = self.element(selector)?;
        self.ask("POST", &format!("/element/{element}/click"), &json!({})).map(drop)
    }

    /// Types, or names the file of a file input.
    pub fn type_into(&self, selector: &str, text: &str) -> Result<(), String> {
        let element = self.element(selector)?;
        self.ask("POST", &format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// A command of the DevTools protocol, for what WebDriver has no words for.
    pub fn tell(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.ask("POST", "/goog/cdp/execute", &body).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Tells a command to each worker that there is now.
    pub fn tell_workers(&self, command: &str, parameters: &Value) {
        let found = self.tell("Target.getTargets", &json!({ "filter": [{ "type": "worker" }] }));
        for target in found["targetInfos"].as_array().into_iter().flatten() {
            let asked = json!({ "targetId": target["targetId"], "flatten": false });
            let attached = self.tell("Target.attachToTarget", &asked);
            let message = json!({ "id": 1, "method": command, "params": parameters }).to_string();
            self.tell("Target.sendMessageToTarget", &json!({ "sessionId": attached["sessionId"], "message": message }));
        }
    }

    /// Gives the window another size, in CSS pixels with its frame.
    pub fn window(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height });
        self.ask("POST", "/window/rect", &size).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Lets the page save files into a folder.
    pub fn save_into(&self, folder: &str) {
        self.tell("Browser.setDownloadBehavior", &json!({ "behavior": "allow", "downloadPath": folder }));
    }

    /// Leaves the pages of an origin only so many bytes to keep things in.
    pub fn limit_storage(&self, origin: &str, bytes: u32) {
        self.tell("Storage.overrideQuotaForOrigin", &json!({ "origin": origin, "quotaSize": bytes }));
    }

    /// Runs a script in every page that is opened from now on, before its own.
    pub fn before_every_page(&self, script: &str) {
        self.tell("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }));
    }

    /// The driver's process, which the browser's descend from.
    pub fn pid(&self) -> u32 {
        self.driver.id()
    }

    /// Lets go of everything that scripts of the page no longer hold.
    pub fn collect_garbage(&self) {
        self.tell("HeapProfiler.collectGarbage", &json!({}));
    }

    /// Has the browser give back what it keeps without need, as when a machine has no memory left.
    pub fn press_for_memory(&self) {
        self.tell("Memory.simulatePressureNotification", &json!({ "level": "critical" }));
    }

    /// What scripts of the page hold, and what its elements and whatever else they use of the browser, in bytes.
    pub fn heaps(&self) -> [f64; 2] {
        let usage = self.tell("Runtime.getHeapUsage", &json!({}));
        ["usedSize", "embedderHeapUsedSize"].map(|name| usage[name].as_f64().expect("a size"))
    }

    /// How many nodes of documents scripts of the page still hold, those that are no longer shown included.
    pub fn nodes(&self) -> u64 {
        self.collect_garbage();
        self.tell("Memory.getDOMCounters", &json!({}))["nodes"].as_u64().expect("a number")
    }

    /// Ends the browser's GPU process, and every WebGPU device with it.
    pub fn crash_gpu(&self) {
        self.tell("Browser.crashGpuProcess", &json!({}));
    }

    /// Lets the page's own requests wait so many milliseconds, and their answers come at so many bytes a second.
    pub fn slow_network(&self, latency_ms: u32, bytes: u32) {
        let network = json!({
            "offline": false, "latency": latency_ms, "downloadThroughput": bytes, "uploadThroughput": bytes,
        });
        self.tell("Network.enable", &json!({}));
        self.tell("Network.emulateNetworkConditions", &network);
    }

    /// Freezes the page as a browser does with tabs that nobody has looked at for long, or wakes it again.
    pub fn freeze(&self, frozen: bool) {
        let state = if frozen { "frozen" } else { "active" };
        self.tell("Page.setWebLifecycleState", &json!({ "state": state }));
    }

    /// Opens another tab and looks at it; the names of the one before and of the new one.
    pub fn another_tab(&self) -> [String; 2] {
        let name = |value: &Value| value.as_str().expect("a window").to_owned();
        let before = self.ask("GET", "/window", &Value::Null).expect("a window");
        let new = self.ask("POST", "/window/new", &json!({ "type": "tab" })).expect("a tab");
        let both = [name(&before), name(&new["handle"])];
        self.look_at(&both[1]);
        both
    }

    /// Looks at this tab from now on.
    pub fn look_at(&self, tab: &str) {
        self.ask("POST", "/window", &json!({ "handle": tab })).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Gives the page a window of another width, in CSS pixels.
    pub fn resize(&self, width: u32) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Looks into a frame from now on.
    pub fn enter_frame(&self, selector: &str) {
        let element = self.element(selector).expect("a frame");
        let frame = json!({ "id": { ELEMENT: element } });
        self.ask("POST", "/frame", &frame).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Looks at the page around all frames again.
    pub fn leave_frame(&self) {
        self.ask("POST", "/frame", &json!({ "id": null })).unwrap_or_else(|error| panic!("{error}"));
    }

    /// What an element says, as far as it is seen: without a script of its document.
    pub fn text_of(&self, selector: &str) -> Result<String, String> {
        let element = self.element(selector)?;
        let text = self.ask("GET", &format!("/element/{element}/text"), &Value::Null)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.ask("POST", "/refresh", &json!({})).expect("the page loads again");
    }

    /// Draws a stroke over an element with a `mouse`, `touch` or `pen`, through the browser's own input. The points are
    /// distances from its centre, in pixels. It is brought to the middle of the window first: at the border something that
    /// sticks there may lie over it.
    pub fn stroke(&self, selector: &str, pointer: &str, points: &[[i32; 2]]) {
        self.script("document.querySelector(arguments[0])?.scrollIntoView({ block: 'center' });", &[selector.into()]);
        let element = self.element(selector).expect("the element is there");
        let origin = json!({ ELEMENT: element });
        let to = |[x, y]: [i32; 2]| json!({ "type": "pointerMove", "duration": 40, "origin": origin, "x": x, "y": y });
        let mut actions = vec![to(points[0]), json!({ "type": "pointerDown", "button": 0 })];
        actions.extend(points[1..].iter().map(|&point| to(point)));
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let source = json!({
            "type": "pointer", "id": pointer, "parameters": { "pointerType": pointer }, "actions": actions,
        });
        self.ask("POST", "/actions", &json!({ "actions": [source] })).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The entries of a log, `browser` or `performance`, since it was last asked for.
    pub fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.ask("POST", "/se/log", &json!({ "type": kind })).expect("a log");
        entries.as_array().cloned().unwrap_or_default()
    }

    /// A picture of the window, as PNG.
    pub fn screenshot(&self) -> Option<Vec<u8>> {
        self.ask("GET", "/screenshot", &Value::Null).ok()?.as_str().map(from_base64)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.ask("DELETE", "", &Value::Null));
        for child in [Some(&mut self.driver), self.screen.as_mut()].into_iter().flatten() {
            drop((child.kill(), child.wait()));
        }
    }
}

/// Asks until there is an answer; `None` when the time is over.
pub fn wait_until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begin.elapsed() > limit {
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter_map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in digits {
        bits = (bits << 6) | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
