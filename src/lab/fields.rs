//! The table of fields: for every field of a run its key in a link, its range, and how to read and write it.
//!
//! Links, the page's controls, the configuration file and the property tests all go through this table, so that a
//! range is stated once.

use super::choices::{
    Activation, ArrangementId, ClassId, ClipId, ControlId, DenoiserId, DeviceChoice, DivergenceId, PrecisionId,
    PredictionId, ScheduleId, SolverId, SpacingId, TaskId, WeightingId,
};
use super::config::RunConfig;
use super::experiment::ExperimentId;
use super::value::{Correction, Kind, Setting, Value};
use super::word::Word;
use crate::data::{DatasetId, Drawing};
use crate::decimal::real;

/// One field of a [`RunConfig`].
pub struct Field {
    /// Key in links and configuration files, id of the page's control, and stem of its texts in the locale files.
    pub key: &'static str,
    /// Range.
    pub kind: Kind,
    place: Place,
}

/// Where a field's value is kept.
enum Place {
    /// In a field of its own.
    Own { get: fn(&RunConfig) -> Value, set: fn(&mut RunConfig, Value) },
    /// In [`RunConfig::study`], when it is not this one.
    Study(Preset),
}

/// What a setting of a study is when nobody has changed it.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// The id of a choice.
    Choice(&'static str),
    /// A whole number.
    Whole(u32),
    /// A number.
    Real(f64),
}

impl From<Preset> for Value {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Choice(id) => Self::Choice(id),
            Preset::Whole(value) => Self::Whole(value),
            Preset::Real(value) => Self::Real(value),
        }
    }
}

impl Field {
    /// A setting of a study.
    #[must_use]
    pub const fn of_study(key: &'static str, kind: Kind, preset: Preset) -> Self {
        Self { key, kind, place: Place::Study(preset) }
    }

    /// Reads the field.
    #[must_use]
    pub fn get(&self, config: &RunConfig) -> Value {
        let preset = match &self.place {
            Place::Own { get, .. } => return get(config),
            Place::Study(preset) => preset,
        };
        let kept = config.study.get(self.key).and_then(|text| self.kind.read(text));
        kept.and_then(|value| self.kind.fit(value).0).unwrap_or_else(|| (*preset).into())
    }

    /// The field in the type that a structure of settings has for its kind.
    #[must_use]
    pub fn read<T: Setting>(&self, config: &RunConfig) -> T {
        T::from_value(self.get(config)).unwrap_or_else(|| unreachable!("a field of this kind is held in this type"))
    }

    /// Writes the field if `value` is of its kind, moved into range. Says what had to be corrected.
    pub fn set(&self, config: &mut RunConfig, value: Value) -> Option<Correction> {
        let (value, correction) = self.kind.fit(value);
        let Some(value) = value else { return correction };
        match &self.place {
            Place::Own { set, .. } => set(config, value),
            Place::Study(_) => {
                config.study.forget(self.key);
                // Only what differs from the preset is kept, so that equal runs are equal configurations.
                if self.get(config) != value {
                    config.study.keep(self.key, value.text());
                }
            }
        }
        correction
    }

    /// Reads `text`, as it stands in a link or an input, and writes the field. Says what had to be corrected.
    pub fn set_text(&self, config: &mut RunConfig, text: &str) -> Option<Correction> {
        let text = text.trim();
        if self.kind == Kind::Drawing {
            let (drawing, damaged) = Drawing::from_text(text);
            self.set(config, Value::Drawing(drawing));
            return damaged.then_some(Correction::Trimmed);
        }
        let Some(value) = self.kind.read(text) else { return Some(Correction::Unreadable) };
        if let Value::Word(word) = &value {
            let damaged = word.as_str() != text;
            self.set(config, value);
            return damaged.then_some(Correction::Trimmed);
        }
        let negative = matches!(self.kind, Kind::Whole { .. }) && text.starts_with('-') && real(text) != Some(0.0);
        let correction = self.set(config, value);
        if negative && correction.is_none() { Some(Correction::Clamped) } else { correction }
    }

    /// The field's value as it stands in a link or an input; [`Self::set_text`] reads it back exactly.
    #[must_use]
    pub fn text(&self, config: &RunConfig) -> String {
        self.get(config).text()
    }
}

macro_rules! choice {
    ($key:literal, $field:ident, $type:ty) => {
        Field {
            key: $key,
            kind: Kind::Choice(<$type>::IDS),
            place: Place::Own {
                get: |c| Value::Choice(c.$field.id()),
                set: |c, v| {
                    if let Value::Choice(id) = v
                        && let Some(choice) = <$type>::from_id(id)
                    {
                        c.$field = choice;
                    }
                },
            },
        }
    };
}

macro_rules! whole {
    ($key:literal, $field:ident, $min:expr, $max:expr) => {
        Field {
            key: $key,
            kind: Kind::Whole { min: $min, max: $max },
            place: Place::Own {
                get: |c| Value::Whole(c.$field),
                set: |c, v| {
                    if let Value::Whole(v) = v {
                        c.$field = v;
                    }
                },
            },
        }
    };
}

macro_rules! real {
    ($key:literal, $field:ident, $min:expr, $max:expr, $logarithmic:expr) => {
        Field {
            key: $key,
            kind: Kind::Real { min: $min, max: $max, logarithmic: $logarithmic },
            place: Place::Own {
                get: |c| Value::Real(c.$field),
                set: |c, v| {
                    if let Value::Real(v) = v {
                        c.$field = v;
                    }
                },
            },
        }
    };
}

/// Every field of [`RunConfig`], in the order of the page and of links.
pub const FIELDS: &[Field] = &[
    Field {
        key: "experiment",
        kind: Kind::Word,
        place: Place::Own {
            get: |c| Value::Word(Word::new(c.experiment.id())),
            set: |c, v| {
                if let Value::Word(word) = v
                    && let Some(experiment) = ExperimentId::named(word.as_str())
                {
                    c.experiment = experiment;
                }
            },
        },
    },
    choice!("dataset", dataset, DatasetId),
    Field {
        key: "drawing",
        kind: Kind::Drawing,
        place: Place::Own {
            get: |c| Value::Drawing(c.drawing.clone()),
            set: |c, v| {
                if let Value::Drawing(drawing) = v {
                    c.drawing = drawing;
                }
            },
        },
    },
    choice!("denoiser", denoiser, DenoiserId),
    whole!("width", width, 8, 512),
    whole!("depth", depth, 1, 8),
    choice!("activation", activation, Activation),
    choice!("prediction", prediction, PredictionId),
    whole!("training-steps", training_steps, 1, 100_000),
    whole!("batch", batch, 1, 8192),
    real!("rate", rate, 1e-6, 0.1, true),
    real!("ema", ema, 0.0, 0.9999, false),
    choice!("weighting", weighting, WeightingId),
    choice!("schedule", schedule, ScheduleId),
    real!("beta-min", beta_min, 0.0001, 1.0, true),
    real!("beta-max", beta_max, 1.0, 50.0, false),
    real!("sigma-min", sigma_min, 0.001, 0.5, true),
    real!("sigma-max", sigma_max, 1.0, 100.0, true),
    whole!("levels", levels, 2, 1000),
    choice!("solver", solver, SolverId),
    whole!("steps", steps, 1, 1000),
    choice!("spacing", spacing, SpacingId),
    real!("eta", eta, 0.0, 1.0, false),
    real!("churn", churn, 0.0, 100.0, false),
    real!("snr", snr, 0.01, 1.0, true),
    whole!("corrections", corrections, 1, 100),
    real!("tolerance", tolerance, 1e-8, 0.1, true),
    whole!("samples", samples, 1, 20_000),
    choice!("control", control, ControlId),
    real!("observe-angle", observe_angle, 0.0, 180.0, false),
    real!("observe-value", observe_value, -12.0, 12.0, false),
    real!("observe-noise", observe_noise, 0.0, 5.0, false),
    whole!("jump", jump, 1, 100),
    whole!("resamples", resamples, 1, 20),
    whole!("class", class, 1, 25),
    real!("guidance", guidance, 0.0, 10.0, false),
    real!("guidance-from", guidance_from, 0.001, 1000.0, true),
    real!("guidance-to", guidance_to, 0.001, 1000.0, true),
    choice!("divergence", divergence, DivergenceId),
    whole!("probes", probes, 1, 32),
    whole!("points", points, 1, 5000),
    real!("flow-tolerance", flow_tolerance, 1e-6, 0.1, true),
    Field {
        key: "weights",
        kind: Kind::Word,
        place: Place::Own {
            get: |c| Value::Word(c.weights.clone()),
            set: |c, v| {
                if let Value::Word(word) = v {
                    c.weights = word;
                }
            },
        },
    },
    choice!("task", task, TaskId),
    Field {
        key: "picture",
        kind: Kind::Picture,
        place: Place::Own {
            get: |c| Value::Picture(c.picture.clone()),
            set: |c, v| {
                if let Value::Picture(picture) = v {
                    c.picture = picture;
                }
            },
        },
    },
    whole!("images", images, 1, 64),
    choice!("image-class", image_class, ClassId),
    choice!("clip", clip, ClipId),
    choice!("arrangement", arrangement, ArrangementId),
    real!("variation", variation, 0.0, 1.0, false),
    whole!("seed-to", seed_to, 0, u32::MAX),
    whole!("seed", seed, 0, u32::MAX),
    choice!("device", device, DeviceChoice),
    choice!("precision", precision, PrecisionId),
];

/// The field with this key, of those that every experiment has.
#[must_use]
pub fn field(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_range_and_survives_its_text() {
        let config = RunConfig::default();
        for field in FIELDS {
            let mut copy = config.clone();
            assert_eq!(field.set_text(&mut copy, &field.text(&config)), None, "{}", field.key);
            assert_eq!(copy, config, "{}", field.key);
        }
    }

    #[test]
    fn keys_are_unique_and_every_configuration_field_has_one() {
        // A study's settings are no field: each of them has one.
        let json = serde_json::to_value(RunConfig::default()).expect("a configuration is JSON");
        let names: Vec<String> =
            json.as_object().expect("an object").keys().map(|k| k.replace('_', "-")).filter(|k| k != "study").collect();
        let keys: Vec<&str> = FIELDS.iter().map(|f| f.key).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.iter().all(|n| keys.contains(&n.as_str())), "{names:?}");
    }

    #[test]
    fn numbers_out_of_range_move_to_the_nearest_end() {
        let mut config = RunConfig::default();
        let steps = field("steps").expect("steps");
        for (text, expected, correction) in [
            ("5000", 1000, Some(Correction::Clamped)),
            ("0", 1, Some(Correction::Clamped)),
            ("-3", 1, Some(Correction::Clamped)),
            ("1e300", 1000, Some(Correction::Clamped)),
            ("1e2", 100, None),
            ("nonsense", 100, Some(Correction::Unreadable)),
            ("NaN", 100, Some(Correction::Unreadable)),
        ] {
            assert_eq!(steps.set_text(&mut config, text), correction, "{text}");
            assert_eq!(config.steps, expected, "{text}");
        }
        let seed = field("seed").expect("seed");
        assert_eq!(seed.set_text(&mut config, "-1"), Some(Correction::Clamped));
        assert_eq!(config.seed, 0);
        let rate = field("rate").expect("rate");
        assert_eq!(rate.set_text(&mut config, "inf"), Some(Correction::Clamped));
        assert_eq!(config.rate, 0.1);
    }
}
