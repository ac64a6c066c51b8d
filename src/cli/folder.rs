//! What lies in a folder of weights: which files are one checkpoint, and what is said beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::failure::{Failure, Outcome};
use super::files;
use crate::diffusion::Convention;
use crate::nn::checkpoint::diffusers::{self, NETWORK_FILE, SCHEDULER_FILE, SettingsError};
use crate::nn::checkpoint::{Manifest, Names};
use crate::nn::objective::Objective;
use crate::nn::unet::UNetConfig;

/// Folder of a pipeline's scheduler, beside that of its network.
const SCHEDULER_FOLDER: &str = "scheduler";
/// Folder of a pipeline's network.
const NETWORK_FOLDER: &str = "unet";
/// What a pipeline of diffusers says of its folders.
const PIPELINE_FILE: &str = "model_index.json";

/// `config.json` of the training kit.
#[derive(Clone, Debug, Deserialize)]
pub struct Kit {
    channels: usize,
    multipliers: Vec<usize>,
    layers: usize,
    attention_levels: Vec<usize>,
    classes: usize,
    objective: String,
    #[serde(default)]
    images_seen: u64,
    #[serde(default)]
    steps: u64,
    #[serde(default)]
    batch: u64,
    #[serde(default)]
    lr: f64,
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    label_drop: f64,
    #[serde(default)]
    ema_half_life_images: f64,
}

impl Kit {
    /// How the weights were trained, in words.
    #[must_use]
    pub fn provenance(&self) -> String {
        format!(
            "Trained on CIFAR-10 (Krizhevsky 2009) with the project's training kit: objective {}, {} images in {} steps \
             of {}, learning rate {}, dropout {}, labels dropped with probability {}, moving average with a half-life \
             of at most {} images.",
            self.objective,
            self.images_seen,
            self.steps,
            self.batch,
            self.lr,
            self.dropout,
            self.label_drop,
            self.ema_half_life_images
        )
    }

    /// The objective of a network of this shape, of which only the kit knows whether the last row of its table of classes
    /// means none.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn objective(&self, config: &mut UNetConfig) -> Result<Objective, String> {
        if self.classes + 1 == config.class_rows() {
            config.classes = self.classes;
            config.set_without_class(true);
        }
        let same = self.channels == config.channels
            && self.multipliers == config.multipliers
            && self.layers == config.layers
            && self.attention_levels == config.attention_levels
            && self.classes == config.classes;
        if !same {
            return Err("config.json beside it describes another network".to_owned());
        }
        Objective::from_str(&self.objective)
            .map_err(|known| format!("config.json names the objective {:?}, not {known}", self.objective))
    }
}

/// The files of one checkpoint, with what stands beside them.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Files of weights: one, or the shards of one.
    pub weights: Vec<PathBuf>,
    /// What the training kit says.
    pub kit: Option<Kit>,
    /// What a set of this program says of itself.
    pub manifest: Option<Manifest>,
    /// What diffusers says.
    pub settings: Settings,
    /// What was left aside, a line each.
    pub notes: Vec<String>,
}

impl Folder {
    /// Finds them: of a folder, or beside files that are named.
    ///
    /// # Errors
    /// When something cannot be read, or there are no weights.
    pub fn read(paths: &[PathBuf]) -> Outcome<Self> {
        match paths {
            [folder] if folder.is_dir() => Self::contents(folder),
            [file] if files::name(file) == "manifest.json" => Self::contents(parent(file)),
            [first, ..] => {
                let settings = Settings::beside(parent(first))?;
                Ok(Self { weights: paths.to_vec(), settings, ..Self::default() })
            }
            [] => Err(Failure::usage("name a folder or a file of weights")),
        }
    }

    fn contents(folder: &Path) -> Outcome<Self> {
        let all = files::list(folder)?;
        let named = |name: &str| all.iter().find(|path| files::name(path) == name);
        if let Some(path) = named("manifest.json") {
            let manifest = Manifest::from_json(&files::read_text(path)?);
            let manifest = manifest.map_err(|error| Failure::input(path.display(), error))?;
            let weights = manifest.files.iter().map(|file| folder.join(&file.name)).collect();
            return Ok(Self { weights, manifest: Some(manifest), ..Self::default() });
        }
        let (weights, left) = one_checkpoint(&all);
        if weights.is_empty() {
            let network = folder.join(NETWORK_FOLDER);
            if network.is_dir() {
                return Self::contents(&network);
            }
            return Err(Failure::input(folder.display(), "no file of weights in this folder"));
        }
        let mut found = Self { weights, ..Self::default() };
        if !left.is_empty() {
            let names = |paths: &[PathBuf]| paths.iter().map(|path| files::name(path)).collect::<Vec<_>>().join(", ");
            found.notes.push(format!("read: {}; not read: {}", names(&found.weights), names(&left)));
        }
        match named(NETWORK_FILE) {
            Some(path) if found.weights.iter().all(|weights| is_of_kit(weights)) => {
                let text = files::read_text(path)?;
                if !diffusers::is_network(&text) {
                    let kit = serde_json::from_str(&text);
                    found.kit = Some(kit.map_err(|error| Failure::input(path.display(), error))?);
                    return Ok(found);
                }
            }
            _ => {}
        }
        found.settings = Settings::beside(folder)?;
        Ok(found)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether the training kit names weights so.
fn is_of_kit(path: &Path) -> bool {
    files::name(path).starts_with("ema.")
}

/// Formats of weights by their extensions, the preferred first: safetensors can hold nothing but tensors.
const FORMATS: [&str; 5] = ["safetensors", "bin", "ckpt", "pth", "pt"];

/// The files of one checkpoint among those of a folder, and the other files of weights. Averaged weights of the training
/// kit come first, then safetensors before what torch saves, then full precision before a variant (`.fp16.`, `.non_ema.`).
fn one_checkpoint(all: &[PathBuf]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut groups: BTreeMap<(bool, usize, usize), Vec<PathBuf>> = BTreeMap::new();
    for path in all {
        let name = files::name(path);
        let lower = name.to_lowercase();
        let Some((stem, extension)) = lower.rsplit_once('.') else { continue };
        let Some(format) = FORMATS.iter().position(|known| *known == extension) else { continue };
        // `name-00001-of-00003` is a shard; so is a part that is a number.
        let is_shard = |part: &str| part.chars().all(|c| c.is_ascii_digit());
        let stem = stem.split_once("-of-").map_or(stem, |(stem, _)| stem.rsplit_once('-').map_or(stem, |(stem, _)| stem));
        let variants = stem.split('.').skip(1).filter(|part| !is_shard(part)).count();
        groups.entry((!is_of_kit(path), format, variants)).or_default().push(path.clone());
    }
    let mut groups = groups.into_values();
    (groups.next().unwrap_or_default(), groups.flatten().collect())
}

/// What diffusers says beside weights.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    network: Option<String>,
    scheduler: Option<String>,
}

impl Settings {
    /// What stands in the folder of the weights, or of the pipeline that it belongs to.
    fn beside(folder: &Path) -> Outcome<Self> {
        let text = |path: PathBuf| if path.is_file() { files::read_text(&path).map(Some) } else { Ok(None) };
        let network = text(folder.join(NETWORK_FILE))?.filter(|text| diffusers::is_network(text));
        let mut scheduler = text(folder.join(SCHEDULER_FILE))?;
        let pipeline = folder.canonicalize().ok().and_then(|folder| folder.parent().map(Path::to_owned));
        if let Some(pipeline) = pipeline.filter(|pipeline| scheduler.is_none() && pipeline.join(PIPELINE_FILE).is_file()) {
            scheduler = text(pipeline.join(SCHEDULER_FOLDER).join(SCHEDULER_FILE))?;
        }
        Ok(Self { network, scheduler })
    }

    /// Gives the network the shape and the details that are said; the size of its images, if that is said.
    ///
    /// # Errors
    /// [`SettingsError`] when it is no network that runs here.
    pub fn network(
        &self,
        names: Names,
        config: &mut UNetConfig,
        notes: &mut Vec<String>,
    ) -> Result<Option<u32>, SettingsError> {
        let Some(json) = &self.network else {
            notes.push(assumed(names, config));
            return Ok(None);
        };
        let described = diffusers::network(json)?;
        *config = described.of.config;
        notes.extend(unread(NETWORK_FILE, &described.unread));
        Ok(described.of.image_size)
    }

    /// The convention that is said, or that of those who published such networks.
    ///
    /// # Errors
    /// [`SettingsError`] when it is none that runs here.
    pub fn convention(&self, names: Names, notes: &mut Vec<String>) -> Result<Convention, SettingsError> {
        if let Some(json) = &self.scheduler {
            let described = diffusers::convention(json)?;
            notes.extend(unread(SCHEDULER_FILE, &described.unread));
            return Ok(described.of);
        }
        let (convention, told) = match names {
            Names::Improved => (Convention::improved(), "4000 steps of the cosine schedule"),
            Names::Diffusers | Names::Ddim => (Convention::ddpm(), "1000 steps of betas from 1e-4 to 0.02"),
        };
        notes.push(format!("no {SCHEDULER_FILE} beside the weights: the noise of {told} is assumed"));
        Ok(convention)
    }
}

fn unread(file: &str, fields: &[String]) -> Option<String> {
    (!fields.is_empty()).then(|| format!("{file}: {} not known here and not obeyed", fields.join(", ")))
}

/// What leaves no trace in weights and is taken to be as those have it who published such networks.
fn assumed(names: Names, config: &UNetConfig) -> String {
    let whose = match names {
        Names::Improved => "improved-diffusion's for CIFAR-10",
        Names::Diffusers | Names::Ddim => "Ho et al.'s",
    };
    let classes = match (config.class_rows(), config.details().without_class) {
        (0, _) => String::new(),
        (rows, true) => format!(", the last of {rows} rows of its table of classes for none"),
        (rows, false) => format!(", all {rows} rows of its table of classes for classes"),
    };
    let (groups, heads) = (config.groups, config.heads);
    format!(
        "no {NETWORK_FILE} of diffusers beside the weights: {groups} groups of normalisation, heads of attention ({heads}), \
         padding and features of times as {whose} are assumed{classes}"
    )
}
