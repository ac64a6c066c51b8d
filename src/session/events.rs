//! What follows from the events of the workers, and from their deaths.

use super::{Action, Checkpoint, Phase, Run, Session, Slot, Status, Work};
use crate::protocol::{Benchmark, Command, Event, Failure, FailureKind, ImageEvent, RunId};

impl Session {
    fn measured(&mut self, slot: Slot, benchmark: &Benchmark) {
        self.device_mut(slot).benchmark = Some(benchmark.clone());
        if self.comparing.is_some() && self.measure_next(Some(slot)) {
            return;
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
        if run.is_some_and(|id| !self.is_current(slot, id)) {
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
                    self.post(slot, command);
                }
            }
            Event::Paused { .. } => self.become_state(Status::Paused),
            Event::Resumed { .. } => self.become_state(Status::Running),
            Event::Checkpoint { step, file, .. } => {
                self.checkpoint = Some(Checkpoint { file: file.clone(), step: *step, generation: self.generation });
            }
            Event::Done { stopped, .. } => self.finished(slot, *stopped),
            Event::Weights { step, file, .. } => {
                self.checkpoint = Some(Checkpoint { file: file.clone(), step: *step, generation: self.generation });
                if std::mem::take(&mut self.exporting) {
                    self.actions.push(Action::Deliver(file.clone()));
                }
            }
            Event::Loaded { run, step, .. } => return self.loaded(slot, *run, *step),
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
        let (work, config, then_sample) = (run.work, run.config.clone(), run.then_sample);
        if work == Work::Training {
            let saved = self.name();
            self.post(slot, Command::Save { run: saved });
            if then_sample && !stopped {
                // Where the weights are, whatever the choice has become.
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
        let short = matches!(failure.kind, FailureKind::OutOfMemory | FailureKind::DeviceLost);
        if short && run.is_none_or(|id| self.is_current(slot, id)) && self.begin_again_with_less(slot) {
            return false;
        }
        if let Some(id) = run {
            if self.ended_image_work(id) {
                // What was asked for beside a run did not come; the failure says why.
            } else if self.importing.as_ref().is_some_and(|(name, _)| *name == id) {
                self.importing = None;
            } else if self.is_current(slot, id) {
                self.become_state(Status::Failed);
            } else {
                return false;
            }
        }
        use FailureKind as Kind;
        let lost = matches!(failure.kind, Kind::NoDevice | Kind::DeviceLost | Kind::Disconnected | Kind::Outdated);
        if lost {
            if self.is_busy() && self.running_slot() == slot {
                self.become_state(Status::Failed);
            }
            self.device_mut(slot).phase = Phase::Dead;
            self.device_mut(slot).holds = None;
            self.lose_images(slot);
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

    /// A worker is dead, and what it held is gone.
    pub(super) fn lose(&mut self, slot: Slot) {
        let device = self.device_mut(slot);
        device.phase = Phase::Dead;
        device.holds = None;
        device.queue.clear();
        self.lose_images(slot);
    }

    /// A worker died, or could not be fetched.
    pub fn crashed(&mut self, slot: Slot, detail: &str) {
        // A program that gives up says why before it ends; without a word it ends when there is no memory left.
        let words = self.failure.clone().filter(|f| matches!(f.kind, FailureKind::OutOfMemory | FailureKind::Internal));
        let speechless = detail.to_lowercase().contains("unreachable");
        if words.is_none() && speechless && self.begin_again_with_less(slot) {
            return;
        }
        let concerned = self
            .run
            .as_ref()
            .is_some_and(|run| run.slot == slot && matches!(run.state, Status::Running | Status::Paused))
            || slot == self.active();
        self.lose(slot);
        self.comparing = None;
        self.exporting = false;
        self.importing = None;
        self.actions.push(Action::Terminate(slot));
        if concerned {
            let run_was_here = self.run.as_ref().is_some_and(|run| run.slot == slot);
            if run_was_here {
                self.become_state(Status::Failed);
            }
            match words {
                Some(words) => self.failure = Some(words),
                None if speechless => self.fail(FailureKind::OutOfMemory, detail),
                None => self.fail(FailureKind::Internal, detail),
            }
        }
    }
}
