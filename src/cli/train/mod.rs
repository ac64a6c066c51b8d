//! `scorefield train`: points in the plane, or images.

mod args;
mod images;
mod metrics;
mod plane;
mod plane_state;
pub mod recipe;

use super::failure::{Failure, Outcome};
use crate::data::DatasetId;

pub use args::TrainArgs;

/// Does it.
///
/// # Errors
/// When the data cannot be used, the run diverges, or OUT cannot be written.
pub fn run(args: &TrainArgs) -> Outcome {
    let plane = args.data.as_deref().and_then(DatasetId::from_id);
    match (&args.data, plane) {
        (None, _) if args.resume && plane::holds_run(&args.out) => plane::run(args, None),
        (None, _) if args.config.link.is_some() => plane::run(args, None),
        (_, Some(dataset)) => plane::run(args, Some(dataset)),
        (Some(data), None) if args.config.link.is_none() && args.config.changes.is_empty() => images::run(args, data),
        (Some(_), None) => Err(Failure::usage("--link and --set are for data in the plane")),
        (None, _) => Err(Failure::usage("say what to train on: --data, or --link for data in the plane")),
    }
}
