//! Why a command ended without its result: one clear line, and an exit code that a script can tell apart.

use std::fmt::Display;
use std::process::ExitCode;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something else: a run that diverged, a disk that is full.
    Other = 1,
    /// The command line asks for what cannot be. What clap itself finds wrong ends with the same code.
    Usage = 2,
    /// A file or an address cannot be read, or holds something else than it should.
    Input = 3,
    /// The device is not there, or stopped answering.
    Device = 4,
    /// Ctrl-C, after everything was put away.
    Interrupted = 130,
}

/// Why a command ended without its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub kind: Kind,
    /// One line about it.
    pub message: String,
}

/// A result of a command or a part of one.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Display) -> Self {
        // Messages of others may have several lines; ours is one.
        let message = message.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Self { kind, message }
    }

    /// The command line asks for what cannot be.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Something that was read is not what it should be.
    pub fn input(what: impl Display, why: impl Display) -> Self {
        Self::new(Kind::Input, format!("{what}: {why}"))
    }

    /// Something else.
    pub fn other(message: impl Display) -> Self {
        Self::new(Kind::Other, message)
    }

    /// The device.
    pub fn device(message: impl Display) -> Self {
        Self::new(Kind::Device, message)
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}
