//! Weights from elsewhere: the layouts that others publish, files that are damaged, addresses, and a browser that keeps
//! nothing.

#[path = "elsewhere.rs"]
mod elsewhere;

use std::fs;
use std::path::Path;

use elsewhere::Elsewhere;
use serde_json::{Value, json};

use super::images::{SHORT, golden, images};
use super::page::{LATE, Page, SOON};

/// Waits for the visitor's own weights of this name and gives the words they were recognised by.
fn recognised(page: &Page, name: &str) -> String {
    page.until(&format!("{name} is recognised"), LATE, || {
        let refused = page.text("refused");
        assert!(!refused.contains(name), "{refused}");
        (page.attribute("held", "data-title")? == name).then(|| page.text("recognised"))
    })
}

fn refused(page: &Page, name: &str) -> String {
    page.until(&format!("{name} is refused"), LATE, || Some(page.text("refused")).filter(|text| text.contains(name)))
}

/// The images of a run that begins now.
fn sampled(page: &Page) -> Vec<u8> {
    page.press("sample");
    let made = images(page);
    let first = &made[..4];
    assert!(made.chunks(4).any(|pixel| pixel != first), "the canvas is empty");
    made
}

/// The shipped weights with a tensor of another shape of as many numbers.
fn reshaped(tensor: &str, shape: &[u64]) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/weights/cifar-32/weights.00.safetensors");
    let file = fs::read(file).expect("the shipped weights");
    let length = u64::from_le_bytes(*file.first_chunk().expect("a length")) as usize;
    let mut header: Value = serde_json::from_slice(&file[8..8 + length]).expect("a header");
    let found = &mut header[tensor]["shape"];
    let count = |shape: &Value| shape.as_array().map(|s| s.iter().filter_map(Value::as_u64).product::<u64>());
    assert_eq!(count(found), Some(shape.iter().product()), "{tensor}");
    *found = json!(shape);
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text, &file[8 + length..]].concat()
}

#[test]
fn the_layouts_that_others_publish_are_recognised_and_sampled() {
    let page = Page::open("weights-layouts", SHORT);
    page.wait_for(&["idle"], SOON);
    let mut made = Vec::new();
    for (name, file, words) in [
        ("diffusion_cifar10_model.ckpt", "small_ddim.ckpt", "DDIM repository"),
        ("cifar10_uncond_50M_500K.pt", "small_improved.pt", "improved-diffusion"),
        ("checkpoint_8.pth", "sde_small.pth", "NCSN++ of score_sde"),
        ("edm-cifar10-32x32-uncond-ve.pkl", "edm_small.pkl", "SongUNet"),
        ("checkpoint.pth", "ncsn_small.pth", "NCSN (RefineNet"),
        ("checkpoint_300000.pth", "ncsnv2_small.pth", "NCSNv2"),
        ("checkpoint_26", "flax_ncsn_pp.msgpack", "NCSN++ of score_sde in JAX"),
    ] {
        page.drop_file(name, &golden(file));
        let found = recognised(&page, name);
        assert!(found.contains(words), "{name} was taken for {found}");
        made.push(sampled(&page));
        assert!(sampled(&page) == *made.last().expect("one"), "{name}: the same seed, another picture");
    }
    assert!(made.windows(2).all(|pair| pair[0] != pair[1]), "a file changed nothing");
    // The variance that the second one learned is for the chain that asks for it.
    page.set("solver", "ddpm");
    assert!(sampled(&page) != made[1]);
    page.close();
}

#[test]
fn a_damaged_file_is_refused_with_the_tensor_and_what_was_expected_of_it() {
    let page = Page::open("weights-damaged", SHORT);
    page.wait_for(&["idle"], SOON);
    page.drop_file("good.ckpt", &golden("small_ddim.ckpt"));
    recognised(&page, "good.ckpt");
    let before = sampled(&page);

    let whole = golden("small_ddim.ckpt");
    let mut rotten = whole.clone();
    let middle = rotten.len() / 2;
    rotten[middle] ^= 1;
    let other = reshaped("mid_block.resnets.0.conv1.weight", &[128, 128, 9, 1]);
    let files: [(&str, &[u8], &[&str]); 5] = [
        ("cut.ckpt", &whole[..whole.len() / 2], &["cut short"]),
        ("rotten.ckpt", &rotten, &["checksum"]),
        ("hostile.pt", &golden("unet_attack.pt"), &["posix.system", "nothing was executed"]),
        ("other.safetensors", &other, &["mid_block.resnets.0.conv1.weight", "[128, 128, 3, 3]", "[128, 128, 9, 1]"]),
        ("page.ckpt", b"<!doctype html><title>404</title>", &["not a file of weights"]),
    ];
    for (name, content, words) in files {
        page.drop_file(name, content);
        let said = refused(&page, name);
        for word in words {
            assert!(said.contains(word), "{name}: no {word:?} in {said}");
        }
        assert!(said.contains("good.ckpt"), "{name}: what stays is not named in {said}");
    }
    assert!(sampled(&page) == before, "other weights than before");
    page.close();
}

#[test]
fn weights_are_fetched_from_an_address_and_what_goes_wrong_there_is_said() {
    let server = Elsewhere::start(&golden("small_ddim.ckpt"));
    let page = Page::open("weights-address", SHORT);
    page.wait_for(&["idle"], SOON);
    let fetch = |address: &str| {
        page.set("address", address);
        page.press("fetch-address");
    };
    // Nothing is asked for that was not meant.
    for address in ["", "ftp://example.org/a.ckpt", "http://example.org/a.ckpt", "javascript:alert(1)"] {
        fetch(address);
        assert_eq!(page.attribute("weights-state", "data-state").as_deref(), Some("absent"), "{address}");
    }

    fetch(&server.file("open", "open.ckpt"));
    assert!(recognised(&page, "open.ckpt").contains("DDIM"));
    let before = sampled(&page);

    for (way, words) in [("closed", ""), ("gone", "404"), ("short", "")] {
        let name = format!("{way}.ckpt");
        fetch(&server.file(way, &name));
        let said = refused(&page, &name);
        assert!(said.contains(words) && said.contains("could not be fetched"), "{way}: {said}");
        assert!(said.contains("open.ckpt"), "{way}: what stays is not named in {said}");
    }

    // Half of it comes and then nothing: it is given up by the visitor, and the server sees it.
    fetch(&server.file("stalled", "stalled.ckpt"));
    page.until("half of it is there", SOON, || {
        let share = page.browser.script("return document.querySelector('.weights-state progress')?.value;", &[]);
        share.as_f64().filter(|share| (0.4..0.6).contains(share))
    });
    page.press("cancel-weights");
    page.until("it is given up", SOON, || {
        (page.attribute("weights-state", "data-state")? != "fetching" && server.given_up() == 1).then_some(())
    });

    fetch(&server.file("slow", "slow.ckpt"));
    let mut shares: Vec<f64> = Vec::new();
    page.until("it arrives slowly", LATE, || {
        let share = page.browser.script("return document.querySelector('.weights-state progress')?.value;", &[]);
        shares.extend(share.as_f64());
        (page.attribute("held", "data-title")? == "slow.ckpt").then_some(())
    });
    assert!(shares.iter().any(|share| (0.1..0.9).contains(share)), "no progress was shown: {shares:?}");
    assert!(sampled(&page) == before, "the same weights, another picture");
    // The page asked others for nothing by itself: its workers did, and only where the visitor said. The console holds
    // what the browser says of the refusals.
}

#[test]
fn a_browser_without_room_to_keep_them_uses_the_weights_all_the_same() {
    let page = Page::open("weights-quota", SHORT);
    page.wait_for(&["idle"], SOON);
    page.browser.limit_storage(page.origin().trim_end_matches('/'), 1);
    page.press("fetch-weights");
    page.until("they are there", LATE, || page.attribute("held", "data-title"));
    page.until("it says that they were not kept", SOON, || {
        let said = page.browser.script(
            "return [...document.querySelectorAll(\"[role='status']\")].map(e => e.textContent).join(' ');",
            &[],
        );
        said.as_str()?.contains("gives no room to keep the weights").then_some(())
    });
    sampled(&page);
    page.close();
}
