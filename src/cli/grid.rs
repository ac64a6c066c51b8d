//! `scorefield grid`: searches grids of few steps for a set of weights, and writes them into its manifest.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::configuration::ConfigArgs;
use super::count::count;
use super::device::{DeviceArgs, wait};
use super::download::is_of_hub;
use super::failure::{Failure, Kind, Outcome};
use super::progress::{Progress, clock};
use super::sample::{Guard, check_class, load};
use super::{files, interrupt};
use crate::diffusion::grid_search::{COEFFICIENT, GridSearch, Metric, TEACHER_STEPS, TRAJECTORIES};
use crate::diffusion::{Schedule, State as _};
use crate::engine::error::Stopped;
use crate::engine::images::{BatchPolicy, ImageDenoiser, ImageModel, Pictures, sample_part, starting_noise};
use crate::lab::{ClassChoice, ClipId, RunConfig, SolverId, SpacingId};
use crate::nn::checkpoint::{Manifest, SearchedGrid};
use crate::nn::device::ComputeDevice;

/// Images that are drawn together, by one thread on the CPU and on a GPU.
const ON_CPU: usize = 10;
const ON_GPU: usize = 60;

/// Searches grids of few steps for a set of weights, and writes them into its manifest.
///
/// A teacher of 60 steps draws images, and dynamic programming finds the levels between which few steps leave its
/// trajectories least (GITS, Chen et al. 2024). `--set spacing=searched` then samples over them. How far images end from
/// the teacher's is printed beside the same for Karras's levels and for levels even in log-SNR.
#[derive(Args, Clone, Debug)]
pub struct GridArgs {
    /// The set: a folder with a manifest
    #[arg(long)]
    pub weights: PathBuf,
    /// Numbers of steps, each the network evaluations of an image
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_values_t = [5, 6, 8, 10])]
    pub steps: Vec<usize>,
    /// Trajectories of the teacher
    #[arg(long, value_name = "COUNT", default_value_t = TRAJECTORIES, value_parser = count(100_000))]
    pub trajectories: usize,
    /// Steps of the teacher
    #[arg(long, value_name = "COUNT", default_value_t = TEACHER_STEPS, value_parser = count(1000))]
    pub teacher_steps: usize,
    /// What a step costs
    #[arg(long, value_enum, default_value_t = MetricArg::Deviation)]
    pub metric: MetricArg,
    /// How much more each step costs than the one before it [default: 1.15 for deviation, 1 for distance]
    #[arg(long, value_name = "FACTOR")]
    pub coefficient: Option<f64>,
    /// Images whose errors are measured, after those of the search; 0 measures nothing
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    pub check: usize,
    /// Prints the grids and leaves the manifest as it is
    #[arg(long)]
    pub dry_run: bool,
    /// Schedule, classes, guidance, seed, and the solver whose errors are measured [default: classes in turn, iPNDM of
    /// order 4]
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Where to compute
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Prints the grids as JSON
    #[arg(long)]
    pub json: bool,
}

/// What a step costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricArg {
    /// How much farther than the teacher from the straight line between noise and image, as published
    Deviation,
    /// How far from the teacher
    Distance,
}

impl MetricArg {
    fn metric(self) -> Metric {
        match self {
            Self::Deviation => Metric::Deviation,
            Self::Distance => Metric::Distance,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Deviation => "deviation",
            Self::Distance => "distance",
        }
    }
}

/// A grid, and how far images over it end from the teacher's: the mean Euclidean distance, pixels from -1 to 1.
#[derive(Clone, Debug, Serialize)]
struct Found {
    steps: usize,
    ratios: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Errors>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Errors {
    searched: f64,
    karras: f64,
    log_snr: f64,
}

/// Does it.
///
/// # Errors
/// When there is no set in the folder, the search cannot be made, Ctrl-C ended it, or the manifest cannot be written.
pub fn run(args: &GridArgs) -> Outcome {
    if is_of_hub(&args.weights) {
        return Err(Failure::usage(
            "a grid is written into a set of this program: scorefield convert makes one of a model",
        ));
    }
    let path = args.weights.join("manifest.json");
    let manifest = Manifest::from_json(&files::read_text(&path)?);
    let mut manifest = manifest.map_err(|error| Failure::input(path.display(), error))?;
    let mut steps = args.steps.clone();
    steps.sort_unstable();
    steps.dedup();
    if args.trajectories == 0 || steps.first().is_none_or(|least| *least == 0) {
        return Err(Failure::usage("a search needs at least one trajectory, and grids at least one step"));
    }
    let coefficient = args.coefficient.unwrap_or(match args.metric {
        MetricArg::Deviation => COEFFICIENT,
        MetricArg::Distance => 1.0,
    });
    let config = args.config.config_of("experiment=images&image-class=each&solver=ipndm-4")?;
    let compute = args.device.open()?;
    interrupt::listen();
    let mut worker =
        Worker { model: load(&args.weights, None, &compute, false)?, config, compute, threads: args.device.threads() };
    if worker.model.config().classes == 0 && worker.config.image_class == ClassChoice::Each {
        worker.config.image_class = ClassChoice::Any;
    }
    check_class(&worker.model, &worker.config)?;

    let search = worker.search(args)?;
    let found = steps.iter().map(|steps| Ok((*steps, search.ratios(*steps, coefficient).map_err(Failure::usage)?)));
    let found = found.collect::<Outcome<Vec<_>>>()?;
    let words = format!(
        "{}, coefficient {coefficient}, {} trajectories of {} steps, {}, class {}, seed {}",
        args.metric.name(),
        search.trajectories(),
        args.teacher_steps,
        worker.config.schedule.id(),
        worker.config.image_class.text(),
        worker.config.seed
    );
    let grids = found.iter().map(|(_, ratios)| SearchedGrid { ratios: ratios.clone(), search: words.clone() });
    let new: Vec<SearchedGrid> = grids.collect();
    manifest.grids.retain(|old| !steps.contains(&old.ratios.len()));
    manifest.grids.extend(new);
    manifest.grids.sort_by_key(|grid| grid.ratios.len());
    worker.model.set_grids(manifest.grids.clone());

    let mut report = Vec::new();
    for (steps, ratios) in found {
        let errors = if args.check > 0 { Some(worker.errors(args, steps)?) } else { None };
        let found = Found { steps, ratios, errors };
        if !args.json {
            say!("{}", line(&found))?;
        }
        report.push(found);
    }
    if args.json {
        say!("{}", serde_json::to_string(&report).map_err(Failure::other)?)?;
    }
    if args.dry_run {
        return Ok(());
    }
    let mut json = manifest.to_json().map_err(Failure::other)?;
    json.push('\n');
    files::write(&path, json.as_bytes())
}

fn line(found: &Found) -> String {
    let ratios: Vec<String> = found.ratios.iter().map(|ratio| format!("{ratio:.4}")).collect();
    let errors = found.errors.map_or_else(String::new, |Errors { searched, karras, log_snr }| {
        format!("  error {searched:.3}, over Karras's levels {karras:.3}, even in log-SNR {log_snr:.3}")
    });
    format!("{} steps: {}{errors}", found.steps, ratios.join(" "))
}

/// What searches and measures.
struct Worker {
    model: ImageModel,
    config: RunConfig,
    compute: ComputeDevice,
    threads: usize,
}

impl Worker {
    /// The costs of all steps over the teacher's grid. Trajectories are summed in their order, so that the result does
    /// not depend on the number of threads.
    fn search(&self, args: &GridArgs) -> Outcome<GridSearch> {
        let schedule = Schedule::from_config(&self.config);
        let empty = GridSearch::new(schedule, args.metric.metric(), args.teacher_steps);
        let parts = self.parts(0, args.trajectories, "trajectories", |config, first| {
            let mut part = empty.clone();
            self.follow(&config, first, &mut part)?;
            Ok(part)
        })?;
        let mut search = empty;
        parts.iter().for_each(|part| search.merge(part));
        Ok(search)
    }

    /// Adds the trajectories of these images, the first of which is number `first`.
    fn follow(&self, config: &RunConfig, first: usize, search: &mut GridSearch) -> Outcome {
        let model = &self.model;
        let images = config.images as usize;
        let labels = model.classes().labels(&config.image_class, config.guidance, first, images);
        let labels = labels.map_err(Failure::usage)?;
        let shape = [images, model.config().image_channels, model.side, model.side];
        let mut policy = BatchPolicy::new(model, &self.compute);
        if !self.compute.info.gpu {
            policy = policy.with_batch(images);
        }
        let mut denoiser = ImageDenoiser {
            model,
            labels: &labels,
            guidance: config.guidance,
            clip: config.clip == ClipId::Always,
            policy: &mut policy,
            progress: &mut Guard,
        };
        let added = wait(search.add(&mut denoiser, starting_noise(config, shape, &self.compute.device)));
        let images = Stopped::unless_interrupted(added).map_err(Failure::other)?;
        images.map(drop).ok_or_else(interrupted)
    }

    /// How far images of the run's solver end from those of the teacher, over each kind of grid with so many steps.
    fn errors(&self, args: &GridArgs, steps: usize) -> Outcome<Errors> {
        let whole = |count: usize| u32::try_from(count).map_err(Failure::usage);
        let (steps, teacher_steps) = (whole(steps)?, whole(args.teacher_steps)?);
        let parts = self.parts(args.trajectories, args.check, "images checked", |config, first| {
            let draw = |solver, spacing, steps| {
                let config = RunConfig { solver, spacing, steps, ..config.clone() };
                let images = wait(sample_part(&config, first, &self.model, &self.compute, &mut Guard))
                    .map_err(Failure::other)?;
                images.ok_or_else(interrupted)
            };
            let teacher = draw(SolverId::Ipndm4, SpacingId::Karras, teacher_steps)?;
            let error = |spacing| {
                let miss: Pictures = draw(config.solver, spacing, steps)?.blend(1.0, teacher.clone(), -1.0);
                Ok(wait(miss.mean_norm()) * f64::from(config.images))
            };
            let (searched, karras) = (error(SpacingId::Searched)?, error(SpacingId::Karras)?);
            Ok(Errors { searched, karras, log_snr: error(SpacingId::LogSnr)? })
        })?;
        let count = args.check as f64;
        let mean = |of: fn(&Errors) -> f64| parts.iter().map(of).sum::<f64>() / count;
        Ok(Errors { searched: mean(|e| e.searched), karras: mean(|e| e.karras), log_snr: mean(|e| e.log_snr) })
    }

    /// Work on so many images from the seed of the run and `first` on, a few at a time by every thread, in their order. It
    /// gets the number of its first image.
    fn parts<T: Send>(
        &self,
        first: usize,
        count: usize,
        what: &str,
        work: impl Fn(RunConfig, usize) -> Outcome<T> + Sync,
    ) -> Outcome<Vec<T>> {
        let together = if self.compute.info.gpu { ON_GPU } else { ON_CPU };
        let starts: Vec<usize> = (0..count).step_by(together).collect();
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let shown = Mutex::new((Progress::default(), Instant::now(), 0));
        let by_one = || {
            while let Some((index, start)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                starts.get(index).map(|start| (index, *start))
            } {
                let images = together.min(count - start);
                let seed = self.config.seed.wrapping_add((first + start) as u32);
                let result = work(RunConfig { images: images as u32, seed, ..self.config.clone() }, first + start);
                if result.is_err() {
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                }
                lock(&results).push((index, result));
                let (progress, since, done) = &mut *lock(&shown);
                *done += images;
                if progress.is_due() && *done < count {
                    let left = clock((count - *done) as f64 * since.elapsed().as_secs_f64() / *done as f64);
                    progress.show(&format!("{done} of {count} {what}  {left} left"));
                }
            }
        };
        let threads = if self.compute.info.gpu { 1 } else { self.threads.min(starts.len()) };
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(by_one))));
        lock(&shown).0.end();
        let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

fn interrupted() -> Failure {
    Failure::new(Kind::Interrupted, "ended before its time")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
