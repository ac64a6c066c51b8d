//! A worker without arithmetic: what `engine::serve` does with each command, and when, with events that carry names in
//! place of numbers. A file of weights is its [`Lineage`] and its step.

use std::collections::VecDeque;

use scorefield::lab::images::OWN_WEIGHTS;
use scorefield::lab::{DenoiserId, DeviceInfo, ExperimentId, RunConfig};
use scorefield::protocol::images::{ImageBenchmark, ImageFrame, Refusal, SelfTest, WeightsSource, WeightsSummary};
use scorefield::protocol::{
    Benchmark, Bytes, Command, Event, Failure, FailureKind, Floats, ImageCommand, ImageEvent, Report, RunId,
    StudyUpdate,
};
use scorefield::session::Slot;

/// Which training or file weights come from.
pub type Lineage = u32;

/// Weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub lineage: Lineage,
    pub step: u32,
}

/// A file of weights.
pub fn file_of(tag: Tag) -> Bytes {
    Bytes([tag.lineage.to_le_bytes(), tag.step.to_le_bytes()].concat())
}

/// The weights of a file, if it is one.
pub fn tag_of(file: &Bytes) -> Option<Tag> {
    let (lineage, step) = file.0.split_first_chunk::<4>()?;
    let step = <[u8; 4]>::try_from(step).ok()?;
    Some(Tag { lineage: u32::from_le_bytes(*lineage), step: u32::from_le_bytes(step) })
}

/// A run at the worker.
#[derive(Clone, Debug)]
pub struct Job {
    pub run: RunId,
    /// The weights so far, of a training.
    pub training: Option<Tag>,
    pub paused: bool,
    left: u32,
    config: RunConfig,
    work: fn(&Job) -> Event,
}

/// A worker.
#[derive(Clone, Debug)]
pub struct Worker {
    pub slot: Slot,
    /// Whether it has said that it is ready.
    pub begun: bool,
    /// Whether the page has heard so.
    pub heard: bool,
    pub inbox: VecDeque<Command>,
    pub outbox: VecDeque<Event>,
    pub weights: Option<Tag>,
    pub model: Option<String>,
    pub job: Option<Job>,
    pub loading: Option<(RunId, WeightsSource)>,
    /// Its device went away.
    pub lost: bool,
    /// Runs with trained weights that began, and the weights, if there were any.
    pub used: Vec<(RunId, Option<Tag>)>,
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, detail: String::new() }
}

/// As `engine::inbox` has it, which is not there without the engine.
fn ends_a_run(command: &Command) -> bool {
    !matches!(
        command,
        Command::Pause
            | Command::Resume
            | Command::Step
            | Command::Save { .. }
            | Command::Field { .. }
            | Command::Benchmark { .. }
    )
}

fn ends_a_load(command: &Command) -> bool {
    matches!(command, Command::Stop | Command::Images(ImageCommand::Load { .. }))
}

/// The name of the run, load or examination that a command begins.
fn run_of(command: &Command) -> Option<RunId> {
    match command {
        Command::Train { run, .. }
        | Command::Continue { run, .. }
        | Command::Sample { run, .. }
        | Command::Study { run, .. }
        | Command::Likelihood { run, .. }
        | Command::Inspect { run, .. }
        | Command::Load { run, .. } => Some(*run),
        Command::Images(
            ImageCommand::Load { run, .. } | ImageCommand::SelfTest { run } | ImageCommand::Benchmark { run, .. },
        ) => Some(*run),
        _ => None,
    }
}

impl Worker {
    pub fn new(slot: Slot) -> Self {
        Self {
            slot,
            begun: false,
            heard: false,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            weights: None,
            model: None,
            job: None,
            loading: None,
            lost: false,
            used: Vec::new(),
        }
    }

    /// Its program has been fetched.
    pub fn begin(&mut self, software: bool) {
        self.begun = true;
        let device = DeviceInfo { gpu: self.slot == Slot::Gpu, name: "test".to_owned(), software };
        self.outbox.push_back(Event::Ready { device });
    }

    fn say(&mut self, event: Event) {
        self.outbox.push_back(event);
    }

    fn fail(&mut self, run: Option<RunId>, kind: FailureKind) {
        self.say(Event::Failed { run, failure: failure(kind) });
    }

    fn done(&mut self, run: RunId, stopped: bool) {
        self.say(Event::Done { run, began: true, stopped, millis: 1.0 });
    }

    /// Whether there is nothing to do but to go on with a run.
    pub fn rests(&self) -> bool {
        self.inbox.is_empty() && self.loading.is_none()
    }

    /// Takes one command, if there is one, or goes on loading. `luck` decides what comes of it; without luck all goes well.
    pub fn obey(&mut self, luck: Option<u32>) {
        if !self.begun {
            return;
        }
        if let Some((run, source)) = self.loading.clone() {
            return self.load_on(run, source, luck);
        }
        let Some(command) = self.inbox.pop_front() else { return };
        let is_field = |command: &Command| matches!(command, Command::Field { .. });
        if is_field(&command) && self.inbox.iter().any(is_field) {
            return;
        }
        let Some(job) = &mut self.job else { return self.handle(command, luck) };
        let run = job.run;
        match command {
            Command::Pause if !job.paused => {
                job.paused = true;
                self.say(Event::Paused { run });
            }
            Command::Resume if job.paused => {
                job.paused = false;
                self.say(Event::Resumed { run });
            }
            Command::Step if job.paused => self.go_on(luck),
            Command::Pause | Command::Resume | Command::Step => {}
            command if ends_a_run(&command) => {
                let over = job.training;
                self.job = None;
                self.weights = over.or(self.weights);
                self.done(run, true);
                if command != Command::Stop {
                    self.inbox.push_front(command);
                }
            }
            aside => {
                let weights = job.training.or(self.weights);
                self.answer(aside, weights);
            }
        }
    }

    fn answer(&mut self, command: Command, weights: Option<Tag>) {
        let models = self.slot != Slot::Study;
        let called_away = self.inbox.iter().any(ends_a_run);
        match command {
            Command::Save { run } => match weights.filter(|_| models && !self.lost) {
                Some(tag) => self.say(Event::Weights { run, step: tag.step, file: file_of(tag) }),
                None => self.fail(Some(run), FailureKind::Untrained),
            },
            Command::Field { .. } | Command::Benchmark { .. } if !models => self.fail(None, FailureKind::BadConfig),
            Command::Field { .. } | Command::Benchmark { .. } if self.lost => self.fail(None, FailureKind::DeviceLost),
            Command::Field { request, config, t, side } => {
                if config.denoiser == DenoiserId::Trained && weights.is_none() {
                    self.fail(None, FailureKind::Untrained);
                } else if !called_away {
                    self.say(Event::Field { request, t, side, score: Floats::default() });
                }
            }
            Command::Benchmark { .. } if called_away => {}
            Command::Benchmark { .. } => {
                let training_step_ms = if self.slot == Slot::Gpu { 1.0 } else { 2.0 };
                self.say(Event::Benchmark { benchmark: Benchmark { training_step_ms, ..Benchmark::default() } });
            }
            _ => {}
        }
    }

    fn handle(&mut self, command: Command, luck: Option<u32>) {
        let models = self.slot != Slot::Study;
        let run = run_of(&command);
        if let Some(run) = run {
            if self.lost {
                return self.fail(Some(run), FailureKind::DeviceLost);
            }
            if !models && !matches!(command, Command::Study { .. }) {
                return self.fail(None, FailureKind::BadConfig);
            }
            if matches!(command, Command::Study { .. }) && self.slot == Slot::Cpu {
                return self.fail(Some(run), FailureKind::BadConfig);
            }
        }
        // One in 16 configurations cannot be run, such as an empty drawing.
        let unlucky = luck.is_some_and(|luck| luck.is_multiple_of(16));
        match command {
            Command::Train { run, .. } | Command::Continue { run, .. } | Command::Study { run, .. } if unlucky => {
                self.fail(Some(run), FailureKind::BadConfig);
            }
            Command::Train { run, config } => {
                self.start(run, config, Some(Tag { lineage: run.0, step: 0 }), |job| Event::Training {
                    run: job.run,
                    step: job.training.map_or(0, |tag| tag.step),
                    of: 9,
                    losses: Floats(vec![1.0]),
                    rate: 1.0,
                });
            }
            Command::Continue { run, config, checkpoint } => match tag_of(&checkpoint) {
                Some(tag) => self.start(run, config, Some(tag), |job| Event::Training {
                    run: job.run,
                    step: job.training.map_or(0, |tag| tag.step),
                    of: 9,
                    losses: Floats(vec![1.0]),
                    rate: 1.0,
                }),
                None => self.fail(Some(run), FailureKind::BadFile),
            },
            Command::Sample { run, config } | Command::Likelihood { run, config }
                if config.experiment == ExperimentId::Images =>
            {
                if self.model.as_deref() != Some(config.weights.as_str()) {
                    return self.fail(Some(run), FailureKind::Untrained);
                }
                self.say(Event::Images(ImageEvent::Batch { run, images: 4 }));
                self.start(run, config, None, |job| {
                    Event::Images(ImageEvent::Frame { run: job.run, frame: ImageFrame::default() })
                });
            }
            Command::Sample { run, config } | Command::Likelihood { run, config } => {
                if config.denoiser == DenoiserId::Trained {
                    self.used.push((run, self.weights));
                    if self.weights.is_none() {
                        return self.fail(Some(run), FailureKind::Untrained);
                    }
                }
                self.start(run, config, None, |job| Event::Report { run: job.run, report: Report::default() });
            }
            Command::Inspect { run, config, .. } => {
                self.start(run, config, None, |job| Event::Report { run: job.run, report: Report::default() });
            }
            Command::Study { run, config } => {
                self.start(run, config, None, |job| Event::Study { run: job.run, update: StudyUpdate::default() });
            }
            Command::Load { run, file } => match tag_of(&file) {
                Some(tag) => {
                    self.weights = Some(tag);
                    self.say(Event::Loaded { run, config: RunConfig::default(), step: tag.step });
                }
                None => self.fail(Some(run), FailureKind::BadFile),
            },
            Command::Images(ImageCommand::Load { run, source }) => self.loading = Some((run, source)),
            Command::Images(ImageCommand::SelfTest { run }) if self.inbox.iter().any(ends_a_run) => {
                self.done(run, true);
            }
            Command::Images(ImageCommand::SelfTest { run }) => {
                self.say(Event::Images(ImageEvent::SelfTest { run, report: SelfTest::default() }));
            }
            Command::Images(ImageCommand::Benchmark { run, .. }) if self.model.is_none() => {
                self.fail(Some(run), FailureKind::Untrained);
            }
            Command::Images(ImageCommand::Benchmark { run, .. }) => {
                let given_up = self.inbox.iter().any(ends_a_run);
                let benchmark = ImageBenchmark::default();
                self.say(Event::Images(ImageEvent::Benchmark { run, benchmark, complete: !given_up }));
                if given_up {
                    self.done(run, true);
                }
            }
            other => self.answer(other, self.weights),
        }
    }

    fn start(&mut self, run: RunId, config: RunConfig, training: Option<Tag>, work: fn(&Job) -> Event) {
        self.job = Some(Job { run, training, paused: false, left: 9, config, work });
    }

    fn load_on(&mut self, run: RunId, source: WeightsSource, luck: Option<u32>) {
        if self.inbox.iter().any(ends_a_load) {
            self.loading = None;
            self.done(run, true);
            if let Some(stop) = self.inbox.iter().position(|command| *command == Command::Stop) {
                let taken: Vec<Command> = self.inbox.drain(..=stop).collect();
                let mut others = Vec::new();
                for command in taken {
                    match (run_of(&command), &command) {
                        (None, Command::Pause | Command::Resume | Command::Step | Command::Stop) => {}
                        (None, _) | (_, Command::Load { .. }) => others.push(command),
                        (Some(run), _) => self.say(Event::Done { run, began: false, stopped: true, millis: 0.0 }),
                    }
                }
                for command in others.into_iter().rev() {
                    self.inbox.push_front(command);
                }
            }
            return;
        }
        if luck.is_some_and(|luck| luck % 3 == 0) {
            let file = "weights".to_owned();
            return self.say(Event::Images(ImageEvent::Fetching {
                run,
                file,
                received: 1.0,
                total: 2.0,
                cached: false,
            }));
        }
        self.loading = None;
        let unlucky = luck.is_some_and(|luck| luck % 8 == 1);
        let mut weights = WeightsSummary { held_bytes: 4.0, ..WeightsSummary::default() };
        match source {
            WeightsSource::Hub { origin, .. } if origin.is_empty() || unlucky => return self.refuse(run, !unlucky),
            _ if unlucky => return self.refuse(run, false),
            WeightsSource::Hub { model, look, .. } => {
                weights.id = format!("hub:{model}");
                if look {
                    weights.held_bytes = 0.0;
                }
            }
            WeightsSource::Set { id } => weights.id = id,
            WeightsSource::Addresses(_) | WeightsSource::Files(_) => OWN_WEIGHTS.clone_into(&mut weights.id),
        }
        if weights.held_bytes > 0.0 {
            self.model = Some(weights.id.clone());
        }
        self.say(Event::Images(ImageEvent::Loaded { run, weights }));
    }

    fn refuse(&mut self, run: RunId, unreachable: bool) {
        let refusal = Refusal { unreachable, ..Refusal::default() };
        self.say(Event::Images(ImageEvent::Refused { run, refusal }));
    }

    /// Goes on with its run for a step.
    pub fn go_on(&mut self, luck: Option<u32>) {
        let Some(job) = &mut self.job else { return };
        let run = job.run;
        if self.lost || luck.is_some_and(|luck| luck % 32 == 1) {
            let images = job.config.experiment == ExperimentId::Images;
            let kind = match (self.lost, images) {
                (true, _) => FailureKind::DeviceLost,
                (false, true) => FailureKind::OutOfMemory,
                (false, false) => FailureKind::Diverged,
            };
            self.weights = job.training.or(self.weights);
            self.job = None;
            return self.fail(Some(run), kind);
        }
        if let Some(tag) = &mut job.training {
            tag.step += 1;
        }
        job.left = job.left.saturating_sub(1);
        let (event, over, training) = ((job.work)(job), job.left == 0, job.training);
        self.say(event);
        if let Some(tag) = training
            && luck.is_some_and(|luck| luck % 3 == 2)
        {
            self.say(Event::Checkpoint { run, step: tag.step, file: file_of(tag) });
        }
        if over {
            self.job = None;
            self.weights = training.or(self.weights);
            self.done(run, false);
        }
    }
}
