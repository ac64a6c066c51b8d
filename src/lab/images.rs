//! Noise that the images of a run start from, and the name of weights that the visitor brought.

use super::choices::ArrangementId;
use super::config::RunConfig;

/// The word for weights that the visitor brought.
pub const OWN_WEIGHTS: &str = "own";

/// The seed of image `index` of a run: with it, and a run of one image, the image comes again alone. Variations and
/// interpolations have the seed of the run; what makes them differ is in [`start_of`].
#[must_use]
pub fn seed_of(config: &RunConfig, index: u32) -> u32 {
    match config.arrangement {
        ArrangementId::Independent => config.seed.wrapping_add(index),
        ArrangementId::Variations | ArrangementId::Interpolation => config.seed,
    }
}

/// What the starting noise of an image is mixed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// The noise of a seed.
    Seed(u32),
    /// Between two noises along a great circle.
    Between {
        /// Seed of the first.
        from: u32,
        /// The second.
        to: Other,
        /// How far, from 0 to 1.
        share: f64,
    },
}

/// The other end of a great circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// The noise of a seed.
    Seed(u32),
    /// The `n`-th neighbour of the first noise, from 1.
    Neighbour(u32),
}

/// The starting noise of image `index` of a run.
#[must_use]
pub fn start_of(config: &RunConfig, index: u32) -> Start {
    match config.arrangement {
        ArrangementId::Independent => Start::Seed(seed_of(config, index)),
        ArrangementId::Variations if index == 0 => Start::Seed(config.seed),
        ArrangementId::Variations => {
            Start::Between { from: config.seed, to: Other::Neighbour(index), share: config.variation }
        }
        ArrangementId::Interpolation => {
            let last = config.images.max(2) - 1;
            let share = f64::from(index.min(last)) / f64::from(last);
            Start::Between { from: config.seed, to: Other::Seed(config.seed_to), share }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolations_begin_and_end_at_the_two_seeds() {
        let config = RunConfig {
            arrangement: ArrangementId::Interpolation,
            images: 5,
            seed: 7,
            seed_to: 9,
            ..RunConfig::default()
        };
        let shares: Vec<f64> = (0..5)
            .map(|i| match start_of(&config, i) {
                Start::Between { from: 7, to: Other::Seed(9), share } => share,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(shares, [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(seed_of(&RunConfig { seed: u32::MAX, ..RunConfig::default() }, 2), 1);
    }
}
