//! The two halves that data sets are published in.

/// Which half of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// What networks are trained on.
    Train,
    /// What they never saw.
    Test,
}

impl Half {
    /// What it is called, before "half".
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Test => "test",
        }
    }
}
