//! A run in steps.

use super::error::EngineError;
use super::inbox::{Inbox, Port};
use crate::nn::WeightsFile;
use crate::protocol::RunId;

/// A run in steps. One type per kind of run.
#[allow(async_fn_in_trait)]
pub trait Job {
    /// Its name.
    fn run(&self) -> RunId;
    /// One step and whatever reports are due. Says whether the run is over.
    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError>;
    /// Reports what has not been reported yet, because the run is held or was stepped by hand.
    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError>;
    /// The weights at hand, if the job makes any.
    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError>;
}
