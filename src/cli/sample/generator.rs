//! Images from weights, as many as wanted, by as many threads as there are.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::cli::device::wait;
use crate::cli::failure::{Failure, Kind, Outcome};
use crate::cli::interrupt;
use crate::cli::progress::{Progress, clock};
use crate::cli::source::Source;
use crate::data::ImageSet;
use crate::data::image_set::to_grey;
use crate::diffusion::Schedule;
use crate::engine::images::{ImageModel, ImageRun, Outcome as Stepped, ProgressListener};
use crate::lab::{ArrangementId, ClassChoice, ExperimentId, PrecisionId, RunConfig, SpacingId};
use crate::nn::device::ComputeDevice;
use crate::nn::objective::Objective;
use crate::protocol::images::Notice;

/// Images of a run on the CPU and on a GPU.
const CPU_RUN: usize = 10;
const GPU_RUN: usize = 60;

/// What it takes to draw the same images again, and to compare them.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// Network evaluations for each image.
    pub evaluations: u32,
    /// Solver, schedule and steps.
    pub solver: String,
    /// Seed of the first image; the others count on.
    pub seed: u32,
    /// Which weights.
    pub ema: String,
}

/// Images that were drawn.
pub struct Drawn {
    /// The images.
    pub set: ImageSet,
    /// How.
    pub facts: Facts,
}

/// Draws images.
pub struct Generator<'a> {
    model: ImageModel,
    config: RunConfig,
    compute: &'a ComputeDevice,
    threads: usize,
}

/// Ends on Ctrl-C.
pub struct Guard;

impl ProgressListener for Guard {
    async fn go_on(&mut self, _: u64) -> bool {
        !interrupt::asked()
    }
    fn smaller_batch(&mut self, images: usize) {
        eprintln!("scorefield: memory is short, {images} images at a time");
    }
    fn now_ms(&self) -> f64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0.0, |now| 1000.0 * now.as_secs_f64())
    }
}

impl<'a> Generator<'a> {
    /// Of these weights, by this run.
    ///
    /// # Errors
    /// When the weights cannot be used, or the run is not one of images.
    pub fn new(
        weights: &Path,
        objective: Option<Objective>,
        mut config: RunConfig,
        compute: &'a ComputeDevice,
        threads: usize,
    ) -> Outcome<Self> {
        if config.experiment != ExperimentId::Images {
            return Err(Failure::usage("these are weights of images, but the link is of a run in the plane"));
        }
        let mut model = load(weights, objective, compute, false)?;
        check_class(&model, &config)?;
        match wait(model.prepare(config.precision, compute)).map_err(Failure::other)? {
            None => {}
            Some(Notice::HalfRefused) => {
                eprintln!("scorefield: f16 is too far from f32 on this device: the images are made in f32");
            }
            Some(_) => eprintln!("scorefield: this device computes in f32 only: the images are made in f32"),
        }
        let (schedule, steps) = (Schedule::from_config(&config), config.steps);
        if config.spacing == SpacingId::Searched && model.searched_grid(&schedule, steps as usize).is_none() {
            eprintln!(
                "scorefield: no grid was searched for these weights and {steps} steps: Karras's levels are taken"
            );
            config.spacing = SpacingId::Karras;
        }
        Ok(Self { model, config, compute, threads })
    }

    /// What the network computes with, which is not what was asked for where the device lacks it.
    #[must_use]
    pub fn precision(&self) -> PrecisionId {
        if self.model.network.is_half() { PrecisionId::Half } else { PrecisionId::Full }
    }

    /// Draws so many. Each has its own seed: the first hundred of a thousand are the hundred of a hundred.
    ///
    /// # Errors
    /// When the run cannot be made, the images are not finite, the device is lost, or Ctrl-C ended it.
    pub fn draw(&self, count: usize) -> Outcome<Drawn> {
        Self::draw_by(std::slice::from_ref(self), count)
    }

    /// The same by several devices, each with a generator of the same weights and run. Which images are whose does not
    /// matter but for the last bits: devices round differently.
    ///
    /// # Errors
    /// Those of [`Self::draw`].
    ///
    /// # Panics
    /// When there is no generator.
    pub fn draw_by(generators: &[Self], count: usize) -> Outcome<Drawn> {
        let first = &generators[0];
        let each = if generators.iter().all(|one| one.compute.info.gpu) { GPU_RUN } else { CPU_RUN };
        let together = first.config.arrangement != ArrangementId::Independent;
        if together && count > 64 {
            return Err(Failure::usage("variations and interpolations have at most 64 images"));
        }
        // With as many threads as runs, and no run longer than it need be.
        let each = if together { count.max(1) } else { each };
        let starts: Vec<usize> = (0..count).step_by(each).collect();
        let (next, done, results) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
        let shown = Mutex::new((Progress::default(), Instant::now()));
        let work = |generator: &Self| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(&start) = starts.get(index) else { break };
                let result = generator.part(start, each.min(count - start));
                let failed = result.is_err();
                let drawn = done.fetch_add(each.min(count - start), Ordering::Relaxed) + each.min(count - start);
                lock(&results).push((index, result));
                if failed {
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                }
                let (progress, since) = &mut *lock(&shown);
                if progress.is_due() && count > each {
                    let speed = drawn as f64 / since.elapsed().as_secs_f64().max(1e-9);
                    let left = clock((count - drawn.min(count)) as f64 / speed.max(1e-9));
                    progress.show(&format!("{drawn} of {count} images  {speed:.2} images/s  {left} left"));
                }
            }
        };
        let work = &work;
        std::thread::scope(|scope| {
            for generator in generators {
                let threads = if generator.compute.info.gpu { 1 } else { generator.threads.min(starts.len()) };
                for _ in 0..threads {
                    scope.spawn(move || work(generator));
                }
            }
        });
        lock(&shown).0.end();
        let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        results.sort_by_key(|(index, _)| *index);
        let (mut pixels, mut evaluations) = (Vec::new(), 0);
        for (_, result) in results {
            let (part, took) = result?;
            pixels.extend(part);
            evaluations = evaluations.max(took);
        }
        let channels = first.model.config().image_channels;
        let set = ImageSet::new(first.model.side, channels, pixels, Vec::new(), Vec::new()).map_err(Failure::other)?;
        let RunConfig { solver, schedule, steps, spacing, seed, guidance, .. } = &first.config;
        let mut words = format!("{} on {}, {steps} steps, spacing {}", solver.id(), schedule.id(), spacing.id());
        if is_told(&first.model, &first.config) {
            words.push_str(&format!(", class {}", first.config.image_class.text()));
            if *guidance != 1.0 {
                words.push_str(&format!(", guidance {guidance}"));
            }
        }
        let ema = "the weights of the file (sets of this program hold moving averages)".to_owned();
        Ok(Drawn { set, facts: Facts { evaluations, solver: words, seed: *seed, ema } })
    }

    fn part(&self, start: usize, count: usize) -> Outcome<(Vec<u8>, u32)> {
        let whole = |value: usize| u32::try_from(value).map_err(Failure::usage);
        let config = RunConfig {
            images: whole(count)?,
            seed: self.config.seed.wrapping_add(whole(start)?),
            ..self.config.clone()
        };
        let mut run = ImageRun::part(config, start, &self.model, self.compute).map_err(Failure::usage)?;
        if !self.compute.info.gpu {
            run = run.with_batch(count);
        }
        loop {
            match wait(run.step(&mut Guard)).map_err(Failure::other)? {
                Stepped::Stepped => {}
                Stepped::Finished => break,
                Stepped::GivenUp => return Err(Failure::new(Kind::Interrupted, "ended before its time")),
            }
        }
        let values = wait(run.sampler().x().values()).map_err(Failure::device)?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Failure::other("the images are not finite: more steps or another solver may help"));
        }
        Ok((values.into_iter().map(to_grey).collect(), run.sampler().evaluations()))
    }
}

/// Whether the network is told a class in this run.
fn is_told(model: &ImageModel, config: &RunConfig) -> bool {
    config.image_class != ClassChoice::Any && model.config().classes > 0
}

/// Refuses a class that the weights do not have, and says which settings of classes do nothing.
///
/// # Errors
/// When the weights cannot draw what is asked for.
pub fn check_class(model: &ImageModel, config: &RunConfig) -> Outcome {
    let RunConfig { image_class, guidance, guidance_from, guidance_to, .. } = config;
    model.classes().labels(image_class, *guidance, 0, 1).map_err(Failure::usage)?;
    let told = is_told(model, config);
    if *image_class != ClassChoice::Any && !told {
        eprintln!("scorefield: these weights have no classes: image-class does nothing");
    }
    if *guidance != 1.0 && !told {
        eprintln!("scorefield: the images have no class: guidance does nothing");
    }
    let usual = RunConfig::default();
    if (*guidance_from, *guidance_to) != (usual.guidance_from, usual.guidance_to) {
        eprintln!(
            "scorefield: guidance-from and guidance-to are of points in the plane: images are guided at every noise"
        );
    }
    Ok(())
}

/// The network of these weights, on the device with automatic differentiation where it is to be `differentiable`.
///
/// # Errors
/// When the weights cannot be used.
pub fn load(
    weights: &Path,
    objective: Option<Objective>,
    compute: &ComputeDevice,
    differentiable: bool,
) -> Outcome<ImageModel> {
    let source = Source::read(&[weights.to_owned()], objective, None)?;
    let names = source.class_names();
    let bad = |error: &dyn std::fmt::Display| Failure::input(weights.display(), error);
    let mut values = source.values.into_iter();
    let device = if differentiable { compute.device.clone().autodiff() } else { compute.device.clone() };
    let network = source.config.init(0, &device).map_err(|error| bad(&error))?;
    let network = network.load(|name, _| values.next().ok_or_else(|| name.to_owned()));
    let network = network.map_err(|name| bad(&format!("{name} is missing")))?;
    let mut model = ImageModel::new(network, source.convention, source.image_size as usize).with_class_names(names);
    model.set_grids(source.manifest.map(|manifest| manifest.grids).unwrap_or_default());
    Ok(model)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
