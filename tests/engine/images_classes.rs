//! Classes of images: a run asks for one by the name that the weights have for it, and gets it or an error.

use std::collections::BTreeSet;

use crate::page::Page;
use crate::set::{page_with, tiny};
use crate::unet_weights::{network, parameter};
use scorefield::diffusion::{Convention, now};
use scorefield::engine::images::{ImageModel, sample, sample_part};
use scorefield::lab::{CIFAR10, ClassChoice, DeviceChoice, RunConfig, Word};
use scorefield::nn::checkpoint::{Precision, encode};
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::UNetConfig;
use scorefield::protocol::images::{ImageCommand, ImageEvent, NamedBytes, WeightsSource, WeightsSummary};
use scorefield::protocol::{Bytes, Command, Event, FailureKind, RunId};

const LOAD: RunId = RunId(1);
const RUN: RunId = RunId(2);

fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).expect("this build has the CPU device")
}

fn named(name: &str) -> ClassChoice {
    ClassChoice::from_text(name)
}

fn config(class: &str) -> RunConfig {
    RunConfig { images: 2, steps: 2, seed: 5, image_class: named(class), ..RunConfig::of_images() }
}

/// A network with so many classes, and a row for none or without one.
fn shape(classes: usize, without: bool) -> UNetConfig {
    let mut config = UNetConfig { classes, ..tiny() };
    config.set_without_class(without);
    config
}

fn model(classes: usize, without: bool, compute: &ComputeDevice) -> ImageModel {
    ImageModel::new(network(&shape(classes, without), &compute.device), Convention::ddpm(), 8)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn images(config: &RunConfig, model: &ImageModel, compute: &ComputeDevice) -> Vec<u32> {
    let pictures = now(sample(config, model, compute, &mut ())).unwrap().expect("nobody ends it");
    now(pictures.values()).unwrap().into_iter().map(f32::to_bits).collect()
}

fn refused(config: &RunConfig, model: &ImageModel, compute: &ComputeDevice) -> String {
    match now(sample(config, model, compute, &mut ())) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{:?} was drawn", config.image_class),
    }
}

#[test]
fn a_class_is_the_one_that_the_weights_call_so() {
    let compute = cpu();
    let with = |own: &[&str]| model(2, true, &compute).with_class_names(names(own));
    let weights = with(&["cat", "dog"]);
    let of = |class: &str| images(&config(class), &weights, &compute);
    let (any, cat, dog) = (of("any"), of("cat"), of("dog"));
    assert_eq!(BTreeSet::from([&any, &cat, &dog]).len(), 3, "three pictures");
    // The name alone decides: the same rows under exchanged names, and under names that were never CIFAR-10's.
    assert_eq!(images(&config("cat"), &with(&["dog", "cat"]), &compute), dog);
    assert_eq!(images(&config("a tram"), &with(&["گربه", "a tram"]), &compute), dog);
    for other in ["airplane", "truck", "Cat", "0", "class 0"] {
        let words = refused(&config(other), &weights, &compute);
        assert!(words.contains(other) && words.contains("cat, dog"), "{words}");
    }
}

#[test]
fn one_of_each_takes_the_weights_classes_in_turn_and_goes_on_from_part_to_part() {
    let compute = cpu();
    let weights = model(3, true, &compute).with_class_names(names(&["a", "b", "c"]));
    let each = RunConfig { images: 5, ..config("each") };
    let whole = images(&each, &weights, &compute);
    let pixels = whole.len() / 5;
    for (image, class) in ["a", "b", "c", "a", "b"].into_iter().enumerate() {
        let alone = RunConfig { images: 1, seed: 5 + image as u32, ..config(class) };
        assert_eq!(images(&alone, &weights, &compute), whole[image * pixels..(image + 1) * pixels], "image {image}");
    }
    let part = |first: usize, count: u32| {
        let config = RunConfig { images: count, seed: 5 + first as u32, ..each.clone() };
        let part = now(sample_part(&config, first, &weights, &compute, &mut ())).unwrap().expect("nobody ends it");
        now(part.values()).unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!([part(0, 2), part(2, 2), part(4, 1)].concat(), whole);
    // Without classes there is one of each of none.
    let plain = model(0, true, &compute);
    assert_eq!(images(&config("each"), &plain, &compute), images(&config("any"), &plain, &compute));
    assert!(refused(&config("cat"), &plain, &compute).contains("no classes"));
}

#[test]
fn ten_rows_for_ten_classes_are_ten_classes_and_none_of_them_means_none() {
    let compute = cpu();
    let ten = model(10, false, &compute);
    assert_eq!(ten.classes().names, CIFAR10, "what a file of ten rows says nothing of");
    assert!(ten.classes().required);
    let of: Vec<Vec<u32>> = CIFAR10.iter().map(|class| images(&config(class), &ten, &compute)).collect();
    assert_eq!(of.iter().collect::<BTreeSet<_>>().len(), 10, "ten pictures");
    // The same numbers read as nine classes and a row for none: there, and only there, the last row is no class.
    let nine = model(9, true, &compute);
    assert_eq!(images(&config("any"), &nine, &compute), of[9]);
    let words = refused(&config("any"), &ten, &compute);
    assert!(words.contains("without a class") && words.contains("airplane") && words.contains("truck"), "{words}");
    for guidance in [0.0, 3.0] {
        for class in ["truck", "each"] {
            let words = refused(&RunConfig { guidance, ..config(class) }, &ten, &compute);
            assert!(words.contains("guidance"), "{words}");
        }
    }
    let ten_in_turn = RunConfig { images: 10, ..config("each") };
    assert_eq!(images(&ten_in_turn, &ten, &compute).len(), 10 * 3 * 64);
}

// --- The worker and its page -----------------------------------------------------------------------------------------

fn sampled(page: &mut Page, config: &RunConfig) -> Event {
    page.post(Command::Sample { run: RUN, config: config.clone() });
    page.until(|e| matches!(e, Event::Done { .. } | Event::Failed { .. })).pop().expect("an end")
}

#[track_caller]
fn failed(event: &Event, words: &[&str]) {
    let Event::Failed { run: Some(RUN), failure } = event else { panic!("{event:?}") };
    assert_eq!(failure.kind, FailureKind::NoClass);
    for word in words {
        assert!(failure.detail.contains(word), "no {word:?} in {}", failure.detail);
    }
}

#[track_caller]
fn done(event: &Event) {
    assert!(matches!(event, Event::Done { run: RUN, stopped: false, .. }), "{event:?}");
}

fn load(page: &mut Page, source: WeightsSource) -> WeightsSummary {
    page.post(Command::Images(ImageCommand::Load { run: LOAD, source }));
    let events = page.until(|e| matches!(e, Event::Images(ImageEvent::Loaded { .. } | ImageEvent::Refused { .. })));
    match events.last() {
        Some(Event::Images(ImageEvent::Loaded { weights, .. })) => weights.clone(),
        other => panic!("not loaded: {other:?}"),
    }
}

#[test]
fn a_set_draws_its_own_classes_and_says_which_they_are_when_asked_for_another() {
    let mut page = page_with(&shape(2, true), Precision::Half);
    page.settle();
    let weights = load(&mut page, WeightsSource::Set { id: String::new() });
    assert_eq!((weights.classes, weights.class_required), (names(&["class 0", "class 1"]), false));
    failed(&sampled(&mut page, &config("cat")), &["cat", "class 0, class 1"]);
    for class in ["class 1", "each", "any"] {
        done(&sampled(&mut page, &RunConfig { guidance: 2.0, ..config(class) }));
    }
}

#[test]
fn a_dropped_network_of_ten_rows_has_ten_classes_and_neither_none_nor_guidance() {
    let mut page = page_with(&tiny(), Precision::Half);
    page.settle();
    let network = UNetConfig { groups: 32, channels: 32, ..shape(10, false) };
    let parameters = network.init(0, &burn::tensor::Device::flex()).unwrap().parameters();
    let values: Vec<Vec<f32>> = parameters.iter().map(|p| parameter(&p.name, &p.shape)).collect();
    let file = encode(&parameters, &values, Precision::Full).unwrap();
    let own = NamedBytes { name: "model.safetensors".into(), file: Bytes(file) };
    let weights = load(&mut page, WeightsSource::Files(vec![own]));
    assert_eq!((weights.classes, weights.class_required), (CIFAR10.map(str::to_owned).to_vec(), true));
    let run =
        |class: &str, guidance| RunConfig { weights: Word::new("own"), images: 1, steps: 1, guidance, ..config(class) };
    failed(&sampled(&mut page, &run("any", 1.0)), &["airplane", "truck"]);
    failed(&sampled(&mut page, &run("truck", 2.0)), &["guidance"]);
    failed(&sampled(&mut page, &run("lorry", 1.0)), &["lorry", "truck"]);
    done(&sampled(&mut page, &run("truck", 1.0)));
    // It can be timed, which asks for no class in particular.
    page.post(Command::Images(ImageCommand::Benchmark { run: RUN, batches: vec![1, 2], budget_ms: 1.0 }));
    let whole = |e: &Event| matches!(e, Event::Images(ImageEvent::Benchmark { complete: true, .. }));
    let events = page.until(|e| whole(e) || matches!(e, Event::Failed { .. }));
    assert!(events.last().is_some_and(whole), "{events:?}");
}
