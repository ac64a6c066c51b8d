//! What waits for a worker that is on its way: of what the visitor asks for meanwhile, only what still counts.

use super::{Phase, Session, Slot};
use crate::protocol::{Command, ImageCommand, RunId};

/// Whether a command begins, holds or ends a run.
fn is_of_run(command: &Command) -> bool {
    matches!(
        command,
        Command::Train { .. }
            | Command::Continue { .. }
            | Command::Sample { .. }
            | Command::Study { .. }
            | Command::Likelihood { .. }
            | Command::Inspect { .. }
            | Command::Pause
            | Command::Resume
            | Command::Step
            | Command::Stop
    )
}

/// Whether a worker that takes timings gives them up for this command.
fn takes_time(command: &Command) -> bool {
    matches!(command, Command::Load { .. } | Command::Images(_) | Command::Stop)
}

impl Session {
    /// Posts a command, now or as soon as the worker is there.
    pub(super) fn post(&mut self, slot: Slot, command: Command) {
        if takes_time(&command) {
            self.put_comparison_off(slot);
        }
        if self.phase(slot) == Phase::Ready {
            return self.actions.push(super::Action::Post(slot, command));
        }
        // Of fields and of numbers of cores only the newest counts.
        let is_field = |command: &Command| matches!(command, Command::Field { .. });
        let are_cores = |command: &Command| matches!(command, Command::Images(ImageCommand::Cores { .. }));
        let replaces = |earlier: &Command| {
            (is_field(&command) && is_field(earlier)) || (are_cores(&command) && are_cores(earlier))
        };
        self.device_mut(slot).queue.retain(|earlier| !replaces(earlier));
        self.device_mut(slot).queue.push(command);
    }

    /// A worker gives timings up without a word; they are taken when there is time again.
    pub(super) fn put_comparison_off(&mut self, slot: Slot) {
        if self.comparing.take_if(|(_, at)| *at == slot).is_some() {
            self.compared = false;
        }
    }

    /// The run that waits for this worker will not be: the worker never hears of it.
    pub(super) fn forget_waiting_run(&mut self, slot: Slot) {
        if self.phase(slot) == Phase::Ready {
            return;
        }
        self.device_mut(slot).queue.retain(|command| !is_of_run(command));
        self.forget_waiting_training(slot);
    }

    /// The trainings that wait for this worker will not be.
    pub(super) fn forget_waiting_training(&mut self, slot: Slot) {
        if self.phase(slot) == Phase::Ready {
            return;
        }
        while let Some(change) = self.weights.take(|change| change.slot == slot && change.is_training()) {
            self.waited_in_vain(&change);
        }
    }

    /// Forgets the loads of images that wait for this worker.
    pub(super) fn forget_waiting_images(&mut self, slot: Slot) {
        if self.phase(slot) == Phase::Ready {
            return;
        }
        let mut dropped: Vec<RunId> = Vec::new();
        self.device_mut(slot).queue.retain(|command| {
            if let Command::Images(ImageCommand::Load { run, .. }) = command {
                dropped.push(*run);
            }
            !matches!(command, Command::Images(ImageCommand::Load { .. }))
        });
        for run in dropped {
            self.ended_image_load(run);
        }
    }
}
