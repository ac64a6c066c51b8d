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
mod queries;
mod slot;
#[cfg(test)]
mod tests;

use crate::lab::{DenoiserId, DeviceChoice, DeviceInfo, ExperimentId, RunConfig};
use crate::protocol::{Benchmark, Bytes, Command, Failure, FailureKind, Floats, RunId};
use image_state::Images;
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
}

/// The conversation.
#[derive(Clone, Debug)]
pub struct Session {
    choice: DeviceChoice,
    adapter: Option<bool>,
    devices: [Device; Slot::ALL.len()],
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
            checkpoint: None,
            generation: 0,
            importing: None,
            exporting: false,
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
        if self.choice == DeviceChoice::Remote {
            if self.phase(Slot::Remote) == Phase::Absent {
                self.launch(Slot::Remote);
            }
            return;
        }
        self.launch_processor(self.processor());
        if self.choice != DeviceChoice::Cpu && self.phase(Slot::Gpu) == Phase::Absent {
            match self.adapter {
                // An adapter can come and go with cables and drivers: it is asked for each time it is needed.
                None => self.actions.push(Action::Probe),
                Some(true) => self.launch(Slot::Gpu),
                Some(false) => {}
            }
        }
        if self.choice == DeviceChoice::Gpu && self.adapter == Some(false) {
            self.fail(FailureKind::NoDevice, "this browser offers no WebGPU adapter");
        }
    }

    /// Launches one of the processor's workers, if it may be needed and is not there.
    fn launch_processor(&mut self, slot: Slot) {
        if !matches!(self.choice, DeviceChoice::Gpu | DeviceChoice::Remote) && self.phase(slot) == Phase::Absent {
            self.launch(slot);
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

    /// The worker that a run of this configuration goes to, now that its experiment is the one in hand.
    fn turn_to(&mut self, config: &RunConfig) -> Slot {
        self.show_experiment(config.experiment);
        self.active()
    }

    fn begin(&mut self, work: Work, config: RunConfig, then_sample: bool, make: impl FnOnce(RunId) -> Command) {
        let slot = self.turn_to(&config);
        if self.choice == DeviceChoice::Gpu && self.adapter == Some(false) {
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
        self.images.awaited = None;
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
        let slot = self.turn_to(config);
        self.device_mut(slot).holds = Some(self.generation);
        let config = config.clone();
        self.begin(Work::Training, config.clone(), then_sample, |run| Command::Train { run, config });
    }

    /// Samples with the newest weights, wherever they were made, or with the closed form.
    pub fn sample(&mut self, config: &RunConfig) {
        let slot = self.turn_to(config);
        self.bring_models(slot, config);
        let config = config.clone();
        self.begin(Work::Sampling, config.clone(), false, |run| Command::Sample { run, config });
    }

    /// Works on the configuration's study.
    pub fn study(&mut self, config: &RunConfig) {
        let config = config.clone();
        self.begin(Work::Study, config.clone(), false, |run| Command::Study { run, config });
    }

    /// Computes likelihoods: of fresh data with the newest weights or with the closed form, or of the configuration's
    /// picture.
    pub fn likelihood(&mut self, config: &RunConfig) {
        let slot = self.turn_to(config);
        self.bring_models(slot, config);
        let config = config.clone();
        self.begin(Work::Likelihood, config.clone(), false, |run| Command::Likelihood { run, config });
    }

    /// Compares samples, in the data's own coordinates, with the data of the configuration.
    pub fn inspect(&mut self, config: &RunConfig, points: Floats) {
        let config = config.clone();
        self.begin(Work::Inspection, config.clone(), false, |run| Command::Inspect { run, config, points });
    }

    /// Gives a worker what the configuration's model consists of, as far as it does not hold it.
    fn bring_models(&mut self, slot: Slot, config: &RunConfig) {
        if config.experiment == ExperimentId::Images {
            self.bring_images(slot, config);
        } else if config.denoiser == DenoiserId::Trained {
            self.bring_weights(slot);
        }
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

    fn post_to_run(&mut self, command: Command, from: Status) {
        if let Some(run) = &self.run
            && run.state == from
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
            self.lose_images(slot);
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
            self.launch_chosen();
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
            (Work::Study, _) => self.study(config),
            (Work::Likelihood, _) => self.likelihood(config),
            (Work::Sampling | Work::Inspection, _) => self.sample(config),
        }
    }

    /// Another link was opened: what went on ends, and nothing has been asked for yet. Weights stay.
    pub fn start_afresh(&mut self) {
        self.stop();
        self.run = None;
        self.images.awaited = None;
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
        let run = self.name();
        self.post(slot, Command::Save { run });
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
        // Beside a study it has not been needed yet.
        self.launch_processor(Slot::Cpu);
        self.compared = Slot::HERE.iter().all(|&slot| self.phase(slot) == Phase::Ready);
        self.comparing = Some(config.clone());
        if !self.measure_next(None) {
            self.comparing = None;
        }
    }

    /// Measures the first device that is there after this one; says whether there is one.
    fn measure_next(&mut self, last: Option<Slot>) -> bool {
        let later = |slot: &Slot| last.is_none_or(|last| *slot as usize > last as usize);
        let comes = |phase| matches!(phase, Phase::Ready | Phase::Fetching(_));
        let next = Slot::MODELS.into_iter().find(|slot| later(slot) && comes(self.phase(*slot)));
        if let Some(slot) = next {
            self.measure(slot);
        }
        next.is_some()
    }

    fn measure(&mut self, slot: Slot) {
        if let Some(config) = self.comparing.clone() {
            self.post(slot, Command::Benchmark { config, budget_ms: 1000.0 });
        }
    }

    /// Takes weights that an earlier visit left behind.
    pub fn restore(&mut self, file: Bytes, step: u32) {
        self.generation += 1;
        self.checkpoint = Some(Checkpoint { file, step, generation: self.generation });
    }
}
