//! This machine as a device of the page: what a page would ask of `scorefield serve --remote`, over HTTP.

use crate::page;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::hub::Hub;
use crate::program::{Folder, failure, scorefield};
use crate::serving::Serving;
use scorefield::lab::RunConfig;
use scorefield::nn::WeightsFile;
use scorefield::protocol::images::{ImageCommand, ImageEvent, WeightsSource};
use scorefield::protocol::remote::{ASK, END, META, OPEN, POLL, SEND, messages};
use scorefield::protocol::{Command, Event, RunId};
use scorefield::wire;

const RUN: RunId = RunId(1);
const SAVED: RunId = RunId(900);

/// The program while it serves a folder with a page and the weights that the page ships.
struct Served {
    serving: Serving,
    token: String,
    _folder: Folder,
}

impl Served {
    fn start(name: &str, more: &[&str]) -> Self {
        let folder = Folder::new(name);
        fs::write(folder.path("index.html"), "<!DOCTYPE html><html><head><title>x</title></head></html>").unwrap();
        fs::create_dir_all(folder.path("weights/cifar-32")).unwrap();
        for file in ["index.json", "cifar-32/manifest.json", "cifar-32/weights.00.safetensors"] {
            let from = format!("{}/web/weights/{file}", env!("CARGO_MANIFEST_DIR"));
            fs::copy(from, folder.path(&format!("weights/{file}"))).unwrap();
        }
        let serving = Serving::start(env!("CARGO_BIN_EXE_scorefield"), &folder.path(""), "0", more);
        let token = serving.query.strip_prefix("?token=").unwrap_or("1").to_owned();
        Self { serving, token, _folder: folder }
    }

    /// A request with these headers; the head of the answer in small letters, and what was answered.
    fn exchange(&self, method: &str, what: &str, headers: &[(&str, &str)], body: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.serving.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} /{what} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {}\r\n", self.serving.address);
        }
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let mut content = answer[end + 4..].to_vec();
        if head.contains("transfer-encoding: chunked") {
            content = unchunked(&content);
        }
        (head, content)
    }

    /// The same; the status and what was answered.
    fn ask_as(&self, method: &str, what: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
        let (head, content) = self.exchange(method, what, headers, body);
        (head.split(' ').nth(1).unwrap().parse().unwrap(), content)
    }

    fn ask(&self, what: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.ask_as("POST", what, &[(ASK, &self.token)], body)
    }

    fn open(&self) -> Engine<'_> {
        let (status, name) = self.ask(OPEN, &[]);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&name));
        Engine { served: self, name: String::from_utf8(name).unwrap() }
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        content.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 2 + length + 2..];
    }
    content
}

/// An engine of the program's, as a page has it.
struct Engine<'s> {
    served: &'s Served,
    name: String,
}

impl Engine<'_> {
    fn send(&self, command: &Command) {
        let (status, _) = self.served.ask(&format!("{SEND}?{}", self.name), &wire::encode(command).unwrap());
        assert_eq!(status, 200);
    }

    fn poll(&self) -> (u16, Vec<Event>) {
        let (status, frame) = self.served.ask(&format!("{POLL}?{}", self.name), &[]);
        let events = if status == 200 { messages(&frame).map(|m| wire::decode(m).unwrap()).collect() } else { vec![] };
        (status, events)
    }

    /// All events up to one for which `enough` holds.
    fn until(&self, enough: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (start, mut all) = (Instant::now(), Vec::new());
        while !all.iter().any(&enough) {
            let (status, events) = self.poll();
            assert_eq!(status, 200);
            all.extend(events);
            assert!(start.elapsed().as_secs() < 120, "nothing like it came: {all:?}");
        }
        all
    }
}

fn is_done(event: &Event) -> bool {
    matches!(event, Event::Done { run: RUN, stopped: false, .. })
}

/// All losses of a training.
fn losses(events: &[Event]) -> Vec<f32> {
    let losses =
        events.iter().filter_map(|e| if let Event::Training { losses, .. } = e { Some(&losses.0) } else { None });
    losses.flatten().copied().collect()
}

fn weights(events: &[Event]) -> WeightsFile {
    let file = events.iter().find_map(|e| if let Event::Weights { file, .. } = e { Some(&file.0) } else { None });
    WeightsFile::from_bytes(file.expect("weights")).expect("a file of ours")
}

#[test]
fn what_is_trained_here_for_a_page_is_what_a_worker_of_the_page_would_train() {
    let served = Served::start("remote-train", &["--remote"]);
    let config = RunConfig { training_steps: 60, ..page::tiny() };
    let is_weights = |e: &Event| matches!(e, Event::Weights { .. });
    let engine = served.open();
    assert!(matches!(&engine.until(|_| true)[..], [Event::Ready { device }, ..] if !device.gpu));
    engine.send(&Command::Train { run: RUN, config: config.clone() });
    let mut there = engine.until(is_done);
    engine.send(&Command::Save { run: SAVED });
    there.extend(engine.until(is_weights));

    let mut page = page::Page::open();
    page.post(Command::Train { run: RUN, config });
    let mut here = page.until(is_done);
    page.post(Command::Save { run: SAVED });
    here.extend(page.until(is_weights));
    assert_eq!(losses(&there).len(), 60);
    assert_eq!(losses(&there), losses(&here));
    assert!(weights(&there) == weights(&here), "other weights");
}

/// `cargo test --features cli --test program speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed_of_the_line() {
    let served = Served::start("remote-speed", &["--remote"]);
    let config = RunConfig { training_steps: 5, ..page::tiny() };
    let engine = served.open();
    engine.send(&Command::Train { run: RUN, config });
    engine.until(is_done);
    let save = Command::Save { run: SAVED };
    let is_weights = |e: &Event| matches!(e, Event::Weights { .. });
    // One after the other: a page asks for events before it sends, and is answered when there are some.
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            std::thread::scope(|scope| {
                let heard = scope.spawn(|| engine.until(is_weights));
                std::thread::sleep(Duration::from_millis(20));
                let begin = Instant::now();
                engine.send(&save);
                heard.join().unwrap();
                1e3 * begin.elapsed().as_secs_f64()
            })
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("a command and its event: median {:.2} ms, 95 % within {:.2} ms", times[100], times[190]);
    let begin = Instant::now();
    let (frames, polls) = std::thread::scope(|scope| {
        scope.spawn(|| (0..1000).for_each(|_| engine.send(&save)));
        let (mut frames, mut polls) = (0, 0);
        while frames < 1000 {
            frames += engine.poll().1.iter().filter(|e| is_weights(e)).count();
            polls += 1;
        }
        (frames, polls)
    });
    let seconds = begin.elapsed().as_secs_f64();
    println!("{frames} commands, each answered: {:.0} a second, in {polls} answers", frames as f64 / seconds);
}

#[test]
fn images_are_made_by_all_cores_with_the_weights_that_are_served() {
    let served = Served::start("remote-images", &["--remote", "--threads", "2"]);
    let engine = served.open();
    let source = WeightsSource::Set { id: String::new() };
    engine.send(&Command::Images(ImageCommand::Load { run: RunId(9), source }));
    let loaded = |e: &Event| matches!(e, Event::Images(ImageEvent::Loaded { .. }));
    let events = engine.until(|e| loaded(e) || matches!(e, Event::Images(ImageEvent::Refused { .. })));
    assert!(events.iter().any(loaded), "{events:?}");
    let notices = events.iter().filter(|e| matches!(e, Event::Images(ImageEvent::Notice { .. })));
    assert_eq!(notices.count(), 0, "{events:?}");
    let config = RunConfig { images: 3, steps: 2, ..RunConfig::of_images() };
    let mut pictures = Vec::new();
    // With as many workers as cores, and with one.
    for most in [2, 1] {
        engine.send(&Command::Images(ImageCommand::Cores { most }));
        engine.send(&Command::Sample { run: RUN, config: config.clone() });
        let events = engine.until(is_done);
        let mut frames = events.iter().filter_map(|e| match e {
            Event::Images(ImageEvent::Frame { frame, .. }) => Some(frame.clone()),
            _ => None,
        });
        let pool = events.iter().any(|e| matches!(e, Event::Images(ImageEvent::Pool { .. })));
        assert_eq!(pool, most == 2, "{most}");
        pictures.push(frames.next_back().expect("a frame"));
    }
    assert_eq!(pictures[0], pictures[1]);
}

#[test]
fn a_model_of_the_hub_is_fetched_by_this_machine_goes_on_where_it_broke_off_and_is_kept() {
    let (hub, served) = (Hub::start(), Served::start("remote-hub", &["--remote"]));
    let engine = served.open();
    let load = |model: &str, origin: String| {
        let source = WeightsSource::Hub { origin, model: model.into(), look: false };
        engine.send(&Command::Images(ImageCommand::Load { run: RunId(9), source }));
        let over = |e: &Event| matches!(e, Event::Images(ImageEvent::Loaded { .. } | ImageEvent::Refused { .. }));
        let events = engine.until(over);
        let loaded =
            |e: &Event| matches!(e, Event::Images(ImageEvent::Loaded { weights, .. }) if weights.title == model);
        assert!(events.iter().any(loaded), "{events:?}");
        let kept = |e: &Event| !matches!(e, Event::Images(ImageEvent::Notice { .. }));
        assert!(events.iter().all(kept), "{events:?}");
    };
    load("lab/breaks", hub.origin());
    let half = format!(" from {}", hub.bytes() / 2);
    assert!(hub.asked().last().is_some_and(|path| path.ends_with(&half)), "{:?}", hub.asked());
    hub.forget();
    // Who asks nobody gets it from here.
    load("lab/breaks", String::new());
    assert_eq!(hub.asked(), Vec::<String>::new());
}

#[test]
fn only_pages_that_come_from_here_are_answered() {
    let served = Served::start("remote-near", &["--remote"]);
    let (status, page) = served.ask_as("GET", "", &[], &[]);
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&page).contains(META), "the page is told");
    // Another site's page can send what a form sends, but not the header; or has led its own name here.
    assert_eq!(served.ask_as("POST", OPEN, &[], &[]).0, 403);
    assert_eq!(served.ask_as("POST", OPEN, &[(ASK, "1"), ("Host", "evil.example")], &[]).0, 403);
    assert_eq!(served.ask_as("GET", OPEN, &[(ASK, "1")], &[]).0, 405);
    assert_eq!(served.ask_as("OPTIONS", OPEN, &[("Origin", "http://evil.example")], &[]).0, 405);
    assert_eq!(served.ask(&format!("{SEND}?nobody"), &[]).0, 410);

    let engine = served.open();
    assert_eq!(served.ask(&format!("{SEND}?{}", engine.name), b"what no page of this build says").0, 409);
    let (status, _) = served.ask(&format!("{END}?{}", engine.name), &[]);
    assert_eq!(status, 200);
    let start = Instant::now();
    while engine.poll().0 == 200 {
        assert!(start.elapsed().as_secs() < 60, "the engine goes on");
    }
    assert_eq!(engine.poll().0, 410);
}

#[test]
fn a_token_is_asked_for_where_other_machines_reach() {
    let served = Served::start("remote-far", &["--remote", "--listen", "0.0.0.0"]);
    assert_eq!(served.token.len(), 32);
    assert_eq!(served.ask_as("POST", OPEN, &[(ASK, "1")], &[]).0, 403);
    // Whatever name led there.
    let (status, _) = served.ask_as("POST", OPEN, &[(ASK, &served.token), ("Host", "my.machine")], &[]);
    assert_eq!(status, 200);
    // No more pages than there is room for.
    let compute: Vec<u16> = (0..9).map(|_| served.ask(OPEN, &[]).0).collect();
    assert_eq!(compute.iter().filter(|status| **status == 200).count(), 7);
    assert_eq!(compute.last(), Some(&503));
}

#[test]
fn no_other_site_may_frame_a_page_that_computes_here() {
    let policy = |served: &Served| {
        let (head, _) = served.exchange("GET", "index.html", &[], &[]);
        head.lines().any(|line| line == "content-security-policy: frame-ancestors 'self'")
    };
    assert!(policy(&Served::start("remote-framed", &["--remote"])));
    assert!(!policy(&Served::start("framed", &[])));
}

#[test]
fn without_the_option_nothing_is_computed() {
    let served = Served::start("remote-not", &[]);
    let (_, page) = served.ask_as("GET", "index.html", &[], &[]);
    assert!(!String::from_utf8_lossy(&page).contains(META));
    assert_eq!(served.ask(OPEN, &[]).0, 404);
    let folder = Folder::new("remote-device");
    fs::write(folder.path("index.html"), "").unwrap();
    let arguments = ["serve", &folder.path(""), "--remote", "--device", "cuda:9", "--port", "0"];
    failure(&scorefield(arguments), 4, "CUDA");
}
