//! The job that computes likelihoods of fresh data: by the probability flow, and by the variational bound of a chain.

use super::error::{EngineError, Stopped};
use super::inbox::{Inbox, Port};
use super::job::Job;
use super::learned::{Interruptible, Points, Source};
use super::plane::Sampled;
use super::preview::in_data;
use crate::data::metrics::Floor;
use crate::data::metrics::Measure;
use crate::diffusion::likelihood::{Probes, decoder_std, flow_likelihood, variational_bound};
use crate::diffusion::solver::{Tolerance, follow};
use crate::diffusion::{Level, Schedule, State as _};
use crate::lab::DivergenceId;
use crate::nn::WeightsFile;
use crate::nn::device::ComputeDevice;
use crate::protocol::{Event, Floats, Report, RunId, Subject};
use crate::rng::{Rng, Stream};

/// Points whose flow is followed together.
const CHUNK: usize = 64;
/// Most points whose codes are shown.
const SHOWN: usize = 500;
/// Index of the job's first stream, beyond those of training and of the metrics.
const FIRST: u32 = 1 << 24;
/// Streams of a chunk: one per step of the chain, and the probes.
const STREAMS: u32 = 1 << 11;

/// What has been found, point by point, in nats and in the model's coordinates.
#[derive(Clone, Debug, Default)]
struct Found {
    /// By the flow.
    flow: Vec<f64>,
    /// Exactly, at the flow's smallest noise.
    marginal: Vec<f64>,
    /// Exactly, of the data.
    clean: Vec<f64>,
    /// The variational bound of the logarithm of the density.
    bound: Vec<f64>,
    /// Square of the norm of the code, per dimension, in variances of the prior.
    squares: Vec<f64>,
    /// Square of the distance between a point and what its code decodes to.
    back: Vec<f64>,
    latent: Points,
    /// Terms of the bound, summed over points.
    prior: f64,
    reconstruction: f64,
    steps: Vec<f64>,
    /// Evaluations of the flow, summed over points.
    evaluations: f64,
}

/// A computation of likelihoods with its reports.
pub struct Likelihood<'s> {
    run: RunId,
    sampled: &'s Sampled,
    source: Source<'s>,
    schedule: Schedule,
    levels: Vec<Level>,
    data: Points,
    found: Found,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Standard error of the mean.
fn error(values: &[f64]) -> f64 {
    Floor::of(values).spread / (values.len().max(1) as f64).sqrt()
}

impl<'s> Likelihood<'s> {
    /// The computation.
    #[must_use]
    pub fn new(run: RunId, sampled: &'s Sampled, compute: &ComputeDevice) -> Self {
        let config = sampled.config();
        let schedule = Schedule::from_config(config);
        let levels = schedule.grid(config.spacing.into(), config.steps as usize);
        let mut rng = Rng::new(config.seed, Stream::Data, FIRST);
        let data = sampled.dataset().standard.draw(&mut rng, config.points as usize);
        Self { run, sampled, source: sampled.source(compute), schedule, levels, data, found: Found::default() }
    }

    fn probes(&self, count: usize, chunk: u32) -> (Vec<Points>, f64) {
        let config = self.sampled.config();
        let draw = |i: u32| Rng::new(config.seed, Stream::Directions, FIRST + chunk * STREAMS + i);
        let share = 1.0 / f64::from(config.probes.max(1));
        let of = |one: fn(&mut Rng) -> f64| {
            (0..config.probes.max(1))
                .map(|i| {
                    let mut rng = draw(i);
                    (0..count).map(|_| [one(&mut rng), one(&mut rng)]).collect()
                })
                .collect()
        };
        match config.divergence {
            DivergenceId::Exact => (vec![vec![[1.0, 0.0]; count], vec![[0.0, 1.0]; count]], 1.0),
            DivergenceId::Signs => (of(Rng::sign), share),
            DivergenceId::Normal => (of(Rng::normal), share),
        }
    }

    fn send<P: Port>(&self, inbox: &mut Inbox<'_, P>) {
        let done = self.found.flow.len();
        let shown = done.min(SHOWN);
        let scale = 1.0 / self.schedule.prior_std();
        let parts = |count: usize| u32::try_from(count.div_ceil(CHUNK)).unwrap_or(u32::MAX);
        let average = 1.0 / done.max(1) as f64;
        let terms = self.found.steps.iter().zip(&self.levels).map(|(sum, level)| [level.t, sum * average]);
        let report = Report {
            subject: Subject::Likelihood,
            done: parts(done),
            of: parts(self.data.len()),
            rows: self.rows(),
            data: Floats::from_points(&in_data(&self.data[..shown], self.sampled.dataset())),
            latent: Floats::from_points(&self.found.latent[..shown].to_vec().scale(scale)),
            terms: Floats::from_points(&terms.collect::<Vec<_>>()),
        };
        inbox.port.send(Event::Report { run: self.run, report });
    }

    /// The numbers in the data's own coordinates.
    fn rows(&self) -> Vec<Measure> {
        let (found, scale) = (&self.found, self.sampled.dataset().scale);
        let count = found.flow.len() as f64;
        if found.flow.is_empty() {
            return Vec::new();
        }
        let jacobian = 2.0 * scale.ln();
        let bits = |nats: f64| -nats / (2.0 * std::f64::consts::LN_2);
        let (flow, exact) = (mean(&found.flow) - jacobian, mean(&found.marginal) - jacobian);
        let gaps: Vec<f64> = found.flow.iter().zip(&found.marginal).map(|(flow, exact)| flow - exact).collect();
        let nothing = f64::NAN;
        vec![
            Measure::new("flow", flow).with_error(error(&found.flow)).against(exact, nothing),
            Measure::new("bits", bits(flow)).with_error(-bits(error(&found.flow))).against(bits(exact), nothing),
            Measure::new("gap", mean(&gaps)).with_error(error(&gaps)).against(0.0, nothing),
            Measure::new("bound", mean(&found.bound) - jacobian)
                .with_error(error(&found.bound))
                .against(mean(&found.clean) - jacobian, nothing),
            Measure::new("prior", found.prior / count),
            Measure::new("reconstruction", found.reconstruction / count + jacobian),
            Measure::new("back", scale * mean(&found.back).sqrt()).against(0.0, nothing),
            Measure::new("latent", mean(&found.squares))
                .with_error(error(&found.squares))
                .against(1.0, (1.0 / count).sqrt()),
            Measure::new("evaluations", found.evaluations / count),
        ]
    }
}

impl Job for Likelihood<'_> {
    fn run(&self) -> RunId {
        self.run
    }

    async fn advance<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<bool, EngineError> {
        let config = self.sampled.config();
        let (start, seed) = (self.found.flow.len(), config.seed);
        let x: Points = self.data[start..self.data.len().min(start + CHUNK)].to_vec();
        let chunk = u32::try_from(start / CHUNK).unwrap_or(u32::MAX);
        let stream = FIRST + chunk * STREAMS;
        let tolerance = Tolerance { relative: config.flow_tolerance, absolute: config.flow_tolerance };
        let (probes, weight) = self.probes(x.len(), chunk);
        let (last, first) = self.schedule.time_range();
        let (noisiest, cleanest) = (self.schedule.level(last), self.schedule.level(first));
        let mut model = Interruptible::new(&mut self.source, inbox);

        let mut traced = Probes { model: &mut model, probes: &probes, weight };
        let flow = flow_likelihood(&self.schedule, tolerance, &mut traced, x.clone()).await;
        // What was computed until an interruption is worth nothing.
        let Some(flow) = Stopped::unless_interrupted(flow)? else { return Ok(false) };

        let ends = (noisiest, cleanest);
        let back = follow(&self.schedule, tolerance, ends, &mut model, flow.latent.clone()).await;
        let Some((again, _)) = Stopped::unless_interrupted(back)? else { return Ok(false) };

        let decoder = decoder_std(&self.levels);
        let mut noise = |number: usize| {
            Rng::new(seed, Stream::Noise, stream + u32::try_from(number).unwrap_or(0)).normal_points(x.len())
        };
        let normal = async |data: &Points, mean: &Points| {
            let log = |(a, b): (&[f64; 2], &[f64; 2])| {
                let square = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
                -0.5 * square / decoder.powi(2) - (std::f64::consts::TAU * decoder.powi(2)).ln()
            };
            Ok(data.iter().zip(mean).map(log).collect())
        };
        let bound = variational_bound(
            &self.levels,
            &mut model,
            &x,
            &mut noise,
            self.schedule.prior_std(),
            |posterior, _, _| posterior.variance,
            normal,
        )
        .await;
        let Some(bound) = Stopped::unless_interrupted(bound)? else { return Ok(false) };

        if !flow.log_density.iter().chain(&bound.samples).all(|v| v.is_finite()) {
            return Err(EngineError::SamplesDiverged { step: chunk });
        }
        let mixture = &self.sampled.dataset().standard;
        let (marginal, clean) = (mixture.at(cleanest), mixture.at(crate::diffusion::schedule::clean()));
        let found = &mut self.found;
        let (count, prior) = (x.len() as f64, self.schedule.prior_std().powi(2));
        found.flow.extend(&flow.log_density);
        found.marginal.extend(x.iter().map(|&x| marginal.log_density(x)));
        found.clean.extend(x.iter().map(|&x| clean.log_density(x)));
        found.bound.extend(bound.samples.iter().map(|nats| -nats));
        found.squares.extend(flow.latent.iter().map(|z| 0.5 * (z[0] * z[0] + z[1] * z[1]) / prior));
        found.back.extend(x.iter().zip(&again).map(|(a, b)| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)));
        found.latent.extend(&flow.latent);
        found.prior += count * bound.prior;
        found.reconstruction += count * bound.reconstruction;
        found.steps.resize(bound.steps.len(), 0.0);
        found.steps.iter_mut().zip(&bound.steps).for_each(|(sum, term)| *sum += count * term);
        found.evaluations += count * f64::from(flow.evaluations);
        self.send(inbox);
        Ok(self.found.flow.len() >= self.data.len())
    }

    async fn report<P: Port>(&mut self, inbox: &mut Inbox<'_, P>) -> Result<(), EngineError> {
        self.send(inbox);
        Ok(())
    }

    async fn weights(&mut self) -> Result<Option<WeightsFile>, EngineError> {
        Ok(None)
    }
}
