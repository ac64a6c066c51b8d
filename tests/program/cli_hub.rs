//! Models of the hub, by name, as the program fetches them: from a server on this machine that behaves as the hub does.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::hub::{COMMIT, Hub, LICENCE, WEIGHTS_SHA256};
use crate::program::{Folder, failure, success};
use scorefield::nn::checkpoint::{Manifest, sha256};

/// Runs the program with this hub, and a cache of its own.
fn ask(hub: &str, folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorefield"));
    for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let command = command.args(arguments).env("HF_ENDPOINT", hub).env("XDG_CACHE_HOME", folder.path("cache"));
    command.env("RUST_BACKTRACE", "0").output().unwrap()
}

fn convert(hub: &str, folder: &Folder, model: &str) -> Output {
    ask(hub, folder, &["convert", &format!("hub:lab/{model}"), "--out", &folder.path("out"), "--precision", "f32"])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The file of weights of a model in the cache.
fn fetched(folder: &Folder, model: &str) -> String {
    folder.path(&format!("cache/scorefield/hub/lab/{model}/diffusion_pytorch_model.safetensors"))
}

#[test]
fn a_model_is_fetched_once_with_its_settings_and_its_licence() {
    let (hub, folder) = (Hub::start(), Folder::new("hub-small"));
    let output = convert(&hub.origin(), &folder, "small");
    success(&output);
    let words = said(&output);
    assert!(words.contains("lab/small") && words.contains(&hub.origin()) && words.contains("0.1 MB"), "{words}");
    let manifest = fs::read_to_string(folder.path("out/manifest.json")).unwrap();
    let manifest = Manifest::from_json(&manifest).unwrap();
    assert_eq!((manifest.licence.as_str(), manifest.image_size), (LICENCE, 8));
    assert!(manifest.provenance.contains("hub:lab/small") && manifest.provenance.contains(COMMIT), "{manifest:?}");
    assert!(format!("{:?}", manifest.time).contains("Cosine"), "{:?}", manifest.time);
    let weights = fs::read(fetched(&folder, "small")).unwrap();
    assert_eq!(sha256(&weights), WEIGHTS_SHA256);
    let asked = hub.asked();
    assert_eq!(asked[0], "/api/models/lab/small?blobs=true");
    assert!(asked[1..].iter().all(|path| !path.contains(".bin") && !path.contains("model_index")), "{asked:?}");
    assert_eq!(asked.len(), 5, "a list, three files and a redirection: {asked:?}");

    // A link names it too, and what is here is not asked for again.
    hub.forget();
    let link = "https://somewhere/#experiment=images&weights=hub:lab/small&steps=2&images=2";
    let (picture, pipeline) = (folder.path("a.png"), folder.path("b.png"));
    success(&ask(&hub.origin(), &folder, &["sample", "--link", link, "--out", &picture]));
    assert_eq!(hub.asked(), Vec::<String>::new());

    // A pipeline has the same files in its folders.
    let sample = ["sample", "--weights", "hub:lab/pipeline", "--set", "steps=2", "--count", "2", "--out", &pipeline];
    success(&ask(&hub.origin(), &folder, &sample));
    assert!(fs::read(picture).unwrap() == fs::read(pipeline).unwrap(), "the same network, another picture");

    // What has rotted is fetched again.
    hub.forget();
    let mut rotten = weights.clone();
    rotten[1000] ^= 1;
    fs::write(fetched(&folder, "small"), rotten).unwrap();
    success(&convert(&hub.origin(), &folder, "small"));
    assert!(fs::read(fetched(&folder, "small")).unwrap() == weights);
    assert!(hub.asked().iter().all(|path| !path.contains("config")), "{:?}", hub.asked());
}

#[test]
fn what_breaks_off_goes_on_from_there() {
    let (hub, folder) = (Hub::start(), Folder::new("hub-breaks"));
    let half = hub.bytes() / 2;
    for (model, from) in
        [("breaks", format!(" from {half}")), ("whole", format!(" from {half}")), ("busy", String::new())]
    {
        hub.forget();
        success(&convert(&hub.origin(), &folder, model));
        assert_eq!(sha256(&fs::read(fetched(&folder, model)).unwrap()), WEIGHTS_SHA256, "{model}");
        let last = hub.asked().pop().unwrap();
        assert_eq!(last, format!("/{model}/diffusion_pytorch_model.safetensors{from}"));
    }

    // What is left of a call that ended is gone on with by the next.
    let whole = fs::read(fetched(&folder, "breaks")).unwrap();
    let part = |model: &str, bytes: &[u8]| {
        let path = format!("{}.part", fetched(&folder, model));
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    part("small", &whole[..1000]);
    success(&convert(&hub.origin(), &folder, "small"));
    assert_eq!(hub.asked().pop().unwrap(), "/small/diffusion_pytorch_model.safetensors from 1000");
    assert!(fs::read(fetched(&folder, "small")).unwrap() == whole);
    // Unless it was of another file: then all of it comes again.
    part("pipeline", &[7; 1000]);
    success(&convert(&hub.origin(), &folder, "pipeline"));
    assert!(fs::read(fetched(&folder, "pipeline")).unwrap() == whole);
}

#[test]
fn what_cannot_be_had_or_is_not_what_it_should_be_is_one_clear_line() {
    let (hub, folder) = (Hub::start(), Folder::new("hub-refused"));
    for (model, words) in [
        ("closed", "private"),
        ("none", "has no lab/none"),
        ("pointer", "pointer of Git LFS"),
        ("rotten", "SHA-256"),
        ("other", "UNet2DConditionModel"),
        ("short", "broke off after"),
    ] {
        let output = convert(&hub.origin(), &folder, model);
        failure(&output, 3, words);
        assert!(said(&output).contains(&format!("hub:lab/{model}")), "{}", said(&output));
        assert!(!Path::new(&fetched(&folder, model)).exists(), "{model}");
    }
    // What came of the short one is there to go on from; nothing of the rotten one is.
    let left = |model: &str| fs::metadata(format!("{}.part", fetched(&folder, model))).unwrap().len() as usize;
    assert_eq!((left("short"), left("rotten"), left("pointer")), (hub.bytes() / 2, 0, 0));
    // Of another network only the settings came.
    assert!(hub.asked().iter().all(|path| !path.contains("other/diffusion")), "{:?}", hub.asked());

    hub.forget();
    for name in ["hub:", "hub:small", "hub:lab/../small", "hub:lab/small/x", "hub:lab/small?x"] {
        failure(&ask(&hub.origin(), &folder, &["sample", "--weights", name, "--out", "a.png"]), 2, "names no model");
    }
    failure(&ask("ftp://hub", &folder, &["sample", "--weights", "hub:lab/small", "--out", "a.png"]), 2, "HF_ENDPOINT");
    failure(&ask(&hub.origin(), &folder, &["grid", "--weights", "hub:lab/small"]), 2, "convert");
    assert_eq!(hub.asked(), Vec::<String>::new());
    // Nobody listens there.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    failure(&convert(&format!("http://{nowhere}"), &folder, "small"), 3, "hub:lab/small");
}
