//! The worker and images, driven through its port as a page would.

use crate::counting;
use crate::page::Page;
use crate::set::{page_with, tiny};
use scorefield::engine::images::self_test::parameter;
use scorefield::lab::{ClassChoice, PrecisionId, RunConfig, SolverId, SpacingId, Word};
use scorefield::nn::checkpoint::{Manifest, Precision, encode};
use scorefield::nn::unet::UNetConfig;
use scorefield::protocol::images::{
    ImageCommand, ImageEvent, ImageFrame, NamedAddress, NamedBytes, Notice, Refusal, WeightsIndex, WeightsSource,
    WeightsSummary,
};
use scorefield::protocol::{Bytes, Command, Event, FailureKind, RunId};

const LOAD: RunId = RunId(1);
const RUN: RunId = RunId(2);

fn weights(config: &UNetConfig, precision: Precision) -> Vec<u8> {
    let network = config.init(0, &burn::tensor::Device::flex()).unwrap();
    let parameters = network.parameters();
    let values: Vec<Vec<f32>> = parameters.iter().map(|p| parameter(&p.name, &p.shape)).collect();
    encode(&parameters, &values, precision).unwrap()
}

fn page() -> Page {
    let mut page = page_with(&tiny(), Precision::Half);
    page.settle();
    page
}

fn load(page: &mut Page, source: WeightsSource) -> Vec<Event> {
    page.post(Command::Images(ImageCommand::Load { run: LOAD, source }));
    page.until(|e| matches!(e, Event::Images(ImageEvent::Loaded { .. } | ImageEvent::Refused { .. })))
}

fn shipped(id: &str) -> WeightsSource {
    WeightsSource::Set { id: id.into() }
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

fn config() -> RunConfig {
    RunConfig { images: 2, steps: 4, ..RunConfig::of_images() }
}

fn sample(page: &mut Page, config: &RunConfig) -> Vec<Event> {
    page.post(Command::Sample { run: RUN, config: config.clone() });
    page.until(|e| matches!(e, Event::Done { .. } | Event::Failed { .. }))
}

fn frame(event: &Event) -> Option<&ImageFrame> {
    match event {
        Event::Images(ImageEvent::Frame { frame, .. }) => Some(frame),
        _ => None,
    }
}

fn frames(events: &[Event]) -> Vec<&ImageFrame> {
    events.iter().filter_map(frame).collect()
}

#[test]
fn a_set_is_fetched_with_progress_checked_kept_and_described() {
    let mut page = page();
    let events = load(&mut page, shipped(""));
    let fetching: Vec<(f64, f64)> = events
        .iter()
        .filter_map(|e| match e {
            Event::Images(ImageEvent::Fetching { run: LOAD, received, total, file, .. })
                if file.ends_with("safetensors") =>
            {
                Some((*received, *total))
            }
            _ => None,
        })
        .collect();
    assert!(fetching.len() >= 2 && fetching.is_sorted(), "{fetching:?}");
    let (received, total) = *fetching.last().unwrap();
    assert_eq!(received, total);
    let weights = loaded(&events);
    assert!(weights.evaluation_ms > 0.0, "nobody knows how long an image takes");
    assert_eq!((weights.id.as_str(), weights.title.as_str()), ("tiny", "Tiny"));
    assert_eq!((weights.precision.as_str(), weights.prediction.as_str(), weights.side), ("f16", "karras", 8));
    assert_eq!((weights.classes.len(), weights.licence.as_str()), (10, "MIT"));
    assert_eq!(weights.file_bytes, total);
    let parameters: usize =
        tiny().init(0, &burn::tensor::Device::flex()).unwrap().parameters().iter().map(|p| p.count()).sum();
    assert_eq!(weights.parameters as usize, parameters);

    // A second visit fetches the list and the manifest, and nothing else.
    page.files().fetched.borrow_mut().clear();
    let untimed = |events: &[Event]| WeightsSummary { evaluation_ms: 0.0, ..loaded(events).clone() };
    let summary = untimed(&events);
    assert_eq!(untimed(&load(&mut page, shipped("tiny"))), summary);
    assert_eq!(*page.files().fetched.borrow(), ["weights/index.json", "weights/tiny/manifest.json"]);

    // What was kept and has rotted is fetched again.
    page.files().kept.borrow_mut().values_mut().for_each(|file| file[100] ^= 1);
    assert_eq!(untimed(&load(&mut page, shipped("tiny"))), summary);
    assert!(page.files().fetched.borrow().iter().any(|name| name.ends_with("b.safetensors")));
}

#[test]
fn without_room_to_keep_them_weights_are_used_all_the_same() {
    let mut page = page();
    *page.files().no_room.borrow_mut() = true;
    let events = load(&mut page, shipped("tiny"));
    loaded(&events);
    let notice = Event::Images(ImageEvent::Notice { run: LOAD, notice: Notice::NotKept });
    assert!(events.contains(&notice));
}

#[test]
fn a_run_shows_every_step_and_repeats_exactly() {
    let mut page = page();
    load(&mut page, shipped("tiny"));
    let config = RunConfig { image_class: ClassChoice::Each, guidance: 2.0, ..config() };
    let events = sample(&mut page, &config);
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: false, .. })), "{events:?}");
    let shown = frames(&events);
    assert_eq!(shown.iter().map(|f| f.step).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(shown[0].expected.0.is_empty());
    for frame in &shown {
        assert_eq!((frame.of, frame.images, frame.side, frame.noisy.0.len()), (4, 2, 8, 2 * 3 * 64));
        assert!(frame.step == 0 || frame.expected.0.len() == 2 * 3 * 64);
    }
    let last = shown[4];
    assert_eq!((last.t, last.sigma, last.evaluations), (0.0, 0.0, 4));
    assert_eq!(last.noisy, last.expected);
    let again = sample(&mut page, &config);
    assert_eq!(frames(&again), shown);
    // Long runs show no more than a strip holds.
    let long = RunConfig { solver: SolverId::Ddim, steps: 200, spacing: SpacingId::LogSnr, images: 1, ..config };
    let events = sample(&mut page, &long);
    assert!((50..=64).contains(&frames(&events).len()), "{}", frames(&events).len());
}

#[test]
fn weights_that_are_not_at_hand_are_not_replaced_by_others() {
    let mut page = page();
    let failed = |events: &[Event]| match events {
        [Event::Failed { run: Some(RUN), failure }] => failure.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(&sample(&mut page, &config())), FailureKind::Untrained);
    load(&mut page, shipped("tiny"));
    let other = RunConfig { weights: Word::new("other"), ..config() };
    assert_eq!(failed(&sample(&mut page, &other)), FailureKind::Untrained);
    let named = RunConfig { weights: Word::new("tiny"), ..config() };
    assert!(!frames(&sample(&mut page, &named)).is_empty());
    assert!(!frames(&sample(&mut page, &config())).is_empty(), "the first of the list");
}

#[test]
fn weights_that_took_the_place_of_others_are_used_for_them() {
    let mut page = page();
    let events = load(&mut page, shipped("older"));
    assert_eq!(loaded(&events).id, "tiny");
    let older = sample(&mut page, &RunConfig { weights: Word::new("older"), ..config() });
    let now = sample(&mut page, &RunConfig { weights: Word::new("tiny"), ..config() });
    assert_eq!(frames(&older), frames(&now));
    assert!(!frames(&now).is_empty());
}

#[test]
fn what_is_missing_damaged_or_unknown_is_refused_and_the_weights_at_hand_stay() {
    let mut page = page();
    load(&mut page, shipped("tiny"));
    let before = sample(&mut page, &config());

    let events = load(&mut page, shipped("none"));
    assert!(refusal(&events).findings[0].contains("there are tiny, gone"), "{events:?}");
    let events = load(&mut page, shipped("gone"));
    assert!(refusal(&events).unreachable && refusal(&events).kept == "Tiny", "{events:?}");

    // A shard that is not the one the manifest describes.
    page.files().kept.borrow_mut().clear();
    page.files().there.borrow_mut().get_mut("weights/tiny/b.safetensors").unwrap()[2000] ^= 1;
    let events = load(&mut page, shipped("tiny"));
    let found = refusal(&events);
    assert!(found.file == "b.safetensors" && found.findings[0].contains("SHA-256"), "{found:?}");
    assert!(!found.unreachable);

    let file = |file: Vec<u8>| WeightsSource::Files(vec![NamedBytes { name: "dropped".into(), file: Bytes(file) }]);
    let good = weights(&UNetConfig { groups: 32, channels: 32, ..tiny() }, Precision::Half);
    for (bytes, words) in [
        (vec![], "not a file of weights"),
        (b"<!doctype html><title>404</title>".to_vec(), "not a file of weights"),
        (good[..good.len() / 2].to_vec(), "safetensors"),
    ] {
        let events = load(&mut page, file(bytes));
        assert!(refusal(&events).findings[0].contains(words), "{events:?}");
        assert_eq!(refusal(&events).kept, "Tiny");
    }
    assert_eq!(frames(&sample(&mut page, &config())), frames(&before));
}

#[test]
fn a_run_over_levels_that_were_not_searched_says_so() {
    let mut page = page();
    let events = load(&mut page, shipped("tiny"));
    assert_eq!(loaded(&events).grids, [3]);
    for (steps, told) in [(3, false), (4, true)] {
        let run = RunConfig { spacing: SpacingId::Searched, steps, images: 1, ..config() };
        let events = sample(&mut page, &run);
        let notice = Event::Images(ImageEvent::Notice { run: RUN, notice: Notice::NoGrid { steps } });
        assert_eq!(events.contains(&notice), told, "{events:?}");
        assert!(matches!(events.last(), Some(Event::Done { stopped: false, .. })), "{events:?}");
    }
}

#[test]
fn a_dropped_checkpoint_is_recognised_and_becomes_the_visitors_own() {
    let mut page = page();
    let network = UNetConfig { groups: 32, channels: 32, classes: 0, ..tiny() };
    let file = weights(&network, Precision::Full);
    page.files().there.borrow_mut().insert("blob:1".into(), file.clone());
    let dropped =
        WeightsSource::Addresses(vec![NamedAddress { name: "model.safetensors".into(), address: "blob:1".into() }]);
    let events = load(&mut page, dropped);
    let summary = loaded(&events);
    assert_eq!((summary.id.as_str(), summary.title.as_str()), ("own", "model.safetensors"));
    assert!(summary.recognised.contains("diffusers") && summary.recognised.contains("safetensors"), "{summary:?}");
    assert_eq!((summary.side, summary.prediction.as_str(), summary.precision.as_str()), (32, "noise", "f32"));
    let own = RunConfig { weights: Word::new("own"), images: 1, image_class: ClassChoice::Each, ..config() };
    let events = sample(&mut page, &own);
    assert!(events.contains(&Event::Images(ImageEvent::Notice { run: RUN, notice: Notice::NoClasses })));
    assert!(matches!(events.last(), Some(Event::Done { stopped: false, .. })), "{events:?}");
    // A manifest beside its shards, at any address.
    let address = "weights/tiny/manifest.json".to_owned();
    let events =
        load(&mut page, WeightsSource::Addresses(vec![NamedAddress { name: "manifest.json".into(), address }]));
    assert_eq!((loaded(&events).id.as_str(), loaded(&events).title.as_str()), ("own", "Tiny"));
}

#[test]
fn a_processor_asked_for_half_precision_says_that_it_has_none_and_goes_on() {
    let mut page = page();
    load(&mut page, shipped(""));
    let full = sample(&mut page, &config());
    let half = sample(&mut page, &RunConfig { precision: PrecisionId::Half, ..config() });
    let notice = Event::Images(ImageEvent::Notice { run: RUN, notice: Notice::NoHalf });
    assert!(half.contains(&notice) && !full.contains(&notice));
    assert_eq!(frames(&half), frames(&full));
    assert!(matches!(half.last(), Some(Event::Done { stopped: false, .. })), "{half:?}");
}

#[test]
fn a_load_is_given_up_at_once_with_what_waits_for_it_even_when_nothing_arrives() {
    let mut page = page();
    *page.files().stalls_after.borrow_mut() = Some(1);
    page.post(Command::Images(ImageCommand::Load { run: LOAD, source: shipped("tiny") }));
    page.post(Command::Sample { run: RUN, config: config() });
    page.until(|e| matches!(e, Event::Images(ImageEvent::Fetching { .. })));
    page.beat(20);
    page.post(Command::Stop);
    let events = page.until(|e| matches!(e, Event::Done { run: RUN, .. }));
    let done: Vec<(RunId, bool)> = events
        .iter()
        .filter_map(|e| if let Event::Done { run, began, stopped: true, .. } = e { Some((*run, *began)) } else { None })
        .collect();
    assert_eq!(done, [(LOAD, true), (RUN, false)], "{events:?}");
    *page.files().stalls_after.borrow_mut() = None;
    loaded(&load(&mut page, shipped("tiny")));
}

#[test]
fn a_run_is_held_stepped_and_stopped_within_an_evaluation() {
    let mut page = page();
    load(&mut page, shipped("tiny"));
    let long = RunConfig { steps: 1000, images: 64, solver: SolverId::Ddim, spacing: SpacingId::LogSnr, ..config() };
    page.post(Command::Sample { run: RUN, config: long });
    let mut events =
        page.until(|e| matches!(e, Event::Images(ImageEvent::Progress { progress, .. }) if progress.rate > 0.0));
    page.post(Command::Pause);
    // Where the pause falls on a step that was shown already, nothing is shown again.
    events.extend(page.settle());
    assert!(events.contains(&Event::Paused { run: RUN }), "{events:?}");
    let held = frames(&events).last().expect("a held run shows where it is").step;
    page.post(Command::Step);
    let events = page.settle();
    assert_eq!(frames(&events).last().map(|f| f.step), Some(held + 1));
    page.post(Command::Resume);
    page.beat(3);
    page.post(Command::Stop);
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: true, .. })), "{events:?}");
}

#[test]
fn this_device_passes_the_self_test_and_is_timed() {
    let mut page = page();
    page.post(Command::Images(ImageCommand::SelfTest { run: RUN }));
    let events = page.until(|e| matches!(e, Event::Images(ImageEvent::SelfTest { .. })));
    let [Event::Images(ImageEvent::SelfTest { run: RUN, report })] = &events[..] else { panic!("{events:?}") };
    for case in &report.cases {
        println!("{}: {:.1e} of {:.1e}", case.name, case.error, case.tolerance);
        assert_eq!((case.expected.0.len(), case.found.0.len()), (16, 16));
    }
    assert_eq!(report.cases.len(), 6);
    assert!(report.passed(), "{report:?}");

    let measure = Command::Images(ImageCommand::Benchmark { run: RUN, batches: vec![1, 4], budget_ms: 10.0 });
    page.post(measure.clone());
    assert!(matches!(&page.settle()[..], [Event::Failed { failure, .. }] if failure.kind == FailureKind::Untrained));
    load(&mut page, shipped("tiny"));
    let start = std::time::Instant::now();
    page.post(measure);
    let events = page.until(|e| matches!(e, Event::Images(ImageEvent::Benchmark { complete: true, .. })));
    let took_ms = 1e3 * start.elapsed().as_secs_f64();
    let last = match events.last() {
        Some(Event::Images(ImageEvent::Benchmark { benchmark, complete: true, .. })) => benchmark,
        other => panic!("{other:?}"),
    };
    assert_eq!(last.rows.iter().map(|row| row.batch).collect::<Vec<_>>(), [1, 4]);
    assert!(last.rows.iter().all(|row| row.evaluation_ms > 0.0 && row.warm_up_ms > 0.0 && row.evaluations >= 3));
    // What was measured took place within the time of the whole: more than half of the evaluations last at least the
    // median.
    let least_ms =
        last.rows.iter().map(|row| row.warm_up_ms + row.evaluation_ms * f64::from(row.evaluations / 2)).sum::<f64>();
    assert!(least_ms <= took_ms, "{least_ms} of {took_ms} ms: {:?}", last.rows);
    assert!(last.gflop > 0.0 && last.to_json().contains("\"evaluation_ms\""));
}

#[test]
fn loading_takes_at_most_two_point_two_times_the_weights() {
    // Two million parameters, so that headers and buffers of fixed size count little.
    let config = UNetConfig { channels: 64, groups: 32, ..tiny() };
    for precision in [Precision::Full, Precision::Half, Precision::Int8] {
        let mut page = page_with(&config, precision);
        page.settle();
        // What the test itself keeps for the worker is none of the worker's.
        *page.files().no_room.borrow_mut() = true;
        let (events, peak) = counting::peak(|| load(&mut page, shipped("tiny")));
        let weights = 4.0 * f64::from(loaded(&events).parameters);
        let share = peak as f64 / weights;
        println!("{precision:?}: {share:.2} times the weights");
        assert!(share <= 2.2, "{precision:?}: {share}");
    }
}

#[test]
fn half_precision_and_integers_change_images_little() {
    let config_of = config();
    let mut results = Vec::new();
    for precision in [Precision::Full, Precision::Half, Precision::Int8] {
        let mut page = page_with(&tiny(), precision);
        page.settle();
        loaded(&load(&mut page, shipped("tiny")));
        let events = sample(&mut page, &config_of);
        results.push(frames(&events).last().unwrap().noisy.0.clone());
    }
    let error = |other: &[u8]| -> f64 {
        let sum: f64 = results[0].iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        (sum / other.len() as f64).sqrt()
    };
    let (half, int8) = (error(&results[1]), error(&results[2]));
    println!("root mean square error of bytes: f16 {half:.3}, int8 {int8:.3}");
    // 11 and 8 significant bits; four evaluations in a row of a network with random weights.
    assert!(half < 1.0 && int8 < 12.0, "{half} {int8}");
}

#[test]
fn the_shipped_list_and_its_sets_are_in_order() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web/weights");
    let index = WeightsIndex::from_json(&std::fs::read_to_string(folder.join("index.json")).unwrap()).unwrap();
    for entry in &index.sets {
        let read = |name: &str| std::fs::read(folder.join(&entry.id).join(name)).unwrap();
        let manifest = Manifest::from_json(&String::from_utf8(read("manifest.json")).unwrap()).unwrap();
        let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
        assert_eq!(bytes, u64::from(entry.bytes), "{}", entry.id);
        for file in &manifest.files {
            file.check(&read(&file.name)).unwrap();
        }
        let files: Vec<Vec<u8>> = manifest.files.iter().map(|file| read(&file.name)).collect();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let device = burn::tensor::Device::flex();
        scorefield::engine::images::ImageModel::from_set(&manifest, &files, &device).unwrap();
        assert_eq!(entry.title, manifest.title);
    }
    assert!(WeightsIndex::from_json("{}").is_err());
}
