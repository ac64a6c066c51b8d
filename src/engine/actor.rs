//! The worker: takes commands, runs one job at a time, and stays reachable while it does.

#[cfg(feature = "studies")]
use super::drive::drive;
use super::drive::fail;
use super::error::EngineError;
use super::inbox::{Inbox, Port};
#[cfg(feature = "models")]
use super::models::Models;
#[cfg(not(feature = "models"))]
use super::no_models::Models;
#[cfg(feature = "studies")]
use super::study::Studying;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Command, Event};
#[cfg(feature = "studies")]
use crate::study;

/// Serves a port for ever: the whole worker. Announces itself with [`Event::Ready`].
pub async fn serve(port: &mut impl Port, compute: ComputeDevice) {
    port.send(Event::Ready { device: compute.info.clone() });
    let mut models = Models::new(&compute);
    let mut inbox = Inbox::new(port);
    loop {
        let command = inbox.wait().await;
        models.make_room(&command);
        match command {
            #[cfg(feature = "studies")]
            Command::Study { run, config } => match study::begin(&config, &compute) {
                Some(running) => drive(&models, &mut inbox, &mut Studying::new(run, running)).await,
                None => fail(&mut inbox, Some(run), &EngineError::NoStudy),
            },
            #[cfg(not(feature = "studies"))]
            Command::Study { run, .. } => fail(&mut inbox, Some(run), &EngineError::NotBuilt),
            other => models.handle(&mut inbox, other).await,
        }
    }
}
