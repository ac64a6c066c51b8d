//! What is set differently from its preset in a study, by key.

use serde::{Deserialize, Serialize};

/// Texts by key, sorted by key, as they stand in a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(Vec<(String, String)>);

impl Overrides {
    /// Whether everything is as the study presets it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text kept under this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, text)| text.as_str())
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.0.retain(|(known, _)| known != key);
    }

    pub(super) fn keep(&mut self, key: &str, text: String) {
        self.forget(key);
        let place = self.0.partition_point(|(known, _)| known.as_str() < key);
        self.0.insert(place, (key.to_owned(), text));
    }
}
