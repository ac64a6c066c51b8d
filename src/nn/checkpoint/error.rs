//! Why a file of weights cannot be used.

use thiserror::Error;

use super::diffusers::SettingsError;
use crate::nn::unet::ConfigError;

/// Why a file of weights cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CheckpointError {
    /// Neither safetensors nor anything that torch saves.
    #[error(
        "not a file of weights: {length} bytes that begin with {start:02x?}; safetensors, torch and flax files are read"
    )]
    NotWeights {
        /// Length of the file.
        length: usize,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// The container is damaged, cut short, or uses what is not read.
    #[error("damaged or unsupported {what}: {detail}")]
    Container {
        /// What it looked like.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The pickle is damaged or uses what weights do not need.
    #[error("damaged or unsupported pickle, byte {at}: {detail}")]
    Pickle {
        /// Where in the pickle.
        at: usize,
        /// What is wrong.
        detail: String,
    },
    /// The pickle holds no tensors, but what something other than tensors and dictionaries would make. Nothing of it was
    /// executed.
    #[error("the file holds no tensors and asks for `{what}`, which is not part of any weights; nothing was executed")]
    Refused {
        /// Module and name.
        what: String,
    },
    /// More than is looked at.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The same name twice, in one file or in two shards.
    #[error("tensor {tensor} is there twice")]
    Duplicate {
        /// Its name.
        tensor: String,
    },
    /// The numbers of a tensor are not in the file.
    #[error("tensor {tensor}: it needs {needs} numbers, the file has {has} for it")]
    Extent {
        /// Its name.
        tensor: String,
        /// How many it needs.
        needs: usize,
        /// How many are there.
        has: usize,
    },
    /// A kind of number that is not read.
    #[error("tensor {tensor}: numbers of kind {found} are not read")]
    Kind {
        /// Its name.
        tensor: String,
        /// The kind.
        found: String,
    },
    /// No layout of names that is known.
    #[error("unknown network: {count} tensors such as {examples:?}{}", asks_for(.foreign))]
    Unknown {
        /// How many tensors there are.
        count: usize,
        /// A few names.
        examples: Vec<String>,
        /// Names of what else the file asks for.
        foreign: Vec<String>,
    },
    /// A preconditioning around the network that is not known.
    #[error("the network is in a {class}, which does not run here: EDMPrecond, VEPrecond and VPPrecond do")]
    Preconditioning {
        /// The name of its class.
        class: String,
    },
    /// A tensor that the network needs is not there.
    #[error("tensor {tensor} is missing")]
    Missing {
        /// Its name in the file's own layout.
        tensor: String,
    },
    /// A tensor that the network has no use for: it is another network.
    #[error("tensor {tensor} has no place in the network that the other tensors describe")]
    Unexpected {
        /// Its name.
        tensor: String,
    },
    /// A tensor has another shape.
    #[error("tensor {tensor}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// Its name.
        tensor: String,
        /// What the network needs.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// Several tensors differ from what the network needs, in its order.
    #[error("{}", several(.0))]
    Several(Vec<CheckpointError>),
    /// A tensor holds infinities or what is not a number.
    #[error("tensor {tensor} holds numbers that are not finite")]
    NotFinite {
        /// Its name.
        tensor: String,
    },
    /// The weights do not fit into memory.
    #[error("its weights need {megabytes} MB, and there is no room for them")]
    NoRoom {
        /// About how much.
        megabytes: u64,
    },
    /// Settings beside the weights cannot be obeyed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no network of this shape.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

fn asks_for(foreign: &[String]) -> String {
    let asked = foreign.join(", ");
    if asked.is_empty() { asked } else { format!("; it also asks for {asked}: nothing was executed") }
}

/// The first differences, and how many there are.
fn several(differences: &[CheckpointError]) -> String {
    let first: Vec<String> = differences.iter().take(3).map(ToString::to_string).collect();
    format!("{} differences: {}", differences.len(), first.join("; "))
}
