//! The end of a run, decided on late: from where it is the learning rate falls to 0, and then the run is over.

use std::num::{ParseFloatError, ParseIntError};
use std::str::FromStr;

use thiserror::Error;

/// The end of a run: a linear fall of the learning rate to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    /// The step from which it falls.
    pub from: u32,
    /// Over so many steps.
    pub steps: u32,
    /// Share of the learning rate that there was when it began.
    pub share: f64,
}

/// Why a run cannot be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FinishError {
    /// It is being finished already.
    #[error("the run is finishing already: {done} of the last {steps} steps are done, and it goes on without --finish")]
    Finishing {
        /// Steps done of them.
        done: u32,
        /// How many there are.
        steps: u32,
    },
    /// It is over.
    #[error("the run is finished: it ended after {0} steps")]
    Finished(u32),
    /// No steps, or more than a run can have.
    #[error("{0} steps are no end of a run")]
    Steps(u32),
}

impl Finish {
    /// Share of the learning rate for the step after this many.
    #[must_use]
    pub fn share_at(&self, step: u32) -> f64 {
        self.share * (1.0 - self.done_at(step))
    }

    /// Share of it that is done after this many steps.
    #[must_use]
    pub fn done_at(&self, step: u32) -> f64 {
        (f64::from(step.saturating_sub(self.from)) / f64::from(self.steps.max(1))).min(1.0)
    }

    /// The number of steps after which the run is over.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.from.saturating_add(self.steps)
    }
}

/// Written so that the share comes back bit for bit.
impl std::fmt::Display for Finish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.from, self.steps, self.share)
    }
}

/// Why a text says of no end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadFinishError {
    /// A number of steps is none.
    #[error(transparent)]
    Steps(#[from] ParseIntError),
    /// The share is none.
    #[error(transparent)]
    Share(#[from] ParseFloatError),
}

impl FromStr for Finish {
    type Err = ReadFinishError;

    fn from_str(text: &str) -> Result<Self, ReadFinishError> {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default();
        Ok(Self { from: word().parse()?, steps: word().parse()?, share: word().parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_in_equal_parts_and_the_last_step_has_the_last_of_them() {
        let finish = Finish { from: 10, steps: 4, share: 0.5 };
        let shares: Vec<f64> = (10..=14).map(|step| finish.share_at(step)).collect();
        assert_eq!(shares, [0.5, 0.375, 0.25, 0.125, 0.0]);
        assert_eq!((finish.end(), finish.done_at(3), finish.done_at(99)), (14, 0.0, 1.0));
    }

    #[test]
    fn an_end_is_read_as_it_was_written() {
        let finish = Finish { from: 3, steps: 7, share: 0.1 + 0.2 };
        assert_eq!(finish.to_string().parse(), Ok(finish));
        for text in ["", "3 7", "3 7 x", "3 -7 1", "x"] {
            assert!(text.parse::<Finish>().is_err(), "{text}");
        }
    }
}
