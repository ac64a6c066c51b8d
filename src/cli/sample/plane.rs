//! Points in the plane: the page's own job, with a port that only listens.

use std::fmt::Write as _;
use std::time::Instant;

use serde::Serialize;

use super::args::SampleArgs;
use crate::cli::device::wait;
use crate::cli::failure::{Failure, Kind, Outcome};
use crate::cli::{files, interrupt};
use crate::data::metrics::Quality;
use crate::engine::Port;
use crate::engine::inbox::Inbox;
use crate::engine::job::Job as _;
use crate::engine::plane::{PlaneRun, Sampled};
use crate::engine::sample::Sampling;
use crate::lab::{DenoiserId, ExperimentId};
use crate::nn::WeightsFile;
use crate::protocol::{Command, Event, RunId};

/// Keeps what is reported; nobody commands.
struct Listener {
    start: Instant,
    points: Vec<f32>,
    evaluations: u32,
    quality: Option<Quality>,
}

impl Port for Listener {
    fn try_recv(&mut self) -> Option<Command> {
        interrupt::asked().then_some(Command::Stop)
    }
    async fn recv(&mut self) -> Command {
        Command::Stop
    }
    fn send(&mut self, event: Event) {
        match event {
            Event::Frame { points, evaluations, .. } => (self.points, self.evaluations) = (points.0, evaluations),
            Event::Quality { quality, .. } => self.quality = Some(quality),
            _ => {}
        }
    }
    async fn yield_now(&self) {}
    fn now_ms(&self) -> f64 {
        1000.0 * self.start.elapsed().as_secs_f64()
    }
}

#[derive(Clone, Debug, Serialize)]
struct Summary {
    points: usize,
    evaluations: u32,
    solver: &'static str,
    seed: u32,
    quality: Option<Quality>,
    seconds: f64,
}

/// Draws points and writes them as a table.
pub fn run(args: &SampleArgs, weights: Option<WeightsFile>) -> Outcome {
    let Some(out) = &args.out else { return Err(Failure::usage("points are written to --out FILE")) };
    let mut config = args.config.config()?;
    if config.experiment == ExperimentId::Images {
        return Err(Failure::usage("a run of images needs --weights"));
    }
    config.denoiser = if weights.is_some() { DenoiserId::Trained } else { DenoiserId::Exact };
    if let Some(count) = args.count {
        config.samples = u32::try_from(count).map_err(Failure::usage)?;
    }
    let compute = args.device.open()?;
    interrupt::listen();
    let sampled = Sampled::new(config.clone(), weights.as_ref()).map_err(Failure::usage)?;
    let mut job = Sampling::new(RunId::default(), PlaneRun::new(&sampled, &compute));
    let mut port = Listener { start: Instant::now(), points: Vec::new(), evaluations: 0, quality: None };
    let mut inbox = Inbox::new(&mut port);
    while !wait(job.advance(&mut inbox)).map_err(Failure::other)? {
        if interrupt::asked() {
            return Err(Failure::new(Kind::Interrupted, "ended before its time"));
        }
    }
    let Listener { start, points, evaluations, quality } = port;
    let mut table = String::from("x,y\n");
    for pair in points.chunks_exact(2) {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{},{}", pair[0], pair[1]);
    }
    files::write(out, table.as_bytes())?;
    let summary = Summary {
        points: points.len() / 2,
        evaluations,
        solver: config.solver.id(),
        seed: config.seed,
        quality,
        seconds: start.elapsed().as_secs_f64(),
    };
    if args.json {
        say!("{}", serde_json::to_string(&summary).map_err(Failure::other)?)?;
    } else {
        let Summary { points, solver, seed, quality, .. } = &summary;
        say!("{points} points by {solver}, {evaluations} evaluations, seed {seed}: {}", out.display())?;
        if let Some(Quality { kl, kl_floor, sliced, sliced_floor, .. }) = quality {
            say!("divergence {kl:.4} (data {kl_floor:.4}), sliced distance {sliced:.4} (data {sliced_floor:.4})")?;
        }
    }
    Ok(())
}
