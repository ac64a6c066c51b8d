use super::*;
use crate::protocol::{Event, Floats};

fn ready(gpu: bool) -> Event {
    Event::Ready { device: DeviceInfo { gpu, name: "test".to_owned(), software: false } }
}

fn config() -> RunConfig {
    RunConfig::default()
}

fn study() -> RunConfig {
    RunConfig { experiment: ExperimentId::named("forward").unwrap(), ..config() }
}

/// A session whose CPU worker is ready, with nothing left to do.
fn with_cpu() -> Session {
    let mut session = Session::new(DeviceChoice::Auto, ExperimentId::Plane);
    session.receive(Slot::Cpu, &ready(false));
    let _ = session.take_actions();
    session
}

fn with_both() -> Session {
    let mut session = with_cpu();
    session.adapter(true);
    session.receive(Slot::Gpu, &ready(true));
    let _ = session.take_actions();
    session
}

fn timing(milliseconds: f64) -> Event {
    Event::Benchmark { benchmark: Benchmark { training_step_ms: milliseconds, ..Benchmark::default() } }
}

fn training(run: u32) -> Event {
    Event::Training { run: RunId(run), step: 1, of: 2, losses: Floats(vec![1.0]), rate: 1.0 }
}

fn checkpoint(run: u32, step: u32) -> Event {
    Event::Checkpoint { run: RunId(run), step, file: Bytes(vec![7; 3]) }
}

/// The answer to the last question for the weights among what the session wants done.
fn weights(session: &mut Session, step: u32, file: Vec<u8>) -> Event {
    let asked = |action: Action| if let Action::Post(_, Command::Save { run }) = action { Some(run) } else { None };
    let run = session.take_actions().into_iter().filter_map(asked).next_back().expect("a question for the weights");
    Event::Weights { run, step, file: Bytes(file) }
}

fn done(run: u32, stopped: bool) -> Event {
    Event::Done { run: RunId(run), began: true, stopped, millis: 1.0 }
}

#[test]
fn commands_wait_until_the_worker_is_ready() {
    let mut session = Session::new(DeviceChoice::Auto, ExperimentId::Plane);
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Cpu), Action::Probe]);
    session.train(&config(), false);
    assert_eq!(session.take_actions(), []);
    assert_eq!(session.status(), Status::Loading);
    session.receive(Slot::Cpu, &ready(false));
    let sent = session.take_actions();
    assert!(matches!(sent[..], [Action::Post(Slot::Cpu, Command::Train { run: RunId(1), .. })]), "{sent:?}");
    assert_eq!(session.status(), Status::Running);
}

#[test]
fn stopping_while_the_worker_loads_leaves_nothing_to_run() {
    let mut session = Session::new(DeviceChoice::Cpu, ExperimentId::Plane);
    session.train(&config(), true);
    session.stop();
    let _ = session.take_actions();
    session.receive(Slot::Cpu, &ready(false));
    assert_eq!(session.take_actions(), []);
    assert_eq!(session.status(), Status::Idle);
}

#[test]
fn events_of_an_earlier_run_are_stale() {
    let mut session = with_cpu();
    session.train(&config(), false);
    session.train(&config(), false);
    assert!(!session.receive(Slot::Cpu, &training(1)));
    assert!(!session.receive(Slot::Cpu, &done(1, true)));
    assert_eq!(session.status(), Status::Running);
    assert!(session.receive(Slot::Cpu, &training(2)));
    // The right name from the wrong worker is just as stale.
    assert!(!session.receive(Slot::Gpu, &training(2)));
}

#[test]
fn pause_step_resume_and_stop_follow_the_worker() {
    let mut session = with_cpu();
    session.resume();
    session.pause();
    assert_eq!(session.take_actions(), []);
    session.train(&config(), false);
    let _ = session.take_actions();
    session.pause();
    assert_eq!(session.status(), Status::Running);
    session.receive(Slot::Cpu, &Event::Paused { run: RunId(1) });
    assert_eq!(session.status(), Status::Paused);
    session.step();
    session.resume();
    session.receive(Slot::Cpu, &Event::Resumed { run: RunId(1) });
    session.stop();
    let posts: Vec<_> = [Command::Pause, Command::Step, Command::Resume, Command::Stop]
        .map(|command| Action::Post(Slot::Cpu, command))
        .into();
    assert_eq!(session.take_actions(), posts);
    session.receive(Slot::Cpu, &done(1, true));
    assert_eq!(session.status(), Status::Done);
}

#[test]
fn a_training_can_be_followed_by_sampling_but_not_after_a_stop() {
    for stopped in [false, true] {
        let mut session = with_cpu();
        session.train(&config(), true);
        let _ = session.take_actions();
        session.receive(Slot::Cpu, &done(1, stopped));
        let sampled = session.take_actions().iter().any(|a| matches!(a, Action::Post(_, Command::Sample { .. })));
        assert_eq!(sampled, !stopped);
        assert_eq!(session.status(), if stopped { Status::Done } else { Status::Running });
    }
}

#[test]
fn a_crash_keeps_the_checkpoint_and_a_restart_continues_from_it() {
    let mut session = with_cpu();
    session.train(&config(), false);
    assert!(session.has_unsaved_work());
    session.receive(Slot::Cpu, &checkpoint(1, 500));
    assert!(!session.has_unsaved_work());
    let _ = session.take_actions();
    session.crashed(Slot::Cpu, "it died");
    assert_eq!(session.status(), Status::Failed);
    assert_eq!(session.failure().map(|f| f.kind), Some(FailureKind::Internal));
    assert_eq!(session.checkpoint().map(|c| c.step), Some(500));
    assert_eq!(session.take_actions(), [Action::Terminate(Slot::Cpu)]);

    session.restart(&config());
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Cpu)]);
    assert_eq!(session.status(), Status::Loading);
    session.receive(Slot::Cpu, &ready(false));
    let sent = session.take_actions();
    assert!(matches!(sent[..], [Action::Post(Slot::Cpu, Command::Continue { run: RunId(2), .. })]), "{sent:?}");
}

#[test]
fn a_diverged_training_starts_from_new_weights() {
    let mut session = with_cpu();
    session.train(&config(), false);
    session.receive(Slot::Cpu, &checkpoint(1, 10));
    let failure = Failure { kind: FailureKind::Diverged, detail: String::new() };
    session.receive(Slot::Cpu, &Event::Failed { run: Some(RunId(1)), failure });
    let _ = session.take_actions();
    session.restart(&config());
    assert!(matches!(session.take_actions()[..], [Action::Post(Slot::Cpu, Command::Train { .. })]));
}

#[test]
fn a_forced_gpu_that_is_not_there_is_an_error_until_the_wish_changes() {
    let mut session = Session::new(DeviceChoice::Gpu, ExperimentId::Plane);
    assert_eq!(session.take_actions(), [Action::Probe]);
    session.adapter(false);
    assert_eq!(session.status(), Status::Failed);
    session.train(&config(), false);
    assert_eq!(session.failure().map(|f| f.kind), Some(FailureKind::NoDevice));
    assert_eq!(session.take_actions(), []);
    session.choose_device(DeviceChoice::Auto);
    assert_eq!(session.failure(), None);
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Cpu), Action::Probe]);
}

#[test]
fn another_link_ends_the_run_and_keeps_the_weights() {
    let mut session = with_cpu();
    session.train(&config(), true);
    let _ = session.take_actions();
    session.start_afresh();
    assert_eq!(session.take_actions(), [Action::Post(Slot::Cpu, Command::Stop)]);
    assert_eq!(session.status(), Status::Idle);
    assert!(!session.receive(Slot::Cpu, &done(1, true)));
    assert!(session.has_weights());
}

#[test]
fn a_gpu_that_fails_to_start_is_no_error_when_the_choice_is_free() {
    let mut session = with_cpu();
    session.adapter(true);
    let failure = Failure { kind: FailureKind::NoDevice, detail: String::new() };
    session.receive(Slot::Gpu, &Event::Failed { run: None, failure });
    assert_eq!(session.status(), Status::Idle);
    session.crashed(Slot::Gpu, "gone");
    assert_eq!(session.status(), Status::Idle);
}

#[test]
fn the_measured_faster_device_gets_the_next_run_with_the_weights() {
    let mut session = with_both();
    session.train(&config(), false);
    session.receive(Slot::Cpu, &done(1, false));
    let trained = weights(&mut session, 9, vec![1]);
    session.receive(Slot::Cpu, &trained);
    let _ = session.take_actions();
    assert!(session.wants_comparison());
    session.compare(&config());
    session.receive(Slot::Cpu, &timing(8.0));
    session.receive(Slot::Gpu, &timing(2.0));
    let measured: Vec<Slot> = session
        .take_actions()
        .into_iter()
        .filter_map(|a| match a {
            Action::Post(slot, Command::Benchmark { .. }) => Some(slot),
            _ => None,
        })
        .collect();
    assert_eq!(measured, [Slot::Cpu, Slot::Gpu]);
    assert!(!session.wants_comparison());
    assert_eq!(session.active(), Slot::Gpu);
    session.sample(&config());
    let sent = session.take_actions();
    assert!(
        matches!(
            sent[..],
            [Action::Post(Slot::Gpu, Command::Load { .. }), Action::Post(Slot::Gpu, Command::Sample { .. })]
        ),
        "{sent:?}"
    );
    // A second run needs no second load.
    session.sample(&config());
    assert_eq!(session.take_actions().len(), 1);
}

#[test]
fn an_import_that_fails_is_shown_and_one_that_succeeds_is_held() {
    let mut session = with_cpu();
    session.import(Bytes(vec![0; 4]));
    let _ = session.take_actions();
    let failure = Failure { kind: FailureKind::BadFile, detail: String::new() };
    assert!(session.receive(Slot::Cpu, &Event::Failed { run: Some(RunId(1)), failure }));
    assert_eq!(session.status(), Status::Failed);
    assert!(!session.has_weights());
    assert!(!session.can_recover());
    session.import(Bytes(vec![1; 4]));
    let loaded = Event::Loaded { run: RunId(2), config: config(), step: 42 };
    assert!(session.receive(Slot::Cpu, &loaded));
    assert_eq!(session.status(), Status::Idle);
    assert_eq!(session.checkpoint().map(|c| c.step), Some(42));
    let _ = session.take_actions();
    session.sample(&config());
    assert_eq!(session.take_actions().len(), 1, "the worker holds the weights already");
}

#[test]
fn weights_are_delivered_once_for_each_time_they_are_asked_for() {
    let mut session = with_cpu();
    session.train(&config(), false);
    session.receive(Slot::Cpu, &done(1, false));
    let trained = weights(&mut session, 3, vec![5]);
    session.receive(Slot::Cpu, &trained);
    assert!(!session.take_actions().iter().any(|a| matches!(a, Action::Deliver(_))));
    session.export();
    let asked = weights(&mut session, 3, vec![5]);
    session.receive(Slot::Cpu, &asked);
    session.receive(Slot::Cpu, &asked);
    assert_eq!(session.take_actions(), [Action::Deliver(Bytes(vec![5]))]);
}

#[test]
fn only_the_newest_field_is_shown() {
    let mut session = with_cpu();
    let first = session.field(&config(), 0.5, 8);
    let second = session.field(&config(), 0.4, 8);
    let answer = |request| Event::Field { request, t: 0.5, side: 8, score: Floats(Vec::new()) };
    assert!(!session.receive(Slot::Cpu, &answer(first)));
    assert!(session.receive(Slot::Cpu, &answer(second)));
}

#[test]
fn a_damaged_file_takes_nothing_away() {
    let mut session = with_cpu();
    session.train(&config(), false);
    session.receive(Slot::Cpu, &checkpoint(1, 50));
    session.receive(Slot::Cpu, &done(1, false));
    let _ = session.take_actions();
    session.import(Bytes(vec![0; 4]));
    let sent = session.take_actions();
    let [Action::Post(Slot::Cpu, Command::Load { run, .. })] = sent[..] else { panic!("{sent:?}") };
    let failure = Failure { kind: FailureKind::BadFile, detail: String::new() };
    assert!(session.receive(Slot::Cpu, &Event::Failed { run: Some(run), failure }));
    assert_eq!(session.checkpoint().map(|c| c.step), Some(50));
}

#[test]
fn a_run_puts_a_measurement_off_and_it_is_taken_afterwards() {
    let mut session = with_both();
    session.compare(&config());
    assert!(session.is_comparing());
    session.train(&config(), false);
    assert!(!session.is_comparing());
    assert!(!session.wants_comparison());
    session.receive(Slot::Cpu, &done(1, false));
    assert!(session.wants_comparison());
}

#[test]
fn a_study_is_a_run_like_any_other() {
    let mut session = with_cpu();
    session.show_experiment(study().experiment);
    session.receive(Slot::Study, &ready(false));
    let _ = session.take_actions();
    session.study(&study());
    let sent = session.take_actions();
    assert!(matches!(sent[..], [Action::Post(Slot::Study, Command::Study { run: RunId(1), .. })]), "{sent:?}");
    let update = |run| Event::Study { run: RunId(run), update: crate::protocol::StudyUpdate::default() };
    assert!(session.receive(Slot::Study, &update(1)));
    assert!(!session.has_unsaved_work());
    session.receive(Slot::Study, &done(1, false));
    assert_eq!(session.status(), Status::Done);
    session.restart(&study());
    let sent = session.take_actions();
    assert!(matches!(sent[..], [Action::Post(Slot::Study, Command::Study { run: RunId(2), .. })]), "{sent:?}");
    assert!(!session.receive(Slot::Study, &update(1)), "update of the first run are stale");
    session.start_afresh();
    assert!(!session.receive(Slot::Study, &update(2)), "and so are those of a study that is no longer on the page");
}

#[test]
fn a_lost_device_keeps_the_checkpoint_and_a_restart_brings_the_device_back() {
    let mut session = with_both();
    session.choose_device(DeviceChoice::Gpu);
    session.train(&config(), false);
    session.receive(Slot::Gpu, &checkpoint(1, 70));
    let _ = session.take_actions();
    let failure = Failure { kind: FailureKind::DeviceLost, detail: "unplugged".to_owned() };
    assert!(session.receive(Slot::Gpu, &Event::Failed { run: Some(RunId(1)), failure }));
    assert_eq!(session.status(), Status::Failed);
    assert_eq!(session.failure().map(|f| f.kind), Some(FailureKind::DeviceLost));
    assert!(session.can_recover());
    assert_eq!(session.take_actions(), [Action::Terminate(Slot::Gpu)]);

    session.restart(&config());
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Gpu)], "the device that was wished for, and no other");
    session.receive(Slot::Gpu, &ready(true));
    let sent = session.take_actions();
    let continues = |a: &Action| matches!(a, Action::Post(Slot::Gpu, Command::Continue { checkpoint, .. }) if checkpoint.0 == [7; 3]);
    assert!(sent.len() == 1 && continues(&sent[0]), "{sent:?}");
}

#[test]
fn a_worker_of_another_build_is_ended_and_only_loading_the_page_again_helps() {
    let mut session = with_cpu();
    session.train(&config(), false);
    let _ = session.take_actions();
    let failure = Failure { kind: FailureKind::Outdated, detail: String::new() };
    session.receive(Slot::Cpu, &Event::Failed { run: None, failure });
    assert_eq!(session.status(), Status::Failed);
    assert!(!session.can_recover());
    assert_eq!(session.take_actions(), [Action::Terminate(Slot::Cpu)]);
}

#[test]
fn a_likelihood_brings_the_weights_along_and_its_reports_belong_to_it() {
    use crate::protocol::Report;
    let mut session = with_both();
    session.train(&config(), false);
    session.receive(Slot::Cpu, &done(1, false));
    let trained = weights(&mut session, 9, vec![1]);
    session.receive(Slot::Cpu, &trained);
    session.compare(&config());
    session.receive(Slot::Cpu, &timing(8.0));
    session.receive(Slot::Gpu, &timing(2.0));
    let _ = session.take_actions();
    session.likelihood(&config());
    let sent = session.take_actions();
    assert!(
        matches!(
            sent[..],
            [Action::Post(Slot::Gpu, Command::Load { .. }), Action::Post(Slot::Gpu, Command::Likelihood { .. })]
        ),
        "{sent:?}"
    );
    assert_eq!((session.work(), session.status()), (Some(Work::Likelihood), Status::Running));
    let Action::Post(_, Command::Likelihood { run, .. }) = sent[1] else { panic!("just matched") };
    let report = |run| Event::Report { run, report: Report::default() };
    assert!(session.receive(Slot::Gpu, &report(run)));
    assert!(!session.receive(Slot::Gpu, &report(RunId(run.0 - 1))));
    session.inspect(&config(), Floats(vec![0.0; 4]));
    assert!(matches!(session.take_actions()[..], [Action::Post(Slot::Gpu, Command::Inspect { .. })]));
    // Its end changes no weights, and asks for none.
    session.receive(Slot::Gpu, &done(run.0 + 1, false));
    assert_eq!(session.take_actions(), []);
}

#[test]
fn another_machine_computes_alone_when_it_is_chosen() {
    let mut session = Session::new(DeviceChoice::Remote, ExperimentId::Plane);
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Remote)]);
    session.train(&config(), false);
    assert_eq!(session.status(), Status::Loading);
    session.receive(Slot::Remote, &ready(true));
    assert!(matches!(session.take_actions()[..], [Action::Post(Slot::Remote, Command::Train { .. })]));
    session.receive(Slot::Remote, &checkpoint(1, 10));

    // The connection is lost: what was trained is kept, and goes on when it is back.
    let lost = Failure { kind: FailureKind::Disconnected, detail: String::new() };
    session.receive(Slot::Remote, &Event::Failed { run: None, failure: lost });
    assert_eq!((session.status(), session.is_busy(), session.can_recover()), (Status::Failed, false, true));
    assert_eq!(session.take_actions(), [Action::Terminate(Slot::Remote)]);
    session.restart(&config());
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Remote)]);
    session.receive(Slot::Remote, &ready(true));
    assert!(matches!(session.take_actions()[..], [Action::Post(Slot::Remote, Command::Continue { .. })]));
}

#[test]
fn a_machine_that_is_not_there_is_asked_again_when_it_is_chosen_again() {
    let mut session = Session::new(DeviceChoice::Remote, ExperimentId::Plane);
    let absent = || Event::Failed {
        run: None,
        failure: Failure { kind: FailureKind::NoDevice, detail: "no such machine".to_owned() },
    };
    session.receive(Slot::Remote, &absent());
    assert_eq!(session.status(), Status::Failed);
    let _ = session.take_actions();
    session.choose_device(DeviceChoice::Cpu);
    assert_eq!(session.status(), Status::Loading);
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Cpu)]);
    session.choose_device(DeviceChoice::Remote);
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Remote)]);
}

#[test]
fn every_device_that_is_there_is_measured_one_after_the_other() {
    let mut session = with_both();
    session.choose_device(DeviceChoice::Remote);
    session.receive(Slot::Remote, &ready(false));
    let _ = session.take_actions();
    session.compare(&config());
    for slot in Slot::MODELS {
        let posted = session.take_actions();
        assert!(matches!(posted[..], [Action::Post(to, Command::Benchmark { .. })] if to == slot), "{posted:?}");
        session.receive(slot, &timing(1.0));
    }
    assert!(!session.is_comparing());
    assert!(Slot::MODELS.iter().all(|&slot| session.timings(slot).is_some()));
    // What a run will take follows, of the network that was timed.
    let trained = |steps| RunConfig { training_steps: steps, ..config() };
    let training = |config: &RunConfig| session.estimate(config).map(|seconds| seconds[0]);
    assert_eq!((training(&trained(500)), training(&trained(2000))), (Some(0.5), Some(2.0)));
    assert_eq!(training(&RunConfig { width: 2 * config().width, ..trained(500) }), None);
    assert_eq!(training(&RunConfig { denoiser: DenoiserId::Exact, ..trained(500) }), None);
    let wider = RunConfig { width: 2 * config().width, ..config() };
    assert_eq!(session.untimed(&config()), None);
    assert_eq!(session.untimed(&wider), Some([wider.width, wider.depth, wider.batch]));
    assert_eq!(session.untimed(&RunConfig { denoiser: DenoiserId::Exact, ..wider }), None);
}

#[test]
fn studies_on_the_processor_have_a_worker_of_their_own_which_is_fetched_when_one_is_shown() {
    let mut session = with_cpu();
    session.show_experiment(study().experiment);
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Study)]);
    session.study(&study());
    session.receive(Slot::Study, &ready(false));
    let sent = session.take_actions();
    assert!(matches!(sent[..], [Action::Post(Slot::Study, Command::Study { .. })]), "{sent:?}");
    // Both stay, so that there is nothing to wait for on the way back.
    session.receive(Slot::Study, &done(1, false));
    session.show_experiment(ExperimentId::Plane);
    assert_eq!((session.active(), session.take_actions()), (Slot::Cpu, vec![]));
    session.show_experiment(study().experiment);
    assert_eq!((session.active(), session.take_actions()), (Slot::Study, vec![]));
}

#[test]
fn a_page_that_begins_with_a_study_fetches_the_worker_of_models_only_to_measure_the_processor() {
    let mut session = Session::new(DeviceChoice::Cpu, study().experiment);
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Study)]);
    session.receive(Slot::Study, &ready(false));
    session.compare(&study());
    assert_eq!(session.take_actions(), [Action::Launch(Slot::Cpu)]);
    session.receive(Slot::Cpu, &ready(false));
    let sent = session.take_actions();
    assert!(matches!(sent[..], [Action::Post(Slot::Cpu, Command::Benchmark { .. })]), "{sent:?}");
    session.receive(Slot::Cpu, &timing(1.0));
    assert!(!session.is_comparing() && session.timings(Slot::Cpu).is_some());
}

#[test]
fn on_webgpu_one_worker_does_everything() {
    let mut session = Session::new(DeviceChoice::Gpu, study().experiment);
    session.adapter(true);
    session.receive(Slot::Gpu, &ready(true));
    let _ = session.take_actions();
    session.study(&study());
    let sent = session.take_actions();
    assert!(matches!(sent[..], [Action::Post(Slot::Gpu, Command::Study { .. })]), "{sent:?}");
}
