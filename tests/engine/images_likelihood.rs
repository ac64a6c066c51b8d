//! The likelihood of a picture as the page asks for it: against an exact solution, held and ended.

use crate::page::Page;
use crate::set::{page_with, tiny};
use scorefield::diffusion::Schedule;
use scorefield::diffusion::likelihood::dequantise;
use scorefield::lab::{PIXELS, Picture, RunConfig, ScheduleId, Word};
use scorefield::nn::checkpoint::{Precision, encode};
use scorefield::nn::unet::UNetConfig;
use scorefield::protocol::images::{ImageCommand, ImageEvent, NamedAddress, WeightsSource};
use scorefield::protocol::{Command, Event, FailureKind, Report, RunId, Subject};
use scorefield::rng::{Rng, Stream};

const RUN: RunId = RunId(2);
const NUMBERS: usize = 3 * PIXELS;

/// A page that holds a network which finds no noise in anything.
fn page() -> Page {
    let config = UNetConfig { groups: 32, channels: 32, classes: 0, ..tiny() };
    let network = config.init(0, &burn::tensor::Device::flex()).unwrap();
    let parameters = network.parameters();
    let values: Vec<Vec<f32>> = parameters.iter().map(|p| vec![0.0; p.count()]).collect();
    let file = encode(&parameters, &values, Precision::Full).unwrap();
    let mut page = page_with(&tiny(), Precision::Half);
    page.settle();
    page.files().there.borrow_mut().insert("blob:1".into(), file);
    let dropped = NamedAddress { name: "model.safetensors".into(), address: "blob:1".into() };
    page.post(Command::Images(ImageCommand::Load { run: RunId(1), source: WeightsSource::Addresses(vec![dropped]) }));
    let events = page.until(|e| matches!(e, Event::Images(ImageEvent::Loaded { .. } | ImageEvent::Refused { .. })));
    assert!(matches!(events.last(), Some(Event::Images(ImageEvent::Loaded { .. }))), "{events:?}");
    page
}

fn colours() -> Vec<u8> {
    (0..NUMBERS).map(|i| (i * 37 % 256) as u8).collect()
}

fn config() -> RunConfig {
    RunConfig {
        weights: Word::new("own"),
        schedule: ScheduleId::Linear,
        picture: Picture::new(colours(), vec![true; PIXELS]).unwrap(),
        probes: 3,
        flow_tolerance: 1e-4,
        seed: 5,
        ..RunConfig::of_images()
    }
}

fn measure(page: &mut Page, config: &RunConfig) -> Vec<Event> {
    page.post(Command::Likelihood { run: RUN, config: config.clone() });
    page.until(|e| matches!(e, Event::Done { .. } | Event::Failed { .. }))
}

fn reports(events: &[Event]) -> Vec<&Report> {
    let of_run = |event| match event {
        &Event::Report { run: RUN, ref report } => Some(report),
        _ => None,
    };
    events.iter().filter_map(of_run).collect()
}

/// Where there is no noise to be seen, the flow multiplies everything by one number, and its density is known.
#[test]
fn bits_per_dimension_are_those_of_the_exact_solution_and_their_error_that_of_the_estimates() {
    let (mut page, config) = (page(), config());
    let events = measure(&mut page, &config);
    assert!(matches!(events.last(), Some(Event::Done { stopped: false, .. })), "{events:?}");
    let schedule = Schedule::from_config(&config);
    let (last, first) = schedule.time_range();
    let ratio = schedule.level(last).alpha / schedule.level(first).alpha;
    let channels: Vec<u8> = (0..3).flat_map(|channel| colours().into_iter().skip(channel).step_by(3)).collect();
    let exact: Vec<f64> = (0..config.probes)
        .map(|draw| {
            let mut uniform = Rng::new(config.seed, Stream::Data, draw);
            let squares: f64 =
                channels.iter().map(|v| (ratio * (2.0 * dequantise(*v, uniform.uniform()) - 1.0)).powi(2)).sum();
            let count = NUMBERS as f64;
            let nats = -0.5 * squares + count * (ratio.ln() - 0.5 * std::f64::consts::TAU.ln());
            7.0 - nats / (count * std::f64::consts::LN_2)
        })
        .collect();
    let reports = reports(&events);
    assert_eq!(reports.len(), 3);
    for (done, report) in reports.iter().enumerate() {
        assert_eq!((report.subject, report.done, report.of), (Subject::Likelihood, 1 + done as u32, 3));
        let bits = &report.rows[0];
        let expected = exact[..=done].iter().sum::<f64>() / (1 + done) as f64;
        assert!(bits.id == "bits" && (bits.value - expected).abs() < 1e-3, "{} instead of {expected}", bits.value);
        assert_eq!(bits.error.is_nan(), done == 0, "{bits:?}");
        // Nothing was measured of the visitor's own weights.
        assert!(bits.reference.is_nan());
    }
    let evaluations = &reports[2].rows[1];
    assert!(evaluations.id == "evaluations" && evaluations.value >= 30.0 && evaluations.value % 3.0 == 0.0);
}

#[test]
fn how_long_it_takes_is_told_on_the_way_and_it_ends_within_an_evaluation() {
    let mut page = page();
    let long = RunConfig { flow_tolerance: 1e-6, probes: 32, ..config() };
    page.post(Command::Likelihood { run: RUN, config: long });
    let told = |e: &Event| matches!(e, Event::Images(ImageEvent::Progress { progress, .. }) if progress.left > 0.0);
    let events = page.until(told);
    let Some(Event::Images(ImageEvent::Progress { run: RUN, progress })) = events.last() else { panic!("{events:?}") };
    assert!(f64::from(progress.planned) > progress.evaluations && progress.rate > 0.0, "{progress:?}");
    page.post(Command::Stop);
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: true, .. })), "{events:?}");
    // And another one begins anew.
    let events = measure(&mut page, &config());
    assert_eq!(reports(&events).len(), 3);
}

#[test]
fn without_a_picture_or_with_other_weights_at_hand_it_is_refused() {
    let mut page = page();
    let kind = |events: &[Event]| match events.last() {
        Some(Event::Failed { run: Some(RUN), failure }) => failure.kind,
        other => panic!("not refused: {other:?}"),
    };
    let none = RunConfig { picture: Picture::default(), ..config() };
    assert_eq!(kind(&measure(&mut page, &none)), FailureKind::BadConfig);
    let other = RunConfig { weights: Word::new("tiny"), ..config() };
    let failure = kind(&measure(&mut page, &other));
    assert_ne!(failure, FailureKind::BadConfig, "{failure:?}");
}
