//! Files of weights: safetensors whose metadata hold the configuration they were trained with.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

use super::architecture::Architecture;
use crate::lab::{FIELDS, RunConfig};

/// Key of the configuration's JSON in the metadata.
const CONFIG: &str = "scorefield.config";
/// Key of the training steps behind the weights.
const STEP: &str = "scorefield.step";
/// Largest file that is looked at: the largest network of the page has 2 million parameters, 8 MB.
const LARGEST: usize = 64 << 20;

/// Why a file of weights cannot be used.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// Too large to be one of ours.
    #[error("the file has {found} bytes, more than {LARGEST}")]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// It is not safetensors, or it is damaged.
    #[error("not a readable safetensors file: {0}")]
    Format(String),
    /// It does not say how it was trained.
    #[error("the file holds no configuration of this program: {0}")]
    Config(String),
    /// A tensor is not there.
    #[error("tensor {name} is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape.
    #[error("tensor {name}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// Its name.
        name: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// A tensor has another type.
    #[error("tensor {name}: expected f32 numbers, found {found}")]
    Type {
        /// Its name.
        name: String,
        /// What the file has.
        found: String,
    },
    /// A tensor holds infinities or what is not a number.
    #[error("tensor {name} holds numbers that are not finite")]
    NotFinite {
        /// Its name.
        name: String,
    },
}

/// Weights with what is known about them.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsFile {
    /// The run that trained them.
    pub config: RunConfig,
    /// Training steps behind them.
    pub step: u32,
    /// The parameters, in the order of [`Architecture::layers`].
    pub parameters: Vec<f32>,
}

impl WeightsFile {
    /// The file. Layer `i` is `layers.i.weight`, of shape `[inputs, outputs]`, and `layers.i.bias`.
    ///
    /// # Errors
    /// [`WeightsError::Format`] if there are not as many parameters as the configuration's network has.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let architecture = Architecture::from(&self.config);
        let bytes: Vec<u8> = self.parameters.iter().flat_map(|v| v.to_le_bytes()).collect();
        let format = |error: &dyn std::fmt::Display| WeightsError::Format(error.to_string());
        let mut tensors = Vec::new();
        for (index, layer) in architecture.layers().into_iter().enumerate() {
            let part = |start: usize, end: usize| {
                bytes.get(4 * start..4 * end).ok_or_else(|| format(&"too few parameters for the configuration"))
            };
            for (name, shape, data) in [
                ("weight", vec![layer.inputs, layer.outputs], part(layer.start, layer.bias())?),
                ("bias", vec![layer.outputs], part(layer.bias(), layer.end())?),
            ] {
                let view = TensorView::new(Dtype::F32, shape, data).map_err(|e| format(&e))?;
                tensors.push((format!("layers.{index}.{name}"), view));
            }
        }
        let config = serde_json::to_string(&self.config).map_err(|e| format(&e))?;
        let metadata = HashMap::from([(CONFIG.to_owned(), config), (STEP.to_owned(), self.step.to_string())]);
        safetensors::tensor::serialize(tensors, Some(metadata)).map_err(|e| format(&e))
    }

    /// Reads a file, whoever made it.
    ///
    /// # Errors
    /// A [`WeightsError`] that says what is wrong with it.
    pub fn from_bytes(file: &[u8]) -> Result<Self, WeightsError> {
        if file.len() > LARGEST {
            return Err(WeightsError::TooLarge { found: file.len() });
        }
        let format = |error: &dyn std::fmt::Display| WeightsError::Format(error.to_string());
        let (_, header) = SafeTensors::read_metadata(file).map_err(|e| format(&e))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let config = metadata.get(CONFIG).ok_or_else(|| WeightsError::Config("none there".into()))?;
        let config: RunConfig = serde_json::from_str(config).map_err(|e| WeightsError::Config(e.to_string()))?;
        check_ranges(&config)?;
        let step = metadata.get(STEP).and_then(|step| step.parse().ok()).unwrap_or(0);

        let tensors = SafeTensors::deserialize(file).map_err(|e| format(&e))?;
        let architecture = Architecture::from(&config);
        let mut parameters = Vec::with_capacity(architecture.parameters());
        for (index, layer) in architecture.layers().into_iter().enumerate() {
            read(&tensors, format!("layers.{index}.weight"), &[layer.inputs, layer.outputs], &mut parameters)?;
            read(&tensors, format!("layers.{index}.bias"), &[layer.outputs], &mut parameters)?;
        }
        Ok(Self { config, step, parameters })
    }
}

/// A configuration with values outside their ranges could ask for a network of any size.
pub(crate) fn check_ranges(config: &RunConfig) -> Result<(), WeightsError> {
    let mut copy = config.clone();
    for field in FIELDS {
        if field.set(&mut copy, field.get(config)).is_some() {
            return Err(WeightsError::Config(format!("{} is out of range: {}", field.key, field.text(config))));
        }
    }
    Ok(())
}

fn read(tensors: &SafeTensors, name: String, expected: &[usize], into: &mut Vec<f32>) -> Result<(), WeightsError> {
    let Ok(view) = tensors.tensor(&name) else { return Err(WeightsError::Missing { name }) };
    if view.dtype() != Dtype::F32 {
        return Err(WeightsError::Type { name, found: format!("{:?}", view.dtype()) });
    }
    if view.shape() != expected {
        return Err(WeightsError::Shape { name, expected: expected.to_vec(), found: view.shape().to_vec() });
    }
    let start = into.len();
    into.extend(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
    if into[start..].iter().all(|v| v.is_finite()) { Ok(()) } else { Err(WeightsError::NotFinite { name }) }
}
