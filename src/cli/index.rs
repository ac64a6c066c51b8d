//! The list of the sets of weights that a page offers: `web/weights/index.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Outcome};
use super::files;
use crate::nn::checkpoint::Manifest;

/// Version of the list that is written.
const FORMAT: u32 = 1;

/// The list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Version of the format, 1.
    pub format: u32,
    /// The sets, in the order in which they are offered.
    pub sets: Vec<Entry>,
}

/// A set of weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Its folder beside the list, and its name in links. In it lies `manifest.json`.
    pub id: String,
    /// What to call it.
    pub title: String,
    /// Height and width of an image.
    pub image_size: u32,
    /// How many classes it knows; 0 when it knows of none.
    pub classes: usize,
    /// What has to be fetched, in bytes.
    pub bytes: u64,
    /// What others wrote about it; it stays.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// The list in a file.
///
/// # Errors
/// When it cannot be read, or is not one.
pub fn read(list: &Path) -> Outcome<Index> {
    let index: Index =
        serde_json::from_str(&files::read_text(list)?).map_err(|error| Failure::input(list.display(), error))?;
    if index.format != FORMAT {
        return Err(Failure::input(list.display(), format!("format {} is not known", index.format)));
    }
    Ok(index)
}

/// Enters the set of a folder, in place of an entry of the same name.
///
/// # Errors
/// When list or manifest cannot be read, the folder does not lie beside the list, or the list cannot be written.
pub fn enter(list: &Path, folder: &Path) -> Outcome {
    let mut index = if list.exists() { read(list)? } else { Index { format: FORMAT, sets: Vec::new() } };
    let place = |path: &Path| path.canonicalize().map_err(|error| Failure::input(path.display(), error));
    let beside = list.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = place(folder)?;
    if folder.parent() != Some(place(beside)?.as_path()) {
        return Err(Failure::usage(format!("{} does not lie beside {}", folder.display(), list.display())));
    }
    let path = folder.join("manifest.json");
    let manifest = Manifest::from_json(&files::read_text(&path)?);
    let manifest = manifest.map_err(|error| Failure::input(path.display(), error))?;
    let entry = Entry {
        id: files::name(&folder),
        title: manifest.title,
        image_size: manifest.image_size,
        classes: manifest.classes.len(),
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        ..Entry::default()
    };
    match index.sets.iter_mut().find(|known| known.id == entry.id) {
        Some(known) => *known = Entry { other: std::mem::take(&mut known.other), ..entry },
        None => index.sets.push(entry),
    }
    let mut json = serde_json::to_string_pretty(&index).map_err(Failure::other)?;
    json.push('\n');
    files::write(list, json.as_bytes())
}
