//! Weights with what is known about them: a set of this program, what the training kit writes, or what others published.

use std::path::PathBuf;

use serde::Deserialize;

use super::failure::{Failure, Outcome};
use super::files;
use super::folder::Folder;
use super::set::SetArgs;
use crate::diffusion::{Convention, now};
use crate::lab::{DeviceChoice, check_names, usual_names};
use crate::nn::checkpoint::{Architecture, Checkpoint, Manifest, Measurement, pack};
use crate::nn::objective::Objective;
use crate::nn::unet::{Parameter, UNetConfig};

/// Height and width of images where nobody says another.
const USUAL_SIDE: u32 = 32;

/// What was measured of weights.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Measured {
    /// How good their pictures are.
    pub fid: Option<Measurement>,
    /// How likely they find other images.
    pub bits: Option<Measurement>,
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
    /// The licence that the hub names; empty when it names none, or the weights are from elsewhere.
    pub licence: String,
    /// Whether it was trained by this project.
    pub ours: bool,
}

impl Source {
    /// Reads weights: a folder, the files of one checkpoint, or `hub:owner/name`. What was assumed, left aside or not obeyed is said on the
    /// standard error output, a line each.
    ///
    /// # Errors
    /// When it cannot be read, or is not a network that runs here.
    pub fn read(paths: &[PathBuf], wanted: Option<Objective>, image_size: Option<u32>) -> Outcome<Self> {
        let Folder { weights, kit, manifest, settings, mut notes, model } = Folder::read(paths)?;
        let bytes = weights.iter().map(|path| files::read(path)).collect::<Outcome<Vec<_>>>()?;
        let shown = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        let bad = |why: &dyn std::fmt::Display| Failure::input(&shown, why);
        if let Some(manifest) = &manifest {
            for (file, bytes) in manifest.files.iter().zip(&bytes) {
                file.check(bytes).map_err(|error| bad(&error))?;
            }
        }
        let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let checkpoint = Checkpoint::open(&slices).map_err(|error| bad(&error))?;
        if !checkpoint.foreign().is_empty() {
            notes.push(format!("not read and not executed: {}", checkpoint.foreign().join(", ")));
        }
        let mut recognised = checkpoint.recognise().map_err(|error| bad(&error))?;
        let wanted = wanted.map(Objective::convention);
        let mut provenance = match &model {
            Some(model) => format!("Published on the Hugging Face hub as {shown}, revision {}.", model.revision),
            None => format!("Converted from {}, which does not say how it was trained.", files::name(&paths[0])),
        };
        let convention;
        let mut said_size = None;
        match (&manifest, &kit, &mut recognised.architecture) {
            (Some(manifest), _, Architecture { config, .. }) => {
                // Groups and heads leave no trace in a file. That the shapes agree is seen when it is loaded.
                config.clone_from(&manifest.architecture);
                let Manifest { prediction, input, time, .. } = *manifest;
                convention = wanted.unwrap_or(Convention { prediction, input, time });
                provenance.clone_from(&manifest.provenance);
                said_size = Some(manifest.image_size);
            }
            (None, Some(kit), Architecture { config, .. }) => {
                let objective = kit.objective(config).map_err(|why| bad(&why))?;
                convention = wanted.unwrap_or_else(|| objective.convention());
                provenance = kit.provenance();
            }
            _ => {
                let described = settings.describe(&mut recognised, wanted).map_err(|error| bad(&error))?;
                convention = described.convention;
                said_size = described.image_size;
                notes.extend(described.notes);
            }
        }
        notes.iter().for_each(|note| eprintln!("{note}"));
        let compute = now(crate::nn::device::open(DeviceChoice::Cpu)).map_err(Failure::device)?;
        let network = checkpoint.load(&recognised, &compute.device).map_err(|error| bad(&error))?;
        Ok(Self {
            parameters: network.parameters(),
            values: network.numbers().map_err(Failure::device)?,
            config: network.config().clone(),
            convention,
            image_size: image_size.or(said_size).unwrap_or(USUAL_SIDE),
            ours: kit.is_some() || manifest.is_some(),
            manifest,
            provenance,
            licence: model.map(|model| model.licence).unwrap_or_default(),
        })
    }

    /// The names of the classes, where nobody gives others: those of the manifest, or the usual ones.
    #[must_use]
    pub fn class_names(&self) -> Vec<String> {
        let said = self.manifest.as_ref().map(|manifest| manifest.classes.clone());
        said.unwrap_or_else(|| usual_names(self.config.classes))
    }

    /// The files of a set of these weights.
    ///
    /// # Errors
    /// When a number cannot be written with this precision, or a name is missing or cannot be one.
    pub fn pack(&self, set: &SetArgs, measured: Measured) -> Outcome<Vec<(String, Vec<u8>)>> {
        let Convention { prediction, input, time } = self.convention;
        let known = self.manifest.as_ref();
        let channels = self.config.channels;
        let architecture = self.named(set.class_names.len());
        let classes = if set.class_names.is_empty() { self.class_names() } else { set.class_names.clone() };
        check_names(&classes).map_err(|wrong| Failure::usage(format!("--class-names: {wrong}")))?;
        let (named, rows) = (classes.len(), architecture.class_rows());
        if named != architecture.classes {
            let classes = architecture.classes;
            let open = if self.ours || rows == 0 {
                String::new()
            } else {
                format!("; with {} names the last of the {rows} rows of its table means no class", rows - 1)
            };
            return Err(Failure::usage(format!("--class-names: {named} names for {classes} classes{open}")));
        }
        let licence = set.licence.clone().or_else(|| known.map(|manifest| manifest.licence.clone()));
        let licence = licence.or_else(|| (!self.licence.is_empty()).then(|| self.licence.clone()));
        let licence = licence.or_else(|| self.ours.then(|| "MIT OR Apache-2.0".to_owned()));
        let licence =
            licence.ok_or_else(|| Failure::usage("say under which licence the weights are: --licence TEXT"))?;
        let manifest = Manifest {
            format: 1,
            title: (set.title.clone())
                .or_else(|| known.map(|manifest| manifest.title.clone()))
                .unwrap_or_else(|| format!("U-Net of {channels} channels, {0} x {0} pixels", self.image_size)),
            architecture,
            prediction,
            input,
            time,
            image_size: self.image_size,
            classes,
            files: Vec::new(),
            licence,
            provenance: set.provenance.clone().unwrap_or_else(|| self.provenance.clone()),
            fid: measured.fid.or_else(|| known.and_then(|manifest| manifest.fid.clone())),
            bits: measured.bits.or_else(|| known.and_then(|manifest| manifest.bits.clone())),
            grids: known.map(|manifest| manifest.grids.clone()).unwrap_or_default(),
        };
        pack(&self.parameters, &self.values, set.precision.into(), manifest).map_err(Failure::other)
    }

    /// The shape with as many classes as names were given, where the table of classes leaves open whether its last row
    /// is a class or means none.
    fn named(&self, names: usize) -> UNetConfig {
        let mut config = self.config.clone();
        let rows = config.class_rows();
        if !self.ours && names > 0 && (names == rows || names + 1 == rows) {
            config.classes = names;
            config.set_without_class(names < rows);
        }
        config
    }
}
