//! Models of the hub, by name, as the worker fetches them: driven through its port as a page would.

use std::time::Instant;

use crate::page::Page;
use scorefield::engine::images::self_test::parameter;
use scorefield::lab::{RunConfig, Word};
use scorefield::nn::checkpoint::{Precision, encode, sha256};
use scorefield::nn::unet::UNetConfig;
use scorefield::protocol::images::{
    ImageCommand, ImageEvent, Notice, Refusal, WeightsIndex, WeightsSource, WeightsSummary,
};
use scorefield::protocol::{Command, Event, RunId};

const LOAD: RunId = RunId(1);
const RUN: RunId = RunId(2);
const HUB: &str = "https://hub.example";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// What is kept at a time.
const SEGMENT: usize = 8 << 20;

fn settings(class: &str) -> String {
    format!(
        r#"{{"_class_name": "{class}", "act_fn": "silu", "attention_head_dim": null, "block_out_channels": [128, 256],
            "down_block_types": ["DownBlock2D", "DownBlock2D"], "downsample_padding": 0, "flip_sin_to_cos": false,
            "freq_shift": 1, "in_channels": 3, "layers_per_block": 1, "norm_eps": 1e-06, "norm_num_groups": 32,
            "out_channels": 3, "sample_size": 8, "up_block_types": ["UpBlock2D", "UpBlock2D"]}}"#
    )
}

/// Weights of that network, of more than two segments.
fn weights() -> Vec<u8> {
    let config = UNetConfig {
        channels: 128,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![],
        classes: 0,
        ..UNetConfig::cifar10()
    };
    let parameters = config.init(0, &burn::tensor::Device::flex()).unwrap().parameters();
    let values: Vec<Vec<f32>> = parameters.iter().map(|p| parameter(&p.name, &p.shape)).collect();
    let file = encode(&parameters, &values, Precision::Half).unwrap();
    assert!(file.len() > 2 * SEGMENT && file.len() < 3 * SEGMENT, "{}", file.len());
    file
}

fn list() -> String {
    format!("{HUB}/api/models/lab/net?blobs=true")
}

fn address(file: &str) -> String {
    format!("{HUB}/lab/net/resolve/{COMMIT}/{file}")
}

fn put(page: &Page, address: String, bytes: &[u8]) {
    page.files().there.borrow_mut().insert(address, bytes.to_vec());
}

/// A page that may reach a hub with the model `lab/net`, and the weights there.
fn page() -> (Page, Vec<u8>) {
    let mut page = Page::open();
    let (weights, network) = (weights(), settings("UNet2DModel"));
    let (bytes, sum) = (weights.len(), sha256(&weights));
    let answer = format!(
        r#"{{"id": "lab/net", "sha": "{COMMIT}", "tags": ["license:apache-2.0"], "siblings": [
            {{"rfilename": "config.json", "size": {}}}, {{"rfilename": "README.md", "size": 1}},
            {{"rfilename": "{WEIGHTS}", "size": {bytes}, "lfs": {{"sha256": "{sum}"}}}}]}}"#,
        network.len()
    );
    put(&page, list(), answer.as_bytes());
    put(&page, address("config.json"), network.as_bytes());
    put(&page, address(WEIGHTS), &weights);
    // Pauses are over at once.
    page.staff().late.set(true);
    page.settle();
    (page, weights)
}

fn of(origin: &str) -> WeightsSource {
    WeightsSource::Hub { origin: origin.into(), model: "lab/net".into(), look: false }
}

fn load(page: &mut Page, source: WeightsSource) -> Vec<Event> {
    page.post(Command::Images(ImageCommand::Load { run: LOAD, source }));
    page.until(|e| matches!(e, Event::Images(ImageEvent::Loaded { .. } | ImageEvent::Refused { .. })))
}

#[track_caller]
fn loaded(events: &[Event]) -> &WeightsSummary {
    match events.last() {
        Some(Event::Images(ImageEvent::Loaded { run: LOAD, weights })) => weights,
        other => panic!("not loaded: {other:?}"),
    }
}

#[track_caller]
fn refusal(events: &[Event]) -> &Refusal {
    match events.last() {
        Some(Event::Images(ImageEvent::Refused { run: LOAD, refusal })) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// What was asked for since the last time, and the bytes from which it was sent.
fn asked(page: &Page) -> (Vec<String>, Vec<u64>) {
    let files = page.files();
    (std::mem::take(&mut files.fetched.borrow_mut()), std::mem::take(&mut files.ranges.borrow_mut()))
}

/// Files break off after so many pieces, in the order in which they are asked for.
fn break_after(page: &Page, pieces: &[usize]) {
    *page.files().breaks_after.borrow_mut() = pieces.iter().copied().collect();
}

const NEVER: usize = usize::MAX;

#[test]
fn a_model_is_looked_up_before_its_weights_are_fetched() {
    let (mut page, weights) = page();
    let look = || WeightsSource::Hub { origin: HUB.into(), model: "lab/net".into(), look: true };
    let events = load(&mut page, look());
    let offer = loaded(&events);
    assert_eq!(offer.held_bytes, 0.0, "nothing is held of what was only asked about");
    assert_eq!((offer.id.as_str(), offer.licence.as_str()), ("hub:lab/net", "apache-2.0"));
    assert_eq!(offer.file_bytes as usize, weights.len() + settings("UNet2DModel").len());
    assert!(offer.evaluation_ms > 0.0);
    assert_eq!(asked(&page).0, [list(), address("config.json")]);

    // One that cannot be run is refused by its settings.
    let other = settings("UNet2DConditionModel");
    page.files().kept.borrow_mut().clear();
    let answer = String::from_utf8(page.files().there.borrow()[&list()].clone()).unwrap();
    let size = |settings: &str| format!("\"size\": {}}}", settings.len());
    put(&page, list(), answer.replace(&size(&settings("UNet2DModel")), &size(&other)).as_bytes());
    put(&page, address("config.json"), other.as_bytes());
    let events = load(&mut page, look());
    assert!(refusal(&events).findings[0].contains("UNet2DConditionModel"), "{events:?}");
    let events = load(&mut page, of(HUB));
    assert!(refusal(&events).findings[0].contains("UNet2DConditionModel"), "{events:?}");
    assert!(!asked(&page).0.contains(&address(WEIGHTS)), "weights of what cannot be run");
}

#[test]
fn a_model_is_fetched_checked_kept_and_had_again_without_asking_anybody() {
    let (mut page, weights) = page();
    let start = Instant::now();
    let events = load(&mut page, of(HUB));
    let took_ms = 1e3 * start.elapsed().as_secs_f64();
    let summary = loaded(&events).clone();
    assert_eq!((summary.id.as_str(), summary.title.as_str()), ("hub:lab/net", "lab/net"));
    assert_eq!((summary.licence.as_str(), summary.side), ("apache-2.0", 8));
    // Measured while it was loaded, and no shorter than a processor of 2000 billion operations a second would take.
    let least_ms = summary.gflop / 2.0;
    assert!(
        summary.gflop > 0.01 && (least_ms..took_ms).contains(&summary.evaluation_ms),
        "{summary:?} of {took_ms} ms"
    );
    assert_eq!(asked(&page).0, [list(), address("config.json"), address(WEIGHTS)]);
    let fetching = |e: &Event| match e {
        Event::Images(ImageEvent::Fetching { received, total, .. }) => Some((*received, *total)),
        _ => None,
    };
    let shares: Vec<(f64, f64)> = events.iter().filter_map(fetching).filter(|(_, total)| *total > 0.0).collect();
    assert!(shares.len() > 10 && shares.is_sorted_by_key(|(received, _)| *received), "{shares:?}");

    // Who comes back asks nobody, and may not.
    let same = WeightsSummary { evaluation_ms: 0.0, ..summary };
    for origin in [HUB, ""] {
        let events = load(&mut page, of(origin));
        assert_eq!(WeightsSummary { evaluation_ms: 0.0, ..loaded(&events).clone() }, same, "{origin}");
        assert_eq!(asked(&page).0, Vec::<String>::new(), "{origin}");
    }
    let config = RunConfig { weights: Word::new("hub:lab/net"), images: 1, steps: 2, ..RunConfig::of_images() };
    page.post(Command::Sample { run: RUN, config });
    let events = page.until(|e| matches!(e, Event::Done { .. } | Event::Failed { .. }));
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: false, .. })), "{events:?}");

    // What has rotted is fetched again, once.
    let key = format!("hub/{}/1", sha256(&weights));
    page.files().kept.borrow_mut().get_mut(&key).expect("the second segment")[100] ^= 1;
    loaded(&load(&mut page, of(HUB)));
    assert_eq!(asked(&page), (vec![address(WEIGHTS)], vec![0]));
    // What the browser has thrown away is fetched from there on, if that is allowed.
    page.files().kept.borrow_mut().remove(&key);
    assert!(refusal(&load(&mut page, of(""))).findings[0].contains("not whole"));
    assert_eq!(asked(&page).0, Vec::<String>::new());
    loaded(&load(&mut page, of(HUB)));
    assert_eq!(asked(&page), (vec![address(WEIGHTS)], vec![SEGMENT as u64]));
}

#[test]
fn what_breaks_off_goes_on_from_there_at_once_and_at_the_next_visit() {
    let (mut page, _) = page();
    break_after(&page, &[NEVER, NEVER, 150, 20]);
    loaded(&load(&mut page, of(HUB)));
    let piece = 1 << 16;
    assert_eq!(asked(&page).1, [0, 0, 0, 150 * piece, 170 * piece]);

    // A server that sends whole files only begins again.
    page.files().kept.borrow_mut().clear();
    *page.files().whole_only.borrow_mut() = true;
    break_after(&page, &[NEVER, NEVER, 150]);
    loaded(&load(&mut page, of(HUB)));
    assert_eq!(asked(&page).1, [0; 4]);
    *page.files().whole_only.borrow_mut() = false;

    // One that only breaks off is given up, and what came is kept.
    page.files().kept.borrow_mut().clear();
    break_after(&page, &[NEVER, NEVER, 150, 0, 0, 0, 0]);
    let events = load(&mut page, of(HUB));
    let found = refusal(&events);
    assert!(found.unreachable && found.findings[0].contains(&format!("after {} of", 150 * piece)), "{found:?}");
    assert_eq!(asked(&page).1.len(), 7);
    loaded(&load(&mut page, of(HUB)));
    assert_eq!(asked(&page).1, [0, 150 * piece]);

    // So it is with what the visitor cancels.
    page.files().kept.borrow_mut().clear();
    *page.files().stalls_after.borrow_mut() = Some(140);
    page.post(Command::Images(ImageCommand::Load { run: LOAD, source: of(HUB) }));
    let far = |e: &Event| matches!(e, Event::Images(ImageEvent::Fetching { received, .. }) if *received > 8.3e6);
    page.until(far);
    page.beat(20);
    page.post(Command::Stop);
    page.until(|e| matches!(e, Event::Done { run: LOAD, stopped: true, .. }));
    *page.files().stalls_after.borrow_mut() = None;
    asked(&page);
    loaded(&load(&mut page, of(HUB)));
    assert_eq!(asked(&page).1, [0, 140 * piece]);
}

#[test]
fn what_cannot_be_had_or_is_not_what_it_should_be_is_refused_by_its_reason() {
    let (mut page, weights) = page();
    let refuse = |page: &mut Page, words: &str| {
        let events = load(page, of(HUB));
        assert!(refusal(&events).findings[0].contains(words), "{words}: {:?}", refusal(&events));
        refusal(&events).unreachable
    };
    for (status, words) in
        [(401, "private"), (403, "private"), (404, "has no lab/net"), (429, "too often"), (500, "500")]
    {
        page.files().statuses.borrow_mut().insert(list(), status);
        assert!(refuse(&mut page, words), "{status}");
    }
    page.files().statuses.borrow_mut().clear();
    assert!(refusal(&load(&mut page, of(""))).unreachable, "nothing is kept, and nobody may be asked");

    put(&page, address(WEIGHTS), b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n");
    assert!(refuse(&mut page, "pointer of Git LFS"));
    let mut rotten = weights.clone();
    rotten[SEGMENT + 5] ^= 1;
    put(&page, address(WEIGHTS), &rotten);
    assert!(!refuse(&mut page, "SHA-256"));
    put(&page, address(WEIGHTS), &[&weights[..], b"more"].concat());
    assert!(!refuse(&mut page, "found more"));
    let answer = page.files().there.borrow()[&list()].clone();
    put(&page, list(), b"<!doctype html>");
    assert!(!refuse(&mut page, "no list"));
    // Nothing wrong was kept.
    put(&page, list(), &answer);
    put(&page, address(WEIGHTS), &weights);
    loaded(&load(&mut page, of(HUB)));

    // Without room to keep it a model is used all the same.
    page.files().kept.borrow_mut().clear();
    *page.files().no_room.borrow_mut() = true;
    let events = load(&mut page, of(HUB));
    loaded(&events);
    assert!(events.contains(&Event::Images(ImageEvent::Notice { run: LOAD, notice: Notice::NotKept })));
}

#[test]
fn the_list_of_the_page_says_what_its_networks_cost() {
    let list = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/web/weights/index.json")).unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let sets = list["sets"].as_array().unwrap();
    let models: Vec<(&serde_json::Value, &str)> =
        sets.iter().filter_map(|entry| Some((entry, entry["id"].as_str()?.strip_prefix("hub:")?))).collect();
    for (entry, model) in &models {
        assert_eq!(Word::new(&format!("hub:{model}")).hub(), Some(*model));
        for text in ["title", "licence", "provenance"] {
            assert!(entry[text].as_str().is_some_and(|text| !text.is_empty()), "{model}: {text}");
        }
    }
    // A worker knows nothing of them, and what comes first is not one.
    let index = WeightsIndex::from_json(&list.to_string()).unwrap();
    assert_eq!(index.sets.len() + models.len(), sets.len());
    assert_eq!(index.find("").map(|set| set.id.as_str()), sets[0]["id"].as_str());
    // The one by Ho et al., with the shape that the paper gives it.
    let (entry, model) = models[0];
    assert_eq!(model, "google/ddpm-cifar10-32");
    let network = UNetConfig { classes: 0, ..UNetConfig::cifar10() };
    let network = network.init(0, &burn::tensor::Device::flex()).unwrap();
    let parameters: usize = network.parameters().iter().map(|parameter| parameter.count()).sum();
    assert_eq!(entry["parameters"].as_u64(), Some(parameters as u64));
    let (gflop, bytes) = (entry["gflop"].as_f64().unwrap(), entry["bytes"].as_f64().unwrap());
    let found = 2e-9 * network.cost(32).products as f64;
    assert!((found - gflop).abs() < 0.05, "{found} and {gflop}");
    // Numbers in single precision, and a header.
    assert!((bytes / (4.0 * parameters as f64) - 1.0).abs() < 0.002, "{bytes}");
}
