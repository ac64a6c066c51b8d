//! The worker: takes commands, runs one job at a time, and stays reachable while it does.

use super::error::EngineError;
use super::inbox::{Inbox, Port, ends_a_run};
use super::job::Job;
#[cfg(feature = "models")]
use super::models::Models;
#[cfg(feature = "studies")]
use super::study::Studying;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Command, Event, Failure, RunId};
#[cfg(feature = "studies")]
use crate::study;

/// What stays between runs.
pub struct Engine {
    /// The device.
    pub compute: ComputeDevice,
    /// The models of the plane and of images.
    #[cfg(feature = "models")]
    pub models: Models,
}

/// Serves a port for ever: the whole worker. Announces itself with [`Event::Ready`].
pub async fn serve(port: &mut impl Port, compute: ComputeDevice) {
    port.send(Event::Ready { device: compute.info.clone() });
    let mut engine = Engine {
        compute,
        #[cfg(feature = "models")]
        models: Models::default(),
    };
    let mut inbox = Inbox::new(port);
    loop {
        let command = inbox.wait().await;
        handle(&mut engine, &mut inbox, command).await;
    }
}

async fn handle<P: Port>(engine: &mut Engine, inbox: &mut Inbox<'_, P>, command: Command) {
    #[cfg(feature = "models")]
    super::models::make_room(engine, &command);
    match command {
        #[cfg(feature = "studies")]
        Command::Study { run, config } => match study::begin(&config, &engine.compute) {
            Some(running) => drive(engine, inbox, &mut Studying::new(run, running)).await,
            None => fail(inbox, Some(run), &EngineError::NoStudy),
        },
        #[cfg(not(feature = "studies"))]
        Command::Study { run, .. } => fail(inbox, Some(run), &EngineError::NotBuilt),
        #[cfg(feature = "models")]
        other => super::models::handle(engine, inbox, other).await,
        // Without a run there is nothing to hold, step or end.
        #[cfg(not(feature = "models"))]
        Command::Pause | Command::Resume | Command::Step | Command::Stop => {}
        #[cfg(not(feature = "models"))]
        _ => fail(inbox, None, &EngineError::NotBuilt),
    }
}

/// Runs a job to its end, or to the command that ends it.
#[cfg_attr(not(feature = "models"), expect(unused_variables, reason = "only models answer during a run"))]
pub(super) async fn drive<P: Port, J: Job>(engine: &Engine, inbox: &mut Inbox<'_, P>, job: &mut J) {
    let run = job.run();
    let mut since = inbox.port.now_ms();
    let mut millis = 0.0;
    let mut paused = false;
    let stopped = loop {
        inbox.breathe().await;
        let mut single = false;
        let command = if paused { Some(inbox.wait().await) } else { inbox.take() };
        match command {
            None => {}
            Some(Command::Pause) if !paused => {
                paused = true;
                millis += inbox.port.now_ms() - since;
                if let Err(error) = job.report(inbox).await {
                    return fail(inbox, Some(run), &error);
                }
                inbox.port.send(Event::Paused { run });
                continue;
            }
            Some(Command::Resume) if paused => {
                paused = false;
                since = inbox.port.now_ms();
                inbox.port.send(Event::Resumed { run });
                continue;
            }
            Some(Command::Step) if paused => {
                single = true;
                since = inbox.port.now_ms();
            }
            Some(command) if ends_a_run(&command) => {
                if command != Command::Stop {
                    inbox.put_back(command);
                }
                break true;
            }
            #[cfg(feature = "models")]
            Some(command @ (Command::Save | Command::Field { .. } | Command::Benchmark { .. })) => {
                match job.weights().await {
                    Ok(weights) => super::models::answer(engine, inbox, weights.as_ref(), command).await,
                    Err(error) => fail(inbox, None, &error),
                }
                continue;
            }
            // A second pause, or a step or resumption of a run that is not held.
            Some(_) => continue,
        }
        inbox.held = single;
        let finished = match job.advance(inbox).await {
            Ok(finished) => finished,
            Err(error) => return fail(inbox, Some(run), &error),
        };
        if single {
            millis += inbox.port.now_ms() - since;
            if let Err(error) = job.report(inbox).await {
                return fail(inbox, Some(run), &error);
            }
        }
        if finished {
            break false;
        }
    };
    if !paused {
        millis += inbox.port.now_ms() - since;
    }
    inbox.port.send(Event::Done { run, stopped, millis });
}

/// Tells the page what could not be done.
pub(super) fn fail<P: Port>(inbox: &mut Inbox<'_, P>, run: Option<RunId>, error: &EngineError) {
    inbox.port.send(Event::Failed { run, failure: Failure::from(error) });
}
