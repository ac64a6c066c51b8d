//! From the native program to the page: a tiny network is trained, and its weights make images in a browser.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

use super::bands::records;
use super::images::images;
use super::page::{Page, SOON};

/// The program: `SCOREFIELD_PROGRAM`, or else built, if it is not there yet, with the features of the other tests.
pub fn program() -> PathBuf {
    if let Some(program) = env::var_os("SCOREFIELD_PROGRAM") {
        return PathBuf::from(program);
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments =
        ["build", "--locked", "--features", "cli,remote", "--bin", "scorefield", "--message-format", "json"];
    let built = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let built = built.expect("cargo is there");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let text = String::from_utf8_lossy(&built.stdout).into_owned();
    let found = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = found.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    found.expect("cargo says where the program is")
}

fn run(program: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(program).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn what_the_program_trains_on_the_cpu_lowers_the_loss_and_its_weights_make_images_in_the_page() {
    let program = program();
    let page = Page::open_changed(
        "trained",
        "#experiment=images&device=cpu&weights=tiny&images=2&steps=5&seed=5&image-class=cat&guidance=1.5",
        |served| {
            let data = served.join("records.bin");
            fs::write(&data, records(200)).expect("a file of ours");
            let out = served.join("weights/tiny");
            let list = served.join("weights/index.json");
            // The list may be a link to the one that everybody is served.
            let known = fs::read(&list).expect("the list");
            fs::remove_file(&list).expect("a link of ours");
            fs::write(&list, known).expect("a file of ours");
            let path = |path: &Path| path.to_string_lossy().into_owned();
            let summary = run(
                &program,
                &[
                    "train",
                    "--data",
                    &path(&data),
                    "--out",
                    &path(&out),
                    "--index",
                    &path(&list),
                    "--title",
                    "Tiny",
                    "--channels",
                    "8",
                    "--multipliers",
                    "1,2",
                    "--layers",
                    "1",
                    "--groups",
                    "4",
                    "--batch",
                    "8",
                    "--piece",
                    "8",
                    "--steps",
                    "200",
                    "--warm-up",
                    "10",
                    "--rate",
                    "0.004",
                    "--precision",
                    "int8",
                    "--json",
                ],
            );
            assert_eq!(summary["finished"], Value::Bool(true), "{summary}");
            let table = fs::read_to_string(out.join("metrics.csv")).expect("a table");
            let losses: Vec<f64> =
                table.lines().skip(1).filter_map(|line| line.split(',').nth(2)?.parse().ok()).collect();
            println!("losses of 50 steps each: {losses:?}");
            // Each the mean over 400 noisy images.
            assert!(losses.len() == 4 && losses[3] < 0.7 * losses[0], "{losses:?}");
        },
    );
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    let made = images(&page);
    assert!(made.chunks(4).any(|pixel| pixel != &made[..4]), "the canvas is empty");
    assert_eq!(page.attribute("held", "data-title").as_deref(), Some("Tiny"));
    page.press("sample");
    assert!(images(&page) == made, "the same seed, another picture");
    page.close();
}
