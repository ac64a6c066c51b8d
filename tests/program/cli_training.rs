//! Training on images: PyTorch's numbers (`tests/golden/image_training.py` made them), resumption bit for bit, and the
//! program itself on tiny networks.

use crate::golden::Golden;
use crate::unet_weights;
use std::fs;

use crate::program::{Folder, NETWORK, failure, images, records, scorefield, success};
use crate::training::{advance, cpu, set, tensors, tiny};
use crate::unet_weights::{hashed, parameter};
use scorefield::engine::image_trainer::{ImageBatch, ImageTrainer, Recipe};
use scorefield::nn::checkpoint::Checkpoint;
use scorefield::nn::objective::{NoiseDistribution, Objective, TrainingLevel};
use scorefield::nn::unet::{REFINE_SHAPES, Refine, Style, UNet, UNetConfig};
use scorefield::rng::{Rng, Stream};

const REFERENCE: Golden = Golden(include_bytes!("../golden/image_training.safetensors"));
/// What issue and design ask for: both sides compute in single precision, through some 20 layers and back.
const TOLERANCE: f32 = 1e-4;
const KEPT: usize = 24;
/// Four images of 3 x 8 x 8.
const NUMBERS: usize = 4 * 3 * 8 * 8;

fn compare(case: &str, objective: Objective, learned_variance: bool, steps: [usize; 4]) {
    let network = UNetConfig { channels: 32, groups: 32, learned_variance, ..tiny().network };
    // Pieces of three images and one: the sum over pieces is the gradient of the batch.
    let recipe = Recipe { network, objective, piece: 3, ..tiny() };
    let mut trainer = ImageTrainer::new(recipe, &cpu(), 2).unwrap();
    let shapes = trainer.shapes();
    trainer.set_parameters(shapes.iter().map(|p| parameter(&p.name, &p.shape)).collect());
    let image = |u: f64| u as f32;
    let images: Vec<f32> = match case {
        "hybrid" => REFERENCE.numbers("hybrid/image"),
        _ => hashed("image", NUMBERS).map(image).collect(),
    };
    let noise: Vec<f32> = hashed("noise", NUMBERS).map(|u| 1.7 * u as f32).collect();
    let levels = REFERENCE.numbers(&format!("{case}/sigma")).into_iter().zip(steps);
    let levels = levels.map(|(sigma, step)| TrainingLevel { sigma: f64::from(sigma), step: Some(step) }).collect();
    let labels = vec![Some(3), None, Some(7), Some(0)];
    let batch = ImageBatch::new(objective.convention(), images, &noise, levels, labels);
    let gradient = trainer.gradient(&batch).unwrap();

    let loss = gradient.loss.into_data().try_into_vec::<f32>().unwrap()[0];
    let expected = REFERENCE.numbers(&format!("{case}/loss"))[0];
    println!("{case}: loss {loss} of {expected}");
    assert!((loss - expected).abs() < TOLERANCE * expected, "{case}: {loss} instead of {expected}");

    let mut order: Vec<usize> = (0..shapes.len()).collect();
    order.sort_by_key(|i| shapes[*i].name.clone());
    let (largest, rows) =
        (REFERENCE.numbers(&format!("{case}/largest")), REFERENCE.numbers(&format!("{case}/gradients")));
    assert_eq!(largest.len(), shapes.len());
    let norm = REFERENCE.numbers(&format!("{case}/norm"))[0];
    let (mut squares, mut worst) = (0.0_f64, 0.0_f32);
    for ((&index, &largest), row) in order.iter().zip(&largest).zip(rows.chunks_exact(KEPT)) {
        let found = gradient.parts[index].to_data().try_into_vec::<f32>().unwrap();
        squares += found.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        for (found, expected) in found.iter().zip(row) {
            // Relative to the parameter's largest gradient; where that is nothing but rounding, to the whole gradient.
            worst = worst.max((found - expected).abs() / largest.max(1e-3 * norm));
        }
    }
    println!("{case}: gradients differ by {worst:.1e}");
    assert!(worst < TOLERANCE, "{case}: {worst:e}");
    assert!((squares.sqrt() as f32 - norm).abs() < TOLERANCE * norm, "{case}: {} of {norm}", squares.sqrt());
}

#[test]
fn losses_and_gradients_of_every_objective_equal_pytorchs() {
    for (case, objective) in [
        ("edm", Objective::Edm),
        ("ddpm", Objective::Ddpm),
        ("cosine", Objective::Cosine),
        ("vp", Objective::Vp),
        ("ve", Objective::Ve),
        ("ncsn", Objective::Ncsn),
    ] {
        compare(case, objective, false, [0; 4]);
    }
}

#[test]
fn the_hybrid_loss_with_learned_variance_equals_its_formulas() {
    compare("hybrid", Objective::Ddpm, true, [0, 120, 555, 999]);
}

#[test]
fn levels_are_drawn_from_the_published_distributions() {
    let count = 20_000;
    let logs = |objective| -> Vec<f64> {
        let law = NoiseDistribution::new(objective);
        let mut rng = Rng::new(5, Stream::Test, 0);
        let mut logs: Vec<f64> = (0..count).map(|_| law.draw(&mut rng).sigma.ln()).collect();
        logs.sort_by(f64::total_cmp);
        logs
    };
    // Medians, within five standard errors of a median, 1.25 standard deviations over the root of the count; the
    // standard deviations are below 3.3 for all of them.
    let within = 5.0 * 1.25 * 3.3 / f64::from(count).sqrt();
    let half = 9.95_f64 * 0.25 + 0.05;
    for (objective, median) in [
        (Objective::Edm, -1.2),
        (Objective::Vp, 0.5 * half.exp_m1().ln()),
        (Objective::SubVp, (2.0 * (0.5 * half).sinh()).ln()),
        (Objective::Ve, (0.02_f64 * 100.0).sqrt().ln()),
        (Objective::Ncsn, (0.02_f64 * 100.0).sqrt().ln()),
        // Step 500 of 1000: alpha-bar is exp(-sum of betas), near enough for this.
        (Objective::Ddpm, 0.5 * (500.0_f64 * (1e-4 + 0.25 * 0.0199)).mul_add(1.0, 0.013).exp_m1().ln()),
    ] {
        let logs = logs(objective);
        let found = logs[logs.len() / 2];
        assert!((found - median).abs() < within, "{objective:?}: {found} instead of {median}");
        if objective == Objective::Ve {
            assert!(logs[0] >= 0.02_f64.ln() && logs[logs.len() - 1] <= 100.0_f64.ln() + 1e-9);
        }
    }
}

#[test]
fn a_run_in_two_parts_and_with_any_threads_is_the_run_in_one_bit_for_bit() {
    let (set, compute) = (set(20), cpu());
    for dropout in [0.0, 0.2] {
        let recipe = Recipe { network: UNetConfig { dropout, ..tiny().network }, ..tiny() };
        let mut whole = ImageTrainer::new(recipe.clone(), &compute, 1).unwrap();
        advance(&mut whole, &set, 6);
        let mut first = ImageTrainer::new(recipe, &compute, 2).unwrap();
        advance(&mut first, &set, 3);
        let mut second = ImageTrainer::from_bytes(&first.to_bytes().unwrap(), &compute, 3).unwrap();
        assert!(tensors(&second) != tensors(&whole));
        advance(&mut second, &set, 3);
        assert!(tensors(&second) == tensors(&whole), "dropout {dropout}");
    }
}

#[test]
fn training_lowers_the_loss() {
    for (name, style) in Style::NAMES {
        let network = match style.refine() {
            Some(refine) => UNetConfig::refine(refine, 8),
            None => UNetConfig { style, ..tiny().network },
        };
        let objective = Recipe::objective_of(style).unwrap_or(tiny().objective);
        let recipe = Recipe { network, objective, steps: 60, batch: 8, piece: 8, rate: 4e-3, warm_up: 5, ..tiny() };
        recipe.validate(&set(8)).unwrap();
        let mut trainer = ImageTrainer::new(recipe, &cpu(), 2).unwrap();
        advance(&mut trainer, &set(8), 60);
        let losses = trainer.take_losses().unwrap();
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        println!("{name}: {} to {}", mean(&losses[..15]), mean(&losses[45..]));
        assert!(mean(&losses[45..]) < 0.85 * mean(&losses[..15]), "{name}: {losses:?}");
    }
}

#[test]
fn a_trained_network_is_told_what_it_was_trained_with() {
    use std::convert::Infallible;
    let style = Style::Song(scorefield::nn::unet::Song::NCSN_PP);
    let recipe = Recipe { network: UNetConfig { style, ..tiny().network }, seed: 3, ..tiny() };
    let mut trainer = ImageTrainer::new(recipe.clone(), &cpu(), 1).unwrap();
    // Of other frequencies than any seed's, as when a run begins from given weights.
    let shapes = trainer.shapes();
    trainer.set_parameters(shapes.iter().map(|p| parameter(&p.name, &p.shape)).collect());
    let network = trainer.network().unwrap();
    let (parameters, numbers) = (network.parameters(), network.numbers().unwrap());
    let place = |name: &str| parameters.iter().position(|parameter| parameter.name == name).unwrap();
    let made = recipe.network.init(0, &cpu().device).unwrap();
    let Ok(read) = made.load(|name, _| Ok::<_, Infallible>(numbers[place(name)].clone()));
    let output = |network: &UNet| {
        let x = unet_weights::image("input", [1, 3, 8, 8], &cpu().device);
        let told = network.condition(&[-0.7], &[None]).unwrap();
        network.forward(x, &told).into_data().try_into_vec::<f32>().unwrap()
    };
    let found = output(&network);
    assert!(found.iter().any(|value| *value != 0.0));
    assert_eq!(found, output(&read));
}

#[test]
fn refinenets_are_trained_with_their_own_objective_and_read_again() {
    let folder = Folder::new("train-refine");
    images(&folder, "images", 6, 8);
    let data = folder.path("images");
    let run = |network: &str, more: &[&str]| {
        let asked = ["train", "--data", &data, "--network", network, "--channels", "4", "--batch", "4", "--steps", "2"];
        scorefield(asked.iter().chain(more))
    };
    for (network, shape, objective, levels) in
        [("ncsn", 0, "ncsn-10", 10), ("ncsnv2", 0, "ncsn", 0), ("ncsnv2", 1, "ncsn", 0)]
    {
        let (out, multipliers) = (format!("{network}-{shape}"), REFINE_SHAPES[shape].to_vec());
        let text = multipliers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let asked: &[&str] = if shape == 0 { &[] } else { &["--multipliers", &text] };
        let path = folder.path(&out);
        success(&run(network, &[asked, &["--out", path.as_str()]].concat()));
        let manifest = fs::read_to_string(folder.path(&format!("{out}/manifest.json"))).unwrap();
        assert!(manifest.contains("\"score\"") && manifest.contains(objective), "{manifest}");
        // What was written is read by its own names, and its shape is the manifest's.
        let file = fs::read(folder.path(&format!("{out}/weights.00.safetensors"))).unwrap();
        let recognised = Checkpoint::open(&[&file]).unwrap().recognise().unwrap();
        let config = recognised.architecture.config.clone();
        assert_eq!(config, UNetConfig { multipliers, ..UNetConfig::refine(Refine { levels }, 4) });
        let network = Checkpoint::open(&[&file]).unwrap().load(&recognised, &cpu().device).unwrap();
        assert_eq!(network.parameters().iter().filter(|p| p.name == "sigmas.weight").count(), usize::from(levels > 0));
    }
    let other = folder.path("other");
    failure(&run("ncsn", &["--out", &other, "--objective", "edm"]), 2, "ncsn-10");
    failure(&run("ncsnv2", &["--out", &other, "--layers", "3"]), 2, "RefineNet");
}

fn train(folder: &Folder, out: &str, more: &[&str]) -> std::process::Output {
    let (data, out) = (folder.path("images"), folder.path(out));
    scorefield(["train", "--data", &data, "--out", &out].iter().chain(&NETWORK).chain(more))
}

#[test]
fn the_program_stops_goes_on_and_arrives_where_an_unbroken_run_does() {
    let folder = Folder::new("train-resume");
    images(&folder, "images", 6, 8);
    success(&train(&folder, "whole", &["--steps", "4"]));
    success(&train(&folder, "parts", &["--steps", "4", "--stop-after", "2"]));
    // As if it had been killed while the next state was written.
    fs::write(folder.path("parts/resume.safetensors.part"), b"cut").unwrap();
    failure(&train(&folder, "parts", &["--steps", "4"]), 2, "--resume");
    failure(&train(&folder, "parts", &["--resume", "--rate", "0.5"]), 2, "no other recipe");
    success(&train(&folder, "parts", &["--resume"]));
    let weights = |out: &str| fs::read(folder.path(&format!("{out}/weights.00.safetensors"))).unwrap();
    assert!(weights("parts") == weights("whole"));
    let table = fs::read_to_string(folder.path("parts/metrics.csv")).unwrap();
    let steps: Vec<&str> = table.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(steps, ["2", "4"]);
    let manifest = fs::read_to_string(folder.path("parts/manifest.json")).unwrap();
    assert!(manifest.contains("\"karras\"") && manifest.contains("16 images in 4 steps of 4"), "{manifest}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_puts_everything_away_and_the_run_goes_on() {
    let folder = Folder::new("train-interrupt");
    images(&folder, "images", 6, 8);
    let (data, out) = (folder.path("images"), folder.path("out"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scorefield"));
    command.args(["train", "--data", &data, "--out", &out, "--steps", "1000000"]).args(NETWORK);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The table has its first row when 50 steps are done.
    let table = folder.path("out/metrics.csv");
    let rows = || fs::read_to_string(&table).map_or(0, |text| text.lines().count());
    for _ in 0..1200 {
        if rows() > 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(rows() > 1, "50 steps of a tiny network within a minute");
    success(&std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(fs::exists(folder.path("out/manifest.json")).unwrap());
    let output = train(&folder, "out", &["--resume", "--stop-after", "1", "--json"]);
    success(&output);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["step"].as_u64().unwrap() > 50, "{summary}");
}

#[test]
fn data_that_cannot_be_used_end_in_one_clear_line() {
    let folder = Folder::new("train-bad-data");
    let with = |name: &str, bytes: &[u8]| fs::write(folder.path(name), bytes).unwrap();
    let try_it = |name: &str, more: &[&str], code: i32, word: &str| {
        let (data, out) = (folder.path(name), folder.path("out"));
        failure(&scorefield(["train", "--data", &data, "--out", &out].iter().chain(more)), code, word);
        assert!(!fs::exists(&out).unwrap(), "nothing is written");
    };
    try_it("nowhere", &[], 3, "No such file");
    with("short.tar.gz", &records(2)[..100]);
    try_it("short.tar.gz", &[], 3, "not a readable archive");
    fs::create_dir(folder.path("cut")).unwrap();
    with("cut/data_batch_1.bin", &records(2)[..4000]);
    try_it("cut", &[], 3, "cut short");
    fs::create_dir(folder.path("few")).unwrap();
    with("few/data_batch_1.bin", &records(2));
    with("few/test_batch.bin", &records(1));
    try_it("few", &[], 3, "data_batch_2.bin is missing");
    fs::create_dir(folder.path("empty")).unwrap();
    try_it("empty", &[], 3, "neither");
    images(&folder, "sizes", 2, 8);
    images(&folder, "sizes/more", 1, 16);
    try_it("sizes", &[], 3, "16 x 16");
    with("one.bin", &records(3));
    try_it("one.bin", &["--device", "gpu"], 4, "without a GPU");
    try_it("one.bin", &["--channels", "34"], 2, "34");
    try_it("one.bin", &["--objective", "edm", "--learned-variance"], 2, "learned variance");
    try_it("one.bin", &["--set", "steps=3"], 2, "plane");
    failure(&scorefield(["train", "--data", "moons", "--out", "x", "--device", "quantum"]), 2, "quantum");
}

#[test]
fn an_archive_of_the_official_files_is_trained_on_and_half_of_one_is_refused() {
    let folder = Folder::new("train-archive");
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for batch in 1..=5 {
        let bytes = records(2);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let name = format!("cifar-10-batches-bin/data_batch_{batch}.bin");
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    fs::write(folder.path("cifar.tar.gz"), &bytes).unwrap();
    fs::write(folder.path("half.tar.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let run = |name: &str, more: &[&str]| {
        let (data, out) = (folder.path(name), folder.path("out"));
        scorefield(
            ["train", "--data", &data, "--out", &out, "--steps", "2", "--json"].iter().chain(&NETWORK).chain(more),
        )
    };
    failure(&run("half.tar.gz", &[]), 3, "cut short");
    assert!(!fs::exists(folder.path("out/manifest.json")).unwrap());
    let output = run("cifar.tar.gz", &["--objective", "sub-vp", "--unconditional"]);
    success(&output);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((summary["step"].as_u64(), summary["finished"].as_bool()), (Some(2), Some(true)));
}

#[test]
fn a_run_in_the_plane_writes_the_weights_that_the_page_reads() {
    let folder = Folder::new("train-plane");
    let out = folder.path("out");
    let output = scorefield([
        "train",
        "--link",
        "https://example.org/#experiment=plane&dataset=rings&width=16&depth=2",
        "--set",
        "training-steps=40",
        "--out",
        &out,
        "--json",
    ]);
    success(&output);
    let file = fs::read(folder.path("out/weights.safetensors")).unwrap();
    let weights = scorefield::nn::WeightsFile::from_bytes(&file).unwrap();
    assert_eq!((weights.step, weights.config.width), (40, 16));
    failure(&scorefield(["train", "--data", "moons", "--set", "nothing=1", "--out", &out]), 2, "the values are");
}

/// What a file of the page holds; its header's entries come in any order.
fn plane_weights(path: &str) -> scorefield::nn::WeightsFile {
    scorefield::nn::WeightsFile::from_bytes(&fs::read(path).unwrap()).unwrap()
}

/// Starts a run that writes a checkpoint after every step, kills it when it has one, without a word, several times,
/// and lets it arrive.
#[cfg(unix)]
fn kill_and_resume(folder: &Folder, out: &str, run: &[&str], more: &[&str]) {
    let target = folder.path(out);
    let state = format!("{target}/resume.safetensors");
    let command = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scorefield"));
        command.args(["train", "--out", &target, "--checkpoint", "0"]).args(run).args(more);
        command.stderr(std::process::Stdio::null());
        command
    };
    for round in 0..4 {
        let begin = if round == 0 { more } else { &["--resume"][..] };
        let known = fs::read(&state).unwrap_or_default();
        let mut child = command(begin).spawn().unwrap();
        for _ in 0..6000 {
            // A checkpoint of its own, then the next one somewhere between its first byte and its name.
            if fs::read(&state).is_ok_and(|bytes| bytes != known) || child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::thread::sleep(std::time::Duration::from_millis(3 * round + 1));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(fs::exists(&state).unwrap(), "round {round} left no checkpoint");
    }
    success(&command(&["--resume"]).output().unwrap());
}

#[test]
#[cfg(unix)]
fn a_run_that_is_killed_again_and_again_arrives_where_an_unbroken_one_does_bit_for_bit() {
    let folder = Folder::new("train-killed");
    images(&folder, "images", 6, 8);
    let data = folder.path("images");
    let of_images = [&["--data", &data, "--steps", "40"], &NETWORK[..]].concat();
    kill_and_resume(&folder, "parts", &["--data", &data], &of_images[2..]);
    success(&scorefield(["train", "--out", &folder.path("whole")].into_iter().chain(of_images)));
    let plane = ["--data", "moons", "--set", "width=16", "--steps", "400"];
    // A folder that holds a run in the plane need not be told what it is.
    kill_and_resume(&folder, "plane-parts", &[], &plane);
    success(&scorefield(["train", "--out", &folder.path("plane-whole")].into_iter().chain(plane)));
    let weights = |out: &str| fs::read(folder.path(&format!("{out}/weights.00.safetensors"))).unwrap();
    assert!(weights("parts") == weights("whole"));
    let weights = |out: &str| plane_weights(&folder.path(&format!("{out}/weights.safetensors")));
    assert!(weights("plane-parts") == weights("plane-whole"));
    // Whatever was lost with a process is done again: its rows are in the table once.
    for (out, last) in [("parts", 40), ("plane-parts", 400)] {
        let table = fs::read_to_string(folder.path(&format!("{out}/metrics.csv"))).unwrap();
        let steps: Vec<u32> =
            table.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        assert!(steps.is_sorted_by(|a, b| a < b) && steps.last() == Some(&last), "{out}: {steps:?}");
    }
}

#[test]
fn a_run_in_the_plane_goes_on_as_it_was_or_says_why_not() {
    let folder = Folder::new("train-plane-resume");
    let (whole, parts) = (folder.path("whole"), folder.path("parts"));
    let run = ["train", "--data", "rings", "--set", "width=16", "--steps", "60"];
    success(&scorefield(run.into_iter().chain(["--out", &whole])));
    success(&scorefield(run.into_iter().chain(["--out", &parts, "--stop-after", "25"])));
    let weights = |out: &str| plane_weights(&format!("{out}/weights.safetensors"));
    assert!(weights(&whole) != weights(&parts));
    failure(&scorefield(run.into_iter().chain(["--out", &parts])), 2, "--resume");
    let resume = |more: &[&str]| scorefield(["train", "--out", &parts, "--resume"].iter().chain(more));
    failure(&resume(&["--data", "moons"]), 2, "otherwise as it was");
    failure(&resume(&["--set", "width=32"]), 2, "otherwise as it was");
    failure(&resume(&["--channels", "8"]), 2, "for images");
    success(&resume(&["--json"]));
    assert!(weights(&whole) == weights(&parts));
    let state = format!("{parts}/resume.safetensors");
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() - 10]).unwrap();
    failure(&resume(&["--data", "rings"]), 3, "not the state of a training run");
    fs::remove_file(&state).unwrap();
    failure(&resume(&["--data", "rings"]), 3, "No such file");
}
