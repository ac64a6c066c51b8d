//! A network of images with the convention it was trained with.

use burn::tensor::Device;

use crate::diffusion::{Convention, Level, Schedule};
use crate::engine::error::ImageError;
use crate::lab::{Classes, usual_names};
use crate::nn::checkpoint::diffusers::{NETWORK_FILE, SCHEDULER_FILE};
use crate::nn::checkpoint::published::{Description, Settings, one_checkpoint};
use crate::nn::checkpoint::{Checkpoint, Container, Manifest, Number, Recognised, SearchedGrid};
use crate::nn::unet::{UNet, UNetConfig};
use crate::protocol::images::WeightsSummary;

/// Height and width of the images of published CIFAR-10 networks.
const PUBLISHED_SIDE: usize = 32;

/// A network's half precision.
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
#[derive(Default)]
pub(super) struct Half {
    /// The network in single precision while the model's is in half precision and could not be had back from it.
    pub full: Option<UNet>,
    /// Whether half precision was found to be right; unknown before it was tried.
    pub works: Option<bool>,
    /// Whether the network came from numbers in half precision, so that they can be had back.
    pub exact: bool,
}

/// A network of images, ready to be asked.
pub struct ImageModel {
    /// The network.
    pub network: UNet,
    /// How it was trained.
    pub convention: Convention,
    /// Height and width of an image.
    pub side: usize,
    /// What is known of it.
    pub summary: WeightsSummary,
    /// Bits per dimension of other images and their standard error, if they were measured.
    pub bits: Option<[f64; 2]>,
    grids: Vec<SearchedGrid>,
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    pub(super) half: Half,
}

impl ImageModel {
    /// A network with this convention and nothing else known about it.
    #[must_use]
    pub fn new(network: UNet, convention: Convention, side: usize) -> Self {
        let config = network.config();
        let parameters: usize = network.parameters().iter().map(|parameter| parameter.count()).sum();
        let summary = WeightsSummary {
            parameters: u32::try_from(parameters).unwrap_or(u32::MAX),
            held_bytes: 4.0 * parameters as f64,
            channels: config.channels as u32,
            side: side as u32,
            classes: usual_names(config.classes),
            class_required: config.requires_class(),
            prediction: convention.prediction.id().to_owned(),
            learned_variance: config.learned_variance,
            ..WeightsSummary::default()
        };
        Self {
            network,
            convention,
            side,
            summary,
            bits: None,
            grids: Vec::new(),
            #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
            half: Half::default(),
        }
    }

    /// The set that a manifest describes, from its files in order.
    ///
    /// # Errors
    /// An [`ImageError`] when a file is not what the manifest says, or does not hold the network it describes.
    pub fn from_set(manifest: &Manifest, files: &[&[u8]], device: &Device) -> Result<Self, ImageError> {
        for (entry, file) in manifest.files.iter().zip(files) {
            entry.check(file)?;
        }
        let checkpoint = Checkpoint::open(files)?;
        let network = checkpoint.load(&Recognised::of_set(manifest.architecture.clone()), device)?;
        let Manifest { prediction, input, time, .. } = *manifest;
        let mut model = Self::new(network, Convention { prediction, input, time }, manifest.image_size as usize);
        let fid = manifest.fid.as_ref().map(|fid| {
            let (value, images, evaluations) = (fid.value, fid.images, fid.evaluations);
            let (solver, reference) = (&fid.solver, &fid.reference);
            format!("{value:.2}: {images} images, {evaluations} evaluations each, {solver}; against {reference}")
        });
        model.summary = WeightsSummary {
            title: manifest.title.clone(),
            precision: precision(&checkpoint),
            file_bytes: files.iter().map(|file| file.len() as f64).sum(),
            classes: manifest.classes.clone(),
            licence: manifest.licence.clone(),
            provenance: manifest.provenance.clone(),
            fid: fid.unwrap_or_default(),
            ..model.summary
        };
        model.bits = manifest.bits.as_ref().map(|bits| [bits.value, bits.error.unwrap_or(f64::NAN)]);
        model.set_grids(manifest.grids.clone());
        #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
        model.came_from(&checkpoint);
        Ok(model)
    }

    /// Gives the network the grids that were searched for it, in place of those it has.
    pub fn set_grids(&mut self, grids: Vec<SearchedGrid>) {
        self.summary.grids = grids.iter().map(|grid| grid.ratios.len() as u32).collect();
        self.grids = grids;
    }

    /// Gives the classes these names, in the order of the network's table.
    #[must_use]
    pub fn with_class_names(mut self, names: Vec<String>) -> Self {
        self.summary.classes = names;
        self
    }

    /// The classes that a run can ask for.
    #[must_use]
    pub fn classes(&self) -> Classes<'_> {
        Classes { names: &self.summary.classes, required: self.summary.class_required }
    }

    /// The grid that was searched for the network and this number of steps, on a schedule: that many falling levels and
    /// the clean one. `None` when there is none, or the schedule does not reach all of its levels.
    #[must_use]
    pub fn searched_grid(&self, schedule: &Schedule, steps: usize) -> Option<Vec<Level>> {
        let grid = self.grids.iter().find(|grid| grid.ratios.len() == steps)?;
        let levels = schedule.levels_at(&grid.ratios);
        (levels.len() == steps + 1).then_some(levels)
    }

    /// A published checkpoint of a CIFAR-10 network, with the conventions of those who published its layout.
    ///
    /// # Errors
    /// An [`ImageError`] that says what was found and what was expected.
    pub fn from_published(files: &[(&str, &[u8])], device: &Device) -> Result<Self, ImageError> {
        let named = |wanted: &str| {
            let file = files.iter().find(|(name, _)| *name == wanted);
            file.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
        };
        let settings = Settings { network: named(NETWORK_FILE), scheduler: named(SCHEDULER_FILE) };
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let mut chosen = one_checkpoint(&names);
        if chosen.weights.is_empty() {
            // A file of any name may be one of weights.
            let settings = [NETWORK_FILE, SCHEDULER_FILE];
            chosen.weights = (0..files.len()).filter(|place| !settings.contains(&names[*place])).collect();
        }
        let weights: Vec<&[u8]> = chosen.weights.iter().map(|place| files[*place].1).collect();
        let checkpoint = Checkpoint::open(&weights)?;
        let mut recognised = checkpoint.recognise()?;
        let Description { convention, image_size, mut notes } = settings.describe(&mut recognised, None)?;
        notes.extend(chosen.left.iter().map(|place| format!("{} was not read", names[*place])));
        if !checkpoint.foreign().is_empty() {
            notes.push(format!("not read and not executed: {}", checkpoint.foreign().join(", ")));
        }
        let network = checkpoint.load(&recognised, device)?;
        let side = image_size.map_or(PUBLISHED_SIDE, |side| side as usize);
        let multiple = network.config().size_multiple();
        if side == 0 || !side.is_multiple_of(multiple) {
            let found = format!("sample_size {side}, not a multiple of {multiple}");
            return Err(ImageError::Internal(found));
        }
        let mut model = Self::new(network, convention, side);
        let container = match checkpoint.container() {
            Container::Safetensors => "safetensors",
            Container::TorchZip => "torch",
            Container::TorchLegacy => "torch before 1.6",
            Container::Pickle => "pickle",
            Container::Flax => "flax",
        };
        model.summary = WeightsSummary {
            title: chosen.weights.first().map_or_else(String::new, |place| names[*place].to_owned()),
            recognised: format!("{} ({container})", recognised.architecture.title()),
            precision: precision(&checkpoint),
            file_bytes: weights.iter().map(|file| file.len() as f64).sum(),
            provenance: notes.join(". "),
            ..model.summary
        };
        #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
        model.came_from(&checkpoint);
        Ok(model)
    }

    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    fn came_from(&mut self, checkpoint: &Checkpoint) {
        self.half.exact = checkpoint.tensors().all(|(_, number, _)| number == Number::F16);
    }

    /// The shape of the network.
    #[must_use]
    pub fn config(&self) -> &UNetConfig {
        self.network.config()
    }
}

/// How most of the numbers are stored.
fn precision(checkpoint: &Checkpoint) -> String {
    let mut counts: Vec<(Number, usize)> = Vec::new();
    for (_, number, shape) in checkpoint.tensors() {
        let count = shape.iter().product::<usize>();
        match counts.iter_mut().find(|(known, _)| *known == number) {
            Some((_, sum)) => *sum += count,
            None => counts.push((number, count)),
        }
    }
    let most = counts.iter().max_by_key(|(_, count)| *count).map(|(number, _)| *number);
    match most {
        Some(Number::F64) => "f64",
        Some(Number::F16) => "f16",
        Some(Number::Bf16) => "bf16",
        Some(Number::I8) => "int8",
        _ => "f32",
    }
    .to_owned()
}
