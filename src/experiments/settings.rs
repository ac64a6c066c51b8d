//! A run as a file: a flat JSON object of the fields, as serde would write a [`RunConfig`]. Written and read through the
//! table of fields, so that the page needs no JSON library for it.

use super::{defaults, fields_of, find};
use crate::lab::{ExperimentId, RunConfig, Value};

/// The name of a field in a file: that of the configuration's own field.
fn name(key: &str) -> String {
    key.replace('-', "_")
}

/// The configuration as JSON, one field a line.
#[must_use]
pub fn to_json(config: &RunConfig) -> String {
    let lines: Vec<String> = fields_of(config.experiment)
        .map(|field| {
            let (value, text) = (field.get(config), field.text(config));
            // Ids, words, drawings and images are letters, digits and signs that JSON leaves alone.
            let text = match value {
                Value::Class(_) => text.replace('\\', "\\\\").replace('"', "\\\""),
                _ => text,
            };
            let quote = if matches!(value, Value::Whole(_) | Value::Real(_)) { "" } else { "\"" };
            format!("  \"{}\": {quote}{text}{quote}", name(field.key))
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// Builds a configuration from what `value` knows of each name, a text or a number as text, over the defaults of its
/// experiment. `None` when it knows no field at all; the flag says whether anything had to be corrected.
#[must_use]
pub fn from_values(value: impl Fn(&str) -> Option<String>) -> Option<(RunConfig, bool)> {
    let experiment = value("experiment").and_then(|id| find(&id)).unwrap_or(ExperimentId::Plane);
    let (mut config, mut known, mut corrected) = (defaults(experiment), false, false);
    for field in fields_of(experiment) {
        if let Some(text) = value(&name(field.key)) {
            known = true;
            corrected |= field.set_text(&mut config, &text).is_some();
        }
    }
    known.then_some((config, corrected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetId;
    use crate::lab::{ClassChoice, FIELDS, SolverId};

    fn example() -> RunConfig {
        let mut config = RunConfig {
            dataset: DatasetId::Drawing,
            solver: SolverId::Ddim,
            tolerance: 1e-8,
            seed: u32::MAX,
            image_class: ClassChoice::from_text("a \\ \"cat\" of گربه"),
            ..RunConfig::default()
        };
        config.drawing.push(0.3, -0.7);
        config
    }

    #[test]
    fn a_file_is_what_serde_would_write_and_reads_back() {
        let text = to_json(&example());
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(serde_json::from_str::<RunConfig>(&text).expect("a configuration"), example());
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(FIELDS.len()));
        let value = |name: &str| match &json[name] {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        assert_eq!(from_values(value), Some((example(), false)));
    }

    #[test]
    fn what_a_file_lacks_keeps_its_default_and_what_is_wrong_is_corrected() {
        let one = |name: &str| (name == "steps").then(|| "99999".to_owned());
        assert_eq!(from_values(one), Some((RunConfig { steps: 1000, ..RunConfig::default() }, true)));
        assert_eq!(from_values(|_| None), None);
    }
}
