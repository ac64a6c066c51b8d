//! Training on images.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::args::{STATE, TrainArgs, interval, refuse_second_run};
use super::metrics::{Metrics, Row, seconds_of_a_step};
use super::recipe::supports;
use crate::cli::device::{home, spread};
use crate::cli::failure::{Failure, Kind, Outcome};
use crate::cli::images::{self, Half, digest};
use crate::cli::progress::{Progress, clock};
use crate::cli::set::write_set;
use crate::cli::source::{Measured, Source};
use crate::cli::{files, interrupt, loss};
use crate::data::ImageSet;
use crate::engine::image_trainer::{
    FOREVER, ImageTrainer, NO_BOUND, Optimiser, Pace, Recipe, StepError, TrainingPrecision,
};
use crate::lab::check_names;
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
    for (name, minutes) in [("--minutes", args.minutes), ("--finish", args.finish)] {
        if minutes.is_some_and(|minutes| !minutes.is_finite() || minutes <= 0.0) {
            return Err(Failure::usage(format!("{name} has to be more than 0")));
        }
    }
    interval(args)?;
    let mut set = images::open(data, Half::Train)?;
    if let Some(count) = args.images {
        set = set.first(count);
    }
    let compute = args.device.open_all()?;
    let trainer = trainer(args, &set, &compute)?;
    let devices = compute.iter().map(|compute| compute.info.name.as_str()).collect::<Vec<_>>().join(" + ");
    loss::keeps(&args.out.join(STATE));
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
    if compute.len() > 1 {
        eprintln!("each device computes a share of every batch; this program adds their gradients up, not Burn");
    }
    Run { args, set: &set, data, trainer, devices }.follow()
}

fn trainer(args: &TrainArgs, set: &ImageSet, compute: &[ComputeDevice]) -> Outcome<ImageTrainer> {
    let home = &home(compute)?;
    let share = |trainer: &mut ImageTrainer| spread(trainer, compute).map_err(Failure::usage);
    let digest = digest(set);
    let path = args.out.join(STATE);
    if args.resume {
        let bytes = files::read(&path)?;
        let mut trainer = ImageTrainer::from_bytes(&bytes, home, args.device.threads())
            .map_err(|error| Failure::input(path.display(), error))?;
        let Recipe { steps, precision, .. } = args.recipe.resumed(trainer.recipe(), set, &digest)?;
        supports(precision, &trainer.recipe().network, compute)?;
        let before = trainer.recipe().precision;
        if precision != before {
            let (step, before) = (trainer.step(), before.id());
            eprintln!("computed in {} from step {step} on, until then in {before}", precision.id());
            trainer.set_precision(precision);
        }
        class_names(args, set, trainer.recipe())?;
        if trainer.finishing().is_some() && (args.recipe.changes.steps.is_some() || args.minutes.is_some()) {
            return Err(Failure::usage("the run is finishing: neither --steps nor --minutes changes its end"));
        }
        trainer.set_steps(steps);
        if let Some(minutes) = args.finish {
            finish(&mut trainer, minutes, &args.out)?;
        }
        share(&mut trainer)?;
        return Ok(trainer);
    }
    refuse_second_run(&args.out)?;
    let mut recipe = args.recipe.recipe(set, digest)?;
    supports(recipe.precision, &recipe.network, compute)?;
    class_names(args, set, &recipe)?;
    if args.minutes.is_some() && args.recipe.changes.steps.is_none() {
        recipe.steps = FOREVER;
    }
    let from = args.init.clone().map(|init| Source::read(&[init], Some(recipe.objective), None)).transpose()?;
    let mut trainer = ImageTrainer::new(recipe, home, args.device.threads()).map_err(Failure::usage)?;
    if let Some(source) = from {
        let shape = |parameter: &Parameter| (parameter.name.clone(), parameter.shape.clone());
        if !source.parameters.iter().map(shape).eq(trainer.shapes().iter().map(shape)) {
            return Err(Failure::usage("the weights of --init are of another network than the recipe asks for"));
        }
        trainer.set_parameters(source.values);
    }
    share(&mut trainer)?;
    files::make_folder(&args.out)?;
    Ok(trainer)
}

/// The names of the classes that the network is told: those that were given, or those of the images.
///
/// # Errors
/// When they are not as many, or no run could ask for one of them.
fn class_names(args: &TrainArgs, set: &ImageSet, recipe: &Recipe) -> Outcome<Vec<String>> {
    let (given, classes) = (&args.set.class_names, recipe.network.classes);
    if !given.is_empty() && given.len() != classes {
        return Err(Failure::usage(format!("--class-names: {} names for {classes} classes", given.len())));
    }
    let names = if given.is_empty() && classes > 0 { set.classes() } else { &given[..] };
    let remedy = "name the classes by --class-names";
    check_names(names).map_err(|wrong| Failure::usage(format!("{wrong}: {remedy}")))?;
    Ok(names.to_vec())
}

/// Begins the end of a run, as long as its speed so far makes of these minutes.
fn finish(trainer: &mut ImageTrainer, minutes: f64, folder: &Path) -> Outcome {
    let step = trainer.step();
    let whole = (step > 0 && trainer.seconds > 0.0).then(|| trainer.seconds / f64::from(step));
    let seconds = seconds_of_a_step(folder, step).or(whole);
    let seconds = seconds.ok_or_else(|| Failure::usage("a run without a step has no speed to tell its end by"))?;
    let steps = (60.0 * minutes / seconds).round().clamp(1.0, f64::from(FOREVER)) as u32;
    let done = trainer.done();
    trainer.finish(steps, done).map_err(Failure::usage)?;
    let speed = trainer.recipe().batch as f64 / seconds;
    eprintln!("{speed:.1} images/s so far: the learning rate falls to 0 over {steps} steps, from step {step} on");
    Ok(())
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
        let (wait, begun) = (interval(self.args)?, self.done(before));
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
                let rate = self.trainer.rate_at(step - 1, done);
                let images = self.trainer.images();
                metrics.add(Row { step, images, loss: loss.unwrap_or(f64::NAN), rate, speed, seconds })?;
                (row, losses) = ((step, seconds), Vec::new());
            }
            if step > first && (progress.is_due() || over || stopped) {
                let loss = mean(&losses).or(last_loss).unwrap_or(f64::NAN);
                let (now, images) = (seconds - before, f64::from(step - first) * batch);
                let line = self.line(loss, now, images, [begun, done]);
                progress.show(&(line + &speeds(&self.trainer.take_paces())));
            }
            if over || stopped {
                break over;
            }
            if save {
                self.save()?;
                saved = Instant::now();
            }
            self.trainer.advance(self.set, done).map_err(|error| match error {
                StepError::Lost { .. } => Failure::device(error),
                StepError::Condition(_) => Failure::other(error),
            })?;
        };
        progress.end();
        self.save()?;
        self.report(finished, before, first, last_loss)?;
        if finished || !interrupt::asked() {
            Ok(())
        } else {
            Err(Failure::new(Kind::Interrupted, "ended before its time; --resume goes on"))
        }
    }

    /// How far it is, after so many seconds and images of this part of the run, which began when the first of these
    /// shares was done.
    fn line(&self, loss: f64, now: f64, images: f64, [begun, done]: [f64; 2]) -> String {
        let (step, steps) = (self.trainer.step(), self.trainer.recipe().steps);
        let speed = images / now.max(1e-9);
        let end = match self.trainer.finishing() {
            Some(finish) => finish.end(),
            None if steps < FOREVER => steps,
            None if self.args.minutes.is_some() => 0,
            None => return format!("step {step}  loss {loss:.4}  {speed:.1} images/s"),
        };
        let of = if self.args.minutes.is_some() { String::new() } else { format!(" of {end}") };
        let left = if done > 0.0 { now / (done - begun).max(1e-9) * (1.0 - done) } else { 0.0 };
        let share = 100.0 * done;
        format!("step {step}{of}  loss {loss:.4}  {speed:.1} images/s  {share:.0} %  {} left", clock(left))
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

    /// Writes the state, then the weights: what is told of the run is never ahead of what it goes on from.
    fn save(&self) -> Outcome {
        let bytes = self.trainer.to_bytes().map_err(Failure::device)?;
        files::write(&self.args.out.join(STATE), &bytes)?;
        let recipe = self.trainer.recipe();
        for (place, percent) in recipe.averages.iter().enumerate() {
            if place == recipe.main_average() {
                self.save_weights(place, &self.args.out, self.args.set.index.as_deref())?;
            } else {
                self.save_weights(place, &self.args.out.join(format!("average-{percent}")), None)?;
            }
        }
        Ok(())
    }

    fn save_weights(&self, place: usize, folder: &Path, index: Option<&Path>) -> Outcome {
        let recipe = self.trainer.recipe();
        let source = Source {
            config: recipe.network.clone(),
            parameters: self.trainer.shapes(),
            values: self.trainer.averaged(place).map_err(Failure::device)?,
            convention: recipe.objective.convention(),
            image_size: u32::try_from(self.set.size()).map_err(Failure::other)?,
            manifest: None,
            provenance: self.provenance(recipe.averages[place]),
            licence: String::new(),
            ours: true,
        };
        let mut set = self.args.set.clone();
        set.class_names = class_names(self.args, self.set, recipe)?;
        write_set(folder, &source.pack(&set, Measured::default())?, index)
    }

    fn provenance(&self, percent: f64) -> String {
        let Recipe { objective, batch, rate, label_drop, ema_images, seed, network, .. } = self.trainer.recipe();
        let Recipe { optimiser, muon_rate, .. } = self.trainer.recipe();
        let source = Path::new(self.data).file_name().map_or(self.data.into(), |name| name.to_string_lossy());
        let optimiser = match optimiser {
            Optimiser::Adam => format!("Adam at a learning rate of {rate}"),
            Optimiser::Muon => format!("Muon at a learning rate of {muon_rate} and Adam at {rate}"),
        };
        let finish = self.trainer.finishing();
        let finish = finish.map_or(String::new(), |end| format!(", falling to 0 over the last {} steps", end.steps));
        let computed = match self.trainer.recipe().precision {
            TrainingPrecision::F32 => String::new(),
            precision => format!(", computed in {}", precision.id()),
        };
        let bound = *ema_images;
        let bound = if bound < NO_BOUND { format!(" but at most {bound} images") } else { String::new() };
        format!(
            "Trained by scorefield {} on {} images of {source}: objective {}, {} images in {} steps of {batch}, \
             {optimiser}{finish}, dropout {}, labels dropped with probability {label_drop}, moving average with a \
             half-life of {percent} % of the images{bound}, seed {seed}{computed}.",
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

/// Of each device, where there are several.
fn speeds(of: &[(String, Pace)]) -> String {
    let speed = |(name, pace): &(String, Pace)| pace.speed().map(|speed| format!("{name} {speed:.1}"));
    let known: Vec<String> = of.iter().filter_map(speed).collect();
    if of.len() < 2 || known.is_empty() { String::new() } else { format!("  ({})", known.join(", ")) }
}

fn mean(losses: &[f32]) -> Option<f64> {
    (!losses.is_empty()).then(|| losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64)
}
