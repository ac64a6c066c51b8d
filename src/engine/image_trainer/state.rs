//! Everything a run needs to go on as if it had never stopped, in one file.

use std::collections::HashMap;

use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

use super::mixed::LossScale;
use super::optimiser::{Memory, Slot};
use super::{ImageTrainer, Recipe, read};
use crate::nn::device::ComputeDevice;

const RECIPE: &str = "scorefield.recipe";
const STEP: &str = "scorefield.step";
const SECONDS: &str = "scorefield.seconds";
const SCALE: &str = "scorefield.loss-scale";
const FINISH: &str = "scorefield.finish";
/// Beginning of the names of the parameters; what an optimiser remembers has its own.
const PARAMETER: &str = "parameter";

/// Beginning of the names of a moving average: the run's result is called as it was when there was no other.
fn average(recipe: &Recipe, place: usize) -> String {
    if place == recipe.main_average() { "average".to_owned() } else { format!("average-{}", recipe.averages[place]) }
}

/// Why a run cannot go on from a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// Not the state of a run.
    #[error("not the state of a training run: {0}")]
    Format(String),
    /// A tensor is not there, or has another shape.
    #[error("tensor {0} is missing or has another shape than the recipe's network")]
    Tensor(String),
    /// The device no longer answers.
    #[error("the device was lost: {0}")]
    Device(String),
}

fn format(error: impl std::fmt::Display) -> StateError {
    StateError::Format(error.to_string())
}

impl ImageTrainer {
    /// The state as a file.
    ///
    /// # Errors
    /// [`StateError::Device`] when the device no longer answers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StateError> {
        let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
        let shapes = self.shapes();
        for (slot, parameter) in self.slots.iter().zip(&shapes) {
            let averages = slot.averages.iter().enumerate();
            let averages = averages.map(|(place, tensor)| (average(&self.recipe, place), tensor));
            let memory = slot.memory.parts().into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
            for (kind, tensor) in [(PARAMETER.to_owned(), &slot.value)].into_iter().chain(averages).chain(memory) {
                let values = read(tensor).map_err(StateError::Device)?;
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((format!("{kind}.{}", parameter.name), bytes));
            }
        }
        let views: Result<Vec<_>, StateError> = tensors
            .iter()
            .map(|(name, bytes)| Ok((name, TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).map_err(format)?)))
            .collect();
        let recipe = serde_json::to_string(&self.recipe).map_err(format)?;
        let facts = [(RECIPE, recipe), (STEP, self.step.to_string()), (SECONDS, self.seconds.to_string())];
        let mut metadata: HashMap<String, String> = facts.map(|(key, value)| (key.to_owned(), value)).into();
        if let Some(finish) = &self.finish {
            metadata.insert(FINISH.to_owned(), finish.to_string());
        }
        if let Some(scale) = &self.scale {
            let scale = read(scale.factor()).map_err(StateError::Device)?;
            metadata.insert(SCALE.to_owned(), scale.first().map_or_else(String::new, f32::to_string));
        }
        safetensors::tensor::serialize(views?, Some(metadata)).map_err(format)
    }

    /// The run of a file.
    ///
    /// # Errors
    /// A [`StateError`] that says what is wrong with it.
    pub fn from_bytes(file: &[u8], compute: &ComputeDevice, threads: usize) -> Result<Self, StateError> {
        let (_, header) = SafeTensors::read_metadata(file).map_err(format)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let known = |key: &str| metadata.get(key).ok_or_else(|| StateError::Format(format!("{key} is missing")));
        let recipe: Recipe = serde_json::from_str(known(RECIPE)?).map_err(format)?;
        let step: u32 = known(STEP)?.parse().map_err(format)?;
        let seconds: f64 = known(SECONDS)?.parse().map_err(format)?;
        let tensors = SafeTensors::deserialize(file).map_err(format)?;
        let mut trainer = Self::new(recipe, compute, threads).map_err(format)?;
        let shapes = trainer.shapes();
        for (slot, parameter) in trainer.slots.iter_mut().zip(&shapes) {
            let get = |kind: &str| {
                let name = format!("{kind}.{}", parameter.name);
                let view = tensors.tensor(&name).ok();
                let view = view.filter(|view| view.dtype() == Dtype::F32 && view.shape() == [parameter.count()]);
                let data = view.ok_or(StateError::Tensor(name))?;
                let values = data.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                let values: Vec<f32> = values.collect();
                Ok(Tensor::<1>::from_data(TensorData::new(values, [parameter.count()]), &compute.device))
            };
            let recipe = &trainer.recipe;
            let averages = (0..recipe.averages.len()).map(|place| get(&average(recipe, place)));
            *slot = Slot {
                value: get(PARAMETER)?,
                averages: averages.collect::<Result<_, StateError>>()?,
                memory: Memory::read(recipe.optimiser.matrix(parameter), get)?,
            };
        }
        let finish = metadata.get(FINISH).map(|text| text.parse()).transpose();
        trainer.finish = finish.map_err(format)?;
        if trainer.scale.is_some() {
            let scale = known(SCALE)?.parse().map_err(format)?;
            trainer.scale = Some(LossScale::of(scale, &compute.device));
        }
        (trainer.step, trainer.seconds) = (step, seconds);
        Ok(trainer)
    }
}
