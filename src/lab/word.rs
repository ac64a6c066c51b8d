//! Names within a run.

use serde::{Deserialize, Serialize};

/// Longest name.
const LONGEST: usize = 64;
/// Longest name of a model: the hub allows less.
const LONGEST_MODEL: usize = 200;
/// What stands before the name of a model of the hub.
pub const HUB: &str = "hub:";

/// A name of letters, digits, `.`, `-` and `_` that does not begin with a point: fit for a link and for a folder. Or
/// `hub:owner/name`, a model of the Hugging Face hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Word(String);

impl Word {
    /// The name in a text; what has no place in one is left out.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.strip_prefix(HUB).is_some_and(is_model) {
            return Self(text.to_owned());
        }
        let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let kept: String = text.trim_start_matches('.').chars().filter(fit).take(LONGEST).collect();
        Self(kept.trim_start_matches('.').to_owned())
    }

    /// The name in a text; `None` for what stands in the place of a model's name and is none: cut to a name it would be
    /// another's.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let word = Self::new(text);
        (!text.starts_with(HUB) || word.hub().is_some()).then_some(word)
    }

    /// Whether a text is such a name as it stands, and fit for a folder.
    #[must_use]
    pub fn is_folder(text: &str) -> bool {
        let word = Self::new(text);
        !text.is_empty() && word.0 == text && word.hub().is_none()
    }

    /// The model of the hub that this names, `owner/name`.
    #[must_use]
    pub fn hub(&self) -> Option<&str> {
        self.0.strip_prefix(HUB)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text names a model as the hub allows: `owner/name`, of letters, digits, `.`, `-` and `_`, neither part with
/// `.` or `-` at an end or two of them in a row.
fn is_model(text: &str) -> bool {
    let joins = |byte: u8| matches!(byte, b'.' | b'-' | b'/');
    let (mut slashes, mut before) = (0, b'/');
    for byte in text.bytes().chain([b'/']) {
        let together = joins(byte) && joins(before) && (byte == before || byte == b'/' || before == b'/');
        if together || !(joins(byte) || byte == b'_' || byte.is_ascii_alphanumeric()) {
            return false;
        }
        slashes += u32::from(byte == b'/');
        before = byte;
    }
    // The last one was put there.
    slashes == 2 && text.len() <= LONGEST_MODEL
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_nothing_that_leads_elsewhere() {
        assert_eq!(Word::new("preview-32_b.1").as_str(), "preview-32_b.1");
        assert_eq!(Word::new("../../etc/passwd").as_str(), "etcpasswd");
        assert_eq!(Word::new("/.hidden?x=1").as_str(), "hiddenx1");
        assert_eq!(Word::new(&"a".repeat(100)).as_str().len(), LONGEST);
    }

    #[test]
    fn models_of_the_hub_are_named_as_the_hub_allows_and_are_no_folders() {
        for model in ["google/ddpm-cifar10-32", "a/b", "A_1/x.y_z"] {
            let text = format!("{HUB}{model}");
            assert_eq!(Word::read(&text).as_ref().and_then(Word::hub), Some(model));
            assert!(!Word::is_folder(&text));
        }
        let long = format!("{}/b", "a".repeat(LONGEST_MODEL));
        for model in [
            "", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/.b", "a/b.", "-a/b", "a/b--c", "a/b?x", "a/b c", "ä/b",
            &long,
        ] {
            let text = format!("{HUB}{model}");
            assert_eq!(Word::read(&text), None, "{model}");
            assert_eq!(Word::new(&text).hub(), None, "{model}");
        }
        assert!(Word::is_folder("preview-32") && !Word::is_folder("") && !Word::is_folder("a/b"));
        assert_eq!(Word::new("own").hub(), None);
    }
}
