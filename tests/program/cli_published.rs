//! What others publish and keep: folders of diffusers, tables of classes, hidden folders, CIFAR-10 as Python has it.

use crate::unet_weights;
use std::fs;

use crate::program::{Folder, failure, images, scorefield, success};
use scorefield::nn::checkpoint::{Manifest, Precision, encode};
use scorefield::nn::unet::{Parameter, UNetConfig};
use serde_json::{Value, json};

/// The settings of `tests/golden/diffusers_settings.json` under this name, with some changed.
fn settings(name: &str, changes: &Value) -> String {
    let reference: Value = serde_json::from_str(include_str!("../golden/diffusers_settings.json")).unwrap();
    let networks = reference["networks"].as_array().unwrap();
    let network = networks.iter().find(|network| network["name"] == name).unwrap();
    let mut settings: Value = serde_json::from_str(network["settings"].as_str().unwrap()).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        settings[field] = value.clone();
    }
    settings.to_string()
}

/// Weights of the network that those settings describe, `groups` and heads aside.
fn weights(classes: usize, precision: Precision) -> Vec<u8> {
    let mut config = UNetConfig {
        channels: 32,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![1],
        classes,
        ..UNetConfig::cifar10()
    };
    config.set_without_class(classes == 0);
    let parameters: Vec<Parameter> = config.init(0, &burn::tensor::Device::flex()).unwrap().parameters();
    let values: Vec<Vec<f32>> = parameters.iter().map(|p| unet_weights::parameter(&p.name, &p.shape)).collect();
    encode(&parameters, &values, precision).unwrap()
}

/// A folder with files in it.
fn with(folder: &Folder, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = std::path::PathBuf::from(folder.path(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn manifest(folder: &str) -> Manifest {
    Manifest::from_json(&fs::read_to_string(format!("{folder}/manifest.json")).unwrap()).unwrap()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn settings_beside_weights_are_obeyed_and_what_is_assumed_is_said() {
    let folder = Folder::new("published-settings");
    let full = weights(0, Precision::Full);
    let scheduler = json!({ "_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2" }).to_string();
    let all = settings("defaults", &json!({}));
    with(
        &folder,
        &[
            ("flat/diffusion_pytorch_model.safetensors", &full),
            ("flat/config.json", all.as_bytes()),
            ("flat/scheduler_config.json", scheduler.as_bytes()),
            ("pipeline/model_index.json", b"{}"),
            ("pipeline/unet/diffusion_pytorch_model.safetensors", &full),
            ("pipeline/unet/config.json", all.as_bytes()),
            ("pipeline/scheduler/scheduler_config.json", scheduler.as_bytes()),
            ("bare/diffusion_pytorch_model.safetensors", &full),
            ("relu/diffusion_pytorch_model.safetensors", &full),
            ("relu/config.json", settings("ddpm", &json!({ "act_fn": "relu" })).as_bytes()),
            ("other/diffusion_pytorch_model.safetensors", &full),
            ("other/config.json", settings("ddpm", &json!({ "block_out_channels": [32, 32] })).as_bytes()),
        ],
    );
    let out = folder.path("out");
    let convert = |source: &str| scorefield(["convert", &folder.path(source), "--out", &out, "--licence", "MIT"]);
    for source in ["flat", "flat/diffusion_pytorch_model.safetensors", "pipeline", "pipeline/unet"] {
        let output = convert(source);
        success(&output);
        assert_eq!(said(&output), "", "{source}");
        let written = manifest(&out);
        let details = written.architecture.details();
        assert_eq!((details.head_channels, details.padding, details.frequency_shift), (Some(8), 1, 0), "{source}");
        assert!(details.cosines_first && details.epsilon == 1e-5, "{source}");
        assert_eq!(written.image_size, 8, "{source}");
        assert!(format!("{:?}", written.time).contains("Cosine"), "{source}: {:?}", written.time);
        // And is read again as what it is.
        success(&scorefield([
            "sample",
            "--weights",
            &out,
            "--set",
            "steps=1",
            "--count",
            "1",
            "--out",
            &folder.path("a.png"),
        ]));
    }
    let output = convert("bare");
    success(&output);
    assert!(said(&output).contains("config.json") && said(&output).contains("32 groups"), "{}", said(&output));
    assert!(said(&output).contains("scheduler_config.json"), "{}", said(&output));
    assert_eq!(manifest(&out).architecture.details, None);
    failure(&convert("relu"), 3, "act_fn");
    failure(&convert("other"), 3, "expected shape");
}

#[test]
fn of_several_formats_in_a_folder_one_is_read_and_the_others_are_named() {
    let folder = Folder::new("published-formats");
    let (full, half) = (weights(0, Precision::Full), weights(0, Precision::Half));
    let model = "both/diffusion_pytorch_model";
    with(
        &folder,
        &[
            (&format!("{model}.safetensors"), &full),
            (&format!("{model}.fp16.safetensors"), &half),
            (&format!("{model}.bin"), b"not read"),
        ],
    );
    let output = scorefield(["convert", &folder.path("both"), "--out", &folder.path("out"), "--licence", "MIT"]);
    success(&output);
    for name in ["diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin"] {
        assert!(said(&output).contains(name), "{}", said(&output));
    }
}

#[test]
fn a_table_of_classes_has_a_row_for_none_only_where_somebody_says_so() {
    let folder = Folder::new("published-classes");
    with(
        &folder,
        &[
            ("ten/diffusion_pytorch_model.safetensors", &weights(10, Precision::Full)),
            ("seven/diffusion_pytorch_model.safetensors", &weights(7, Precision::Full)),
            ("said/diffusion_pytorch_model.safetensors", &weights(7, Precision::Full)),
            ("said/config.json", settings("ddpm", &json!({ "num_class_embeds": 7 })).as_bytes()),
        ],
    );
    let out = folder.path("out");
    let convert = |source: &str, names: &str| {
        let source = folder.path(source);
        let mut arguments = vec!["convert", &source, "--out", &out, "--licence", "MIT"];
        if !names.is_empty() {
            arguments.extend(["--class-names", names]);
        }
        scorefield(arguments)
    };
    let ten = "a,b,c,d,e,f,g,h,i,j";
    for (source, names, classes, without) in [
        ("ten", "", 10, false),
        ("ten", ten, 10, false),
        ("ten", "a,b,c,d,e,f,g,h,i", 9, true),
        ("seven", "", 6, true),
        ("seven", "a,b,c,d,e,f,g", 7, false),
        ("said", "", 7, false),
        ("said", "a,b,c,d,e,f", 6, true),
    ] {
        success(&convert(source, names));
        let written = manifest(&out);
        let found = (written.architecture.classes, written.architecture.details().without_class);
        assert_eq!(found, (classes, without), "{source} {names}");
        assert_eq!(written.classes.len(), classes);
    }
    failure(&convert("ten", "a,b"), 2, "2 names for 10 classes");
    failure(&convert("ten", "a,b,c,d,e,f,g,h,i,i"), 2, "twice");
    failure(&convert("ten", "a,b,c,d,e,f,g,h,i,any"), 2, "\"any\"");
}

#[test]
fn hidden_folders_are_no_classes() {
    let folder = Folder::new("published-hidden");
    for class in ["cat", "dog", ".ipynb_checkpoints", ".git/objects", "__MACOSX"] {
        images(&folder, &format!("data/{class}"), 2, 16);
    }
    let out = folder.path("net");
    let network =
        ["--channels", "8", "--multipliers", "1,2", "--layers", "1", "--groups", "4", "--batch", "2", "--piece", "2"];
    let train = ["train", "--data", &folder.path("data"), "--out", &out, "--steps", "1"];
    success(&scorefield(train.iter().chain(&network)));
    assert_eq!(manifest(&out).classes, ["cat", "dog"]);
}

#[test]
fn counts_that_cannot_be_are_refused_before_anything_is_done() {
    let folder = Folder::new("published-counts");
    let out = folder.path("points.csv");
    for count in ["0", "1000000000", "many"] {
        failure(&scorefield(["sample", "--count", count, "--out", &out]), 2, "--count");
        failure(&scorefield(["evaluate", "--images", "a", "--reference", "b", "--count", count]), 2, "--count");
    }
    assert!(!std::path::Path::new(&out).exists());
    success(&scorefield(["sample", "--count", "1", "--set", "denoiser=exact", "--set", "steps=2", "--out", &out]));
}

/// A batch of CIFAR-10 as Python 2 pickled it.
fn python_batch(labels: &[u8]) -> Vec<u8> {
    let mut pickle =
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K"
            .to_vec();
    pickle.push(labels.len() as u8);
    pickle.extend(b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x01U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    let pixels: Vec<u8> = labels
        .iter()
        .flat_map(|label| (0..3072).map(move |i| label.wrapping_mul(20).wrapping_add((i % 256) as u8)))
        .collect();
    pickle.extend((pixels.len() as u32).to_le_bytes());
    pickle.extend(pixels);
    pickle.extend(b"tbU\x06labels](");
    pickle.extend(labels.iter().flat_map(|label| [b'K', *label]));
    pickle.extend(b"eu.");
    pickle
}

#[test]
fn cifar_10_is_read_as_python_has_it_and_cifar_100_is_named() {
    use scorefield::cli::images::{Half, open};
    let folder = Folder::new("published-python");
    let batches: Vec<(String, Vec<u8>)> = (1..=5_u8)
        .map(|k| (format!("py/cifar-10-batches-py/data_batch_{k}"), python_batch(&[k, k + 1, 9])))
        .chain([("py/cifar-10-batches-py/test_batch".to_owned(), python_batch(&[0]))])
        .chain([("py/cifar-10-batches-py/batches.meta".to_owned(), b"\x80\x02}.".to_vec())])
        .collect();
    let batches: Vec<(&str, &[u8])> = batches.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    with(&folder, &batches);
    let set = open(&folder.path("py"), Half::Train).unwrap();
    assert_eq!((set.len(), set.size(), set.channels()), (15, 32, 3));
    assert_eq!(set.labels()[..4], [1, 2, 9, 2]);
    assert_eq!(set.pixels()[3072..3075], [40, 41, 42]);
    assert_eq!(open(&folder.path("py"), Half::Test).unwrap().labels(), [0]);

    let mut cut = python_batch(&[1, 2]);
    cut.truncate(4000);
    with(
        &folder,
        &[("bad/data_batch_1", &cut), ("hundred/cifar-100-python/train", b"x"), ("binary/train.bin", &[0; 2 * 3074])],
    );
    for (name, words) in [("bad", "cut short"), ("hundred", "CIFAR-100"), ("binary", "CIFAR-100")] {
        let refused = open(&folder.path(name), Half::Train).unwrap_err().message;
        assert!(refused.contains(words), "{name}: {refused}");
    }
}
