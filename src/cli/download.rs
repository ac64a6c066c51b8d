//! Models of the Hugging Face hub, fetched once into the cache folder: gone on with where they broke off, and checked each
//! time they are used.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::failure::{Failure, Kind, Outcome};
use super::http::Client;
use super::images::cache_folder;
use super::progress::{Progress, clock};
use super::{files, interrupt};
use crate::digest::hex;
use crate::engine::Unreachable;
use crate::lab::{HUB, Word};
use crate::nn::checkpoint::diffusers;
use crate::nn::checkpoint::hub::{self, HubFile, HubModel, LONGEST_LIST, file_address, list_address, refusal};

/// The variable that names another hub, as the hub's own programs know it.
const ENDPOINT: &str = "HF_ENDPOINT";
/// What says which files of a model's folder belong to it, and that they are all there.
const RECORD: &str = "hub.json";
/// Bytes read at a time.
const PIECE: usize = 1 << 16;
/// Files of so many bytes are there before it could be said how far they are.
const SMALL: u64 = 1 << 20;
/// How often a file is asked for without a byte of it coming, before that is given up.
const MOST_ATTEMPTS: u32 = 4;
/// Between two of these, times how many there were.
const PAUSE: Duration = Duration::from_secs(1);

/// A model of the hub on this machine's disk.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The folder of its files.
    pub folder: PathBuf,
    /// What the hub said of it.
    pub model: HubModel,
}

/// Whether weights of this name are a model's of the hub.
#[must_use]
pub fn is_of_hub(weights: &Path) -> bool {
    weights.to_str().is_some_and(|text| text.starts_with(HUB))
}

/// The model that `hub:owner/name` names, from the cache or from the hub.
///
/// # Errors
/// When it is no such name, the hub does not give it, what comes is not what the hub said, or the disk is full. What came
/// is kept, and the next call goes on from there.
pub fn fetch(weights: &Path) -> Outcome<Fetched> {
    let shown = weights.display();
    let word = weights.to_str().and_then(Word::read);
    let Some(name) = word.as_ref().and_then(Word::hub) else {
        return Err(Failure::usage(format!(
            "{shown} names no model of the hub: hub:owner/name, of letters, digits, '.', '-' and '_'"
        )));
    };
    let folder = name.split('/').fold(cache_folder().join("hub"), |folder, part| folder.join(part));
    if let Some(model) = kept(&folder) {
        return Ok(Fetched { folder, model });
    }
    let origin = env::var(ENDPOINT).ok().filter(|origin| !origin.is_empty()).unwrap_or_else(|| hub::HUB.to_owned());
    if !origin.starts_with("https://") && !origin.starts_with("http://") {
        return Err(Failure::usage(format!("{ENDPOINT}={origin} is no address: https://…")));
    }
    let from = Hub { client: Client::default(), origin: origin.trim_end_matches('/'), name, folder: &folder };
    let model = from.model()?;
    Ok(Fetched { model, folder })
}

/// What was fetched earlier, if it is all there and as the hub said.
fn kept(folder: &Path) -> Option<HubModel> {
    let model = HubModel::from_record(&fs::read_to_string(folder.join(RECORD)).ok()?)?;
    let whole = model.files.iter().all(|file| is_whole(&folder.join(file.name()), file));
    whole.then_some(model)
}

fn is_whole(path: &Path, file: &HubFile) -> bool {
    let same = || digest(&mut File::open(path).ok()?).ok().filter(|found| file.check(found).is_ok());
    fs::metadata(path).is_ok_and(|about| about.len() == file.bytes) && same().is_some()
}

/// The SHA-256 of what follows in a file, 64 digits.
fn digest(file: &mut File) -> io::Result<String> {
    let (mut digest, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&digest.finalize())),
            count => digest.update(&piece[..count]),
        }
    }
}

/// A model, where it comes from and where it goes.
struct Hub<'a> {
    client: Client,
    origin: &'a str,
    name: &'a str,
    folder: &'a Path,
}

impl Hub<'_> {
    fn fail(&self, why: impl std::fmt::Display) -> Failure {
        Failure::input(format!("{HUB}{}", self.name), why)
    }

    fn denied(&self, error: Unreachable) -> Failure {
        let known = error.status.and_then(|status| refusal(status, self.origin, self.name));
        match known {
            Some(known) => self.fail(known),
            None => self.fail(error.words),
        }
    }

    /// Fetches the model's list, and of its files those that are not here.
    fn model(&self) -> Outcome<HubModel> {
        let listed = self.client.bytes(&list_address(self.origin, self.name), LONGEST_LIST);
        let json = listed.map_err(|error| self.denied(error))?;
        let model = HubModel::from_answer(&String::from_utf8_lossy(&json)).map_err(|error| self.fail(error))?;
        let licence = if model.licence.is_empty() { "not named" } else { &model.licence };
        let megabytes = model.bytes() as f64 / 1e6;
        eprintln!(
            "fetching {} from {}, {megabytes:.1} MB, licence {licence}, to {}",
            self.name,
            self.origin,
            self.folder.display()
        );
        files::make_folder(self.folder)?;
        for file in &model.files {
            self.file(&model.revision, file)?;
            // What cannot be run need not come.
            if file.is_network() {
                let json = files::read_text(&self.folder.join(file.name()))?;
                if diffusers::is_network(&json) {
                    diffusers::network(&json).map_err(|error| self.fail(error))?;
                }
            }
        }
        let record = serde_json::to_vec(&model).map_err(Failure::other)?;
        files::write(&self.folder.join(RECORD), &record)?;
        Ok(model)
    }

    fn file(&self, revision: &str, file: &HubFile) -> Outcome {
        let path = self.folder.join(file.name());
        if is_whole(&path, file) {
            return Ok(());
        }
        let part = self.folder.join(format!("{}.part", file.name()));
        let disk = |error: io::Error| Failure::other(format!("{}: {error}", part.display()));
        let mut out =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&part).map_err(disk)?;
        // Another program of ours may be fetching it; then it is there when that has ended.
        match out.lock() {
            // Some file systems know no locks: then the checksum tells what two programs made of it.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(disk(error)),
            _ => {}
        }
        if is_whole(&path, file) {
            return Ok(());
        }
        let address = file_address(self.origin, self.name, revision, file);
        let there = out.metadata().map_err(disk)?.len();
        if there > file.bytes {
            out.set_len(0).map_err(disk)?;
        }
        self.rest(&address, file, &mut out, disk)?;
        if let Err(error) = self.check(file, &mut out, disk)? {
            out.set_len(0).map_err(disk)?;
            // What was left of an earlier call may have been of another file.
            if there == 0 {
                return Err(self.fail(error));
            }
            self.rest(&address, file, &mut out, disk)?;
            if let Err(error) = self.check(file, &mut out, disk)? {
                out.set_len(0).map_err(disk)?;
                return Err(self.fail(error));
            }
        }
        out.sync_all().map_err(disk)?;
        drop(out);
        fs::rename(&part, &path).map_err(disk)
    }

    fn check(
        &self,
        file: &HubFile,
        out: &mut File,
        disk: impl Fn(io::Error) -> Failure,
    ) -> Outcome<Result<(), hub::HubError>> {
        out.rewind().map_err(&disk)?;
        Ok(file.check(&digest(out).map_err(&disk)?))
    }

    /// Goes on with a file until all of it is there.
    fn rest(&self, address: &str, file: &HubFile, out: &mut File, disk: impl Fn(io::Error) -> Failure) -> Outcome {
        let mut length = out.metadata().map_err(&disk)?.len();
        let (mut most, mut attempts) = (length, 0);
        let mut shown = Progress::default();
        let begun = (Instant::now(), length);
        while length < file.bytes {
            match self.client.get(address, length) {
                Ok(mut body) => {
                    length = length.min(body.start);
                    out.set_len(length).map_err(&disk)?;
                    out.seek(SeekFrom::Start(length)).map_err(&disk)?;
                    let mut piece = vec![0; PIECE];
                    // A connection that breaks off is no error while it may be tried again.
                    while let Ok(count @ 1..) = body.reader.read(&mut piece) {
                        if interrupt::asked() {
                            return Err(Failure::new(
                                Kind::Interrupted,
                                "ended; what came is kept and goes on from there",
                            ));
                        }
                        length += count as u64;
                        if length > file.bytes {
                            out.set_len(0).map_err(&disk)?;
                            let HubFile { path, bytes, .. } = file;
                            return Err(self.fail(format!("{path}: expected {bytes} bytes, found more")));
                        }
                        out.write_all(&piece[..count]).map_err(&disk)?;
                        if file.bytes > SMALL && shown.is_due() {
                            shown.show(&line(file, length, begun));
                        }
                    }
                }
                // A server that is in trouble may get over it, and so may a network that was there before.
                Err(Unreachable { status: Some(500..), .. }) => {}
                Err(Unreachable { status: None, .. }) if length > 0 => {}
                Err(error) => return Err(self.denied(error)),
            }
            attempts = if length > most { 0 } else { attempts + 1 };
            most = most.max(length);
            if length < file.bytes {
                let start = start_of(out).map_err(&disk)?;
                if attempts == MOST_ATTEMPTS || HubFile::is_pointer(&start) {
                    shown.end();
                    let short = file.short(length, &start);
                    if HubFile::is_pointer(&start) {
                        out.set_len(0).map_err(&disk)?;
                    }
                    return Err(self.fail(short));
                }
                thread::sleep(PAUSE * attempts);
            }
        }
        shown.end();
        Ok(())
    }
}

/// The first bytes of a file.
fn start_of(file: &mut File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start)?;
    Ok(start)
}

/// How far a file is, in words.
fn line(file: &HubFile, length: u64, (since, from): (Instant, u64)) -> String {
    let [done, all] = [length, file.bytes].map(|bytes| bytes as f64 / 1e6);
    let speed = (length - from.min(length)) as f64 / since.elapsed().as_secs_f64().max(1e-3);
    let left = clock((file.bytes - length) as f64 / speed.max(1.0));
    format!("{}: {done:.1} of {all:.1} MB  {:.1} MB/s  {left} left", file.name(), speed / 1e6)
}
