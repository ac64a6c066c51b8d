//! Files of network weights that others made: safetensors, what `torch.save` writes, and what flax does, read without
//! executing anything. Also the manifest of the weights this project ships.
//!
//! ```text
//! bytes -> Checkpoint::open (container: names, shapes, where the numbers lie)
//!       -> Checkpoint::recognise (layout of names: which network is this?)
//!       -> Checkpoint::load (numbers -> UNet, tensor by tensor)
//! ```
//!
//! Files are untrusted. Sizes they state are believed only where the bytes are there, so that beside the file no more
//! memory is asked for than the weights need, 256 bytes for each byte of a pickle (at most a million values), 64 for
//! each byte of a safetensors header, and 16 MB. A tensor is decoded straight into the memory the network keeps: with
//! f32 files that is twice the weights at the peak, with f16 files 1.5 times, with int8 files 1.25 times.

pub mod diffusers;
mod edm;
mod encode;
mod error;
mod flax;
mod form;
pub mod hub;
mod improved;
mod jax;
mod layout;
mod limits;
mod manifest;
mod modules;
mod names;
mod noise_levels;
mod number;
mod pack;
pub mod pickle;
pub mod published;
mod refine;
mod score_sde;
mod tensors;
mod torch;
mod zip;

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use safetensors::SafeTensors;

use super::cpu;
use super::unet::{Refine, UNet};
use form::Form;
use pickle::Plain;
use tensors::Stored;

pub use encode::{Precision, encode};
pub use error::CheckpointError;
pub use layout::{Architecture, Recognised};
pub use limits::SCALE_SUFFIX;
use limits::{LONGEST_NAME, MOST_TENSORS};
pub use manifest::{Manifest, ManifestError, ManifestFile, Measurement, SearchedGrid, sha256};
pub use names::Names;
pub use noise_levels::NoiseLevels;
pub use number::Number;
pub use pack::{LONGEST_SHARD, pack};

/// Longest header of a safetensors file.
const LONGEST_HEADER: usize = 8 << 20;

/// The noise levels that a network is told, which are no parameters.
const NOISE_LEVELS: &str = "sigmas.weight";
/// What is added to every vector of a class in EDM's networks.
const LABELS_BIAS: &str = "map_label.bias";

fn is_bias_of_labels(names: Names, name: &str) -> bool {
    matches!(names, Names::Edm { .. }) && name == LABELS_BIAS
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Hugging Face's safetensors.
    Safetensors,
    /// What torch 1.6 and later save: a zip archive with a pickle and raw numbers.
    TorchZip,
    /// What torch saved before: pickles, then raw numbers.
    TorchLegacy,
    /// Modules of torch that Python's pickle saved, as EDM publishes them.
    Pickle,
    /// Nested dictionaries in MessagePack, as flax saves them.
    Flax,
}

/// Named tensors in one file, or in the shards of one.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    container: Container,
    tensors: BTreeMap<String, Stored<'a>>,
    foreign: Vec<String>,
    settings: BTreeMap<String, Plain>,
}

impl<'a> Checkpoint<'a> {
    /// Reads what is in the files, but no numbers. Several files are the shards of one checkpoint.
    ///
    /// # Errors
    /// A [`CheckpointError`] when one is not a file of weights, is damaged, or holds nothing but what would have to be
    /// executed.
    pub fn open(files: &[&'a [u8]]) -> Result<Self, CheckpointError> {
        let mut container = Container::Safetensors;
        let mut tensors = BTreeMap::new();
        let mut foreign = Vec::new();
        let mut settings = BTreeMap::new();
        for &file in files {
            container = identify(file)?;
            let found = match container {
                Container::Safetensors => {
                    torch::Found { tensors: open_safetensors(file)?, foreign: vec![], settings: BTreeMap::new() }
                }
                Container::TorchZip => torch::open_zip(file)?,
                Container::TorchLegacy => torch::open_legacy(file)?,
                Container::Pickle => modules::open(file)?,
                Container::Flax => flax::open(file)?,
            };
            foreign.extend(found.foreign);
            settings.extend(found.settings);
            for (name, tensor) in found.tensors {
                if tensors.len() >= MOST_TENSORS {
                    return Err(CheckpointError::TooMany { what: "tensors", most: MOST_TENSORS });
                }
                if tensors.contains_key(&name) {
                    return Err(CheckpointError::Duplicate { tensor: name });
                }
                tensors.insert(name, tensor);
            }
        }
        if let (true, Some(what)) = (tensors.is_empty(), foreign.first()) {
            return Err(CheckpointError::Refused { what: what.clone() });
        }
        if tensors.is_empty() {
            return Err(CheckpointError::Container { what: "file of weights", detail: "it holds no tensors".into() });
        }
        Ok(Self { container, tensors, foreign, settings })
    }

    /// Names of what the files hold beside tensors, and what was not read: classes and functions of Python, at most a few.
    #[must_use]
    pub fn foreign(&self) -> &[String] {
        &self.foreign
    }

    /// The kind of the last file.
    #[must_use]
    pub fn container(&self) -> Container {
        self.container
    }

    /// Names, kinds of number and shapes of all tensors. A `/` in a name parts the keys of nested dictionaries.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Number, &[usize])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.number, &tensor.shape[..]))
    }

    /// The numbers of a tensor, last dimension first; int8 with its scales applied.
    ///
    /// # Errors
    /// A [`CheckpointError`] when it is not there, its scales are not, or it holds numbers that are not finite.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let tensor = self.stored(name)?;
        let mut values = tensor.decode(name)?;
        if tensor.number == Number::I8 {
            let scale = format!("{name}{SCALE_SUFFIX}");
            let scales = self.stored(&scale)?;
            let rows = tensor.shape.first().copied().unwrap_or(1);
            if scales.shape != [rows] || scales.number == Number::I8 {
                let (expected, found) = (vec![rows], scales.shape.clone());
                return Err(CheckpointError::Shape { tensor: scale, expected, found });
            }
            let scales = scales.decode(&scale)?;
            let row = (values.len() / rows.max(1)).max(1);
            for (row, scale) in values.chunks_mut(row).zip(scales) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(CheckpointError::NotFinite { tensor: name.to_owned() })
        }
    }

    /// Which network this is, from names and shapes.
    ///
    /// # Errors
    /// [`CheckpointError::Unknown`] when it is none that is known.
    pub fn recognise(&self) -> Result<Recognised, CheckpointError> {
        layout::recognise(&self.tensors, &self.foreign, &self.settings)
    }

    /// The network. Names and shapes of all tensors are compared before any number is read.
    ///
    /// # Errors
    /// A [`CheckpointError`] that names the tensor where the file differs from the network, or all of them.
    pub fn load(&self, recognised: &Recognised, device: &Device) -> Result<UNet, CheckpointError> {
        let Architecture { names, config } = &recognised.architecture;
        let network = config.init(0, device)?;
        let parameters = network.parameters();
        let form = |name: &str, shape: &[usize]| {
            // Biases of queries, keys and values are as many as channels.
            Form::of(*names, name, shape, config.heads)
        };
        let mut places = BTreeMap::new();
        let mut differences: Vec<CheckpointError> = Vec::new();
        for parameter in &parameters {
            let place = names.find(&parameter.name, config, |name| {
                self.tensors.contains_key(&format!("{}{name}", recognised.prefix))
            });
            let place = format!("{}{place}", recognised.prefix);
            let place = recognised.averages.get(&place).cloned().unwrap_or(place);
            let Some(tensor) = self.tensors.get(&place) else {
                if parameter.name == NOISE_LEVELS {
                    continue;
                }
                differences.push(CheckpointError::Missing { tensor: place });
                continue;
            };
            let form = form(&parameter.name, &parameter.shape);
            let expected = form.stored(&parameter.shape);
            // A product at every pixel may be written as a convolution with a kernel of size 1.
            let same = match (&tensor.shape[..], &expected[..]) {
                ([outputs, inputs, rest @ ..], [rows, columns]) if rest.iter().all(|length| *length == 1) => {
                    outputs == rows && inputs == columns
                }
                (found, expected) => found == expected,
            };
            if !same {
                let (tensor, found) = (place.clone(), tensor.shape.clone());
                differences.push(CheckpointError::Shape { tensor, expected, found });
            }
            places.insert(parameter.name.as_str(), place);
        }
        let used: BTreeSet<&str> = places.values().map(String::as_str).collect();
        let unused = |name: &&String| {
            let scaled = name.strip_suffix(SCALE_SUFFIX).unwrap_or(name);
            let inner = name.strip_prefix(&recognised.prefix);
            inner.is_some_and(|inner| !names.is_idle(inner) && !is_bias_of_labels(*names, inner))
                && !used.contains(name.as_str())
                && !used.contains(scaled)
                && !recognised.averages.contains_key(name.as_str())
        };
        let unexpected = |name: &String| CheckpointError::Unexpected { tensor: name.clone() };
        differences.extend(self.tensors.keys().filter(unused).map(unexpected));
        // Three parameters may be parts of one tensor.
        differences.dedup();
        match differences.len() {
            0 => {}
            1 => return Err(differences.remove(0)),
            _ => return Err(CheckpointError::Several(differences)),
        }
        // Where an allocation that fails ends the program, it is asked first.
        let bytes = parameters.iter().map(|parameter| 4 * parameter.count() as u64).sum();
        if cpu::is_cpu(device) && !cpu::has_room(bytes) {
            return Err(CheckpointError::NoRoom { megabytes: bytes >> 20 });
        }
        network.load(|name, shape| match places.get(name) {
            Some(place) => {
                let (form, values) = (form(name, shape), self.values(place)?);
                let bias = match form {
                    Form::Labels => self.values(&format!("{}{LABELS_BIAS}", recognised.prefix))?,
                    _ => Vec::new(),
                };
                Ok(form.read(values, shape, &bias))
            }
            // NCSN's files do not say their levels: the published ones.
            None if name == NOISE_LEVELS => Ok(config.style.refine().map_or_else(Vec::new, Refine::sigmas)),
            None => Err(CheckpointError::Missing { tensor: name.to_owned() }),
        })
    }

    fn stored(&self, name: &str) -> Result<&Stored<'a>, CheckpointError> {
        self.tensors.get(name).ok_or_else(|| CheckpointError::Missing { tensor: name.to_owned() })
    }
}

/// The raw numbers of a torch file, in the order of their keys `0`, `1`, …, without a look at what they belong to. What a
/// TorchScript file says of them is a program; whoever knows the network does not need it.
///
/// # Errors
/// [`CheckpointError::Container`] when the file is not such an archive, or is damaged.
pub fn raw_storages(file: &[u8]) -> Result<Vec<&[u8]>, CheckpointError> {
    let key = |name: &str| name.rsplit_once("/data/").and_then(|(_, key)| key.parse::<usize>().ok());
    let entries = zip::read_where(file, |name| key(name).is_some())?;
    let mut found: Vec<(usize, &[u8])> =
        entries.iter().filter_map(|entry| Some((key(entry.name)?, entry.data))).collect();
    found.sort_by_key(|(key, _)| *key);
    Ok(found.into_iter().map(|(_, data)| data).collect())
}

fn identify(file: &[u8]) -> Result<Container, CheckpointError> {
    if file.starts_with(b"PK\x03\x04") {
        return Ok(Container::TorchZip);
    }
    if torch::is_legacy(file) {
        return Ok(Container::TorchLegacy);
    }
    if file.starts_with(&[0x80]) && (2..=5).contains(&file.get(1).copied().unwrap_or(0)) {
        return Ok(Container::Pickle);
    }
    // The length of a header is below 2^40; no dictionary of MessagePack has zeros there.
    if file.get(5..9) == Some(b"\0\0\0{") || (file.get(8) == Some(&b'{') && !flax::begins(file)) {
        return Ok(Container::Safetensors);
    }
    if flax::begins(file) {
        return Ok(Container::Flax);
    }
    Err(CheckpointError::NotWeights { length: file.len(), start: file[..file.len().min(8)].to_vec() })
}

fn open_safetensors(file: &[u8]) -> Result<Vec<(String, Stored<'_>)>, CheckpointError> {
    let broken = |detail: String| CheckpointError::Container { what: "safetensors file", detail };
    let length = file.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if length > LONGEST_HEADER as u64 {
        return Err(broken(format!("its header of {length} bytes is longer than {LONGEST_HEADER}")));
    }
    let tensors = SafeTensors::deserialize(file).map_err(|error| broken(error.to_string()))?;
    let mut found = Vec::with_capacity(tensors.len());
    for (name, view) in tensors.iter() {
        if name.len() > LONGEST_NAME {
            return Err(broken(format!("a name of {} bytes", name.len())));
        }
        let number = Number::from_safetensors(view.dtype())
            .ok_or_else(|| CheckpointError::Kind { tensor: name.to_owned(), found: format!("{:?}", view.dtype()) })?;
        found.push((name.to_owned(), Stored::dense(number, view.shape().to_vec(), view.data())));
    }
    Ok(found)
}
