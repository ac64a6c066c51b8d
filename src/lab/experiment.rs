//! The experiment that a run belongs to, by name.

use serde::{Deserialize, Serialize};

use super::word::Word;

/// Longest name of a study.
const LONGEST: usize = 24;

/// Name of a study: letters, digits, `.`, `-` and `_`, at most 24. Which names there are is for the table of studies to
/// say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StudyName {
    letters: [u8; LONGEST],
    length: u8,
}

impl StudyName {
    /// The name in a text, if it is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut letters = [0; LONGEST];
        if text.len() > LONGEST || !Word::is_folder(text) {
            return None;
        }
        letters[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { letters, length: text.len() as u8 })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only letters of ASCII got in.
        std::str::from_utf8(&self.letters[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// Which experiment a run belongs to: one with a stage of its own, or a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExperimentId {
    /// A diffusion model of points in the plane.
    Plane,
    /// Images by a U-Net.
    Images,
    /// The study of this name.
    Study(StudyName),
}

impl ExperimentId {
    /// The experiments with a stage of their own, in the order of the page's menu.
    pub const STAGED: [Self; 2] = [Self::Plane, Self::Images];

    /// The stable id: option value and word in a link.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Plane => "plane",
            Self::Images => "images",
            Self::Study(name) => name.as_str(),
        }
    }

    /// The experiment of this name, known or not; `None` for what cannot be a name.
    #[must_use]
    pub fn named(id: &str) -> Option<Self> {
        let staged = Self::STAGED.into_iter().find(|known| known.id() == id);
        staged.or_else(|| StudyName::new(id).map(Self::Study))
    }
}

impl Serialize for ExperimentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for ExperimentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::named(&id).ok_or_else(|| serde::de::Error::custom("not the name of an experiment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_text_and_what_is_no_name_is_refused() {
        for name in ["plane", "images", "score-1d", "a23456789012345678901234"] {
            let id = ExperimentId::named(name).expect("a name");
            assert_eq!(id.id(), name);
            assert_eq!(serde_json::from_value::<ExperimentId>(serde_json::to_value(id).expect("JSON")).ok(), Some(id));
        }
        for text in ["", "../x", "a b", "a234567890123456789012345", "ü"] {
            assert_eq!(ExperimentId::named(text), None, "{text}");
        }
    }
}
