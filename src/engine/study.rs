//! The job that works on a study.

use super::error::EngineError;
use super::inbox::{Fetching, Inbox, Port, ends_a_run};
use super::job::Job;
use crate::nn::WeightsFile;
use crate::protocol::{Event, RunId};
use crate::study::StudyRun;

/// Between reports, in milliseconds: somewhat more than 30 a second, for a piece of work has to end before each.
const REPORT_MS: f64 = 28.0;

/// A file may be as long as this.
const LONGEST_FILE: usize = 1 << 22;

/// All the pieces of a file.
async fn whole(asked: Fetching) -> Result<Vec<u8>, String> {
    let (mut download, mut bytes) = (asked.await.map_err(|error| error.words)?, Vec::new());
    while let Some(piece) = download.piece().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LONGEST_FILE {
            return Err(format!("expected at most {LONGEST_FILE} bytes, found more"));
        }
    }
    Ok(bytes)
}

/// A study with its reports.
pub struct Studying {
    run: RunId,
    running: StudyRun,
    /// When the next report is due.
    next: f64,
}

impl Studying {
    /// A study that begins.
    #[must_use]
    pub fn new(run: RunId, running: StudyRun) -> Self {
        Self { run, running, next: f64::NEG_INFINITY }
    }

    fn tell<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) {
        inbox.port.send(Event::Study { run: self.run, update: self.running.take() });
    }
}

impl Job for Studying {
    fn run(&self) -> RunId {
        self.run
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        let start = inbox.port.now_ms();
        let due = start >= self.next;
        if let Some(name) = self.running.wanted() {
            let asked = inbox.port.fetch(name, None, 0);
            // What ends the run ends the waiting too; the file is then asked for in vain.
            let Some(file) = inbox.unless(ends_a_run, whole(asked)).await else { return Ok(false) };
            self.running.give(file);
        }
        let finished = self.running.advance(due, || inbox.port.now_ms()).await?;
        if due || finished {
            self.tell(inbox);
            // From one to the next, but half of the time is for the work itself.
            let end = inbox.port.now_ms();
            self.next = (start + REPORT_MS).max(end + (end - start));
        }
        Ok(finished)
    }

    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        self.tell(inbox);
        Ok(())
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        Ok(None)
    }
}
