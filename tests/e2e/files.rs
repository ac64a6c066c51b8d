//! Files that the page gives, and takes back by the chooser or by letting go of them over it.

use super::page::{LATE, Page, SOON};

const SMALL: &str = "#dataset=moons&device=cpu&width=32&depth=2&batch=128&samples=200&steps=5&seed=3";

#[test]
fn exported_weights_can_be_loaded_back_and_sampled() {
    let page = Page::open("weights", &format!("{SMALL}&training-steps=50"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.wait_for(&["done"], LATE);
    page.press("export-weights");
    let file = page.saved(".safetensors");

    page.go("#device=cpu&steps=5&samples=100");
    page.wait_for(&["idle"], SOON);
    page.browser.type_into("[data-testid='import']", &file.to_string_lossy()).expect("a file can be chosen");
    page.until("the configuration of the file is taken", SOON, || (page.value("width") == "32").then_some(()));
    page.press("sample");
    page.wait_for(&["done"], LATE);
    assert!(page.number("evaluations", "data-value").is_some_and(|n| n > 0.0));
    page.close();
}

#[test]
fn settings_let_go_of_over_the_page_bring_the_run_back() {
    let page = Page::open("drop-settings", "#device=cpu&dataset=rings&schedule=linear&beta-max=15&rate=0.0005&seed=77");
    page.wait_for(&["idle"], SOON);
    let file = page.take_file("export-config", ".json");
    let link = page.value("share");

    page.go("#device=cpu");
    page.wait_for(&["idle"], SOON);
    assert_ne!(page.value("share"), link);
    page.drop_file("scorefield.json", &file);
    page.until("the settings are taken", SOON, || (page.value("share") == link).then_some(()));
    let notice = page.text("notice");
    assert!(notice.contains("The settings were taken."), "{notice}");
    page.close();
}

#[test]
fn settings_out_of_range_are_moved_into_it_and_what_is_no_file_of_ours_is_refused() {
    let page = Page::open("drop-hostile", "#device=cpu");
    page.wait_for(&["idle"], SOON);
    page.drop_file(
        "a.json",
        br#"{"steps": 1e99, "width": -4, "dataset": "nowhere", "seed": "5", "__proto__": {"x": 1}}"#,
    );
    page.until("steps are moved into range", SOON, || (page.value("steps") == "1000").then_some(()));
    assert_eq!([page.value("width"), page.value("dataset"), page.value("seed")], ["8", "moons", "5"]);
    assert!(page.text("notice").contains("moved into range"), "{}", page.text("notice"));

    let files: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("unfinished.json", b"{\"steps\": 3"),
        ("foreign.json", b"{\"name\": \"somebody else\"}"),
        ("list.json", b"[1, 2, 3]"),
        ("picture.png", b"\x89PNG\r\n\x1a\n0000"),
    ];
    for (name, content) in files {
        page.drop_file("b.json", br#"{"steps": 7}"#);
        page.until("good settings are taken", SOON, || (page.value("steps") == "7").then_some(()));
        page.drop_file(name, content);
        page.until(&format!("{name} is refused"), SOON, || {
            page.text("notice").contains("not one of ours").then_some(())
        });
        assert_eq!(page.value("steps"), "7", "{name}");
    }
    // It begins like weights: the engine is the one that finds out.
    page.drop_file("bad.safetensors", b"\x10\0\0\0\0\0\0\0{\"a\": not weights");
    page.wait_for(&["failed"], SOON);
    assert!(page.text("error").contains("could not be recognised"), "{}", page.text("error"));
    page.close();
}

#[test]
fn weights_let_go_of_over_the_page_bring_their_settings_and_can_be_sampled() {
    let page = Page::open("drop-weights", &format!("{SMALL}&training-steps=50"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.wait_for(&["done"], LATE);
    let file = page.take_file("export-weights", ".safetensors");
    page.press("sample");
    page.until("a sampling run is over", LATE, || {
        (page.state()? == "done" && page.number("evaluations", "data-value")? > 0.0).then_some(())
    });
    let before = page.samples();

    page.go("#device=cpu");
    page.wait_for(&["idle"], SOON);
    page.drop_file("scorefield.safetensors", &file);
    page.until("the configuration of the file is taken", SOON, || (page.value("width") == "32").then_some(()));
    page.press("sample");
    page.wait_for(&["done"], LATE);
    assert_eq!(page.samples(), before, "the file holds weights and settings");
    page.close();
}
