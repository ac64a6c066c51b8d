//! Where images are: a folder, an archive, one file, or an address.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::files;

/// Most bytes of an archive's files together: twelve times CIFAR-10.
const MOST_BYTES: u64 = 2 << 30;
/// Deepest folder that is looked into.
const DEEPEST: usize = 4;

/// Named files.
pub enum Store {
    /// On the disk.
    Folder(BTreeMap<String, PathBuf>),
    /// Unpacked.
    Archive(BTreeMap<String, Vec<u8>>),
}

impl Store {
    /// Opens a folder, an archive (`.tar`, `.tar.gz`, `.tgz`) or a single file; an address is fetched into `cache`
    /// first. Of an archive only files whose names are `wanted` are unpacked.
    ///
    /// # Errors
    /// When there is no such thing, or it is damaged.
    pub fn open(source: &str, cache: &Path, wanted: impl Fn(&str) -> bool) -> Outcome<Self> {
        let path = if source.starts_with("http://") || source.starts_with("https://") {
            fetch(source, cache)?
        } else {
            PathBuf::from(source)
        };
        let lower = files::name(&path).to_lowercase();
        let fail = |error: &dyn std::fmt::Display| Failure::input(path.display(), error);
        if path.is_dir() {
            let mut found = BTreeMap::new();
            walk(&path, "", 0, &mut found)?;
            found.retain(|name, _| wanted(name));
            return Ok(Self::Folder(found));
        }
        let file = File::open(&path).map_err(|error| fail(&error))?;
        let file = BufReader::new(file);
        let unpacked = if lower.ends_with(".tar.gz") || lower.ends_with(".tgz") {
            unpack(GzDecoder::new(file), wanted)
        } else if lower.ends_with(".tar") {
            unpack(file, wanted)
        } else {
            return Ok(Self::Folder(BTreeMap::from([(files::name(&path), path.clone())])));
        };
        // The reader's own words for a file that ends too early are not clear.
        let unpacked = unpacked.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => fail(&"the archive is cut short; fetch it again"),
            _ => fail(&format!("not a readable archive: {error}")),
        })?;
        Ok(Self::Archive(unpacked))
    }

    /// The names, in order, with the folders they are in.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Folder(found) => found.keys().map(String::as_str).collect(),
            Self::Archive(found) => found.keys().map(String::as_str).collect(),
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn read(&self, name: &str) -> Outcome<Vec<u8>> {
        let missing = || Failure::input(name, "is not there");
        match self {
            Self::Folder(found) => files::read(found.get(name).ok_or_else(missing)?),
            Self::Archive(found) => found.get(name).cloned().ok_or_else(missing),
        }
    }
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut BTreeMap<String, PathBuf>) -> Outcome {
    let fail = |error| Failure::input(folder.display(), error);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = format!("{prefix}{}", files::name(&path));
        if path.is_file() {
            found.insert(name, path);
        } else if path.is_dir() && depth < DEEPEST {
            walk(&path, &format!("{name}/"), depth + 1, found)?;
        }
    }
    Ok(())
}

fn unpack(reader: impl Read, wanted: impl Fn(&str) -> bool) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = tar::Archive::new(reader);
    let (mut found, mut total) = (BTreeMap::new(), 0_u64);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_file() || !wanted(&name) {
            continue;
        }
        total = total.saturating_add(entry.size());
        if total > MOST_BYTES {
            return Err(std::io::Error::other(format!("more than {MOST_BYTES} bytes of images")));
        }
        let mut bytes = Vec::new();
        let size = entry.size();
        entry.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        found.insert(name, bytes);
    }
    Ok(found)
}

/// Fetches an address once; the file is kept under its last name, and gets it only when it is complete.
fn fetch(address: &str, cache: &Path) -> Outcome<PathBuf> {
    let name = address.split(['?', '#']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Failure::usage(format!("{address} does not end in the name of a file")));
    }
    let path = cache.join(name);
    if path.exists() {
        return Ok(path);
    }
    files::make_folder(cache)?;
    eprintln!("fetching {address} to {}", path.display());
    let fail = |error: &dyn std::fmt::Display| Failure::input(address, error);
    let mut response = ureq::get(address).call().map_err(|error| fail(&error))?;
    let length = response.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let part = cache.join(format!("{name}.part"));
    let written = (|| {
        let mut reader = response.body_mut().as_reader();
        let mut file = File::create(&part)?;
        let copied = std::io::copy(&mut reader, &mut file)?;
        file.flush()?;
        file.sync_all()?;
        if length.is_some_and(|length| length != copied) {
            return Err(std::io::Error::other(format!("{copied} bytes came of {}", length.unwrap_or_default())));
        }
        std::fs::rename(&part, &path)
    })();
    written.map_err(|error| {
        drop(std::fs::remove_file(&part));
        fail(&error)
    })?;
    Ok(path)
}

/// The folder for what was fetched or computed and can be again.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").or_else(|| std::env::var_os("LOCALAPPDATA")).map(PathBuf::from);
    let base = base.or_else(|| home().map(|home| home.join(".cache"))).unwrap_or_else(std::env::temp_dir);
    base.join("scorefield")
}
