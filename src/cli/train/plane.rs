//! Training on points in the plane: the page's own runs.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::TrainArgs;
use super::metrics::{Metrics, Row};
use crate::cli::device::wait;
use crate::cli::failure::{Failure, Kind, Outcome};
use crate::cli::progress::{Progress, clock};
use crate::cli::{files, interrupt};
use crate::engine::Trainer;
use crate::lab::DatasetId;

/// The weights, in the form that the page exports and reads.
pub const WEIGHTS: &str = "weights.safetensors";
/// Steps between rows of the table.
const ROW: u32 = 100;

#[derive(Clone, Debug, Serialize)]
struct Summary {
    file: PathBuf,
    finished: bool,
    step: u32,
    seconds: f64,
    loss: f64,
}

/// Trains on the run's data, or on these.
pub fn run(args: &TrainArgs, dataset: Option<DatasetId>) -> Outcome {
    if args.resume {
        return Err(Failure::usage("runs in the plane take seconds: begin anew without --resume"));
    }
    if args.init.is_some() {
        return Err(Failure::usage("--init is for images"));
    }
    let mut config = args.config.config()?;
    if let Some(dataset) = dataset {
        config.dataset = dataset;
    }
    if let Some(steps) = args.recipe.steps {
        config.training_steps = steps;
    }
    if let Some(seed) = args.recipe.seed {
        config.seed = seed;
    }
    let opened = args.device.open()?;
    let mut trainer = Trainer::new(config, &opened).map_err(Failure::usage)?;
    files::make_folder(&args.out)?;
    let metrics = Metrics::start(&args.out, 0)?;
    interrupt::listen();
    let (start, mut progress) = (Instant::now(), Progress::default());
    let (of, batch) = (trainer.config().training_steps, f64::from(trainer.config().batch));
    let (mut row, mut losses, mut last) = ((0, 0.0), Vec::new(), f64::NAN);
    loop {
        let (step, seconds) = (trainer.step(), start.elapsed().as_secs_f64());
        let stopped = interrupt::asked() || args.stop_after.is_some_and(|count| step >= count);
        let over = trainer.is_finished() || stopped;
        if over || step - row.0 >= ROW || progress.is_due() {
            let new = wait(trainer.take_losses()).map_err(Failure::device)?;
            if new.iter().any(|loss| !loss.is_finite()) {
                return Err(Failure::other(format!("the loss is not finite after step {step}; nothing was written")));
            }
            losses.extend(new);
        }
        if step > row.0 && (over || step - row.0 >= ROW) {
            last = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len().max(1) as f64;
            let speed = f64::from(step - row.0) * batch / (seconds - row.1).max(1e-9);
            let images = f64::from(step) * batch;
            metrics.add(Row { step, images, loss: last, rate: trainer.config().rate, speed, seconds })?;
            (row, losses) = ((step, seconds), Vec::new());
        }
        if step > 0 && (over || progress.is_due()) {
            let left = seconds / f64::from(step) * f64::from(of - step.min(of));
            let speed = f64::from(step) * batch / seconds.max(1e-9);
            progress.show(&format!("step {step} of {of}  loss {last:.4}  {speed:.0} points/s  {} left", clock(left)));
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
    let finished = trainer.is_finished();
    let summary = Summary { file, finished, step: weights.step, seconds: start.elapsed().as_secs_f64(), loss: last };
    if args.json {
        println!("{}", serde_json::to_string(&summary).map_err(Failure::other)?);
    } else {
        let Summary { step, seconds, loss, file, .. } = &summary;
        println!("{step} steps in {}, loss {loss:.4}: {}", clock(*seconds), file.display());
    }
    if finished || !interrupt::asked() { Ok(()) } else { Err(Failure::new(Kind::Interrupted, "ended before its time")) }
}
