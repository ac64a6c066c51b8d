//! Weights from wherever they are: fetched with progress, checked, kept for the next visit, given up at once.

use super::estimate;
use super::fetch::{Fetch, LONGEST_FILE};
use super::model::ImageModel;
use super::refusal::{LoadError, findings, refused};
use crate::engine::error::ImageError;
use crate::engine::inbox::{Inbox, Port};
use crate::lab::HUB;
use crate::lab::images::OWN_WEIGHTS;
use crate::nn::checkpoint::{Manifest, ManifestFile};
use crate::nn::device::ComputeDevice;
use crate::protocol::RunId;
use crate::protocol::images::{NamedAddress, NamedBytes, WeightsIndex, WeightsSource, WeightsSummary};

/// Where the list of the sets is, beside the worker's own file.
const INDEX: &str = "weights/index.json";
/// Weights at hand.
pub struct LoadedModel {
    /// The network.
    pub model: ImageModel,
    /// Whether they are the first set of the list, which an empty name means.
    pub first: bool,
    /// Names of sets that are no longer offered, whose place they have taken.
    pub replaces: Vec<String>,
}

impl LoadedModel {
    /// Whether these are the weights that a configuration names.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        if name.is_empty() {
            return self.first;
        }
        self.model.summary.id == name || self.replaces.iter().any(|replaced| replaced == name)
    }

    /// Weights that no list names.
    fn unlisted(model: ImageModel) -> Self {
        Self { model, first: false, replaces: Vec::new() }
    }
}

/// What a source has.
pub enum Found {
    /// Weights at hand.
    Model(Box<LoadedModel>),
    /// What is known of weights that were only asked about.
    Offer(Box<WeightsSummary>),
}

/// The weights of a source, or what is known of them. Those at hand are left alone.
///
/// # Errors
/// A `LoadError`; also when a command ended it.
pub async fn load<P: Port>(
    run: RunId,
    source: WeightsSource,
    compute: &ComputeDevice,
    inbox: &mut Inbox<'_, P>,
) -> Result<Found, LoadError> {
    let mut fetch = Fetch::new(run, inbox);
    let mut held = match source {
        WeightsSource::Set { id } => {
            let index = fetch.text(INDEX).await?;
            let index = WeightsIndex::from_json(&index).map_err(|error| refused(INDEX, vec![error]))?;
            let Some(entry) = index.find(&id) else {
                let known: Vec<&str> = index.sets.iter().map(|set| set.id.as_str()).collect();
                let finding = format!("there is no set {id:?}; there are {}", known.join(", "));
                return Err(refused(INDEX, vec![finding]));
            };
            let first = index.find("").is_some_and(|set| set.id == entry.id);
            let mut model = fetch.set(&format!("weights/{}/manifest.json", entry.id), compute).await?;
            model.summary.id.clone_from(&entry.id);
            LoadedModel { model, first, replaces: entry.replaces.clone() }
        }
        WeightsSource::Addresses(files) => {
            let manifest = match &files[..] {
                [NamedAddress { address, .. }] if path(address).ends_with(".json") => Some(address.clone()),
                _ => None,
            };
            let mut model = match manifest {
                Some(address) => fetch.set(&address, compute).await?,
                None => {
                    let mut fetched = Vec::with_capacity(files.len());
                    for NamedAddress { name, address } in files {
                        let file = fetch.file(&name, &address, LONGEST_FILE).await?;
                        fetched.push((name, file));
                    }
                    published(&fetched, compute)?
                }
            };
            OWN_WEIGHTS.clone_into(&mut model.summary.id);
            LoadedModel::unlisted(model)
        }
        WeightsSource::Hub { origin, model, look: true } => {
            return fetch.hub_offer(&origin, &model, compute).await.map(|offer| Found::Offer(Box::new(offer)));
        }
        WeightsSource::Hub { origin, model: name, look: false } => {
            let (checkpoint, files) = fetch.hub_files(&origin, &name).await?;
            let mut model = published(&files, compute)?;
            let summary = &mut model.summary;
            (summary.id, summary.licence) = (format!("{HUB}{name}"), checkpoint.licence);
            summary.title = name;
            LoadedModel::unlisted(model)
        }
        WeightsSource::Files(files) => {
            let files: Vec<(String, Vec<u8>)> =
                files.into_iter().map(|NamedBytes { name, file }| (name, file.0)).collect();
            let mut model = published(&files, compute)?;
            OWN_WEIGHTS.clone_into(&mut model.summary.id);
            LoadedModel::unlisted(model)
        }
    };
    held.model.summary.gflop = 2e-9 * held.model.network.cost(held.model.side).products as f64;
    if !compute.info.gpu {
        let took = estimate::evaluation_ms(&held.model.network, held.model.side, compute, fetch.inbox).await;
        held.model.summary.evaluation_ms = took.ok_or(LoadError::GivenUp)?;
    }
    fetch.end();
    Ok(Found::Model(Box::new(held)))
}

/// An address without its query and its fragment.
fn path(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or_default()
}

fn published(files: &[(String, Vec<u8>)], compute: &ComputeDevice) -> Result<ImageModel, LoadError> {
    let slices: Vec<(&str, &[u8])> = files.iter().map(|(name, file)| (name.as_str(), file.as_slice())).collect();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    ImageModel::from_published(&slices, &compute.device).map_err(|error| refused(&names.join(", "), findings(&error)))
}

impl<P: Port> Fetch<'_, '_, P> {
    /// The set whose manifest is at this address, its files beside it.
    async fn set(&mut self, address: &str, compute: &ComputeDevice) -> Result<ImageModel, LoadError> {
        let json = self.text(address).await?;
        let manifest =
            Manifest::from_json(&json).map_err(|error| refused(address, findings(&ImageError::Manifest(error))))?;
        (self.received, self.total) = (0.0, manifest.files.iter().map(|file| file.bytes as f64).sum());
        let folder = address.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut files = Vec::with_capacity(manifest.files.len());
        for entry in &manifest.files {
            let address = if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
            files.push(self.shard(&address, entry).await?);
        }
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        ImageModel::from_set(&manifest, &files, &compute.device).map_err(|error| refused(address, findings(&error)))
    }

    /// A shard, from the browser's cache if it is there and whole.
    async fn shard(&mut self, address: &str, entry: &ManifestFile) -> Result<Vec<u8>, LoadError> {
        let key = entry.sha256.as_str();
        let before = self.received;
        let (file, kept) = self.download(&entry.name, address, Some(key), entry.bytes).await?;
        let mut checked = entry.check(&file).map(|()| (file, kept));
        if checked.is_err() && kept {
            // What the cache holds is damaged: it is fetched again, once.
            let forgotten = self.inbox.port.keep(key, None);
            self.wait(forgotten).await?;
            self.received = before;
            let (file, kept) = self.download(&entry.name, address, Some(key), entry.bytes).await?;
            checked = entry.check(&file).map(|()| (file, kept));
        }
        let (file, kept) = checked.map_err(|error| refused(&entry.name, findings(&ImageError::Manifest(error))))?;
        if !kept {
            self.keep(key, &file).await?;
        }
        Ok(file)
    }
}
