//! What a graphics card gives, in one short run for a day when there is one (`tools/gpu-day`): the program and the page in
//! Chromium, each checked against the CPU before it is timed. It needs dist/ with the GPU worker and the program
//! (`SCOREFIELD_PROGRAM`, built with `gpu`), and a browser for the machine's own driver; with `--software` it asks for a
//! software adapter, so that what it does can be tried without a card, and says of every number that it is none of one.
//!
//! Rows are written to target/gpu-day.md as they are measured: what a run that is cut short knew is kept.

#[path = "../tests/e2e/page.rs"]
#[allow(dead_code)]
mod page;
#[path = "../tests/e2e/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, process};

use page::Page;
use serde_json::Value;

/// Chromium on the machine's own Vulkan driver.
const CARD: [&str; 6] = [
    "--use-vulkan=native",
    "--use-angle=vulkan",
    "--enable-features=Vulkan",
    "--disable-vulkan-surface",
    "--ignore-gpu-blocklist",
    "--enable-unsafe-webgpu",
];

/// The longest wait for one thing: a software adapter compiles for a minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// Where the weights of the page are.
const WEIGHTS: &str = "web/weights/cifar-32";

/// What pictures of one run may differ by between devices, as root mean square of bytes.
const SAME_PICTURE: f64 = 2.0;

/// Where rows go.
struct Table(File);

impl Table {
    fn line(&mut self, text: &str) {
        println!("{text}");
        writeln!(self.0, "{text}").expect("a line");
    }

    fn row(&mut self, what: &str, value: &str) {
        self.line(&format!("| {what} | {value} |"));
    }
}

/// What the program says, or why it could not.
fn program(arguments: &[&str]) -> Result<String, String> {
    let program = env::var("SCOREFIELD_PROGRAM").expect("SCOREFIELD_PROGRAM: the native program");
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if run.status.success() { Ok(said(&run.stdout)) } else { Err(said(&run.stderr)) }
}

/// The bytes of a picture's pixels.
fn decoded(path: &Path) -> Vec<u8> {
    let file = io::BufReader::new(File::open(path).expect("a picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let frame = reader.next_frame(&mut pixels).expect("pixels");
    pixels.truncate(frame.buffer_size());
    pixels
}

/// Root mean square of the differences of two pictures of one size.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "pictures of one size");
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    (sum / a.len().max(1) as f64).sqrt()
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or(f64::NAN)
}

/// Training steps and pictures of the program, beside the CPU's.
fn native(table: &mut Table, device: &str, software: bool) {
    // What a card is given work with takes a processor minutes.
    let [channels, batch] = if software { ["32", "4"] } else { ["64", "64"] };
    for compute in ["f32", "f16"] {
        let how = ["--channels", channels, "--batch", batch, "--seconds", "5", "--json", "--device", device];
        let said = program(&[&["bench", "--compute", compute], &how[..]].concat());
        match said.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|error| error.to_string())) {
            Ok(times) => {
                let [step, images] = ["step_ms", "images_per_second"].map(|key| number(&times, key));
                let name = times["device"].as_str().unwrap_or(device).to_owned();
                table.row(
                    &format!("program, {name}: a training step of {batch} images, {channels} channels, {compute}"),
                    &format!("{step:.1} ms, {images:.0} images a second"),
                );
            }
            Err(why) => table.row(&format!("program, {device}: a training step in {compute}"), &format!("not: {why}")),
        }
    }
    let folder = env::temp_dir().join(format!("scorefield-gpu-day-{}", process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let drawn = |device: &str, precision: &str, count: &str| {
        let out = folder.join(format!("{}-{precision}-{count}.png", device.replace(':', "-")));
        let path = out.to_string_lossy().into_owned();
        let run = ["--set", "steps=20", "--set", "seed=1", "--precision", precision, "--json", "--out", &path];
        let begin = Instant::now();
        program(&[&["sample", "--weights", WEIGHTS, "--device", device, "--count", count], &run[..]].concat())
            .map(|said| (decoded(&out), serde_json::from_str(&said).unwrap_or(Value::Null), begin.elapsed()))
    };
    let reference = drawn("cpu", "f32", "8").expect("pictures of the CPU");
    for precision in ["f32", "f16"] {
        match drawn(device, precision, "8") {
            Ok((picture, ..)) => {
                let apart = difference(&picture, &reference.0);
                table.row(
                    &format!("program, {device}, {precision}: 8 pictures beside the CPU's, root mean square of bytes"),
                    &format!("{apart:.2}"),
                );
                assert!(apart <= SAME_PICTURE, "{precision}: {apart} of 255 from the CPU's pictures");
            }
            Err(why) => table.row(&format!("program, {device}, {precision}: 8 pictures"), &format!("not: {why}")),
        }
    }
    let count = if software { "8" } else { "256" };
    if let Ok((_, said, whole)) = drawn(device, "f32", count) {
        let seconds = number(&said, "seconds");
        table.row(
            &format!("program, {device}: {count} pictures of 20 evaluations, and with all that comes before"),
            &format!("{seconds:.2} s, {:.2} s", whole.as_secs_f64()),
        );
    }
    drop(fs::remove_dir_all(folder));
}

fn open(name: &'static str, software: bool, fragment: &str) -> Page {
    if software { Page::open(name, fragment) } else { Page::open_on_a_card(name, &CARD, fragment) }
}

/// The page: its self-test, its timings, pictures beside the CPU's, training in the plane.
fn browser(table: &mut Table, software: bool) {
    let page = open("gpu-day", software, "#experiment=images&device=gpu&test=1&benchmark=1");
    let passed = page.until("the self-test is over", PATIENCE, || page.attribute("self-test-gpu", "data-passed"));
    table
        .row("page, self-test: networks beside diffusers' numbers", if passed == "true" { "passed" } else { "FAILED" });
    let timings = page.until("the timings are complete", PATIENCE, || {
        let timings: Value = serde_json::from_str(&page.text("benchmark")).ok()?;
        let on_card = timings.as_array()?.iter().find(|of| of["device"] == "gpu")?.clone();
        (on_card["rows"].as_array()?.len() == 3).then_some(on_card)
    });
    let name = timings["name"].as_str().unwrap_or_default().to_owned();
    assert_eq!(timings["software"].as_bool(), Some(software), "the adapter is {name}");
    table.row("page, adapter", &name);
    for row in timings["rows"].as_array().expect("rows") {
        let [batch, first, each, half] =
            ["batch", "warm_up_ms", "evaluation_ms", "half_ms"].map(|key| number(row, key));
        let half = if half > 0.0 { format!("{half:.2} ms") } else { "not there".to_owned() };
        table.row(
            &format!("page, an evaluation of {batch:.0} images: the first, each other, in half precision"),
            &format!("{first:.1} ms, {each:.2} ms, {half}"),
        );
    }
    page.close();

    let [images, steps] = if software { [1, 3] } else { [8, 20] };
    let run = format!("images={images}&steps={steps}&solver=heun&seed=1&run=1");
    let pictures = ["gpu", "cpu"].map(|device| {
        let page = open("gpu-day-run", software, &format!("#experiment=images&device={device}&{run}"));
        let begin = Instant::now();
        page.wait_for(&["done"], PATIENCE);
        let found = (page.pixels("samples"), begin.elapsed().as_secs_f64());
        page.close();
        found
    });
    let apart = difference(&pictures[0].0, &pictures[1].0);
    table.row(&format!("page, {images} pictures beside the CPU's, root mean square of bytes"), &format!("{apart:.2}"));
    let [card, processor] = [&pictures[0], &pictures[1]].map(|picture| picture.1);
    table.row(
        &format!("page, {images} pictures of {steps} steps with all that comes before: here, on its CPU"),
        &format!("{card:.1} s, {processor:.1} s"),
    );
    assert!(apart <= SAME_PICTURE, "{apart} of 255 from the CPU's pictures");

    let page = open("gpu-day-plane", software, "#device=auto&dataset=mixture");
    let both = page.until("both devices are measured", PATIENCE, || {
        let text = page.browser.script("return document.querySelector('.device .note')?.textContent ?? '';", &[]);
        text.as_str().filter(|text| text.contains("One training step")).map(str::to_owned)
    });
    table.row("page, the plane", both.trim());
    page.close();
}

fn main() {
    let software = env::args().any(|word| word == "--software");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/gpu-day.md");
    fs::create_dir_all(kept.parent().expect("a folder")).expect("a folder");
    let mut table = Table(File::create(&kept).expect("a file"));
    let begin = Instant::now();
    if software {
        table.line("A software adapter: these numbers are none of a card.\n");
    }
    table.line("| what | measured |\n|---|---|");
    native(&mut table, &env::var("SCOREFIELD_DEVICE").unwrap_or_else(|_| "gpu".to_owned()), software);
    browser(&mut table, software);
    println!("\nAll that was checked agrees, after {:.0} s; {}", begin.elapsed().as_secs_f64(), kept.display());
}
