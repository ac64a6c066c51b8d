//! `scorefield bench`: a training step and an evaluation, and the same by PyTorch where there is one.

mod network;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::count::count;
use super::device::{DeviceArg, DeviceArgs, home, open_through, spread};
use super::failure::{Failure, Outcome};
use super::train::recipe::supports;
use crate::data::ImageSet;
use crate::engine::image_trainer::{ImageTrainer, Recipe, TrainingPrecision};
use crate::nn::remote::speed;
use crate::nn::unet::UNetConfig;
use crate::rng::{Rng, Stream};
use network::{Meter, Network};

/// Times a training step and an evaluation of the U-Net on images of 32 x 32, and with --torch the same of PyTorch.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Channels at full resolution
    #[arg(long, default_value_t = 64, value_parser = count(4096))]
    pub channels: usize,
    /// Residual blocks of a level
    #[arg(long, default_value_t = 2, value_parser = count(16))]
    pub layers: usize,
    /// Images of a step
    #[arg(long, default_value_t = 32, value_parser = count(65_536))]
    pub batch: usize,
    /// Images computed at once
    #[arg(long, default_value_t = 16, value_parser = count(65_536))]
    pub piece: usize,
    /// What convolutions and matrices are computed in while training: bf16 on processors that have it, f16 on GPUs
    #[arg(long, value_enum, default_value = "f32")]
    pub compute: TrainingPrecision,
    /// Seconds for each measurement, at least three repetitions
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    /// Times the same network by PyTorch too
    #[arg(long)]
    pub torch: bool,
    /// The Python to ask, which has torch
    #[arg(long, default_value = "python3")]
    pub python: PathBuf,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Prints the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was measured. Times are medians, in milliseconds.
#[derive(Clone, Debug, Serialize)]
struct Report {
    device: String,
    threads: usize,
    compute: &'static str,
    channels: usize,
    layers: usize,
    batch: usize,
    parameters: usize,
    step_ms: f64,
    images_per_second: f64,
    evaluation_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network>,
    torch: Option<Torch>,
    /// Our time for PyTorch's.
    step_ratio: Option<f64>,
    evaluation_ratio: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Torch {
    torch: String,
    device: String,
    threads: usize,
    step_ms: f64,
    evaluation_ms: f64,
    /// The same in bfloat16 where PyTorch computes in it.
    bf16_step_ms: f64,
    bf16_evaluation_ms: f64,
}

/// Does it.
///
/// # Errors
/// When there is no such network or device.
pub fn run(args: &BenchArgs) -> Outcome {
    let BenchArgs { channels, layers, batch, piece, .. } = *args;
    let meter = match &args.device.device[..] {
        [DeviceArg::Remote(place)] if cfg!(feature = "remote") => {
            Some((place, Meter::to(place).map_err(|error| Failure::other(format!("there is no relay: {error}")))?))
        }
        _ => None,
    };
    let compute = match &meter {
        Some((place, meter)) => open_through(place, &meter.place)?,
        None => args.device.open()?,
    };
    let classes = (0..10).map(|class| class.to_string()).collect();
    let mut rng = Rng::new(0, Stream::Data, 0);
    let pixels = (0..64 * 3072).map(|_| rng.below(256) as u8).collect();
    let set = ImageSet::new(32, 3, pixels, (0..64).map(|i| i % 10).collect(), classes).map_err(Failure::other)?;
    let base = Recipe::default();
    let network = UNetConfig { channels, layers, dropout: 0.0, ..base.network.clone() };
    let recipe = Recipe { network, batch, piece, precision: args.compute, ..base };
    supports(recipe.precision, &recipe.network, std::slice::from_ref(&compute))?;
    recipe.validate(&set).map_err(Failure::usage)?;
    let threads = args.device.threads();
    let devices = std::slice::from_ref(&compute);
    let mut trainer = ImageTrainer::new(recipe, &home(devices)?, threads).map_err(Failure::usage)?;
    spread(&mut trainer, devices).map_err(Failure::usage)?;
    let (before, mut steps) = (meter.as_ref().map_or([0, 0], |(_, meter)| meter.bytes()), 0);
    let step_ms = median(args.seconds, || {
        steps += 1;
        trainer.advance(&set, 0.0).map_err(Failure::device)?;
        trainer.take_losses().map(drop).map_err(Failure::device)
    })?;
    let network = meter.as_ref().map(|(_, meter)| {
        let after = meter.bytes();
        let each = [0, 1].map(|way| (after[way] - before[way]) / steps);
        let paces = trainer.take_paces();
        let waited = paces.iter().map(|(_, pace)| pace.waited / pace.seconds).fold(0.0, f64::max);
        Ok::<_, Failure>(Network::new(each, speed(&compute).map_err(Failure::device)?, step_ms, waited))
    });
    let network = network.transpose()?;
    let evaluation_ms = median(args.seconds, || trainer.evaluate(&set).map_err(Failure::device))?;
    let torch = args.torch.then(|| torch(args, threads)).transpose()?;
    let report = Report {
        device: compute.info.name.clone(),
        threads,
        compute: trainer.recipe().precision.id(),
        channels,
        layers,
        batch,
        parameters: trainer.shapes().iter().map(|parameter| parameter.count()).sum(),
        step_ms,
        images_per_second: 1000.0 * batch as f64 / step_ms,
        evaluation_ms,
        network,
        step_ratio: torch.as_ref().map(|torch| step_ms / torch.step_ms),
        evaluation_ratio: torch.as_ref().map(|torch| evaluation_ms / torch.evaluation_ms),
        torch,
    };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report).map_err(Failure::other)?)?;
        return Ok(());
    }
    say!(
        "{}, {threads} threads, {}: {} parameters, {batch} images a step",
        report.device,
        report.compute,
        report.parameters
    )?;
    say!("training step {step_ms:.0} ms, {:.1} images/s; evaluation {evaluation_ms:.0} ms", report.images_per_second)?;
    if let Some(network) = &report.network {
        say!(
            "the line: {:.2} MB there and {:.2} back a step, {:.2} ms a question, {:.0} and {:.0} MB/s",
            network.sent as f64 / 1e6,
            network.received as f64 / 1e6,
            network.round_trip_ms,
            network.sent_mb_s,
            network.received_mb_s
        )?;
        say!(
            "{:.0} ms of a step are the line's, {:.1} %; {:.0} % of it this program waits; this batch is done soonest by {:.0} \
             such devices on one line",
            network.network_ms,
            100.0 * network.network_share,
            100.0 * network.waiting_share,
            network.most_workers.max(1.0)
        )?;
    }
    if let (Some(torch), Some(step), Some(evaluation)) = (&report.torch, report.step_ratio, report.evaluation_ratio) {
        say!(
            "torch {} on {}, {} threads: training step {:.0} ms, evaluation {:.0} ms; in bfloat16 {:.0} and {:.0} ms",
            torch.torch,
            torch.device,
            torch.threads,
            torch.step_ms,
            torch.evaluation_ms,
            torch.bf16_step_ms,
            torch.bf16_evaluation_ms
        )?;
        say!("ours takes {step:.2} times as long for a training step, {evaluation:.2} times for an evaluation")?;
    }
    Ok(())
}

fn median(seconds: u32, mut work: impl FnMut() -> Outcome) -> Outcome<f64> {
    work()?;
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 3 || start.elapsed().as_secs_f64() < f64::from(seconds) {
        let begin = Instant::now();
        work()?;
        times.push(1000.0 * begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn torch(args: &BenchArgs, threads: usize) -> Outcome<Torch> {
    let BenchArgs { channels, layers, batch, .. } = *args;
    let numbers = [channels, layers, batch, args.seconds as usize, threads].map(|number| number.to_string());
    let output = Command::new(&args.python)
        .args(["-c", include_str!("torch_step.py")])
        .args(numbers)
        .output()
        .map_err(|error| Failure::input(args.python.display(), error))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().last().unwrap_or("it said nothing");
    serde_json::from_slice(&output.stdout).map_err(|_| Failure::input(args.python.display(), last))
}
