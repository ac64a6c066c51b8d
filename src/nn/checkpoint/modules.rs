//! Modules of torch that were pickled as objects: their tensors by name, and the plain settings beside them.
//!
//! Python pickles an object as a name that would make it, what that would be called with, and a dictionary of attributes.
//! Of a module these are `_parameters`, `_buffers` and `_modules`; EDM's persistent classes (`torch_utils.persistence`) have
//! the attributes in what their name would be called with, beside the source of the class. That is text here, and stays it.

use std::collections::{BTreeMap, HashMap};

use super::error::CheckpointError;
use super::limits::{LONGEST_NAME, MOST_TENSORS};
use super::pickle::{self, Id, Node, Plain, Tree};
use super::torch::{Found, stored};

/// Deepest nesting that is looked into: modules within modules, and dictionaries around them.
const DEEPEST: usize = 32;
/// Longest text that is a setting.
const LONGEST_TEXT: usize = 200;
/// Most settings.
const MOST_SETTINGS: usize = 10_000;

/// What is left to look at: where it is, what it is, how deep, and whether it is within a module.
struct Open {
    path: String,
    id: Id,
    depth: usize,
    module: bool,
}

/// The tensors of modules that are in a file, each under its name in the module; and the plain settings beside them.
///
/// # Errors
/// A [`CheckpointError`] when the pickle is damaged, or a tensor's numbers are not all there.
pub fn open(file: &[u8]) -> Result<Found<'_>, CheckpointError> {
    collect(&pickle::read(file)?)
}

/// All tensors of the modules of a pickle, and what is plain beside them. Every value is visited once.
///
/// # Errors
/// A [`CheckpointError`] when there are more than are looked at, or a tensor's numbers are not all there.
fn collect<'a>(tree: &Tree<'a>) -> Result<Found<'a>, CheckpointError> {
    let mut found = Found { tensors: Vec::new(), foreign: tree.foreign.clone(), settings: BTreeMap::new() };
    let mut seen = vec![false; tree.nodes.len()];
    let mut open = vec![Open { path: String::new(), id: tree.root, depth: 0, module: false }];
    while let Some(Open { path, id, depth, module }) = open.pop() {
        if path.len() > LONGEST_NAME {
            let detail = format!("a name of {} bytes", path.len());
            return Err(CheckpointError::Container { what: "pickle", detail });
        }
        match tree.node(id) {
            Some(Node::Tensor(view)) => {
                if found.tensors.len() >= MOST_TENSORS {
                    return Err(CheckpointError::TooMany { what: "tensors", most: MOST_TENSORS });
                }
                let tensor = stored(&path, view, &HashMap::new())?;
                found.tensors.push((path, tensor));
            }
            Some(&Node::Int(number)) => note(&mut found, path, Plain::Number(number as f64)),
            Some(&Node::Float(number)) => note(&mut found, path, Plain::Number(number)),
            Some(&Node::Str(text)) if text.len() <= LONGEST_TEXT => {
                note(&mut found, path, Plain::Text(text.to_owned()));
            }
            Some(Node::Object(_) | Node::Dict(_))
                if depth < DEEPEST && !std::mem::replace(&mut seen[id as usize], true) =>
            {
                let (attributes, described) = attributes(tree, id);
                for (key, value) in described {
                    open.push(Open { path: join(&path, key, '/'), id: value, depth: depth + 1, module });
                }
                for (key, value) in pairs(tree, attributes) {
                    if open.len() >= 4 * MOST_TENSORS {
                        return Err(CheckpointError::TooMany { what: "values in modules", most: 4 * MOST_TENSORS });
                    }
                    let parts = matches!(key, "_parameters" | "_buffers" | "_modules");
                    if parts {
                        let within = if module { '.' } else { '/' };
                        open.extend(pairs(tree, Some(value)).map(|(name, id)| Open {
                            path: join(&path, name, within),
                            id,
                            depth: depth + 1,
                            module: true,
                        }));
                    } else {
                        open.push(Open { path: join(&path, key, '/'), id: value, depth: depth + 1, module });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

fn note(found: &mut Found, path: String, value: Plain) {
    if found.settings.len() < MOST_SETTINGS {
        found.settings.insert(path, value);
    }
}

fn join(path: &str, key: &str, within: char) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}{within}{key}") }
}

/// Keys that are text, and their values.
fn pairs<'t, 'a>(tree: &'t Tree<'a>, id: Option<Id>) -> impl Iterator<Item = (&'a str, Id)> + 't {
    let list = match id.and_then(|id| tree.node(id)) {
        Some(Node::Dict(list)) => &list[..],
        _ => &[],
    };
    list.chunks_exact(2).filter_map(|pair| match tree.node(pair[0]) {
        Some(&Node::Str(key)) => Some((key, pair[1])),
        _ => None,
    })
}

/// The dictionary of an object's attributes; and of a persistent class what is said of it beside them.
fn attributes<'a>(tree: &Tree<'a>, id: Id) -> (Option<Id>, Vec<(&'a str, Id)>) {
    let inner = match tree.node(id) {
        Some(Node::Dict(_)) => return (Some(id), Vec::new()),
        Some(Node::Object(inner)) => *inner,
        _ => None,
    };
    // What it would be called with: one dictionary.
    let meta = match inner.and_then(|id| tree.node(id)) {
        Some(Node::Items(items)) => match items[..] {
            [only] => Some(only),
            _ => None,
        },
        _ => None,
    };
    let state = pairs(tree, meta).find(|(key, _)| *key == "state").map(|(_, state)| state);
    match state {
        Some(state) => (Some(state), pairs(tree, meta).filter(|(key, _)| *key == "class_name").collect()),
        None => (inner, Vec::new()),
    }
}
