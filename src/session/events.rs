//! What follows from the events of the workers, and from their deaths.

use super::{Action, Phase, Session, Slot, Status, Work};
use crate::lab::{DenoiserId, ExperimentId, RunConfig};
use crate::protocol::{Benchmark, Command, Event, Failure, FailureKind, ImageEvent, RunId};

/// What a network's timings depend on: width, depth and batch; nothing where none is trained in the plane.
pub(super) fn network(config: &RunConfig) -> Option<[u32; 3]> {
    let trained = config.experiment == ExperimentId::Plane && config.denoiser == DenoiserId::Trained;
    trained.then_some([config.width, config.depth, config.batch])
}

impl Session {
    fn measured(&mut self, slot: Slot, benchmark: &Benchmark) {
        let compared = self.comparing.take_if(|(_, at)| *at == slot);
        let device = self.device_mut(slot);
        device.benchmark = Some(benchmark.clone());
        device.timed = compared.as_ref().and_then(|(config, _)| network(config));
        // Timings that were put off may come all the same.
        let Some((config, _)) = compared else { return };
        self.measure_next(config, Some(slot));
        if self.comparing.is_some() {
            return;
        }
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
            | Event::Report { run, .. }
            | Event::Checkpoint { run, .. }
            | Event::Study { run, .. }
            | Event::Paused { run }
            | Event::Resumed { run }
            | Event::Images(
                ImageEvent::Frame { run, .. }
                | ImageEvent::Progress { run, .. }
                | ImageEvent::Batch { run, .. }
                | ImageEvent::Pool { run, .. },
            ) => Some(*run),
            Event::Done { run, .. } if self.ended_image_work(*run) => return true,
            Event::Done { run, .. } => Some(*run),
            _ => None,
        };
        if let Some(id) = run {
            let began = !matches!(event, Event::Done { began: false, .. });
            self.heard_of(id, began);
        }
        if run.is_some_and(|id| !self.is_current(slot, id)) {
            if let Event::Done { run, .. } = event {
                self.left_is_over(slot, *run);
            }
            return false;
        }
        match event {
            Event::Ready { device } => {
                let known = self.device_mut(slot);
                known.phase = Phase::Ready;
                known.info = Some(device.clone());
                let waiting = std::mem::take(&mut known.queue);
                self.limit_images(slot);
                for command in waiting {
                    // Newer weights may have arrived from another worker meanwhile.
                    if let Command::Sample { config, .. } | Command::Likelihood { config, .. } = &command
                        && config.experiment == ExperimentId::Plane
                    {
                        self.bring_models(slot, config);
                    }
                    self.post(slot, command);
                }
            }
            Event::Paused { .. } => self.become_state(Status::Paused),
            Event::Resumed { .. } => self.become_state(Status::Running),
            Event::Checkpoint { step, file, .. } => {
                if let Some(generation) = self.run.as_ref().and_then(|run| run.trains) {
                    self.weights.keep(generation, *step, file.clone());
                }
            }
            Event::Done { stopped, .. } => self.finished(slot, *stopped),
            Event::Weights { run, step, file } => return self.saved(*run, *step, file),
            Event::Loaded { run, step, .. } => return self.loaded(*run, *step),
            Event::Benchmark { benchmark } => self.measured(slot, benchmark),
            Event::Failed { run, failure } => return self.failed(slot, *run, failure),
            Event::Field { request, .. } => return self.is_newest_field(*request),
            Event::Images(event) => return self.receive_images(slot, event),
            Event::Training { .. } | Event::Frame { .. } | Event::Preview { .. } => {}
            // An answer to another worker comes to no page.
            Event::Evaluated { .. } => return false,
            Event::Quality { .. } | Event::Report { .. } | Event::Study { .. } => {}
        }
        true
    }

    fn finished(&mut self, slot: Slot, stopped: bool) {
        self.become_state(Status::Done);
        let Some(run) = &self.run else { return };
        let (training, config, then_sample) = (run.is_training(), run.config.clone(), run.then_sample);
        if training {
            self.training_is_over();
            if then_sample && !stopped {
                // Where the weights are, whatever the choice has become. What failed beside the training is still to be read.
                let failure = self.failure.take();
                self.begin(slot, Work::Sampling, config.clone(), |run| Command::Sample { run, config });
                self.failure = failure;
            }
        }
    }

    fn failed(&mut self, slot: Slot, run: Option<RunId>, failure: &Failure) -> bool {
        use FailureKind as Kind;
        if let Some(id) = run {
            self.heard_of(id, !matches!(failure.kind, Kind::BadConfig | Kind::BadFile));
        }
        let short = matches!(failure.kind, Kind::OutOfMemory | Kind::DeviceLost);
        if short && run.is_none_or(|id| self.is_current(slot, id)) && self.begin_again_with_less(slot) {
            return false;
        }
        if matches!(failure.kind, Kind::NoDevice | Kind::DeviceLost | Kind::Disconnected | Kind::Outdated) {
            self.actions.push(Action::Terminate(slot));
            // A second device that did not come up takes nothing away from a visitor who left the choice to the page.
            let told = self.lose(slot);
            if told {
                self.failure = Some(failure.clone());
            }
            return told;
        }
        match run {
            None => {
                self.comparing.take_if(|(_, at)| *at == slot);
            }
            // What was asked for beside a run did not come; the failure says why.
            Some(id) if self.ended_image_work(id) => {}
            Some(id) => match self.failed_file(id, failure) {
                Some(true) => {}
                Some(false) => return false,
                None if self.is_current(slot, id) => {
                    self.become_state(Status::Failed);
                    self.training_is_over();
                }
                None => {
                    self.left_is_over(slot, id);
                    return false;
                }
            },
        }
        self.failure = Some(failure.clone());
        self.teller = Some(slot);
        true
    }

    /// A worker is dead, and what it held is gone. Says whether the visitor has to know: it was in use, or something is
    /// lost.
    pub(super) fn lose(&mut self, slot: Slot) -> bool {
        let mut told = slot == self.active();
        told |= self.lose_weights(slot);
        let device = self.device_mut(slot);
        device.phase = Phase::Dead;
        device.queue.clear();
        self.lose_images(slot);
        self.comparing.take_if(|(_, at)| *at == slot);
        if let Some(run) = self.run.as_mut().filter(|run| run.slot == slot) {
            told |= run.is_going();
            if told {
                run.state = Status::Failed;
            }
        }
        told
    }

    /// A worker died, or could not be fetched.
    pub fn crashed(&mut self, slot: Slot, detail: &str) {
        // A program that gives up says why before it ends; without a word it ends when there is no memory left.
        let teller = self.teller.take().filter(|teller| *teller == slot);
        let words = teller.and(self.failure.clone());
        let words = words.filter(|f| matches!(f.kind, FailureKind::OutOfMemory | FailureKind::Internal));
        let speechless = detail.to_ascii_lowercase().contains("unreachable");
        if words.is_none() && speechless && self.begin_again_with_less(slot) {
            return;
        }
        self.actions.push(Action::Terminate(slot));
        if self.lose(slot) {
            // Which it was: what is told of two workers that die in the same way is told twice.
            let detail = format!("{slot:?}: {detail}");
            match words {
                Some(words) => self.failure = Some(words),
                None if speechless => self.fail(FailureKind::OutOfMemory, &detail),
                None => self.fail(FailureKind::Internal, &detail),
            }
        }
    }
}
