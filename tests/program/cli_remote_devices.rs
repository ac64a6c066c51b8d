//! Training on devices of other programs, by Burn's own protocol: the same as on one of this, but for the order of sums;
//! and what is said and kept when one of them is lost.
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Folder, NETWORK, failure, images, success};
use crate::sharing::{STEPS_TOLERANCE, advance, agree, alone, recipe, recipes, tiny};
use crate::training::cpu;
use crate::unet_weights::error;
use crate::worker::{Line, TOKEN, Worker};
use scorefield::engine::image_trainer::ImageTrainer;
use scorefield::nn::device::ComputeDevice;
use scorefield::nn::remote::open_remote;

fn opened(workers: &[Worker]) -> Vec<ComputeDevice> {
    workers.iter().map(|worker| open_remote(&worker.place, TOKEN).unwrap()).collect()
}

#[test]
fn two_and_three_other_programs_find_the_loss_and_the_gradient_of_one_device() {
    let workers = [Worker::start(), Worker::start(), Worker::start()];
    let devices = opened(&workers);
    for recipe in recipes() {
        let delegated = |count: usize| {
            let mut trainer = alone(&recipe);
            trainer.delegate(&devices[..count]).unwrap();
            (format!("{count} other programs"), trainer)
        };
        let mut beside = alone(&recipe);
        beside.share(&devices[..1]).unwrap();
        agree(&recipe, [delegated(1), delegated(2), delegated(3), ("one beside this".to_owned(), beside)]);
    }
}

#[test]
fn a_run_on_two_other_programs_goes_on_on_one_or_here_and_arrives_where_one_alone_does() {
    let workers = [Worker::start(), Worker::start()];
    let (devices, recipe) = (opened(&workers), recipe(tiny(), 6));
    let mut one = alone(&recipe);
    advance(&mut one, 6);
    let wanted_losses = one.take_losses().unwrap();
    let on = |mut trainer: ImageTrainer, devices: &[ComputeDevice]| {
        if !devices.is_empty() {
            trainer.delegate(devices).unwrap();
        }
        trainer
    };
    let mut first = on(alone(&recipe), &devices);
    advance(&mut first, 3);
    let state = first.to_bytes().unwrap();
    advance(&mut first, 3);
    let paces = first.take_paces();
    assert!(paces.iter().all(|(_, pace)| pace.images == 18.0 && pace.waited < pace.seconds), "{paces:?}");
    for count in [0, 1, 2] {
        let mut second = on(ImageTrainer::from_bytes(&state, &cpu(), 2).unwrap(), &devices[..count]);
        advance(&mut second, 3);
        let losses = second.take_losses().unwrap();
        let [found, wanted] = [&second, &one].map(|trainer| trainer.averaged(0).unwrap().concat());
        let (parameters, losses) = (error(&found, &wanted), error(&losses, &wanted_losses[3..]));
        println!("three steps on two others, three on {count}: parameters {parameters:.1e}, losses {losses:.1e}");
        assert!(parameters <= STEPS_TOLERANCE && losses <= STEPS_TOLERANCE, "{parameters:e} {losses:e}");
        if count == 2 {
            assert!(first.averaged(0).unwrap() == second.averaged(0).unwrap(), "bit for bit on the same devices");
        }
    }
}

/// What every run of these tests trains: images of a folder, in steps of a few milliseconds.
struct Runs {
    folder: Folder,
}

impl Runs {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        images(&folder, "images", 6, 8);
        Self { folder }
    }

    fn out(&self) -> String {
        self.folder.path("out")
    }

    fn command(&self, devices: &str, more: &[&str]) -> Command {
        let (data, out) = (self.folder.path("images"), self.out());
        let mut command = Command::new(env!("CARGO_BIN_EXE_scorefield"));
        command.args(["train", "--data", &data, "--out", &out, "--json", "--device", devices]);
        command.args(more).env("SCOREFIELD_TOKEN", TOKEN).env("RUST_BACKTRACE", "0");
        command
    }

    fn new_run(&self, devices: &str, more: &[&str]) -> Command {
        self.command(devices, &[&NETWORK, more].concat())
    }

    /// A run without end, once it has a checkpoint.
    fn begun(&self, devices: &str) -> Child {
        let mut command = self.new_run(devices, &["--steps", "100000", "--checkpoint", "0.01"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while !Path::new(&self.out()).join("resume.safetensors").exists() {
            assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
            if child.try_wait().unwrap().is_some() {
                let output = child.wait_with_output().unwrap();
                panic!("{}", String::from_utf8_lossy(&output.stderr));
            }
            thread::sleep(Duration::from_millis(20));
        }
        child
    }

    /// It ended by naming this place, and goes on without it.
    fn lost(&self, run: Child, place: &str, why: &str) {
        let output = run.wait_with_output().unwrap();
        failure(&output, 4, &format!("remote:{place} was lost: "));
        failure(&output, 4, why);
        failure(&output, 4, "the last checkpoint stays, and --resume goes on from it");
        success(&self.command("cpu", &["--resume", "--stop-after", "1"]).output().unwrap());
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[test]
fn the_program_trains_on_two_others_stops_and_goes_on_bit_for_bit() {
    let workers = [Worker::start(), Worker::start()];
    let devices = workers.iter().map(Worker::device).collect::<Vec<_>>().join(",");
    let [whole, parts] = ["whole", "parts"].map(|name| Runs::new(&format!("remote-{name}")));
    let dropout = ["--steps", "4", "--dropout", "0.1"];
    let output = run(&mut whole.new_run(&devices, &dropout));
    success(&output);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["device"].as_str().unwrap(), devices.replace(',', " + "), "{summary}");
    success(&run(&mut parts.new_run(&devices, &[&dropout[..], &["--stop-after", "2"]].concat())));
    success(&run(&mut parts.command(&devices, &["--resume"])));
    let weights = |runs: &Runs| fs::read(format!("{}/weights.00.safetensors", runs.out())).unwrap();
    assert!(weights(&parts) == weights(&whole), "bit for bit on the same devices");
}

/// `evaluate` on these devices, as JSON.
fn evaluated(runs: &Runs, devices: &str, more: &[&str]) -> serde_json::Value {
    let (net, reference) = (runs.out(), runs.folder.path("images"));
    // A cache of its own: the reference is measured anew.
    let cache = runs.folder.path(&devices.replace([':', ','], "-"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorefield"));
    command.args(["evaluate", "--weights", &net, "--reference", &reference, "--set", "steps=2", "--json"]);
    command.args(["--device", devices]).args(more);
    command.env("SCOREFIELD_TOKEN", TOKEN).env("RUST_BACKTRACE", "0").env("XDG_CACHE_HOME", cache);
    let output = run(&mut command);
    success(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn trained(name: &str) -> Runs {
    let runs = Runs::new(name);
    success(&run(&mut runs.new_run("cpu", &["--steps", "2"])));
    runs
}

#[test]
fn images_made_and_measured_on_two_others_are_those_of_one() {
    let workers = [Worker::start(), Worker::start()];
    let runs = trained("remote-evaluated");
    let of = |devices: &str| evaluated(&runs, devices, &["--features", "pixels", "--count", "8"]);
    let here = of("cpu");
    let both = workers.iter().map(Worker::device).collect::<Vec<_>>().join(",");
    for devices in [both.clone(), format!("cpu,{}", workers[0].device())] {
        let there = of(&devices);
        assert_eq!(
            there["device"].as_str().unwrap().replace(" + ", ","),
            devices.replace("cpu", here["device"].as_str().unwrap())
        );
        for same in ["seed", "evaluations", "reference"] {
            assert_eq!(there[same], here[same], "{same}");
        }
        assert_eq!(there["images"]["images"], 8);
        // A grey value may be rounded to its neighbour: an eighth of an image's patch of 1/127.5.
        let [there, here] = [&there, &here].map(|report| report["distance"].as_f64().unwrap());
        println!("on {devices} {there}, here {here}");
        assert!(here > 0.1 && (there - here).abs() <= 1e-3 * here, "{there} {here}");
    }
}

#[test]
#[ignore = "needs the Inception weights, 87 MB: SCOREFIELD_INCEPTION=default_1.pt"]
fn inception_features_found_on_two_others_are_those_of_one() {
    let inception = std::env::var("SCOREFIELD_INCEPTION").expect("where default_1.pt is");
    let workers = [Worker::start(), Worker::start()];
    let runs = trained("remote-inception");
    let of = |devices: &str| evaluated(&runs, devices, &["--inception", &inception, "--count", "4", "--batch", "2"]);
    let [here, there] =
        ["cpu".to_owned(), workers.each_ref().map(Worker::device).join(",")].map(|devices| of(&devices));
    let [here, there] = [&here, &there].map(|report| report["distance"].as_f64().unwrap());
    println!("FID on two others {there}, here {here}");
    assert!(here > 1.0 && (there - here).abs() <= 1e-3 * here, "{there} {here}");
}

#[test]
fn a_program_that_is_killed_is_named_and_the_run_goes_on_without_it() {
    let (runs, first, mut second) = (Runs::new("remote-killed"), Worker::start(), Worker::start());
    let run = runs.begun(&format!("{},{}", first.device(), second.device()));
    second.kill();
    runs.lost(run, &second.place, "refused");
}

#[test]
fn a_program_that_is_frozen_is_named_and_the_run_goes_on_without_it() {
    let (runs, first, second) = (Runs::new("remote-frozen"), Worker::start(), Worker::start());
    let run = runs.begun(&format!("{},{}", first.device(), second.device()));
    second.freeze();
    runs.lost(run, &second.place, "silent for");
}

#[test]
fn a_line_that_is_held_and_mended_is_waited_for_and_one_that_is_cut_is_named() {
    let (runs, worker) = (Runs::new("remote-line"), Worker::start());
    let line = Line::to(&worker.place);
    let mut run = runs.begun(&format!("cpu,remote:{}", line.place));
    let state = || fs::metadata(Path::new(&runs.out()).join("resume.safetensors")).unwrap().modified().unwrap();
    line.hold();
    thread::sleep(Duration::from_secs(2));
    let before = state();
    thread::sleep(Duration::from_secs(4));
    assert_eq!(state(), before, "nothing goes on without the device");
    assert!(run.try_wait().unwrap().is_none());
    line.mend();
    let start = Instant::now();
    while state() == before {
        assert!(start.elapsed() < Duration::from_secs(60), "it goes on");
        assert!(run.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(50));
    }
    line.cut();
    runs.lost(run, &line.place, "lost");
    // Mended, the same place can be used again by a new program.
    line.mend();
    success(&runs.command(&format!("remote:{}", line.place), &["--resume", "--stop-after", "1"]).output().unwrap());
}

#[test]
fn what_cannot_be_reached_is_refused_before_anything_is_begun() {
    let (runs, mut worker) = (Runs::new("remote-refused"), Worker::start());
    let device = worker.device();
    let mut wrong = runs.new_run(&device, &["--steps", "1"]);
    failure(&run(wrong.env("SCOREFIELD_TOKEN", "another")), 4, "rejected the credential");
    worker.kill();
    failure(&run(&mut runs.new_run(&device, &["--steps", "1"])), 4, "refused");
    failure(&run(&mut runs.new_run("remote:nowhere", &["--steps", "1"])), 2, "remote:HOST:PORT");
    assert!(!Path::new(&runs.out()).exists());
}
