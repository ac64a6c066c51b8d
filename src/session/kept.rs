//! What the session knows of weights: the newest that the page keeps, and the files that are on their way.

use super::slot::Slot;
use crate::protocol::{Bytes, RunId};

/// Weights that outlive their worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What [`Command::Continue`](crate::protocol::Command::Continue) and
    /// [`Command::Load`](crate::protocol::Command::Load) take.
    pub file: Bytes,
    /// Training steps behind it.
    pub step: u32,
    pub(super) generation: u32,
}

/// Weights of a worker: of which generation, after how many steps. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub generation: u32,
    pub step: u32,
}

impl Held {
    /// What a worker makes itself: it has all steps there are.
    pub const fn whole(generation: u32) -> Self {
        Self { generation, step: u32::MAX }
    }
}

/// A change of a worker's weights that was asked for and has not been heard of yet: it may come to nothing.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub run: RunId,
    pub slot: Slot,
    /// The worker's weights if it comes about, and if it does not.
    pub held: Held,
    pub before: Option<Held>,
    pub cause: Cause,
}

/// What changes a worker's weights.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// A training; the generation of the weights that it goes on from, if it does.
    Training(Option<u32>),
    /// A file of the page's own.
    Kept,
    /// A file of the visitor's: it becomes the newest weights.
    Given(Bytes),
}

impl Change {
    /// Whether it is a training.
    pub fn is_training(&self) -> bool {
        matches!(self.cause, Cause::Training(_))
    }

    /// Whether it is a file that the visitor gave to this worker.
    pub fn is_given(&self, slot: Slot) -> bool {
        self.slot == slot && matches!(self.cause, Cause::Given(_))
    }
}

/// A file that a worker was asked for.
#[derive(Clone, Debug)]
pub(super) struct Saving {
    pub run: RunId,
    pub slot: Slot,
    pub generation: u32,
    /// Whether the visitor gets it.
    pub exported: bool,
}

/// What the session knows of weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    /// The newest that the page has.
    pub checkpoint: Option<Checkpoint>,
    /// Counts trainings and files, in the order in which the visitor asked for them.
    generations: u32,
    pub changes: Vec<Change>,
    pub saving: Vec<Saving>,
}

impl Weights {
    /// The number of weights that are new.
    pub fn next(&mut self) -> u32 {
        self.generations += 1;
        self.generations
    }

    /// The newest that the page has.
    pub fn kept(&self) -> Option<Held> {
        self.checkpoint.as_ref().map(|kept| Held { generation: kept.generation, step: kept.step })
    }

    /// Keeps weights, unless newer ones are kept; says whether it does.
    pub fn keep(&mut self, generation: u32, step: u32, file: Bytes) -> bool {
        let newer = self.kept() <= Some(Held { generation, step });
        if newer {
            self.checkpoint = Some(Checkpoint { file, step, generation });
        }
        newer
    }

    /// The newest, if they are of this generation.
    pub fn of(&mut self, generation: u32) -> Option<&mut Checkpoint> {
        self.checkpoint.as_mut().filter(|kept| kept.generation == generation)
    }

    /// Gives weights of one generation, kept or asked for, the number of another: they count as that old.
    pub fn renumber(&mut self, from: u32, to: u32) {
        if let Some(kept) = self.of(from) {
            kept.generation = to;
        }
        for saving in self.saving.iter_mut().filter(|saving| saving.generation == from) {
            saving.generation = to;
        }
    }

    /// Whether a worker has yet to say that it took these.
    pub fn is_pending(&self, slot: Slot, held: Held) -> bool {
        self.changes.iter().any(|change| change.held == held && change.is_given(slot))
    }

    /// Takes the first such change out of the list.
    pub fn take(&mut self, is_it: impl Fn(&Change) -> bool) -> Option<Change> {
        let place = self.changes.iter().position(is_it)?;
        Some(self.changes.remove(place))
    }
}
