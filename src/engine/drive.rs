//! A job from its first step to its last, or to the command that ends it.

use super::error::EngineError;
use super::inbox::{Inbox, Port, ends_a_run};
use super::job::Job;
use crate::nn::WeightsFile;
use crate::protocol::{Command, Event, Failure, RunId};

/// Who answers commands that leave a run alone: for the weights, for a score field, for timings.
#[allow(async_fn_in_trait)]
pub trait Aside {
    /// Answers a command; the weights of the run, if it has any, go before those at hand.
    async fn answer<P: Port>(&self, inbox: &mut Inbox<'_, P>, current: Option<&WeightsFile>, command: Command);
}

/// Runs a job to its end, or to the command that ends it.
pub async fn drive<P: Port, J: Job>(aside: &impl Aside, inbox: &mut Inbox<'_, P>, job: &mut J) {
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
            Some(command @ (Command::Save { .. } | Command::Field { .. } | Command::Benchmark { .. })) => {
                match job.weights().await {
                    Ok(weights) => aside.answer(inbox, weights.as_ref(), command).await,
                    Err(error) => {
                        let asked = if let Command::Save { run } = command { Some(run) } else { None };
                        fail(inbox, asked, &error);
                    }
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
    inbox.port.send(Event::Done { run, began: true, stopped, millis });
}

/// Tells the page what could not be done.
pub fn fail<P: Port>(inbox: &mut Inbox<'_, P>, run: Option<RunId>, error: &EngineError) {
    inbox.port.send(Event::Failed { run, failure: Failure::from(error) });
}
