//! Training on images.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::metrics::{Metrics, Row};
use super::recipe::supports;
use super::{STATE, TrainArgs, interval, refuse_second_run};
use crate::cli::convert::{Source, write_set};
use crate::cli::failure::{Failure, Kind, Outcome};
use crate::cli::images::{self, Half, digest};
use crate::cli::progress::{Progress, clock};
use crate::cli::{files, interrupt};
use crate::data::ImageSet;
use crate::engine::image_trainer::{ImageTrainer, Recipe};
use crate::nn::device::ComputeDevice;
use crate::nn::unet::Parameter;

/// Steps between rows of the table.
const ROW: u32 = 50;

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    folder: PathBuf,
    device: String,
    finished: bool,
    step: u32,
    images: f64,
    parameters: usize,
    seconds: f64,
    images_per_second: f64,
    loss: Option<f64>,
}

/// Trains on the images of `data`.
pub fn run(args: &TrainArgs, data: &str) -> Outcome {
    if args.minutes.is_some_and(|minutes| minutes.is_nan() || minutes <= 0.0) {
        return Err(Failure::usage("--minutes has to be more than 0"));
    }
    interval(args)?;
    let mut set = images::open(data, Half::Train)?;
    if let Some(count) = args.images {
        set = set.first(count);
    }
    let compute = args.device.open_all()?;
    let trainer = trainer(args, &set, &compute)?;
    let devices = compute.iter().map(|compute| compute.info.name.as_str()).collect::<Vec<_>>().join(" + ");
    interrupt::listen();
    let Recipe { network, objective, batch, .. } = trainer.recipe();
    eprintln!(
        "{} images of {} x {}, {} parameters in {} channels, objective {}, {batch} images a step, {devices}",
        set.len(),
        set.size(),
        set.size(),
        trainer.shapes().iter().map(|parameter| parameter.count()).sum::<usize>(),
        network.channels,
        objective.id(),
    );
    Run { args, set: &set, data, trainer, devices }.follow()
}

fn trainer(args: &TrainArgs, set: &ImageSet, compute: &[ComputeDevice]) -> Outcome<ImageTrainer> {
    // Clap gives at least one.
    let [first, others @ ..] = compute else { return Err(Failure::usage("name a device with --device")) };
    let digest = digest(set);
    let path = args.out.join(STATE);
    if args.resume {
        let bytes = files::read(&path)?;
        let mut trainer = ImageTrainer::from_bytes(&bytes, first, args.device.threads())
            .map_err(|error| Failure::input(path.display(), error))?;
        let steps = args.recipe.resumed(trainer.recipe(), set, &digest)?.steps;
        supports(trainer.recipe().precision, compute)?;
        trainer.set_steps(steps);
        trainer.share(others).map_err(Failure::usage)?;
        return Ok(trainer);
    }
    refuse_second_run(&args.out)?;
    let mut recipe = args.recipe.recipe(set, digest)?;
    supports(recipe.precision, compute)?;
    if args.minutes.is_some() && args.recipe.steps.is_none() {
        recipe.steps = 1_000_000_000;
    }
    let from = args.init.clone().map(|init| Source::read(&[init], Some(recipe.objective), 32)).transpose()?;
    let mut trainer = ImageTrainer::new(recipe, first, args.device.threads()).map_err(Failure::usage)?;
    if let Some(source) = from {
        let shape = |parameter: &Parameter| (parameter.name.clone(), parameter.shape.clone());
        if !source.parameters.iter().map(shape).eq(trainer.shapes().iter().map(shape)) {
            return Err(Failure::usage("the weights of --init are of another network than the recipe asks for"));
        }
        trainer.set_parameters(source.values);
    }
    trainer.share(others).map_err(Failure::usage)?;
    files::make_folder(&args.out)?;
    Ok(trainer)
}

struct Run<'a> {
    args: &'a TrainArgs,
    set: &'a ImageSet,
    data: &'a str,
    trainer: ImageTrainer,
    devices: String,
}

impl Run<'_> {
    /// Share of the run that is done, by steps or by time.
    fn done(&self, seconds: f64) -> f64 {
        let by_time = self.args.minutes.map_or(0.0, |minutes| seconds / (60.0 * minutes));
        self.trainer.done().max(by_time)
    }

    fn follow(mut self) -> Outcome {
        let metrics = Metrics::start(&self.args.out, self.trainer.step())?;
        let mut progress = Progress::default();
        let (start, before, first) = (Instant::now(), self.trainer.seconds, self.trainer.step());
        let batch = self.trainer.recipe().batch as f64;
        let mut saved = Instant::now();
        let wait = interval(self.args)?;
        let (mut row, mut losses, mut last_loss) = ((first, before), Vec::new(), None);
        let finished = loop {
            let seconds = before + start.elapsed().as_secs_f64();
            self.trainer.seconds = seconds;
            let done = self.done(seconds);
            let step = self.trainer.step();
            let over = done >= 1.0;
            let stopped = self.args.stop_after.is_some_and(|count| step - first >= count) || interrupt::asked();
            let save = saved.elapsed() >= wait;
            if over || stopped || save || step - row.0 >= ROW || progress.is_due() {
                // Also before a checkpoint: what is not finite is not kept.
                losses.extend(self.read_losses()?);
            }
            if step > row.0 && (over || stopped || step - row.0 >= ROW) {
                let loss = mean(&losses);
                last_loss = loss.or(last_loss);
                let speed = f64::from(step - row.0) * batch / (seconds - row.1).max(1e-9);
                let rate = self.trainer.recipe().rate_at(step - 1, done);
                let images = self.trainer.images();
                metrics.add(Row { step, images, loss: loss.unwrap_or(f64::NAN), rate, speed, seconds })?;
                (row, losses) = ((step, seconds), Vec::new());
            }
            if step > first && (progress.is_due() || over || stopped) {
                let loss = mean(&losses).or(last_loss).unwrap_or(f64::NAN);
                progress.show(&self.line(loss, seconds, seconds - before, f64::from(step - first) * batch, done));
            }
            if over || stopped {
                break over;
            }
            if save {
                self.save_state()?;
                saved = Instant::now();
            }
            self.trainer.advance(self.set, done).map_err(Failure::other)?;
        };
        progress.end();
        self.save_state()?;
        self.save_weights()?;
        self.report(finished, before, first, last_loss)?;
        if finished || !interrupt::asked() {
            Ok(())
        } else {
            Err(Failure::new(Kind::Interrupted, "ended before its time; --resume goes on"))
        }
    }

    fn line(&self, loss: f64, seconds: f64, now: f64, images: f64, done: f64) -> String {
        let left =
            if done > 0.0 { now / (done - self.done_before(seconds, now)).max(1e-9) * (1.0 - done) } else { 0.0 };
        format!(
            "step {}{}  loss {loss:.4}  {:.1} images/s  {:.0} %  {} left",
            self.trainer.step(),
            if self.args.minutes.is_some() { String::new() } else { format!(" of {}", self.trainer.recipe().steps) },
            images / now.max(1e-9),
            100.0 * done,
            clock(left)
        )
    }

    /// Share that was done before this part of the run.
    fn done_before(&self, seconds: f64, now: f64) -> f64 {
        match self.args.minutes {
            Some(minutes) => (seconds - now) / (60.0 * minutes),
            None => 0.0,
        }
    }

    fn read_losses(&mut self) -> Outcome<Vec<f32>> {
        let losses = self.trainer.take_losses().map_err(Failure::device)?;
        if losses.iter().all(|loss| loss.is_finite()) {
            return Ok(losses);
        }
        let kept = if self.args.out.join(STATE).exists() { "the last checkpoint stays" } else { "nothing was written" };
        Err(Failure::other(format!(
            "the loss is not finite after step {}: a smaller --rate may help; {kept}",
            self.trainer.step()
        )))
    }

    fn save_state(&self) -> Outcome {
        let bytes = self.trainer.to_bytes().map_err(Failure::device)?;
        files::write(&self.args.out.join(STATE), &bytes)
    }

    fn save_weights(&self) -> Outcome {
        let recipe = self.trainer.recipe();
        let source = Source {
            config: recipe.network.clone(),
            parameters: self.trainer.shapes(),
            values: self.trainer.averaged().map_err(Failure::device)?,
            convention: recipe.objective.convention(),
            image_size: u32::try_from(self.set.size()).map_err(Failure::other)?,
            manifest: None,
            provenance: self.provenance(),
            ours: true,
        };
        let mut set = self.args.set.clone();
        if set.class_names.is_empty() && recipe.network.classes > 0 {
            set.class_names = self.set.classes().to_vec();
        }
        write_set(&self.args.out, &source.pack(&set, None)?, set.index.as_deref())
    }

    fn provenance(&self) -> String {
        let Recipe { objective, batch, rate, label_drop, ema_images, seed, network, .. } = self.trainer.recipe();
        let source = Path::new(self.data).file_name().map_or(self.data.into(), |name| name.to_string_lossy());
        format!(
            "Trained by scorefield {} on {} images of {source}: objective {}, {} images in {} steps of {batch}, learning \
             rate {rate}, dropout {}, labels dropped with probability {label_drop}, moving average with a half-life of at \
             most {ema_images} images, seed {seed}.",
            env!("CARGO_PKG_VERSION"),
            self.set.len(),
            objective.id(),
            self.trainer.images(),
            self.trainer.step(),
            network.dropout,
        )
    }

    fn report(&self, finished: bool, before: f64, first: u32, loss: Option<f64>) -> Outcome {
        let trainer = &self.trainer;
        let images = f64::from(trainer.step() - first) * trainer.recipe().batch as f64;
        let summary = Summary {
            folder: self.args.out.clone(),
            device: self.devices.clone(),
            finished,
            step: trainer.step(),
            images: trainer.images(),
            parameters: trainer.shapes().iter().map(|parameter| parameter.count()).sum(),
            seconds: trainer.seconds,
            images_per_second: images / (trainer.seconds - before).max(1e-9),
            loss,
        };
        if self.args.json {
            say!("{}", serde_json::to_string(&summary).map_err(Failure::other)?)?;
        } else {
            let Summary { step, seconds, .. } = summary;
            say!("{step} steps in {}: {}", clock(seconds), self.args.out.display())?;
        }
        Ok(())
    }
}

fn mean(losses: &[f32]) -> Option<f64> {
    (!losses.is_empty()).then(|| losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64)
}
