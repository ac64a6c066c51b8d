//! Settings that diffusers keeps beside weights: `config.json` of a `UNet2DModel`, `scheduler_config.json`.
//!
//! Both are untrusted JSON. What they leave out is what diffusers 0.35 takes by default; a setting that asks for what this
//! network has not is refused by its name, and one that is not known here is said ([`Described::unread`]).

mod network;
mod reader;
mod settings;

use serde_json::{Map, Value};

use crate::diffusion::convention::{ChainBetas, InputScale, TimeConvention};
use crate::diffusion::{Convention, Prediction};
use crate::nn::checkpoint::noise_levels::NoiseLevels;
use reader::Reader;

pub use network::network;
pub use settings::{Described, NETWORK_FILE, Network, SCHEDULER_FILE, SettingsError};

/// Song et al.'s scheduler for variance-exploding networks, which are told sigma itself.
const EXPLODING: &str = "ScoreSdeVeScheduler";

/// Whether a JSON object of this class is a network's: that of the training kit has no class.
#[must_use]
pub fn is_network(json: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(json).is_ok_and(|object| object.contains_key("_class_name"))
}

/// The convention that a `scheduler_config.json` of diffusers describes.
///
/// # Errors
/// A [`SettingsError`] that names the setting.
pub fn convention(json: &str) -> Result<Described<Convention>, SettingsError> {
    // All of these walk the same chain of betas; those of Karras et al. are other networks' conventions.
    const CHAINS: [&str; 12] = [
        "DDPMScheduler",
        "DDIMScheduler",
        "PNDMScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "DEISMultistepScheduler",
        "UniPCMultistepScheduler",
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "HeunDiscreteScheduler",
        "LMSDiscreteScheduler",
        "DDPMParallelScheduler",
    ];
    let wanted = "scheduler of a chain of betas, or ScoreSdeVeScheduler,";
    let runs = |class: &str| class == EXPLODING || CHAINS.contains(&class);
    let mut read = Reader::open(SCHEDULER_FILE, json, runs, wanted)?;
    if read.settings.get("_class_name").and_then(Value::as_str) == Some(EXPLODING) {
        return Ok(Described { of: Convention::ve(), unread: Vec::new() });
    }
    let count = read.number("num_train_timesteps", 1000)?;
    let Ok(count) = u32::try_from(count) else { return Err(read.refuse("num_train_timesteps", "a number of steps")) };
    let (first, last) = (read.real("beta_start", 1e-4)?, read.real("beta_end", 0.02)?);
    let betas = match read.text("beta_schedule", "linear")?.as_str() {
        "linear" => ChainBetas::Linear { first, last },
        "scaled_linear" => ChainBetas::ScaledLinear { first, last },
        "squaredcos_cap_v2" => ChainBetas::Cosine,
        _ => return Err(read.refuse("beta_schedule", "linear, scaled_linear or squaredcos_cap_v2")),
    };
    if read.get("trained_betas").is_some() {
        return Err(read.refuse("trained_betas", "null"));
    }
    if read.flag("rescale_betas_zero_snr", false)? {
        return Err(read.refuse("rescale_betas_zero_snr", "false"));
    }
    let prediction = match read.text("prediction_type", "epsilon")?.as_str() {
        "epsilon" => Prediction::Noise,
        "sample" => Prediction::Data,
        "v_prediction" => Prediction::Velocity,
        _ => return Err(read.refuse("prediction_type", "epsilon, sample or v_prediction")),
    };
    let time = match betas {
        ChainBetas::Linear { first, last } if count == 1000 => TimeConvention::Steps { count, first, last },
        _ => TimeConvention::Chain { betas, count },
    };
    if !time.is_possible() {
        return Err(
            read.refuse("beta_start", "less than beta_end, both between 0 and 1, in a chain of 2 to 100000 steps")
        );
    }
    // What is left is about sampling, which the page's own controls decide.
    Ok(Described { of: Convention { prediction, input: InputScale::Preserving, time }, unread: Vec::new() })
}

/// The noise levels that a `scheduler_config.json` of the variance-exploding kind describes: of pixels from 0 to 1, and so of
/// twice the size for those from -1 to 1.
///
/// # Errors
/// A [`SettingsError`] that names the setting.
pub fn levels(json: &str) -> Result<NoiseLevels, SettingsError> {
    let mut read = Reader::open(SCHEDULER_FILE, json, |class| class == EXPLODING, EXPLODING)?;
    let (smallest, largest) = (2.0 * read.real("sigma_min", 0.01)?, 2.0 * read.real("sigma_max", 1348.0)?);
    let count = u32::try_from(read.number("num_train_timesteps", 2000)?).unwrap_or(u32::MAX);
    let levels = NoiseLevels { count, largest, smallest };
    if levels.convention().time.is_possible() {
        Ok(levels)
    } else {
        Err(read.refuse("sigma_max", "more than sigma_min, which is more than 0, in 2 to 100000 levels"))
    }
}
