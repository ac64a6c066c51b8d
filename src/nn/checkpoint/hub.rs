//! Models of the Hugging Face hub: the list of a model's files as the hub's API gives it, which of them are one
//! checkpoint, and where they are.
//!
//! The list is untrusted: only files with plain names in the folders that diffusers uses are ever asked for, and of those
//! whose SHA-256 is known (the large ones) every byte is checked.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::diffusers::{NETWORK_FILE, SCHEDULER_FILE};
use super::published::one_checkpoint;

/// The hub, unless another one or a mirror is named.
pub const HUB: &str = "https://huggingface.co";
/// Longest list of a model's files, in bytes.
pub const LONGEST_LIST: u64 = 4 << 20;
/// Longest file that is fetched.
const LONGEST_FILE: u64 = 1 << 30;
/// Longest file of settings.
const LONGEST_SETTINGS: u64 = 1 << 20;
/// Where a pipeline has its network.
const NETWORK_FOLDER: &str = "unet/";
/// Where a pipeline has its scheduler.
const SCHEDULER_FOLDER: &str = "scheduler/";
/// What diffusers calls the weights of a network.
const WEIGHTS: &str = "diffusion_pytorch_model";
/// How a file begins that Git LFS keeps in the place of a large one.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Why a model of the hub cannot be fetched, or a file is not the one that the list names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HubError {
    /// The API answered something else.
    #[error("the answer is no list of a model's files: {why}")]
    List {
        /// What is wrong with it.
        why: String,
    },
    /// No file is one of weights.
    #[error("none of the model's {count} files is one of weights that can be read: safetensors, bin, ckpt, pth or pt")]
    NoWeights {
        /// How many files there are.
        count: usize,
    },
    /// The list leaves out how long a file is.
    #[error("the list does not say how long {file} is")]
    NoSize {
        /// Its path.
        file: String,
    },
    /// A file is longer than is fetched.
    #[error("{file} has {bytes} bytes, at most {most} are fetched")]
    TooLong {
        /// Its path.
        file: String,
        /// Its length.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Bytes that are not the file's.
    #[error("{file}: the SHA-256 is {found}, not {expected} as the list says")]
    Checksum {
        /// Its path.
        file: String,
        /// The SHA-256 of the list.
        expected: String,
        /// That of what came.
        found: String,
    },
    /// What Git LFS keeps in the place of a file.
    #[error("{file}: a pointer of Git LFS came in the place of the file")]
    Pointer {
        /// Its path.
        file: String,
    },
    /// Fewer bytes than the list says.
    #[error(
        "{file} broke off after {found} of {expected} bytes; what came is kept where there is room, and goes on from there"
    )]
    Short {
        /// Its path.
        file: String,
        /// Bytes that came.
        found: u64,
        /// Bytes of the list.
        expected: u64,
    },
    /// The hub wants to know who asks.
    #[error("{model} is private, is given to members only, or is not there at all: {origin} answered {status}")]
    Closed {
        /// The model.
        model: String,
        /// The hub.
        origin: String,
        /// The status, 401 or 403.
        status: u16,
    },
    /// There is no such model, or no such file.
    #[error("{origin} has no {model}: it answered 404")]
    Absent {
        /// The model.
        model: String,
        /// The hub.
        origin: String,
    },
    /// The hub is asked too often from here.
    #[error("{origin} is asked too often from this network (429): try again in some minutes")]
    Busy {
        /// The hub.
        origin: String,
    },
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubFile {
    /// Its path in the model's repository: a plain name, or one in a plain folder.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, 64 digits in lower case, where the hub tells it.
    pub sha256: Option<String>,
}

/// One checkpoint of a model, as it was found at the hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubModel {
    /// The commit, 40 digits, or a branch where the hub does not tell it.
    pub revision: String,
    /// The licence that its card names, in lower case; empty when it names none.
    pub licence: String,
    /// Settings, then weights.
    pub files: Vec<HubFile>,
}

/// What the API says of a model, as far as it is needed.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(default)]
    sha256: Option<String>,
}

impl HubModel {
    /// The checkpoint in an answer of `api/models/OWNER/NAME?blobs=true`: the weights at the top or in `unet/`, and the
    /// settings beside them.
    ///
    /// # Errors
    /// A [`HubError`] when it is no such answer, or names no weights that can be had.
    pub fn from_answer(json: &str) -> Result<Self, HubError> {
        let answer: Answer = serde_json::from_str(json).map_err(|error| HubError::List { why: error.to_string() })?;
        let find = |path: &str| answer.siblings.iter().find(|sibling| sibling.rfilename == path);
        let mut chosen = Vec::new();
        for folder in ["", NETWORK_FOLDER] {
            let weights = weights_in(folder, &answer.siblings);
            if weights.is_empty() {
                continue;
            }
            let scheduler = find(&format!("{folder}{SCHEDULER_FILE}"))
                .or_else(|| find(&format!("{SCHEDULER_FOLDER}{SCHEDULER_FILE}")));
            let settings = find(&format!("{folder}{NETWORK_FILE}")).into_iter().chain(scheduler);
            chosen = settings.map(|file| (file, LONGEST_SETTINGS)).collect();
            chosen.extend(weights.into_iter().map(|file| (file, LONGEST_FILE)));
            break;
        }
        if chosen.is_empty() {
            return Err(HubError::NoWeights { count: answer.siblings.len() });
        }
        let digits =
            |text: &String, count| text.len() == count && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        let files = chosen.into_iter().map(|(sibling, most)| {
            let file = sibling.rfilename.clone();
            let Some(bytes) = sibling.size else { return Err(HubError::NoSize { file }) };
            if bytes > most {
                return Err(HubError::TooLong { file, bytes, most });
            }
            let sha256 = sibling.lfs.as_ref().and_then(|lfs| lfs.sha256.clone()).filter(|sum| digits(sum, 64));
            Ok(HubFile { path: file, bytes, sha256 })
        });
        let licence = answer.tags.iter().find_map(|tag| tag.strip_prefix("license:"));
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
            revision: answer.sha.filter(|sha| digits(sha, 40)).unwrap_or_else(|| "main".to_owned()),
            licence: licence.unwrap_or_default().chars().filter(|c| !c.is_control()).take(64).collect(),
        })
    }

    /// What [`serde_json`] wrote of a model, if it is one whose files can be asked for.
    #[must_use]
    pub fn from_record(json: &str) -> Option<Self> {
        let model: Self = serde_json::from_str(json).ok()?;
        let plain = model.files.iter().all(|file| file.path.split('/').all(is_plain) && file.bytes <= LONGEST_FILE);
        (plain && !model.files.is_empty()).then_some(model)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl HubFile {
    /// Its name without its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether these are the settings of a network.
    #[must_use]
    pub fn is_network(&self) -> bool {
        self.name() == NETWORK_FILE
    }

    /// Whether this SHA-256 is the file's, where that is known.
    ///
    /// # Errors
    /// [`HubError::Checksum`] when it is another's.
    pub fn check(&self, found: &str) -> Result<(), HubError> {
        match &self.sha256 {
            Some(expected) if expected != found => {
                Err(HubError::Checksum { file: self.path.clone(), expected: expected.clone(), found: found.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with a file of which so many bytes came and no more, and which begins so.
    #[must_use]
    pub fn short(&self, found: u64, start: &[u8]) -> HubError {
        let file = self.path.clone();
        if start.starts_with(POINTER) {
            return HubError::Pointer { file };
        }
        HubError::Short { file, found, expected: self.bytes }
    }

    /// Whether so many bytes of another length begin as a pointer of Git LFS does, which no more bytes will follow.
    #[must_use]
    pub fn is_pointer(start: &[u8]) -> bool {
        start.starts_with(POINTER)
    }
}

/// The files of one checkpoint in a folder: diffusers' own names before others.
fn weights_in<'a>(folder: &str, all: &'a [Sibling]) -> Vec<&'a Sibling> {
    let here: Vec<(&str, &Sibling)> = all
        .iter()
        .filter_map(|sibling| Some((sibling.rfilename.strip_prefix(folder)?, sibling)))
        .filter(|(name, _)| is_plain(name))
        .collect();
    let own: Vec<(&str, &Sibling)> = here.iter().filter(|(name, _)| name.starts_with(WEIGHTS)).copied().collect();
    for some in [own, here] {
        let names: Vec<&str> = some.iter().map(|(name, _)| *name).collect();
        let chosen = one_checkpoint(&names).weights;
        if !chosen.is_empty() {
            return chosen.into_iter().map(|place| some[place].1).collect();
        }
    }
    Vec::new()
}

/// Whether a name is that of a file in its folder and nothing else.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(plain)
}

/// Where the hub lists the files of a model.
#[must_use]
pub fn list_address(origin: &str, model: &str) -> String {
    format!("{}/api/models/{model}?blobs=true", origin.trim_end_matches('/'))
}

/// Where the hub has a file of a model.
#[must_use]
pub fn file_address(origin: &str, model: &str, revision: &str, file: &HubFile) -> String {
    format!("{}/{model}/resolve/{revision}/{}", origin.trim_end_matches('/'), file.path)
}

/// What the status of a refusal means there; nothing for one that means what it means everywhere.
#[must_use]
pub fn refusal(status: u16, origin: &str, model: &str) -> Option<HubError> {
    let (model, origin) = (model.to_owned(), origin.to_owned());
    match status {
        401 | 403 => Some(HubError::Closed { model, origin, status }),
        404 => Some(HubError::Absent { model, origin }),
        429 => Some(HubError::Busy { origin }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer for files of these paths and lengths.
    fn answer(files: &[(&str, u64)]) -> String {
        let siblings: Vec<String> = files
            .iter()
            .map(|(path, bytes)| format!(r#"{{"rfilename": "{path}", "size": {bytes}, "blobId": "x"}}"#))
            .collect();
        format!(r#"{{"id": "a/b", "siblings": [{}]}}"#, siblings.join(", "))
    }

    fn paths(files: &[(&str, u64)]) -> Vec<String> {
        let model = HubModel::from_answer(&answer(files)).expect("a model");
        model.files.into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn the_weights_and_the_settings_beside_them_are_chosen_and_nothing_else() {
        // As google/ddpm-cifar10-32 has them.
        let google = [
            (".gitattributes", 1),
            ("README.md", 1),
            ("config.json", 1),
            ("diffusion_pytorch_model.bin", 3),
            ("diffusion_pytorch_model.safetensors", 3),
            ("images/generated_image_0.png", 1),
            ("model_index.json", 1),
            ("scheduler_config.json", 1),
        ];
        let expected = ["config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors"];
        assert_eq!(paths(&google), expected);
        let pipeline = [
            ("model_index.json", 1),
            ("scheduler/scheduler_config.json", 1),
            ("unet/config.json", 1),
            ("unet/diffusion_pytorch_model.bin", 3),
            ("vqvae/diffusion_pytorch_model.bin", 3),
        ];
        let expected = ["unet/config.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.bin"];
        assert_eq!(paths(&pipeline), expected);
        // What was saved of the training is no network.
        let trained = [("optimizer.bin", 9), ("diffusion_pytorch_model.bin", 3), ("random_states_0.pkl", 1)];
        assert_eq!(paths(&trained), ["diffusion_pytorch_model.bin"]);
        assert_eq!(paths(&[("model.ckpt", 3)]), ["model.ckpt"]);
    }

    #[test]
    fn what_is_no_list_or_leads_elsewhere_is_refused() {
        let refused = |json: &str| HubModel::from_answer(json).expect_err(json);
        for json in ["", "[]", "{}", "<!doctype html>", r#"{"siblings": [{}]}"#] {
            assert!(matches!(refused(json), HubError::List { .. }), "{json}");
        }
        for path in ["../a.safetensors", "unet/../a.bin", "/a.bin", "a b.bin", ".a.bin", "a.bin?x", "unet/x/y.bin"] {
            assert_eq!(refused(&answer(&[(path, 1)])), HubError::NoWeights { count: 1 }, "{path}");
        }
        assert!(matches!(refused(&answer(&[("a.bin", LONGEST_FILE + 1)])), HubError::TooLong { .. }));
        let settings = [("config.json", LONGEST_SETTINGS + 1), ("a.bin", 1)];
        assert!(matches!(refused(&answer(&settings)), HubError::TooLong { .. }));
        assert!(matches!(refused(r#"{"siblings": [{"rfilename": "a.bin"}]}"#), HubError::NoSize { .. }));
        let record = |path: &str| {
            format!(r#"{{"revision": "main", "licence": "", "files": [{{"path": "{path}", "bytes": 1}}]}}"#)
        };
        assert!(HubModel::from_record(&record("unet/a.bin")).is_some());
        assert!(HubModel::from_record(&record("../a.bin")).is_none());
    }

    #[test]
    fn commit_licence_and_checksums_are_taken_where_they_are_what_they_should_be() {
        let (sum, commit) = ("0123456789abcdef".repeat(4), "0123456789".repeat(4));
        let json = |sum: &str, commit: &str| {
            format!(
                r#"{{"sha": "{commit}", "tags": ["arxiv:2006.11239", "license:apache-2.0"], "siblings": [
                    {{"rfilename": "a.bin", "size": 7, "lfs": {{"sha256": "{sum}", "size": 7, "pointerSize": 130}}}}]}}"#
            )
        };
        let model = HubModel::from_answer(&json(&sum, &commit)).expect("a model");
        assert_eq!((model.revision.as_str(), model.licence.as_str(), model.bytes()), (&commit[..], "apache-2.0", 7));
        let file = &model.files[0];
        assert_eq!((file.check(&sum), file.sha256.as_deref()), (Ok(()), Some(&sum[..])));
        assert!(matches!(file.check("0"), Err(HubError::Checksum { .. })));
        let address = file_address("https://hub/", "a/b", &model.revision, file);
        assert_eq!(address, format!("https://hub/a/b/resolve/{commit}/a.bin"));
        let again = HubModel::from_record(&serde_json::to_string(&model).expect("JSON"));
        assert_eq!(again, Some(model));
        let model = HubModel::from_answer(&json("../../x", "refs/pr/1?x")).expect("a model");
        assert_eq!((model.revision.as_str(), &model.files[0].sha256), ("main", &None));
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
        assert!(matches!(model.files[0].short(57, pointer), HubError::Pointer { .. }));
        assert!(matches!(model.files[0].short(5, b"12345"), HubError::Short { found: 5, expected: 7, .. }));
    }
}
