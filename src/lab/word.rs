//! Names within a run.

use serde::{Deserialize, Serialize};

/// Longest name.
const LONGEST: usize = 64;

/// A name of letters, digits, `.`, `-` and `_` that does not begin with a point: fit for a link and for a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Word(String);

impl Word {
    /// The name in a text; what has no place in one is left out.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let kept: String = text.trim_start_matches('.').chars().filter(fit).take(LONGEST).collect();
        Self(kept.trim_start_matches('.').to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
}
