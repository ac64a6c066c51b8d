//! The job that measures how likely a network finds one picture, an estimate at a time.

use super::known::picture;
use super::likelihood::{Asked, Bits};
use super::model::ImageModel;
use super::pool::WorkerPool;
use super::reporter::{Reporter, Teller};
use crate::data::metrics::{Floor, Measure};
use crate::diffusion::Schedule;
use crate::engine::error::{EngineError, ImageError};
use crate::engine::inbox::{Inbox, Port};
use crate::engine::job::Job;
use crate::lab::RunConfig;
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Event, Report, RunId, Subject};

/// The likelihood of the picture of a configuration: so many estimates as there are probes, each with its own
/// dequantisation, so that their spread is the error of their mean.
pub struct PictureLikelihood<'m> {
    run: RunId,
    config: RunConfig,
    /// The picture, channel by channel.
    pixels: Vec<u8>,
    model: &'m ImageModel,
    compute: &'m ComputeDevice,
    labels: Vec<Option<usize>>,
    teller: Teller,
    pool: &'m mut WorkerPool,
    /// Bits per dimension of every estimate.
    found: Vec<f64>,
    /// Levels of all estimates.
    levels: u32,
}

impl<'m> PictureLikelihood<'m> {
    /// The job.
    ///
    /// # Errors
    /// An [`ImageError`] when there is no picture, the network is of images of another size, or does not know the class.
    pub fn new(
        run: RunId,
        config: RunConfig,
        model: &'m ImageModel,
        compute: &'m ComputeDevice,
        pool: &'m mut WorkerPool,
        now: f64,
    ) -> Result<Self, ImageError> {
        let pixels = picture(&config, model)?;
        let labels = model.classes().labels(&config.image_class, 1.0, 0, 1)?;
        let mut teller = Teller::new(1);
        teller.begin(run, now);
        Ok(Self { run, config, pixels, model, compute, labels, teller, pool, found: Vec::new(), levels: 0 })
    }

    fn send<P: Port>(&self, port: &mut P) {
        let count = self.found.len();
        let mean = self.found.iter().sum::<f64>() / count.max(1) as f64;
        let error = if count > 1 { Floor::of(&self.found).spread / (count as f64).sqrt() } else { f64::NAN };
        let (of, done) = (self.config.probes.max(1), count as u32);
        let [value, spread] = self.model.bits.unwrap_or([f64::NAN; 2]);
        let rows = vec![
            Measure::new("bits", mean).with_error(error).against(value, spread),
            // Two more at every level are the differences.
            Measure::new("evaluations", 3.0 * f64::from(self.levels) / count.max(1) as f64),
        ];
        port.send(Event::Report {
            run: self.run,
            report: Report { subject: Subject::Likelihood, done, of, rows, ..Report::default() },
        });
    }
}

impl Job for PictureLikelihood<'_> {
    fn run(&self) -> RunId {
        self.run
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        let draw = self.found.len() as u32;
        let asked = Asked { pixels: &self.pixels, images: 1, labels: &self.labels, seed: self.config.seed, draw };
        let schedule = Schedule::from_config(&self.config);
        self.teller.part(draw, self.config.probes);
        let mut reporter = Reporter { inbox, teller: &mut self.teller, pool: self.pool };
        let tolerance = self.config.flow_tolerance;
        let found = asked.flow(self.model, &schedule, tolerance, self.compute, &mut reporter).await?;
        let Some(Bits { each, evaluations }) = found else { return Ok(false) };
        self.found.extend(each);
        self.levels += evaluations;
        if !self.found.iter().all(|bits| bits.is_finite()) {
            return Err(EngineError::SamplesDiverged { step: draw });
        }
        self.send(inbox.port);
        Ok(self.found.len() >= self.config.probes.max(1) as usize)
    }

    async fn report<P: Port>(&mut self, _: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        // Every estimate was reported when it was there.
        Ok(())
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        Ok(None)
    }
}
