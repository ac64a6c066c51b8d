//! What stands for the models in a program of studies alone.

use super::drive::{Aside, fail};
use super::error::EngineError;
use super::inbox::{Inbox, Port};
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::Command;

/// No models.
pub struct Models;

impl Models {
    /// None, whatever the device.
    pub fn new(_: &ComputeDevice) -> Self {
        Self
    }

    /// Nothing to let go of.
    pub fn make_room(&mut self, _: &Command) {}

    /// Says that another program does that. Without a run there is nothing to hold, step or end.
    pub async fn handle<P: Port>(&mut self, inbox: &mut Inbox<'_, P>, command: Command) {
        if !matches!(command, Command::Pause | Command::Resume | Command::Step | Command::Stop) {
            fail(inbox, None, &EngineError::NotBuilt);
        }
    }
}

impl Aside for Models {
    async fn answer<P: Port>(&self, inbox: &mut Inbox<'_, P>, _: Option<&WeightsFile>, _: Command) {
        fail(inbox, None, &EngineError::NotBuilt);
    }
}
