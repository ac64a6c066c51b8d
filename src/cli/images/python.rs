//! CIFAR-10 as pickled for Python: `cifar-10-batches-py/data_batch_1` and so on, a dictionary of an array of pixels and a
//! list of labels each. Nothing of a pickle is executed.

use super::cifar10::{CHANNELS, SIDE, finish};
use super::store::Store;
use crate::cli::failure::{Failure, Outcome};
use crate::data::ImageSet;
use crate::lab::CIFAR10;
use crate::nn::checkpoint::pickle::{self, Id, Node, Tree};

/// Whether a file has the name of one of the batches.
pub fn is_batch(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "test_batch"
        || name.strip_prefix("data_batch_").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
}

/// Whether a file is CIFAR-100's for Python.
pub fn is_cifar100(path: &str) -> bool {
    path.contains("cifar-100-python/")
}

/// The images of these batches.
///
/// # Errors
/// When one is damaged or something else.
pub fn read(source: &str, store: &Store, names: &[String]) -> Outcome<ImageSet> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let bytes = store.read(name)?;
        let bad = |why: &dyn std::fmt::Display| Failure::input(source, format!("{name}: {why}"));
        let tree = pickle::read(&bytes).map_err(|error| bad(&error))?;
        let (found, classes) = batch(&tree).ok_or_else(|| bad(&"no dictionary of pixels and labels as CIFAR-10's"))?;
        if found.len() != classes.len() * CHANNELS * SIDE * SIDE {
            return Err(bad(&format!("{} labels for {} numbers: it is damaged", classes.len(), found.len())));
        }
        pixels.extend_from_slice(found);
        labels.extend(classes);
    }
    finish(source, SIDE, CHANNELS, pixels, labels, CIFAR10.map(str::to_owned).to_vec())
}

/// Pixels and labels of a batch.
fn batch<'a>(tree: &Tree<'a>) -> Option<(&'a [u8], Vec<u32>)> {
    let Node::Dict(pairs) = tree.node(tree.root)? else { return None };
    let value = |wanted: &str| -> Option<Id> {
        let named = |id: Id| matches!(tree.node(id), Some(Node::Str(key)) if *key == wanted);
        pairs.chunks_exact(2).find(|pair| named(pair[0])).map(|pair| pair[1])
    };
    // An array is rebuilt from a state whose last part is its bytes.
    let Node::Object(Some(state)) = tree.node(value("data")?)? else { return None };
    let Node::Items(parts) = tree.node(*state)? else { return None };
    let pixels = match tree.node(*parts.last()?)? {
        Node::Bytes(bytes) => *bytes,
        Node::Str(text) => text.as_bytes(),
        _ => return None,
    };
    let Node::Items(classes) = tree.node(value("labels")?)? else { return None };
    let class = |id: &Id| match tree.node(*id)? {
        Node::Int(class) => u32::try_from(*class).ok(),
        _ => None,
    };
    Some((pixels, classes.iter().map(class).collect::<Option<Vec<u32>>>()?))
}
