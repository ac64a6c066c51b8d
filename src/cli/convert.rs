//! `scorefield convert`: a published checkpoint, or what the training kit writes, to the set of weights that the page
//! reads.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, Outcome};
use super::images::CIFAR10;
use super::{files, index};
use crate::diffusion::{Convention, now};
use crate::lab::DeviceChoice;
use crate::nn::checkpoint::{Architecture, Checkpoint, Manifest, MeasuredFid, Names, Precision, pack};
use crate::nn::objective::Objective;
use crate::nn::unet::{Parameter, UNetConfig};

/// How exactly weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// 8 bits with a scale for each output channel.
    Int8,
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::Full,
            PrecisionArg::F16 => Self::Half,
            PrecisionArg::Int8 => Self::Int8,
        }
    }
}

/// What a set of weights is called and how it is written.
#[derive(Args, Clone, Debug)]
pub struct SetArgs {
    /// How exactly weights are written
    #[arg(long, value_enum, default_value = "f16")]
    pub precision: PrecisionArg,
    /// What to call the set
    #[arg(long)]
    pub title: Option<String>,
    /// Licence of the weights
    #[arg(long)]
    pub licence: Option<String>,
    /// How they were trained, by whom, on what
    #[arg(long)]
    pub provenance: Option<String>,
    /// Names of the classes, in order, with commas between them
    #[arg(long, value_delimiter = ',')]
    pub class_names: Vec<String>,
    /// Says that the weights are only a preview, trained for a short time
    #[arg(long)]
    pub preview: bool,
    /// Enters the set into this list, which the page reads: web/weights/index.json
    #[arg(long, value_name = "FILE")]
    pub index: Option<PathBuf>,
}

/// A published checkpoint, or what the training kit writes, to the set of weights that the page reads: shards under
/// 15 MB and a manifest with their checksums.
///
/// SOURCE is a folder (config.json and ema.NN.safetensors of the training kit, or a set of this program), or the files
/// of one checkpoint: diffusers' safetensors or bin, DDIM's ckpt. Nothing in a checkpoint is executed.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// A folder, or the files of one checkpoint
    #[arg(required = true)]
    pub source: Vec<PathBuf>,
    /// The folder to write
    #[arg(long, short)]
    pub out: PathBuf,
    /// How the weights were trained, when the source does not say [default: as those did who published such files]
    #[arg(long)]
    pub objective: Option<Objective>,
    /// Height and width of an image
    #[arg(long, default_value_t = 32)]
    pub image_size: u32,
    /// What `scorefield evaluate --json` wrote about these weights
    #[arg(long, value_name = "FILE")]
    pub measured: Option<PathBuf>,
    /// What the set says of itself
    #[command(flatten)]
    pub set: SetArgs,
    /// Prints what was written as JSON
    #[arg(long)]
    pub json: bool,
}

/// `config.json` of the training kit.
#[derive(Clone, Debug, Deserialize)]
struct Kit {
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
    fn provenance(&self) -> String {
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
}

/// Weights with what is known about them.
#[derive(Clone, Debug)]
pub struct Source {
    /// Shape of the network.
    pub config: UNetConfig,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// Their values.
    pub values: Vec<Vec<f32>>,
    /// What it has to be told.
    pub convention: Convention,
    /// Height and width of an image.
    pub image_size: u32,
    /// What the source says of itself, if it is a set of this program.
    pub manifest: Option<Manifest>,
    /// Where it comes from, in words.
    pub provenance: String,
    /// Whether it was trained by this project.
    pub ours: bool,
}

impl Source {
    /// Reads weights: a folder or the files of one checkpoint.
    ///
    /// # Errors
    /// When it cannot be read, or is not a network that runs here.
    pub fn read(paths: &[PathBuf], wanted: Option<Objective>, image_size: u32) -> Outcome<Self> {
        let (paths, kit, manifest) = match paths {
            [folder] if folder.is_dir() => contents(folder)?,
            [file] if files::name(file) == "manifest.json" => contents(file.parent().unwrap_or(Path::new(".")))?,
            given => (given.to_vec(), None, None),
        };
        let bytes = paths.iter().map(|path| files::read(path)).collect::<Outcome<Vec<_>>>()?;
        let shown = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        let bad = |why: &dyn std::fmt::Display| Failure::input(&shown, why);
        if let Some(manifest) = &manifest {
            for (file, bytes) in manifest.files.iter().zip(&bytes) {
                file.check(bytes).map_err(|error| bad(&error))?;
            }
        }
        let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let checkpoint = Checkpoint::open(&slices).map_err(|error| bad(&error))?;
        let mut recognised = checkpoint.recognise().map_err(|error| bad(&error))?;
        let (found, mut convention) = match &mut recognised.architecture {
            Architecture::UNet { names, config } => {
                if let Some(manifest) = &manifest {
                    // Groups and heads leave no trace in a file. That the shapes agree is seen when it is loaded.
                    *config = manifest.architecture.clone();
                }
                let published = match names {
                    Names::Improved => Convention::improved(),
                    Names::Diffusers | Names::Ddim => Convention::ddpm(),
                };
                (config.clone(), wanted.map_or(published, Objective::convention))
            }
            other => return Err(bad(&format!("{} is recognised but does not run here", other.title()))),
        };
        let mut provenance =
            format!("Converted from {}, which does not say how it was trained.", files::name(&paths[0]));
        if let Some(kit) = &kit {
            let same = kit.channels == found.channels
                && kit.multipliers == found.multipliers
                && kit.layers == found.layers
                && kit.attention_levels == found.attention_levels
                && kit.classes == found.classes;
            if !same {
                return Err(bad(&"config.json beside it describes another network"));
            }
            let objective = Objective::from_str(&kit.objective)
                .map_err(|known| bad(&format!("config.json names the objective {:?}, not {known}", kit.objective)))?;
            convention = wanted.unwrap_or(objective).convention();
            provenance = kit.provenance();
        }
        if let Some(manifest) = &manifest {
            let Manifest { prediction, input, time, .. } = *manifest;
            convention = wanted.map_or(Convention { prediction, input, time }, Objective::convention);
            provenance = manifest.provenance.clone();
        }
        let compute = now(crate::nn::device::open(DeviceChoice::Cpu)).map_err(Failure::device)?;
        let network = checkpoint.load(&recognised, &compute.device).map_err(|error| bad(&error))?;
        Ok(Self {
            parameters: network.parameters(),
            values: network.numbers().map_err(Failure::device)?,
            config: found,
            convention,
            image_size: manifest.as_ref().map_or(image_size, |manifest| manifest.image_size),
            ours: kit.is_some() || manifest.is_some(),
            manifest,
            provenance,
        })
    }

    /// The files of a set of these weights.
    ///
    /// # Errors
    /// When a number cannot be written with this precision, or a name is missing.
    pub fn pack(&self, set: &SetArgs, fid: Option<MeasuredFid>) -> Outcome<Vec<(String, Vec<u8>)>> {
        let Convention { prediction, input, time } = self.convention;
        let known = self.manifest.as_ref();
        let channels = self.config.channels;
        let classes = match (&set.class_names[..], known) {
            (names @ [_, ..], _) => names.to_vec(),
            ([], Some(manifest)) => manifest.classes.clone(),
            ([], None) if self.config.classes == CIFAR10.len() => CIFAR10.map(str::to_owned).to_vec(),
            ([], None) => (0..self.config.classes).map(|class| format!("class {class}")).collect(),
        };
        let licence = set.licence.clone().or_else(|| known.map(|manifest| manifest.licence.clone()));
        let licence = licence.or_else(|| self.ours.then(|| "MIT OR Apache-2.0".to_owned()));
        let licence =
            licence.ok_or_else(|| Failure::usage("say under which licence the weights are: --licence TEXT"))?;
        let manifest = Manifest {
            format: 1,
            title: (set.title.clone())
                .or_else(|| known.map(|manifest| manifest.title.clone()))
                .unwrap_or_else(|| format!("U-Net of {channels} channels, {0} x {0} pixels", self.image_size)),
            preview: set.preview || known.is_some_and(|manifest| manifest.preview),
            architecture: self.config.clone(),
            prediction,
            input,
            time,
            image_size: self.image_size,
            classes,
            files: Vec::new(),
            licence,
            provenance: set.provenance.clone().unwrap_or_else(|| self.provenance.clone()),
            fid: fid.or_else(|| known.and_then(|manifest| manifest.fid.clone())),
            grids: known.map(|manifest| manifest.grids.clone()).unwrap_or_default(),
        };
        pack(&self.parameters, &self.values, set.precision.into(), manifest).map_err(Failure::other)
    }
}

/// The weights of a folder, with what stands beside them.
fn contents(folder: &Path) -> Outcome<(Vec<PathBuf>, Option<Kit>, Option<Manifest>)> {
    let all = files::list(folder)?;
    let named = |name: &str| all.iter().find(|path| files::name(path) == name);
    if let Some(path) = named("manifest.json") {
        let manifest = Manifest::from_json(&files::read_text(path)?);
        let manifest = manifest.map_err(|error| Failure::input(path.display(), error))?;
        let weights = manifest.files.iter().map(|file| folder.join(&file.name)).collect();
        return Ok((weights, None, Some(manifest)));
    }
    let ends = |path: &&PathBuf| {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        ["safetensors", "bin", "ckpt", "pth"].contains(&extension.as_str())
    };
    let averaged = |path: &&PathBuf| files::name(path).starts_with("ema.");
    let mut weights: Vec<PathBuf> = all.iter().filter(ends).filter(averaged).cloned().collect();
    let kit = match named("config.json").filter(|_| !weights.is_empty()) {
        None => None,
        Some(path) => {
            let kit = serde_json::from_str(&files::read_text(path)?);
            Some(kit.map_err(|error| Failure::input(path.display(), error))?)
        }
    };
    if weights.is_empty() {
        weights = all.iter().filter(ends).cloned().collect();
    }
    if weights.is_empty() {
        return Err(Failure::input(folder.display(), "no file of weights in this folder"));
    }
    Ok((weights, kit, None))
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
struct Written {
    folder: PathBuf,
    files: usize,
    bytes: usize,
    parameters: usize,
}

/// Does it.
///
/// # Errors
/// When the source cannot be used, or the folder cannot be written.
pub fn run(args: &ConvertArgs) -> Outcome {
    let source = Source::read(&args.source, args.objective, args.image_size)?;
    let fid = args.measured.as_deref().map(measured).transpose()?;
    let files = source.pack(&args.set, fid)?;
    write_set(&args.out, &files, args.set.index.as_deref())?;
    let written = Written {
        folder: args.out.clone(),
        files: files.len(),
        bytes: files.iter().map(|(_, bytes)| bytes.len()).sum(),
        parameters: source.parameters.iter().map(Parameter::count).sum(),
    };
    if args.json {
        say!("{}", serde_json::to_string(&written).map_err(Failure::other)?)?;
    } else {
        let Written { folder, files, bytes, parameters } = written;
        say!("{parameters} parameters in {files} files, {bytes} bytes: {}", folder.display())?;
    }
    Ok(())
}

/// Writes the files of a set, removes shards of an earlier one, and enters it into a list.
///
/// # Errors
/// When something cannot be written.
pub fn write_set(folder: &Path, set: &[(String, Vec<u8>)], list: Option<&Path>) -> Outcome {
    files::write_all(folder, set)?;
    for path in files::list(folder)? {
        let name = files::name(&path);
        let shard = name.starts_with("weights.") && name.ends_with(".safetensors");
        if shard && !set.iter().any(|(written, _)| *written == name) {
            std::fs::remove_file(&path).map_err(|error| Failure::other(format!("{}: {error}", path.display())))?;
        }
    }
    list.map_or(Ok(()), |list| index::enter(list, folder))
}

fn measured(path: &Path) -> Outcome<MeasuredFid> {
    #[derive(Deserialize)]
    struct Report {
        fid: MeasuredFid,
    }
    let report: Result<Report, _> = serde_json::from_str(&files::read_text(path)?);
    report.map(|report| report.fid).map_err(|error| Failure::input(path.display(), error))
}
