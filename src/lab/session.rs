//! The page's side of the conversation with the workers, as a state machine without a browser: intents of the visitor
//! and events of the workers go in, [`Action`]s come out.
//!
//! There are two devices, each behind a worker of its own. Commands for a worker that is not ready wait for it; events
//! of runs that are not current are told apart; what a dying worker leaves behind is kept for the next one.

use super::choices::{DenoiserId, DeviceWish};
use super::config::RunConfig;
use crate::protocol::{Benchmark, Bytes, Command, DeviceInfo, Event, Failure, FailureKind, RunId};

/// Which worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The one that computes on the processor.
    Cpu,
    /// The one that computes on WebGPU.
    Gpu,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Gpu];
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Phase {
    /// Not wanted, or not possible here.
    #[default]
    Absent,
    /// Being fetched; the share that has arrived, from 0 to 1.
    Fetching(f64),
    /// It can be talked to.
    Ready,
    /// It died.
    Dead,
}

/// What the page shows, one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The worker in use is not there yet.
    Loading,
    /// Nothing has been asked for.
    Idle,
    /// A run is going on.
    Running,
    /// A run is held.
    Paused,
    /// The last run is over.
    Done,
    /// Something could not be done.
    Failed,
}

impl Status {
    /// The word for tests and style sheets, and end of the key of its text, `status.<id>`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Changes the weights.
    Training,
    /// Uses them.
    Sampling,
}

/// What the page has to do for the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Find out whether the browser has an adapter for WebGPU, and say so to [`Session::adapter`].
    Probe,
    /// Fetch and start a worker.
    Launch(Slot),
    /// End a worker.
    Terminate(Slot),
    /// Post a command.
    Post(Slot, Command),
    /// Hand the visitor a file of weights.
    Deliver(Bytes),
}

/// Weights that outlive their worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What [`Command::Continue`] and [`Command::Load`] take.
    pub file: Bytes,
    /// Training steps behind it.
    pub step: u32,
    generation: u32,
}

#[derive(Clone, Debug, Default)]
struct Device {
    phase: Phase,
    info: Option<DeviceInfo>,
    benchmark: Option<Benchmark>,
    queue: Vec<Command>,
    /// Generation of the weights it holds.
    holds: Option<u32>,
}

#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    slot: Slot,
    work: Work,
    state: Status,
    config: RunConfig,
    then_sample: bool,
}

/// The conversation.
#[derive(Clone, Debug)]
pub struct Session {
    wish: DeviceWish,
    adapter: Option<bool>,
    devices: [Device; 2],
    faster: Option<Slot>,
    comparing: Option<RunConfig>,
    compared: bool,
    run: Option<Run>,
    failure: Option<Failure>,
    checkpoint: Option<Checkpoint>,
    /// Counts the trainings and imports, so that it is known who holds which weights.
    generation: u32,
    /// The name of the answer, and the file that becomes the newest weights if it is good.
    importing: Option<(RunId, Bytes)>,
    exporting: bool,
    names: u32,
    requests: u32,
    actions: Vec<Action>,
}

impl Session {
    /// A session that wishes to compute there. What it needs first is among its actions.
    #[must_use]
    pub fn new(wish: DeviceWish) -> Self {
        let mut session = Self {
            wish,
            adapter: None,
            devices: Default::default(),
            faster: None,
            comparing: None,
            compared: false,
            run: None,
            failure: None,
            checkpoint: None,
            generation: 0,
            importing: None,
            exporting: false,
            names: 0,
            requests: 0,
            actions: Vec::new(),
        };
        session.launch_what_is_wished();
        session
    }

    /// Takes what is to be done now, in order.
    #[must_use]
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The one word.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.failure.is_some() {
            return Status::Failed;
        }
        let slot = self.run.as_ref().map_or(self.active(), |run| run.slot);
        if self.device(slot).phase != Phase::Ready {
            return Status::Loading;
        }
        self.run.as_ref().map_or(Status::Idle, |run| run.state)
    }

    /// What went wrong, while nothing has been done about it.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The worker that the next run goes to.
    #[must_use]
    pub fn active(&self) -> Slot {
        match self.wish {
            DeviceWish::Cpu => Slot::Cpu,
            DeviceWish::Gpu => Slot::Gpu,
            DeviceWish::Auto if self.faster == Some(Slot::Gpu) && self.device(Slot::Gpu).phase == Phase::Ready => {
                Slot::Gpu
            }
            DeviceWish::Auto => Slot::Cpu,
        }
    }

    /// How far a worker is.
    #[must_use]
    pub fn phase(&self, slot: Slot) -> Phase {
        self.device(slot).phase
    }

    /// What a worker computes on, once it has said so.
    #[must_use]
    pub fn info(&self, slot: Slot) -> Option<&DeviceInfo> {
        self.device(slot).info.as_ref()
    }

    /// A worker's timings, once measured.
    #[must_use]
    pub fn timings(&self, slot: Slot) -> Option<&Benchmark> {
        self.device(slot).benchmark.as_ref()
    }

    /// Whether there is an adapter for WebGPU; `None` while that is not known.
    #[must_use]
    pub fn has_adapter(&self) -> Option<bool> {
        self.adapter
    }

    /// What the visitor wishes.
    #[must_use]
    pub fn wished(&self) -> DeviceWish {
        self.wish
    }

    /// What the current or last run does.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        self.run.as_ref().map(|run| run.work)
    }

    /// The worker of the current or last run; without one that of the next.
    #[must_use]
    pub fn running_slot(&self) -> Slot {
        self.run.as_ref().map_or(self.active(), |run| run.slot)
    }

    /// Whether a run goes on or is held.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.run.as_ref().is_some_and(|run| matches!(run.state, Status::Running | Status::Paused))
    }

    /// The newest weights known to the page.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Whether there is something to go back to after the failure: what only a visitor can mend is not mended by trying
    /// again.
    #[must_use]
    pub fn can_recover(&self) -> bool {
        use FailureKind as Kind;
        self.failure.as_ref().is_some_and(|f| {
            matches!(f.kind, Kind::DeviceLost | Kind::Internal | Kind::OutOfMemory | Kind::Diverged)
        })
    }

    /// Whether leaving now would lose work: a training goes on or is held and no checkpoint of it has arrived.
    #[must_use]
    pub fn has_unsaved_work(&self) -> bool {
        let kept = self.checkpoint.as_ref().is_some_and(|c| c.generation == self.generation);
        let training = |run: &Run| run.work == Work::Training && matches!(run.state, Status::Running | Status::Paused);
        self.run.as_ref().is_some_and(training) && !kept
    }

    /// Whether weights have been trained or loaded.
    #[must_use]
    pub fn has_weights(&self) -> bool {
        self.generation > 0
    }

    /// Whether it is time to compare the two devices: both are there, the choice is free and nothing is going on.
    #[must_use]
    pub fn wants_comparison(&self) -> bool {
        self.wish == DeviceWish::Auto
            && !self.compared
            && Slot::ALL.iter().all(|&slot| self.phase(slot) == Phase::Ready)
            && matches!(self.status(), Status::Idle | Status::Done)
    }

    /// Whether timings are being taken.
    #[must_use]
    pub fn is_comparing(&self) -> bool {
        self.comparing.is_some()
    }

    fn device(&self, slot: Slot) -> &Device {
        &self.devices[slot as usize]
    }

    fn device_mut(&mut self, slot: Slot) -> &mut Device {
        &mut self.devices[slot as usize]
    }

    fn launch(&mut self, slot: Slot) {
        self.device_mut(slot).phase = Phase::Fetching(0.0);
        self.actions.push(Action::Launch(slot));
    }

    fn launch_what_is_wished(&mut self) {
        if self.wish != DeviceWish::Gpu && self.phase(Slot::Cpu) == Phase::Absent {
            self.launch(Slot::Cpu);
        }
        if self.wish != DeviceWish::Cpu && self.phase(Slot::Gpu) == Phase::Absent {
            match self.adapter {
                // An adapter can come and go with cables and drivers: it is asked for each time it is needed.
                None => self.actions.push(Action::Probe),
                Some(true) => self.launch(Slot::Gpu),
                Some(false) => {}
            }
        }
        if self.wish == DeviceWish::Gpu && self.adapter == Some(false) {
            self.fail(FailureKind::NoDevice, "this browser offers no WebGPU adapter");
        }
    }

    fn fail(&mut self, kind: FailureKind, detail: &str) {
        self.failure = Some(Failure { kind, detail: detail.to_owned() });
    }

    fn post(&mut self, slot: Slot, command: Command) {
        let device = self.device_mut(slot);
        if device.phase == Phase::Ready {
            self.actions.push(Action::Post(slot, command));
        } else {
            device.queue.push(command);
        }
    }

    fn name(&mut self) -> RunId {
        self.names += 1;
        RunId(self.names)
    }

    /// Says whether the browser has an adapter for WebGPU.
    pub fn adapter(&mut self, present: bool) {
        self.adapter = Some(present);
        self.launch_what_is_wished();
    }

    /// Changes where to compute. A run goes on where it is; the next one follows the wish.
    pub fn wish(&mut self, wish: DeviceWish) {
        if self.wish != wish {
            self.wish = wish;
            if self.phase(Slot::Gpu) == Phase::Absent {
                self.adapter = None;
            }
            if self.failure.as_ref().is_some_and(|f| f.kind == FailureKind::NoDevice) {
                self.failure = None;
            }
            self.launch_what_is_wished();
        }
    }

    /// More of a worker's file has arrived.
    pub fn progress(&mut self, slot: Slot, share: f64) {
        if let Phase::Fetching(known) = &mut self.device_mut(slot).phase {
            *known = share;
        }
    }

    fn begin(&mut self, work: Work, config: RunConfig, then_sample: bool, make: impl FnOnce(RunId) -> Command) {
        let slot = self.active();
        if self.wish == DeviceWish::Gpu && self.adapter == Some(false) {
            return self.fail(FailureKind::NoDevice, "this browser offers no WebGPU adapter");
        }
        if self.phase(slot) == Phase::Dead {
            self.device_mut(slot).phase = Phase::Absent;
            self.launch(slot);
        }
        // A run on the other device would go on unseen.
        if let Some(run) = &self.run
            && run.slot != slot
            && matches!(run.state, Status::Running | Status::Paused)
        {
            let other = run.slot;
            self.post(other, Command::Stop);
        }
        self.failure = None;
        // A worker gives a measurement up for a run, without a word; it is taken when there is time again.
        if self.comparing.take().is_some() {
            self.compared = false;
        }
        let id = self.name();
        self.run = Some(Run { id, slot, work, state: Status::Running, config, then_sample });
        let command = make(id);
        self.post(slot, command);
    }

    /// Trains new weights, and samples with them when `then_sample`.
    pub fn train(&mut self, config: &RunConfig, then_sample: bool) {
        self.generation += 1;
        let slot = self.active();
        self.device_mut(slot).holds = Some(self.generation);
        let config = config.clone();
        self.begin(Work::Training, config.clone(), then_sample, |run| Command::Train { run, config });
    }

    /// Samples with the newest weights, wherever they were made, or with the closed form.
    pub fn sample(&mut self, config: &RunConfig) {
        let slot = self.active();
        if config.denoiser == DenoiserId::Trained {
            self.bring_weights(slot);
        }
        let config = config.clone();
        self.begin(Work::Sampling, config.clone(), false, |run| Command::Sample { run, config });
    }

    /// Gives a worker the newest weights if it does not hold them.
    fn bring_weights(&mut self, slot: Slot) {
        if let Some(checkpoint) = &self.checkpoint
            && self.device(slot).holds != Some(self.generation)
        {
            let file = checkpoint.file.clone();
            self.device_mut(slot).holds = Some(self.generation);
            let run = self.name();
            self.post(slot, Command::Load { run, file });
        }
    }

    fn to_run(&mut self, command: Command, from: Status) {
        if let Some(run) = &self.run
            && run.state == from
        {
            let slot = run.slot;
            self.post(slot, command);
        }
    }

    /// Holds the run.
    pub fn pause(&mut self) {
        self.to_run(Command::Pause, Status::Running);
    }

    /// Goes on with the held run.
    pub fn resume(&mut self) {
        self.to_run(Command::Resume, Status::Paused);
    }

    /// One step of the held run; a running one is held first.
    pub fn step(&mut self) {
        self.to_run(Command::Pause, Status::Running);
        if self.run.as_ref().is_some_and(|run| matches!(run.state, Status::Running | Status::Paused)) {
            let slot = self.run.as_ref().map_or(Slot::Cpu, |run| run.slot);
            self.post(slot, Command::Step);
        }
    }

    /// Ends the run.
    pub fn stop(&mut self) {
        let Some(run) = &mut self.run else { return };
        run.then_sample = false;
        let (slot, ready) = (run.slot, self.devices[run.slot as usize].phase == Phase::Ready);
        if !ready {
            // The worker never heard of the run.
            self.device_mut(slot).queue.clear();
            self.run = None;
        } else if matches!(self.status(), Status::Running | Status::Paused) {
            self.post(slot, Command::Stop);
        }
    }

    /// After a failure, brings back what was lost and goes on from the last checkpoint; otherwise does the last work
    /// again from its beginning.
    pub fn restart(&mut self, config: &RunConfig) {
        let last = self.run.as_ref().map(|run| (run.work, run.slot, run.then_sample));
        let failed = self.failure.take();
        for slot in Slot::ALL {
            if self.phase(slot) == Phase::Dead {
                self.launch(slot);
            }
        }
        let Some((work, _, then_sample)) = last else {
            self.launch_what_is_wished();
            return;
        };
        let kept = self.checkpoint.clone().filter(|c| c.generation == self.generation);
        match (work, kept) {
            (Work::Training, Some(kept)) if failed.is_some_and(|f| f.kind != FailureKind::Diverged) => {
                let slot = self.active();
                self.device_mut(slot).holds = Some(self.generation);
                let (config, checkpoint) = (config.clone(), kept.file);
                self.begin(Work::Training, config.clone(), then_sample, |run| Command::Continue {
                    run,
                    config,
                    checkpoint,
                });
            }
            (Work::Training, _) => self.train(config, then_sample),
            (Work::Sampling, _) => self.sample(config),
        }
    }

    /// Another link was opened: what went on ends, and nothing has been asked for yet. Weights stay.
    pub fn start_afresh(&mut self) {
        self.stop();
        self.run = None;
        self.failure = None;
    }

    /// Puts a failure aside.
    pub fn dismiss(&mut self) {
        self.failure = None;
    }

    /// Asks for the weights as a file; they come as [`Action::Deliver`].
    pub fn export(&mut self) {
        let slot = self.active();
        self.bring_weights(slot);
        self.exporting = true;
        self.post(slot, Command::Save);
    }

    /// Takes a file of weights.
    pub fn import(&mut self, file: Bytes) {
        let slot = self.active();
        self.failure = None;
        let run = self.name();
        self.importing = Some((run, file.clone()));
        self.post(slot, Command::Load { run, file });
    }

    /// Asks for a score field and returns the number its answer will carry.
    pub fn field(&mut self, config: &RunConfig, t: f64, side: u32) -> u32 {
        let slot = self.active();
        self.requests += 1;
        let request = self.requests;
        if config.denoiser == DenoiserId::Trained {
            self.bring_weights(slot);
        }
        self.post(slot, Command::Field { request, config: config.clone(), t, side });
        request
    }

    /// Whether a field with this number is the newest.
    #[must_use]
    pub fn is_newest_field(&self, request: u32) -> bool {
        request == self.requests
    }

    /// Takes timings of every device that is there, one after the other.
    pub fn compare(&mut self, config: &RunConfig) {
        if self.comparing.is_some() {
            return;
        }
        self.compared = Slot::ALL.iter().all(|&slot| self.phase(slot) == Phase::Ready);
        self.comparing = Some(config.clone());
        let first = if self.phase(Slot::Cpu) == Phase::Ready { Slot::Cpu } else { Slot::Gpu };
        self.measure(first);
    }

    fn measure(&mut self, slot: Slot) {
        if let Some(config) = self.comparing.clone() {
            self.post(slot, Command::Benchmark { config, budget_ms: 1000.0 });
        }
    }

    fn measured(&mut self, slot: Slot, benchmark: &Benchmark) {
        self.device_mut(slot).benchmark = Some(benchmark.clone());
        if self.comparing.is_some() && slot == Slot::Cpu && self.phase(Slot::Gpu) == Phase::Ready {
            return self.measure(Slot::Gpu);
        }
        self.comparing = None;
        let time = |slot| self.timings(slot).map(|b| b.training_step_ms);
        if let (Some(cpu), Some(gpu)) = (time(Slot::Cpu), time(Slot::Gpu)) {
            self.faster = Some(if gpu < cpu { Slot::Gpu } else { Slot::Cpu });
        }
    }

    fn is_current(&self, slot: Slot, id: RunId) -> bool {
        self.run.as_ref().is_some_and(|run| run.id == id && run.slot == slot)
    }

    fn become_state(&mut self, state: Status) {
        if let Some(run) = &mut self.run {
            run.state = state;
        }
    }

    /// Takes an event. Says whether it concerns what the page shows; a stale one does not.
    pub fn receive(&mut self, slot: Slot, event: &Event) -> bool {
        let run = match event {
            Event::Training { run, .. }
            | Event::Frame { run, .. }
            | Event::Preview { run, .. }
            | Event::Quality { run, .. }
            | Event::Checkpoint { run, .. }
            | Event::Paused { run }
            | Event::Resumed { run }
            | Event::Done { run, .. } => Some(*run),
            _ => None,
        };
        if run.is_some_and(|id| !self.is_current(slot, id)) {
            return false;
        }
        match event {
            Event::Ready { device } => {
                let known = self.device_mut(slot);
                known.phase = Phase::Ready;
                known.info = Some(device.clone());
                for command in std::mem::take(&mut known.queue) {
                    self.post(slot, command);
                }
            }
            Event::Paused { .. } => self.become_state(Status::Paused),
            Event::Resumed { .. } => self.become_state(Status::Running),
            Event::Checkpoint { step, file, .. } => {
                self.checkpoint = Some(Checkpoint { file: file.clone(), step: *step, generation: self.generation });
            }
            Event::Done { stopped, .. } => self.finished(slot, *stopped),
            Event::Weights { step, file } => {
                self.checkpoint = Some(Checkpoint { file: file.clone(), step: *step, generation: self.generation });
                if std::mem::take(&mut self.exporting) {
                    self.actions.push(Action::Deliver(file.clone()));
                }
            }
            Event::Loaded { run, step, .. } => return self.loaded(slot, *run, *step),
            Event::Benchmark { benchmark } => self.measured(slot, benchmark),
            Event::Failed { run, failure } => return self.failed(slot, *run, failure),
            Event::Field { request, .. } => return self.is_newest_field(*request),
            Event::Training { .. } | Event::Frame { .. } | Event::Preview { .. } | Event::Quality { .. } => {}
        }
        true
    }

    fn finished(&mut self, slot: Slot, stopped: bool) {
        self.become_state(Status::Done);
        let Some(run) = &self.run else { return };
        let (work, config, then_sample) = (run.work, run.config.clone(), run.then_sample);
        if work == Work::Training {
            self.post(slot, Command::Save);
            if then_sample && !stopped {
                // Where the weights are, whatever the wish has become.
                let id = self.name();
                let sampling = Work::Sampling;
                self.run = Some(Run {
                    id,
                    slot,
                    work: sampling,
                    state: Status::Running,
                    config: config.clone(),
                    then_sample: false,
                });
                self.post(slot, Command::Sample { run: id, config });
            }
        }
    }

    fn loaded(&mut self, slot: Slot, run: RunId, step: u32) -> bool {
        if self.importing.as_ref().is_none_or(|(name, _)| *name != run) {
            return false;
        }
        self.generation += 1;
        self.device_mut(slot).holds = Some(self.generation);
        let generation = self.generation;
        self.checkpoint = self.importing.take().map(|(_, file)| Checkpoint { file, step, generation });
        true
    }

    fn failed(&mut self, slot: Slot, run: Option<RunId>, failure: &Failure) -> bool {
        if let Some(id) = run {
            if self.importing.as_ref().is_some_and(|(name, _)| *name == id) {
                self.importing = None;
            } else if self.is_current(slot, id) {
                self.become_state(Status::Failed);
            } else {
                return false;
            }
        }
        let lost = matches!(failure.kind, FailureKind::NoDevice | FailureKind::DeviceLost);
        if lost {
            self.device_mut(slot).phase = Phase::Dead;
            self.device_mut(slot).holds = None;
            self.actions.push(Action::Terminate(slot));
        }
        self.exporting = false;
        self.comparing = None;
        // A second device that did not come up takes nothing away from a visitor who left the choice to the page.
        let harmless = lost && run.is_none() && slot != self.active();
        if !harmless {
            self.failure = Some(failure.clone());
        }
        true
    }

    /// A worker died, or could not be fetched.
    pub fn crashed(&mut self, slot: Slot, detail: &str) {
        let concerned = self
            .run
            .as_ref()
            .is_some_and(|run| run.slot == slot && matches!(run.state, Status::Running | Status::Paused))
            || slot == self.active();
        let device = self.device_mut(slot);
        device.phase = Phase::Dead;
        device.holds = None;
        device.queue.clear();
        self.comparing = None;
        self.exporting = false;
        self.importing = None;
        self.actions.push(Action::Terminate(slot));
        if concerned {
            let run_was_here = self.run.as_ref().is_some_and(|run| run.slot == slot);
            if run_was_here {
                self.become_state(Status::Failed);
            }
            self.fail(FailureKind::Internal, detail);
        }
    }

    /// Takes weights that an earlier visit left behind.
    pub fn restore(&mut self, file: Bytes, step: u32) {
        self.generation += 1;
        self.checkpoint = Some(Checkpoint { file, step, generation: self.generation });
    }
}

#[cfg(test)]
mod tests;
