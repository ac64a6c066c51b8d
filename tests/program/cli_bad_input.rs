//! What the program says when it is given what it cannot use: one clear line, an exit code, nothing half-written.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::program::{Folder, failure, images, scorefield, success};

const NETWORK: [&str; 12] =
    ["--channels", "8", "--multipliers", "1,2", "--layers", "1", "--groups", "4", "--batch", "2", "--piece", "2"];

/// Every file below, with its length.
fn files(folder: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() { open.push(name) } else { found.push((name, fs::metadata(&path).unwrap().len())) }
        }
    }
    found.sort();
    found
}

/// A set of weights of 16 x 16 images, and the images.
fn trained(folder: &Folder) -> [String; 2] {
    images(folder, "data", 4, 16);
    let (data, net) = (folder.path("data"), folder.path("net"));
    success(&scorefield(["train", "--data", &data, "--out", &net, "--steps", "1"].iter().chain(&NETWORK)));
    [data, net]
}

/// Runs the program where no file can grow beyond `blocks` of 512 bytes (1024 in some shells): as on a full disk, a
/// write stops in the middle of a file.
#[cfg(unix)]
fn on_a_full_disk(blocks: usize, arguments: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell.arg(env!("CARGO_BIN_EXE_scorefield")).args(arguments).output().unwrap()
}

#[test]
#[cfg(unix)]
fn a_full_disk_ends_every_command_in_one_line_and_leaves_no_part_of_a_file() {
    let folder = Folder::new("full-disk");
    let [data, net] = trained(&folder);
    let before = files(&folder.path(""));
    let path = |name: &str| folder.path(name);
    // Tables of a few hundred bytes fit; states, weights and pictures do not.
    let (plane, run, grid, set) = (path("plane"), path("run"), path("grid.png"), path("set"));
    let train = ["train", "--data", &data, "--out", &run, "--steps", "2"];
    let sample = ["sample", "--weights", &net, "--set", "steps=2", "--count", "4", "--out", &grid];
    for (command, left) in [
        (&["train", "--data", "moons", "--steps", "5", "--out", &plane][..], &["metrics.csv"][..]),
        (&[&train[..], &NETWORK].concat(), &["metrics.csv"]),
        (&sample, &[]),
        (&["convert", &net, "--out", &set], &[]),
    ] {
        let output = on_a_full_disk(2, command);
        failure(&output, 1, "cannot be written");
        let new: Vec<String> =
            files(&path("")).into_iter().filter(|file| !before.contains(file)).map(|(name, _)| name).collect();
        let names: Vec<String> =
            new.iter().map(|name| Path::new(name).file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, left, "{command:?}");
        new.iter().for_each(|name| fs::remove_file(name).unwrap());
    }
    // A state that was complete stays as it was when the next one finds no room.
    let state = fs::read(path("net/resume.safetensors")).unwrap();
    failure(&on_a_full_disk(2, &["train", "--data", &data, "--out", &net, "--resume", "--steps", "2"]), 1, "written");
    assert!(fs::read(path("net/resume.safetensors")).unwrap() == state);
    assert!(!fs::exists(path("net/resume.safetensors.part")).unwrap());
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_printed_is_a_failure_and_a_reader_that_left_is_none() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorefield"));
    failure(&command.args(["completions", "bash"]).stdout(full).output().unwrap(), 1, "cannot be printed");
    let mut child = Command::new(env!("CARGO_BIN_EXE_scorefield"));
    let mut child = child.args(["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_device_that_is_unknown_or_not_there_is_named_and_never_replaced() {
    let train = |device: &str| scorefield(["train", "--data", "moons", "--out", "nowhere", "--device", device]);
    for unknown in ["quantum", "gpu:", "gpu:fast", "cuda:-1", "cpu:0"] {
        failure(&train(unknown), 2, "gpu:software");
    }
    if cfg!(not(feature = "cuda")) {
        failure(&train("cuda"), 4, "--features cli,cuda");
        failure(&train("cuda:1"), 4, "--features cli,cuda");
    } else {
        failure(&train("cuda:4242"), 4, "no CUDA device 4242");
    }
    if cfg!(not(feature = "gpu")) {
        failure(&train("gpu:0"), 4, "--features cli,gpu");
        failure(&train("gpu:software"), 4, "--features cli,gpu");
    } else {
        failure(&train("gpu:4242"), 4, "4242");
    }
    assert!(!fs::exists("nowhere").unwrap());
}

#[test]
fn checkpoints_that_cannot_be_read_are_named() {
    let folder = Folder::new("bad-checkpoints");
    let [data, net] = trained(&folder);
    let path = |name: &str| folder.path(name);
    let (state, weights) = (path("net/resume.safetensors"), path("net/weights.00.safetensors"));
    let cut = |file: &str, keep: usize| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() * keep / 100]).unwrap();
        bytes
    };
    for keep in [0, 1, 60, 99] {
        let whole = cut(&state, keep);
        let resume = ["train", "--data", &data, "--out", &net, "--resume", "--steps", "3"];
        failure(&scorefield(resume), 3, "not the state of a training run");
        fs::write(&state, whole).unwrap();
        let whole = cut(&weights, keep);
        for command in [
            &["sample", "--weights", &net, "--out", &path("x.png")][..],
            &["convert", &net, "--out", &path("x")],
            &["evaluate", "--weights", &net, "--reference", &data, "--features", "pixels"],
            &["train", "--data", &data, "--out", &path("x"), "--init", &net],
        ] {
            let network = if command[0] == "train" { &NETWORK[..] } else { &[] };
            failure(&scorefield(command.iter().chain(network)), 3, &net);
        }
        fs::write(&weights, whole).unwrap();
    }
    assert!(!fs::exists(path("x")).unwrap() && !fs::exists(path("x.png")).unwrap());
    fs::write(path("other.bin"), b"\x80\x02nothing").unwrap();
    failure(&scorefield(["sample", "--weights", &path("other.bin"), "--out", &path("x.png")]), 3, "other.bin");
    // Images of another size than the run was begun with, or than the network knows.
    images(&folder, "small", 4, 8);
    let small = path("small");
    failure(&scorefield(["train", "--data", &small, "--out", &net, "--resume"]), 2, "other images");
    let bits = ["evaluate", "--weights", &net, "--reference", &small, "--bits", "bound"];
    failure(&scorefield(bits), 2, "another size");
    fs::write(path("small/000.png"), &fs::read(path("small/000.png")).unwrap()[..40]).unwrap();
    failure(&scorefield(["train", "--data", &small, "--out", &path("x")]), 3, "000.png");
    failure(&scorefield(["train", "--data", &data, "--out", &path("x"), "--checkpoint", "nan"]), 2, "no time");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_sampling_and_evaluation_without_a_file() {
    let folder = Folder::new("bad-interrupt");
    let [data, net] = trained(&folder);
    let grid = folder.path("grid.png");
    for command in [
        &["sample", "--weights", &net, "--count", "100000", "--out", &grid][..],
        &["evaluate", "--weights", &net, "--reference", &data, "--features", "pixels", "--count", "100000"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_scorefield"));
        let child = child.args(command).env("XDG_CACHE_HOME", folder.path("cache"));
        let child = child.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        // The handler is there long before this; a run of this size takes hours.
        std::thread::sleep(std::time::Duration::from_secs(2));
        success(&Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap());
        let output = child.wait_with_output().unwrap();
        failure(&output, 130, "ended before its time");
        assert!(output.stdout.is_empty() && !fs::exists(&grid).unwrap());
    }
}
