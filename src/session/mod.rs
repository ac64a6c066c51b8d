//! The page's side of the conversation with the workers, as a state machine without a browser: intents of the visitor
//! and events of the workers go in, [`Action`]s come out.
//!
//! There are three devices: the processor, behind one worker for models and one for studies, a graphics card, behind one
//! for both, and a machine elsewhere that serves the page. Commands for a worker that is not ready wait for it; events of
//! runs that are not current are told apart; what a dying worker leaves behind is kept for the next one.

mod events;
pub mod film;
pub mod image_state;
mod images;
mod kept;
pub mod past;
mod queries;
mod slot;
#[cfg(test)]
mod tests;
mod waiting;
mod weights;

use crate::lab::{DenoiserId, DeviceChoice, DeviceInfo, ExperimentId, RunConfig};
use crate::protocol::{Benchmark, Bytes, Command, Failure, FailureKind, Floats, RunId};
use image_state::Images;
pub use kept::Checkpoint;
use kept::{Cause, Change, Held, Weights};
pub use slot::Slot;

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
    /// Works on a study.
    Study,
    /// Computes likelihoods with them.
    Likelihood,
    /// Compares samples with data.
    Inspection,
}

/// What the page has to do for the session.
// An action is done as soon as it is made: nothing is gained by boxing the command.
#[allow(clippy::large_enum_variant)]
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

#[derive(Clone, Debug, Default)]
struct Device {
    phase: Phase,
    info: Option<DeviceInfo>,
    benchmark: Option<Benchmark>,
    /// The network that was timed: its width, depth and batch.
    timed: Option<[u32; 3]>,
    queue: Vec<Command>,
    /// The weights that it holds, or will hold when what was posted is done.
    holds: Option<Held>,
    /// A training that it still ends, though the visitor has turned to something else, and its weights.
    left: Option<(RunId, u32)>,
    /// Name of the weights for images that it holds, or will hold when what was posted is done.
    holds_images: Option<String>,
}

#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    slot: Slot,
    work: Work,
    state: Status,
    config: RunConfig,
    then_sample: bool,
    /// The generation of the weights that a training makes.
    trains: Option<u32>,
}

/// The conversation.
#[derive(Clone, Debug)]
pub struct Session {
    choice: DeviceChoice,
    adapter: Option<bool>,
    devices: [Device; Slot::ALL.len()],
    faster: Option<Slot>,
    /// What is being measured, and where now.
    comparing: Option<(RunConfig, Slot)>,
    compared: bool,
    run: Option<Run>,
    failure: Option<Failure>,
    /// The worker that said so itself, and may end next.
    teller: Option<Slot>,
    weights: Weights,
    names: u32,
    requests: u32,
    experiment: ExperimentId,
    images: Images,
    actions: Vec<Action>,
}

impl Session {
    /// A session that wishes to compute this experiment there. What it needs first is among its actions.
    #[must_use]
    pub fn new(choice: DeviceChoice, experiment: ExperimentId) -> Self {
        let mut session = Self {
            choice,
            adapter: None,
            devices: Default::default(),
            faster: None,
            comparing: None,
            compared: false,
            run: None,
            failure: None,
            teller: None,
            weights: Weights::default(),
            names: 0,
            requests: 0,
            experiment,
            images: Images::default(),
            actions: Vec::new(),
        };
        session.launch_chosen();
        session
    }

    /// Takes what is to be done now, in order.
    #[must_use]
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
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

    fn launch_chosen(&mut self) {
        // What waits for a GPU waits for it, whatever the choice has become.
        let awaited = !self.device(Slot::Gpu).queue.is_empty();
        if self.choice == DeviceChoice::Remote && self.phase(Slot::Remote) == Phase::Absent {
            self.launch(Slot::Remote);
        }
        self.launch_processor(self.processor());
        let chosen = matches!(self.choice, DeviceChoice::Auto | DeviceChoice::Gpu);
        if (chosen || awaited) && self.phase(Slot::Gpu) == Phase::Absent {
            match self.adapter {
                // An adapter can come and go with cables and drivers: it is asked for each time it is needed.
                None => self.actions.push(Action::Probe),
                Some(true) => self.launch(Slot::Gpu),
                Some(false) if self.choice == DeviceChoice::Gpu => self.fail_without_adapter(),
                Some(false) => {}
            }
        }
    }

    fn fail_without_adapter(&mut self) {
        self.fail(FailureKind::NoDevice, "this browser offers no WebGPU adapter");
    }

    /// Launches one of the processor's workers, if it may be needed and is not there. One that died unseen comes back.
    fn launch_processor(&mut self, slot: Slot) {
        let gone = self.phase(slot) == Phase::Dead && self.failure.is_none();
        let chosen = !matches!(self.choice, DeviceChoice::Gpu | DeviceChoice::Remote);
        if chosen && (gone || self.phase(slot) == Phase::Absent) {
            self.launch(slot);
        }
    }

    /// Has a worker come that is not there; says whether it can. If not, the failure says why.
    fn reach(&mut self, slot: Slot) -> bool {
        match self.phase(slot) {
            Phase::Ready | Phase::Fetching(_) => {}
            Phase::Absent if slot == Slot::Gpu && self.adapter.is_none() => {}
            Phase::Absent if slot == Slot::Gpu && self.adapter == Some(false) => {
                self.fail_without_adapter();
                return false;
            }
            Phase::Absent | Phase::Dead => self.launch(slot),
        }
        true
    }

    fn fail(&mut self, kind: FailureKind, detail: &str) {
        self.failure = Some(Failure { kind, detail: detail.to_owned() });
    }

    fn name(&mut self) -> RunId {
        self.names += 1;
        RunId(self.names)
    }

    /// Says whether the browser has an adapter for WebGPU.
    pub fn adapter(&mut self, present: bool) {
        // An answer to an earlier question says nothing of a device that is there.
        if self.phase(Slot::Gpu) != Phase::Absent {
            return;
        }
        self.adapter = Some(present);
        if present && self.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::NoDevice) {
            self.failure = None;
        }
        if !present && !self.device(Slot::Gpu).queue.is_empty() {
            self.lose(Slot::Gpu);
            self.device_mut(Slot::Gpu).phase = Phase::Absent;
            self.fail_without_adapter();
        }
        self.launch_chosen();
    }

    /// Changes where to compute. A run goes on where it is; the next one follows the choice.
    pub fn choose_device(&mut self, choice: DeviceChoice) {
        if self.choice != choice {
            self.choice = choice;
            if self.phase(Slot::Gpu) == Phase::Absent {
                self.adapter = None;
            }
            if self.failure.as_ref().is_some_and(|f| f.kind == FailureKind::NoDevice) {
                self.failure = None;
            }
            // One that was given up gets another chance when it is chosen anew.
            let slot = self.active();
            if self.phase(slot) == Phase::Dead && self.failure.is_none() {
                self.device_mut(slot).phase = Phase::Absent;
            }
            self.launch_chosen();
        }
    }

    /// More of a worker's file has arrived.
    pub fn progress(&mut self, slot: Slot, share: f64) {
        if let Phase::Fetching(known) = &mut self.device_mut(slot).phase {
            *known = share;
        }
    }

    /// The worker that a run of this configuration goes to, now that its experiment is the one in hand; none if there is
    /// no such device. It is on its way if it is not there.
    fn turn_to(&mut self, config: &RunConfig) -> Option<Slot> {
        self.show_experiment(config.experiment);
        let slot = self.active();
        let reached = self.reach(slot);
        if reached {
            self.forget_waiting_run(slot);
        }
        reached.then_some(slot)
    }

    /// Ends a run on another device: it would go on unseen.
    fn end_elsewhere(&mut self, slot: Slot) {
        if let Some(run) = self.run.as_ref().filter(|run| run.slot != slot && run.is_going()) {
            let other = run.slot;
            if self.phase(other) == Phase::Ready {
                self.post(other, Command::Stop);
            } else {
                self.forget_waiting_run(other);
                self.forget_waiting_images(other);
                self.run = None;
            }
        }
    }

    fn begin(&mut self, slot: Slot, work: Work, config: RunConfig, make: impl FnOnce(RunId) -> Command) {
        // What a training made so far is kept, unless the same worker is to make new weights. On another worker it gives
        // way to a training that may never begin.
        if work != Work::Training {
            self.secure(slot);
        }
        if let Some(other) = self.run.as_ref().map(|run| run.slot).filter(|other| *other != slot) {
            self.secure(other);
        }
        self.end_elsewhere(slot);
        self.failure = None;
        self.images.awaited = None;
        if let Some((_, at)) = self.comparing {
            self.put_comparison_off(at);
        }
        let id = self.name();
        self.run = Some(Run { id, slot, work, state: Status::Running, config, then_sample: false, trains: None });
        let command = make(id);
        self.post(slot, command);
    }

    /// The run that has just begun makes weights of this generation.
    fn begun_training(&mut self, generation: u32, from: Option<u32>, then_sample: bool) {
        if let Some(run) = &mut self.run {
            (run.trains, run.then_sample) = (Some(generation), then_sample);
            let (run, slot, held) = (run.id, run.slot, Held::whole(generation));
            let before = self.device_mut(slot).holds.replace(held);
            self.weights.changes.push(Change { run, slot, held, before, cause: Cause::Training(from) });
        }
    }

    /// Trains new weights, and samples with them when `then_sample`.
    pub fn train(&mut self, config: &RunConfig, then_sample: bool) {
        let Some(slot) = self.turn_to(config) else { return };
        let config = config.clone();
        self.begin(slot, Work::Training, config.clone(), |run| Command::Train { run, config });
        let generation = self.weights.next();
        self.begun_training(generation, None, then_sample);
    }

    /// Goes on with a training from weights that were kept of it.
    fn continue_from(&mut self, kept: Bytes, config: &RunConfig, then_sample: bool, trained: u32) {
        let Some(slot) = self.turn_to(config) else { return };
        let (config, checkpoint) = (config.clone(), kept);
        self.begin(slot, Work::Training, config.clone(), |run| Command::Continue { run, config, checkpoint });
        let generation = self.weights.next();
        // They are what the new ones begin as, and so is what a worker is still asked for.
        self.weights.renumber(trained, generation);
        self.begun_training(generation, Some(trained), then_sample);
    }

    /// Samples with the newest weights, wherever they were made, or with the closed form.
    pub fn sample(&mut self, config: &RunConfig) {
        let Some(slot) = self.turn_to(config) else { return };
        self.bring_models(slot, config);
        let config = config.clone();
        self.begin(slot, Work::Sampling, config.clone(), |run| Command::Sample { run, config });
    }

    /// Works on the configuration's study.
    pub fn study(&mut self, config: &RunConfig) {
        let Some(slot) = self.turn_to(config) else { return };
        let config = config.clone();
        self.begin(slot, Work::Study, config.clone(), |run| Command::Study { run, config });
    }

    /// Computes likelihoods: of fresh data with the newest weights or with the closed form, or of the configuration's
    /// picture.
    pub fn likelihood(&mut self, config: &RunConfig) {
        let Some(slot) = self.turn_to(config) else { return };
        self.bring_models(slot, config);
        let config = config.clone();
        self.begin(slot, Work::Likelihood, config.clone(), |run| Command::Likelihood { run, config });
    }

    /// Compares samples, in the data's own coordinates, with the data of the configuration.
    pub fn inspect(&mut self, config: &RunConfig, points: Floats) {
        let Some(slot) = self.turn_to(config) else { return };
        let config = config.clone();
        self.begin(slot, Work::Inspection, config.clone(), |run| Command::Inspect { run, config, points });
    }

    /// Gives a worker what the configuration's model consists of, as far as it does not hold it.
    fn bring_models(&mut self, slot: Slot, config: &RunConfig) {
        if config.experiment == ExperimentId::Images {
            self.bring_images(slot, config);
        } else if config.denoiser == DenoiserId::Trained {
            self.bring_weights(slot);
        }
    }

    /// What a run that waits for its worker cannot be told, the page does not offer.
    fn post_to_run(&mut self, command: Command, from: Status) {
        if let Some(run) = &self.run
            && run.state == from
            && self.phase(run.slot) == Phase::Ready
        {
            let slot = run.slot;
            self.post(slot, command);
        }
    }

    /// Holds the run.
    pub fn pause(&mut self) {
        self.post_to_run(Command::Pause, Status::Running);
    }

    /// Goes on with the held run.
    pub fn resume(&mut self) {
        self.post_to_run(Command::Resume, Status::Paused);
    }

    /// One step of the held run; a running one is held first.
    pub fn step(&mut self) {
        self.post_to_run(Command::Pause, Status::Running);
        self.post_to_run(Command::Step, Status::Running);
        self.post_to_run(Command::Step, Status::Paused);
    }

    /// Ends the run.
    pub fn stop(&mut self) {
        let Some(run) = &mut self.run else { return };
        run.then_sample = false;
        let (slot, going) = (run.slot, run.is_going());
        if !going {
            return;
        }
        if self.phase(slot) == Phase::Ready {
            self.post(slot, Command::Stop);
        } else {
            // The worker never heard of the run.
            self.forget_waiting_run(slot);
            self.forget_waiting_images(slot);
            self.run = None;
        }
    }

    /// After a failure, brings back what was lost and goes on from the last checkpoint; otherwise does the last work
    /// again from its beginning.
    pub fn restart(&mut self, config: &RunConfig) {
        let last = self.run.as_ref().map(|run| (run.work, run.slot, run.then_sample));
        let failed = self.failure.take();
        let device = failed.as_ref().is_some_and(|failure| failure.kind == FailureKind::NoDevice);
        if device && self.phase(Slot::Gpu) == Phase::Absent {
            // An adapter that was not there may have come.
            self.adapter = None;
        }
        for slot in Slot::ALL {
            if self.phase(slot) == Phase::Dead {
                self.launch(slot);
            }
        }
        if device || last.is_none() {
            self.launch_chosen();
        }
        let Some((work, _, then_sample)) = last else { return };
        let trained = self.run.as_ref().and_then(|run| run.trains).unwrap_or(0);
        let kept = self.weights.of(trained).map(|kept| kept.file.clone());
        match (work, kept) {
            (Work::Training, Some(kept)) if failed.is_some_and(|f| f.kind != FailureKind::Diverged) => {
                self.continue_from(kept, config, then_sample, trained);
            }
            (Work::Training, _) => self.train(config, then_sample),
            (Work::Study, _) => self.study(config),
            (Work::Likelihood, _) => self.likelihood(config),
            (Work::Sampling | Work::Inspection, _) => self.sample(config),
        }
    }

    /// Another link was opened: what went on ends, and nothing has been asked for yet. Weights stay.
    pub fn start_afresh(&mut self) {
        self.stop();
        if let Some(run) = self.run.take()
            && run.is_going()
            && let Some(generation) = run.trains
        {
            self.device_mut(run.slot).left = Some((run.id, generation));
        }
        self.images.awaited = None;
        self.failure = None;
    }

    /// Puts a failure aside.
    pub fn dismiss(&mut self) {
        self.failure = None;
    }

    /// Asks for a score field and returns the number its answer will carry. There is none where it would end a run, or
    /// where no field is shown.
    pub fn field(&mut self, config: &RunConfig, t: f64, side: u32) -> u32 {
        let slot = self.active();
        self.requests += 1;
        let request = self.requests;
        let lacking = config.denoiser == DenoiserId::Trained && self.lacks_weights(slot);
        let in_the_way = lacking && self.is_busy() && self.running_slot() == slot;
        if in_the_way || self.experiment != ExperimentId::Plane || self.phase(slot) == Phase::Dead {
            return request;
        }
        if lacking {
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
        // Beside a study it has not been needed yet.
        self.launch_processor(Slot::Cpu);
        self.compared = Slot::HERE.iter().all(|&slot| self.phase(slot) == Phase::Ready);
        self.measure_next(config.clone(), None);
    }

    /// Measures the first device that is there after this one, if there is one.
    fn measure_next(&mut self, config: RunConfig, last: Option<Slot>) {
        let later = |slot: &Slot| last.is_none_or(|last| *slot as usize > last as usize);
        let comes = |phase| matches!(phase, Phase::Ready | Phase::Fetching(_));
        let next = Slot::MODELS.into_iter().find(|slot| later(slot) && comes(self.phase(*slot)));
        self.comparing = next.map(|slot| (config.clone(), slot));
        if let Some(slot) = next {
            self.post(slot, Command::Benchmark { config, budget_ms: 1000.0 });
        }
    }
}
