//! Weights and measurements of the network of images: which worker holds what.

use super::image_state::{ImageWeights, Images};
use super::{Action, Phase, Run, RunConfig, Session, Slot, Status, Work};
use crate::lab::images::OWN_WEIGHTS;
use crate::lab::{ExperimentId, HUB};
use crate::protocol::images::{
    ImageBenchmark, ImageCommand, ImageEvent, Notice, SelfTest, WeightsSource, WeightsSummary,
};
use crate::protocol::{Command, RunId};

impl Session {
    /// Says which experiment is shown: the choice of the device depends on it. Returns whether it is another one than before.
    pub fn show_experiment(&mut self, experiment: ExperimentId) -> bool {
        let before = std::mem::replace(&mut self.experiment, experiment);
        self.launch_processor(self.processor());
        before != experiment
    }

    /// How far the weights for images are.
    #[must_use]
    pub fn image_weights(&self) -> &ImageWeights {
        &self.images.state
    }

    /// The last self-test of a worker.
    #[must_use]
    pub fn self_test(&self, slot: Slot) -> Option<&SelfTest> {
        self.images.tests[slot as usize].as_ref()
    }

    /// The last timings of images of a worker.
    #[must_use]
    pub fn image_benchmark(&self, slot: Slot) -> Option<&ImageBenchmark> {
        self.images.benchmarks[slot as usize].as_ref()
    }

    /// Whether a self-test or timings of images are going on.
    #[must_use]
    pub fn is_examining(&self) -> bool {
        self.images.testing.iter().chain(&self.images.measuring).any(Option::is_some)
    }

    /// Brings the weights that the configuration names to the worker in use, before anything is sampled.
    pub fn load_images(&mut self, config: &RunConfig) {
        self.show_experiment(ExperimentId::Images);
        let slot = self.active();
        if self.reach(slot) {
            self.bring_images(slot, config);
        }
    }

    /// Takes weights of the visitor's own. Their name in a configuration is [`OWN_WEIGHTS`].
    pub fn own_images(&mut self, source: WeightsSource) {
        self.show_experiment(ExperimentId::Images);
        let count = self.images.own.as_ref().map_or(0, |(count, _)| *count) + 1;
        self.images.own = Some((count, source.clone()));
        self.ask_for_images(self.active(), own_name(count), source);
    }

    /// Whether the visitor has to be asked before the configuration's weights can be fetched: they are a model of the hub
    /// that the worker in use neither has nor waits for, and that nobody has allowed.
    #[must_use]
    pub fn asks_for_model(&self, config: &RunConfig) -> bool {
        let held = self.device(self.active()).holds_images.as_deref() == Some(config.weights.as_str());
        config.weights.hub().is_some_and(|model| !held && self.origin_of(model).is_none())
    }

    /// Whether a run waits for that.
    #[must_use]
    pub fn awaits_model(&self) -> bool {
        self.images.awaited.is_some()
    }

    /// What the hub said of the weights of this name, if it was asked about them last.
    #[must_use]
    pub fn offer(&self, name: &str) -> Option<&WeightsSummary> {
        self.images.offer.as_ref().filter(|offer| offer.id == name)
    }

    /// Where a model may be fetched.
    fn origin_of(&self, model: &str) -> Option<&String> {
        self.images.allowed.as_ref().filter(|(allowed, _)| allowed == model).map(|(_, origin)| origin)
    }

    /// The visitor lets the configuration's model be fetched there: so it is, and the run that waited for it begins. With
    /// `look`, the hub is only asked about it.
    pub fn fetch_model(&mut self, config: &RunConfig, origin: &str, look: bool) {
        let Some(model) = config.weights.hub().map(str::to_owned) else { return };
        let origin = origin.to_owned();
        if look {
            let source = WeightsSource::Hub { origin, model, look };
            return self.ask_for_images(self.active(), String::new(), source);
        }
        self.images.allowed = Some((model, origin));
        match self.images.awaited.take() {
            Some(awaited) if awaited.weights == config.weights => self.sample(&awaited),
            _ => self.load_images(config),
        }
    }

    /// Has the CPU keep at most so many cores busy with images from the next run on.
    pub fn use_cores(&mut self, most: u32) {
        self.images.cores[0] = Some(most);
    }

    /// Gives weights up that are on their way.
    pub fn cancel_images(&mut self) {
        let Some(&(_, slot, _)) = self.images.loading.last() else { return };
        if self.phase(slot) == Phase::Ready {
            self.post(slot, Command::Stop);
        } else {
            self.forget_waiting_images(slot);
            if self.run.as_ref().is_some_and(|run| run.slot == slot) {
                self.stop();
            }
        }
    }

    /// Tests every worker that is there.
    pub fn test_images(&mut self) {
        for slot in Slot::MODELS {
            if self.phase(slot) == Phase::Ready {
                let run = self.name();
                self.images.testing[slot as usize] = Some(run);
                self.post(slot, Command::Images(ImageCommand::SelfTest { run }));
            }
        }
    }

    /// Times every worker that is there, with the weights that the configuration names.
    pub fn measure_images(&mut self, config: &RunConfig, batches: &[u32], budget_ms: f64) {
        for slot in Slot::MODELS {
            if self.phase(slot) == Phase::Ready {
                self.bring_images(slot, config);
                let run = self.name();
                self.images.measuring[slot as usize] = Some(run);
                let batches = batches.to_vec();
                self.post(slot, Command::Images(ImageCommand::Benchmark { run, batches, budget_ms }));
            }
        }
    }

    /// Gives a worker the weights that the configuration names if it does not hold them, and tells it what else was chosen.
    pub(super) fn bring_images(&mut self, slot: Slot, config: &RunConfig) {
        let [chosen, told] = self.images.cores;
        if let Some(most) = chosen.filter(|_| slot == Slot::Cpu && told != chosen) {
            self.images.cores[1] = chosen;
            self.post(slot, Command::Images(ImageCommand::Cores { most }));
        }
        let id = config.weights.as_str();
        let (name, source) = match (&self.images.own, config.weights.hub()) {
            (Some((count, source)), _) if id == OWN_WEIGHTS => (own_name(*count), source.clone()),
            (_, Some(model)) => {
                // Before anybody has said that the hub may be asked, what was kept of it is taken or nothing.
                let origin = self.origin_of(model).cloned().unwrap_or_default();
                (id.to_owned(), WeightsSource::Hub { origin, model: model.to_owned(), look: false })
            }
            _ => (id.to_owned(), WeightsSource::Set { id: id.to_owned() }),
        };
        // A worker that knows no own weights says so when it is asked to sample.
        if (id != OWN_WEIGHTS || self.images.own.is_some()) && self.device(slot).holds_images.as_ref() != Some(&name) {
            self.ask_for_images(slot, name, source);
        }
    }

    fn ask_for_images(&mut self, slot: Slot, name: String, source: WeightsSource) {
        if !self.reach(slot) {
            return;
        }
        self.forget_waiting_images(slot);
        let run = self.name();
        self.failure = None;
        self.device_mut(slot).holds_images = Some(name.clone());
        self.images.loading.push((run, slot, name));
        self.images.state = ImageWeights::Fetching { file: String::new(), received: 0.0, total: 0.0 };
        self.post(slot, Command::Images(ImageCommand::Load { run, source }));
    }

    /// What a new worker has to know before anything else.
    pub(super) fn limit_images(&mut self, slot: Slot) {
        if let Some(images) = self.images.limits[slot as usize] {
            self.post(slot, Command::Images(ImageCommand::Limit { images }));
        }
    }

    /// A worker died over a run of images. If it evaluated several at a time, another one begins the run again with half
    /// as many; says whether it does. How many bytes a GPU has, no browser tells.
    pub(super) fn begin_again_with_less(&mut self, slot: Slot) -> bool {
        let batch = self.images.batch;
        let hopeful = |run: &&Run| {
            run.slot == slot
                && run.state == Status::Running
                && run.work == Work::Sampling
                && run.config.experiment == ExperimentId::Images
                && !self.would_lose(slot)
        };
        let Some(run) = self.run.as_ref().filter(hopeful) else { return false };
        let Some((_, images)) = batch.filter(|(id, images)| *id == run.id && *images > 1) else { return false };
        let config = run.config.clone();
        self.images.limits[slot as usize] = Some(images / 2);
        self.failure = None;
        self.actions.push(Action::Terminate(slot));
        self.lose(slot);
        self.launch(slot);
        self.bring_images(slot, &config);
        let id = self.name();
        if let Some(run) = &mut self.run {
            (run.id, run.state) = (id, Status::Running);
        }
        self.post(slot, Command::Sample { run: id, config });
        true
    }

    /// What a worker held is gone with it.
    pub(super) fn lose_images(&mut self, slot: Slot) {
        self.device_mut(slot).holds_images = None;
        if slot == Slot::Cpu {
            self.images.cores[1] = None;
        }
        if self.images.loading.last().is_some_and(|(_, at, _)| *at == slot) {
            self.images.state = ImageWeights::Absent;
        }
        self.images.loading.retain(|(_, at, _)| *at != slot);
        self.images.testing[slot as usize] = None;
        self.images.measuring[slot as usize] = None;
    }

    /// A load that is over: its worker, the name of its weights, and whether nothing was asked for after it.
    fn take_loading(&mut self, run: RunId) -> Option<(Slot, String, bool)> {
        let loading = &mut self.images.loading;
        let place = loading.iter().position(|(id, ..)| *id == run)?;
        let (_, slot, name) = loading.remove(place);
        Some((slot, name, place == loading.len()))
    }

    /// A worker holds what it held before a load, whatever that was, unless it is at another one.
    fn took_no_images(&mut self, slot: Slot) {
        if self.images.loading.iter().all(|(_, at, _)| *at != slot) {
            self.device_mut(slot).holds_images = None;
        }
    }

    /// Whether this was the name of a load, which is over now without a result.
    pub(super) fn ended_image_load(&mut self, run: RunId) -> bool {
        let Some((slot, name, latest)) = self.take_loading(run) else { return false };
        self.took_no_images(slot);
        if latest {
            // Whether a model is asked for again is for the visitor to say.
            self.images.allowed.take_if(|_| name.starts_with(HUB));
            self.images.state = ImageWeights::Absent;
        }
        true
    }

    /// Whether this was the name of something beside a run, which is over now without a result.
    pub(super) fn ended_image_work(&mut self, run: RunId) -> bool {
        if self.ended_image_load(run) {
            return true;
        }
        let Images { testing, measuring, .. } = &mut self.images;
        testing.iter_mut().chain(measuring).any(|waiting| waiting.take_if(|id| *id == run).is_some())
    }

    pub(super) fn receive_images(&mut self, slot: Slot, event: &ImageEvent) -> bool {
        match event {
            ImageEvent::Fetching { run, file, received, total, .. } => {
                if self.images.loading.last().is_none_or(|(id, ..)| id != run) {
                    return false;
                }
                let (file, received, total) = (file.clone(), *received, *total);
                self.images.state = ImageWeights::Fetching { file, received, total };
            }
            ImageEvent::Loaded { run, weights } => {
                let Some((slot, _, latest)) = self.take_loading(*run) else { return false };
                if !latest {
                    return false;
                }
                self.images.state = if weights.held_bytes > 0.0 {
                    ImageWeights::Held(Box::new(weights.clone()))
                } else {
                    // An answer: what the worker holds is said again when it is needed.
                    self.images.offer = Some(weights.clone());
                    self.took_no_images(slot);
                    ImageWeights::Absent
                };
            }
            ImageEvent::Refused { run, refusal } => {
                let Some((slot, name, latest)) = self.take_loading(*run) else { return false };
                self.took_no_images(slot);
                if !latest {
                    return false;
                }
                self.images.state = ImageWeights::Refused(refusal.clone());
                if name.starts_with(HUB) && self.images.allowed.take().is_none() {
                    // Nothing was kept of it, and nobody else was asked: that is for the visitor to say.
                    self.images.state = ImageWeights::Absent;
                    let waits = |run: &mut Run| run.state == Status::Running && run.config.weights.as_str() == name;
                    self.images.awaited = self.run.take_if(waits).map(|run| run.config);
                }
            }
            ImageEvent::SelfTest { run, report } => {
                if self.images.testing[slot as usize].take_if(|id| id == run).is_none() {
                    return false;
                }
                self.images.tests[slot as usize] = Some(report.clone());
            }
            ImageEvent::Benchmark { run, benchmark, complete } => {
                if self.images.measuring[slot as usize] != Some(*run) {
                    return false;
                }
                self.images.benchmarks[slot as usize] = Some(benchmark.clone());
                if *complete {
                    self.images.measuring[slot as usize] = None;
                }
            }
            ImageEvent::Batch { run, images } => self.images.batch = Some((*run, *images)),
            ImageEvent::Notice { run, notice: Notice::SmallerBatch { images } } => {
                if let Some((_, known)) = self.images.batch.as_mut().filter(|(id, _)| id == run) {
                    *known = *images;
                }
            }
            ImageEvent::Frame { .. } | ImageEvent::Progress { .. } => {}
            ImageEvent::Notice { .. } | ImageEvent::Pool { .. } => {}
        }
        true
    }
}

fn own_name(count: u32) -> String {
    format!("{OWN_WEIGHTS}#{count}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::DeviceInfo;
    use crate::lab::{DeviceChoice, Word};
    use crate::protocol::images::{NamedAddress, Refusal};
    use crate::protocol::{Event, Failure, FailureKind};

    fn ready(gpu: bool, software: bool) -> Event {
        Event::Ready { device: DeviceInfo { gpu, name: "test".to_owned(), software } }
    }

    fn config() -> RunConfig {
        RunConfig::of_images()
    }

    fn with_cpu() -> Session {
        let mut session = Session::new(DeviceChoice::Auto, ExperimentId::Plane);
        session.receive(Slot::Cpu, &ready(false, false));
        let _ = session.take_actions();
        session
    }

    fn posted(session: &mut Session) -> Vec<(Slot, Command)> {
        let post = |action| if let Action::Post(slot, command) = action { Some((slot, command)) } else { None };
        session.take_actions().into_iter().filter_map(post).collect()
    }

    fn load_in(commands: &[(Slot, Command)]) -> Option<(Slot, RunId, &WeightsSource)> {
        commands.iter().find_map(|(slot, command)| match command {
            Command::Images(ImageCommand::Load { run, source }) => Some((*slot, *run, source)),
            _ => None,
        })
    }

    fn loaded(run: RunId) -> Event {
        Event::Images(ImageEvent::Loaded {
            run,
            weights: WeightsSummary { title: "T".into(), held_bytes: 4.0, ..Default::default() },
        })
    }

    #[test]
    fn weights_come_before_the_first_run_and_only_once() {
        let mut session = with_cpu();
        session.sample(&config());
        let commands = posted(&mut session);
        let (slot, run, source) = load_in(&commands).expect("a load");
        assert_eq!((slot, source), (Slot::Cpu, &WeightsSource::Set { id: String::new() }));
        assert!(matches!(commands.last(), Some((Slot::Cpu, Command::Sample { .. }))), "{commands:?}");
        assert!(session.receive(slot, &loaded(run)));
        assert!(matches!(session.image_weights(), ImageWeights::Held(weights) if weights.title == "T"));
        assert_eq!(session.status(), Status::Running);
        session.sample(&config());
        assert!(load_in(&posted(&mut session)).is_none());
        session.sample(&RunConfig { weights: Word::new("other"), ..config() });
        assert!(load_in(&posted(&mut session)).is_some());
    }

    #[test]
    fn the_worker_is_told_how_many_cores_to_use_once_before_the_next_run() {
        let mut session = with_cpu();
        let cores = |session: &mut Session| {
            session.sample(&config());
            let told = posted(session).into_iter().filter_map(|(slot, command)| match command {
                Command::Images(ImageCommand::Cores { most }) => Some((slot, most)),
                _ => None,
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(cores(&mut session), []);
        session.use_cores(1);
        assert_eq!(cores(&mut session), [(Slot::Cpu, 1)]);
        assert_eq!(cores(&mut session), []);
        session.crashed(Slot::Cpu, "it died");
        session.sample(&config());
        session.receive(Slot::Cpu, &ready(false, false));
        let commands = posted(&mut session);
        let place = |found: &dyn Fn(&Command) -> bool| commands.iter().position(|(_, command)| found(command));
        let told = place(&|command| *command == Command::Images(ImageCommand::Cores { most: 1 }));
        let begun = place(&|command| matches!(command, Command::Sample { .. }));
        assert!(told.is_some() && told < begun, "{commands:?}");
    }

    #[test]
    fn weights_that_were_refused_or_given_up_are_asked_for_again() {
        let mut session = with_cpu();
        session.load_images(&config());
        let commands = posted(&mut session);
        let (_, run, _) = load_in(&commands).expect("a load");
        let refusal = Refusal { file: "f".into(), ..Refusal::default() };
        assert!(session.receive(Slot::Cpu, &Event::Images(ImageEvent::Refused { run, refusal: refusal.clone() })));
        assert_eq!(*session.image_weights(), ImageWeights::Refused(refusal));
        session.load_images(&config());
        let commands = posted(&mut session);
        let (_, run, _) = load_in(&commands).expect("a second load");
        session.cancel_images();
        assert_eq!(posted(&mut session), [(Slot::Cpu, Command::Stop)]);
        session.receive(Slot::Cpu, &Event::Done { run, began: true, stopped: true, millis: 1.0 });
        assert_eq!(*session.image_weights(), ImageWeights::Absent);
        assert!(!session.receive(Slot::Cpu, &loaded(run)), "stale");
        session.load_images(&config());
        assert!(load_in(&posted(&mut session)).is_some());
    }

    #[test]
    fn images_go_to_a_real_gpu_and_not_to_a_software_renderer() {
        for (software, expected) in [(false, Slot::Gpu), (true, Slot::Cpu)] {
            let mut session = with_cpu();
            session.adapter(true);
            session.receive(Slot::Gpu, &ready(true, software));
            let _ = session.take_actions();
            session.sample(&config());
            let commands = posted(&mut session);
            assert_eq!(load_in(&commands).map(|(slot, ..)| slot), Some(expected));
            // The other worker loads for itself when it is its turn.
            session.test_images();
            let tests = posted(&mut session);
            assert_eq!(tests.len(), 2, "{tests:?}");
            assert!(session.is_examining());
        }
    }

    #[test]
    fn own_weights_are_brought_to_each_worker_that_needs_them() {
        let mut session = with_cpu();
        let own = RunConfig { weights: Word::new(OWN_WEIGHTS), ..config() };
        session.sample(&own);
        assert!(load_in(&posted(&mut session)).is_none(), "there are none yet");
        let source = WeightsSource::Addresses(vec![NamedAddress { name: "a.ckpt".into(), address: "blob:1".into() }]);
        session.own_images(source.clone());
        let commands = posted(&mut session);
        let (_, run, found) = load_in(&commands).expect("a load");
        assert_eq!(*found, source);
        session.receive(Slot::Cpu, &loaded(run));
        session.sample(&own);
        assert!(load_in(&posted(&mut session)).is_none());
        session.crashed(Slot::Cpu, "it died");
        session.restart(&own);
        session.receive(Slot::Cpu, &ready(false, false));
        let commands = posted(&mut session);
        assert_eq!(load_in(&commands).map(|(.., found)| found), Some(&source));
    }

    #[test]
    fn a_model_of_the_hub_is_asked_for_only_after_the_visitor_allowed_it_and_then_the_run_begins() {
        let of = |origin: &str, look| WeightsSource::Hub { origin: origin.into(), model: "a/b".into(), look };
        let mut session = with_cpu();
        let linked = RunConfig { weights: Word::new("hub:a/b"), ..config() };
        assert!(session.asks_for_model(&linked) && !session.asks_for_model(&config()));
        session.fetch_model(&linked, "https://hub", true);
        let commands = posted(&mut session);
        let (_, run, source) = load_in(&commands).expect("a question");
        assert_eq!(*source, of("https://hub", true));
        let weights = WeightsSummary { id: "hub:a/b".into(), ..Default::default() };
        let offered = Event::Images(ImageEvent::Loaded { run, weights });
        assert!(session.receive(Slot::Cpu, &offered) && !session.receive(Slot::Cpu, &offered));
        assert_eq!(*session.image_weights(), ImageWeights::Absent);
        assert!(session.offer("hub:a/b").is_some() && session.offer("hub:a/c").is_none());
        assert!(session.asks_for_model(&linked), "an answer is no leave");

        // A run takes what was kept; where nothing was, it waits.
        session.sample(&linked);
        let commands = posted(&mut session);
        let (_, run, source) = load_in(&commands).expect("a load");
        assert_eq!(*source, of("", false));
        let Some((_, Command::Sample { run: sample, .. })) = commands.last() else { panic!("{commands:?}") };
        let refused = |run| Event::Images(ImageEvent::Refused { run, refusal: Refusal::default() });
        assert!(session.receive(Slot::Cpu, &refused(run)) && session.awaits_model());
        assert_eq!((session.image_weights(), session.status()), (&ImageWeights::Absent, Status::Idle));
        let failure = Failure { kind: FailureKind::Untrained, detail: String::new() };
        assert!(
            !session.receive(Slot::Cpu, &Event::Failed { run: Some(*sample), failure }) && session.failure().is_none()
        );

        session.fetch_model(&linked, "https://hub", false);
        assert!(!session.asks_for_model(&linked) && !session.awaits_model());
        let commands = posted(&mut session);
        let (_, run, source) = load_in(&commands).expect("a load");
        assert_eq!(*source, of("https://hub", false));
        assert!(matches!(commands.last(), Some((Slot::Cpu, Command::Sample { .. }))), "{commands:?}");
        let weights = WeightsSummary { id: "hub:a/b".into(), held_bytes: 4.0, ..Default::default() };
        session.receive(Slot::Cpu, &Event::Images(ImageEvent::Loaded { run, weights }));
        assert!(!session.asks_for_model(&linked));
        session.sample(&linked);
        assert!(load_in(&posted(&mut session)).is_none());
    }

    #[test]
    fn a_model_that_did_not_come_is_not_asked_for_again_without_the_visitor() {
        let mut session = with_cpu();
        let linked = RunConfig { weights: Word::new("hub:a/b"), ..config() };
        for cancelled in [true, false] {
            session.fetch_model(&linked, "https://hub", false);
            let commands = posted(&mut session);
            let (_, run, _) = load_in(&commands).expect("a load");
            assert!(!session.asks_for_model(&linked), "on its way");
            if cancelled {
                session.cancel_images();
                assert_eq!(posted(&mut session), [(Slot::Cpu, Command::Stop)]);
                session.receive(Slot::Cpu, &Event::Done { run, began: true, stopped: true, millis: 1.0 });
                assert_eq!(*session.image_weights(), ImageWeights::Absent);
            } else {
                let refusal = Refusal { unreachable: true, ..Refusal::default() };
                session.receive(Slot::Cpu, &Event::Images(ImageEvent::Refused { run, refusal: refusal.clone() }));
                assert_eq!(*session.image_weights(), ImageWeights::Refused(refusal));
            }
            assert!(session.asks_for_model(&linked) && !session.awaits_model());
        }
    }
}
