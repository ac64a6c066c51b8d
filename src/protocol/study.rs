//! What a study tells the page while it works.

use serde::{Deserialize, Serialize};

use super::units::Floats;

/// Standard errors on both sides of a measured number that its bound must clear, or be cleared by, to be decided.
const ERRORS: f64 = 3.0;

/// StudyUpdate of a study.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StudyUpdate {
    /// Steps done.
    pub step: u32,
    /// Steps in all; 0 when that is not known.
    pub of: u32,
    /// Layers that have changed.
    pub layers: Vec<LayerData>,
    /// Claims that have changed.
    pub measured: Vec<Measured>,
}

/// The numbers of a layer, in the order that the mark of the layer says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerData {
    /// Place of the figure in the study's table.
    pub figure: u8,
    /// Place of the layer in the figure's.
    pub layer: u8,
    /// The numbers.
    pub data: Floats,
}

/// What was measured of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Place of the claim in the study's table.
    pub claim: u8,
    /// The number.
    pub value: f64,
    /// Its standard error; 0 when nothing about it is random.
    pub error: f64,
    /// The claim holds from here.
    pub low: f64,
    /// To here.
    pub high: f64,
    /// Whether the run is through with it.
    pub settled: bool,
}

/// What follows from a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The number is within the bound, beyond its sampling error.
    Holds,
    /// It is outside, beyond its sampling error.
    Fails,
    /// The run is not over, or the sampling error reaches over an end of the bound.
    Open,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Holds, Self::Fails, Self::Open];

    /// End of the key of its text, `verdict.<id>`, and word for tests.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Open => "open",
        }
    }

    /// The verdict with this id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.id() == id)
    }
}

impl Measured {
    /// Three standard errors decide.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let (low, high) = (self.value - ERRORS * self.error, self.value + ERRORS * self.error);
        if !self.settled {
            Verdict::Open
        } else if low >= self.low && high <= self.high {
            Verdict::Holds
        } else if high < self.low || low > self.high {
            Verdict::Fails
        } else {
            Verdict::Open
        }
    }
}

impl StudyUpdate {
    /// Merges a later update: of every layer and claim the latest counts.
    pub fn merge(&mut self, later: Self) {
        (self.step, self.of) = (later.step, later.of);
        for drawing in later.layers {
            self.layers.retain(|d| (d.figure, d.layer) != (drawing.figure, drawing.layer));
            self.layers.push(drawing);
        }
        for measured in later.measured {
            self.measured.retain(|m| m.claim != measured.claim);
            self.measured.push(measured);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64, error: f64) -> Measured {
        Measured { claim: 0, value, error, low: 0.0, high: 1.0, settled: true }
    }

    #[test]
    fn a_claim_is_decided_only_beyond_three_standard_errors_and_at_the_end() {
        assert_eq!(measured(0.5, 0.1).verdict(), Verdict::Holds);
        assert_eq!(measured(0.9, 0.1).verdict(), Verdict::Open);
        assert_eq!(measured(1.2, 0.1).verdict(), Verdict::Open);
        assert_eq!(measured(1.4, 0.1).verdict(), Verdict::Fails);
        assert_eq!(measured(-0.4, 0.1).verdict(), Verdict::Fails);
        assert_eq!(measured(f64::NAN, 0.0).verdict(), Verdict::Open);
        assert_eq!(Measured { settled: false, ..measured(0.5, 0.0) }.verdict(), Verdict::Open);
    }
}
