//! Settings as untrusted JSON, one at a time.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::settings::SettingsError;

/// Longest list that is read, and most settings that are named as unread.
const LONGEST_LIST: usize = 16;

/// The settings of a file, and which of them were asked for.
pub(super) struct Reader {
    pub file: &'static str,
    pub settings: Map<String, Value>,
    pub asked: BTreeSet<&'static str>,
}

impl Reader {
    pub fn open(
        file: &'static str,
        json: &str,
        runs: impl Fn(&str) -> bool,
        wanted: &'static str,
    ) -> Result<Self, SettingsError> {
        let settings: Map<String, Value> =
            serde_json::from_str(json).map_err(|error| SettingsError::Json { file, why: error.to_string() })?;
        let class = settings.get("_class_name").and_then(Value::as_str).unwrap_or("thing without _class_name");
        if !runs(class) {
            return Err(SettingsError::Class { file, found: shown(class), wanted });
        }
        Ok(Self { file, settings, asked: BTreeSet::new() })
    }

    /// A setting that is there and not null.
    pub fn get(&mut self, field: &'static str) -> Option<&Value> {
        self.asked.insert(field);
        self.settings.get(field).filter(|value| !value.is_null())
    }

    pub fn refuse(&self, field: &'static str, wanted: &str) -> SettingsError {
        let found = self.settings.get(field).map_or("left out".to_owned(), Value::to_string);
        SettingsError::Field { file: self.file, field, found: shown(&found), wanted: wanted.to_owned() }
    }

    /// A setting of some type, or what diffusers takes when it is left out or null.
    pub fn read<T>(
        &mut self,
        field: &'static str,
        usual: T,
        wanted: &str,
        as_type: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, SettingsError> {
        match self.get(field).map(as_type) {
            None => Ok(usual),
            Some(Some(value)) => Ok(value),
            Some(None) => Err(self.refuse(field, wanted)),
        }
    }

    pub fn number(&mut self, field: &'static str, usual: usize) -> Result<usize, SettingsError> {
        self.read(field, usual, "a whole number", whole)
    }

    pub fn optional(&mut self, field: &'static str) -> Result<Option<usize>, SettingsError> {
        self.read(field, None, "a whole number or null", |value| whole(value).map(Some))
    }

    pub fn real(&mut self, field: &'static str, usual: f64) -> Result<f64, SettingsError> {
        self.read(field, usual, "a number", Value::as_f64)
    }

    pub fn flag(&mut self, field: &'static str, usual: bool) -> Result<bool, SettingsError> {
        self.read(field, usual, "true or false", Value::as_bool)
    }

    pub fn text(&mut self, field: &'static str, usual: &str) -> Result<String, SettingsError> {
        self.read(field, usual.to_owned(), "a text", |value| value.as_str().map(str::to_owned))
    }

    pub fn list<T>(
        &mut self,
        field: &'static str,
        usual: Vec<T>,
        as_type: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, SettingsError> {
        let within = |list: &Vec<Value>| (list.len() <= LONGEST_LIST).then(|| list.iter().map(&as_type).collect())?;
        self.read(field, usual, "a list, one a level", |value| value.as_array().and_then(within))
    }

    /// Refuses a setting that is there and is none of these texts.
    pub fn must(&mut self, field: &'static str, texts: &[&str]) -> Result<(), SettingsError> {
        match self.get(field).map(|value| value.as_str().is_some_and(|text| texts.contains(&text))) {
            Some(false) => Err(self.refuse(field, &texts.join(" or "))),
            _ => Ok(()),
        }
    }

    /// Settings that nobody asked for, but what diffusers notes about the file itself.
    pub fn unread(&self) -> Vec<String> {
        let unread = |field: &&String| !field.starts_with('_') && !self.asked.contains(field.as_str());
        self.settings.keys().filter(unread).take(LONGEST_LIST).map(|field| shown(field)).collect()
    }
}

pub(super) fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
