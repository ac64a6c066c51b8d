//! Images evaluated by several workers: the same bits as by one, whatever becomes of the others, and no run is lost.

use crate::page;
use crate::set;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::page::{Habit, Page, Queues, Staff};
use crate::unet_weights::network;
use burn::tensor::Device;
use scorefield::diffusion::{Convention, now};
use scorefield::engine::Port as _;
use scorefield::engine::images::pool::room;
use scorefield::engine::images::{EvaluationBatch, ImageModel, ProgressListener, WorkerPool, sample};
use scorefield::engine::inbox::Inbox;
use scorefield::lab::{ClassChoice, DeviceChoice, MethodId, RunConfig, SolverId, SpacingId, TaskId};
use scorefield::lab::{PIXELS, Picture, SIDE};
use scorefield::nn::checkpoint::Precision;
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::{Cost, UNetConfig};
use scorefield::protocol::images::{ImageBenchmark, ImageCommand, ImageEvent, ImageFrame, WeightsSource};
use scorefield::protocol::{Command, Event, FailureKind, Floats, PoolRequest, RunId};

const LOAD: RunId = RunId(1);
const RUN: RunId = RunId(2);

// --- The numbers themselves ------------------------------------------------------------------------------------------

/// A run that others evaluate for.
struct Shared<'a, 'p> {
    inbox: &'a mut Inbox<'p, Queues>,
    pool: &'a mut WorkerPool,
    /// Most workers at a time.
    workers: usize,
}

impl ProgressListener for Shared<'_, '_> {
    async fn go_on(&mut self, _: u64) -> bool {
        // As a browser would, it lets the others say that they are there.
        self.inbox.port.yield_now().await;
        true
    }
    fn smaller_batch(&mut self, _: usize) {}
    fn now_ms(&self) -> f64 {
        0.0
    }
    fn has_others(&mut self, model: &ImageModel, evaluations: usize) -> bool {
        self.pool.spawn(evaluations, model, self.inbox.port);
        self.pool.is_there()
    }
    async fn elsewhere(&mut self, model: &ImageModel, asks: &EvaluationBatch, _: u64) -> Option<Vec<Option<Vec<f32>>>> {
        let most = &mut self.workers;
        self.pool.evaluate(model, asks, self.inbox, &mut |_, _, workers| *most = workers.max(*most)).await
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).expect("this build has the CPU device")
}

fn model(config: &UNetConfig, side: usize, compute: &ComputeDevice) -> ImageModel {
    ImageModel::new(network(config, &compute.device), Convention::ddpm(), side)
}

fn config() -> RunConfig {
    RunConfig { images: 5, steps: 4, seed: 5, ..RunConfig::of_images() }
}

fn alone(config: &RunConfig, model: &ImageModel, compute: &ComputeDevice) -> Vec<f32> {
    now(now(sample(config, model, compute, &mut ())).unwrap().expect("nobody ends it").values()).unwrap()
}

/// The images, the most workers that there were at a time, and what became of them.
fn together(config: &RunConfig, model: &ImageModel, cores: usize, habits: &[Habit]) -> (Vec<f32>, usize, Staff) {
    let mut queues = Queues::new();
    let staff = queues.staff.clone();
    staff.cores.set(cores);
    staff.late.set(habits.iter().any(|habit| matches!(habit, Habit::FallsSilent(_))));
    staff.habits.borrow_mut().extend(habits);
    let (mut pool, compute) = (WorkerPool::default(), cpu());
    let mut inbox = Inbox::new(&mut queues);
    let mut progress = Shared { inbox: &mut inbox, pool: &mut pool, workers: 0 };
    let pictures = run(sample(config, model, &compute, &mut progress)).unwrap().expect("nobody ends it");
    (now(pictures.values()).unwrap(), progress.workers, staff)
}

#[test]
fn several_workers_make_the_same_bits_as_one() {
    let compute = cpu();
    let networks = [
        set::tiny(),
        UNetConfig { classes: 0, learned_variance: true, ..set::tiny() },
        UNetConfig { layers: 2, heads: 2, attention_levels: vec![0, 1], ..set::tiny() },
    ];
    for network in networks {
        let model = model(&network, 8, &compute);
        for solver in [SolverId::Heun, SolverId::Ddpm, SolverId::DpmPp2m] {
            let config = RunConfig { solver, ..config() };
            let one = alone(&config, &model, &compute);
            for cores in [1, 2, 5] {
                let (found, workers, staff) = together(&config, &model, cores, &[]);
                assert_eq!(found, one, "{solver:?}, {cores}");
                assert_eq!(workers, if cores == 1 { 0 } else { cores });
                assert_eq!(staff.dismissed.get(), workers, "they are gone with whoever hired them");
            }
        }
    }
}

#[test]
fn a_network_that_always_wants_a_class_is_asked_of_one_by_everybody() {
    let compute = cpu();
    let mut network = set::tiny();
    network.set_without_class(false);
    let model = model(&network, 8, &compute);
    let config = RunConfig { image_class: ClassChoice::Each, ..config() };
    let (found, workers, _) = together(&config, &model, 5, &[]);
    assert_eq!((found, workers), (alone(&config, &model, &compute), 5));
}

#[test]
fn with_guidance_each_half_of_a_pair_goes_to_whoever_is_free_and_the_bits_stay() {
    let compute = cpu();
    let model = model(&set::tiny(), 8, &compute);
    for (image_class, guidance) in [("each", 1.5), ("cat", 1.0), ("cat", 0.0), ("any", 3.0), ("dog", 4.0)] {
        for images in [1, 3] {
            let class = ClassChoice::from_text(image_class);
            let config = RunConfig { images, image_class: class, guidance, ..config() };
            let (found, workers, _) = together(&config, &model, 8, &[]);
            assert_eq!(found, alone(&config, &model, &compute), "{image_class:?} {guidance} {images}");
            let pairs = image_class != "any" && guidance != 0.0 && guidance != 1.0;
            let evaluations = images as usize * if pairs { 2 } else { 1 };
            assert_eq!(workers, if evaluations == 1 { 0 } else { evaluations });
        }
    }
}

#[test]
fn inpainting_and_colouring_are_what_they_are_with_one_worker() {
    let compute = cpu();
    let network = UNetConfig { channels: 8, multipliers: vec![1], attention_levels: vec![], ..set::tiny() };
    let model = model(&network, SIDE, &compute);
    let colours: Vec<u8> = (0..3 * PIXELS).map(|i| (i * 7 % 256) as u8).collect();
    let known: Vec<bool> = (0..PIXELS).map(|i| i % SIDE < SIDE / 2).collect();
    let picture = Picture::new(colours, known).expect("of the right size");
    for task in [TaskId::Inpaint, TaskId::Colourise] {
        for &method in MethodId::ALL {
            let picture = picture.clone();
            let config = RunConfig { task, method, picture, images: 3, steps: 3, jump: 1, resamples: 2, ..config() };
            let (found, workers, _) = together(&config, &model, 3, &[]);
            assert_eq!((found, workers), (alone(&config, &model, &compute), 3), "{task:?} {method:?}");
        }
    }
}

#[test]
fn whoever_dies_falls_silent_or_makes_no_sense_is_let_go_and_the_bits_stay() {
    let compute = cpu();
    let model = model(&set::tiny(), 8, &compute);
    let config = config();
    let one = alone(&config, &model, &compute);
    for habit in [Habit::Dies, Habit::FallsSilent, Habit::Rambles, Habit::Deaf] {
        for after in [0, 1, 3] {
            // One of three, and all of them.
            for (habits, left) in [(vec![Habit::Good, habit(after)], 2), (vec![habit(after); 3], 0)] {
                let (found, _, staff) = together(&config, &model, 3, &habits);
                assert_eq!(found, one, "{habits:?}");
                let answers = staff.answers.borrow();
                assert_eq!(answers.len(), 3, "nobody is hired in place of those who fail");
                assert_eq!(answers.iter().filter(|&&answers| answers > after).count(), left, "{habits:?} {answers:?}");
            }
        }
    }
}

#[test]
fn whoever_cannot_be_had_or_does_not_come_is_not_waited_for() {
    let compute = cpu();
    let model = model(&set::tiny(), 8, &compute);
    let config = config();
    let one = alone(&config, &model, &compute);
    for (habits, workers) in [
        (vec![Habit::Absent], 0),
        (vec![Habit::Good, Habit::Good, Habit::Absent], 2),
        (vec![Habit::Asleep; 4], 0),
        (vec![Habit::Asleep, Habit::Good, Habit::Asleep, Habit::Good], 2),
    ] {
        let (found, there, _) = together(&config, &model, 4, &habits);
        assert_eq!((found, there), (one.clone(), workers), "{habits:?}");
    }
}

#[test]
fn memory_bounds_how_many_there_are() {
    // Four images at a time, 4 MB in all.
    let of = |megabytes: u64, memory| room(megabytes << 20, &Cost { bytes: 1 << 20, ..Cost::default() }, memory);
    assert_eq!(of(9, None), 8, "as many as there may ever be");
    // 512 MB hold three networks of 35.7 million parameters.
    let cifar10 = UNetConfig::cifar10().init(0, &Device::flex()).unwrap().cost(32);
    assert_eq!(room(4 * 35_746_307, &cifar10, None), 3);
    assert_eq!(of(600, None), 0);
    // An eighth of a machine of 1 GB.
    assert_eq!(of(9, Some(1 << 30)), 4);
    assert_eq!(of(9, Some(1 << 28)), 1);
    assert_eq!(of(9, Some(8 << 30)), 8);
}

// --- The worker, as the page knows it --------------------------------------------------------------------------------

fn page(cores: usize, habits: &[Habit]) -> Page {
    page_of(&set::tiny(), cores, habits)
}

fn page_of(network: &UNetConfig, cores: usize, habits: &[Habit]) -> Page {
    let mut page = set::page_with(network, Precision::Half);
    page.staff().cores.set(cores);
    page.staff().habits.borrow_mut().extend(habits);
    page.settle();
    load(&mut page);
    page
}

fn load(page: &mut Page) {
    let source = WeightsSource::Set { id: "tiny".into() };
    page.post(Command::Images(ImageCommand::Load { run: LOAD, source }));
    page.until(|e| matches!(e, Event::Images(ImageEvent::Loaded { .. })));
}

fn begin(page: &mut Page, config: &RunConfig) {
    page.post(Command::Sample { run: RUN, config: config.clone() });
}

fn finish(page: &mut Page) -> Vec<Event> {
    page.until(|e| matches!(e, Event::Done { .. } | Event::Failed { .. }))
}

fn sample_on(page: &mut Page, config: &RunConfig) -> Vec<Event> {
    begin(page, config);
    finish(page)
}

fn frames(events: &[Event]) -> Vec<ImageFrame> {
    let frame = |e: &Event| match e {
        Event::Images(ImageEvent::Frame { frame, .. }) => Some(frame.clone()),
        _ => None,
    };
    events.iter().filter_map(frame).collect()
}

fn crews(events: &[Event]) -> Vec<u32> {
    let pool = |e: &Event| match e {
        Event::Images(ImageEvent::Pool { run: RUN, workers }) => Some(*workers),
        _ => None,
    };
    events.iter().filter_map(pool).collect()
}

fn ended(events: &[Event]) -> Option<bool> {
    match events.last() {
        Some(Event::Done { run: RUN, stopped, .. }) => Some(*stopped),
        _ => None,
    }
}

/// Long enough to be stopped in.
fn long() -> RunConfig {
    RunConfig { steps: 1000, images: 8, solver: SolverId::Ddim, spacing: SpacingId::LogSnr, ..config() }
}

#[test]
fn a_run_says_how_many_evaluate_and_the_next_one_finds_them_there() {
    let expected = frames(&sample_on(&mut page(1, &[]), &config()));
    assert_eq!(expected.len(), 5);
    let mut page = page(4, &[]);
    let events = sample_on(&mut page, &config());
    assert_eq!(ended(&events), Some(false));
    assert_eq!(frames(&events), expected);
    assert_eq!(crews(&events).last(), Some(&4), "{events:?}");
    let events = sample_on(&mut page, &config());
    assert_eq!((frames(&events), crews(&events)), (expected.clone(), vec![4]), "at once, and once");
    assert_eq!(page.staff().answers.borrow().len(), 4, "nobody was hired anew");

    // Fewer, and none, if the visitor wants that.
    for (most, workers) in [(2, vec![2]), (1, vec![]), (9, vec![4])] {
        page.post(Command::Images(ImageCommand::Cores { most }));
        let events = sample_on(&mut page, &config());
        assert_eq!(frames(&events), expected);
        assert_eq!(crews(&events).last(), workers.last(), "at most {most}");
    }
    // Who turns to something else has their memory back, and so have other weights.
    assert_eq!(page.staff().dismissed.get(), 4);
    load(&mut page);
    assert_eq!(page.staff().dismissed.get(), 8);
    assert_eq!(frames(&sample_on(&mut page, &config())), expected);
    page.post(Command::Train { run: RUN, config: page::tiny() });
    finish(&mut page);
    assert_eq!(page.staff().dismissed.get(), 12);
}

#[test]
fn one_image_and_a_machine_of_one_core_hire_nobody() {
    for (cores, images) in [(1, 5), (8, 1)] {
        let mut page = page(cores, &[]);
        let events = sample_on(&mut page, &RunConfig { images, ..config() });
        assert_eq!((ended(&events), crews(&events)), (Some(false), vec![]));
        assert!(page.staff().answers.borrow().is_empty());
    }
    let mut page = page(8, &[]);
    page.staff().memory.set(Some(1 << 28));
    assert!(crews(&sample_on(&mut page, &config())).is_empty());
}

#[test]
fn other_weights_are_evaluated_by_workers_that_know_them() {
    let mut page = page(3, &[]);
    let before = frames(&sample_on(&mut page, &config()));
    let other = UNetConfig { layers: 2, ..set::tiny() };
    let files = set::page_with(&other, Precision::Half).files().there.take();
    page.files().there.replace(files);
    load(&mut page);
    let after = sample_on(&mut page, &config());
    assert_eq!(crews(&after).last(), Some(&3));
    let mut alone = set::page_with(&other, Precision::Half);
    load(&mut alone);
    assert_eq!(frames(&after), frames(&sample_on(&mut alone, &config())));
    assert_ne!(frames(&after), before);
}

#[test]
fn a_stop_and_a_pause_are_obeyed_at_once_while_others_evaluate_or_never_answer() {
    let expected = frames(&sample_on(&mut page(1, &[]), &config()));
    for habits in [vec![], vec![Habit::FallsSilent(20), Habit::FallsSilent(30)]] {
        let mut page = page(2, &habits);
        begin(&mut page, &long());
        page.until(|e| matches!(e, Event::Images(ImageEvent::Pool { workers: 2, .. })));
        // How many steps a number of beats is, is for the machine to say: one that is fast would be through with the run.
        let mut events = Vec::new();
        if habits.is_empty() {
            events = page.until(|e| matches!(e, Event::Images(ImageEvent::Frame { frame, .. }) if frame.step > 0));
        } else {
            page.beat(200);
        }
        page.post(Command::Pause);
        events.extend(page.settle());
        assert!(events.contains(&Event::Paused { run: RUN }), "{habits:?}: {:?}", events.last());
        let held = frames(&events).last().expect("a held run shows where it is").step;
        assert!(held < 1000);
        page.post(Command::Resume);
        page.until(|e| matches!(e, Event::Resumed { .. }));
        page.beat(3);
        page.post(Command::Stop);
        let events = page.settle();
        assert_eq!(ended(&events), Some(true), "{habits:?}");
        // Whoever is stuck with the old run is left alone, and the next one does without.
        let events = sample_on(&mut page, &config());
        assert_eq!((ended(&events), frames(&events)), (Some(false), expected.clone()), "{habits:?}");
    }
}

#[test]
fn a_step_of_a_run_that_is_held_is_done_whole() {
    let mut page = page(3, &[]);
    begin(&mut page, &long());
    page.until(|e| matches!(e, Event::Images(ImageEvent::Pool { workers: 3, .. })));
    page.post(Command::Pause);
    let held = frames(&page.settle()).last().expect("a held run shows where it is").step;
    // Two quick presses of the button: the second hold is none.
    for command in [Command::Step, Command::Pause, Command::Step] {
        page.post(command);
    }
    assert_eq!(frames(&page.settle()).last().map(|frame| frame.step), Some(held + 2));
    page.post(Command::Stop);
    assert_eq!(ended(&page.settle()), Some(true));
}

#[test]
fn the_run_goes_on_without_those_who_fail_and_says_so() {
    let expected = frames(&sample_on(&mut page(1, &[]), &config()));
    let mut page = page(3, &[Habit::Dies(2), Habit::Rambles(3)]);
    let events = sample_on(&mut page, &config());
    assert_eq!((ended(&events), frames(&events)), (Some(false), expected));
    assert_eq!(crews(&events).last(), Some(&1), "{:?}", crews(&events));
    assert!(crews(&events).contains(&3));
}

#[test]
fn a_benchmark_times_batches_by_those_who_are_there_too() {
    let timed = |page: &mut Page| -> ImageBenchmark {
        page.post(Command::Images(ImageCommand::Benchmark { run: RUN, batches: vec![1, 4, 16], budget_ms: 5.0 }));
        let events = page.until(|e| matches!(e, Event::Images(ImageEvent::Benchmark { complete: true, .. })));
        match events.last() {
            Some(Event::Images(ImageEvent::Benchmark { benchmark, .. })) => benchmark.clone(),
            other => panic!("{other:?}"),
        }
    };
    let workers = |benchmark: &ImageBenchmark| benchmark.rows.iter().map(|row| row.workers).collect::<Vec<_>>();
    let found = timed(&mut page(6, &[]));
    assert_eq!(workers(&found), [0, 4, 6]);
    for row in &found.rows {
        assert_eq!(row.together_ms > 0.0, row.workers > 0, "{row:?}");
        assert!(row.evaluation_ms > 0.0 && row.evaluations >= 3, "{row:?}");
    }
    assert!(found.to_json().contains("\"together_ms\""));
    assert_eq!(workers(&timed(&mut page(1, &[]))), [0, 0, 0]);
    // A network that always wants a class is timed with one.
    let mut required = set::tiny();
    required.set_without_class(false);
    assert_eq!(workers(&timed(&mut page_of(&required, 6, &[]))), [0, 4, 6]);
    // Those who do not come are waited for only so long.
    let mut sleepy = page(4, &[Habit::Asleep, Habit::Good, Habit::Asleep]);
    sleepy.staff().late.set(true);
    assert_eq!(workers(&timed(&mut sleepy)), [0, 2, 2]);
}

// --- The worker that is hired ----------------------------------------------------------------------------------------

#[test]
fn what_makes_no_sense_is_refused_and_the_worker_goes_on() {
    let mut page = Page::open();
    page.settle();
    let refused = |page: &mut Page, command: PoolRequest| {
        page.post(Command::Pool(command));
        let events = page.settle();
        matches!(&events[..], [Event::Failed { run: None, failure }] if failure.kind == FailureKind::Internal)
    };
    let evaluate = |numbers: usize, side: u32, class| PoolRequest::Evaluate {
        id: 7,
        images: Floats(vec![0.5; numbers]),
        side,
        time: 400.0,
        classes: vec![class],
    };
    let numbers = |count: usize| PoolRequest::Parameter { numbers: Floats(vec![0.1; count]) };
    assert!(refused(&mut page, evaluate(192, 8, None)));
    assert!(refused(&mut page, numbers(3)));
    assert!(refused(&mut page, PoolRequest::Begin { network: "{".into() }));
    assert!(refused(&mut page, PoolRequest::Begin { network: r#"{"channels": 0}"#.into() }));
    let network = set::tiny();
    let lend = || PoolRequest::Begin { network: serde_json::to_string(&network).unwrap() };
    page.post(Command::Pool(lend()));
    assert!(refused(&mut page, numbers(3)), "the first parameter has more");
    page.post(Command::Pool(lend()));
    for parameter in network.init(0, &cpu().device).unwrap().parameters() {
        assert_eq!(page.settle(), []);
        page.post(Command::Pool(numbers(parameter.count())));
    }
    for (count, side, class) in
        [(192, 0, None), (191, 8, None), (384, 8, None), (27, 3, None), (192, 8, Some(10)), (192, u32::MAX, None)]
    {
        assert!(refused(&mut page, evaluate(count, side, class)), "{count} {side} {class:?}");
    }
    page.post(Command::Pool(evaluate(192, 8, Some(9))));
    let events = page.settle();
    let [Event::Evaluated { id: 7, output }] = &events[..] else { panic!("{events:?}") };
    assert!(output.0.len() == 192 && output.0.iter().all(|number| number.is_finite()));
}
