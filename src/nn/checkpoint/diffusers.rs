//! Settings that diffusers keeps beside weights: `config.json` of a `UNet2DModel`, `scheduler_config.json`.
//!
//! Both are untrusted JSON. What they leave out is what diffusers 0.35 takes by default; a setting that asks for what this
//! network has not is refused by its name, and one that is not known here is said ([`Described::unread`]).

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::diffusion::convention::{ChainBetas, InputScale, TimeConvention};
use crate::diffusion::{Convention, Prediction};
use crate::nn::unet::{ConfigError, Details, Style, UNetConfig};

/// Name of the file of a network's settings.
pub const NETWORK_FILE: &str = "config.json";
/// Name of the file of a scheduler's settings.
pub const SCHEDULER_FILE: &str = "scheduler_config.json";

/// Longest list that is read, and most settings that are named as unread.
const LONGEST_LIST: usize = 16;

/// Why settings beside weights cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SettingsError {
    /// Not a JSON object.
    #[error("{file}: {why}")]
    Json {
        /// The file.
        file: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Another class than can be run.
    #[error("{file} describes a {found}; a {wanted} can be run here")]
    Class {
        /// The file.
        file: &'static str,
        /// The class.
        found: String,
        /// The classes that can be run.
        wanted: &'static str,
    },
    /// A setting that asks for what there is not.
    #[error("{file}: {field} is {found}, and can be {wanted} here")]
    Field {
        /// The file.
        file: &'static str,
        /// The setting.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it can be.
        wanted: String,
    },
    /// There is no network of this shape.
    #[error("config.json: {0}")]
    Config(#[from] ConfigError),
}

/// What settings say beyond the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Described<T> {
    /// The settings.
    pub of: T,
    /// Settings of the file that are not known here and were not obeyed.
    pub unread: Vec<String>,
}

/// A network, as `config.json` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its shape with its details.
    pub config: UNetConfig,
    /// Height and width of its images, if that is said.
    pub image_size: Option<u32>,
}

/// Whether a JSON object of this class is a network's: that of the training kit has no class.
#[must_use]
pub fn is_network(json: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(json).is_ok_and(|object| object.contains_key("_class_name"))
}

/// The network that a `config.json` of diffusers describes.
///
/// # Errors
/// A [`SettingsError`] that names the setting.
pub fn network(json: &str) -> Result<Described<Network>, SettingsError> {
    let mut read = Reader::open(NETWORK_FILE, json, |class| class == "UNet2DModel", "UNet2DModel")?;
    let widths = read.list("block_out_channels", vec![224, 448, 672, 896], whole)?;
    let levels = widths.len();
    let channels = widths.first().copied().unwrap_or(0);
    let unequal = |width: &usize| !width.is_multiple_of(channels);
    if widths.is_empty() || widths.iter().any(unequal) {
        return Err(read.refuse("block_out_channels", "multiples of the first"));
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let usual = |first: &str, other: &str| {
        let mut types = vec![other.to_owned(); levels];
        if let Some(type_of_first) = types.first_mut() {
            first.clone_into(type_of_first);
        }
        types
    };
    let down = read.list("down_block_types", usual("DownBlock2D", "AttnDownBlock2D"), text)?;
    let mut up_usual = usual("UpBlock2D", "AttnUpBlock2D");
    up_usual.reverse();
    let mut up = read.list("up_block_types", up_usual, text)?;
    up.reverse();
    let attends = |types: &[String], plain: &str, attended: &str| -> Option<Vec<bool>> {
        let one = |of: &String| if of == attended { Some(true) } else { (of == plain).then_some(false) };
        types.iter().map(one).collect::<Option<Vec<bool>>>().filter(|all| all.len() == levels)
    };
    let Some(attended) = attends(&down, "DownBlock2D", "AttnDownBlock2D") else {
        return Err(read.refuse("down_block_types", "DownBlock2D or AttnDownBlock2D, one a level"));
    };
    if attends(&up, "UpBlock2D", "AttnUpBlock2D").as_ref() != Some(&attended) {
        return Err(
            read.refuse("up_block_types", "UpBlock2D or AttnUpBlock2D, with attention at the levels of the way down")
        );
    }
    let image_channels = read.number("in_channels", 3)?;
    let outputs = read.number("out_channels", 3)?;
    if outputs != image_channels && outputs != 2 * image_channels {
        return Err(read.refuse("out_channels", "in_channels, or twice as many with learned variances"));
    }
    // With scale_shift diffusers' attention in the middle has no normalisation, which is another graph.
    read.must("resnet_time_scale_shift", &["default"])?;
    let style = Style::Ddpm;
    let classes = read.optional("num_class_embeds")?.unwrap_or(0);
    let details = Details {
        cosines_first: read.flag("flip_sin_to_cos", true)?,
        frequency_shift: read.number("freq_shift", 0)?,
        padding: read.number("downsample_padding", 1)?,
        epsilon: read.real("norm_eps", 1e-5)?,
        // Left out it is 8; null is one head for all channels.
        head_channels: if read.settings.contains_key("attention_head_dim") {
            read.optional("attention_head_dim")?
        } else {
            Some(8)
        },
        // diffusers' pipelines know of no class that means none.
        without_class: classes == 0,
    };
    let config = UNetConfig {
        image_channels,
        channels,
        multipliers: widths.iter().map(|width| width / channels).collect(),
        layers: read.number("layers_per_block", 2)?,
        attention_levels: (0..levels).filter(|level| attended[*level]).collect(),
        classes,
        dropout: 0.0,
        learned_variance: outputs == 2 * image_channels,
        groups: read.number("norm_num_groups", 32)?,
        heads: 1,
        style,
        details: (details != style.details()).then_some(details),
    };
    read.must("act_fn", &["silu", "swish"])?;
    read.must("time_embedding_type", &["positional"])?;
    read.must("downsample_type", &["conv"])?;
    read.must("upsample_type", &["conv"])?;
    read.must("mid_block_type", &["UNetMidBlock2D"])?;
    if !read.flag("add_attention", true)? {
        return Err(read.refuse("add_attention", "true"));
    }
    if read.flag("center_input_sample", false)? {
        return Err(read.refuse("center_input_sample", "false"));
    }
    if read.real("mid_block_scale_factor", 1.0)? != 1.0 {
        return Err(read.refuse("mid_block_scale_factor", "1"));
    }
    for absent in ["class_embed_type", "attn_norm_num_groups"] {
        if read.get(absent).is_some() {
            return Err(read.refuse(absent, "null"));
        }
    }
    let image_size = read.optional("sample_size")?.map(u32::try_from).transpose();
    let Ok(image_size) = image_size else { return Err(read.refuse("sample_size", "a whole number or null")) };
    // What dropout and the number of training steps say matters to training alone.
    read.asked.extend(["dropout", "num_train_timesteps", "attention_head_dim"]);
    config.validate()?;
    Ok(Described { of: Network { config, image_size }, unread: read.unread() })
}

/// The convention that a `scheduler_config.json` of diffusers describes.
///
/// # Errors
/// A [`SettingsError`] that names the setting.
pub fn convention(json: &str) -> Result<Described<Convention>, SettingsError> {
    // All of these walk the same chain of betas; those of Karras et al. and of score_sde are other networks' conventions.
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
    let mut read =
        Reader::open(SCHEDULER_FILE, json, |class| CHAINS.contains(&class), "scheduler of a chain of betas")?;
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

/// The settings of a file, and which of them were asked for.
struct Reader {
    file: &'static str,
    settings: Map<String, Value>,
    asked: BTreeSet<&'static str>,
}

impl Reader {
    fn open(
        file: &'static str,
        json: &str,
        runs: impl Fn(&str) -> bool,
        wanted: &'static str,
    ) -> Result<Self, SettingsError> {
        let settings: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| SettingsError::Json { file, why: error.to_string() })?;
        let class = settings.get("_class_name").and_then(Value::as_str).unwrap_or("thing without _class_name");
        if !runs(class) {
            return Err(SettingsError::Class { file, found: shown(class), wanted });
        }
        Ok(Self { file, settings, asked: BTreeSet::new() })
    }

    /// A setting that is there and not null.
    fn get(&mut self, field: &'static str) -> Option<&Value> {
        self.asked.insert(field);
        self.settings.get(field).filter(|value| !value.is_null())
    }

    fn refuse(&self, field: &'static str, wanted: &str) -> SettingsError {
        let found = self.settings.get(field).map_or("left out".to_owned(), Value::to_string);
        SettingsError::Field { file: self.file, field, found: shown(&found), wanted: wanted.to_owned() }
    }

    /// A setting of some type, or what diffusers takes when it is left out or null.
    fn read<T>(
        &mut self,
        field: &'static str,
        usual: T,
        wanted: &str,
        as_type: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, SettingsError> {
        match self.get(field).map(as_type) {
            None => Ok(usual),
            Some(Some(value)) => Ok(value),
            Some(None) => Err(self.refuse(field, wanted)),
        }
    }

    fn number(&mut self, field: &'static str, usual: usize) -> Result<usize, SettingsError> {
        self.read(field, usual, "a whole number", whole)
    }

    fn optional(&mut self, field: &'static str) -> Result<Option<usize>, SettingsError> {
        self.read(field, None, "a whole number or null", |value| whole(value).map(Some))
    }

    fn real(&mut self, field: &'static str, usual: f64) -> Result<f64, SettingsError> {
        self.read(field, usual, "a number", Value::as_f64)
    }

    fn flag(&mut self, field: &'static str, usual: bool) -> Result<bool, SettingsError> {
        self.read(field, usual, "true or false", Value::as_bool)
    }

    fn text(&mut self, field: &'static str, usual: &str) -> Result<String, SettingsError> {
        self.read(field, usual.to_owned(), "a text", |value| value.as_str().map(str::to_owned))
    }

    fn list<T>(
        &mut self,
        field: &'static str,
        usual: Vec<T>,
        as_type: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, SettingsError> {
        let within = |list: &Vec<Value>| (list.len() <= LONGEST_LIST).then(|| list.iter().map(&as_type).collect())?;
        self.read(field, usual, "a list, one a level", |value| value.as_array().and_then(within))
    }

    /// Refuses a setting that is there and is none of these texts.
    fn must(&mut self, field: &'static str, texts: &[&str]) -> Result<(), SettingsError> {
        match self.get(field).map(|value| value.as_str().is_some_and(|text| texts.contains(&text))) {
            Some(false) => Err(self.refuse(field, &texts.join(" or "))),
            _ => Ok(()),
        }
    }

    /// Settings that nobody asked for, but what diffusers notes about the file itself.
    fn unread(&self) -> Vec<String> {
        let unread = |field: &&String| !field.starts_with('_') && !self.asked.contains(field.as_str());
        self.settings.keys().filter(unread).take(LONGEST_LIST).map(|field| shown(field)).collect()
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
