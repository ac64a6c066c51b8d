//! A browser around a session: its workers, a visitor, chance, and a model of its own of what is kept and what runs.

use std::collections::{BTreeMap, VecDeque};

use scorefield::lab::{DenoiserId, DeviceChoice, ExperimentId, RunConfig};
use scorefield::protocol::{Command, Event, Failure, FailureKind, RunId};
use scorefield::session::image_state::ImageWeights;
use scorefield::session::{Action, Phase, Session, Slot, Status};

use super::session_worker::{Lineage, Tag, Worker, tag_of};

/// What a broken rule says.
pub type Kept = Result<(), String>;

macro_rules! rule {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}

#[path = "session_visitor.rs"]
mod visitor;

/// Most commands that may wait for a worker that is on its way.
const MOST_WAITING: usize = 12;

/// The browser and who sits before it.
#[derive(Clone)]
pub struct World {
    pub session: Session,
    workers: [Option<Worker>; Slot::ALL.len()],
    /// Questions for an adapter that nobody has answered.
    probes: u32,
    has_adapter: bool,
    config: RunConfig,
    /// When the visitor asked for which weights: trainings and files, in order.
    asked: BTreeMap<Lineage, u32>,
    time: u32,
    /// When the last training was asked for.
    training_asked: u32,
    /// The run posted last.
    current: Option<RunId>,
    /// Files given to the session: when, what is in them, and how often the visitor had been told of something.
    imports: Vec<(u32, Option<Tag>, u32)>,
    /// Exports without an answer, and those that something told since may have been about.
    exports: u32,
    excused: u32,
    /// How often the visitor was told of something new.
    notices: u32,
    shown: Option<Failure>,
    /// The newest weights that the page said it has, when a run was asked for.
    promised: Option<Tag>,
    promises: BTreeMap<u32, Option<Tag>>,
    /// Events of runs that are over, to be repeated when nobody expects them.
    ghosts: VecDeque<(Slot, Event)>,
    files: u32,
}

impl World {
    pub fn new(choice: DeviceChoice, has_adapter: bool) -> Self {
        let config = RunConfig { device: choice, ..RunConfig::default() };
        let mut world = Self {
            session: Session::new(choice, config.experiment),
            workers: Default::default(),
            probes: 0,
            has_adapter,
            config,
            asked: BTreeMap::new(),
            time: 0,
            training_asked: 0,
            current: None,
            imports: Vec::new(),
            exports: 0,
            excused: 0,
            notices: 0,
            shown: None,
            promised: None,
            promises: BTreeMap::new(),
            ghosts: VecDeque::new(),
            files: 1_000_000,
        };
        world.act().expect("nothing but launches");
        world
    }

    fn worker(&mut self, slot: Slot) -> Option<&mut Worker> {
        self.workers[slot as usize].as_mut()
    }

    /// The rank of weights: when they were asked for, and how far they are.
    fn rank(&self, tag: Tag) -> (u32, u32) {
        (self.asked.get(&tag.lineage).copied().unwrap_or(0), tag.step)
    }

    fn kept(&self) -> Option<Tag> {
        self.session.checkpoint().map(|kept| tag_of(&kept.file).expect("a file that somebody made"))
    }

    /// Does what the session asks for, and notes what the page tells.
    fn act(&mut self) -> Kept {
        let mut posts = 0;
        for action in self.session.take_actions() {
            match action {
                Action::Probe => self.probes += 1,
                Action::Launch(slot) => {
                    rule!(self.worker(slot).is_none(), "{slot:?} is launched beside one that lives");
                    self.workers[slot as usize] = Some(Worker::new(slot));
                }
                Action::Terminate(slot) => self.workers[slot as usize] = None,
                Action::Post(slot, command) => {
                    posts += 1;
                    self.note(&command);
                    let Some(worker) = self.worker(slot).filter(|worker| worker.heard) else {
                        return Err(format!("{command:?} goes to {slot:?}, which is not there"));
                    };
                    worker.inbox.push_back(command);
                }
                Action::Deliver(file) => {
                    let expected = if self.exports > 0 { &mut self.exports } else { &mut self.excused };
                    rule!(*expected > 0, "a file is delivered that nobody asked for");
                    *expected -= 1;
                    rule!(tag_of(&file).is_some(), "what is delivered is no file of weights");
                }
            }
        }
        rule!(posts <= MOST_WAITING, "{posts} commands had waited");
        if self.session.failure() != self.shown.as_ref() {
            self.shown = self.session.failure().cloned();
            if self.shown.is_some() {
                self.told();
            }
        }
        Ok(())
    }

    fn told(&mut self) {
        self.notices += 1;
        self.excused += std::mem::take(&mut self.exports);
    }

    fn note(&mut self, command: &Command) {
        if let Command::Train { run, .. }
        | Command::Continue { run, .. }
        | Command::Sample { run, .. }
        | Command::Study { run, .. }
        | Command::Likelihood { run, .. }
        | Command::Inspect { run, .. } = command
        {
            self.current = Some(*run);
            if matches!(command, Command::Train { .. }) {
                self.asked.insert(run.0, self.training_asked);
            }
            if let Command::Continue { checkpoint, .. } = command
                && let Some(tag) = tag_of(checkpoint)
            {
                // To go on with weights is to ask for them once more.
                self.asked.insert(tag.lineage, self.training_asked);
            }
            self.promises.insert(run.0, self.promised);
        }
    }

    /// The visitor, or the browser, says something to the session.
    fn tell(&mut self, say: impl FnOnce(&mut Session)) -> Kept {
        let before = self.kept();
        say(&mut self.session);
        self.act()?;
        self.check_kept(before)
    }

    fn check_kept(&self, before: Option<Tag>) -> Kept {
        let Some(before) = before else { return Ok(()) };
        let Some(now) = self.kept() else { return Err(format!("{before:?} was kept and is no more")) };
        rule!(self.rank(now) >= self.rank(before), "{now:?} replaces {before:?}, which is newer");
        Ok(())
    }

    fn hear(&mut self, slot: Slot) -> Kept {
        let Some(event) = self.worker(slot).and_then(|worker| worker.outbox.pop_front()) else { return Ok(()) };
        if matches!(event, Event::Ready { .. })
            && let Some(worker) = self.worker(slot)
        {
            worker.heard = true;
        }
        if is_of_run(&event) && self.ghosts.len() < 32 {
            self.ghosts.push_back((slot, event.clone()));
        }
        self.receive(slot, &event)?;
        if self.session.wants_comparison() {
            let config = self.config.clone();
            self.tell(|session| session.compare(&config))?;
        }
        self.judge_used()
    }

    fn receive(&mut self, slot: Slot, event: &Event) -> Kept {
        let before = (self.kept(), self.session.status(), self.session.failure().cloned());
        let mut current = false;
        let stale = run_of(event).is_some_and(|run| self.current != Some(run));
        self.tell(|session| current = session.receive(slot, event))?;
        if let Event::Failed { .. } = event
            && current
        {
            // What an answer says that is like the one before it is still an answer.
            self.told();
        }
        if stale && is_of_run(event) {
            rule!(!current, "{event:?} of a run that is over is shown");
            let now = (self.kept(), self.session.status(), self.session.failure().cloned());
            rule!(before == now, "{event:?} of a run that is over changes {before:?} to {now:?}");
        }
        Ok(())
    }

    fn judge_used(&mut self) -> Kept {
        for slot in Slot::ALL {
            let used = self.worker(slot).map(|worker| std::mem::take(&mut worker.used)).unwrap_or_default();
            for (run, used) in used {
                let Some(Some(promised)) = self.promises.get(&run.0).copied() else { continue };
                let Some(used) = used else {
                    return Err(format!("{run:?} has no weights, but {promised:?} were kept"));
                };
                rule!(self.rank(used) >= self.rank(promised), "{run:?} uses {used:?}, but {promised:?} were kept");
            }
        }
        Ok(())
    }

    /// A worker dies. Whatever was lost with it, the visitor is told.
    fn kill(&mut self, slot: Slot, words: &str) -> Kept {
        let Some(worker) = self.workers[slot as usize].take() else { return Ok(()) };
        let kept = self.kept().map_or((0, 0), |kept| self.rank(kept));
        let newest = worker.job.as_ref().and_then(|job| job.training).or(worker.weights);
        let dear = newest.is_some_and(|tag| self.rank(tag) > kept && self.rank(tag).0 == self.newest_asked());
        let at_work = worker.heard && self.session.is_busy() && self.session.running_slot() == slot;
        let told = self.notices;
        self.tell(|session| session.crashed(slot, words))?;
        let again = matches!(self.session.phase(slot), Phase::Fetching(_)) && self.session.is_busy();
        rule!(
            again || !(at_work || dear) || self.session.failure().is_some() || self.notices > told,
            "{slot:?} died with {newest:?} (at work: {at_work}) and nobody is told"
        );
        Ok(())
    }

    fn newest_asked(&self) -> u32 {
        self.asked.values().copied().max().unwrap_or(0)
    }

    /// Lets everything happen that is on its way, but no run end by itself.
    fn settle(&mut self) -> Kept {
        for _ in 0..400 {
            let mut moved = false;
            while self.probes > 0 {
                moved = true;
                self.probes -= 1;
                let present = self.has_adapter;
                self.tell(|session| session.adapter(present))?;
            }
            for slot in Slot::ALL {
                if let Some(worker) = self.worker(slot) {
                    if !worker.begun {
                        moved = true;
                        worker.begin(false);
                    } else if worker.heard && !worker.rests() {
                        moved = true;
                        worker.obey(None);
                    }
                    if !worker.outbox.is_empty() {
                        moved = true;
                        self.hear(slot)?;
                    }
                }
                self.judge_used()?;
            }
            if !moved {
                return Ok(());
            }
        }
        Err("it never comes to rest".to_owned())
    }

    /// Whatever must be true when everything has been said.
    fn check_rest(&self) -> Kept {
        let session = &self.session;
        let status = session.status();
        let job = |slot: Slot| self.workers[slot as usize].as_ref().and_then(|worker| worker.job.as_ref());
        for slot in Slot::ALL {
            if let Some(job) = job(slot) {
                let here = session.is_busy() && session.running_slot() == slot;
                rule!(here, "{:?} runs on {slot:?} (paused: {}), and the page says {status:?}", job.run, job.paused);
                let word = if job.paused { Status::Paused } else { Status::Running };
                rule!(status == word, "{:?} is {word:?}, and the page says {status:?}", job.run);
            }
        }
        if matches!(status, Status::Running | Status::Paused) {
            let slot = session.running_slot();
            rule!(job(slot).is_some(), "the page says {status:?}, and nothing runs on {slot:?}");
        }
        rule!(status != Status::Loading, "the page waits for a worker that nobody fetches");
        rule!(!session.is_comparing(), "a measurement is waited for that nobody takes");
        rule!(!session.is_examining(), "an examination is waited for that nobody does");
        let fetching = matches!(session.image_weights(), ImageWeights::Fetching { .. });
        rule!(!fetching, "weights of images are waited for that nobody fetches");
        rule!(self.exports == 0, "{} exports were never answered", self.exports);
        if let Some(slot) = Slot::ALL.into_iter().find(|&slot| job(slot).is_some_and(|job| job.training.is_some())) {
            let tag = job(slot).and_then(|job| job.training).expect("just found");
            let kept = self.kept().is_some_and(|kept| kept.lineage == tag.lineage);
            rule!(
                kept || session.has_unsaved_work(),
                "{tag:?} is kept nowhere, and the page says leaving loses nothing"
            );
        }
        let kept = self.kept();
        for worker in self.workers.iter().flatten() {
            let Some(tag) = worker.weights.filter(|_| worker.job.as_ref().is_none_or(|job| job.training.is_none()))
            else {
                continue;
            };
            if !worker.lost && self.rank(tag).0 == self.newest_asked() {
                rule!(
                    kept.is_some_and(|kept| self.rank(kept) >= self.rank(tag)),
                    "{tag:?} is on {:?} alone; {kept:?} is kept",
                    worker.slot
                );
            }
        }
        Ok(())
    }

    /// From here on, a visitor can stop what runs, and begin something new.
    fn check_ways_out(&self) -> Kept {
        let mut stopped = self.clone();
        if matches!(stopped.session.status(), Status::Running | Status::Paused) {
            stopped.tell(Session::stop)?;
            stopped.settle()?;
            let at_work = stopped.workers.iter().flatten().any(|worker| worker.job.is_some());
            rule!(!at_work, "a run goes on after Stop, and the page says {:?}", stopped.session.status());
            rule!(!stopped.session.is_busy(), "Stop leaves {:?}", stopped.session.status());
        }
        let mut again = self.clone();
        if again.session.can_recover() {
            let config = again.config.clone();
            again.restart(&config)?;
            again.settle()?;
            again.check_rest().map_err(|words| format!("after trying again: {words}"))?;
        }
        let mut dismissed = self.clone();
        if dismissed.session.failure().is_some() {
            dismissed.tell(Session::dismiss)?;
            dismissed.settle()?;
            dismissed.check_rest().map_err(|words| format!("after putting the failure aside: {words}"))?;
        }
        let mut new = self.clone();
        new.write_device(DeviceChoice::Cpu)?;
        new.write_experiment(ExperimentId::Plane)?;
        new.settle()?;
        new.tell(Session::dismiss)?;
        let config = RunConfig { denoiser: DenoiserId::Exact, device: DeviceChoice::Cpu, ..RunConfig::default() };
        new.run(|session| session.sample(&config))?;
        new.settle()?;
        rule!(new.session.status() == Status::Running, "a run cannot begin any more: {:?}", new.session.status());
        Ok(())
    }

    /// Everything that must be true now.
    pub fn check(&self) -> Kept {
        let mut rest = self.clone();
        rest.settle()?;
        rest.check_rest()?;
        rest.check_imports()?;
        rest.check_ways_out()
    }

    /// A file that was given has been taken, or the visitor was told, or asked for other weights since.
    fn check_imports(&self) -> Kept {
        let kept = self.kept().map_or(0, |kept| self.rank(kept).0);
        for (asked, tag, told) in &self.imports {
            let newer = self.newest_asked() > *asked || self.imports.iter().any(|(at, ..)| at > asked);
            let heard = kept >= *asked || newer || self.notices > *told;
            rule!(heard, "a file {tag:?} was given and never heard of again");
        }
        Ok(())
    }

    fn lose(&mut self, slot: Slot, kind: FailureKind) -> Kept {
        let at_work = self.session.is_busy() && self.session.running_slot() == slot;
        self.receive(slot, &Event::Failed { run: None, failure: failure(kind) })?;
        rule!(self.workers[slot as usize].is_none(), "{slot:?} is of no use any more and is not ended");
        rule!(!at_work || self.session.failure().is_some(), "{slot:?} is lost at work and nobody is told");
        Ok(())
    }

    /// What a reader of a broken rule wants to know.
    pub fn describe(&self) -> String {
        let workers: Vec<String> = self
            .workers
            .iter()
            .flatten()
            .map(|w| {
                let commands: Vec<String> = w.inbox.iter().map(|c| word(&format!("{c:?}"))).collect();
                let events: Vec<String> = w.outbox.iter().map(|e| word(&format!("{e:?}"))).collect();
                format!(
                    "{:?}: job {:?}, weights {:?}, {commands:?} -> {events:?}",
                    w.slot,
                    w.job.as_ref().map(|j| (j.run, j.paused)),
                    w.weights
                )
            })
            .collect();
        format!(
            "{:?} {:?} {:?} {}",
            self.session.status(),
            self.session.chosen_device(),
            self.kept(),
            workers.join("; ")
        )
    }
}

/// The first words of a description.
fn word(debug: &str) -> String {
    debug.split(['{', ',']).next().unwrap_or_default().trim().to_owned()
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, detail: String::new() }
}

fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::Training { run, .. }
        | Event::Frame { run, .. }
        | Event::Report { run, .. }
        | Event::Checkpoint { run, .. }
        | Event::Study { run, .. }
        | Event::Paused { run }
        | Event::Resumed { run } => Some(*run),
        _ => None,
    }
}

fn is_of_run(event: &Event) -> bool {
    run_of(event).is_some()
}
