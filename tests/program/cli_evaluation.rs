//! Sampling, evaluation and conversion by the program, on tiny networks and images; the Inception network and the
//! Fréchet distance against `tests/golden/evaluation.py`.

use std::fs;

use crate::program::{Folder, failure, images, scorefield, success};
use crate::unet_weights::hashed;
use safetensors::SafeTensors;
use scorefield::cli::images::png_file::Picture;
use scorefield::data::ImageSet;
use scorefield::data::metrics::gaussian::Moments;
use scorefield::diffusion::now;
use scorefield::lab::DeviceChoice;
use scorefield::nn::checkpoint::Manifest;
use scorefield::nn::device::open;
use scorefield::nn::inception::{FEATURES, Inception};
use serde_json::Value;

const REFERENCE: &[u8] = include_bytes!("../golden/evaluation.safetensors");

fn reference(name: &str) -> Vec<u8> {
    SafeTensors::deserialize(REFERENCE).unwrap().tensor(name).unwrap().data().to_vec()
}

/// `rows` of the script.
fn rows(name: &str, count: usize, dimension: usize, scale: f64, shift: f64) -> Vec<f32> {
    let u: Vec<f64> = hashed(name, count * dimension).collect();
    let mixed = |(i, row): (usize, &[f64])| -> Vec<f32> {
        let _ = i;
        let gain = |k: usize| 0.1 + (scale - 0.1) * k as f64 / (dimension - 1) as f64;
        let value = |k: usize| row[k] * gain(k) + shift * row[(k + dimension - 1) % dimension].powi(2);
        (0..dimension).map(|k| value(k) as f32).collect()
    };
    u.chunks_exact(dimension).enumerate().flat_map(mixed).collect()
}

#[test]
fn the_frechet_distance_equals_numpys_also_with_fewer_rows_than_dimensions() {
    for (case, left, right) in [
        ("full", rows("left", 200, 60, 2.0, 0.3), rows("right", 150, 60, 1.5, 0.5)),
        ("thin", rows("left", 20, 60, 2.0, 0.3), rows("right", 200, 60, 1.5, 0.5)),
    ] {
        let fit = |rows: &[f32]| {
            let mut moments = Moments::new(60);
            moments.add(rows);
            moments.fit().unwrap()
        };
        let expected = f64::from_le_bytes(reference(&format!("frechet/{case}")).try_into().unwrap());
        let (left, right) = (fit(&left), fit(&right));
        for found in [left.frechet(&right), right.frechet(&left)] {
            // Both sides take roots of rounding errors of 1e-16 where a covariance is singular: 60 of 1e-8.
            assert!((found - expected).abs() < 1e-6 * expected, "{case}: {found} instead of {expected}");
        }
    }
}

/// `images` of the script.
fn blocks(count: usize) -> ImageSet {
    let colours: Vec<f64> = hashed("blocks", count * 3 * 16).collect();
    let grain: Vec<f64> = hashed("grain", count * 3072).collect();
    let value = |at: usize| {
        let (plane, row, column) = (at / 1024, at / 32 % 32, at % 32);
        (127.5 + 100.0 * colours[plane * 16 + row / 8 * 4 + column / 8] + 25.0 * grain[at]).floor() as u8
    };
    ImageSet::new(32, 3, (0..count * 3072).map(value).collect(), Vec::new(), Vec::new()).unwrap()
}

#[test]
#[ignore = "needs the Inception weights, 87 MB: SCOREFIELD_INCEPTION=default_1.pt"]
fn inception_features_of_64_images_equal_torchs_within_a_thousandth() {
    let path = std::env::var("SCOREFIELD_INCEPTION").expect("where default_1.pt is");
    let compute = now(open(DeviceChoice::Cpu)).unwrap();
    let file = fs::read(path).unwrap();
    let network = Inception::from_bytes(&file, &compute.device).unwrap();
    let found = network.features_of(&blocks(64), 4, 2, |_| true).unwrap();
    assert_eq!(found.len(), 64 * FEATURES);
    let expected = reference("features");
    let expected = expected.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    let (mut worst, mut largest) = (0.0_f32, 0.0_f32);
    for (found, expected) in found.iter().step_by(16).zip(expected) {
        worst = worst.max((found - expected).abs());
        largest = largest.max(expected);
    }
    println!("largest difference {worst:e} of features up to {largest}");
    assert!(worst < 1e-3 && largest > 0.5, "{worst}");
    // The same bits, whatever is computed together.
    let few = network.features_of(&blocks(64).first(5), 1, 1, |_| true).unwrap();
    assert!(few == found[..5 * FEATURES]);
    // By tensor operations, as on a GPU; a device with automatic differentiation uses them.
    let tensors = Inception::from_bytes(&file, &compute.device.autodiff()).unwrap();
    let other = tensors.features_of(&blocks(64).first(2), 2, 1, |_| true).unwrap();
    let worst = other.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{worst:e} from tensor operations");
    assert!(other.len() == 2 * FEATURES && worst < 1e-3, "{worst}");
}

/// A network of 16 x 16 images, trained for two steps.
fn trained(folder: &Folder) -> String {
    images(folder, "data", 6, 16);
    let (data, out) = (folder.path("data"), folder.path("net"));
    success(&scorefield([
        "train",
        "--data",
        &data,
        "--out",
        &out,
        "--steps",
        "2",
        "--channels",
        "8",
        "--multipliers",
        "1,2",
        "--layers",
        "1",
        "--groups",
        "4",
        "--batch",
        "2",
        "--precision",
        "f32",
        "--title",
        "a test",
    ]));
    out
}

fn json(output: &std::process::Output) -> Value {
    success(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn weights_are_sampled_evaluated_and_converted() {
    let folder = Folder::new("evaluation");
    let net = trained(&folder);
    let sample = |out: &str, more: &[&str]| {
        let out = folder.path(out);
        let common = ["sample", "--weights", &net, "--set", "steps=3", "--set", "solver=heun", "--json", "--out", &out];
        scorefield(common.iter().chain(more))
    };
    let grid = |name: &str| Picture::decode(&fs::read(folder.path(name)).unwrap()).unwrap();
    let summary = json(&sample("a.png", &["--count", "12", "--columns", "4"]));
    assert_eq!((summary["images"].as_u64(), summary["evaluations"].as_u64()), (Some(12), Some(5)));
    let a = grid("a.png");
    assert_eq!((a.width, a.height), (64, 48));
    // The same images whatever the number of threads; a single one comes again by its own seed.
    json(&sample("b.png", &["--count", "12", "--columns", "4", "--threads", "1"]));
    assert_eq!(grid("b.png"), a);
    let files = folder.path("files");
    json(&sample("c.png", &["--link", "#experiment=images&seed=12", "--count", "1", "--files", &files]));
    let corner = |picture: &Picture, x: usize, y: usize| -> Vec<u8> {
        (0..16).flat_map(|row| picture.pixels[((y + row) * picture.width + x) * 3..][..48].to_vec()).collect()
    };
    // Image 11 of the run with seed 1, in the last row and column; drawn in another batch it may differ by rounding.
    let (again, known) = (grid("c.png").pixels, corner(&a, 48, 32));
    assert!(again.iter().zip(&known).all(|(a, b)| a.abs_diff(*b) <= 1), "the seed names the image");
    assert_eq!(grid("files/00000.png").pixels, again);

    failure(&sample("d.png", &["--link", "#experiment=plane"]), 2, "plane");
    failure(&sample("d.png", &["--set", "steps=0"]), 2, "steps=0");
    let nowhere = folder.path("nowhere");
    failure(&scorefield(["sample", "--weights", &nowhere, "--out", "x.png"]), 3, "No such file");

    let data = folder.path("data");
    let cache = folder.path("cache");
    let evaluate = |more: &[&str]| {
        let common = ["evaluate", "--reference", &data, "--features", "pixels", "--json", "--neighbours", "1"];
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_scorefield"));
        command.args(common).args(more).env("XDG_CACHE_HOME", &cache).output().unwrap()
    };
    let report = json(&evaluate(&["--weights", &net, "--count", "6", "--set", "steps=3"]));
    assert!(report["distance"].as_f64().unwrap() > 0.0 && report["fid"].is_null(), "pixels are never FID: {report}");
    assert_eq!((report["evaluations"].as_u64(), report["seed"].as_u64()), (Some(3), Some(1)));
    // Statistics of the reference come from the cache now, and say the same: nothing lies between a set and itself.
    let kept = fs::read_dir(folder.path("cache/scorefield")).unwrap().count();
    let report = json(&evaluate(&["--images", &data]));
    assert!(report["distance"].as_f64().unwrap() < 1e-6, "{report}");
    assert_eq!((report["precision"].as_f64(), report["recall"].as_f64()), (Some(1.0), Some(1.0)));
    assert_eq!(fs::read_dir(folder.path("cache/scorefield")).unwrap().count(), kept);
    // The second half of a set against its first: other images, though of the same source.
    let halves = |more: &[&str]| {
        let report = json(&evaluate(&[&["--images", &data, "--count", "3", "--reference-count", "3"], more].concat()));
        let of = |side: &str| (report[side]["images"].as_u64(), report[side]["sha256"].as_str().unwrap().to_owned());
        (report["distance"].as_f64().unwrap(), of("images"), of("reference"))
    };
    let ((none, same, first), (distance, second, again)) = (halves(&[]), halves(&["--skip", "3"]));
    assert!(none < 1e-6 && same == first && again == first, "{none}");
    assert!(distance > 1e-3 && second.0 == Some(3) && second.1 != first.1, "{distance} {second:?}");
    failure(&evaluate(&["--images", &data, "--skip", "6"]), 2, "--skip");
    failure(&scorefield(["evaluate", "--reference", &data, "--images", &data]), 2, "--inception");
    let weights = folder.path("net/weights.00.safetensors");
    let inception = ["evaluate", "--reference", &data, "--images", &data, "--inception", &weights];
    failure(&scorefield(inception), 3, "weights.00.safetensors");

    // The mathematics of both is tested elsewhere. A network that learned next to nothing finds images no likelier than
    // a uniform distribution over grey values would, 8 bits, up to what EDM's own scaling knows of their spread.
    let bits = |method: &str, more: &str| {
        let common = ["evaluate", "--weights", &net, "--reference", &data, "--count", "2", "--bits", method, "--json"];
        json(&scorefield(common.iter().chain(&["--set", more])))["bits_per_dimension"].as_f64().unwrap()
    };
    let (bound, flow) = (bits("bound", "steps=50"), bits("flow", "flow-tolerance=0.001"));
    println!("bound {bound}, flow {flow}");
    assert!((2.0..50.0).contains(&bound) && (2.0..50.0).contains(&flow), "{bound} {flow}");

    let index = folder.path("index.json");
    let packed = folder.path("packed");
    // What a person wrote into the list stays there.
    let written = r#"{"format": 1, "sets": [{"id": "packed", "title": "old", "bytes": 1, "network": "a note"}]}"#;
    fs::write(&index, written).unwrap();
    let convert = ["convert", &net, "--out", &packed, "--precision", "int8", "--index", &index];
    success(&scorefield(convert));
    let manifest = fs::read_to_string(folder.path("packed/manifest.json")).unwrap();
    let manifest = Manifest::from_json(&manifest).unwrap();
    assert_eq!((manifest.title.as_str(), manifest.architecture.groups), ("a test", 4));
    let list = fs::read_to_string(&index).unwrap();
    let list = scorefield::protocol::images::WeightsIndex::from_json(&list).unwrap();
    assert_eq!((list.sets.len(), list.sets[0].title.as_str()), (1, "a test"));
    assert!(fs::read_to_string(&index).unwrap().contains("a note"));
    let bare = folder.path("packed/weights.00.safetensors");
    fs::write(&bare, &fs::read(&bare).unwrap()[1..]).unwrap();
    failure(&scorefield(["convert", &packed, "--out", &packed]), 3, "bytes");
    failure(&scorefield(["convert", &weights, "--out", &packed]), 3, "32 groups");
}

#[test]
fn grids_are_searched_written_into_the_manifest_and_sampled_over() {
    let folder = Folder::new("grids");
    let net = trained(&folder);
    let path = folder.path("net/manifest.json");
    let before = fs::read_to_string(&path).unwrap();
    let search = |more: &[&str]| {
        let common = ["grid", "--weights", &net, "--trajectories", "12", "--teacher-steps", "16", "--json"];
        scorefield(common.iter().chain(more))
    };
    let manifest = || Manifest::from_json(&fs::read_to_string(&path).unwrap()).unwrap();
    let dry = json(&search(&["--steps", "3,4", "--check", "0", "--dry-run"]));
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let found = json(&search(&["--steps", "4,3,4", "--check", "2"]));
    // The same whatever the number of threads.
    let again = json(&search(&["--steps", "3,4", "--check", "0", "--threads", "1", "--dry-run"]));
    for (i, steps) in [3, 4].into_iter().enumerate() {
        let ratios = manifest().grids[i].ratios.clone();
        assert_eq!(ratios.len(), steps);
        assert_eq!(found[i]["ratios"], serde_json::json!(ratios));
        assert_eq!((&dry[i]["ratios"], &again[i]["ratios"]), (&found[i]["ratios"], &found[i]["ratios"]));
        assert!(found[i]["errors"]["searched"].as_f64().unwrap() > 0.0 && dry[i]["errors"].is_null(), "{found}");
    }
    assert!(manifest().grids[0].search.starts_with("deviation, coefficient 1.15, 12 trajectories of 16 steps"));
    // Another search replaces the grid of its number of steps and leaves the others.
    let kept = manifest().grids[0].clone();
    json(&search(&["--steps", "4", "--check", "0", "--metric", "distance"]));
    assert_eq!(manifest().grids.len(), 2);
    assert_eq!(manifest().grids[0], kept);
    assert!(manifest().grids[1].search.starts_with("distance, coefficient 1,"), "{:?}", manifest().grids[1]);

    let sample = |steps: &str| {
        let (out, steps) = (folder.path("x.png"), format!("steps={steps}"));
        let run = ["--set", "solver=ipndm-4", "--set", "spacing=searched", "--set", &steps, "--count", "1", "--json"];
        scorefield(["sample", "--weights", &net, "--out", &out].iter().chain(&run))
    };
    let (over, without) = (sample("4"), sample("5"));
    assert!(json(&over)["solver"].as_str().unwrap().ends_with("4 steps, spacing searched") && over.stderr.is_empty());
    assert!(json(&without)["solver"].as_str().unwrap().ends_with("5 steps, spacing karras"));
    assert!(String::from_utf8_lossy(&without.stderr).contains("no grid was searched"));
    // What was searched stays with weights that are converted.
    let packed = folder.path("packed");
    success(&scorefield(["convert", &net, "--out", &packed]));
    let packed = fs::read_to_string(folder.path("packed/manifest.json")).unwrap();
    assert_eq!(Manifest::from_json(&packed).unwrap().grids, manifest().grids);

    failure(&search(&["--steps", "17", "--check", "0"]), 2, "17 steps");
    failure(&search(&["--steps", "0"]), 2, "at least one step");
    failure(&scorefield(["grid", "--weights", &folder.path("data")]), 3, "manifest.json");
}

#[test]
fn points_are_drawn_by_the_closed_form_and_by_a_network() {
    let folder = Folder::new("points");
    let (out, table) = (folder.path("run"), folder.path("points.csv"));
    let weights = folder.path("run/weights.safetensors");
    success(&scorefield(["train", "--data", "rings", "--steps", "20", "--set", "width=16", "--out", &out]));
    for more in [&["--weights", &weights][..], &["--link", "dataset=rings"][..]] {
        let common = ["sample", "--set", "samples=50", "--set", "steps=10", "--out", &table, "--json"];
        let summary = json(&scorefield(common.iter().chain(more)));
        assert_eq!((summary["points"].as_u64(), summary["evaluations"].as_u64()), (Some(50), Some(10)));
        assert_eq!(fs::read_to_string(&table).unwrap().lines().count(), 51);
    }
}

#[test]
fn help_completions_and_the_server_say_what_they_should() {
    let text = |arguments: &[&str]| {
        let output = scorefield(arguments);
        success(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let help = text(&["--help"]);
    for command in
        ["train", "sample", "evaluate", "grid", "report", "convert", "serve", "bench", "completions", "Exit codes"]
    {
        assert!(help.contains(command), "{command}");
    }
    assert!(text(&["train", "--help"]).contains("--resume") && text(&["completions", "bash"]).contains("--objective"));
    let folder = Folder::new("serve");
    failure(&scorefield(["serve", &folder.path("")]), 3, "no built page");
    failure(&scorefield(["train"]), 2, "--out");
}

#[test]
fn the_benchmark_measures_a_tiny_network() {
    let report = json(&scorefield([
        "bench",
        "--channels",
        "32",
        "--layers",
        "1",
        "--batch",
        "2",
        "--piece",
        "1",
        "--seconds",
        "0",
        "--json",
    ]));
    assert!(report["step_ms"].as_f64().unwrap() > report["evaluation_ms"].as_f64().unwrap());
    assert!(report["torch"].is_null());
}
