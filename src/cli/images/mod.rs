//! Image sets: CIFAR-10 in its official form and as pictures, sets of grey images in IDX, and any folder or archive of PNG
//! files of one size.

pub mod cifar10;
mod half;
mod idx;
pub mod png_file;
pub mod python;
pub mod store;

use std::path::Path;

use super::failure::{Failure, Outcome};
use crate::data::ImageSet;
use crate::lab::CIFAR10;
use crate::nn::checkpoint::sha256;
use cifar10::{CHANNELS, SIDE, finish};
pub use half::Half;
use png_file::Picture;
use store::Store;
pub use store::cache_folder;

/// Where CIFAR-10 is published.
pub const CIFAR10_ADDRESS: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
/// A record of the official files: the label, then the red, green and blue planes.
const RECORD: usize = 1 + CHANNELS * SIDE * SIDE;
/// Batches of the training half.
const BATCHES: usize = 5;

/// Reads images from `cifar10` (the official address), another address, a folder, an archive or a file.
///
/// # Errors
/// When it cannot be read, is damaged or incomplete, or the images differ in size.
pub fn open(source: &str, half: Half) -> Outcome<ImageSet> {
    open_with(source, half, &store::cache_folder())
}

/// The same with another folder for what is fetched.
///
/// # Errors
/// As [`open`].
pub fn open_with(source: &str, half: Half, cache: &Path) -> Outcome<ImageSet> {
    let address = if source == "cifar10" { CIFAR10_ADDRESS } else { source };
    let store = Store::open(address, cache, |name| {
        let lower = name.to_lowercase();
        let ends = [".bin", ".png", "_lables.json", "_labels.json"].iter().any(|end| lower.ends_with(end));
        !is_hidden(name) && (ends || idx::is_part(name) || python::is_batch(name) || python::is_cifar100(name))
    })?;
    let names = store.names();
    if names.iter().any(|name| is_cifar100(name)) {
        return Err(Failure::input(source, "this is CIFAR-100, whose images have two labels each; CIFAR-10 is read"));
    }
    let ends = |name: &str, end: &str| name == end || name.ends_with(&format!("/{end}"));
    let find = |end: &str| names.iter().find(|name| ends(name, end)).map(|name| (*name).to_owned());
    let any = |extension: &str| {
        let batch = |name: &&&str| name.contains("data_batch_") || name.contains("test_batch");
        names.iter().filter(batch).any(|name| name.to_lowercase().ends_with(extension))
    };
    let wanted = |extension: &str| -> Vec<String> {
        match half {
            Half::Train => (1..=BATCHES).map(|k| format!("data_batch_{k}{extension}")).collect(),
            Half::Test => vec![format!("test_batch{extension}")],
        }
    };
    let batches = |extension: &str| -> Outcome<Vec<String>> {
        if let [only] = &names[..] {
            return Ok(vec![(*only).to_owned()]);
        }
        let missing = |end: &String| Failure::input(source, format!("{end} is missing"));
        wanted(extension).iter().map(|end| find(end).ok_or_else(|| missing(end))).collect()
    };
    let single = names.len() == 1;
    if any(".bin") || single && names[0].to_lowercase().ends_with(".bin") {
        binary(source, &store, &batches(".bin")?)
    } else if names.iter().any(|name| python::is_batch(name)) {
        python::read(source, &store, &batches("")?)
    } else if names.iter().any(|name| idx::is_part(name)) {
        idx::read(source, &store, half)
    } else if any(".png") {
        let labels = match half {
            Half::Train => ["train_lables.json", "train_labels.json"],
            Half::Test => ["test_lables.json", "test_labels.json"],
        };
        let labels = labels.into_iter().find_map(find);
        strips(source, &store, &batches(".png")?, labels.as_deref())
    } else {
        pictures(source, &store, &names)
    }
}

/// Whether a path leads through something hidden, such as `.git` or `.ipynb_checkpoints`, or through what a Mac adds to
/// archives.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| (part.starts_with('.') && part != ".") || part == "__MACOSX")
}

/// Whether a file is one of CIFAR-100, binary or of Python.
fn is_cifar100(path: &str) -> bool {
    python::is_cifar100(path) || path.contains("cifar-100-binary/")
}

/// What tells two sets of images apart: SHA-256 of their size, pixels and labels.
#[must_use]
pub fn digest(set: &ImageSet) -> String {
    let labels: Vec<u8> = set.labels().iter().flat_map(|label| label.to_le_bytes()).collect();
    sha256(format!("{} {} {}", set.size(), sha256(set.pixels()), sha256(&labels)).as_bytes())
}

/// The official binary files.
fn binary(source: &str, store: &Store, names: &[String]) -> Outcome<ImageSet> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let bytes = store.read(name)?;
        if bytes.len().is_multiple_of(RECORD + 1) && !bytes.is_empty() {
            let why =
                format!("{name} has records of {} bytes, two labels each: CIFAR-100; CIFAR-10 is read", RECORD + 1);
            return Err(Failure::input(source, why));
        }
        if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
            return Err(Failure::input(
                source,
                format!("{name} has {} bytes, not whole records of {RECORD}: it is cut short", bytes.len()),
            ));
        }
        for record in bytes.chunks_exact(RECORD) {
            labels.push(u32::from(record[0]));
            pixels.extend_from_slice(&record[1..]);
        }
    }
    finish(source, SIDE, CHANNELS, pixels, labels, CIFAR10.map(str::to_owned).to_vec())
}

/// Pictures in which every row is an image, and a list of labels.
fn strips(source: &str, store: &Store, names: &[String], labels: Option<&str>) -> Outcome<ImageSet> {
    let mut pixels = Vec::new();
    let mut shape = None;
    for name in names {
        let bad = |why: String| Failure::input(source, format!("{name}: {why}"));
        let picture = Picture::decode(&store.read(name)?).map_err(bad)?;
        let size = picture.width.isqrt();
        if size * size != picture.width || shape.is_some_and(|known| known != (size, picture.channels)) {
            return Err(bad(format!("rows of {} pixels are not square images of one kind", picture.width)));
        }
        shape = Some((size, picture.channels));
        for row in picture.pixels.chunks_exact(picture.width * picture.channels) {
            for channel in 0..picture.channels {
                pixels.extend(row.iter().skip(channel).step_by(picture.channels));
            }
        }
    }
    let (size, channels) = shape.unwrap_or((0, 0));
    let Some(name) = labels else { return finish(source, size, channels, pixels, Vec::new(), Vec::new()) };
    let labels: Vec<u32> = serde_json::from_slice(&store.read(name)?)
        .map_err(|error| Failure::input(source, format!("{name}: {error}")))?;
    finish(source, size, channels, pixels, labels, CIFAR10.map(str::to_owned).to_vec())
}

/// One picture each; where all of them lie in folders, the folders are the classes.
fn pictures(source: &str, store: &Store, names: &[&str]) -> Outcome<ImageSet> {
    let names: Vec<&str> = names.iter().copied().filter(|name| name.to_lowercase().ends_with(".png")).collect();
    if names.is_empty() {
        return Err(Failure::input(source, "neither CIFAR-10's batches, nor images in IDX, nor PNG files in it"));
    }
    let folder = |name: &str| name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let mut classes: Vec<String> = names.iter().filter_map(|name| folder(name)).collect();
    let labelled = classes.len() == names.len();
    classes.sort();
    classes.dedup();
    let labelled = labelled && classes.len() > 1;
    let (mut pixels, mut labels, mut first) = (Vec::new(), Vec::new(), None);
    for name in names {
        let bad = |why: String| Failure::input(source, format!("{name}: {why}"));
        let picture = Picture::decode(&store.read(name)?).map_err(bad)?;
        let shape = (picture.width, picture.height, picture.channels);
        let (width, height, channels) = *first.get_or_insert(shape);
        if shape != (width, height, channels) {
            return Err(bad(format!(
                "{} x {} pixels of {} channels, but the first has {width} x {height} of {channels}",
                shape.0, shape.1, shape.2
            )));
        }
        if width != height {
            return Err(bad(format!("{width} x {height} pixels: only square images are trained on")));
        }
        pixels.extend(picture.planes());
        if let Some(class) = folder(name).filter(|_| labelled).and_then(|f| classes.iter().position(|c| *c == f)) {
            labels.push(u32::try_from(class).map_err(|error| bad(error.to_string()))?);
        }
    }
    let (size, _, channels) = first.unwrap_or_default();
    finish(source, size, channels, pixels, labels, if labelled { classes } else { Vec::new() })
}
