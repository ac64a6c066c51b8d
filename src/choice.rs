//! Enumerations whose variants have stable ids: option values of the page, words in a link, text in a file.

use serde::de::{Error, Unexpected, Visitor};

/// Visitor that finds an id among those of a choice. One for all of them: derived ones would be a tenth of the page's
/// code.
pub(crate) struct IdVisitor(pub(crate) &'static [&'static str]);

impl Visitor<'_> for IdVisitor {
    type Value = usize;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "one of {}", self.0.join(", "))
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<usize, E> {
        let place = self.0.iter().position(|&known| known == id);
        place.ok_or_else(|| E::invalid_value(Unexpected::Str(id), &self))
    }
}

/// An enumeration whose variants have ids.
pub trait Choice: Copy + 'static {
    /// The variants, in the order of the page's menu.
    const ALL: &'static [Self];
    /// Their ids.
    const IDS: &'static [&'static str];

    /// The stable id: option value and word in a link.
    fn id(self) -> &'static str;

    /// The choice with this id.
    #[must_use]
    fn from_id(id: &str) -> Option<Self> {
        Self::IDS.iter().position(|&known| known == id).map(|place| Self::ALL[place])
    }
}

/// Declares a fieldless enum whose variants have ids: a [`Choice`].
macro_rules! named_variants {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $id:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// The ids of all choices, in the order of the page's menu.
            pub const IDS: &'static [&'static str] = &[$($id,)+];

            /// The stable id: option value and word in a link.
            #[must_use]
            pub const fn id(self) -> &'static str {
                Self::IDS[self as usize]
            }
        }

        impl $crate::choice::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            const IDS: &'static [&'static str] = $name::IDS;

            fn id(self) -> &'static str {
                $name::id(self)
            }
        }
    };
}
pub(crate) use named_variants;

/// Declares a [`Choice`] with `ALL`, `from_id` and serde by id.
macro_rules! choices {
    ($(#[$meta:meta])* $name:ident { $($variants:tt)+ }) => {
        $crate::choice::named_variants! { $(#[$meta])* $name { $($variants)+ } }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.id())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::choice::IdVisitor(Self::IDS)).map(|place| Self::ALL[place])
            }
        }

        impl $name {
            /// Every choice, in the order of the page's menu.
            pub const ALL: &'static [$name] = <$name as $crate::choice::Choice>::ALL;

            /// The choice with this id.
            #[must_use]
            pub fn from_id(id: &str) -> Option<Self> {
                $crate::choice::Choice::from_id(id)
            }
        }
    };
}
pub(crate) use choices;
