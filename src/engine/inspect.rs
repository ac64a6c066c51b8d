//! The job that compares samples with data in every way there is.

use super::error::EngineError;
use super::inbox::{Inbox, Port};
use super::job::Job;
use crate::data::metrics::Inspection;
use crate::lab::RunConfig;
use crate::nn::WeightsFile;
use crate::protocol::{Event, Floats, Report, RunId, Subject};

/// An inspection with its reports.
pub struct Inspecting {
    run: RunId,
    inspection: Inspection,
}

impl Inspecting {
    /// The inspection of these samples, in the data's own coordinates.
    ///
    /// # Errors
    /// When the configuration has no data.
    pub fn new(run: RunId, config: &RunConfig, points: &Floats) -> Result<Self, EngineError> {
        let dataset = config.data()?;
        let samples: Vec<[f64; 2]> = points.points().map(|p| p.map(f64::from)).collect();
        Ok(Self { run, inspection: Inspection::new(&dataset, &samples, config.seed) })
    }
}

impl Job for Inspecting {
    fn run(&self) -> RunId {
        self.run
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        let finished = self.inspection.step();
        // The numbers at once, their floors and errors at the end; in between, that it goes on.
        let (done, of) = self.inspection.progress();
        let rows = if done == 1 || finished { self.inspection.rows() } else { Vec::new() };
        let report = Report { subject: Subject::Samples, done, of, rows, ..Report::default() };
        inbox.port.send(Event::Report { run: self.run, report });
        Ok(finished)
    }

    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        let (done, of) = self.inspection.progress();
        let report = Report { subject: Subject::Samples, done, of, rows: self.inspection.rows(), ..Report::default() };
        inbox.port.send(Event::Report { run: self.run, report });
        Ok(())
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        Ok(None)
    }
}
