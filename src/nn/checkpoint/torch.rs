//! What `torch.save` writes, in both of its formats.

use std::collections::{BTreeMap, HashMap};

use super::error::CheckpointError;
use super::limits::{LONGEST_NAME, MOST_TENSORS};
use super::pickle::{self, Id, Node, Place, Plain, Storage, Tree, View};
use super::tensors::Stored;
use super::zip;

/// The magic number 0x1950a86a20f9469cfc6c, as the pickle that the older format starts with has it.
const LEGACY_MAGIC: &[u8] = &[0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
/// Most bytes before it: the pickle's protocol, and from the fourth protocol on the length of a frame.
const LEGACY_START: usize = 11;
/// Deepest nesting of dictionaries that is looked into.
const DEEPEST: usize = 6;

/// The tensors of a file.
pub struct Found<'a> {
    /// Each under the keys that lead to it.
    pub tensors: Vec<(String, Stored<'a>)>,
    /// Names of what else is in the file, at most a few.
    pub foreign: Vec<String>,
    /// Plain settings beside them, each under the keys that lead to it.
    pub settings: BTreeMap<String, Plain>,
}

type Outcome<'a> = Result<Found<'a>, CheckpointError>;

/// Whether a file is one of the older format.
pub fn is_legacy(file: &[u8]) -> bool {
    let start = &file[..file.len().min(LEGACY_START + LEGACY_MAGIC.len())];
    start.first() == Some(&0x80) && start.windows(LEGACY_MAGIC.len()).any(|window| window == LEGACY_MAGIC)
}

fn broken<T>(detail: impl Into<String>) -> Result<T, CheckpointError> {
    Err(CheckpointError::Container { what: "torch file", detail: detail.into() })
}

/// The tensors of a zip archive: `name/data.pkl` and `name/data/0`, `name/data/1`, …
pub fn open_zip(file: &[u8]) -> Outcome<'_> {
    let entries = zip::read(file)?;
    let Some(tree) = entries.iter().find(|entry| entry.name.ends_with("/data.pkl") || entry.name == "data.pkl") else {
        return broken("there is no data.pkl in the archive");
    };
    let root = tree.name.strip_suffix("data.pkl").unwrap_or_default();
    let under = |path: &str| entries.iter().find(|e| e.name.strip_prefix(root) == Some(path));
    if under("byteorder").is_some_and(|entry| entry.data != b"little") {
        return broken("its numbers are not little-endian");
    }
    let storages = entries.iter().filter_map(|e| Some((e.name.strip_prefix(root)?.strip_prefix("data/")?, e.data)));
    collect(&pickle::read(tree.data)?, &storages.collect())
}

/// The tensors of the older format: pickles of the magic number, the version, the machine, the tree and the keys of
/// the storages; then for each key its count as 64 bits and its numbers.
pub fn open_legacy(file: &[u8]) -> Outcome<'_> {
    let mut rest = file;
    for _ in 0..3 {
        let skipped = pickle::read(rest)?.length;
        rest = rest.get(skipped..).unwrap_or_default();
    }
    let tree = pickle::read(rest)?;
    rest = rest.get(tree.length..).unwrap_or_default();
    let keys = pickle::read(rest)?;
    rest = rest.get(keys.length..).unwrap_or_default();
    let widths: HashMap<&str, usize> = tree
        .nodes
        .iter()
        .filter_map(
            |node| if let Node::Storage(Place::Beside(s)) = node { Some((s.key, s.number.bytes())) } else { None },
        )
        .collect();
    let Some(Node::Items(list)) = keys.nodes.get(keys.root as usize) else {
        return broken("the keys of its storages are missing");
    };
    let mut storages = HashMap::new();
    for id in list {
        let Some(&Node::Str(key)) = keys.nodes.get(*id as usize) else { return broken("a key is not a string") };
        let count = rest.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
        let length = count.and_then(|count| usize::try_from(count).ok()).zip(widths.get(key));
        let length = length.and_then(|(count, width)| count.checked_mul(*width)?.checked_add(8));
        let Some((data, after)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return broken(format!("storage {key} is cut short"));
        };
        storages.insert(key, &data[8..]);
        rest = after;
    }
    collect(&tree, &storages)
}

/// All tensors of the tree, each under the keys that lead to it. Every value is visited once, so that one that
/// contains itself comes to an end.
fn collect<'a>(tree: &Tree<'a>, storages: &HashMap<&str, &'a [u8]>) -> Outcome<'a> {
    let mut found = Vec::new();
    let mut seen = vec![false; tree.nodes.len()];
    let mut open = vec![(String::new(), tree.root, 0)];
    while let Some((path, id, depth)) = open.pop() {
        let child = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
        match tree.nodes.get(id as usize) {
            Some(Node::Tensor(view)) => {
                if found.len() >= MOST_TENSORS {
                    return Err(CheckpointError::TooMany { what: "tensors", most: MOST_TENSORS });
                }
                let stored = stored(&path, view, storages)?;
                found.push((path, stored));
            }
            Some(Node::Dict(pairs)) if depth < DEEPEST && visit(&mut seen, id) => {
                for pair in pairs.chunks_exact(2) {
                    let key = match tree.nodes.get(pair[0] as usize) {
                        Some(Node::Str(key)) => child(key),
                        Some(Node::Int(key)) => child(&key.to_string()),
                        _ => continue,
                    };
                    push(&mut open, tree, key, pair[1], depth)?;
                }
            }
            Some(Node::Items(items)) if depth < DEEPEST && visit(&mut seen, id) => {
                for (index, item) in items.iter().enumerate() {
                    if leads_on(tree, *item) {
                        push(&mut open, tree, child(&index.to_string()), *item, depth)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Found { tensors: found, foreign: tree.foreign.clone(), settings: BTreeMap::new() })
}

/// The tensor that a view is: of a storage beside the pickle, or of one within it.
///
/// # Errors
/// A [`CheckpointError`] when its numbers are not all there.
pub fn stored<'a>(
    path: &str,
    view: &View<'a>,
    beside: &HashMap<&str, &'a [u8]>,
) -> Result<Stored<'a>, CheckpointError> {
    let (storage, data) = match view.storage {
        Place::Beside(storage) => (storage, beside.get(storage.key).copied().unwrap_or_default()),
        Place::Within(file) => within(file)?,
    };
    let has = data.len() / storage.number.bytes();
    if has < storage.count {
        return Err(CheckpointError::Extent { tensor: path.to_owned(), needs: storage.count, has });
    }
    Stored::view(path, storage.number, view.shape.clone(), view.strides.clone(), view.offset, data)
}

/// The storage that a file of the older format within a pickle holds, and its numbers.
fn within(file: &[u8]) -> Result<(Storage<'_>, &[u8]), CheckpointError> {
    if !is_legacy(file) {
        return broken("a storage within it is none");
    }
    let mut rest = file;
    for _ in 0..3 {
        let skipped = pickle::read(rest)?.length;
        rest = rest.get(skipped..).unwrap_or_default();
    }
    let tree = pickle::read(rest)?;
    let Some(&Node::Storage(Place::Beside(storage))) = tree.node(tree.root) else {
        return broken("a storage within it is none");
    };
    rest = rest.get(tree.length..).unwrap_or_default();
    let keys = pickle::read(rest)?.length;
    let length = storage.count.checked_mul(storage.number.bytes()).and_then(|length| length.checked_add(8));
    match length.and_then(|length| rest.get(keys..)?.get(8..length)) {
        Some(numbers) => Ok((storage, numbers)),
        None => broken("a storage within it is cut short"),
    }
}

fn visit(seen: &mut [bool], id: Id) -> bool {
    seen.get_mut(id as usize).is_some_and(|seen| !std::mem::replace(seen, true))
}

fn leads_on(tree: &Tree, id: Id) -> bool {
    matches!(tree.nodes.get(id as usize), Some(Node::Tensor(_) | Node::Dict(_) | Node::Items(_)))
}

fn push(
    open: &mut Vec<(String, Id, usize)>,
    tree: &Tree,
    key: String,
    id: Id,
    depth: usize,
) -> Result<(), CheckpointError> {
    if !leads_on(tree, id) {
        return Ok(());
    }
    if key.len() > LONGEST_NAME {
        return broken(format!("a name of {} bytes", key.len()));
    }
    if open.len() >= 2 * MOST_TENSORS {
        return Err(CheckpointError::TooMany { what: "values in dictionaries", most: 2 * MOST_TENSORS });
    }
    open.push((key, id, depth + 1));
    Ok(())
}
