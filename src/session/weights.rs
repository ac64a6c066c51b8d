//! Weights of the plane: which are the newest, who holds which, and how they get from one worker to the next.

use super::kept::{Cause, Change, Checkpoint, Held, Saving};
use super::{Action, Phase, Run, Session, Slot, Status, Work};
use crate::protocol::{Bytes, Command, Failure, FailureKind, RunId};

impl Session {
    /// The newest weights known to the page.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.weights.checkpoint.as_ref()
    }

    /// Whether weights have been trained or loaded.
    #[must_use]
    pub fn has_weights(&self) -> bool {
        self.checkpoint().is_some() || self.newest_home().is_some()
    }

    /// Whether leaving now would lose work: a training goes on or is held and no checkpoint of it has arrived, or the page
    /// waits for what one made.
    #[must_use]
    pub fn has_unsaved_work(&self) -> bool {
        let kept = self.checkpoint().map_or(0, |kept| kept.generation);
        let training = self.run.as_ref().filter(|run| run.is_going()).and_then(|run| run.trains);
        let left = self.devices.iter().filter_map(|device| device.left).map(|(_, generation)| generation);
        let saving = self.weights.saving.iter().map(|saving| saving.generation);
        training.into_iter().chain(left).chain(saving).any(|generation| generation > kept)
    }

    /// Who holds the newest weights, and which these are, where they are newer than what is kept.
    fn newest_home(&self) -> Option<(Slot, Held)> {
        let held = |slot: Slot| {
            let device = self.device(slot);
            let held =
                device.holds.filter(|held| device.phase == Phase::Ready && !self.weights.is_pending(slot, *held));
            Some((slot, held?))
        };
        let newest = Slot::MODELS.into_iter().filter_map(held).max_by_key(|(_, held)| *held)?;
        (Some(newest.1) > self.weights.kept()).then_some(newest)
    }

    /// The worker in use that knows models of the plane.
    pub(super) fn models(&self) -> Slot {
        if self.active() == Slot::Study { Slot::Cpu } else { self.active() }
    }

    /// Whether a worker has to be given the newest weights before it uses any.
    pub(super) fn lacks_weights(&self, slot: Slot) -> bool {
        self.device(slot).holds < self.weights.kept()
    }

    /// What a worker holds in place of this also if a training that it has not begun yet never begins.
    fn surely(&self, slot: Slot, mut held: Option<Held>) -> Option<Held> {
        let is_it = |change: &&Change, held| change.slot == slot && change.is_training() && Some(change.held) == held;
        while let Some(change) = self.weights.changes.iter().find(|change| is_it(change, held)) {
            held = change.before;
        }
        held
    }

    /// Gives a worker the newest weights if it does not hold them.
    pub(super) fn bring_weights(&mut self, slot: Slot) {
        self.bring_before_waiting_file(slot);
        if self.surely(slot, self.device(slot).holds) < self.weights.kept()
            && let (Some(held), Some(file)) = (self.weights.kept(), self.checkpoint().map(|kept| kept.file.clone()))
        {
            self.load(slot, held, file, Cause::Kept);
        }
    }

    /// A file that waits for a worker may be refused: what the worker has then is to be the newest as well, which may have
    /// arrived after the file.
    fn bring_before_waiting_file(&mut self, slot: Slot) {
        let Some(kept) = self.weights.kept() else { return };
        let waits = |change: &Change| change.is_given(slot) && self.surely(slot, change.before) < Some(kept);
        let Some(place) = self.weights.changes.iter().position(waits) else { return };
        let waiting = self.weights.changes[place].run;
        let named = |command: &Command| matches!(command, Command::Load { run, .. } if *run == waiting);
        let Some(file) = self.checkpoint().map(|kept| kept.file.clone()) else { return };
        let Some(at) = self.device(slot).queue.iter().position(named) else {
            // It is on its way already: the newest follow it, and it once more, if they do not yet.
            let follow = |later: &Change| later.slot == slot && later.held == kept;
            if !self.weights.changes.iter().any(follow)
                && let Change { held, cause: Cause::Given(again), .. } = self.weights.changes[place].clone()
            {
                self.load(slot, kept, file, Cause::Kept);
                self.load(slot, held, again, Cause::Kept);
            }
            return;
        };
        let run = self.name();
        let before = self.weights.changes[place].before.replace(kept);
        self.weights.changes.insert(place, Change { run, slot, held: kept, before, cause: Cause::Kept });
        self.device_mut(slot).queue.insert(at, Command::Load { run, file });
    }

    fn load(&mut self, slot: Slot, held: Held, file: Bytes, cause: Cause) {
        self.secure(slot);
        let run = self.name();
        let before = self.device_mut(slot).holds.replace(held);
        self.weights.changes.push(Change { run, slot, held, before, cause });
        self.post(slot, Command::Load { run, file });
    }

    fn save(&mut self, slot: Slot, generation: u32, exported: bool) {
        let run = self.name();
        self.weights.saving.push(Saving { run, slot, generation, exported });
        self.post(slot, Command::Save { run });
    }

    /// Asks for what a worker's training has made so far, or has made: it is about to be replaced, or over.
    pub(super) fn secure(&mut self, slot: Slot) {
        let left = self.device_mut(slot).left.take().map(|(_, generation)| generation);
        let here = |run: &&Run| run.slot == slot && run.is_going();
        let generation = self.run.as_ref().filter(here).and_then(|run| run.trains).or(left);
        if let Some(generation) = generation
            && self.device(slot).phase == Phase::Ready
            && self.device(slot).holds == Some(Held::whole(generation))
        {
            self.save(slot, generation, false);
        }
    }

    /// A training that the visitor has left is over: what it made is asked for.
    pub(super) fn left_is_over(&mut self, slot: Slot, run: RunId) {
        if self.device(slot).left.is_some_and(|(id, _)| id == run) {
            self.secure(slot);
        }
    }

    /// A run has been heard of: a training among those that may never begin has begun, or ended before it did. Then what
    /// its worker had before is there still.
    pub(super) fn heard_of(&mut self, run: RunId, began: bool) {
        let Some(change) = self.weights.take(|change| change.run == run && change.is_training()) else { return };
        if !began {
            self.device_mut(change.slot).left.take_if(|(id, _)| *id == run);
            self.came_to_nothing(&change);
        }
    }

    /// The training at hand came to its end, or failed.
    pub(super) fn training_is_over(&mut self) {
        let Some(Run { slot, trains: Some(generation), .. }) = self.run else { return };
        if self.device(slot).holds == Some(Held::whole(generation)) {
            self.save(slot, generation, false);
        }
    }

    /// Asks for the weights as a file; they come as [`Action::Deliver`].
    pub fn export(&mut self) {
        if let Some((home, held)) = self.newest_home() {
            self.save(home, held.generation, true);
        } else if let Some(kept) = self.checkpoint() {
            let file = kept.file.clone();
            self.actions.push(Action::Deliver(file));
        } else {
            self.fail(FailureKind::Untrained, "no network has been trained or loaded yet");
        }
    }

    /// Takes a file of weights. It ends a run, wherever that is.
    pub fn import(&mut self, file: Bytes) {
        let slot = self.models();
        self.failure = None;
        if !self.reach(slot) {
            return;
        }
        self.end_elsewhere(slot);
        if self.phase(slot) != Phase::Ready && self.running_slot() == slot {
            self.stop();
        }
        // Should the file be refused, the worker is to have what it had before, or should have had.
        self.bring_weights(slot);
        self.forget_waiting_files(slot);
        let generation = self.weights.next();
        self.load(slot, Held::whole(generation), file.clone(), Cause::Given(file));
    }

    /// Of several files that wait for a worker, only the newest counts.
    fn forget_waiting_files(&mut self, slot: Slot) {
        if self.phase(slot) == Phase::Ready {
            return;
        }
        while let Some(dropped) = self.weights.take(|change| change.is_given(slot)) {
            let named = |command: &Command| matches!(command, Command::Load { run, .. } if *run == dropped.run);
            self.device_mut(slot).queue.retain(|command| !named(command));
            self.came_to_nothing(&dropped);
        }
    }

    /// A worker's weights are what they were before a file that was refused, or a training that never began.
    pub(super) fn came_to_nothing(&mut self, change: &Change) {
        let Change { slot, held, before, .. } = *change;
        let later = self.weights.changes.iter_mut().filter(|later| later.slot == slot).map(|later| &mut later.before);
        for known in later.chain([&mut self.devices[slot as usize].holds]) {
            if *known == Some(held) {
                *known = before;
            }
        }
        // What it was asked for it answers with what it has.
        for saving in &mut self.weights.saving {
            if saving.slot == slot && Held::whole(saving.generation) == held {
                saving.generation = before.map_or(0, |before| before.generation);
            }
        }
    }

    /// A training that waited for its worker will not be. The weights that it was to go on from are as old again as they were,
    /// and what a worker alone holds that is newer, which nobody wanted meanwhile, is asked for.
    pub(super) fn waited_in_vain(&mut self, change: &Change) {
        self.came_to_nothing(change);
        let Cause::Training(Some(from)) = change.cause else { return };
        self.weights.renumber(change.held.generation, from);
        if let Some((home, held)) = self.newest_home() {
            self.save(home, held.generation, false);
        }
    }

    /// A worker has taken a file; says whether the visitor waited for that.
    pub(super) fn loaded(&mut self, run: RunId, step: u32) -> bool {
        match self.weights.take(|change| change.run == run) {
            Some(Change { held, cause: Cause::Given(file), .. }) => self.weights.keep(held.generation, step, file),
            _ => false,
        }
    }

    /// A worker has made a file; says whether the page waited for it.
    pub(super) fn saved(&mut self, run: RunId, step: u32, file: &Bytes) -> bool {
        let Some(place) = self.weights.saving.iter().position(|saving| saving.run == run) else { return false };
        let saving = self.weights.saving.remove(place);
        self.weights.keep(saving.generation, step, file.clone());
        if saving.exported {
            self.actions.push(Action::Deliver(file.clone()));
        }
        true
    }

    /// Whether this was the name of a file that a worker could not take or make, and whether the visitor has to know.
    pub(super) fn failed_file(&mut self, run: RunId, failure: &Failure) -> Option<bool> {
        if let Some(change) = self.weights.take(|change| change.run == run) {
            self.came_to_nothing(&change);
            return Some(true);
        }
        let place = self.weights.saving.iter().position(|saving| saving.run == run)?;
        let Saving { slot, generation, exported, .. } = self.weights.saving.remove(place);
        if failure.kind == FailureKind::Untrained && self.device(slot).holds == Some(Held::whole(generation)) {
            self.device_mut(slot).holds = None;
        }
        Some(exported)
    }

    /// Whether anything would be lost with a worker that nobody else has: weights, or a file that it was given.
    pub(super) fn would_lose(&self, slot: Slot) -> bool {
        let kept = self.checkpoint().map_or(0, |kept| kept.generation);
        let device = self.device(slot);
        let held = device.holds.filter(|_| device.phase == Phase::Ready).map_or(0, |held| held.generation);
        let given = self.weights.changes.iter().any(|change| change.is_given(slot));
        let saving = |saving: &Saving| saving.slot == slot && !saving.exported && saving.generation >= kept;
        given || held > kept || device.left.is_some() || self.weights.saving.iter().any(saving)
    }

    /// A worker's weights are gone with it. Says whether anything is lost that nobody else has.
    pub(super) fn lose_weights(&mut self, slot: Slot) -> bool {
        let mut lost = self.would_lose(slot);
        self.forget_waiting_training(slot);
        let device = self.device_mut(slot);
        (device.holds, device.left) = (None, None);
        self.weights.changes.retain(|change| change.slot != slot);
        let mut exported = 0;
        self.weights.saving.retain(|saving| {
            exported += u32::from(saving.slot == slot && saving.exported);
            saving.slot != slot
        });
        for _ in 0..exported {
            // The newest that there is now.
            match self.checkpoint().map(|kept| kept.file.clone()) {
                Some(file) => self.actions.push(Action::Deliver(file)),
                None => lost = true,
            }
        }
        lost
    }

    /// Takes weights that an earlier visit left behind.
    pub fn restore(&mut self, file: Bytes, step: u32) {
        let generation = self.weights.next();
        self.weights.keep(generation, step, file);
    }
}

impl Run {
    /// Whether it goes on or is held.
    pub(super) fn is_going(&self) -> bool {
        matches!(self.state, Status::Running | Status::Paused)
    }

    /// Whether it changes the weights.
    pub(super) fn is_training(&self) -> bool {
        self.work == Work::Training
    }
}
