//! Models of the Hugging Face hub: listed, fetched in segments that are kept, gone on with where they broke off, checked.

use sha2::{Digest, Sha256};

use super::estimate::evaluation_ms;
use super::fetch::{Fetch, reserve};
use super::refusal::{LoadError, refused, unreachable};
use crate::digest::hex;
use crate::engine::inbox::{Port, Unreachable};
use crate::lab::HUB;
use crate::nn::checkpoint::diffusers;
use crate::nn::checkpoint::hub::{HubFile, HubModel, LONGEST_LIST, file_address, list_address, refusal};
use crate::nn::cpu::has_room;
use crate::nn::device::ComputeDevice;
use crate::protocol::images::WeightsSummary;

/// Bytes that are kept at a time: what is lost at most when a tab is closed.
const SEGMENT: usize = 8 << 20;
/// How often a file is asked for without a byte of it coming, before that is given up.
const MOST_ATTEMPTS: u32 = 4;
/// Between two of these, in milliseconds, times how many there were.
const PAUSE_MS: u32 = 1000;

/// A file of a model, and where it is.
struct Wanted<'a> {
    file: &'a HubFile,
    /// The hub; empty where nobody is to be asked.
    origin: &'a str,
    model: &'a str,
    address: String,
    /// What its segments are kept under, before their numbers.
    key: String,
}

/// The key of a model's list of files, kept once all of them are.
fn model_key(model: &str) -> String {
    format!("hub/{model}")
}

impl<P: Port> Fetch<'_, '_, P> {
    /// The files of a model by their names, settings first: from what was kept, and where that is not all and there is an
    /// origin, from there.
    ///
    /// # Errors
    /// A `LoadError` when they cannot be had, are not what the list says or describe a network that cannot be run, or a
    /// command ended the load.
    pub async fn hub_files(
        &mut self,
        origin: &str,
        model: &str,
    ) -> Result<(HubModel, Vec<(String, Vec<u8>)>), LoadError> {
        let kept = self.inbox.port.kept(&model_key(model));
        let kept = self.wait(kept).await?;
        let known = kept.and_then(|json| HubModel::from_record(&String::from_utf8_lossy(&json)));
        let is_known = known.is_some();
        let checkpoint = match known {
            Some(checkpoint) => checkpoint,
            None => self.hub_list(origin, model).await?,
        };
        (self.received, self.total) = (0.0, checkpoint.bytes() as f64);
        let mut files = Vec::with_capacity(checkpoint.files.len());
        for file in &checkpoint.files {
            let bytes = self.hub_file(origin, model, &checkpoint.revision, file).await?;
            // What cannot be run need not come.
            if file.is_network() {
                let json = String::from_utf8_lossy(&bytes);
                if diffusers::is_network(&json) {
                    diffusers::network(&json).map_err(|error| refused(&file.path, vec![error.to_string()]))?;
                }
            }
            files.push((file.name().to_owned(), bytes));
        }
        if !is_known && !self.not_kept {
            // A record without a file would only be asked in vain.
            let record = serde_json::to_vec(&checkpoint).unwrap_or_default();
            self.keep(&model_key(model), &record).await?;
        }
        Ok((checkpoint, files))
    }

    /// What the hub says of a model and, on the CPU, how long an evaluation of such a network takes here.
    ///
    /// # Errors
    /// As [`Self::hub_files`].
    pub async fn hub_offer(
        &mut self,
        origin: &str,
        model: &str,
        compute: &ComputeDevice,
    ) -> Result<WeightsSummary, LoadError> {
        let checkpoint = self.hub_list(origin, model).await?;
        let mut offer = WeightsSummary {
            id: format!("{HUB}{model}"),
            title: model.to_owned(),
            file_bytes: checkpoint.bytes() as f64,
            licence: checkpoint.licence.clone(),
            ..WeightsSummary::default()
        };
        let settings = checkpoint.files.iter().find(|file| file.is_network());
        let Some(settings) = settings else { return Ok(offer) };
        let json = self.hub_file(origin, model, &checkpoint.revision, settings).await?;
        let json = String::from_utf8_lossy(&json);
        if !diffusers::is_network(&json) {
            return Ok(offer);
        }
        let bad = |why: String| refused(&settings.path, vec![why]);
        let diffusers::Network { config, image_size } =
            diffusers::network(&json).map_err(|error| bad(error.to_string()))?.of;
        let side = image_size.unwrap_or(0) as usize;
        if compute.info.gpu || side == 0 || !side.is_multiple_of(config.size_multiple()) {
            return Ok(offer);
        }
        // Other numbers take as long. They are made when they are first needed: not where there is no room for what the
        // settings ask for, whatever the list says of the files.
        let network = config.init(0, &compute.device).map_err(|error| bad(error.to_string()))?;
        if !has_room(network.parameters().iter().map(|parameter| 4 * parameter.count() as u64).sum()) {
            return Ok(offer);
        }
        let took = evaluation_ms(&network, side, compute, self.inbox).await;
        offer.evaluation_ms = took.ok_or(LoadError::GivenUp)?;
        Ok(offer)
    }

    async fn hub_list(&mut self, origin: &str, model: &str) -> Result<HubModel, LoadError> {
        if origin.is_empty() {
            return Err(gone(model));
        }
        let address = list_address(origin, model);
        let asked = self.inbox.port.fetch(&address, None, 0);
        let mut download = self.wait(asked).await?.map_err(|error| denied(error, origin, model))?;
        let mut json = Vec::new();
        while let Some(piece) = self.wait(download.piece()).await?.map_err(|error| unreachable(model, error))? {
            self.append(model, &mut json, &piece, LONGEST_LIST)?;
        }
        HubModel::from_answer(&String::from_utf8_lossy(&json)).map_err(|error| refused(model, vec![error.to_string()]))
    }

    async fn hub_file(
        &mut self,
        origin: &str,
        model: &str,
        revision: &str,
        file: &HubFile,
    ) -> Result<Vec<u8>, LoadError> {
        let address = file_address(origin, model, revision, file);
        let key = match &file.sha256 {
            Some(sum) => format!("hub/{sum}"),
            None => format!("hub/{model}/{revision}/{}", file.path),
        };
        let wanted = Wanted { file, origin, model, address, key };
        let before = self.received;
        let (bytes, kept) = self.whole(&wanted).await?;
        if file.sha256.is_none() {
            return Ok(bytes);
        }
        let Err(error) = file.check(&self.digest(&bytes).await?) else { return Ok(bytes) };
        // Neither what was kept nor what came is worth keeping.
        for number in 0..segments(file.bytes) {
            let forgotten = self.inbox.port.keep(&segment_key(&wanted, number), None);
            self.wait(forgotten).await?;
        }
        if kept == 0 {
            return Err(refused(file.name(), vec![error.to_string()]));
        }
        drop(bytes);
        self.received = before;
        let (bytes, _) = self.whole(&wanted).await?;
        match file.check(&self.digest(&bytes).await?) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(refused(file.name(), vec![error.to_string()])),
        }
    }

    /// All bytes of a file, and how many of them were kept.
    async fn whole(&mut self, wanted: &Wanted<'_>) -> Result<(Vec<u8>, usize), LoadError> {
        let (file, name) = (wanted.file, wanted.file.name());
        let mut bytes = Vec::new();
        reserve(name, &mut bytes, usize::try_from(file.bytes).unwrap_or(usize::MAX))?;
        for number in 0..segments(file.bytes) {
            let piece = self.inbox.port.kept(&segment_key(wanted, number));
            let Some(piece) = self.wait(piece).await? else { break };
            let expected = (file.bytes as usize - bytes.len()).min(SEGMENT);
            if piece.len() > expected {
                break;
            }
            self.append(name, &mut bytes, &piece, file.bytes)?;
            self.tell(name, true);
            if piece.len() < expected {
                break;
            }
        }
        let kept = bytes.len();
        if bytes.len() < file.bytes as usize && wanted.origin.is_empty() {
            return Err(gone(wanted.model));
        }
        let (base, mut most, mut attempts) = (self.received - kept as f64, kept, 0);
        while (bytes.len() as u64) < file.bytes {
            let before = bytes.len();
            let ended = self.rest(wanted, &mut bytes).await;
            self.received = base + bytes.len() as f64;
            self.keep_segments(wanted, &bytes, before).await;
            ended?;
            attempts = if bytes.len() > most { 0 } else { attempts + 1 };
            most = most.max(bytes.len());
            if (bytes.len() as u64) < file.bytes {
                if attempts == MOST_ATTEMPTS || HubFile::is_pointer(&bytes) {
                    return Err(unreachable(name, file.short(bytes.len() as u64, &bytes).to_string()));
                }
                let pause = self.inbox.port.after(PAUSE_MS * attempts);
                self.wait(pause).await?;
            }
        }
        Ok((bytes, kept))
    }

    /// Goes on with a file until the server ends or breaks off. A connection that fails is no error while it may be tried
    /// again.
    async fn rest(&mut self, wanted: &Wanted<'_>, bytes: &mut Vec<u8>) -> Result<(), LoadError> {
        let (file, name) = (wanted.file, wanted.file.name());
        let asked = self.inbox.port.fetch(&wanted.address, None, bytes.len() as u64);
        let mut download = match self.wait(asked).await? {
            Ok(download) => download,
            // A server that is in trouble may get over it, and so may a network that was there before.
            Err(Unreachable { status: Some(500..), .. }) => return Ok(()),
            Err(Unreachable { status: None, .. }) if !bytes.is_empty() => return Ok(()),
            Err(error) => return Err(denied(error, wanted.origin, wanted.model)),
        };
        let surplus = bytes.len() - usize::try_from(download.start()).unwrap_or(0).min(bytes.len());
        bytes.truncate(bytes.len() - surplus);
        self.received -= surplus as f64;
        loop {
            self.tell(name, false);
            match self.wait(download.piece()).await? {
                Ok(Some(piece)) => self.append(name, bytes, &piece, file.bytes)?,
                Ok(None) | Err(_) => return Ok(()),
            }
            self.inbox.breathe().await;
        }
    }

    /// Keeps what came of a file beyond its first `before` bytes, also when a command has ended the load: that is what can
    /// be gone on with.
    async fn keep_segments(&mut self, wanted: &Wanted<'_>, bytes: &[u8], before: usize) {
        let begun = before.min(bytes.len()) / SEGMENT;
        for (number, segment) in bytes.chunks(SEGMENT).enumerate().skip(begun) {
            if self.not_kept || HubFile::is_pointer(bytes) {
                return;
            }
            self.not_kept |= !self.inbox.port.keep(&segment_key(wanted, number), Some(segment)).await;
        }
    }

    /// The SHA-256, 64 digits.
    async fn digest(&mut self, bytes: &[u8]) -> Result<String, LoadError> {
        let mut digest = Sha256::new();
        for segment in bytes.chunks(SEGMENT) {
            digest.update(segment);
            self.inbox.breathe().await;
            self.wait(std::future::ready(())).await?;
        }
        Ok(hex(&digest.finalize()))
    }
}

/// How many segments a file of this length has.
fn segments(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(SEGMENT as u64)).unwrap_or(0)
}

fn segment_key(wanted: &Wanted<'_>, number: usize) -> String {
    format!("{}/{number}", wanted.key)
}

/// What was kept is not all there, and nobody may be asked for the rest.
fn gone(model: &str) -> LoadError {
    unreachable(model, "what was kept of it is not whole: the browser may have needed the room".to_owned())
}

/// Why the hub gave nothing.
fn denied(error: Unreachable, origin: &str, model: &str) -> LoadError {
    let known = error.status.and_then(|status| refusal(status, origin, model));
    unreachable(model, known.map_or(error.words, |known| known.to_string()))
}
