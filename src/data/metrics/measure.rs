//! Measured numbers, each beside what fresh data or an exact solution would give.

use serde::{Deserialize, Serialize};

/// Distances between samples and data, each beside the value that as many fresh data would have on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Kullback-Leibler divergence of the samples' histogram from the data's exact cell probabilities, in nats.
    pub kl: f64,
    /// The same for data in place of samples: the floor set by the number of samples.
    pub kl_floor: f64,
    /// Standard deviation of the floor.
    pub kl_spread: f64,
    /// Sliced Wasserstein-1 distance, in units of the data's standard deviation.
    pub sliced: f64,
    /// The same between two draws of data.
    pub sliced_floor: f64,
    /// Standard deviation of the floor.
    pub sliced_spread: f64,
    /// Samples behind the numbers.
    pub samples: u32,
}

/// A measured number beside what it should be. What there is not is NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What was measured, one of [`MEASURES`].
    pub id: String,
    /// Of which one, if there are several; counted from 1, 0 for none.
    pub number: u32,
    /// The number.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
    /// What it would be of perfect samples, as many of them, or exactly.
    pub reference: f64,
    /// How much that would vary.
    pub spread: f64,
}

/// Everything that is measured; the keys of the texts are `measure.<id>`.
pub const MEASURES: &[&str] = &[
    "flow",
    "bits",
    "gap",
    "bound",
    "prior",
    "reconstruction",
    "back",
    "latent",
    "evaluations",
    "kl",
    "js",
    "sliced",
    "energy",
    "mmd",
    "frechet",
    "precision",
    "recall",
    "near",
    "covered",
    "class",
    "conditional",
    "unconditional",
    "residual",
    "within",
];

impl Measure {
    /// A number without anything beside it.
    #[must_use]
    pub fn new(id: &str, value: f64) -> Self {
        debug_assert!(MEASURES.contains(&id), "{id} has no text");
        Self { id: id.to_owned(), number: 0, value, error: f64::NAN, reference: f64::NAN, spread: f64::NAN }
    }

    /// With its standard error.
    #[must_use]
    pub fn with_error(self, error: f64) -> Self {
        Self { error, ..self }
    }

    /// With what it should be, and how much that varies.
    #[must_use]
    pub fn against(self, reference: f64, spread: f64) -> Self {
        Self { reference, spread, ..self }
    }
}
