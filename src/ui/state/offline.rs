//! What is known of the copy of the page for visits without a network.

/// What there is of the copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfflineCopy {
    /// Browsers have none for pages that are not encrypted, nor in every mode.
    #[default]
    Unavailable,
    /// None, as the visitor wants it.
    Unwanted,
    /// Being fetched.
    Awaited,
    /// All of it is there.
    There,
    /// That of a newer build is there, and the page is of the older one.
    Newer,
}

impl OfflineCopy {
    /// Value of `data-state`, and end of the key of its text.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Unwanted => "unwanted",
            Self::Awaited => "awaited",
            Self::There => "there",
            Self::Newer => "newer",
        }
    }
}
