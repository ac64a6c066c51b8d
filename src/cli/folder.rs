//! What lies in a folder of weights: which files are one checkpoint, and what is said beside them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::download::{self, Fetched};
use super::failure::{Failure, Outcome};
use super::files;
use crate::nn::checkpoint::Manifest;
use crate::nn::checkpoint::diffusers::{self, NETWORK_FILE, SCHEDULER_FILE};
use crate::nn::checkpoint::hub::HubModel;
use crate::nn::checkpoint::published::{Chosen, Settings, is_of_kit, one_checkpoint};
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
    /// What the hub says, where they are from there.
    pub model: Option<HubModel>,
}

impl Folder {
    /// Finds them: of a folder, beside files that are named, or of a model of the hub, which is fetched first.
    ///
    /// # Errors
    /// When something cannot be read or fetched, or there are no weights.
    pub fn read(paths: &[PathBuf]) -> Outcome<Self> {
        match paths {
            [name] if download::is_of_hub(name) => {
                let Fetched { folder, model } = download::fetch(name)?;
                Ok(Self { model: Some(model), ..Self::contents(&folder)? })
            }
            [folder] if folder.is_dir() => Self::contents(folder),
            [file] if files::name(file) == "manifest.json" => Self::contents(parent(file)),
            [first, ..] => {
                let settings = beside(parent(first))?;
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
        let names: Vec<String> = all.iter().map(|path| files::name(path)).collect();
        let Chosen { weights, left } = one_checkpoint(&names.iter().map(String::as_str).collect::<Vec<_>>());
        if weights.is_empty() {
            let network = folder.join(NETWORK_FOLDER);
            if network.is_dir() {
                return Self::contents(&network);
            }
            return Err(Failure::input(folder.display(), "no file of weights in this folder"));
        }
        let of_kit = weights.iter().all(|place| is_of_kit(&names[*place]));
        let mut found = Self { weights: weights.iter().map(|place| all[*place].clone()).collect(), ..Self::default() };
        if !left.is_empty() {
            let listed =
                |places: &[usize]| places.iter().map(|place| names[*place].as_str()).collect::<Vec<_>>().join(", ");
            found.notes.push(format!("read: {}; not read: {}", listed(&weights), listed(&left)));
        }
        match named(NETWORK_FILE) {
            Some(path) if of_kit => {
                let text = files::read_text(path)?;
                if !diffusers::is_network(&text) {
                    let kit = serde_json::from_str(&text);
                    found.kit = Some(kit.map_err(|error| Failure::input(path.display(), error))?);
                    return Ok(found);
                }
            }
            _ => {}
        }
        found.settings = beside(folder)?;
        Ok(found)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What diffusers says in the folder of the weights, or in the pipeline that it belongs to.
fn beside(folder: &Path) -> Outcome<Settings> {
    let text = |path: PathBuf| if path.is_file() { files::read_text(&path).map(Some) } else { Ok(None) };
    let network = text(folder.join(NETWORK_FILE))?;
    let mut scheduler = text(folder.join(SCHEDULER_FILE))?;
    let pipeline = folder.canonicalize().ok().and_then(|folder| folder.parent().map(Path::to_owned));
    if let Some(pipeline) = pipeline.filter(|pipeline| scheduler.is_none() && pipeline.join(PIPELINE_FILE).is_file()) {
        scheduler = text(pipeline.join(SCHEDULER_FOLDER).join(SCHEDULER_FILE))?;
    }
    Ok(Settings { network, scheduler })
}
