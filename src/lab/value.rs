//! Values of settings: what kinds there are, their ranges, and the types of Rust that hold them.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::classes::ClassChoice;
use super::experiment::ExperimentId;
use super::picture::Picture;
use super::word::Word;
use crate::choice::Choice;
use crate::data::{Drawing, Gaussians};
use crate::decimal::{real, shortest};
use crate::lasting::Reader;

/// What values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Kind {
    /// One of these ids.
    Choice(&'static [&'static str]),
    /// A whole number from `min` to `max`.
    Whole {
        /// Smallest value.
        min: u32,
        /// Largest value.
        max: u32,
    },
    /// A number from `min` to `max`.
    Real {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Whether a slider should move on a logarithmic scale.
        logarithmic: bool,
    },
    /// The visitor's drawing.
    Drawing,
    /// The visitor's Gaussians.
    Gaussians,
    /// A name of letters, digits, `.`, `-` and `_`, or a model of the hub.
    Word,
    /// A known image.
    Picture,
    /// A class of images, by its name.
    Class,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The id of a choice.
    Choice(&'static str),
    /// A whole number.
    Whole(u32),
    /// A number.
    Real(f64),
    /// A drawing.
    Drawing(Drawing),
    /// A mixture.
    Gaussians(Gaussians),
    /// A name.
    Word(Word),
    /// An image.
    Picture(Picture),
    /// A class of images.
    Class(ClassChoice),
}

/// What a setting of a study is when nobody has changed it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Preset {
    /// The id of a choice.
    Choice(&'static str),
    /// A whole number.
    Whole(u32),
    /// A number.
    Real(f64),
}

impl Preset {
    /// The preset in a table, as serde writes it.
    pub(super) fn from_table(from: &mut Reader) -> Self {
        match from.whole() {
            0 => Self::Choice(from.text()),
            1 => Self::Whole(from.whole()),
            _ => Self::Real(from.real()),
        }
    }
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

/// What had to be done to a value to make it fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// It was out of range and moved to the nearest end.
    Clamped,
    /// It could not be read at all; the field keeps what it had.
    Unreadable,
    /// Part of it was damaged and left out.
    Trimmed,
}

impl Kind {
    /// Whole numbers.
    #[must_use]
    pub const fn whole(range: RangeInclusive<u32>) -> Self {
        Self::Whole { min: *range.start(), max: *range.end() }
    }

    /// Real numbers, with an even or a logarithmic slider.
    #[must_use]
    pub const fn real(range: RangeInclusive<f64>, logarithmic: bool) -> Self {
        Self::Real { min: *range.start(), max: *range.end(), logarithmic }
    }

    /// The kind in a table, as serde writes it: only choices and numbers are in one.
    pub(super) fn from_table(from: &mut Reader) -> Self {
        match from.whole() {
            0 => Self::Choice(from.slice(Reader::text)),
            1 => Self::Whole { min: from.whole(), max: from.whole() },
            2 => Self::Real { min: from.real(), max: from.real(), logarithmic: from.byte() == 1 },
            _ => {
                from.fail();
                Self::Word
            }
        }
    }

    /// The value moved into range, and what had to be corrected; nothing if it is of another kind.
    pub(super) fn fit(self, value: Value) -> (Option<Value>, Option<Correction>) {
        match (self, value) {
            (Self::Choice(ids), Value::Choice(id)) => match ids.iter().find(|&&known| known == id) {
                Some(known) => (Some(Value::Choice(known)), None),
                None => (None, Some(Correction::Unreadable)),
            },
            (Self::Whole { min, max }, Value::Whole(v)) => {
                (Some(Value::Whole(v.clamp(min, max))), (v < min || v > max).then_some(Correction::Clamped))
            }
            (Self::Real { min, max, .. }, Value::Real(v)) if !v.is_nan() => {
                // `clamp` would bring what writes numbers into the page, for the message of its panic.
                (Some(Value::Real(v.max(min).min(max))), (v < min || v > max).then_some(Correction::Clamped))
            }
            (Self::Drawing, value @ Value::Drawing(_))
            | (Self::Gaussians, value @ Value::Gaussians(_))
            | (Self::Word, value @ Value::Word(_))
            | (Self::Picture, value @ Value::Picture(_))
            | (Self::Class, value @ Value::Class(_)) => (Some(value), None),
            _ => (None, Some(Correction::Unreadable)),
        }
    }

    /// A choice or a number as it stands in a link or an input, not yet moved into range.
    pub(super) fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Choice(ids) => ids.iter().find(|&&id| id == text).map(|id| Value::Choice(id)),
            // Through f64, so that "1e3", "20.0" and numbers beyond u32 are understood rather than refused.
            Self::Whole { .. } => typed(text).filter(|v| !v.is_nan()).map(|v| Value::Whole(v.round() as u32)),
            Self::Real { .. } => typed(text).map(Value::Real),
            Self::Word => Word::read(text).map(Value::Word),
            Self::Picture => Picture::from_text(text).map(Value::Picture),
            Self::Class => Some(Value::Class(ClassChoice::from_text(text))),
            Self::Drawing | Self::Gaussians => None,
        }
    }
}

/// A number as people type it: with the digits of Persian or Arabic, and a comma or their mark before the decimals.
fn typed(text: &str) -> Option<f64> {
    let plain = |c: char| match c {
        '۰'..='۹' => char::from_digit(c as u32 - '۰' as u32, 10),
        '٠'..='٩' => char::from_digit(c as u32 - '٠' as u32, 10),
        ',' | '٫' => Some('.'),
        '−' => Some('-'),
        // What parts thousands, and marks of direction.
        '٬' | ' ' | '\u{a0}' | '\u{202f}' | '\u{200e}' | '\u{200f}' => None,
        other => Some(other),
    };
    real(&text.chars().filter_map(plain).collect::<String>())
}

impl Value {
    /// The value as it stands in a link, a file or an input.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Choice(id) => (*id).to_owned(),
            Self::Whole(v) => v.to_string(),
            Self::Real(v) => shortest(*v),
            Self::Drawing(drawing) => drawing.to_text(),
            Self::Gaussians(gaussians) => gaussians.to_text(),
            Self::Word(word) => word.as_str().to_owned(),
            Self::Picture(picture) => picture.to_text(),
            Self::Class(class) => class.text().to_owned(),
        }
    }
}

/// A type that a setting has in a structure of settings.
pub trait Setting: Sized {
    /// The setting of a value; `None` for a value of another kind.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! held {
    ($($type:ty: $kind:ident,)+) => {
        $(
            impl Setting for $type {
                fn from_value(value: Value) -> Option<Self> {
                    if let Value::$kind(value) = value { Some(value) } else { None }
                }
            }

            impl From<&$type> for Value {
                fn from(value: &$type) -> Self {
                    Self::$kind(value.to_owned())
                }
            }
        )+
    };
}

held! {
    u32: Whole,
    f64: Real,
    Drawing: Drawing,
    Gaussians: Gaussians,
    Word: Word,
    Picture: Picture,
    ClassChoice: Class,
}

impl Setting for usize {
    fn from_value(value: Value) -> Option<Self> {
        u32::from_value(value).map(|value| value as Self)
    }
}

impl<T: Choice> Setting for T {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Choice(id) = value { T::from_id(id) } else { None }
    }
}

impl<T: Choice> From<&T> for Value {
    fn from(choice: &T) -> Self {
        Self::Choice(choice.id())
    }
}

impl Setting for ExperimentId {
    fn from_value(value: Value) -> Option<Self> {
        Word::from_value(value).and_then(|word| Self::named(word.as_str()))
    }
}

impl From<&ExperimentId> for Value {
    fn from(experiment: &ExperimentId) -> Self {
        Self::Word(Word::new(experiment.id()))
    }
}
