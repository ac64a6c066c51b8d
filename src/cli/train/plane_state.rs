//! Everything a run in the plane needs to go on as if it had never stopped, in one file.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::cli::device::wait;
use crate::engine::Trainer;
use crate::engine::network::TrainerState;
use crate::lab::RunConfig;
use crate::nn::Architecture;
use crate::nn::device::ComputeDevice;
use crate::nn::weights::check_ranges;

/// Keys of the metadata.
const CONFIG: &str = "scorefield.plane";
const FIRST: &str = "scorefield.first";
const STEP: &str = "scorefield.step";
const SECONDS: &str = "scorefield.seconds";
const NAMES: [&str; 4] = ["parameters", "average", "mean", "square"];

/// The file of a run that took so many seconds so far.
///
/// # Errors
/// What the device says when it no longer answers.
pub(super) fn to_bytes(trainer: &Trainer, seconds: f64) -> Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (numbers, [first, step]) = wait(trainer.state()).map_err(|error| text(&error))?;
    let TrainerState { parameters, average, mean, square } = numbers;
    let bytes = [parameters, average, mean, square]
        .map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    let view = |bytes| TensorView::new(Dtype::F32, vec![<[u8]>::len(bytes) / 4], bytes);
    let views: Result<Vec<_>, _> = NAMES.into_iter().zip(&bytes).map(|(name, b)| Ok((name, view(b)?))).collect();
    let views = views.map_err(|error: safetensors::SafeTensorError| text(&error))?;
    let config = serde_json::to_string(trainer.config()).map_err(|error| text(&error))?;
    let numbers = [(FIRST, first.to_string()), (STEP, step.to_string()), (SECONDS, seconds.to_string())];
    let metadata: HashMap<String, String> =
        numbers.into_iter().chain([(CONFIG, config)]).map(|(key, value)| (key.to_owned(), value)).collect();
    safetensors::tensor::serialize(views, Some(metadata)).map_err(|error| text(&error))
}

/// Whether the file is of a run in the plane.
pub(super) fn is_one(file: &[u8]) -> bool {
    let header = SafeTensors::read_metadata(file).ok();
    header.is_some_and(|(_, header)| header.metadata().as_ref().is_some_and(|facts| facts.contains_key(CONFIG)))
}

/// The run of a file, with the seconds it took so far.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn from_bytes(file: &[u8], compute: &ComputeDevice) -> Result<(Trainer, f64), String> {
    let not = |error: &dyn std::fmt::Display| format!("not the state of a training run in the plane: {error}");
    let (_, header) = SafeTensors::read_metadata(file).map_err(|error| not(&error))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let known = |key: &str| metadata.get(key).ok_or_else(|| not(&format!("{key} is missing")));
    let config: RunConfig = serde_json::from_str(known(CONFIG)?).map_err(|error| not(&error))?;
    // Values out of their ranges could ask for a network of any size.
    check_ranges(&config).map_err(|error| not(&error))?;
    let whole = |key: &str| known(key)?.parse::<u32>().map_err(|error| not(&error));
    let (steps, seconds) = ([whole(FIRST)?, whole(STEP)?], known(SECONDS)?.parse().map_err(|error| not(&error))?);
    let tensors = SafeTensors::deserialize(file).map_err(|error| not(&error))?;
    let count = Architecture::from(&config).parameters();
    let read = |name: &str| -> Result<Vec<f32>, String> {
        let view = tensors.tensor(name).map_err(|error| not(&error))?;
        if view.dtype() != Dtype::F32 || view.shape() != [count] {
            return Err(not(&format!("tensor {name} has another shape than the run's network")));
        }
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(not(&format!("tensor {name} holds numbers that are not finite")))
        }
    };
    let [parameters, average, mean, square] = NAMES.map(read);
    let numbers = TrainerState { parameters: parameters?, average: average?, mean: mean?, square: square? };
    let trainer = Trainer::restore(config, numbers, steps, compute).map_err(|error| not(&error))?;
    Ok((trainer, seconds))
}
