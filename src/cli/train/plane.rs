//! Training on points in the plane: the page's own runs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::{STATE, TrainArgs, interval, refuse_second_run};
use super::metrics::{Metrics, Row};
use super::plane_state::{from_bytes, is_one, to_bytes};
use crate::cli::device::wait;
use crate::cli::failure::{Failure, Kind, Outcome};
use crate::cli::progress::{Progress, clock};
use crate::cli::{files, interrupt};
use crate::data::DatasetId;
use crate::engine::Trainer;
use crate::engine::reproduction::Digests;
use crate::lab::RunConfig;
use crate::nn::device::ComputeDevice;

/// The weights, in the form that the page exports and reads.
pub const WEIGHTS: &str = "weights.safetensors";
/// Steps between rows of the table.
const ROW: u32 = 100;

#[derive(Clone, Debug, Serialize)]
struct Summary {
    file: PathBuf,
    device: String,
    finished: bool,
    step: u32,
    seconds: f64,
    loss: Option<f64>,
    /// Of what the link fixes on every device.
    digests: String,
}

/// Whether the folder holds a run in the plane.
pub fn holds_run(folder: &Path) -> bool {
    std::fs::read(folder.join(STATE)).is_ok_and(|bytes| is_one(&bytes))
}

/// Trains on the run's data, or on these.
pub fn run(args: &TrainArgs, dataset: Option<DatasetId>) -> Outcome {
    let for_images = args.init.is_some() || args.images.is_some() || args.minutes.or(args.finish).is_some();
    if for_images || !args.recipe.is_for_plane() {
        return Err(Failure::usage(
            "--init, --minutes, --finish, --images and the recipe except --steps and --seed are for images; --set \
             changes a run in the plane",
        ));
    }
    let pause = interval(args)?;
    let (trainer, compute, before) = if args.resume {
        let path = args.out.join(STATE);
        let bytes = files::read(&path)?;
        let compute = args.device.open()?;
        let (mut trainer, seconds) = from_bytes(&bytes, &compute).map_err(|why| Failure::input(path.display(), why))?;
        let known = trainer.config().clone();
        let asked = wanted(args, dataset, Some(&known))?;
        trainer.set_steps(asked.training_steps);
        if asked != *trainer.config() {
            return Err(Failure::usage("a run that goes on can be given other --steps, but is otherwise as it was"));
        }
        (trainer, compute, seconds)
    } else {
        let config = wanted(args, dataset, None)?;
        refuse_second_run(&args.out)?;
        let compute = args.device.open()?;
        (Trainer::new(config, &compute).map_err(Failure::usage)?, compute, 0.0)
    };
    files::make_folder(&args.out)?;
    interrupt::listen();
    follow(args, trainer, &compute, before, pause)
}

/// The run that is asked for; what is not said is as in `known`, or as the page has it.
fn wanted(args: &TrainArgs, dataset: Option<DatasetId>, known: Option<&RunConfig>) -> Outcome<RunConfig> {
    let mut config = match known {
        Some(known) if args.config.link.is_none() => args.config.changed(known.clone())?,
        _ => args.config.config()?,
    };
    config.dataset = dataset.unwrap_or(config.dataset);
    config.training_steps = args.recipe.changes.steps.unwrap_or(config.training_steps);
    config.seed = args.recipe.changes.seed.unwrap_or(config.seed);
    Ok(config)
}

fn follow(args: &TrainArgs, mut trainer: Trainer, compute: &ComputeDevice, before: f64, pause: Duration) -> Outcome {
    let first = trainer.step();
    let metrics = Metrics::start(&args.out, first)?;
    let (start, mut saved, mut progress) = (Instant::now(), Instant::now(), Progress::default());
    let (of, batch) = (trainer.config().training_steps, f64::from(trainer.config().batch));
    let (mut row, mut losses, mut last) = ((first, before), Vec::new(), None);
    loop {
        let (step, now) = (trainer.step(), start.elapsed().as_secs_f64());
        let seconds = before + now;
        let stopped = interrupt::asked() || args.stop_after.is_some_and(|count| step - first >= count);
        let over = trainer.is_finished() || stopped;
        let (save, full) = (saved.elapsed() >= pause, step % ROW == 0 && step > row.0);
        if over || full || save || progress.is_due() {
            let new = wait(trainer.take_losses()).map_err(Failure::device)?;
            if new.iter().any(|loss| !loss.is_finite()) {
                let kept = args.out.join(STATE).exists();
                let kept = if kept { "the last checkpoint stays" } else { "nothing was written" };
                return Err(Failure::other(format!("the loss is not finite after step {step}; {kept}")));
            }
            losses.extend(new);
        }
        if step > row.0 && (over || full) {
            let loss = mean(&losses).unwrap_or(f64::NAN);
            let speed = f64::from(step - row.0) * batch / (seconds - row.1).max(1e-9);
            let images = f64::from(step) * batch;
            metrics.add(Row { step, images, loss, rate: trainer.config().rate, speed, seconds })?;
            (last, row, losses) = (Some(loss), (step, seconds), Vec::new());
        }
        if step > first && (over || progress.is_due()) {
            let done = f64::from(step - first);
            let (left, speed) = (now / done * f64::from(of - step.min(of)), done * batch / now.max(1e-9));
            let loss = mean(&losses).or(last).unwrap_or(f64::NAN);
            progress.show(&format!("step {step} of {of}  loss {loss:.4}  {speed:.0} points/s  {} left", clock(left)));
        }
        if over || save {
            files::write(&args.out.join(STATE), &to_bytes(&trainer, seconds).map_err(Failure::device)?)?;
            saved = Instant::now();
        }
        if over {
            break;
        }
        trainer.advance();
    }
    progress.end();
    let weights = wait(trainer.weights()).map_err(Failure::device)?;
    let file = args.out.join(WEIGHTS);
    files::write(&file, &weights.to_bytes().map_err(Failure::other)?)?;
    let (finished, seconds) = (trainer.is_finished(), before + start.elapsed().as_secs_f64());
    let device = compute.info.name.clone();
    let digests = Digests::of(trainer.config()).map_err(Failure::usage)?.to_string();
    let summary = Summary { file, device, finished, step: weights.step, seconds, loss: last, digests };
    if args.json {
        say!("{}", serde_json::to_string(&summary).map_err(Failure::other)?)?;
    } else {
        let Summary { step, seconds, file, device, digests, .. } = &summary;
        let loss = last.map_or(String::new(), |loss| format!(", loss {loss:.4}"));
        say!("{step} steps in {} on {device}{loss}: {}", clock(*seconds), file.display())?;
        say!("the same on every device: {digests}")?;
    }
    if finished || !interrupt::asked() {
        Ok(())
    } else {
        Err(Failure::new(Kind::Interrupted, "ended before its time; --resume goes on"))
    }
}

fn mean(losses: &[f32]) -> Option<f64> {
    let sum: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
    (!losses.is_empty()).then(|| sum / losses.len() as f64)
}
