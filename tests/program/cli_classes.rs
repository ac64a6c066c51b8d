//! Classes of images on the command line: the names of the weights are obeyed, and what is not there is refused.

use crate::unet_weights;
use std::fs;
use std::path::Path;
use std::process::Output;

use crate::program::{Folder, failure, images, scorefield, success};
use scorefield::nn::checkpoint::{Manifest, Precision, encode};
use scorefield::nn::unet::UNetConfig;
use serde_json::Value;

/// Writes a checkpoint whose table of classes has so many rows, as others publish it.
fn published(folder: &Folder, name: &str, rows: usize) -> String {
    let mut config =
        UNetConfig { channels: 32, multipliers: vec![1, 2], layers: 1, classes: rows, ..UNetConfig::cifar10() };
    config.set_without_class(rows == 0);
    let parameters = config.init(0, &burn::tensor::Device::flex()).unwrap().parameters();
    let values: Vec<Vec<f32>> = parameters.iter().map(|p| unet_weights::parameter(&p.name, &p.shape)).collect();
    let path = folder.path(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(format!("{path}/model.safetensors"), encode(&parameters, &values, Precision::Full).unwrap()).unwrap();
    path
}

/// Converts it to a set with these names.
fn set(source: &str, out: &str, names: &str) {
    let size = ["--licence", "MIT", "--precision", "f32", "--image-size", "8"];
    success(&scorefield(["convert", source, "--out", out, "--class-names", names].iter().chain(&size)));
}

/// Draws four images in two steps.
fn sample(weights: &str, out: &str, changes: &[&str]) -> Output {
    let common = ["sample", "--weights", weights, "--out", out, "--count", "4", "--set", "steps=2", "--json"];
    let changes = changes.iter().flat_map(|change| ["--set", change]);
    scorefield(common.into_iter().chain(changes))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    success(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_classes_of_a_set_are_drawn_by_their_own_names() {
    let folder = Folder::new("classes-own");
    let source = published(&folder, "published", 3);
    let (pets, swapped) = (folder.path("pets"), folder.path("swapped"));
    set(&source, &pets, "cat,dog");
    set(&source, &swapped, "dog,a cat");
    let drawn = |weights: &str, class: &str| {
        let out = folder.path("grid.png");
        success(&sample(weights, &out, &[&format!("image-class={class}")]));
        fs::read(out).unwrap()
    };
    let (any, cat, dog) = (drawn(&pets, "any"), drawn(&pets, "cat"), drawn(&pets, "dog"));
    assert!(any != cat && any != dog && cat != dog, "three pictures");
    assert!(drawn(&swapped, "a cat") == dog && drawn(&swapped, "dog") == cat, "a name is the class of its place");
    // A link of the page, where the space is escaped.
    let out = folder.path("link.png");
    let link = "#experiment=images&image-class=a%20cat&steps=2";
    success(&scorefield(["sample", "--weights", &swapped, "--count", "4", "--out", &out, "--link", link]));
    assert!(fs::read(&out).unwrap() == dog);

    for (class, words) in [("airplane", "cat, dog"), ("Cat", "cat, dog"), ("0", "cat, dog")] {
        let out = folder.path("refused.png");
        failure(&sample(&pets, &out, &[&format!("image-class={class}")]), 2, words);
        assert!(!Path::new(&out).exists());
    }
    images(&folder, "reference", 4, 8);
    let reference = folder.path("reference");
    let evaluate = |class: &str| {
        let common = ["evaluate", "--weights", &pets, "--reference", &reference, "--features", "pixels", "--json"];
        scorefield(common.iter().chain(&["--count", "4", "--set", "steps=1", "--set", class]))
    };
    failure(&evaluate("image-class=airplane"), 2, "cat, dog");
    let distance = |class: &str| json(&evaluate(class))["distance"].as_f64().unwrap();
    assert!(distance("image-class=cat") != distance("image-class=any"));
    // What is recorded says what was drawn.
    let solver =
        |changes: &[&str]| json(&sample(&pets, &folder.path("x.png"), changes))["solver"].as_str().unwrap().to_owned();
    assert!(solver(&["image-class=dog", "guidance=2"]).ends_with(", class dog, guidance 2"));
    assert!(!solver(&["guidance=2"]).contains("guidance"), "nothing was guided");
    assert!(said(&sample(&pets, &folder.path("x.png"), &["guidance=2"])).contains("guidance does nothing"));
    let elsewhere = sample(&pets, &folder.path("x.png"), &["image-class=cat", "guidance-from=1"]);
    assert!(said(&elsewhere).contains("guidance-from"), "{}", said(&elsewhere));
}

#[test]
fn one_of_each_goes_on_over_any_number_of_classes() {
    let folder = Folder::new("classes-each");
    let weights = folder.path("three");
    set(&published(&folder, "published", 4), &weights, "a,b,c");
    // More than one part of ten, with three classes: what the eleventh image is does not depend on where a part ends.
    let files = folder.path("files");
    let run = ["--set", "image-class=each", "--set", "steps=1", "--set", "seed=3", "--count", "12", "--files", &files];
    success(&scorefield(["sample", "--weights", &weights].iter().chain(&run)));
    for (image, class) in [(9, "a"), (10, "b"), (11, "c")] {
        let (alone, seed) = (folder.path("alone"), format!("seed={}", 3 + image));
        let class = format!("image-class={class}");
        let run = ["--set", &class, "--set", "steps=1", "--set", &seed, "--count", "1", "--files", &alone];
        success(&scorefield(["sample", "--weights", &weights].iter().chain(&run)));
        let same =
            fs::read(format!("{alone}/00000.png")).unwrap() == fs::read(format!("{files}/{image:05}.png")).unwrap();
        assert!(same, "image {image} is not of {class}");
    }
}

#[test]
fn ten_rows_are_ten_classes_of_which_none_is_no_class() {
    let folder = Folder::new("classes-ten");
    let source = published(&folder, "published", 10);
    let out = folder.path("x.png");
    for weights in [&source, &folder.path("set")] {
        if weights != &source {
            set(&source, weights, "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck");
        }
        failure(&sample(weights, &out, &[]), 2, "airplane, automobile");
        failure(&sample(weights, &out, &["image-class=truck", "guidance=2"]), 2, "guidance");
        failure(&sample(weights, &out, &["image-class=each", "guidance=0"]), 2, "guidance");
        assert!(!Path::new(&out).exists());
    }
    let weights = folder.path("set");
    let drawn = |class: &str| {
        success(&sample(&weights, &out, &[&format!("image-class={class}")]));
        fs::read(&out).unwrap()
    };
    assert!(drawn("truck") != drawn("ship") && drawn("each") != drawn("truck"));

    // Likelihoods are of a class, or of each image's own.
    images(&folder, "data/truck", 2, 8);
    images(&folder, "data/cat", 1, 8);
    images(&folder, "other/lorry", 1, 8);
    images(&folder, "other/cat", 1, 8);
    let data = folder.path("data");
    let bits = |data: &str, change: &str| {
        let common = ["evaluate", "--weights", &weights, "--bits", "bound", "--reference", data, "--json"];
        scorefield(common.iter().chain(&["--set", "steps=3", "--set", change]))
    };
    failure(&bits(&data, "image-class=any"), 2, "airplane");
    failure(&bits(&data, "image-class=lorry"), 2, "lorry");
    failure(&bits(&folder.path("other"), "image-class=each"), 2, "lorry");
    let number = |change: &str| json(&bits(&data, change))["bits_per_dimension"].as_f64().unwrap();
    let (truck, cat, own) = (number("image-class=truck"), number("image-class=cat"), number("image-class=each"));
    assert!(truck != cat && own != cat && own != truck, "{truck} {cat} {own}");

    // Grids are searched over classes in turn, which these weights have; not over guided ones.
    let grid = |more: &[&str]| {
        let common = ["grid", "--weights", &weights, "--trajectories", "2", "--teacher-steps", "4", "--steps", "2"];
        scorefield(common.iter().chain(&["--check", "1", "--dry-run"]).chain(more))
    };
    success(&grid(&[]));
    failure(&grid(&["--set", "guidance=2"]), 2, "guidance");
    failure(&grid(&["--set", "image-class=any"]), 2, "airplane");
}

#[test]
fn what_is_trained_on_folders_is_sampled_by_their_names() {
    let folder = Folder::new("classes-trained");
    images(&folder, "data/cat", 3, 8);
    images(&folder, "data/dog", 2, 8);
    images(&folder, "words/any", 1, 8);
    images(&folder, "words/dog", 1, 8);
    let train = |data: &str, out: &str, more: &[&str]| {
        let network = ["--channels", "8", "--multipliers", "1,2", "--layers", "1", "--groups", "4", "--batch", "2"];
        let common = ["train", "--data", data, "--out", out, "--steps", "2", "--piece", "2"];
        scorefield(common.iter().chain(&network).chain(more))
    };
    let (data, net) = (folder.path("data"), folder.path("net"));
    success(&train(&data, &net, &[]));
    let manifest = Manifest::from_json(&fs::read_to_string(format!("{net}/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.classes, ["cat", "dog"]);
    let out = folder.path("x.png");
    for class in ["cat", "dog", "each", "any"] {
        success(&sample(&net, &out, &[&format!("image-class={class}")]));
    }
    failure(&sample(&net, &out, &["image-class=airplane"]), 2, "cat, dog");
    // Names that are too many are not taken for the row that means none.
    let other = folder.path("other");
    failure(&train(&data, &other, &["--class-names", "cat,dog,none"]), 2, "3 names for 2 classes");
    failure(&train(&data, &other, &["--class-names", "cat,cat"]), 2, "twice");
    failure(&train(&data, &other, &["--unconditional", "--class-names", "cat,dog"]), 2, "2 names for 0 classes");
    failure(&train(&folder.path("words"), &other, &[]), 2, "--class-names");
    assert!(!Path::new(&other).exists(), "nothing was begun");
    success(&train(&folder.path("words"), &other, &["--class-names", "whatever,dog"]));
    success(&sample(&other, &out, &["image-class=whatever"]));
    // Nor when the set is written again under other names.
    let again = folder.path("again");
    failure(&scorefield(["convert", &net, "--out", &again, "--class-names", "a,b,c"]), 2, "3 names for 2 classes");

    // Without classes there is none to ask for, and one of each is of none.
    let plain = folder.path("plain");
    success(&train(&data, &plain, &["--unconditional"]));
    failure(&sample(&plain, &out, &["image-class=cat"]), 2, "no classes");
    assert!(said(&sample(&plain, &out, &["image-class=each"])).contains("image-class does nothing"));
}
