//! The whole worker, driven through its port as a page would.

use crate::page::{Page, tiny};
use scorefield::data::{DatasetId, Drawing};
use scorefield::lab::{DenoiserId, ExperimentId, FIELDS, RunConfig, SolverId, Value};
use scorefield::protocol::{Bytes, Command, Event, FailureKind, RunId};

const RUN: RunId = RunId(1);
const SAVED: RunId = RunId(900);

fn train(config: &RunConfig) -> Command {
    Command::Train { run: RUN, config: config.clone() }
}

fn step_of(events: &[Event]) -> u32 {
    let step = |event: &Event| if let Event::Training { step, .. } = event { Some(*step) } else { None };
    events.iter().filter_map(step).max().unwrap_or(0)
}

#[test]
fn the_worker_announces_itself_first() {
    let mut page = Page::open();
    let events = page.settle();
    assert!(matches!(&events[..], [Event::Ready { device }] if !device.gpu));
}

#[test]
fn a_run_can_be_held_stepped_resumed_and_stopped() {
    let mut page = Page::open();
    page.post(train(&RunConfig { training_steps: 100_000, ..tiny() }));
    let events = page.until(|e| matches!(e, Event::Training { step, .. } if *step > 20));
    assert!(events.iter().all(|e| !matches!(e, Event::Done { .. })));

    page.post(Command::Pause);
    let events = page.settle();
    assert!(events.contains(&Event::Paused { run: RUN }), "{events:?}");
    let held = step_of(&events);
    assert!(held > 20);
    assert!(page.settle().is_empty(), "a held run does nothing");

    page.post(Command::Step);
    assert_eq!(step_of(&page.settle()), held + 1);
    page.post(Command::Step);
    page.post(Command::Step);
    assert_eq!(step_of(&page.settle()), held + 3);

    page.post(Command::Resume);
    let events = page.until(|e| matches!(e, Event::Training { step, .. } if *step > held + 10));
    assert_eq!(events[0], Event::Resumed { run: RUN });

    page.post(Command::Stop);
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: true, .. })), "{events:?}");
    assert!(page.settle().is_empty());
}

#[test]
fn a_run_ends_with_every_loss_reported_a_preview_its_quality_and_a_checkpoint() {
    let mut page = Page::open();
    let config = RunConfig { training_steps: 40, ..tiny() };
    page.post(train(&config));
    let events = page.settle();
    let losses: usize =
        events.iter().map(|e| if let Event::Training { losses, .. } = e { losses.0.len() } else { 0 }).sum();
    assert_eq!(losses, 40);
    assert!(events.iter().any(|e| matches!(e, Event::Preview { step: 40, .. })));
    assert!(events.iter().any(|e| matches!(e, Event::Quality { step: 40, quality, .. } if quality.kl.is_finite())));
    assert!(events.iter().any(|e| matches!(e, Event::Checkpoint { step: 40, .. })));
    assert!(matches!(events.last(), Some(Event::Done { began: true, stopped: false, millis, .. }) if *millis > 0.0));
}

#[test]
fn a_new_run_ends_the_one_before() {
    let mut page = Page::open();
    page.post(train(&RunConfig { training_steps: 100_000, ..tiny() }));
    page.until(|e| matches!(e, Event::Training { .. }));
    page.post(Command::Train { run: RunId(2), config: RunConfig { training_steps: 5, ..tiny() } });
    let events = page.settle();
    let done: Vec<_> = events.iter().filter(|e| matches!(e, Event::Done { .. })).collect();
    assert!(matches!(done[0], Event::Done { run: RUN, stopped: true, .. }));
    assert!(matches!(done[1], Event::Done { run: RunId(2), stopped: false, .. }));
    let first_of_second = events.iter().position(|e| matches!(e, Event::Training { run: RunId(2), .. }));
    let end_of_first = events.iter().position(|e| matches!(e, Event::Done { run: RUN, .. }));
    assert!(end_of_first < first_of_second, "nothing of the old run after the new one has begun");
}

#[test]
fn commands_without_a_run_are_ignored() {
    let mut page = Page::open();
    page.settle();
    for command in [Command::Pause, Command::Step, Command::Resume, Command::Stop] {
        page.post(command);
    }
    assert!(page.settle().is_empty());
}

#[test]
fn sampling_without_weights_fails_and_the_closed_form_needs_none() {
    let mut page = Page::open();
    page.settle();
    let config = RunConfig { samples: 50, steps: 5, ..tiny() };
    page.post(Command::Sample { run: RUN, config: config.clone() });
    let events = page.settle();
    assert!(
        matches!(&events[..], [Event::Failed { run: Some(RUN), failure }] if failure.kind == FailureKind::Untrained)
    );
    page.post(Command::Save { run: SAVED });
    assert!(matches!(&page.settle()[..], [Event::Failed { run: Some(SAVED), .. }]));

    page.post(Command::Sample { run: RunId(2), config: RunConfig { denoiser: DenoiserId::Exact, ..config } });
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RunId(2), stopped: false, .. })));
}

#[test]
fn an_empty_drawing_is_a_bad_configuration_not_a_crash() {
    let mut page = Page::open();
    page.settle();
    let config = RunConfig { dataset: DatasetId::Drawing, drawing: Drawing::default(), ..tiny() };
    page.post(train(&config));
    page.post(Command::Sample { run: RUN, config: RunConfig { denoiser: DenoiserId::Exact, ..config.clone() } });
    page.post(Command::Field {
        request: 3,
        config: RunConfig { denoiser: DenoiserId::Exact, ..config.clone() },
        t: 0.5,
        side: 8,
    });
    page.post(Command::Benchmark { config, budget_ms: 1.0 });
    let events = page.settle();
    assert_eq!(events.len(), 4);
    for event in events {
        assert!(matches!(&event, Event::Failed { failure, .. } if failure.kind == FailureKind::BadConfig), "{event:?}");
    }
}

#[test]
fn a_diverging_run_says_so_and_keeps_good_weights() {
    let mut page = Page::open();
    // No network survives steps of this size.
    let config = RunConfig { rate: 1e30, training_steps: 500, ..tiny() };
    page.post(train(&config));
    let events = page.settle();
    assert!(
        events.iter().any(|e| matches!(e, Event::Failed { failure, .. } if failure.kind == FailureKind::Diverged)),
        "{events:?}"
    );
    page.post(Command::Sample { run: RunId(2), config: RunConfig { samples: 20, steps: 4, ..tiny() } });
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RunId(2), .. })), "{events:?}");
}

#[test]
fn frames_are_limited_and_count_evaluations() {
    let mut page = Page::open();
    page.settle();
    for (solver, steps, evaluations) in
        [(SolverId::Ddim, 1000, 1000), (SolverId::Ddim, 7, 7), (SolverId::Heun, 10, 19), (SolverId::DpmPp2m, 1, 1)]
    {
        let config = RunConfig { denoiser: DenoiserId::Exact, solver, steps, samples: 20, ..tiny() };
        page.post(Command::Sample { run: RUN, config });
        let frames: Vec<Event> = page.settle().into_iter().filter(|e| matches!(e, Event::Frame { .. })).collect();
        assert!(frames.len() <= 120 && frames.len() > (steps as usize).min(50), "{}", frames.len());
        let Some(Event::Frame { step: 0, expected, .. }) = frames.first() else { panic!("no first frame") };
        assert!(expected.0.is_empty());
        let Some(Event::Frame { step, t, evaluations: counted, points, expected, .. }) = frames.last() else {
            panic!("no last frame")
        };
        assert_eq!((*step, *t, *counted), (steps, 0.0, evaluations), "{solver:?}");
        assert_eq!((points.0.len(), expected.0.len()), (40, 40));
    }
}

#[test]
fn every_solver_ends_finite_on_the_closed_form() {
    let mut page = Page::open();
    page.settle();
    for &solver in SolverId::ALL {
        let config = RunConfig { denoiser: DenoiserId::Exact, solver, steps: 12, samples: 40, ..tiny() };
        page.post(Command::Sample { run: RUN, config });
        let events = page.settle();
        assert!(matches!(events.last(), Some(Event::Done { stopped: false, .. })), "{solver:?}: {events:?}");
        for event in &events {
            if let Event::Frame { points, expected, .. } = event {
                assert!(points.0.iter().chain(&expected.0).all(|v| v.is_finite()), "{solver:?}");
            }
        }
    }
}

#[test]
fn weights_survive_saving_and_loading_and_samples_repeat() {
    let config = RunConfig { training_steps: 60, ..tiny() };
    let sample = RunConfig { samples: 100, steps: 6, ..config.clone() };
    let frames = |page: &mut Page| -> Vec<Event> {
        page.post(Command::Sample { run: RunId(9), config: sample.clone() });
        page.settle().into_iter().filter(|e| matches!(e, Event::Frame { .. })).collect()
    };
    let mut page = Page::open();
    page.post(train(&config));
    page.settle();
    let first = frames(&mut page);
    assert!(first.len() > 5);
    assert_eq!(first, frames(&mut page), "sampling repeats");
    page.post(Command::Save { run: SAVED });
    let Some(Event::Weights { run: SAVED, step: 60, file }) = page.settle().pop() else { panic!("no file") };

    let mut other = Page::open();
    other.settle();
    other.post(Command::Load { run: RunId(4), file: file.clone() });
    let loaded = other.settle();
    assert_eq!(loaded, [Event::Loaded { run: RunId(4), config: config.clone(), step: 60 }]);
    assert_eq!(first, frames(&mut other), "a loaded network samples as the one that was saved");

    // Continuing from step 60 to 80.
    let config = RunConfig { training_steps: 80, ..config };
    other.post(Command::Continue { run: RunId(5), config, checkpoint: file });
    let events = other.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RunId(5), stopped: false, .. })));
    let losses: usize =
        events.iter().map(|e| if let Event::Training { losses, .. } = e { losses.0.len() } else { 0 }).sum();
    assert_eq!(losses, 20);
}

#[test]
fn a_bad_file_is_refused_and_leaves_the_weights() {
    let mut page = Page::open();
    page.post(train(&RunConfig { training_steps: 5, ..tiny() }));
    page.settle();
    for file in [vec![], vec![1, 2, 3], vec![0xff; 4096]] {
        page.post(Command::Load { run: RunId(2), file: Bytes(file.clone()) });
        page.post(Command::Continue { run: RunId(3), config: tiny(), checkpoint: Bytes(file) });
        for event in page.settle() {
            assert!(
                matches!(&event, Event::Failed { failure, .. } if failure.kind == FailureKind::BadFile),
                "{event:?}"
            );
        }
    }
    page.post(Command::Save { run: SAVED });
    assert!(matches!(&page.settle()[..], [Event::Weights { run: SAVED, step: 5, .. }]));
}

#[test]
fn saving_and_fields_are_answered_while_training_goes_on() {
    let mut page = Page::open();
    let config = RunConfig { training_steps: 100_000, ..tiny() };
    page.post(train(&config));
    page.until(|e| matches!(e, Event::Training { .. }));
    page.post(Command::Save { run: SAVED });
    page.post(Command::Field { request: 7, config: config.clone(), t: 0.3, side: 10 });
    let events = page.until(|e| matches!(e, Event::Field { .. }));
    assert!(events.iter().any(|e| matches!(e, Event::Weights { step, .. } if *step > 0)));
    let Some(Event::Field { request: 7, side: 10, score, .. }) = events.last() else { panic!("no field") };
    assert_eq!(score.0.len(), 200);
    page.post(Command::Benchmark { config, budget_ms: 5.0 });
    let events = page.until(|e| matches!(e, Event::Benchmark { .. }));
    let Some(Event::Benchmark { benchmark }) = events.last() else { panic!("no benchmark") };
    assert!(benchmark.training_step_ms > 0.0 && benchmark.evaluation_ms > 0.0 && benchmark.parameters > 0);
    page.until(|e| matches!(e, Event::Training { .. }));
}

#[test]
fn a_stop_gives_up_a_step_that_would_take_long() {
    let mut page = Page::open();
    page.settle();
    // A sampling step of two million estimates, and a training step of 100 GFLOP: seconds each.
    let config = RunConfig {
        denoiser: DenoiserId::Exact,
        dataset: DatasetId::Checkerboard,
        solver: SolverId::PredictorCorrector,
        corrections: 100,
        samples: 20_000,
        ..tiny()
    };
    page.post(Command::Sample { run: RUN, config });
    page.until(|e| matches!(e, Event::Frame { step: 0, .. }));
    page.post(Command::Stop);
    let events = page.settle();
    assert!(matches!(&events[..], [Event::Done { run: RUN, stopped: true, .. }]), "{events:?}");

    page.post(train(&RunConfig { width: 512, depth: 8, batch: 8192, ..tiny() }));
    page.beat(3);
    page.post(Command::Stop);
    let events = page.until(|e| matches!(e, Event::Done { .. }));
    assert_eq!(step_of(&events), 0, "{events:?}");
}

#[test]
fn only_the_newest_of_several_fields_is_answered() {
    let mut page = Page::open();
    page.settle();
    for request in 0..4 {
        let config = RunConfig { denoiser: DenoiserId::Exact, ..tiny() };
        page.post(Command::Field { request, config, t: 0.5, side: 4 });
    }
    let events = page.settle();
    assert!(matches!(&events[..], [Event::Field { request: 3, .. }]), "{events:?}");
}

#[test]
fn every_choice_and_every_end_of_a_range_trains_and_samples() {
    let mut page = Page::open();
    page.settle();
    let small = RunConfig { training_steps: 2, samples: 10, steps: 3, ..tiny() };
    let mut configs = Vec::new();
    for field in FIELDS {
        use scorefield::lab::Kind;
        let values = match field.kind {
            Kind::Choice(ids) => ids.iter().map(|id| Value::Choice(id)).collect(),
            // The largest sizes are for machines, not for a test of a minute.
            Kind::Whole { min, max } => vec![Value::Whole(min), Value::Whole(max.min(64))],
            Kind::Real { min, max, .. } => vec![Value::Real(min), Value::Real(max)],
            Kind::Drawing | Kind::Gaussians | Kind::Word | Kind::Picture | Kind::Class => Vec::new(),
        };
        for value in values {
            let mut config = small.clone();
            field.set(&mut config, value.clone());
            // Images have another network and their own tests.
            if config.dataset != DatasetId::Drawing && config.experiment == ExperimentId::Plane {
                configs.push((field.key, value, config));
            }
        }
    }
    for (key, value, config) in configs {
        page.post(train(&config));
        page.post(Command::Sample { run: RunId(2), config });
        let events = page.settle();
        let ends = events.iter().filter(|e| matches!(e, Event::Done { .. } | Event::Failed { .. })).count();
        assert_eq!(ends, 2, "{key} {value:?}: {events:?}");
        let diverged = |e: &Event| matches!(e, Event::Failed { failure, .. } if failure.kind != FailureKind::Diverged);
        assert!(!events.iter().any(diverged), "{key} {value:?}: {events:?}");
    }
}

fn reports(events: &[Event]) -> Vec<&scorefield::protocol::Report> {
    events.iter().filter_map(|e| if let Event::Report { report, .. } = e { Some(report) } else { None }).collect()
}

fn row<'r>(report: &'r scorefield::protocol::Report, id: &str) -> &'r scorefield::data::metrics::Measure {
    report.rows.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("{id} is measured"))
}

#[test]
fn the_exact_denoisers_likelihood_is_the_datas_own_and_its_codes_lead_back() {
    let mut page = Page::open();
    page.settle();
    let mut config = RunConfig {
        denoiser: DenoiserId::Exact,
        dataset: DatasetId::EightGaussians,
        points: 150,
        steps: 200,
        ..tiny()
    };
    for divergence in scorefield::lab::DivergenceId::ALL {
        config.divergence = *divergence;
        config.probes = 4;
        page.post(Command::Likelihood { run: RUN, config: config.clone() });
        let events = page.settle();
        let reports = reports(&events);
        assert_eq!(reports.len(), 3, "one for each 64 points");
        let last = reports[2];
        assert_eq!((last.done, last.of), (3, 3));
        assert!(matches!(events.last(), Some(Event::Done { stopped: false, .. })));
        let (flow, gap, back) = (row(last, "flow"), row(last, "gap"), row(last, "back"));
        // The tolerance is kept per step, of which there are some hundred; with probes the estimate's own error counts,
        // and the end of the schedule is the prior to 0.1 %.
        assert!(gap.value.abs() < 4.0 * gap.error + 5e-3, "{divergence:?}: {gap:?}");
        assert!((flow.value - flow.reference - gap.value).abs() < 1e-9);
        if divergence.id() == "exact" {
            assert!(gap.error < 2e-3, "{gap:?}");
        }
        assert!(back.value < 0.01, "{back:?}");
        let latent = row(last, "latent");
        assert!((latent.value - 1.0).abs() < 4.0 * latent.spread, "{latent:?}");
        let bound = row(last, "bound");
        assert!(bound.value < bound.reference + 4.0 * bound.error, "a bound from below: {bound:?}");
        assert_eq!(last.terms.0.len(), 2 * 199, "a term for each step between noisy levels");
        assert_eq!((last.data.0.len(), last.latent.0.len()), (300, 300));
    }
}

#[test]
fn a_trained_networks_likelihood_needs_weights_and_can_be_stopped() {
    let mut page = Page::open();
    page.settle();
    let config = RunConfig { points: 5000, ..tiny() };
    page.post(Command::Likelihood { run: RUN, config: config.clone() });
    assert!(matches!(&page.settle()[..], [Event::Failed { failure, .. }] if failure.kind == FailureKind::Untrained));
    page.post(train(&config));
    page.settle();
    page.post(Command::Likelihood { run: RunId(2), config });
    page.until(|e| matches!(e, Event::Report { .. }));
    page.post(Command::Stop);
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RunId(2), stopped: true, .. })), "{events:?}");
    for report in reports(&events) {
        assert!(report.done < report.of);
        assert!(report.rows.iter().all(|row| row.value.is_finite()));
    }
}

#[test]
fn samples_are_inspected_in_every_way_with_their_errors() {
    let mut page = Page::open();
    page.settle();
    let config = RunConfig { dataset: DatasetId::Mixture, denoiser: DenoiserId::Exact, samples: 400, ..tiny() };
    page.post(Command::Sample { run: RUN, config: RunConfig { steps: 40, ..config.clone() } });
    let events = page.settle();
    let points =
        events.iter().rev().find_map(|e| if let Event::Frame { points, .. } = e { Some(points) } else { None });
    let points = points.expect("a frame").clone();
    page.post(Command::Inspect { run: RunId(2), config, points });
    let events = page.settle();
    let last = *reports(&events).last().expect("a report");
    assert_eq!(last.done, last.of);
    for row in &last.rows {
        assert!(scorefield::data::metrics::MEASURES.contains(&row.id.as_str()), "{row:?}");
        assert!(row.value.is_finite() && row.reference.is_finite(), "{row:?}");
        assert!(row.id == "covered" || row.error.is_finite() && row.spread.is_finite(), "{row:?}");
    }
    // Forty steps of the exact denoiser: within six spreads of fresh data, 1500 of which would tell more apart.
    for id in ["kl", "js", "sliced", "energy", "mmd", "frechet", "precision", "recall", "class"] {
        let row = row(last, id);
        let error = row.spread.hypot(row.error);
        assert!((row.value - row.reference).abs() < 6.0 * error + 1e-3, "{row:?}");
    }
}

#[test]
fn a_controlled_run_is_judged_against_the_exact_conditional_distribution() {
    use scorefield::lab::ControlId;
    let mut page = Page::open();
    page.settle();
    let config = RunConfig {
        denoiser: DenoiserId::Exact,
        dataset: DatasetId::EightGaussians,
        samples: 500,
        steps: 60,
        control: ControlId::Observe,
        observe_value: 2.0,
        ..tiny()
    };
    page.post(Command::Sample { run: RUN, config: config.clone() });
    let events = page.settle();
    let all = reports(&events);
    assert_eq!(all.len(), 1);
    let (near, far) = (row(all[0], "conditional"), row(all[0], "unconditional"));
    assert!(near.value < near.reference + 6.0 * near.spread + 0.05 && near.value < 0.5 * far.value, "{near:?} {far:?}");
    assert!(row(all[0], "residual").value < 0.05);
    assert!(!events.iter().any(|e| matches!(e, Event::Quality { .. })), "it is not meant to be like all the data");

    page.post(Command::Sample { run: RunId(2), config: RunConfig { control: ControlId::Class, class: 2, ..config } });
    let events = page.settle();
    assert!(row(reports(&events)[0], "within").value > 0.99);
}
