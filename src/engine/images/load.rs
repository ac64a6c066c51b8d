//! Weights from wherever they are: fetched with progress, checked, kept for the next visit, given up at once.

use crate::engine::error::ImageError;
use crate::engine::inbox::{Inbox, Port, ends_a_load};
use crate::lab::images::OWN_WEIGHTS;
use crate::nn::checkpoint::{CheckpointError, Manifest, ManifestFile};
use crate::nn::device::ComputeDevice;
use crate::protocol::images::{ImageEvent, NamedAddress, NamedBytes, Notice, Refusal, WeightsIndex, WeightsSource};
use crate::protocol::{Event, RunId};

use super::model::ImageModel;

/// Where the list of the sets is, beside the worker's own file.
const INDEX: &str = "weights/index.json";
/// Longest list or manifest.
const LONGEST_JSON: u64 = 1 << 20;
/// Longest file of weights.
pub const LONGEST_FILE: u64 = 1 << 30;
/// Between reports of progress, in milliseconds.
const REPORT_MS: f64 = 100.0;
/// Share of all bytes that is reported whenever it came.
const REPORT_SHARE: f64 = 0.05;
/// Bytes in all, for that, where nobody says how many.
const UNKNOWN_TOTAL: f64 = 2e7;
/// Most lines of a refusal.
const MOST_FINDINGS: usize = 20;

/// Why weights were not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadError {
    /// A command ended it.
    GivenUp,
    /// The page is told why.
    Refused(Refusal),
}

/// Weights at hand.
pub struct LoadedModel {
    /// The network.
    pub model: ImageModel,
    /// Whether they are the first set of the list, which an empty name means.
    pub first: bool,
}

impl LoadedModel {
    /// Whether these are the weights that a configuration names.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        if name.is_empty() { self.first } else { self.model.summary.id == name }
    }
}

/// The weights of a source. Those at hand are left alone.
///
/// # Errors
/// A [`LoadError`]; also when a command ended it.
pub async fn load<P: Port>(
    run: RunId,
    source: WeightsSource,
    compute: &ComputeDevice,
    inbox: &mut Inbox<'_, P>,
) -> Result<LoadedModel, LoadError> {
    let mut fetch =
        Fetch { run, inbox, received: 0.0, total: 0.0, told: f64::NEG_INFINITY, told_at: 0.0, not_kept: false };
    let held = match source {
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
            LoadedModel { model, first }
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
                        let file = fetch.file(&name, &address, None, LONGEST_FILE).await?;
                        fetched.push((name, file));
                    }
                    published(&fetched, compute)?
                }
            };
            OWN_WEIGHTS.clone_into(&mut model.summary.id);
            LoadedModel { model, first: false }
        }
        WeightsSource::Files(files) => {
            let files: Vec<(String, Vec<u8>)> =
                files.into_iter().map(|NamedBytes { name, file }| (name, file.0)).collect();
            let mut model = published(&files, compute)?;
            OWN_WEIGHTS.clone_into(&mut model.summary.id);
            LoadedModel { model, first: false }
        }
    };
    if fetch.not_kept {
        let notice = Notice::NotKept;
        fetch.inbox.port.send(Event::Images(ImageEvent::Notice { run, notice }));
    }
    Ok(held)
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

fn refused(file: &str, mut findings: Vec<String>) -> LoadError {
    findings.truncate(MOST_FINDINGS);
    LoadError::Refused(Refusal { file: file.to_owned(), findings, ..Refusal::default() })
}

/// The error and what led to it, a line each.
fn findings(error: &ImageError) -> Vec<String> {
    if let ImageError::Checkpoint(CheckpointError::Several(differences)) = error {
        return differences.iter().map(ToString::to_string).collect();
    }
    let mut lines = vec![error.to_string()];
    if let ImageError::Checkpoint(CheckpointError::Unknown { .. }) = error {
        lines.push(
            "read are: the U-Net of DDPM as diffusers and the DDIM repository name it, and improved-diffusion's; \
             as safetensors, torch zip or older torch files"
                .to_owned(),
        );
    }
    lines
}

struct Fetch<'a, 'p, P: Port> {
    run: RunId,
    inbox: &'a mut Inbox<'p, P>,
    received: f64,
    total: f64,
    told: f64,
    told_at: f64,
    not_kept: bool,
}

impl<P: Port> Fetch<'_, '_, P> {
    async fn text(&mut self, address: &str) -> Result<String, LoadError> {
        let bytes = self.file(address, address, None, LONGEST_JSON).await?;
        String::from_utf8(bytes).map_err(|_| refused(address, vec!["it is not a text".to_owned()]))
    }

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
            let room = self.inbox.port.keep(key, Some(&file));
            self.not_kept |= !self.wait(room).await?;
        }
        Ok(file)
    }

    async fn file(&mut self, name: &str, address: &str, key: Option<&str>, most: u64) -> Result<Vec<u8>, LoadError> {
        Ok(self.download(name, address, key, most).await?.0)
    }

    async fn wait<F: Future>(&mut self, future: F) -> Result<F::Output, LoadError> {
        self.inbox.unless(ends_a_load, future).await.ok_or(LoadError::GivenUp)
    }

    /// The bytes, and whether they were kept from an earlier visit.
    async fn download(
        &mut self,
        name: &str,
        address: &str,
        key: Option<&str>,
        most: u64,
    ) -> Result<(Vec<u8>, bool), LoadError> {
        let unreachable = |error: String| {
            let refusal = Refusal { file: name.to_owned(), findings: vec![error], ..Refusal::default() };
            LoadError::Refused(Refusal { unreachable: true, ..refusal })
        };
        let asked = self.inbox.port.fetch(address, key);
        let mut download = self.wait(asked).await?.map_err(unreachable)?;
        let length = download.length();
        if key.is_none() {
            (self.received, self.total) = (0.0, length.unwrap_or(0) as f64);
        }
        // What a server says of the length is believed as far as a file may be long.
        let mut bytes = Vec::new();
        let expected = usize::try_from(length.unwrap_or(0).min(most)).unwrap_or(0);
        if bytes.try_reserve_exact(expected).is_err() {
            return Err(refused(name, vec![format!("there is no room for its {expected} bytes")]));
        }
        loop {
            self.tell(name, download.is_kept());
            let piece = {
                let piece = download.piece();
                self.inbox.unless(ends_a_load, piece).await.ok_or(LoadError::GivenUp)?.map_err(unreachable)?
            };
            let Some(piece) = piece else { break };
            if (bytes.len() + piece.len()) as u64 > most {
                return Err(refused(name, vec![format!("expected at most {most} bytes, found more")]));
            }
            if bytes.try_reserve(piece.len()).is_err() {
                return Err(refused(name, vec![format!("there is no room after {} of its bytes", bytes.len())]));
            }
            self.received += piece.len() as f64;
            bytes.extend_from_slice(&piece);
        }
        self.told = f64::NEG_INFINITY;
        self.tell(name, download.is_kept());
        self.inbox.breathe().await;
        Ok((bytes, download.is_kept()))
    }

    fn tell(&mut self, file: &str, cached: bool) {
        let now = self.inbox.port.now_ms();
        // What came last before nothing more comes is told too.
        let whole = if self.total > 0.0 { self.total } else { UNKNOWN_TOTAL };
        let much = self.received - self.told_at >= REPORT_SHARE * whole;
        if now - self.told >= REPORT_MS || much {
            (self.told, self.told_at) = (now, self.received);
            let (received, total) = (self.received, self.total);
            let event = ImageEvent::Fetching { run: self.run, file: file.to_owned(), received, total, cached };
            self.inbox.port.send(Event::Images(event));
        }
    }
}
