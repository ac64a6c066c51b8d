//! Faults of the session that random visits found, a visit each.

use scorefield::lab::{DenoiserId, DeviceChoice, DeviceInfo, ExperimentId, RunConfig};
use scorefield::protocol::{Bytes, Command, Event, Failure, FailureKind, ImageCommand, RunId};
use scorefield::session::{Action, Phase, Session, Slot, Status};

fn plane() -> RunConfig {
    RunConfig::default()
}

fn images() -> RunConfig {
    RunConfig::of_images()
}

fn ready(session: &mut Session, slot: Slot) {
    let device = DeviceInfo { gpu: slot == Slot::Gpu, name: "test".to_owned(), software: false };
    session.receive(slot, &Event::Ready { device });
}

fn failed(kind: FailureKind, run: Option<RunId>) -> Event {
    Event::Failed { run, failure: Failure { kind, detail: String::new() } }
}

fn done(run: RunId, stopped: bool) -> Event {
    Event::Done { run, began: true, stopped, millis: 1.0 }
}

fn checkpoint(run: RunId, step: u32) -> Event {
    Event::Checkpoint { run, step, file: Bytes(vec![step as u8]) }
}

/// A page with the processor's worker and, if so, a GPU, with nothing left to do.
fn page(choice: DeviceChoice, gpu: bool) -> Session {
    let mut session = Session::new(DeviceChoice::Auto, ExperimentId::Plane);
    ready(&mut session, Slot::Cpu);
    if gpu {
        session.adapter(true);
        ready(&mut session, Slot::Gpu);
    } else {
        session.adapter(false);
    }
    session.choose_device(choice);
    drop(session.take_actions());
    session
}

fn posts(session: &mut Session) -> Vec<(Slot, Command)> {
    let post = |action| if let Action::Post(slot, command) = action { Some((slot, command)) } else { None };
    session.take_actions().into_iter().filter_map(post).collect()
}

/// The name of the training that was posted.
fn train(session: &mut Session) -> RunId {
    session.train(&plane(), false);
    let posted = posts(session);
    let Some((_, Command::Train { run, .. })) = posted.last() else { panic!("{posted:?}") };
    *run
}

/// The name of the question for the weights among these.
fn asked(posted: &[(Slot, Command)], at: Slot) -> Option<RunId> {
    posted.iter().find_map(|(slot, command)| match command {
        Command::Save { run } if *slot == at => Some(*run),
        _ => None,
    })
}

fn loads(posted: &[(Slot, Command)]) -> Vec<(Slot, RunId)> {
    let load = |(slot, command): &(Slot, Command)| match command {
        Command::Load { run, .. } | Command::Images(ImageCommand::Load { run, .. }) => Some((*slot, *run)),
        _ => None,
    };
    posted.iter().filter_map(load).collect()
}

/// The files of weights for the plane that are brought to a worker.
fn files(posted: &[(Slot, Command)], at: Slot) -> Vec<&[u8]> {
    let mut files = Vec::new();
    for (slot, command) in posted {
        if let Command::Load { file, .. } = command
            && *slot == at
        {
            files.push(file.0.as_slice());
        }
    }
    files
}

#[test]
fn a_run_beside_which_something_fails_goes_on_and_can_be_stopped() {
    let mut session = page(DeviceChoice::Cpu, false);
    let run = train(&mut session);
    session.receive(Slot::Cpu, &failed(FailureKind::Untrained, None));
    assert!(session.failure().is_some());
    assert_eq!(session.status(), Status::Running);
    session.stop();
    assert_eq!(posts(&mut session), [(Slot::Cpu, Command::Stop)]);
    session.receive(Slot::Cpu, &done(run, true));
    assert_eq!(session.status(), Status::Failed);
}

#[test]
fn another_link_ends_a_run_beside_which_something_failed() {
    let mut session = page(DeviceChoice::Cpu, false);
    train(&mut session);
    session.receive(Slot::Cpu, &failed(FailureKind::Untrained, None));
    session.start_afresh();
    assert_eq!(posts(&mut session), [(Slot::Cpu, Command::Stop)]);
    assert_eq!(session.status(), Status::Idle);
}

#[test]
fn what_a_training_made_that_another_link_ended_is_kept() {
    let mut session = page(DeviceChoice::Cpu, false);
    let run = train(&mut session);
    session.start_afresh();
    assert!(session.has_unsaved_work());
    session.receive(Slot::Cpu, &done(run, true));
    let save = asked(&posts(&mut session), Slot::Cpu).expect("a question for the weights");
    session.receive(Slot::Cpu, &Event::Weights { run: save, step: 5, file: Bytes(vec![5]) });
    assert_eq!(session.checkpoint().map(|kept| kept.step), Some(5));
    assert!(!session.has_unsaved_work());
}

#[test]
fn what_a_training_made_that_a_sampling_ended_is_kept_and_brought_along() {
    let mut session = page(DeviceChoice::Cpu, true);
    let run = train(&mut session);
    session.receive(Slot::Cpu, &checkpoint(run, 3));
    session.choose_device(DeviceChoice::Gpu);
    session.sample(&plane());
    let posted = posts(&mut session);
    let save = asked(&posted, Slot::Cpu).expect("a question for the weights");
    assert!(posted.contains(&(Slot::Cpu, Command::Stop)));
    session.receive(Slot::Cpu, &Event::Weights { run: save, step: 8, file: Bytes(vec![8]) });
    // The GPU has those of step 3.
    session.sample(&plane());
    assert!(matches!(&posts(&mut session)[..], [(Slot::Gpu, Command::Load { file, .. }), _] if file.0 == [8]));
}

#[test]
fn late_weights_of_an_earlier_training_do_not_pass_for_those_of_the_next() {
    let mut session = page(DeviceChoice::Cpu, true);
    let first = train(&mut session);
    session.receive(Slot::Cpu, &done(first, false));
    let save = asked(&posts(&mut session), Slot::Cpu).expect("a question for the weights");
    session.choose_device(DeviceChoice::Gpu);
    train(&mut session);
    session.receive(Slot::Cpu, &Event::Weights { run: save, step: 9, file: Bytes(vec![9]) });
    assert!(session.has_unsaved_work(), "of the training that goes on nothing is kept");
    session.crashed(Slot::Gpu, "it died");
    drop(session.take_actions());
    session.restart(&plane());
    ready(&mut session, Slot::Gpu);
    assert!(matches!(&posts(&mut session)[..], [(Slot::Gpu, Command::Train { .. })]));
}

#[test]
fn a_checkpoint_of_a_training_does_not_replace_a_file_that_was_given_later() {
    let mut session = page(DeviceChoice::Cpu, true);
    let run = train(&mut session);
    session.choose_device(DeviceChoice::Gpu);
    session.import(Bytes(vec![77]));
    let posted = posts(&mut session);
    assert!(posted.contains(&(Slot::Cpu, Command::Stop)), "the training would go on unseen");
    let [(Slot::Gpu, load)] = loads(&posted)[..] else { panic!("{posted:?}") };
    session.receive(Slot::Gpu, &Event::Loaded { run: load, config: plane(), step: 1 });
    session.receive(Slot::Cpu, &checkpoint(run, 50));
    assert_eq!(session.checkpoint().map(|kept| kept.file.clone()), Some(Bytes(vec![77])));
}

#[test]
fn of_two_files_the_first_stays_when_the_second_is_damaged() {
    let mut session = page(DeviceChoice::Cpu, false);
    session.import(Bytes(vec![1]));
    session.import(Bytes(vec![2]));
    let posted = posts(&mut session);
    let [(_, first), (_, second)] = loads(&posted)[..] else { panic!("{posted:?}") };
    session.receive(Slot::Cpu, &Event::Loaded { run: first, config: plane(), step: 4 });
    session.receive(Slot::Cpu, &failed(FailureKind::BadFile, Some(second)));
    assert_eq!(session.checkpoint().map(|kept| kept.file.clone()), Some(Bytes(vec![1])));
    session.sample(&plane());
    assert_eq!(loads(&posts(&mut session)), [], "the worker holds it");
}

#[test]
fn kept_weights_that_a_worker_cannot_read_are_told_of() {
    let mut session = page(DeviceChoice::Cpu, false);
    session.restore(Bytes(vec![0; 3]), 5);
    session.sample(&plane());
    let posted = posts(&mut session);
    let [(_, load)] = loads(&posted)[..] else { panic!("{posted:?}") };
    assert!(session.receive(Slot::Cpu, &failed(FailureKind::BadFile, Some(load))));
    assert_eq!(session.failure().map(|failure| failure.kind), Some(FailureKind::BadFile));
}

#[test]
fn a_training_that_could_not_begin_leaves_the_weights_that_were_there() {
    let mut session = page(DeviceChoice::Cpu, true);
    session.restore(Bytes(vec![1]), 5);
    let run = train(&mut session);
    session.receive(Slot::Cpu, &failed(FailureKind::BadConfig, Some(run)));
    assert_eq!(asked(&posts(&mut session), Slot::Cpu), None);
    session.sample(&plane());
    assert_eq!(loads(&posts(&mut session)).len(), 1, "the worker has none yet");
}

#[test]
fn a_worker_of_an_earlier_run_may_die_without_the_page_waiting_for_it() {
    let mut session = page(DeviceChoice::Gpu, true);
    let run = train(&mut session);
    session.receive(Slot::Gpu, &done(run, false));
    let save = asked(&posts(&mut session), Slot::Gpu).expect("a question for the weights");
    session.receive(Slot::Gpu, &Event::Weights { run: save, step: 9, file: Bytes(vec![9]) });
    session.choose_device(DeviceChoice::Cpu);
    session.crashed(Slot::Gpu, "it died");
    assert_eq!((session.failure(), session.phase(Slot::Gpu)), (None, Phase::Dead));
    assert_ne!(session.status(), Status::Loading, "nobody loads anything");
}

#[test]
fn a_failure_that_was_put_aside_leaves_no_page_that_waits() {
    let mut session = page(DeviceChoice::Cpu, false);
    session.crashed(Slot::Cpu, "it died");
    session.dismiss();
    assert_eq!(session.status(), Status::Failed);
    drop(session.take_actions());
    // A file brings the worker back.
    session.import(Bytes(vec![1]));
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Cpu)]);
    ready(&mut session, Slot::Cpu);
    assert_eq!(loads(&posts(&mut session)).len(), 1);
}

#[test]
fn a_gpu_lost_at_work_is_told_of_though_the_choice_is_free() {
    let mut session = page(DeviceChoice::Auto, true);
    session.sample(&images());
    let posted = posts(&mut session);
    assert!(matches!(posted.last(), Some((Slot::Gpu, Command::Sample { .. }))), "{posted:?}");
    session.receive(Slot::Gpu, &failed(FailureKind::DeviceLost, None));
    assert_eq!(session.status(), Status::Failed);
    assert_eq!(session.failure().map(|failure| failure.kind), Some(FailureKind::DeviceLost));
}

#[test]
fn a_run_that_waited_for_an_adapter_fails_without_one() {
    let mut session = Session::new(DeviceChoice::Gpu, ExperimentId::Plane);
    session.train(&plane(), false);
    session.choose_device(DeviceChoice::Cpu);
    session.adapter(false);
    assert_eq!(session.failure().map(|failure| failure.kind), Some(FailureKind::NoDevice));
    assert!(!session.is_busy() && !session.has_unsaved_work());
    ready(&mut session, Slot::Cpu);
    session.dismiss();
    assert_ne!(session.status(), Status::Loading);
}

#[test]
fn a_training_that_is_refused_makes_no_weights() {
    let mut session = Session::new(DeviceChoice::Gpu, ExperimentId::Plane);
    session.adapter(false);
    session.train(&plane(), false);
    assert!(!session.has_weights());
}

#[test]
fn what_waits_for_a_worker_does_not_grow() {
    let mut session = Session::new(DeviceChoice::Cpu, ExperimentId::Plane);
    for _ in 0..100 {
        session.train(&plane(), true);
        session.sample(&RunConfig { denoiser: DenoiserId::Exact, ..plane() });
        session.pause();
        session.field(&plane(), 0.5, 8);
        session.import(Bytes(vec![1]));
        session.load_images(&images());
        session.show_experiment(ExperimentId::Plane);
    }
    drop(session.take_actions());
    ready(&mut session, Slot::Cpu);
    let posted = posts(&mut session);
    assert!(posted.len() <= 4, "{posted:?}");
}

#[test]
fn a_stop_before_the_worker_is_there_leaves_a_measurement_and_a_file_in_place() {
    let mut session = Session::new(DeviceChoice::Cpu, ExperimentId::Plane);
    session.import(Bytes(vec![1]));
    session.train(&plane(), false);
    session.compare(&plane());
    session.stop();
    drop(session.take_actions());
    ready(&mut session, Slot::Cpu);
    let posted = posts(&mut session);
    assert!(matches!(&posted[..], [(_, Command::Load { .. }), (_, Command::Benchmark { .. })]), "{posted:?}");
}

#[test]
fn a_measurement_that_a_file_of_weights_ends_is_taken_again() {
    let mut session = page(DeviceChoice::Cpu, false);
    session.compare(&plane());
    session.import(Bytes(vec![1]));
    assert!(!session.is_comparing());
}

#[test]
fn a_load_of_images_that_another_device_s_run_ended_is_not_taken_for_done() {
    let mut session = page(DeviceChoice::Cpu, true);
    session.sample(&images());
    let posted = posts(&mut session);
    let [(Slot::Cpu, load)] = loads(&posted)[..] else { panic!("{posted:?}") };
    session.choose_device(DeviceChoice::Gpu);
    session.sample(&images());
    let posted = posts(&mut session);
    assert!(posted.contains(&(Slot::Cpu, Command::Stop)));
    session.receive(Slot::Cpu, &done(load, true));
    session.choose_device(DeviceChoice::Cpu);
    session.sample(&images());
    assert!(loads(&posts(&mut session)).iter().any(|(slot, _)| *slot == Slot::Cpu), "it holds none");
}

#[test]
fn an_export_needs_no_worker_when_the_page_has_the_weights() {
    let mut session = page(DeviceChoice::Cpu, false);
    let run = train(&mut session);
    session.receive(Slot::Cpu, &checkpoint(run, 6));
    session.crashed(Slot::Cpu, "it died");
    drop(session.take_actions());
    session.export();
    assert_eq!(session.take_actions(), [Action::Deliver(Bytes(vec![6]))]);
}

#[test]
fn an_export_that_dies_with_its_worker_gives_what_is_kept() {
    let mut session = page(DeviceChoice::Cpu, false);
    let run = train(&mut session);
    session.receive(Slot::Cpu, &checkpoint(run, 6));
    session.export();
    assert!(asked(&posts(&mut session), Slot::Cpu).is_some(), "the training is further");
    session.crashed(Slot::Cpu, "it died");
    assert!(session.take_actions().contains(&Action::Deliver(Bytes(vec![6]))));
}

#[test]
fn a_file_that_is_lost_with_a_worker_not_in_use_is_told_of() {
    let mut session = page(DeviceChoice::Gpu, true);
    session.import(Bytes(vec![1]));
    session.choose_device(DeviceChoice::Cpu);
    session.crashed(Slot::Gpu, "it died");
    assert!(session.failure().is_some());
}

#[test]
fn a_field_does_not_end_a_run_that_is_held() {
    let mut session = page(DeviceChoice::Gpu, true);
    let run = train(&mut session);
    session.receive(Slot::Gpu, &checkpoint(run, 6));
    session.receive(Slot::Gpu, &done(run, false));
    session.choose_device(DeviceChoice::Cpu);
    session.sample(&RunConfig { denoiser: DenoiserId::Exact, ..plane() });
    let posted = posts(&mut session);
    let Some((_, Command::Sample { run, .. })) = posted.last() else { panic!("{posted:?}") };
    session.receive(Slot::Cpu, &Event::Paused { run: *run });
    session.field(&plane(), 0.5, 8);
    assert_eq!(posts(&mut session), []);
}

#[test]
fn a_damaged_file_that_waits_for_a_worker_leaves_it_the_newest_weights_though_they_came_after_the_file() {
    let mut session = Session::new(DeviceChoice::Cpu, ExperimentId::Plane);
    ready(&mut session, Slot::Cpu);
    session.adapter(true);
    drop(session.take_actions());
    train(&mut session);
    session.choose_device(DeviceChoice::Gpu);
    session.sample(&plane());
    let asked = asked(&posts(&mut session), Slot::Cpu).expect("what the training made is asked for");
    session.import(Bytes(b"damaged".to_vec()));
    session.receive(Slot::Cpu, &Event::Weights { run: asked, step: 5, file: Bytes(b"trained".to_vec()) });
    session.sample(&plane());
    drop(session.take_actions());
    session.receive(
        Slot::Gpu,
        &Event::Ready { device: DeviceInfo { gpu: true, name: "test".to_owned(), software: false } },
    );
    assert_eq!(files(&posts(&mut session), Slot::Gpu), [b"trained", b"damaged"]);
}

/// A page whose GPU has trained, and whose processor trains now and is given a damaged file: the name of that training, and
/// that of the question for the weights on the GPU.
fn given_a_file_while_it_trains() -> (Session, RunId, RunId) {
    let mut session = page(DeviceChoice::Gpu, true);
    train(&mut session);
    session.choose_device(DeviceChoice::Cpu);
    session.train(&plane(), false);
    let posted = posts(&mut session);
    let asked = asked(&posted, Slot::Gpu).expect("what the GPU's training made is asked for");
    let Some((Slot::Cpu, Command::Train { run, .. })) = posted.last() else { panic!("{posted:?}") };
    session.import(Bytes(b"damaged".to_vec()));
    assert_eq!(files(&posts(&mut session), Slot::Cpu), [b"damaged"]);
    (session, *run, asked)
}

#[test]
fn a_damaged_file_after_a_training_that_never_begins_leaves_the_newest_weights_though_they_came_after_both() {
    let (mut session, run, asked) = given_a_file_while_it_trains();
    session.receive(Slot::Gpu, &Event::Weights { run: asked, step: 5, file: Bytes(b"trained".to_vec()) });
    session.sample(&plane());
    let posted = posts(&mut session);
    assert_eq!(files(&posted, Slot::Cpu), [b"trained", b"damaged".as_slice()], "both may come to nothing");
    assert!(matches!(posted.last(), Some((Slot::Cpu, Command::Sample { .. }))), "{posted:?}");
    session.sample(&plane());
    assert!(matches!(&posts(&mut session)[..], [(Slot::Cpu, Command::Sample { .. })]), "both are on their way");
    session.receive(Slot::Cpu, &failed(FailureKind::BadConfig, Some(run)));
    assert_eq!(session.checkpoint().map(|kept| kept.step), Some(5));
}

#[test]
fn a_training_that_has_begun_before_a_damaged_file_leaves_newer_weights() {
    let (mut session, run, asked) = given_a_file_while_it_trains();
    session.receive(Slot::Gpu, &Event::Weights { run: asked, step: 5, file: Bytes(b"trained".to_vec()) });
    session.receive(Slot::Cpu, &checkpoint(run, 1));
    session.sample(&plane());
    assert_eq!(files(&posts(&mut session), Slot::Cpu), [] as [&[u8]; 0]);
}

#[test]
fn two_workers_that_die_in_the_same_way_are_told_of_twice() {
    let mut session = page(DeviceChoice::Gpu, true);
    train(&mut session);
    session.choose_device(DeviceChoice::Cpu);
    train(&mut session);
    session.crashed(Slot::Gpu, "it died");
    let first = session.failure().cloned();
    assert!(first.is_some(), "nobody else has what it trained");
    drop(session.take_actions());
    session.export();
    assert!(asked(&posts(&mut session), Slot::Cpu).is_some());
    session.crashed(Slot::Cpu, "it died");
    assert!(session.failure().is_some() && session.failure() != first.as_ref(), "the export is not answered");
}

#[test]
fn what_one_worker_said_is_not_taken_for_the_last_words_of_another() {
    for (slot, kind) in [(Slot::Cpu, FailureKind::OutOfMemory), (Slot::Gpu, FailureKind::Internal)] {
        let mut session = page(DeviceChoice::Cpu, true);
        session.receive(slot, &failed(FailureKind::OutOfMemory, None));
        session.crashed(Slot::Cpu, "it died");
        assert_eq!(session.failure().map(|failure| failure.kind), Some(kind));
    }
}

#[test]
fn whether_a_run_that_was_ended_had_begun_is_not_for_the_clock_to_say() {
    for began in [true, false] {
        let mut session = page(DeviceChoice::Cpu, false);
        let run = train(&mut session);
        session.receive(Slot::Cpu, &Event::Done { run, began, stopped: true, millis: 0.0 });
        assert_eq!(session.has_weights(), began);
    }
}
