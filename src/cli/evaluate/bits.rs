//! `scorefield evaluate --bits`: how likely a network finds images.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::args::{BitsArg, EvaluateArgs, Origin, half_name};
use crate::cli::device::wait;
use crate::cli::failure::{Failure, Kind, Outcome};
use crate::cli::images::{self, digest};
use crate::cli::interrupt;
use crate::cli::progress::clock;
use crate::cli::sample::{Guard, check_class, load};
use crate::data::ImageSet;
use crate::data::metrics::Floor;
use crate::diffusion::Schedule;
use crate::engine::images::ImageModel;
use crate::engine::images::likelihood::{Asked, Bits};
use crate::lab::{ClassChoice, RunConfig};
use crate::nn::checkpoint::Measurement;

/// Images evaluated at once in a thread.
const TOGETHER: usize = 4;

#[derive(Clone, Debug, Serialize)]
struct Report {
    bits_per_dimension: f64,
    /// Standard error of the mean, by how the images differ.
    standard_error: Option<f64>,
    /// The part of it that comes from dequantisation, probes and noise, by how the estimates of an image differ.
    estimate_error: Option<f64>,
    /// Estimates of each image, which are averaged.
    probes: u32,
    method: &'static str,
    images: usize,
    reference: Origin,
    evaluations: u32,
    schedule: &'static str,
    steps: Option<u32>,
    tolerance: Option<f64>,
    seed: u32,
    /// What the network was told of each image's class.
    class: String,
    ema: &'static str,
    seconds: f64,
    device: String,
    /// For the manifest of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<Measurement>,
}

/// Measures it.
pub fn run(args: &EvaluateArgs, method: BitsArg, weights: &Path) -> Outcome {
    let start = Instant::now();
    let default = match method {
        BitsArg::Bound => "experiment=images&schedule=ddpm-linear&steps=1000&probes=1",
        BitsArg::Flow => "experiment=images&schedule=linear&flow-tolerance=1e-4&probes=1",
    };
    let config = args.config.config_of(default)?;
    let set = images::open(&args.reference, args.reference_half)?.first(args.count.unwrap_or(16));
    let compute = args.device.open()?;
    interrupt::listen();
    let model = load(weights, args.objective, &compute, false)?;
    if (model.side, model.config().image_channels) != (set.size(), set.channels()) {
        return Err(Failure::usage("the network is of images of another size than the reference has"));
    }
    let labels = labels(&model, &config, &set)?;
    let schedule = Schedule::from_config(&config);
    let RunConfig { steps, flow_tolerance: tolerance, seed, probes, .. } = config;
    // The estimates of every image, and the most levels.
    let ask = |(index, pixels): (usize, &[u8])| -> Outcome<(Vec<Vec<f64>>, u32)> {
        let images = pixels.len() / set.numbers();
        let seed = seed.wrapping_add(u32::try_from(index * TOGETHER).unwrap_or_default());
        let first = index * TOGETHER;
        let labels = labels.get(first..first + images).unwrap_or_default();
        let (mut found, mut evaluations) = (vec![Vec::new(); images], 0);
        for draw in 0..probes {
            let asked = Asked { pixels, images, labels, seed, draw };
            let bits = match method {
                BitsArg::Bound => wait(asked.bound(&model, &schedule, steps as usize, &compute, &mut Guard)),
                BitsArg::Flow => wait(asked.flow(&model, &schedule, tolerance, &compute, &mut Guard)),
            };
            let bits = bits.map_err(Failure::other)?;
            let Bits { each, evaluations: of_each } =
                bits.ok_or_else(|| Failure::new(Kind::Interrupted, "ended before its time"))?;
            found.iter_mut().zip(each).for_each(|(all, bits)| all.push(bits));
            evaluations = evaluations.max(of_each);
        }
        Ok((found, evaluations))
    };
    let parts: Vec<(usize, &[u8])> = set.pixels().chunks(TOGETHER * set.numbers()).enumerate().collect();
    let threads = if compute.info.gpu { 1 } else { args.device.threads() };
    let share = parts.len().div_ceil(threads);
    let results: Vec<Outcome<(Vec<Vec<f64>>, u32)>> = std::thread::scope(|scope| {
        let work = |parts: Vec<(usize, &[u8])>| parts.into_iter().map(ask).collect::<Vec<_>>();
        let handles: Vec<_> = parts.chunks(share).map(|parts| scope.spawn(move || work(parts.to_vec()))).collect();
        let lost = || vec![Err(Failure::other("a thread ended early: there may not be enough memory"))];
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_else(|_| lost())).collect()
    });
    let (mut found, mut evaluations) = (Vec::new(), 0);
    for result in results {
        let (part, levels) = result?;
        found.extend(part);
        evaluations = evaluations.max(levels);
    }
    let images = found.len();
    let means: Vec<f64> = found.iter().map(|of_image| Floor::of(of_image).mean).collect();
    let Floor { mean: bits, spread } = Floor::of(&means);
    let standard_error = (images > 1).then(|| spread / (images as f64).sqrt());
    let variances = found.iter().map(|of_image| Floor::of(of_image).spread.powi(2) / f64::from(probes));
    let estimate_error = (probes > 1).then(|| variances.sum::<f64>().sqrt() / images as f64);
    if !bits.is_finite() {
        return Err(Failure::other("the likelihood is not finite"));
    }
    let flow = method == BitsArg::Flow;
    let source = half_name(args);
    let how = if flow { format!("tolerance {tolerance:e}") } else { format!("{steps} steps") };
    let method = if flow { "probability flow" } else { "variational bound" };
    let measured = standard_error.map(|error| Measurement {
        value: bits,
        error: Some(error),
        images: images as u32,
        evaluations,
        solver: format!("{method}, schedule {}, {how}, {probes} estimates each", config.schedule.id()),
        reference: source.clone(),
    });
    let report = Report {
        bits_per_dimension: bits,
        standard_error,
        estimate_error,
        probes,
        method,
        images,
        reference: Origin { source, images, sha256: digest(&set) },
        evaluations,
        schedule: config.schedule.id(),
        steps: (!flow).then_some(steps),
        tolerance: flow.then_some(tolerance),
        seed,
        class: config.image_class.text().to_owned(),
        ema: "the weights of the file (sets of this program hold moving averages)",
        seconds: start.elapsed().as_secs_f64(),
        device: compute.info.name.clone(),
        bits: measured,
    };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report).map_err(Failure::other)?)?;
    } else {
        let Report { method, schedule, evaluations, seed, seconds, ema, device, class, .. } = &report;
        let error = |error: Option<f64>, of: &str| error.map_or_else(String::new, |error| format!(" ± {error:.4}{of}"));
        let errors = error(standard_error, "") + &error(estimate_error, " (of which by the estimates)");
        say!("{bits:.4}{errors} bits per dimension by the {method}, {images} images of {}", report.reference.source)?;
        say!(
            "schedule {schedule}, {how}, {evaluations} levels, {probes} estimates an image, class {class}, seed {seed}, {ema}"
        )?;
        say!("{} on {device}", clock(*seconds))?;
    }
    Ok(())
}

/// The classes that the network is told of the images: none, one, or with `each` every image's own.
fn labels(model: &ImageModel, config: &RunConfig, set: &ImageSet) -> Outcome<Vec<Option<usize>>> {
    check_class(model, config)?;
    if config.guidance != 1.0 && config.image_class != ClassChoice::Any {
        return Err(Failure::usage("guided images have no likelihood that could be measured: leave guidance at 1"));
    }
    let own = |image: usize| {
        let name = set.label(image).and_then(|label| set.classes().get(label)).cloned().unwrap_or_default();
        let label = model.classes().labels(&ClassChoice::from_text(&name), 1.0, 0, 1);
        label.ok().and_then(|found| found.first().copied().flatten()).map(Some).ok_or_else(|| {
            let known = model.classes().names.join(", ");
            Failure::usage(format!("image {image} of the reference is of the class {name:?}, the weights know {known}"))
        })
    };
    match &config.image_class {
        ClassChoice::Each if model.config().classes > 0 && set.classes().is_empty() => {
            Err(Failure::usage("the reference says no classes: image-class is any, or the name of one"))
        }
        ClassChoice::Each if model.config().classes > 0 => (0..set.len()).map(own).collect(),
        choice => model.classes().labels(choice, 1.0, 0, set.len()).map_err(Failure::usage),
    }
}
