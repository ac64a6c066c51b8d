//! Studies through the worker's port: reported while they go on, held, stepped and stopped.

use crate::page::Page;
use scorefield::lab::RunConfig;
use scorefield::protocol::{Command, Event, FailureKind, RunId};
use scorefield::share::from_fragment;

const RUN: RunId = RunId(1);

fn study(link: &str) -> Command {
    let (link, rejected) = from_fragment(link);
    assert_eq!(rejected, []);
    Command::Study { run: RUN, config: link.config }
}

fn last_step(events: &[Event]) -> Option<u32> {
    events.iter().rev().find_map(|e| if let Event::Study { update, .. } = e { Some(update.step) } else { None })
}

#[test]
fn a_study_can_be_held_stepped_resumed_and_stopped() {
    let mut page = Page::open();
    page.post(study("#experiment=langevin-weights&chains=500&langevin-steps=5000"));
    page.until(|e| matches!(e, Event::Study { update, .. } if update.step > 5 && !update.layers.is_empty()));
    page.post(Command::Pause);
    let events = page.settle();
    assert!(events.contains(&Event::Paused { run: RUN }), "{events:?}");
    let held = last_step(&events).expect("what was done is reported when it is held");
    assert!(page.settle().is_empty(), "a held study does nothing");
    // The three kinds of chains take their turns one by one, so a step of the picture is at most three turns.
    for _ in 0..3 {
        page.post(Command::Step);
    }
    let stepped = last_step(&page.settle()).expect("a report");
    assert!((held + 1..=held + 3).contains(&stepped), "{held} and then {stepped}");
    page.post(Command::Resume);
    page.until(|e| matches!(e, Event::Study { update, .. } if update.step > stepped + 3));
    page.post(Command::Stop);
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: true, .. })), "{events:?}");
    assert!(page.settle().is_empty());
}

#[test]
fn another_run_ends_a_study_and_a_study_of_a_network_is_no_different() {
    let mut page = Page::open();
    page.post(study("#experiment=low-density&fit-steps=20000&fit-width=8&fit-batch=16"));
    page.until(|e| matches!(e, Event::Study { update, .. } if update.step > 3));
    let (link, _) = from_fragment("#experiment=gaussian-1d");
    page.post(Command::Study { run: RunId(2), config: link.config });
    let events = page.until(|e| matches!(e, Event::Done { run: RunId(2), .. }));
    assert!(events.iter().any(|e| matches!(e, Event::Done { run: RUN, stopped: true, .. })));
    assert!(matches!(events.last(), Some(Event::Done { run: RunId(2), stopped: false, .. })));
}

#[test]
fn a_study_waits_for_its_file_and_a_stop_ends_the_waiting() {
    const FILE: &str = "data/digits.bin";
    const LINK: &str = "#experiment=ncsn-digits&fit-steps=10&fit-width=8&level-steps=1&chains=100";
    let mut page = Page::open();
    page.settle();
    // There is none.
    page.post(study(LINK));
    let events = page.settle();
    let unreachable = |e: &Event| {
        matches!(e, Event::Failed { run: Some(RUN), failure } if failure.kind == FailureKind::Unreachable
            && failure.detail.contains(FILE))
    };
    assert!(events.iter().any(unreachable), "{events:?}");
    // It is something else.
    page.files().there.borrow_mut().insert(FILE.to_owned(), b"<!DOCTYPE html>".to_vec());
    page.post(study(LINK));
    let events = page.settle();
    let bad = |e: &Event| matches!(e, Event::Failed { failure, .. } if failure.kind == FailureKind::BadFile);
    assert!(events.iter().any(bad), "{events:?}");
    // It stalls.
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/web/data/digits.bin")).expect("the page's file");
    page.files().there.borrow_mut().insert(FILE.to_owned(), file);
    *page.files().stalls_after.borrow_mut() = Some(0);
    page.post(study(LINK));
    page.settle();
    page.post(Command::Stop);
    let events = page.settle();
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: true, .. })), "{events:?}");
    // It comes.
    *page.files().stalls_after.borrow_mut() = None;
    page.post(study(LINK));
    let events = page.until(|e| matches!(e, Event::Done { .. } | Event::Failed { .. }));
    assert!(matches!(events.last(), Some(Event::Done { run: RUN, stopped: false, .. })), "{:?}", events.last());
}

#[test]
fn what_is_no_study_is_a_bad_configuration() {
    let mut page = Page::open();
    page.settle();
    page.post(Command::Study { run: RUN, config: RunConfig::default() });
    let events = page.settle();
    assert!(
        matches!(&events[..], [Event::Failed { run: Some(RUN), failure }] if failure.kind == FailureKind::BadConfig),
        "{events:?}"
    );
}
